"""Patterns without specimen among the layers of a viewer: what the aperture really looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.napari.image_layers import VIEW_ONLY
from stem_plugins.napari.layers import is_scan_layer
from stem_plugins.napari.ricom_code import source_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["mean_pattern", "vacuum_code", "vacuum_layers"]


def vacuum_layers(viewer: ViewerModel, scan: Image | None) -> list[Image]:
    """Layers that may hold patterns without specimen, the topmost first.

    Parameters
    ----------
    viewer
        Any napari viewer.
    scan
        What they are for: other scans with its detector, and images as large as a pattern.
    """
    if scan is None:
        return []
    detector = tuple(scan.data.shape[2:])
    return [
        layer
        for layer in reversed(viewer.layers)
        if layer is not scan
        and (is_scan_layer(layer) or _is_flat(layer))
        and tuple(layer.data.shape[-2:]) == detector
    ]


def _is_flat(layer: Any) -> bool:
    from napari.layers import Image

    return (
        isinstance(layer, Image)
        and not layer.rgb
        and not layer.multiscale
        and layer.ndim == 2
        and layer.data.dtype.kind in "buif"
        and VIEW_ONLY not in layer.metadata
    )


def mean_pattern(data: Any, hold: Callable[[], None]) -> np.ndarray:
    """Mean of the patterns of a scan, or the only pattern.

    Parameters
    ----------
    data
        (scan_y, scan_x, ky, kx) or (ky, kx), NumPy or dask.
    hold
        Called after every block; what it raises ends the pass.

    Raises
    ------
    ValueError
        Pixels are not finite numbers.

    Examples
    --------
    >>> mean_pattern(np.arange(16).reshape(2, 2, 2, 2), lambda: None)
    array([[6., 7.],
           [8., 9.]])
    """
    from stem_plugins.imaging import iter_moments

    if data.ndim == 2:
        return np.asarray(data, float)
    total = np.zeros(data.shape[2:])
    for rows, block in iter_moments(data, pattern=True):
        assert block.pattern is not None
        total += (rows.stop - rows.start) * np.asarray(block.pattern)
        hold()
    return total / data.shape[0]


def vacuum_code(layer: Image) -> tuple[str, str]:
    """Lines of Python that import, and that leave the mean pattern in ``vacuum``.

    Parameters
    ----------
    layer
        From `vacuum_layers`.
    """
    if layer.ndim == 4:
        source = source_of(layer)
        return source.imports, f"{source.statement}\nvacuum = scan.data.mean(axis=(0, 1))"
    if layer.source.path is not None:
        return (
            "from stem_plugins.io.image_files import read_images",
            f"vacuum = read_images({str(layer.source.path)!r})[0].data",
        )
    return "import napari", f"vacuum = napari.current_viewer().layers[{layer.name!r}].data"
