"""Images of virtual detectors at any moment: exact where known, from binned patterns where not."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from stem_plugins.napari.binned_scan import BinnedScan, LiveImage
from stem_plugins.napari.regions import Region

if TYPE_CHECKING:
    import dask.array

__all__ = ["VirtualImage", "VirtualImages"]

#: Memory of the exact images that are kept, so that going back to a detector shows them at once.
MOST_KEPT_BYTES = 64 * 2**20


@dataclasses.dataclass(frozen=True)
class VirtualImage:
    """Image of one virtual detector.

    Parameters
    ----------
    image
        Counts, (scan_y, scan_x) float64; zero where nothing is known yet.
    mask
        Detector pixels that count, (ky, kx) boolean.
    is_exact
        Whether it is the sum over just these pixels, at every scan position.
    """

    image: np.ndarray
    mask: np.ndarray
    is_exact: bool


class VirtualImages:
    """Images of virtual detectors of one scan.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), NumPy or dask.

    Attributes
    ----------
    binned : BinnedScan
        What the images come from while they are not exact; somebody has to run its
        `BinnedScan.iter_fill`.
    """

    def __init__(self, data: np.ndarray | dask.array.Array) -> None:
        self.binned = BinnedScan(data)
        self._live = LiveImage(self.binned)
        self._exact: OrderedDict[Region, np.ndarray] = OrderedDict()

    def of(self, region: Region) -> VirtualImage:
        """Image of a detector, the best that is known now.

        Parameters
        ----------
        region
            The detector.

        Raises
        ------
        ValueError
            No pixel lies in the detector.
        """
        mask = region.mask(self.binned.detector_shape)
        if region in self._exact:
            return VirtualImage(self._exact[region], mask, is_exact=True)
        image = self._live.update(mask)
        return VirtualImage(image, mask, self.binned.is_exact and self.binned.is_complete)

    def keep(self, region: Region, image: np.ndarray) -> None:
        """Take in the exact image of a detector.

        Parameters
        ----------
        region
            The detector.
        image
            (scan_y, scan_x).
        """
        self._exact[region] = image
        most = max(1, MOST_KEPT_BYTES // image.nbytes)
        while len(self._exact) > most:
            self._exact.popitem(last=False)
