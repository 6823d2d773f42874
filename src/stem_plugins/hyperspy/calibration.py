"""Signals and `Acquisition`: the one place where axes and metadata become a calibration and back.

What a signal knows is read as it is from files (`stem_plugins.io.acquisition_from_signal`). What
`update_acquisition` writes goes where HyperSpy and pyxem look for it: scan step, detector step and
centre into the axes, beam energy and convergence angle into ``Acquisition_instrument.TEM``, and
what has no place there (rotation, flip, defocus, aberrations, dose) into
``metadata.stem_plugins.acquisition``. Axes and metadata survive ``inav``, ``isig``, ``rebin``,
``as_lazy``, ``set_signal_type`` and saving; attributes would not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hyperspy.signal import BaseSignal

from stem_plugins.io.signal_dictionary import acquisition_from_signal, mirrored
from stem_plugins.io.units import is_reciprocal_length, to_angstrom, to_milliradian
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength

__all__ = ["Calibrated", "read_acquisition", "stored_acquisition", "update_acquisition"]

#: Where HyperSpy keeps the fields that are neither in the axes nor ours alone.
INSTRUMENT = {
    "beam_energy": "Acquisition_instrument.TEM.beam_energy",
    "convergence_angle": "Acquisition_instrument.TEM.convergence_angle",
    "dwell_time": "Acquisition_instrument.dwell_time",
}


class Calibrated:
    """What all signals of stem-plugins share: their calibration."""

    @property
    def acquisition(self: Any) -> Acquisition:
        """The calibration that axes and metadata hold, as one `stem_plugins.Acquisition`.

        It is read anew each time, so that it follows cropping, rebinning and the calibration
        tools of HyperSpy and pyxem. To change it, use `set_acquisition`.
        """
        return read_acquisition(self)

    def set_acquisition(self: Any, **fields: Any) -> None:
        """Change the calibration, in place.

        Parameters
        ----------
        **fields
            Fields of `stem_plugins.Acquisition` by name, in its units: ``beam_energy`` [keV],
            ``convergence_angle`` [mrad], ``scan_step`` [Å] (y, x), ``diffraction_step``
            [mrad per px] (ky, kx), ``center`` [px] (ky, kx), ``scan_rotation`` [deg], ``flip_y``,
            ``defocus`` [Å], ``aberrations``, ``dwell_time`` [s], ``dose`` [e/Å²]. ``None``
            forgets a value; what is not named stays as it is.

        Raises
        ------
        ValueError
            A name or a value is not usable, or it belongs to an axis that is not uniform.

        Notes
        -----
        Axes keep their unit where it can express the new step (``Å`` or ``nm``; ``mrad``, or
        ``1/nm`` with the beam energy); others become ``nm`` and ``mrad``.

        Examples
        --------
        >>> from stem_plugins.hyperspy import STEM4D
        >>> signal = STEM4D(np.zeros((2, 2, 8, 8)))
        >>> signal.set_acquisition(beam_energy=200, scan_step=0.5, center=(3.5, 3.5))
        >>> signal.axes_manager[0].scale, signal.axes_manager[0].units
        (0.05, 'nm')
        >>> signal.isig[1:, 2:].acquisition.center  # isig is in HyperSpy's order, x first
        (1.5, 2.5)
        """
        update_acquisition(self, fields)


def read_acquisition(signal: BaseSignal) -> Acquisition:
    """Read what axes and metadata of a signal say about the experiment.

    Parameters
    ----------
    signal
        4D data (two navigation axes of the scan, two signal axes of the detector), a map of
        vectors (two navigation axes, one signal axis), or an image (two signal axes).

    Returns
    -------
    Acquisition
        What is known.

    Warns
    -----
    UserWarning
        The detector is calibrated in inverse length, but the beam energy is not known.
    """
    metadata = signal.metadata.as_dictionary()
    detector = detector_axes(signal)
    acquisition = acquisition_from_signal(_axes(signal), metadata)
    if detector and acquisition.diffraction_step is None:
        return _with_camera(acquisition, detector, metadata)
    return acquisition


def stored_acquisition(signal: BaseSignal, *, detector: bool = True) -> dict[str, Any]:
    """Return the calibration as metadata keep it, for axes that all run forwards.

    Parameters
    ----------
    signal
        As for `read_acquisition`.
    detector
        Whether what keeps it has the signal's detector axes, beside those of the scan.
    """
    axes = _axes(signal)
    return mirrored(read_acquisition(signal), axes if detector else [*axes[:2], {}, {}]).to_dict()


def _axes(signal: BaseSignal) -> list[dict[str, Any]]:
    """Dictionaries of the axes (scan_y, scan_x, ky, kx), empty where there is none."""
    known = [axis.get_axis_dictionary() for axis in (*scan_axes(signal), *detector_axes(signal))]
    return known + [{}] * (4 - len(known))


def scan_axes(signal: BaseSignal) -> Sequence[Any]:
    """Return the scan axes (y, x): those of navigation, or of an image's pixels."""
    axes = signal.axes_manager
    scan = axes.navigation_axes if axes.navigation_dimension else axes.signal_axes
    return scan[::-1] if len(scan) == 2 else ()


def detector_axes(signal: BaseSignal) -> Sequence[Any]:
    """Return the detector axes (ky, kx); none for images and vector maps."""
    axes = signal.axes_manager
    has_detector = axes.navigation_dimension == 2 and axes.signal_dimension == 2
    return axes.signal_axes[::-1] if has_detector else ()


def _with_camera(
    acquisition: Acquisition, detector: Sequence[Any], metadata: Mapping[str, Any]
) -> Acquisition:
    """Add detector step and centre from camera length and pixel size, as pyxem keeps them."""
    microscope = metadata.get("Acquisition_instrument", {}).get("TEM", {})
    length, pixel = camera_length(microscope), microscope.get("physical_pixel_size")
    if not length or not pixel:
        return acquisition
    # In an axis of pixels the scale is the binning.
    binned = [axis.scale if axis.is_uniform else 1.0 for axis in detector]
    step = [1e3 * float(pixel) * factor / length for factor in binned]
    acquisition = acquisition.replace(diffraction_step=step)
    if acquisition.center is None and not any(axis.is_uniform for axis in detector):
        # pyxem's axes on a curved Ewald sphere rise through zero at the centre.
        zero = [float(np.interp(0, axis.axis, np.arange(axis.size))) for axis in detector]
        return acquisition.replace(center=zero)
    return acquisition


def camera_length(microscope: Mapping[str, Any]) -> float | None:
    """Return the camera length [m] from ``Acquisition_instrument.TEM``, wherever it stands.

    pyxem's two ways to set it write to different places in different units, and neither reads
    what the other wrote; readers of HyperSpy write millimetres.

    Parameters
    ----------
    microscope
        The metadata node as a dictionary.

    Examples
    --------
    >>> camera_length({"camera_length": 80.0})
    0.08
    >>> camera_length({"Detector": {"Diffraction": {"camera_length": 8.0}}})
    0.08
    """
    if microscope.get("detector_distance"):
        return float(microscope["detector_distance"])
    if microscope.get("camera_length"):
        in_meter = "camera_length_units" in microscope
        return float(microscope["camera_length"]) * (1 if in_meter else 1e-3)
    centimeter = microscope.get("Detector", {}).get("Diffraction", {}).get("camera_length")
    return float(centimeter) * 1e-2 if centimeter else None


def update_acquisition(signal: BaseSignal, fields: Mapping[str, Any]) -> None:
    """Write calibration fields into the axes and metadata of a signal.

    Parameters
    ----------
    signal
        As for `read_acquisition`.
    fields
        New values by field name; ``None`` forgets a value.

    Raises
    ------
    ValueError
        A name or a value is not usable, or it belongs to an axis that is not uniform.
    """
    changes = {
        name: {} if name == "aberrations" and value is None else value
        for name, value in fields.items()
    }
    # An axis calibrated in 1/nm keeps its meaning when only the beam energy is corrected, so
    # nothing is written but what was asked for.
    known = read_acquisition(signal)
    if "diffraction_step" in changes and detector_axes(signal) and known.center is not None:
        # The centre goes with the axes: kept elsewhere, it would miss their being cropped.
        changes.setdefault("center", known.center)
    acquisition = known.replace(**changes)
    stored = signal.metadata.as_dictionary().get("stem_plugins", {}).get("acquisition", {})
    stored = {name: value for name, value in stored.items() if name not in changes}
    in_metadata = mirrored(acquisition, _axes(signal)).to_dict()
    if {"scan_rotation", "flip_y"} & set(changes):
        # On axes that run backwards each depends on the other.
        changes = dict.fromkeys(("scan_rotation", "flip_y")) | changes
    # The energy goes first: steps in 1/nm depend on it.
    for name in sorted(changes, key=list(Acquisition.__dataclass_fields__).index):
        if not _write(signal, acquisition, name) and name in in_metadata:
            stored[name] = in_metadata[name]
    _replace_node(signal, "stem_plugins.acquisition", stored or None)


def _write(signal: BaseSignal, acquisition: Acquisition, name: str) -> bool:
    """Write one field where HyperSpy keeps it; False where HyperSpy has no place for it."""
    value = getattr(acquisition, name)
    if name in INSTRUMENT:
        _replace_node(signal, INSTRUMENT[name], value)
        if name == "beam_energy" and hasattr(signal, "calibration"):
            # pyxem keeps the wavelength beside the energy and computes with the former.
            place = "Acquisition_instrument.TEM.wavelength"
            _replace_node(signal, place, None if value is None else wavelength(value))
        return True
    if name == "scan_step" and scan_axes(signal):
        _write_steps(scan_axes(signal), name, value, "nm", to_angstrom)
        return True
    if name == "diffraction_step" and detector_axes(signal):

        def to_angle(size: float, unit: object) -> float | None:
            if is_reciprocal_length(unit) and acquisition.beam_energy is None:
                return None
            return to_milliradian(size, unit, acquisition.beam_energy)

        _write_steps(detector_axes(signal), name, value, "mrad", to_angle)
        return True
    if name == "center" and detector_axes(signal):
        for axis, pixel in zip(detector_axes(signal), value or (0, 0), strict=True):
            _require_uniform(axis, name)
            axis.offset = 0.0 - pixel * axis.scale
        return True
    return False


def _write_steps(
    axes: Sequence[Any], name: str, steps: tuple[float, float] | None, unit: str, convert: Any
) -> None:
    """Give axes new steps, in their own unit if it serves, keeping the pixel that is zero."""
    for axis, step in zip(axes, steps or (None, None), strict=True):
        _require_uniform(axis, name)
        zero, direction = axis.offset / axis.scale, math.copysign(1, axis.scale)
        if step is None:
            axis.scale, axis.units = direction, "px"
        else:
            if convert(1, axis.units) is None:
                axis.units = unit
            axis.scale = direction * step / convert(1, axis.units)
        axis.offset = zero * axis.scale


def _require_uniform(axis: Any, name: str) -> None:
    if not axis.is_uniform:
        raise ValueError(
            f"The axis {axis.name} is not uniform, so {name} cannot be set; make it uniform by "
            "signal.axes_manager[...].convert_to_uniform_axis() first."
        )


def _replace_node(signal: BaseSignal, path: str, value: Any) -> None:
    """Set a metadata item, or take it away for ``None``."""
    if value is not None:
        signal.metadata.set_item(path, value)
    elif signal.metadata.has_item(path):
        *parents, last = path.split(".")
        delattr(signal.metadata.get_item(".".join(parents)), last)
