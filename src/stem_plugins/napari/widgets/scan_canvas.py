"""The browser's canvas for images over the scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import Signal

from stem_plugins.napari.axes import world_axes
from stem_plugins.napari.widgets.canvas import Canvas, Lines, cross
from stem_plugins.optics.acquisition import Acquisition

__all__ = ["ScanCanvas"]

PROBE_COLOR = "#ff3b30"


class ScanCanvas(Canvas):
    """Images over the scan, with the probe position.

    Pressing the mouse puts the probe there and dragging moves it, as do the arrow keys (with Shift
    by ten). With Shift, and outside the image, the mouse moves the view.
    """

    #: The mouse put the probe at a scan position (y, x).
    probe_dragged = Signal(int, int)

    def __init__(self) -> None:
        super().__init__("Scan")
        self._probe: tuple[int, int] = (0, 0)
        self._cross: Lines | None = None

    def show_scan(self, scan_shape: tuple[int, int], acquisition: Acquisition) -> None:
        """Begin with a scan of which nothing is known yet.

        Parameters
        ----------
        scan_shape
            (scan_y, scan_x).
        acquisition
            Uses `scan_step`.
        """
        axes = world_axes(acquisition, (1, 1))
        axes = {name: axes[name][:2] for name in ("scale", "units")}
        if self.begin(scan_shape, axes, "image"):
            self._cross = Lines(self, "probe")
        self.model.layers.selection.active = self.image

    def show_probe(self, y: int, x: int) -> None:
        """Draw the probe at a scan position."""
        self._probe = (y, x)
        if self.image is not None and self._cross is not None:
            self._cross.show(*cross(self._probe, self.screen_pixel()), [PROBE_COLOR] * 4)

    def fit_lines(self) -> None:
        if self.image is not None and self._cross is not None:
            self._cross.fit()
            self.show_probe(*self._probe)

    def take_hold(self, point: tuple[float, float]) -> Any:
        if not self.is_inside(point):
            return None
        self._put(point)
        return self._put

    def _put(self, point: tuple[float, float]) -> None:
        assert self.image is not None
        y, x = (
            int(np.clip(np.floor(p + 0.5), 0, n - 1))
            for p, n in zip(point, self.image.data.shape, strict=True)
        )
        self.probe_dragged.emit(y, x)

    def describe(self, point: tuple[float, float], position: Sequence[float]) -> str:
        assert self.image is not None
        y, x = (int(p + 0.5) for p in point)
        text = f"y {y}, x {x}"
        if str(self.axes["units"][0]) == "nm":
            text += f"  ({position[-2]:.4g}, {position[-1]:.4g} nm)"
        return f"{text}:  {self.image.data[y, x]:.6g}"
