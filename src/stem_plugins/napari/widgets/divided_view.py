"""One image left of a line, another right of it; the mouse drags the line in the main viewer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from stem_plugins.napari.image_layers import VIEW_ONLY, image_of, layer_like
from stem_plugins.napari.planes import is_over_scan
from stem_plugins.napari.widgets.worker import is_alive

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["DividedView"]

#: How near to the line the mouse takes hold of it [px on screen].
REACH = 12.0


class DividedView(QObject):
    """A layer that shows the measured image left of a line and the restored one right of it.

    Of stacks it shows the frame that the viewer shows.

    Parameters
    ----------
    viewer
        Where the layer is.
    parent
        Qt's owner.
    """

    #: The mouse put the line elsewhere: the share of the width left of it.
    moved = Signal(float)

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.layer: Any = None
        self.share = 0.5
        self._pair: tuple[Any, Any] | None = None
        self._frames: tuple[np.ndarray, np.ndarray] | None = None
        viewer.mouse_drag_callbacks.append(self._drag)
        self._slots = (
            (viewer.dims.events.point, self._frame_changed),
            (viewer.layers.events.removed, self._on_removed),
        )
        for emitter, slot in self._slots:
            emitter.connect(slot)

    def close(self) -> None:
        """Let go of the viewer; the layer stays as it is. Once is enough."""
        for emitter, slot in self._slots:
            emitter.disconnect(slot)
        if self._slots:
            self._viewer.mouse_drag_callbacks.remove(self._drag)
        self._slots = ()

    def show(self, measured: Image, restored: Image) -> None:
        """Show two layers on the same grid, in a layer of their own, in front.

        Parameters
        ----------
        measured, restored
            Layers of images or stacks.
        """
        from napari.layers import Layer

        self._pair = (measured, restored)
        self._frames = self._shown_frames()
        if self.layer is None:
            data, options, kind = layer_like(
                measured,
                np.zeros(self._frames[0].shape, np.float32),
                f"{measured.name} | restored",
                parameters={},
                colormap=restored.colormap.name,
                contrast_limits=tuple(restored.contrast_limits),
                one_image=True,
            )
            options["metadata"][VIEW_ONLY] = True
            layer = Layer.create(data, options, kind)
            self._viewer.add_layer(layer)
            self.layer = layer
        self.layer.visible = True
        self._draw()
        self.layer.refresh(extent=False)  # its thumbnail too

    def forget(self) -> None:
        """Take the layer out of the viewer."""
        layer, self.layer, self._pair, self._frames = self.layer, None, None, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def divide(self, share: float) -> None:
        """Put the line elsewhere.

        Parameters
        ----------
        share
            Of the width that is left of it, 0 to 1.
        """
        self.share = min(max(share, 0.0), 1.0)
        self._draw()

    def _shown_frames(self) -> tuple[np.ndarray, np.ndarray]:
        """The frames of both layers that the viewer shows, (y, x)."""
        assert self._pair is not None
        return tuple(_frame(layer, self._viewer) for layer in self._pair)  # type: ignore[return-value]

    def _frame_changed(self, event: Any = None) -> None:
        if is_alive(self) and self._pair is not None and self._pair[0].ndim == 3:
            self._frames = self._shown_frames()
            self._draw()

    def _draw(self) -> None:
        if self.layer is None or self._frames is None:
            return
        measured, restored = self._frames
        width = measured.shape[1]
        column = round(self.share * width)
        picture = image_of(self.layer)
        picture[:, :column] = measured[:, :column]
        picture[:, column:] = restored[:, column:]
        if 0 < column < width:
            picture[:, column] = self.layer.contrast_limits[1]
        self.layer.refresh(extent=False, thumbnail=False)

    def _drag(self, viewer: Any, event: Any) -> Iterator[None]:
        """Follow the mouse from a press near the line until it lets go."""
        if self.layer is None or not self.layer.visible or not is_alive(self):
            return
        camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
        width, pixel = image_of(self.layer).shape[1], _pixel_width(self.layer)
        away = abs(self._column(event) - self.share * width) * pixel * camera.zoom
        if event.button != 1 or event.modifiers or away > REACH:
            return
        before, camera.mouse_pan = camera.mouse_pan, False
        try:
            yield
            while event.type == "mouse_move":
                self.divide(self._column(event) / width)
                self.moved.emit(self.share)
                yield
        finally:
            camera.mouse_pan = before

    def _column(self, event: Any) -> float:
        """Where the mouse is: columns of the image left of it."""
        position = np.asarray(event.position)[-self.layer.ndim :]
        place = self.layer.world_to_data(position)
        return float(place[1 if is_over_scan(self.layer) else -1]) + 0.5

    def _on_removed(self, event: Any) -> None:
        # One of them may be a proxy, so never `is`.
        if self.layer is not None and event.value == self.layer:
            self.layer = self._pair = self._frames = None


def _pixel_width(layer: Image) -> float:
    return abs(float(layer.scale[1 if is_over_scan(layer) else -1]))


def _frame(layer: Image, viewer: ViewerModel) -> np.ndarray:
    """The frame of a layer that a viewer shows, (y, x)."""
    images = image_of(layer)
    if images.ndim == 2:
        return np.asarray(images)
    place = layer.world_to_data(np.asarray(viewer.dims.point)[-layer.ndim :])
    return np.asarray(images[int(np.clip(round(place[0]), 0, len(images) - 1))])
