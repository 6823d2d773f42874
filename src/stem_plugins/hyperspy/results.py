"""Results as HyperSpy signals: calibrated, named, with the parameters that made them.

Every result carries ``metadata.stem_plugins`` with the calibration (``acquisition``), the
``method``, its ``parameters`` and the ``version`` of stem-plugins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import hyperspy.api as hs
import numpy as np
from hyperspy.signal import BaseSignal

from stem_plugins.hyperspy.calibration import read_acquisition
from stem_plugins.lazy.blocks import is_lazy

if TYPE_CHECKING:
    import dask.array as da

    from stem_plugins.hyperspy.stem_image import STEMImage

__all__ = ["delivered", "image_result", "parameters_of", "vector_result"]


def image_result(
    source: BaseSignal,
    data: np.ndarray | da.Array,
    *,
    title: str,
    quantity: str,
    method: str,
    parameters: Mapping[str, Any],
) -> STEMImage:
    """Return an image over the scan axes of a signal.

    Parameters
    ----------
    source
        Signal whose navigation axes are the scan.
    data
        (scan_y, scan_x), NumPy or dask.
    title
        What the image shows; the source's own title is added.
    quantity
        Name and unit of the values, such as ``"Phase (rad)"``.
    method, parameters
        What made it.
    """
    image = source._get_navigation_signal(data=data)
    _describe(image, source, title, quantity, method, parameters)
    image.set_signal_type("stem_image")
    return image


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
    axes = [axis.get_axis_dictionary() for axis in source.axes_manager.navigation_axes[::-1]]
    axes.append({"name": "component", "size": 2, "navigate": False})
    data = vectors[..., ::-1] if is_lazy(vectors) else np.ascontiguousarray(vectors[..., ::-1])
    signal = hs.signals.Signal1D(data, axes=axes)
    if is_lazy(vectors):
        signal = signal.as_lazy()
    _describe(signal, source, title, quantity, method, parameters)
    signal.set_signal_type("beam_shift")
    signal.column_names = ["x-shift", "y-shift"]
    signal.units = [unit, unit]
    return signal


def parameters_of(signal: BaseSignal) -> dict[str, Any]:
    """Return the parameters of the method that made a signal; none for measured data."""
    return dict(_provenance(signal).get("parameters", {}))


def _provenance(signal: BaseSignal) -> Mapping[str, Any]:
    node = signal.metadata.as_dictionary().get("stem_plugins", {})
    return node if "method" in node else {}


def _describe(
    signal: BaseSignal,
    source: BaseSignal,
    title: str,
    quantity: str,
    method: str,
    parameters: Mapping[str, Any],
) -> None:
    from stem_plugins import __version__

    metadata = source.metadata.as_dictionary()
    name = _provenance(source).get("source", metadata.get("General", {}).get("title", ""))
    signal.metadata.General.title = f"{title} of {name}" if name else title
    signal.metadata.set_item("Signal.quantity", quantity)
    for node in ("Acquisition_instrument", "Sample"):
        if node in metadata:
            signal.metadata.set_item(node, metadata[node])
    signal.metadata.set_item(
        "stem_plugins",
        {
            "acquisition": read_acquisition(source).to_dict(),
            "source": name,
            "method": method,
            "parameters": {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in {**parameters_of(source), **parameters}.items()
                if value is not None
            },
            "version": __version__,
        },
    )


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
