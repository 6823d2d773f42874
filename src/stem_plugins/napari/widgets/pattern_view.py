"""What the browser's diffraction canvas shows: a pattern of the scan, or the mean of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox

from stem_plugins.napari.browser_model import (
    PatternReader,
    pattern_center_of_mass,
    shown_intensity,
)
from stem_plugins.napari.contrast import pattern_limits
from stem_plugins.napari.widgets.forms import quiet
from stem_plugins.napari.widgets.words import words_of

if TYPE_CHECKING:
    from stem_plugins.napari.binned_scan import BinnedScan
    from stem_plugins.napari.widgets.diffraction_canvas import DiffractionCanvas

__all__ = ["PatternView"]


class PatternView(QObject):
    """Show the pattern at the probe, or the mean of all patterns read so far.

    Parameters
    ----------
    canvas
        Where patterns are shown.
    intensity, averaged, com_cross
        The controls: intensity scale, mean of all, mark of the centre of mass.
    """

    #: A pattern cannot be read: why.
    failed = Signal(str)

    def __init__(
        self,
        canvas: DiffractionCanvas,
        intensity: QComboBox,
        averaged: QCheckBox,
        com_cross: QCheckBox,
    ) -> None:
        super().__init__(canvas)
        self._canvas, self._intensity = canvas, intensity
        self._averaged, self._com_cross = averaged, com_cross
        self._reader: PatternReader | None = None
        self._sample: np.ndarray | None = None
        self._binned: BinnedScan | None = None
        self._probe = (0, 0)
        intensity.currentIndexChanged.connect(lambda _: self.show())
        averaged.toggled.connect(lambda _: self.show())
        com_cross.toggled.connect(lambda _: self.show())

    def open(self, reader: PatternReader, binned: BinnedScan, probe: tuple[int, int]) -> None:
        """Turn to a scan; nothing is shown yet.

        Parameters
        ----------
        reader
            Gives single patterns.
        binned
            Gives the mean of all.
        probe
            Scan position (y, x).

        Raises
        ------
        OSError, ValueError
            The patterns cannot be read.
        """
        self._sample = reader.sample_mean()
        self._reader, self._binned, self._probe = reader, binned, probe

    def close(self) -> None:
        """Forget the scan."""
        self._reader = self._binned = self._sample = None

    def move_to(self, y: int, x: int) -> None:
        """Show the pattern at a scan position, in place of the mean.

        Parameters
        ----------
        y, x
            Scan position.
        """
        self._probe = (y, x)
        with quiet(self._averaged):
            self._averaged.setChecked(False)
        self.show()

    def mean_may_have_changed(self) -> None:
        """Bring the mean of all patterns up to date, where it is shown."""
        if self._averaged.isChecked():
            self.show()

    def mean(self) -> np.ndarray:
        """Mean of all patterns read so far; of a few before any pass. (ky, kx)."""
        assert self._binned is not None
        assert self._sample is not None
        return self._binned.mean_pattern() if self._binned.rows_done else self._sample

    def show(self) -> None:
        """Show the pattern, or the mean, as the controls say."""
        if self._reader is None:
            return
        averaged = self._averaged.isChecked()
        try:
            pattern = self.mean() if averaged else self._reader.pattern(*self._probe)
        except (OSError, ValueError) as error:
            self.failed.emit(words_of(error))
            return
        values = shown_intensity(pattern, self._intensity.currentText())
        self._canvas.show_values(values, pattern_limits(values))
        cross = pattern_center_of_mass(pattern) if self._com_cross.isChecked() else None
        self._canvas.show_center_of_mass(cross)
        title = "mean of all patterns" if averaged else "pattern at the probe"
        self._canvas.title.setText(f"Diffraction: {title}")
