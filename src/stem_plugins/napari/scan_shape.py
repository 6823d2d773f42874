"""Arrange the frames of a layer as a scan of another shape, where the file does not know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stem_plugins.io.formats import read_scan
from stem_plugins.lazy.blocks import is_lazy

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = ["set_scan_shape"]


def set_scan_shape(layer: Image, shape: tuple[int, int]) -> None:
    """Give a scan layer another scan shape, in place; nothing is computed.

    A layer from a Merlin file is read anew, so that its blocks suit the new shape.

    Parameters
    ----------
    layer
        4D layer.
    shape
        Scan positions (rows, columns).

    Raises
    ------
    ValueError
        The frames do not make up such a scan.
    OSError
        The file is not there any more.
    """
    path = layer.source.path
    if path is not None and str(path).lower().endswith((".mib", ".hdr")):
        layer.data = read_scan(path, scan_shape=shape).data
        layer.metadata["scan_shape_set"] = True
    else:
        layer.data = _reshaped(layer.data, shape)


def _reshaped(data: Any, shape: tuple[int, int]) -> Any:
    frames = data.shape[0] * data.shape[1]
    if shape[0] * shape[1] != frames:
        raise ValueError(
            f"{shape[0]} × {shape[1]} scan positions are {shape[0] * shape[1]} frames; "
            f"the layer holds {frames}."
        )
    frame = data.shape[2:]
    if is_lazy(data):
        # dask joins axes and splits one, but does not do both unevenly at the same time.
        data = data.reshape(frames, *frame).rechunk({0: shape[1]})
    return data.reshape(*shape, *frame)
