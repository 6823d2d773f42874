"""Images from a map of vectors: riCOM, iCOM, fields and the rotation, with HyperSpy signals.

A vector map is a signal with two scan axes and one signal axis of two components, x first: a
pyxem ``BeamShift``. `STEM4D.center_of_mass` gives one, and so do pyxem's own methods and the
difference signals of a segmented detector. All functions read the calibration from the map.

Two directions are in use. Ours, like the name of the class, says where the beam went: centre of
mass minus centre. pyxem's ``get_direct_beam_position`` gives what shifts the pattern back: centre
minus centre of mass. The latter is recognised by the ``Shifts`` node that pyxem leaves in the
metadata, and turned round; do not turn it yourself.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from hyperspy.signal import BaseSignal

from stem_plugins import imaging
from stem_plugins.hyperspy.calibration import read_acquisition
from stem_plugins.hyperspy.results import (
    delivered,
    image_result,
    parameters_of,
    vector_result,
)
from stem_plugins.imaging import RotationEstimate, VectorField
from stem_plugins.imaging.center_of_mass import check_vectors

if TYPE_CHECKING:
    import dask.array as da

__all__ = [
    "VectorMap",
    "divergence",
    "electric_field",
    "estimate_rotation",
    "icom",
    "ricom",
    "vector_field",
    "vector_map",
]

Descan = Literal["plane", "parabola"] | None


def ricom(
    com: BaseSignal | VectorMap,
    kernel_size: int = 21,
    *,
    low: float | None = None,
    high: float | None = None,
    descan: Descan = None,
    lazy_output: bool | None = None,
    show_progressbar: bool | None = None,
) -> BaseSignal:
    """Image by real-time integrated centre of mass, from a map of vectors.

    Parameters
    ----------
    com
        Vector map in px of the detector and in the detector's frame: a ``BeamShift``.
    kernel_size
        Side of the kernel [scan positions], odd.
    low, high
        Pass band [1/Å where the scan step is known, else cycles per scan position].
    descan
        Slow drift of the beam to remove before, see `stem_plugins.remove_descan`.
    lazy_output
        Whether the result is lazy; ``None``: as the map is.
    show_progressbar
        ``None``: as HyperSpy's preferences say.

    Returns
    -------
    STEMImage
        Phase [rad] where beam energy, detector step and scan step are known, else in the unit
        that its ``metadata.Signal.quantity`` names. Atoms are bright.

    Raises
    ------
    ValueError
        The signal is no such map, or the kernel or its filter is unusable.

    Warns
    -----
    UserWarning
        The rotation from detector to scan is not known and taken as none.

    See Also
    --------
    stem_plugins.ricom : The same with arrays; there is the mathematics.

    Examples
    --------
    >>> import numpy as np
    >>> from pyxem.signals import BeamShift
    >>> from stem_plugins.hyperspy import ricom
    >>> y, x = np.indices((15, 15)) - 7.0
    >>> inwards = BeamShift(-np.stack([x, y], axis=-1) * np.exp(-(y**2 + x**2) / 8)[..., None])
    >>> inwards.metadata.set_item(
    ...     "stem_plugins.acquisition", {"scan_rotation": 0, "flip_y": False}
    ... )
    >>> image = ricom(inwards, 9)
    >>> image, int(image.data.argmax()) == 7 * 15 + 7
    (<STEMImage, title: riCOM, dimensions: (|15, 15)>, True)
    """
    com = vector_map(com)
    field = _field(com, descan)
    data = imaging.ricom(field.vectors, kernel_size, low=low, high=high, scan_step=field.scan_step)
    result = image_result(
        com.source,
        data,
        title="riCOM",
        quantity=f"{_integral(field)} ({field.image_unit})",
        method="ricom",
        parameters={
            **com.parameters,
            "kernel_size": kernel_size,
            "low": low,
            "high": high,
            "descan": descan,
        },
    )
    return delivered(result, lazy_output, show_progressbar)


def icom(
    com: BaseSignal | VectorMap,
    *,
    high_pass: float | None = None,
    descan: Descan = None,
    lazy_output: bool | None = None,
    show_progressbar: bool | None = None,
) -> BaseSignal:
    """Image by integrated centre of mass over the whole scan, from a map of vectors.

    Parameters
    ----------
    com, descan, lazy_output, show_progressbar
        As for `ricom`.
    high_pass
        Frequency at which a smooth high-pass filter passes half [1/Å where the scan step is
        known, else cycles per scan position].

    Returns
    -------
    STEMImage
        As for `ricom`, of mean zero.

    Raises
    ------
    ValueError
        The signal is no such map, or the filter is unusable.

    See Also
    --------
    stem_plugins.icom : The same with arrays; there is the mathematics.
    """
    com = vector_map(com)
    field = _field(com, descan)
    result = image_result(
        com.source,
        imaging.icom(field.vectors, high_pass=high_pass, scan_step=field.scan_step),
        title="iCOM",
        quantity=f"{_integral(field)} ({field.image_unit})",
        method="icom",
        parameters={**com.parameters, "high_pass": high_pass, "descan": descan},
    )
    return delivered(result, lazy_output, show_progressbar)


def divergence(
    com: BaseSignal | VectorMap,
    *,
    descan: Descan = None,
    lazy_output: bool | None = None,
    show_progressbar: bool | None = None,
) -> BaseSignal:
    """Divergence of a map of vectors (dCOM): negative at atoms, where the beam converges.

    Parameters
    ----------
    com, descan, lazy_output, show_progressbar
        As for `ricom`.

    Returns
    -------
    STEMImage
        [rad/Å²] where fully calibrated; its ``metadata.Signal.quantity`` names the unit.

    See Also
    --------
    stem_plugins.divergence : The same with arrays.
    """
    com = vector_map(com)
    field = _field(com, descan)
    result = image_result(
        com.source,
        imaging.divergence(field.vectors, scan_step=field.scan_step),
        title="Divergence",
        quantity=f"Divergence ({field.divergence_unit})",
        method="divergence",
        parameters={**com.parameters, "descan": descan},
    )
    return delivered(result, lazy_output, show_progressbar)


def vector_field(
    com: BaseSignal | VectorMap,
    *,
    descan: Descan = None,
    lazy_output: bool | None = None,
    show_progressbar: bool | None = None,
) -> BaseSignal:
    """Deflection in the scan frame and in the best unit that the calibration allows.

    Parameters
    ----------
    com, descan, lazy_output, show_progressbar
        As for `ricom`.

    Returns
    -------
    BeamShift
        Phase gradient [rad/Å] with detector step and beam energy, deflection [mrad] with the
        detector step, else px; x first.

    See Also
    --------
    stem_plugins.vector_field : The same with arrays.
    """
    com = vector_map(com)
    field = _field(com, descan)
    names = {"rad/Å": "Phase gradient", "mrad": "Deflection", "px": "Deflection"}
    result = vector_result(
        com.source,
        field.vectors,
        unit=field.unit,
        title=names[field.unit],
        quantity=f"{names[field.unit]} ({field.unit})",
        method="vector_field",
        parameters={**com.parameters, "descan": descan},
    )
    return delivered(result, lazy_output, show_progressbar)


def electric_field(
    com: BaseSignal | VectorMap,
    *,
    descan: Descan = None,
    lazy_output: bool | None = None,
    show_progressbar: bool | None = None,
) -> BaseSignal:
    """Projected electric field, in the scan frame; it points away from atoms.

    Parameters
    ----------
    com, descan, lazy_output, show_progressbar
        As for `ricom`.

    Returns
    -------
    BeamShift
        Field times thickness [V], x first; pyxem's colour plots
        (``get_magnitude_phase_signal``) work on it.

    Raises
    ------
    MissingCalibrationError
        Beam energy or detector step is not known.

    See Also
    --------
    stem_plugins.electric_field : The same with arrays.
    """
    com = vector_map(com)
    acquisition = read_acquisition(com.source).require("beam_energy", "diffraction_step")
    vectors = _field(com, descan).vectors
    result = vector_result(
        com.source,
        imaging.electric_field(vectors, beam_energy=acquisition.beam_energy),
        unit="V",
        title="Electric field",
        quantity="Projected electric field (V)",
        method="electric_field",
        parameters={**com.parameters, "descan": descan},
    )
    return delivered(result, lazy_output, show_progressbar)


def estimate_rotation(com: BaseSignal, *, reference: BaseSignal | Any = None) -> RotationEstimate:
    """Estimate the rotation and mirroring from detector to scan frame.

    Parameters
    ----------
    com
        As for `ricom`; computed if it is lazy.
    reference
        Image (signal or array) in which atoms are bright, such as an annular dark field.

    Returns
    -------
    RotationEstimate
        To be kept by ``signal.set_acquisition(scan_rotation=estimate.angle,
        flip_y=estimate.flip_y)``, after a look at its confidence.

    See Also
    --------
    stem_plugins.estimate_rotation : The same with arrays.
    """
    if isinstance(reference, BaseSignal):
        reference = reference.data
    vectors = vector_map(com)
    unturned = read_acquisition(vectors.source).replace(scan_rotation=None, flip_y=None)
    field = imaging.vector_field(vectors.vectors, unturned)
    return imaging.estimate_rotation(field.vectors, scan_step=field.scan_step, reference=reference)


@dataclasses.dataclass(frozen=True)
class VectorMap:
    """A map of vectors and the signal whose scan axes and calibration it has.

    Parameters
    ----------
    source
        Signal whose navigation axes are the scan.
    vectors
        (scan_y, scan_x, 2), vectors (y, x), in px of the detector and in its frame.
    parameters
        What made the map, as metadata can hold it.
    """

    source: BaseSignal
    vectors: np.ndarray | da.Array
    parameters: Mapping[str, Any]


def vector_map(com: BaseSignal | VectorMap) -> VectorMap:
    """Return the vectors of a signal, turned to say where the beam went.

    Parameters
    ----------
    com
        A ``BeamShift`` in px.

    Raises
    ------
    ValueError
        It is no vector map, or its vectors are calibrated or turned already.
    """
    if isinstance(com, VectorMap):
        return com
    check_in_pixels(com)
    return VectorMap(com, check_vectors(com), parameters_of(com))


def check_in_pixels(com: BaseSignal) -> None:
    """Refuse a signal of vectors that are calibrated or turned already."""
    units = com.metadata.get_item("VectorMetadata.units", None)
    if units is not None and any(unit not in ("px", None) for unit in units):
        raise ValueError(
            f"The vectors of {com.metadata.General.title or 'this map'} are in {units[0]}; "
            "a map in px of the detector is expected, as center_of_mass gives it."
        )


def warn_of_unknown_rotation(signal: BaseSignal, *, stacklevel: int) -> None:
    """Say that the rotation from detector to scan frame is taken as none, where nobody knows it.

    Parameters
    ----------
    signal
        4D data, or a map of vectors.
    stacklevel
        As for `warnings.warn`, seen from here.
    """
    if read_acquisition(signal).scan_rotation is None:
        warnings.warn(
            "The rotation from detector to scan frame is not known; it is taken as 0°, unmirrored. "
            "Set it by signal.set_acquisition(scan_rotation=..., flip_y=...); "
            "signal.estimate_rotation() finds it." + _rows_note(signal),
            stacklevel=stacklevel,
        )


def _rows_note(signal: BaseSignal) -> str:
    """Say what RosettaSciIO's own reader does to Merlin frames; ours leaves no such trace."""
    if not signal.original_metadata.has_item("mib_properties"):
        return ""
    return (
        " RosettaSciIO read this Merlin file with the detector's rows upside down and without "
        "its calibration; stem_plugins.hyperspy.load reads it as it is."
    )


def _field(com: VectorMap, descan: Descan) -> VectorField:
    acquisition = read_acquisition(com.source)
    warn_of_unknown_rotation(com.source, stacklevel=5)
    return imaging.vector_field(com.vectors, acquisition, descan=descan)


def _integral(field: VectorField) -> str:
    return "Phase" if field.image_unit == "rad" else "Integrated deflection"
