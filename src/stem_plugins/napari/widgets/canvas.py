"""What the browser's canvases share; each is a small napari viewer of its own.

A viewer lines up all its layers in one space, so that nanometres and milliradians need two. The
canvases know how to draw and what the mouse did; what follows from it is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Vectors
from napari.qt import QtViewer
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from stem_plugins.napari.contrast import image_limits
from stem_plugins.napari.view import scale_bar_of
from stem_plugins.napari.widgets.worker import is_alive

__all__ = ["OVER_IMAGE", "Canvas", "Lines", "cross", "replace_values", "to_rgb"]

#: Width of lines, and where the arms of a cross begin and end [px on screen].
LINE_WIDTH, ARM_START, ARM_END = 2.2, 5.0, 16.0

#: How drawings are laid over an image: by the order of layers alone, as they share one plane.
OVER_IMAGE = "translucent_no_depth"

ARROWS = {"Up": (-1, 0), "Down": (1, 0), "Left": (0, -1), "Right": (0, 1)}


class Lines:
    """Straight lines over the image of a canvas, fast enough to follow a mouse.

    Parameters
    ----------
    canvas
        Where they are drawn, in front of everything drawn so far.
    name
        Of the layer.
    """

    def __init__(self, canvas: Canvas, name: str) -> None:
        self._canvas = canvas
        self._colors: list[str] = []
        self._layer = Vectors(
            ndim=2, **canvas.axes, name=name, vector_style="line", blending=OVER_IMAGE
        )
        canvas.model.add_layer(self._layer)

    def show(self, starts: np.ndarray, ends: np.ndarray, colors: list[str]) -> None:
        """Replace all lines.

        Parameters
        ----------
        starts, ends
            [px of the image], (lines, 2).
        colors
            One per line.
        """
        if not colors and not self._colors:
            return
        vectors = np.stack([starts, ends - starts], axis=1)
        if colors == self._colors:
            # In place: a new array would make napari look at the extent of all layers again.
            self._layer.data[...] = vectors
            self._layer.refresh(extent=False, thumbnail=False)
            return
        self._colors = colors
        self._layer.data = vectors
        if colors:
            self._layer.edge_color = np.array([to_rgb(color) for color in colors])
        self.fit()

    def fit(self) -> None:
        """Keep their width on screen after a change of zoom."""
        self._layer.edge_width = LINE_WIDTH * self._canvas.screen_pixel()


def replace_values(layer: Image, values: np.ndarray) -> None:
    """Replace the values of an image in place, without a look at the extent of all layers."""
    layer.data[...] = values
    layer.refresh(extent=False, thumbnail=False)


def cross(point: tuple[float, float], size: float) -> tuple[np.ndarray, np.ndarray]:
    """Four arms of a cross that is open in the middle.

    Parameters
    ----------
    point
        Its middle [px].
    size
        Of a pixel on screen [px].

    Returns
    -------
    starts, ends : numpy.ndarray
        (4, 2) [px].
    """
    arms = size * np.array([(-1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.0, -1.0)])
    return np.array(point) + ARM_START * arms, np.array(point) + ARM_END * arms


def to_rgb(color: str) -> tuple[float, float, float]:
    """Red, green and blue from 0 to 1 of a colour ``"#rrggbb"``."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


class Canvas(QWidget):
    """A canvas with a title line, a scale bar, and what the mouse points at.

    Parameters
    ----------
    title
        Shown above the canvas.
    """

    #: An arrow key was pressed: steps (y, x).
    stepped = Signal(int, int)

    def __init__(self, title: str) -> None:
        super().__init__()
        self.model = ViewerModel(title=title)
        self.qt_viewer = QtViewer(self.model)
        # A file dropped here would open in this viewer, which holds two dimensions only.
        self.qt_viewer.setAcceptDrops(False)
        self.qt_viewer.setMinimumSize(240, 240)
        self.title, self.pointed = QLabel(title), QLabel()
        self.pointed.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        header = QHBoxLayout()
        header.addWidget(self.title)
        header.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(header)
        column.addWidget(self.qt_viewer, 1)
        column.addWidget(self.pointed)
        # Later, when the canvas inside knows its new size too.
        self._fit_view = QTimer(self)
        self._fit_view.setSingleShot(True)
        self._fit_view.timeout.connect(self.model.reset_view)
        self.image: Image | None = None
        self.axes: dict[str, Any] = {}
        self.camera.events.zoom.connect(lambda event: self.fit_lines())
        self.model.mouse_drag_callbacks.append(self._press)
        self.model.mouse_move_callbacks.append(self._point)
        for key, (dy, dx) in ARROWS.items():
            self._bind(key, dy, dx)
            self._bind(f"Shift-{key}", 10 * dy, 10 * dx)

    def _bind(self, key: str, dy: int, dx: int) -> None:
        self.model.bind_key(key, lambda _: self.stepped.emit(dy, dx), overwrite=True)

    @property
    def camera(self) -> Any:
        """Camera; napari moved it to the viewer's scene in version 0.9."""
        return self.model.scene.camera if hasattr(self.model, "scene") else self.model.camera

    def resizeEvent(self, event: Any) -> None:
        """Keep the whole image in view; called by Qt."""
        super().resizeEvent(event)
        self._fit_view.start(0)

    def fit_lines(self) -> None:
        """Keep lines as wide on screen as they are, whatever the zoom."""

    def clear(self) -> None:
        """Show nothing. The layers stay, unseen: to make new ones takes napari a second."""
        if self.image is not None:
            self.image.visible = scale_bar_of(self.model).visible = False
        self.image = None
        self.title.setText(self.model.title)
        self.pointed.setText("")

    def close_viewer(self) -> None:
        """Let go of everything that draws; the canvas is of no use afterwards."""
        if is_alive(self.qt_viewer):
            self._fit_view.stop()
            self.clear()
            self.model.layers.clear()
            self.qt_viewer.close()
        # Whoever still holds this widget must not keep the viewer in memory.
        del self.qt_viewer

    def begin(self, shape: tuple[int, int], axes: dict[str, Any], name: str) -> bool:
        """Begin with an empty image, in place of everything shown so far.

        Parameters
        ----------
        shape
            Of the image (y, x).
        axes
            Its ``scale``, ``units`` and, unless zero, ``translate``.
        name
            Of its layer.

        Returns
        -------
        bool
            Whether there are no drawings over it yet; those over an image of the same shape and
            axes are still there.
        """
        self.clear()
        kept = next(iter(self.model.layers), None)
        is_new = kept is None or kept.data.shape != shape or axes != self.axes
        if is_new:
            if kept is not None:
                self.model.layers.clear()
            self.axes = axes
            empty = np.zeros(shape, np.float32)
            kept = self.model.add_layer(Image(empty, **axes, name=name, contrast_limits=(0, 1)))
        self.image = kept
        self.image.visible = True
        self.show_values(np.zeros(shape), (0, 1))
        scale_bar = scale_bar_of(self.model)
        scale_bar.visible = True
        scale_bar.font_size = 11
        self.model.reset_view()
        return is_new

    def show_values(self, image: np.ndarray, limits: tuple[float, float] | None = None) -> None:
        """Replace the values of the image.

        Parameters
        ----------
        image
            Of the same shape.
        limits
            Values shown darkest and brightest; ``None``: the 0.5 and 99.5 percentiles.
        """
        assert self.image is not None
        replace_values(self.image, image)
        limits = limits or image_limits(image)
        if limits != tuple(self.image.contrast_limits):
            self.image.contrast_limits = limits

    def pixels_at(self, position: Sequence[float]) -> tuple[float, float]:
        """Place on the image [px] of a place in the viewer's world."""
        assert self.image is not None
        y, x = self.image.world_to_data(position)
        return float(y), float(x)

    def screen_pixel(self) -> float:
        """Size of a pixel on screen [px of the image]."""
        return 1.0 / (self.camera.zoom * float(np.mean(self.axes["scale"])))

    def is_inside(self, point: tuple[float, float]) -> bool:
        """Whether a place [px] lies on the image."""
        assert self.image is not None
        return all(-0.5 <= p < n - 0.5 for p, n in zip(point, self.image.data.shape, strict=True))

    def _press(self, model: ViewerModel, event: Any) -> Iterator[None]:
        """Follow one drag: of what `take_hold` finds, else of the view; with Shift of the view."""
        if self.image is None or event.button != 1:
            return
        drag = None
        if "Shift" in event.modifiers:
            drag = self._panning(event)
        elif not event.modifiers:
            drag = self._dragging(event)
        if drag is None:
            return
        self.camera.mouse_pan = False
        try:
            yield
            while event.type == "mouse_move":
                drag(event)
                yield
        finally:
            self.camera.mouse_pan = True

    def _dragging(self, press: Any) -> Callable[[Any], None] | None:
        """Return what moves the thing below the mouse, if there is one."""
        move = self.take_hold(self.pixels_at(press.position))
        if move is None:
            return None
        # The scan may be gone before the mouse lets go.
        return lambda event: self.image is not None and move(self.pixels_at(event.position))

    def _panning(self, press: Any) -> Callable[[Any], None]:
        """Return what moves the view, also where nothing but the image is in it."""
        start, center = np.array(press.pos), np.array(self.camera.center)

        def pan(event: Any) -> None:
            x, y = (np.array(event.pos) - start) / self.camera.zoom
            self.camera.center = (*center[:-2], center[-2] - y, center[-1] - x)

        return pan

    def take_hold(self, point: tuple[float, float]) -> Callable[..., Any] | None:
        """Return what a drag that begins at a point [px] does at every point, or nothing."""
        return None

    def _point(self, model: ViewerModel, event: Any) -> None:
        if self.image is None:
            return
        point = self.pixels_at(event.position)
        self.hover(point)
        inside = self.is_inside(point)
        self.pointed.setText(self.describe(point, event.position) if inside else "")

    def hover(self, point: tuple[float, float]) -> None:
        """Hear where the mouse is [px]."""

    def describe(self, point: tuple[float, float], position: Sequence[float]) -> str:
        """Say what the mouse points at."""
        return ""
