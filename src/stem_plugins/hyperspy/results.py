"""Results as HyperSpy signals: calibrated, named, with the parameters that made them.

Every result carries ``metadata.stem_plugins`` with the calibration (``acquisition``), the title
of the data it comes from (``source``), the ``method``, its ``parameters`` and the ``version`` of
stem-plugins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from hyperspy.signal import BaseSignal

from stem_plugins.hyperspy.calibration import stored_acquisition
from stem_plugins.hyperspy.stem_image import (
    ComplexSTEMImage,
    LazyComplexSTEMImage,
    LazySTEMImage,
    STEMImage,
)
from stem_plugins.io.units import to_angstrom
from stem_plugins.lazy.blocks import is_lazy

if TYPE_CHECKING:
    import dask.array as da

__all__ = [
    "delivered",
    "finer_axis",
    "image_result",
    "parameters_of",
    "pattern_result",
    "vector_result",
]

#: Metadata of the experiment that results inherit.
INHERITED = ("Acquisition_instrument", "Sample")


def image_result(
    source: BaseSignal,
    data: np.ndarray | da.Array,
    *,
    title: str,
    quantity: str,
    method: str,
    parameters: Mapping[str, Any],
    axes: list[dict[str, Any]] | None = None,
) -> STEMImage | ComplexSTEMImage:
    """Return an image over the scan axes of a signal.

    Parameters
    ----------
    source
        Signal whose navigation axes are the scan.
    data
        (scan_y, scan_x), real or complex, NumPy or dask.
    title
        What the image shows; the source's own title is added.
    quantity
        Name and unit of the values, such as ``"Phase (rad)"``.
    method, parameters
        What made it.
    axes
        Other axes than those of the scan, in array order; stacks of images have more than two.
    """
    metadata = _metadata(source, title, quantity, "stem_image")
    metadata["stem_plugins"].update(method=method, parameters=_storable(parameters))
    # The classes are called directly: going by set_signal_type, HyperSpy builds and copies three
    # signals, which takes as long as reading some hundred patterns.
    real = (LazySTEMImage, STEMImage)
    image_class = real if data.dtype.kind != "c" else (LazyComplexSTEMImage, ComplexSTEMImage)
    if axes is None:
        axes = _axes(source.axes_manager.navigation_axes, navigate=False)
    return image_class[0 if is_lazy(data) else 1](data, axes=axes, metadata=metadata)


def vector_result(
    source: BaseSignal,
    vectors: np.ndarray | da.Array,
    *,
    unit: str,
    title: str,
    quantity: str,
    method: str,
    parameters: Mapping[str, Any],
) -> BaseSignal:
    """Return a map of vectors over the scan axes of a signal, as a pyxem BeamShift.

    Parameters
    ----------
    source
        Signal whose navigation axes are the scan.
    vectors
        (scan_y, scan_x, 2), vectors (y, x), NumPy or dask. The BeamShift has x first, as pyxem
        wants it.
    unit
        Unit of both components.
    title, quantity, method, parameters
        As for `image_result`.
    """
    from pyxem.signals import BeamShift, LazyBeamShift

    metadata = _metadata(source, title, quantity, "beam_shift")
    metadata["stem_plugins"].update(method=method, parameters=_storable(parameters))
    axes = _axes(source.axes_manager.navigation_axes, navigate=True)
    axes.append({"name": "component", "size": 2, "navigate": False})
    if is_lazy(vectors):
        signal = LazyBeamShift(vectors[..., ::-1], axes=axes, metadata=metadata)
    else:
        data = np.ascontiguousarray(vectors[..., ::-1])
        signal = BeamShift(data, axes=axes, metadata=metadata)
    signal.column_names = ["x-shift", "y-shift"]
    signal.units = [unit, unit]
    return signal


def pattern_result(source: BaseSignal, pattern: np.ndarray | da.Array, *, title: str) -> BaseSignal:
    """Return a diffraction pattern over the detector axes of a signal.

    Parameters
    ----------
    source
        Signal whose signal axes are the detector.
    pattern
        (ky, kx), NumPy or dask.
    title
        As for `image_result`.
    """
    from pyxem.signals import ElectronDiffraction2D, LazyElectronDiffraction2D

    metadata = _metadata(source, title, "Counts", "electron_diffraction")
    axes = _axes(source.axes_manager.signal_axes, navigate=False)
    pattern_class = LazyElectronDiffraction2D if is_lazy(pattern) else ElectronDiffraction2D
    return pattern_class(pattern, axes=axes, metadata=metadata)


def finer_axis(axis: Any, size: int, pixel: float, origin: float = 0.0) -> dict[str, Any]:
    """Give a scan axis the pixels of an image of its own sampling; the direction stays.

    Parameters
    ----------
    axis
        Of the scan.
    size, pixel, origin
        Pixels of the image, their edge, and the place of the first in the scan [Å].
    """
    unit = to_angstrom(1, axis.units)
    assert unit is not None, "a scan without a known unit has no scan step"
    known = axis.get_axis_dictionary()
    scale = float(np.copysign(pixel, axis.scale)) / unit
    offset = known["offset"] + float(np.copysign(origin, axis.scale)) / unit
    return {**known, "size": size, "scale": scale, "offset": offset, "navigate": False}


def _axes(axes: Any, *, navigate: bool) -> list[dict[str, Any]]:
    return [{**axis.get_axis_dictionary(), "navigate": navigate} for axis in axes[::-1]]


def _metadata(
    source: BaseSignal, title: str, quantity: str, signal_type: str
) -> dict[str, dict[str, Any]]:
    from stem_plugins import __version__

    metadata = source.metadata.as_dictionary()
    name = _provenance(source).get("source", metadata.get("General", {}).get("title", ""))
    has_detector = signal_type == "electron_diffraction"
    return {
        "General": {"title": f"{title} of {name}" if name else title},
        "Signal": {"quantity": quantity, "signal_type": signal_type},
        **{node: metadata[node] for node in INHERITED if node in metadata},
        "stem_plugins": {
            "acquisition": stored_acquisition(source, detector=has_detector),
            "source": name,
            "version": __version__,
        },
    }


def parameters_of(signal: Any) -> dict[str, Any]:
    """Return the parameters of the method that made a signal; none for anything else."""
    return dict(_provenance(signal).get("parameters", {})) if hasattr(signal, "metadata") else {}


def _provenance(signal: BaseSignal) -> Mapping[str, Any]:
    node = signal.metadata.as_dictionary().get("stem_plugins", {})
    return node if "method" in node else {}


def _storable(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as every file format can hold them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in parameters.items()
        if value is not None
    }


def delivered(
    signal: BaseSignal, lazy_output: bool | None, show_progressbar: bool | None
) -> BaseSignal:
    """Return a result as it was asked for, computed with a progress bar or still lazy.

    Parameters
    ----------
    signal
        The result, lazy where its source is.
    lazy_output
        Whether to leave it lazy; ``None``: as it is.
    show_progressbar
        Whether to show progress; ``None``: as HyperSpy's preferences say.
    """
    if signal._lazy and lazy_output is False:
        signal.compute(show_progressbar=show_progressbar)
    elif not signal._lazy and lazy_output:
        return signal.as_lazy()
    return signal
