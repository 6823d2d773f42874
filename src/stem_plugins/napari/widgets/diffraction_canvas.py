"""The browser's canvas for patterns, with virtual detectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Image, Points, Shapes
from napari.utils import Colormap
from qtpy.QtCore import Signal

from stem_plugins.napari.browser_model import DiffractionUnit
from stem_plugins.napari.virtual_detectors import VirtualDetector, grab_detector
from stem_plugins.napari.widgets.canvas import CROSS_SIZE, Canvas

__all__ = ["DiffractionCanvas"]

#: How near to a line the mouse takes hold of it [px on screen].
REACH = 7.0

#: Sizes on screen [px].
GRIP_SIZE, LINE_WIDTH = 8, 1.6

COM_COLOR = "#ffd60a"

#: How strongly the pixels that the active detector covers are tinted.
COVER = 0.2


@dataclasses.dataclass
class _Drawings:
    """The layers above the pattern, and what the lines show now."""

    covered: Image
    lines: Shapes
    grips: Points
    center_of_mass: Points
    colors: list[str] = dataclasses.field(default_factory=list)


class DiffractionCanvas(Canvas):
    """A pattern, with virtual detectors that the mouse drags by their lines and insides."""

    #: The mouse took hold of a detector: its index.
    detector_chosen = Signal(int)
    #: The mouse changed a detector: its index, its new region.
    region_dragged = Signal(int, object)
    #: The mouse let go.
    drag_finished = Signal()

    def __init__(self) -> None:
        super().__init__("Diffraction")
        self.detectors: list[VirtualDetector] = []
        self.active = -1
        self._drawings: _Drawings | None = None
        self.camera.events.zoom.connect(self._fit_lines)

    def show_detector_frame(
        self, detector_shape: tuple[int, int], center: tuple[float, float], unit: DiffractionUnit
    ) -> None:
        """Begin with an empty pattern.

        Parameters
        ----------
        detector_shape
            (ky, kx) [px].
        center
            Undiffracted beam [px], the origin of angles.
        unit
            Of the scale bar.
        """
        is_px = unit.symbol == "px"
        axes: dict[str, Any] = {
            "scale": unit.pixel_size,
            "units": ("pixel" if is_px else unit.symbol,) * 2,
            "translate": (0.0, 0.0)
            if is_px
            else tuple(-c * size for c, size in zip(center, unit.pixel_size, strict=True)),
        }
        self._unit = unit
        empty = np.zeros(detector_shape, np.float32)
        self.add_image(empty, axes, name="pattern", contrast_limits=(0, 1), colormap="inferno")
        covered = Image(
            empty, **axes, name="covered pixels", contrast_limits=(0, 1), blending="translucent"
        )
        grips = _points("grips", axes, GRIP_SIZE, symbol="square", border_width=0.15)
        cross = _points("centre of mass", axes, CROSS_SIZE, symbol="cross", face_color=COM_COLOR)
        lines = Shapes(ndim=2, **axes, name="detectors")
        for layer in (covered, lines, grips, cross):
            self.model.add_layer(layer)
        self._drawings = _Drawings(covered, lines, grips, cross)
        self.model.layers.selection.active = self.image

    def clear(self) -> None:
        super().clear()
        self._drawings = None
        self.detectors, self.active = [], -1

    def show_center_of_mass(self, point: tuple[float, float] | None) -> None:
        """Draw a cross at a place [px], or none."""
        if self._drawings is not None:
            self._drawings.center_of_mass.data = np.zeros((0, 2)) if point is None else [point]

    def show_detectors(
        self, detectors: list[VirtualDetector], active: int, mask: np.ndarray | None
    ) -> None:
        """Draw virtual detectors.

        Parameters
        ----------
        detectors
            All of them.
        active
            Index of the one that has grips.
        mask
            Pixels that the active one covers, (ky, kx) boolean, or ``None``.
        """
        if self._drawings is None:
            return
        self.detectors, self.active = list(detectors), active
        self._draw_lines(self._drawings)
        self._draw_active(self._drawings, mask)

    def _draw_lines(self, drawings: _Drawings) -> None:
        outlines = [
            (outline, detector.color)
            for detector in self.detectors
            for outline in detector.region.outlines()
        ]
        kinds = [outline.kind for outline, _ in outlines]
        corners = [outline.corners for outline, _ in outlines]
        colors = [color for _, color in outlines]
        lines = drawings.lines
        if kinds and kinds == list(lines.shape_type) and colors == drawings.colors:
            lines.data = corners
            return
        lines.data = []
        drawings.colors = colors
        if kinds:
            lines.add(
                corners,
                shape_type=kinds,
                edge_color=colors,
                edge_width=self._line_width(),
                face_color="transparent",
            )

    def _draw_active(self, drawings: _Drawings, mask: np.ndarray | None) -> None:
        drawings.covered.visible = mask is not None
        if not 0 <= self.active < len(self.detectors):
            drawings.grips.data = np.zeros((0, 2))
            return
        detector = self.detectors[self.active]
        drawings.grips.data = detector.region.handles()
        drawings.grips.face_color = detector.color
        if mask is not None:
            drawings.covered.data = mask.astype(np.float32)
            if drawings.covered.colormap.name != detector.color:
                drawings.covered.colormap = _tint(detector.color)

    def _line_width(self) -> float:
        return LINE_WIDTH * self.screen_pixel()

    def _fit_lines(self, event: Any = None) -> None:
        """Keep lines as wide on screen as they are, whatever the zoom."""
        if self._drawings is not None and self._drawings.colors:
            lines = self._drawings.lines
            lines.edge_width = [self._line_width()] * lines.nshapes

    def _grab(self, point: tuple[float, float]) -> tuple[int, str] | None:
        return grab_detector(self.detectors, self.active, point, REACH * self.screen_pixel())

    def take_hold(self, point: tuple[float, float]) -> Any:
        grabbed = self._grab(point)
        if grabbed is None:
            return None
        index, part = grabbed
        region = self.detectors[index].region
        self.detector_chosen.emit(index)
        return lambda end: self.region_dragged.emit(index, region.dragged(part, point, end))

    def let_go(self) -> None:
        self.drag_finished.emit()

    def hover(self, point: tuple[float, float]) -> None:
        grabbed = self._grab(point)
        style = "standard" if grabbed is None else "pointing"
        if self.model.cursor.style != style:
            self.model.cursor.style = style

    def describe(self, point: tuple[float, float], position: Sequence[float]) -> str:
        assert self.image is not None
        y, x = (int(p + 0.5) for p in point)
        text = f"ky {y}, kx {x} px"
        if self._unit.symbol != "px":
            angle = float(np.hypot(position[-2], position[-1]))
            text += f"  ({position[-2]:.4g}, {position[-1]:.4g}; {angle:.4g} {self._unit.symbol})"
        return f"{text}:  {self.image.data[y, x]:.6g}"


def _points(name: str, axes: dict[str, Any], screen_size: float, **options: Any) -> Points:
    """Points of a fixed size on screen; none yet."""
    limits = (screen_size, screen_size)
    options = {"border_width": 0, "border_color": "black", **options}
    return Points(ndim=2, **axes, name=name, size=1, canvas_size_limits=limits, **options)


def _tint(color: str) -> Colormap:
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return Colormap([[red, green, blue, 0.0], [red, green, blue, COVER]], name=color)
