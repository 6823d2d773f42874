"""The result images of a panel as layers of the main viewer, over the scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.napari.contrast import image_limits
from stem_plugins.napari.layers import LayerData, image_layer, set_acquisition
from stem_plugins.napari.planes import (
    add_image_over_scan,
    set_flat_image,
    show_thumbnail,
)
from stem_plugins.napari.view import fit_view, grid_of
from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["ResultLayers"]

#: Colour maps by image; the others are grey. Signed images are symmetric about zero.
SIGNED = ("COM x", "COM y", "Divergence")

#: Kinds of blending that let nothing below be seen.
COVERING = ("translucent", "translucent_no_depth", "opaque")


class ResultLayers:
    """One layer per result image; layers that a user removes are forgotten.

    Parameters
    ----------
    viewer
        Where the layers are.
    removed
        Called with the name of an image whose layer a user removed.
    """

    def __init__(self, viewer: ViewerModel, removed: Callable[[str], None]) -> None:
        self._viewer = viewer
        self._removed = removed
        self._layers: dict[str, Image] = {}
        self._limits: dict[str, tuple[float, float]] = {}
        self._thumbnails_due: set[str] = set()
        self._named = False
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Leave the layers to the user; nothing changes them any more."""
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self.forget()

    def forget(self) -> None:
        """Start anew: the next images become new layers."""
        self._layers.clear()
        self._limits.clear()
        self._thumbnails_due.clear()

    def __iter__(self) -> Any:
        return iter(self._layers.items())

    def __contains__(self, name: str) -> bool:
        return name in self._layers

    def layer(self, name: str) -> Image:
        """Return the layer of an image."""
        return self._layers[name]

    def show(
        self,
        name: str,
        image: np.ndarray,
        acquisition: Acquisition,
        unit: str,
        parameters: Mapping[str, Any],
        scan: Image,
    ) -> None:
        """Show an image: in its layer, or in a new one.

        Parameters
        ----------
        name
            Of the image.
        image, acquisition, unit, parameters
            As for `stem_plugins.napari.layers.image_layer`.
        scan
            Layer of the scan.
        """
        limits = None if image.ndim == 3 else _limits(name, image)
        layer = self._layers.get(name)
        if layer is None:
            layer_data = image_layer(
                image.copy(),
                acquisition,
                name,
                unit,
                parameters=parameters,
                contrast_limits=limits,
                colormap="coolwarm" if name in SIGNED else "gray",
            )
            self._add(name, layer_data, scan)
        else:
            set_flat_image(layer, image)
            self._thumbnails_due.add(name)
            layer.metadata.update(unit=unit, parameters=dict(parameters))
        if limits is not None:
            self._follow_limits(name, limits)

    def show_layer(self, name: str, layer_data: LayerData, scan: Image) -> None:
        """Show an image, or a stack of images, over the scan: in its layer, or in a new one.

        Parameters
        ----------
        name
            Of the image.
        layer_data
            Of (y, x) or (frame, y, x), as for `stem_plugins.napari.planes.on_scan_plane`.
        scan
            Layer of the scan.
        """
        images, options, _ = layer_data
        layer = self._layers.get(name)
        if layer is None:
            self._add(name, layer_data, scan)
        else:
            set_flat_image(layer, images)
            self._thumbnails_due.add(name)
            layer.metadata.update(options["metadata"])
        self._follow_limits(name, options["contrast_limits"])

    def _add(self, name: str, layer_data: LayerData, scan: Image) -> None:
        self._layers[name] = add_image_over_scan(self._viewer, layer_data, scan)
        self.show_names(self._named)
        if len(self._layers) == 1:
            fit_view(self._viewer)  # what was seen before may be another scan

    def _follow_limits(self, name: str, limits: tuple[float, float]) -> None:
        """Let the contrast follow the values, until a user sets it."""
        layer = self._layers[name]
        if tuple(layer.contrast_limits) == self._limits.get(name):
            _set_limits(layer, limits)
        if tuple(layer.contrast_limits) == tuple(limits):
            self._limits[name] = limits

    def remove(self, name: str) -> None:
        """Take the layer of an image out of the viewer."""
        layer = self._layers.pop(name, None)
        self._limits.pop(name, None)
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def on_screen(self) -> list[str]:
        """Names of the images that a user can see now, the topmost first."""
        names = {layer: name for name, layer in self._layers.items() if layer.visible}
        side_by_side, seen = grid_of(self._viewer).enabled, []
        for layer in reversed(self._viewer.layers):
            if layer in names:
                seen.append(names[layer])
                if not side_by_side and layer.opacity == 1 and layer.blending in COVERING:
                    break
        return seen

    def show_thumbnails(self) -> None:
        """Bring the thumbnails of all changed images up to date."""
        for name in self._thumbnails_due & set(self._layers):
            show_thumbnail(self._layers[name])
        self._thumbnails_due.clear()

    def show_names(self, shown: bool) -> None:
        """Write the names of the images into their corners, or not."""
        self._named = shown
        for layer in self._layers.values():
            if hasattr(layer, "name_overlay"):  # since napari 0.7
                layer.name_overlay.visible = shown

    def calibrate(self, acquisition: Acquisition) -> None:
        """Give all layers another calibration."""
        for layer in self._layers.values():
            set_acquisition(layer, acquisition)

    def _on_removed(self, event: Any) -> None:
        for name, layer in list(self._layers.items()):
            if layer == event.value:  # one of them may be a proxy, so never `is`
                del self._layers[name]
                self._limits.pop(name, None)
                self._removed(name)


def _limits(name: str, image: np.ndarray) -> tuple[float, float]:
    if name in SIGNED:
        largest = float(np.percentile(np.abs(image), 99.5)) or 1.0
        return -largest, largest
    return image_limits(image)


def _set_limits(layer: Image, limits: tuple[float, float]) -> None:
    """Set contrast limits; the range of the slider follows only where it no longer suits them."""
    low, high = layer.contrast_limits_range
    inside = low <= limits[0] and limits[1] <= high
    if not (inside and 4 * (limits[1] - limits[0]) > high - low):
        margin = (limits[1] - limits[0]) / 2
        layer.contrast_limits_range = (limits[0] - margin, limits[1] + margin)
    # The thumbnail follows later: the list of layers would be drawn anew for each.
    with layer.events.thumbnail.blocker():
        layer.contrast_limits = limits
