"""The image of the active virtual detector: while data are read, while dragged, and exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QProgressBar, QPushButton

from stem_plugins.napari.contrast import image_limits
from stem_plugins.napari.virtual_images import VirtualImages
from stem_plugins.napari.widgets.passes import Passes
from stem_plugins.napari.widgets.worker import once

if TYPE_CHECKING:
    from stem_plugins.napari.widgets.detector_editor import DetectorEditor
    from stem_plugins.napari.widgets.scan_canvas import ScanCanvas

__all__ = ["DetectorImage"]

#: While a pass runs, the image follows at most this often [ms].
REDRAW = 100

#: How long after the last change the exact image is begun [ms].
SETTLED = 200


class DetectorImage(QObject):
    """Show the image of the active detector on the scan canvas.

    One pass over the data makes a binned copy in memory, from which images follow while a detector
    is dragged; the exact image follows from the data as soon as the mouse rests.

    Parameters
    ----------
    canvas
        Where the image is shown.
    editor
        Knows the active detector.
    progress, cancel, resume
        Shown while the data are read, and after that was cancelled.
    """

    #: More scan rows were read.
    progressed = Signal()
    #: The exact image of the active detector is known.
    exact = Signal()
    #: Something cannot be done: why.
    failed = Signal(str)

    def __init__(
        self,
        canvas: ScanCanvas,
        editor: DetectorEditor,
        progress: QProgressBar,
        cancel: QPushButton,
        resume: QPushButton,
    ) -> None:
        super().__init__(canvas)
        self._canvas, self._editor = canvas, editor
        self._progress, self._cancel, self._resume = progress, cancel, resume
        self._data: Any = None
        self.images: VirtualImages | None = None
        self.passes = Passes(self)
        self._redraw = once(self, self._show_progress)
        self._settle = once(self, self.refine)
        cancel.clicked.connect(self.stop)
        resume.clicked.connect(self.read)
        self.passes.progressed.connect(self._redraw_soon)
        self.passes.ended.connect(self._read_ended)
        self.passes.refined.connect(canvas.show_values)
        self.passes.exact.connect(self._is_exact)
        self.passes.failed.connect(self.failed)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is read any more, and nothing will be unless a detector changes."""
        busy = self.passes.is_reading or self.passes.is_refining
        return not (busy or self._settle.isActive() or self._redraw.isActive())

    def open(self, data: Any) -> None:
        """Turn to a scan; nothing is read yet.

        Parameters
        ----------
        data
            (scan_y, scan_x, ky, kx).

        Raises
        ------
        MemoryError
            The binned copy does not fit into memory.
        """
        self.images = VirtualImages(data)
        self._data = data

    def close(self) -> None:
        """Stop all work and forget the scan."""
        self.stop()
        self._data = self.images = None
        self._resume.hide()
        self._show_title()

    def read(self) -> None:
        """Go through the data in a thread; the image fills as it goes."""
        if self.images is None:
            return
        self._progress.setRange(0, self.images.binned.scan_shape[0])
        self._progress.setValue(self.images.binned.rows_done)
        self._show_reading(True)
        self.passes.read(self.images)

    def stop(self) -> None:
        """Stop all work in threads; what was read so far stays."""
        self._settle.stop()
        self._redraw.stop()
        if self.passes.stop():
            self._show_reading(False)
            self._resume.show()
            self.show()

    def detector_changed(self) -> None:
        """Begin with no exact image any more that nobody wants."""
        self._settle.stop()
        self.passes.stop_refining()

    def show(self) -> np.ndarray | None:
        """Show the best image known; return the detector's mask, if it covers any pixel."""
        self._show_title()
        if self.images is None or self._canvas.image is None:
            return None
        binned, detector = self.images.binned, self._editor.active
        if detector is None:
            self._canvas.show_values(np.zeros(binned.scan_shape))
            return None
        try:
            shown = self.images.of(detector.region)
        except ValueError as error:
            self._canvas.show_values(np.zeros(binned.scan_shape))
            self.failed.emit(str(error))
            return None
        # Rows that are not there yet must not set the contrast.
        limits = image_limits(shown.image[: binned.rows_done or None])
        self._canvas.show_values(shown.image, limits)
        self._show_title(shown.is_exact)
        if binned.is_complete and not shown.is_exact and not self.passes.is_refining:
            self._settle.start(SETTLED)
        return shown.mask

    def refine(self) -> None:
        """Begin with the exact image of the active detector, unless it is known."""
        if self.images is None or self._editor.active is None or self.passes.is_refining:
            return
        if not self.images.binned.is_complete:
            return
        region = self._editor.active.region
        try:
            shown = self.images.of(region)
        except ValueError:
            return
        if shown.is_exact:
            self.exact.emit()
        else:
            self.passes.refine(self._data, self.images, region, shown.image, shown.mask)

    def _redraw_soon(self) -> None:
        if not self._redraw.isActive():
            self._redraw.start(REDRAW)

    def _show_progress(self) -> None:
        if self.images is not None:
            self._progress.setValue(self.images.binned.rows_done)
            self.show()
            self.progressed.emit()

    def _read_ended(self) -> None:
        self._redraw.stop()
        self._show_reading(False)
        self._show_progress()
        self._settle.start(0)

    def _show_reading(self, reading: bool) -> None:
        self._progress.setVisible(reading)
        self._cancel.setVisible(reading)
        self._resume.hide()

    def _is_exact(self) -> None:
        self.show()
        self.exact.emit()

    def _show_title(self, is_exact: bool = True) -> None:
        detector = self._editor.active
        if self.images is None or detector is None:
            self._canvas.say_title("Scan")
            return
        binned = self.images.binned
        quality = f" (patterns binned {binned.factor} × {binned.factor})"
        if not binned.is_complete:
            quality = f" ({binned.rows_done} of {binned.scan_shape[0]} rows)"
        self._canvas.say_title(f"Scan: {detector.name}{'' if is_exact else quality}")
