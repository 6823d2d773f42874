"""The browser's canvas for images over the scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Signal

from stem_plugins.napari.axes import world_axes
from stem_plugins.napari.contrast import image_limits
from stem_plugins.napari.widgets.canvas import Canvas, Lines, cross
from stem_plugins.optics.acquisition import Acquisition

__all__ = ["ScanCanvas"]

ANGSTROM_PER_NM = 10.0

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
        self._over: Image | None = None
        self._own_title = "Scan"

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
            self._over = None  # in other units now, or of another scan
            self._cross = Lines(self, "probe")
        self.model.layers.selection.active = self.image
        self.show_over(self._over is not None)

    def put_over(self, name: str, image: np.ndarray, sampling: tuple[float, float]) -> None:
        """Show another image of the same field, with pixels of its own, below the probe.

        Parameters
        ----------
        name
            Shown above it.
        image
            (y, x).
        sampling
            Its pixel [Å], (y, x).
        """
        self.forget_over()
        self._over = Image(
            np.array(image, np.float32),
            name=name,
            scale=tuple(pixel / ANGSTROM_PER_NM for pixel in sampling),
            units=self.axes["units"],
            contrast_limits=image_limits(image),
        )
        self.model.layers.insert(1, self._over)
        self.model.layers.selection.active = self.image
        self.show_over(True)

    def show_over(self, shown: bool) -> None:
        """Show that image, or the one below."""
        if self._over is not None and self.image is not None:
            self._over.visible, self.image.visible = shown, not shown
        self.say_title(self._own_title)

    def forget_over(self) -> None:
        """Show no other image any more."""
        if self._over is not None:
            self.show_over(False)
            if self._over in self.model.layers:
                self.model.layers.remove(self._over)
            self._over = None

    @property
    def over_name(self) -> str:
        """Name of the other image; empty without one."""
        return "" if self._over is None else self._over.name

    @property
    def is_over_shown(self) -> bool:
        """Whether the other image is on screen."""
        return self._over is not None and self._over.visible

    def say_title(self, title: str) -> None:
        """Name the image of the scan; while another one is shown, its name stands there."""
        self._own_title = title
        self.title.setText(f"Scan: {self.over_name}" if self.is_over_shown else title)

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
        values, place = self.image.data, (y, x)
        if self.is_over_shown:
            assert self._over is not None
            values = self._over.data
            place = tuple(
                int(np.clip(round(at), 0, n - 1))
                for at, n in zip(self._over.world_to_data(position), values.shape, strict=True)
            )
        text = f"y {y}, x {x}"
        if str(self.axes["units"][0]) == "nm":
            text += f"  ({position[-2]:.4g}, {position[-1]:.4g} nm)"
        return f"{text}:  {values[place]:.6g}"
