"""Which plane of a 4D viewer is on screen: the scan, or the detector.

napari lines up the axes of its layers from the right. A two-dimensional image over the scan, added
beside a 4D scan, would therefore land on the detector axes, nanometres on milliradians. So beside a
4D scan an image over the scan is given two detector axes as well, one pixel long and as wide as the
whole detector: (scan_y, scan_x, 1, 1); a stack of images keeps its own axis in front of these.
Every axis of the viewer then means one thing, and the viewer shows either the scan plane (the
images; the 4D layer hidden) or the detector plane (the patterns; the images hidden).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.napari.axes import ORIGIN, behind, covering_axes
from stem_plugins.napari.common_units import join
from stem_plugins.napari.layers import LayerData, is_scan_layer
from stem_plugins.napari.view import camera_of, fit_view

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

__all__ = [
    "add_image_over_scan",
    "flat_image",
    "is_over_scan",
    "on_scan_plane",
    "scan_layers",
    "set_flat_image",
    "show_images",
    "show_patterns",
    "show_thumbnail",
    "show_values",
    "shows_images",
]

#: Order of the last four axes: the last two are on screen.
PATTERNS, IMAGES = (0, 1, 2, 3), (2, 3, 0, 1)

#: What comes before the two detector axes of an image, or stack, over the scan.
_WITHOUT = (slice(None),) * 3

#: Where the view could show an image so many times larger, it is fitted to it.
SMALLEST = 4.0


def scan_layers(viewer: ViewerModel) -> list[Image]:
    """Layers of a viewer that hold a 4D-STEM scan, the topmost first.

    Parameters
    ----------
    viewer
        Any napari viewer.
    """
    return [layer for layer in reversed(viewer.layers) if is_scan_layer(layer)]


def on_scan_plane(layer_data: LayerData, detector_shape: tuple[int, int]) -> LayerData:
    """Give an image over the scan two detector axes, so that it stands on the scan axes.

    Parameters
    ----------
    layer_data
        From `stem_plugins.napari.layers.image_layer`, or of a stack of images, with one axis more.
    detector_shape
        Of the scan beside it (ky, kx) [px].

    Returns
    -------
    tuple
        Layer data of shape (..., scan_y, scan_x, 1, 1), or (scan_y, scan_x, 1, 1, 3) for colours.

    Examples
    --------
    >>> from stem_plugins import Acquisition
    >>> from stem_plugins.napari.layers import image_layer
    >>> flat = image_layer(np.eye(3), Acquisition(scan_step=2, diffraction_step=1), "riCOM")
    >>> data, options, kind = on_scan_plane(flat, (4, 4))
    >>> data.shape, options["scale"], options["units"]
    ((3, 3, 1, 1), (0.2, 0.2, 4.0, 4.0), ('nm', 'nm', 'mrad', 'mrad'))
    """
    image, options, kind = layer_data
    metadata = {**options["metadata"], "detector_shape": tuple(detector_shape)}
    origin = metadata.get(ORIGIN, (0.0, 0.0))
    axes = covering_axes(metadata["acquisition"], detector_shape, origin)
    ndim = len(options["scale"])
    own = {"translate": (0.0,) * ndim, **options}
    axes = behind({key: tuple(own[key])[:-2] for key in axes}, axes)
    return image[(*_WITHOUT[:ndim], None, None)], {**options, **axes, "metadata": metadata}, kind


def is_over_scan(layer: Layer) -> bool:
    """Whether a layer is an image that `on_scan_plane` put on the scan axes.

    Parameters
    ----------
    layer
        Any napari layer.
    """
    return "detector_shape" in layer.metadata


def flat_image(layer: Image) -> np.ndarray:
    """Image of a layer without the detector axes that `on_scan_plane` gave it.

    Parameters
    ----------
    layer
        Image layer over a scan.

    Returns
    -------
    ndarray
        (scan_y, scan_x), (scan_y, scan_x, 3) for colours, or (frame, scan_y, scan_x) of a stack.
    """
    data = np.asarray(layer.data)
    return data[(*_WITHOUT[: layer.ndim - 2], 0, 0)] if is_over_scan(layer) else data


def set_flat_image(layer: Image, image: np.ndarray) -> None:
    """Replace the picture of a layer over a scan; its thumbnail may stay behind.

    Parameters
    ----------
    layer
        Image layer, flat or on the scan plane; its array is written to.
    image
        (scan_y, scan_x), (scan_y, scan_x, 3) for colours, or (frame, scan_y, scan_x) of a stack.
    """
    data = image[(*_WITHOUT[: layer.ndim - 2], None, None)] if is_over_scan(layer) else image
    if layer.data.shape == data.shape and layer.data.dtype == data.dtype:
        # Twice as fast as a new array, for which the viewer lays out all its axes anew.
        layer.data[...] = data
        # The list of layers would be drawn anew for each thumbnail: see `show_thumbnail`.
        layer.refresh(extent=False, thumbnail=False)
    else:
        layer.data = data


def show_thumbnail(layer: Image) -> None:
    """Bring the thumbnail of a layer up to date after `set_flat_image`.

    Parameters
    ----------
    layer
        Image layer; a hidden one gets its thumbnail as soon as it is shown.
    """
    layer.refresh(extent=False, data_displayed=False, highlight=False)


def add_image_over_scan(viewer: ViewerModel, layer_data: LayerData, scan: Any = None) -> Image:
    """Add an image over the scan to a viewer, where a user expects it, and show the scan plane.

    Parameters
    ----------
    viewer
        The viewer.
    layer_data
        From `stem_plugins.napari.layers.image_layer`.
    scan
        The 4D layer that the image belongs to; by default the topmost one of the viewer. Where the
        viewer holds none, the image is added as it is, two-dimensional.

    Returns
    -------
    napari.layers.Image
        The new layer.
    """
    from napari.layers import Layer

    scan = scan or next(iter(scan_layers(viewer)), None)
    over_scan = scan is not None and scan in viewer.layers
    if over_scan:
        show_images(viewer)
        layer_data = join(viewer, on_scan_plane(layer_data, tuple(scan.data.shape[2:])))
    layer = viewer.add_layer(Layer.create(*layer_data))
    if over_scan and layer.visible:
        _bring_into_view(viewer, layer)
    return layer


def _bring_into_view(viewer: ViewerModel, layer: Image) -> None:
    """Show an image over the scan where the view is elsewhere, or other fields are in the way."""
    field = _field(layer)
    others = [
        other for other in viewer.layers if other.visible and is_over_scan(other) and other != layer
    ]
    for other in others:
        # The image of another scan, ten times as large or as small, would surround or hide it.
        if not np.allclose(
            _field(other), field, rtol=0.02, atol=0.02 * np.ptp(field, axis=0).max()
        ):
            other.visible = False
    _point_into(viewer, layer)
    camera = camera_of(viewer)
    zoom, center = camera.zoom, camera.center
    fit_view(viewer)
    kept = any(other.visible for other in others)
    inside = (field[0] <= center[-2:]).all() and (center[-2:] <= field[1]).all()
    if kept and inside and zoom > camera.zoom / SMALLEST:
        camera.zoom, camera.center = zoom, center  # a part that the user looks at


def _point_into(viewer: ViewerModel, layer: Image) -> None:
    """Move sliders that stand beside a layer, as on another scan, to its middle: it would be black.

    Both have their axes lined up from the right.
    """
    first, last = np.asarray(layer.extent.world)
    for axis in viewer.dims.not_displayed:
        own = axis - viewer.dims.ndim + layer.ndim
        if own >= 0 and not first[own] <= viewer.dims.point[axis] <= last[own]:
            viewer.dims.set_point(axis, (first[own] + last[own]) / 2)


def _field(layer: Image) -> np.ndarray:
    """First and last scan position of an image over the scan, in the viewer's world."""
    return np.asarray(layer.extent.world)[:, -4:-2]


def show_images(viewer: ViewerModel) -> None:
    """Show the scan plane of a 4D viewer: 4D scans are hidden, images over the scan come back.

    Parameters
    ----------
    viewer
        Nothing happens unless it has four axes; more, as of a series of scans, stay in front.
    """
    if viewer.dims.ndim < 4:
        return
    for layer in scan_layers(viewer):
        layer.visible = False
    # After the scans are hidden: slicing one along the scan would read the whole file.
    if not shows_images(viewer):
        viewer.dims.order = _order(viewer, IMAGES)
        for layer in viewer.layers:
            if is_over_scan(layer):
                layer.visible = layer.metadata.pop("shown", True)
                if layer.visible:
                    _point_into(viewer, layer)
        fit_view(viewer)


def show_patterns(viewer: ViewerModel, scan: Image | None = None) -> None:
    """Show the detector plane of a 4D viewer: the scan comes back, all others are hidden.

    Parameters
    ----------
    viewer
        Nothing happens unless it has four axes or more.
    scan
        The 4D layer to show; by default the topmost one.
    """
    scan = scan or next(iter(scan_layers(viewer)), None)
    if viewer.dims.ndim < 4 or scan is None:
        return
    if shows_images(viewer):
        for layer in viewer.layers:
            if is_over_scan(layer):
                layer.metadata["shown"] = layer.visible
                layer.visible = False
    for other in scan_layers(viewer):
        if other != scan:
            other.visible = False
    viewer.dims.order = _order(viewer, PATTERNS)
    scan.visible = True
    _point_into(viewer, scan)
    fit_view(viewer)


def show_values(layer: Image) -> None:
    """Write beside an image, while it is shown, which values its colours are.

    Parameters
    ----------
    layer
        Image layer; older versions of napari draw no such bar, and nothing happens.
    """
    if hasattr(layer, "colorbar"):
        layer.colorbar.visible = True


def shows_images(viewer: ViewerModel) -> bool:
    """Whether the scan plane is on screen.

    Parameters
    ----------
    viewer
        Any napari viewer.
    """
    return viewer.dims.ndim >= 4 and tuple(viewer.dims.order) == _order(viewer, IMAGES)


def _order(viewer: ViewerModel, plane: tuple[int, ...]) -> tuple[int, ...]:
    """Order of all axes of a viewer: napari lines up the axes of layers from the right."""
    first = viewer.dims.ndim - 4
    return (*range(first), *(first + axis for axis in plane))
