"""The browser's canvas for patterns, with virtual detectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Image
from napari.utils import Colormap
from qtpy.QtCore import Signal

from stem_plugins.napari.browser_model import DiffractionUnit
from stem_plugins.napari.virtual_detectors import VirtualDetector, grab_detector
from stem_plugins.napari.widgets.canvas import (
    OVER_IMAGE,
    Canvas,
    Lines,
    cross,
    replace_values,
    to_rgb,
)

__all__ = ["DiffractionCanvas"]

#: How near to a line the mouse takes hold of it [px on screen].
REACH = 7.0

#: Size of the grips [px on screen].
GRIP_SIZE = 7

#: Starts, ends and colours.
NO_LINES: tuple[Any, ...] = (np.zeros((0, 2)), np.zeros((0, 2)), [])

COM_COLOR = "#ff2d95"

#: How strongly the pixels that the active detector covers are tinted.
COVER = 0.14


@dataclasses.dataclass(frozen=True)
class _Drawings:
    """The layers above the pattern."""

    covered: Image
    outlines: Lines
    center_of_mass: Lines


class DiffractionCanvas(Canvas):
    """A pattern, with virtual detectors that the mouse drags by their lines and insides."""

    #: The mouse took hold of a detector: its index.
    detector_chosen = Signal(int)
    #: The mouse changed a detector: its index, its new region.
    region_dragged = Signal(int, object)

    def __init__(self) -> None:
        super().__init__("Diffraction")
        self.detectors: list[VirtualDetector] = []
        self.active = -1
        self._drawings: _Drawings | None = None
        self._center_of_mass: tuple[float, float] | None = None

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
        if self.begin(detector_shape, axes, "pattern"):
            covered = Image(
                np.zeros(detector_shape, np.float32),
                **axes,
                name="covered pixels",
                contrast_limits=(0, 1),
                blending=OVER_IMAGE,
            )
            self.model.add_layer(covered)
            lines = Lines(self, "detectors"), Lines(self, "centre of mass")
            self._drawings = _Drawings(covered, *lines)
        self.model.layers.selection.active = self.image

    def clear(self) -> None:
        super().clear()
        self.detectors, self.active = [], -1
        self._center_of_mass = None
        if self._drawings is not None:
            self._drawings.outlines.show(*NO_LINES)
            self._drawings.center_of_mass.show(*NO_LINES)
            self._drawings.covered.visible = False

    def show_center_of_mass(self, point: tuple[float, float] | None) -> None:
        """Draw a cross at a place [px], or none."""
        self._center_of_mass = point
        if self.image is None or self._drawings is None:
            return
        if point is None:
            self._drawings.center_of_mass.show(*NO_LINES)
        else:
            ends = cross(point, self.screen_pixel())
            self._drawings.center_of_mass.show(*ends, [COM_COLOR] * 4)

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
        if self.image is None or self._drawings is None:
            return
        self.detectors, self.active = list(detectors), active
        self._draw_lines(self._drawings.outlines)
        covered = self._drawings.covered
        if covered.visible != (mask is not None):
            covered.visible = mask is not None
        if mask is not None:
            color = detectors[active].color
            if covered.colormap.name != color:
                covered.colormap = _tint(color)
            replace_values(covered, mask)

    def _draw_lines(self, lines: Lines) -> None:
        starts, ends, colors = [NO_LINES[0]], [NO_LINES[1]], []
        for index, detector in enumerate(self.detectors):
            corners = detector.region.outlines()
            if index == self.active:
                corners += _grips(detector.region.handles(), self.screen_pixel())
            starts += corners
            ends += [np.roll(line, -1, axis=0) for line in corners]
            colors += [detector.color] * sum(map(len, corners))
        lines.show(np.concatenate(starts), np.concatenate(ends), colors)

    def fit_lines(self) -> None:
        if self.image is not None and self._drawings is not None:
            self._draw_lines(self._drawings.outlines)
            self._drawings.outlines.fit()
            self.show_center_of_mass(self._center_of_mass)
            self._drawings.center_of_mass.fit()

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


def _grips(places: np.ndarray, screen_pixel: float) -> list[np.ndarray]:
    """Small squares at places [px], (4, 2) each."""
    half = GRIP_SIZE / 2 * screen_pixel
    square = half * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
    return [place + square for place in places]


def _tint(color: str) -> Colormap:
    return Colormap([[*to_rgb(color), 0.0], [*to_rgb(color), COVER]], name=color)
