"""The browser's work in threads: the first pass over a scan, then exact images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from stem_plugins.napari.binned_scan import iter_exact_image
from stem_plugins.napari.regions import Region
from stem_plugins.napari.virtual_images import VirtualImages
from stem_plugins.napari.widgets.words import words_of
from stem_plugins.napari.widgets.worker import start_worker

__all__ = ["Passes"]


class Passes(QObject):
    """One pass that fills a binned scan, and one for an exact image; both can be stopped.

    Signals come in the main thread, and none from a pass that was stopped.

    Parameters
    ----------
    parent
        Passes stop when it is gone.
    """

    #: More scan rows of the first pass are done.
    progressed = Signal()
    #: The first pass has come to its end, or failed.
    ended = Signal()
    #: More scan rows of the exact image are done: the image, exact so far.
    refined = Signal(object)
    #: The exact image is known to the images of the scan.
    exact = Signal()
    #: A pass failed: why.
    failed = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._reading: Any = None
        self._refining: Any = None

    @property
    def is_reading(self) -> bool:
        """Whether the first pass runs."""
        return self._reading is not None

    @property
    def is_refining(self) -> bool:
        """Whether an exact image is on its way."""
        return self._refining is not None

    def read(self, images: VirtualImages) -> None:
        """Begin, or go on with, the first pass.

        Parameters
        ----------
        images
            Whose binned scan is filled.
        """
        self.stop()

        def ended() -> None:
            if worker is self._reading:
                self._reading = None
                self.ended.emit()

        worker = self._reading = start_worker(
            self,
            images.binned.iter_fill,
            None,
            yielded=lambda _: worker is self._reading and self.progressed.emit(),
            failed=lambda error: worker is self._reading and self._fail(error),
            finished=ended,
        )

    def refine(
        self, data: Any, images: VirtualImages, region: Region, start: np.ndarray, mask: np.ndarray
    ) -> None:
        """Begin with an exact image, in place of one that is on its way.

        Parameters
        ----------
        data
            Patterns, (scan_y, scan_x, ky, kx).
        images
            Gets the exact image.
        region, mask
            The detector.
        start
            Image in rows that are not exact yet, (scan_y, scan_x).
        """
        self.stop_refining()
        image = start.copy()

        def take(rows: slice, part: np.ndarray) -> None:
            if worker is self._refining:
                image[rows] = part
                self.refined.emit(image)

        def done() -> None:
            if worker is self._refining:
                self._refining = None
                images.keep(region, image)
                self.exact.emit()

        def failed(error: Exception) -> None:
            if worker is self._refining:
                self._refining = None
                self._fail(error)

        worker = self._refining = start_worker(
            self,
            _exact_rows,
            lambda _: done(),
            data,
            mask,
            yielded=lambda value: take(*value),
            failed=failed,
        )

    def stop_refining(self) -> None:
        """Stop the pass for an exact image."""
        if self._refining is not None:
            self._refining.quit()
            self._refining = None

    def stop(self) -> bool:
        """Stop everything; return whether the first pass was running."""
        self.stop_refining()
        was_reading = self._reading is not None
        if was_reading:
            self._reading.quit()
            self._reading = None
        return was_reading

    def _fail(self, error: Exception) -> None:
        self.failed.emit(words_of(error))


def _exact_rows(data: Any, mask: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    # Slicing lazy data takes a moment: in here it happens in the thread.
    yield from iter_exact_image(data, mask)
