"""Layers that hold an image or a stack of images, and others on the same grid.

An image over a scan that stands on the scan axes of a 4D viewer, (scan_y, scan_x, 1, 1), counts as
the image that it is, and (frame, scan_y, scan_x, 1, 1) as the stack; see
`stem_plugins.napari.planes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.io.image_files import MeasuredImages
from stem_plugins.io.units import to_angstrom
from stem_plugins.napari.axes import AXIS_LABELS, ORIGIN
from stem_plugins.napari.contrast import image_limits
from stem_plugins.napari.layers import STAND_IN, LayerData, acquisition_of
from stem_plugins.napari.planes import is_over_scan

if TYPE_CHECKING:
    import dask.array
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = [
    "DEPTH",
    "VIEW_ONLY",
    "image_layers",
    "image_of",
    "image_shape",
    "is_image_layer",
    "layer_like",
    "measured_images",
    "measured_layer",
    "pixel_size",
    "put_in_place",
]

#: In the metadata of layers that are a view of others, and no image of their own.
VIEW_ONLY = "view only"

ANGSTROM_PER_NM = 10.0

#: Label of the axis of a stack whose images are slices of a specimen, from above to below.
DEPTH = "depth"

#: What places a layer in the viewer's world.
PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


def is_image_layer(layer: Any) -> bool:
    """Whether a layer holds an image, or a stack of images, of real numbers.

    Parameters
    ----------
    layer
        Any napari layer. Colours, scans, patterns and complex numbers are no such images.
    """
    from napari.layers import Image

    if not isinstance(layer, Image) or layer.rgb or layer.multiscale:
        return False
    if VIEW_ONLY in layer.metadata or layer.data.dtype.kind not in "buif":
        return False
    is_pattern = tuple(layer.axis_labels)[-2:] == AXIS_LABELS[2:]
    return is_over_scan(layer) or (layer.ndim in (2, 3) and not is_pattern)


def image_layers(viewer: ViewerModel) -> list[Image]:
    """Layers of a viewer that hold images, the topmost first.

    Parameters
    ----------
    viewer
        Any napari viewer. Stacks over a scan are slices of a reconstruction, and left out.
    """
    return [layer for layer in reversed(viewer.layers) if is_image_layer(layer) and layer.ndim < 5]


def image_of(layer: Image) -> np.ndarray | dask.array.Array:
    """Image or stack of a layer, not copied.

    Parameters
    ----------
    layer
        For which `is_image_layer` holds.

    Returns
    -------
    ndarray or dask.array.Array
        (y, x) or (frame, y, x).
    """
    return layer.data[..., 0, 0] if is_over_scan(layer) else layer.data


def image_shape(layer: Image) -> tuple[int, int]:
    """Pixels (y, x) of the images of a layer.

    Parameters
    ----------
    layer
        For which `is_image_layer` holds.
    """
    y, x = image_of(layer).shape[-2:]
    return int(y), int(x)


def pixel_size(layer: Image) -> tuple[float, float] | None:
    """Å per pixel, (y, x), of the images of a layer; `None` where its axes are not lengths.

    Parameters
    ----------
    layer
        For which `is_image_layer` holds.
    """
    if is_over_scan(layer) or layer.ndim == 2:
        return acquisition_of(layer).scan_step
    symbols = [f"{unit:~}" for unit in layer.units[-2:]]
    scales = [abs(float(scale)) for scale in layer.scale[-2:]]
    y, x = (to_angstrom(*pair) for pair in zip(scales, symbols, strict=True))
    return None if y is None or x is None else (y, x)


def layer_like(
    layer: Image,
    image: np.ndarray | dask.array.Array,
    name: str,
    *,
    unit: str | None = None,
    parameters: Mapping[str, Any],
    colormap: str = "gray",
    contrast_limits: tuple[float, float] | None = None,
    one_image: bool = False,
) -> LayerData:
    """Layer of another image on the grid, and at the place, of a layer.

    Parameters
    ----------
    layer
        For which `is_image_layer` holds.
    image
        Of the shape of `image_of` the layer.
    name
        Name of the new layer.
    unit
        Of the values; `None`: that of the layer.
    parameters
        What made the image; kept in ``metadata["parameters"]`` and written to files.
    colormap
        Of napari.
    contrast_limits
        Values shown darkest and brightest; `None`: the 0.5 and 99.5 percentiles.
    one_image
        The image is one (y, x) although the layer may hold a stack.

    Returns
    -------
    tuple
        Layer data for napari.
    """
    axes = slice(-2, None) if one_image and not is_over_scan(layer) else slice(None)
    place = {key: getattr(layer, key) for key in PLACE}
    for key in ("scale", "translate", "units", "axis_labels"):
        place[key] = tuple(place[key])[axes]
    if axes.start is not None and layer.ndim > 2:
        for key in ("rotate", "shear", "affine"):
            del place[key]
    kept = {key: layer.metadata[key] for key in KEPT if key in layer.metadata}
    options = {
        **place,
        "name": name,
        "colormap": colormap,
        "contrast_limits": contrast_limits or image_limits(np.asarray(image)),
        "metadata": {
            **kept,
            "unit": layer.metadata.get("unit", "") if unit is None else unit,
            "parameters": dict(parameters),
        },
    }
    data = image[..., None, None] if is_over_scan(layer) else image
    return data, options, "image"


def put_in_place(layer: Image, measured: Image) -> None:
    """Give a result the scale, unit and place of the image that it is of.

    Parameters
    ----------
    layer
        From `layer_like`, changed in place; of fewer axes than a stack that it shows a frame of.
    measured
        The image or stack.
    """
    if layer.ndim > measured.ndim or is_over_scan(layer) != is_over_scan(measured):
        return
    keys = PLACE if layer.ndim == measured.ndim else ("scale", "translate", "units")
    for key in keys:
        if key in ("scale", "translate", "units"):
            setattr(layer, key, tuple(getattr(measured, key))[-layer.ndim :])
        elif key != "axis_labels":
            setattr(layer, key, getattr(measured, key))


#: Metadata that hold for every layer on the same grid.
KEPT = ("acquisition", "detector_shape", ORIGIN, STAND_IN)


def measured_images(layer: Image) -> MeasuredImages:
    """Image or stack of a layer with its axes, as files hold it.

    Parameters
    ----------
    layer
        For which `is_image_layer` holds.
    """
    image, step = image_of(layer), pixel_size(layer)
    front = DEPTH if layer.axis_labels[0] == DEPTH else "frame"
    names = (front, "y", "x")[-image.ndim :]
    axes = [
        {
            "_type": "UniformDataAxis",
            "name": name,
            "scale": _depth_step(layer) if name == DEPTH else 1.0,
            "offset": 0.0,
            "units": {"frame": "", DEPTH: "nm"}.get(name, "px"),
            "size": int(size),
            "navigate": name not in ("y", "x"),
            "index_in_array": index,
        }
        for index, (name, size) in enumerate(zip(names, image.shape, strict=True))
    ]
    images = MeasuredImages(image, tuple(axes))
    return images if step is None else images.with_pixel_size(step)


def _depth_step(layer: Image) -> float:
    """Distance of the slices of a stack [nm]."""
    step = to_angstrom(abs(float(layer.scale[0])), f"{layer.units[0]:~}")
    return (step or ANGSTROM_PER_NM) / ANGSTROM_PER_NM


def measured_layer(images: MeasuredImages, name: str) -> LayerData:
    """Layer of an image or a stack as a file holds it.

    Parameters
    ----------
    images
        From `stem_plugins.io.image_files.read_images`.
    name
        Name of the layer.

    Returns
    -------
    tuple
        Layer data for napari, in nm where the size of pixels is known. The parameters that made
        a result of ours come along.
    """
    data, step = images.data, images.pixel_size
    stack = data.ndim - 2
    scale, unit = ((1.0, 1.0), "pixel")
    if step is not None:
        scale, unit = (step[0] / ANGSTROM_PER_NM, step[1] / ANGSTROM_PER_NM), "nm"
    first = np.asarray(data[(0,) * stack])
    ours = images.metadata.get("stem_plugins", {})
    options = {
        "name": name,
        "scale": (*(1.0,) * stack, *scale),
        "units": (*("pixel",) * stack, unit, unit),
        "axis_labels": tuple(str(axis.get("name")) for axis in images.axes),
        "contrast_limits": image_limits(first),
        "metadata": {"file": dict(images.metadata), "parameters": ours.get("parameters", {})},
    }
    return data, options, "image"
