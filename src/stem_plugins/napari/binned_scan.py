"""A whole scan in memory, its patterns binned, from which virtual images follow while dragging.

Kept as one image over the scan per bin. A change of a detector then costs only the bins that it
gained and lost. Small scans are kept as they are, and the images are exact; of larger ones the
exact image comes from the data after the drag, by `iter_exact_image`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from stem_plugins.imaging.binning import (
    add_weighted_images,
    bin_mask,
    binned_dtype,
    binned_shape,
    iter_binned,
)
from stem_plugins.imaging.moments import iter_moments

if TYPE_CHECKING:
    import dask.array

__all__ = ["BinnedScan", "LiveImage", "binning_factor", "iter_exact_image"]

#: Memory that a binned scan may take.
MOST_BYTES = 256 * 2**20

#: Patterns are not binned to fewer than so many pixels along their longer side, unless even that
#: takes more than four times `MOST_BYTES`.
FEWEST_BINS = 16


def binning_factor(shape: tuple[int, ...], dtype: np.dtype, *, most_bytes: int = MOST_BYTES) -> int:
    """Smallest power of two by which patterns are binned so that the whole scan fits into memory.

    Parameters
    ----------
    shape
        (scan_y, scan_x, ky, kx).
    dtype
        Of the data.
    most_bytes
        Memory that the binned scan may take.

    Returns
    -------
    int
        1: not binned at all.

    Examples
    --------
    >>> binning_factor((64, 64, 48, 48), np.dtype("<u2"))
    1
    >>> binning_factor((128, 128, 256, 256), np.dtype(">u2"))
    4
    """
    factor = 1
    while factor < max(shape[2:]):
        bins = binned_shape((shape[2], shape[3]), factor)
        size = math.prod(shape[:2]) * math.prod(bins) * binned_dtype(dtype, factor).itemsize
        few = max(bins) <= FEWEST_BINS
        if size <= (4 * most_bytes if few else most_bytes):
            break
        factor *= 2
    return factor


class BinnedScan:
    """The binned patterns of a scan; fills while `iter_fill` runs, in a thread or not.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), NumPy or dask.
    factor
        Detector pixels per bin, in each direction; ``None``: from `binning_factor`.

    Attributes
    ----------
    factor : int
        As given or found. 1: images from here are exact.
    images : ndarray
        One image over the scan per bin, (bins, scan_y * scan_x).
    pattern_sum : ndarray
        Sum of the patterns of all scan rows that are done, not binned, (ky, kx).
    rows_done : int
        Scan rows that are done, from the top.
    """

    def __init__(self, data: np.ndarray | dask.array.Array, factor: int | None = None) -> None:
        self._data = data
        self.scan_shape = (int(data.shape[0]), int(data.shape[1]))
        self.detector_shape = (int(data.shape[2]), int(data.shape[3]))
        self.factor = factor or binning_factor(data.shape, data.dtype)
        bins = math.prod(binned_shape(self.detector_shape, self.factor))
        dtype = binned_dtype(data.dtype, self.factor)
        self.images = np.zeros((bins, math.prod(self.scan_shape)), dtype)
        self.pattern_sum = np.zeros(self.detector_shape)
        self.rows_done = 0

    @property
    def is_complete(self) -> bool:
        """Whether every scan row is done."""
        return self.rows_done == self.scan_shape[0]

    @property
    def is_exact(self) -> bool:
        """Whether images from here equal those from the data."""
        return self.factor == 1

    def iter_fill(self) -> Iterator[int]:
        """Go through the data from the first row that is not done.

        Yields
        ------
        int
            Rows done so far.

        Raises
        ------
        ValueError
            A frame holds NaN or infinite pixels.
        """
        first = self.rows_done
        columns = self.scan_shape[1]
        data = self._data[first:] if first else self._data
        with closing(iter_binned(data, self.factor)) as blocks:  # type: ignore[type-var]
            for rows, images, pattern in blocks:
                start, stop = (first + rows.start) * columns, (first + rows.stop) * columns
                self.images[:, start:stop] = images.reshape(len(self.images), -1)
                self.pattern_sum += pattern
                # Last: a reader in another thread sees only rows that are complete.
                self.rows_done = first + rows.stop
                yield self.rows_done

    def mean_pattern(self) -> np.ndarray:
        """Mean of the patterns done so far (position-averaged pattern), (ky, kx)."""
        return self.pattern_sum / max(1, self.rows_done * self.scan_shape[1])


class LiveImage:
    """The image of one virtual detector over a `BinnedScan`, kept up to date at little cost.

    Parameters
    ----------
    scan
        May still be filling.
    """

    def __init__(self, scan: BinnedScan) -> None:
        self._scan = scan
        self._weights = np.zeros(len(scan.images))
        self._rows = 0
        self._sum = np.zeros(math.prod(scan.scan_shape))

    @property
    def image(self) -> np.ndarray:
        """Counts, (scan_y, scan_x) float64; zero in rows that are not done."""
        return self._sum.reshape(self._scan.scan_shape)

    def update(self, mask: np.ndarray) -> np.ndarray:
        """Follow a change of the detector, and scan rows that have come in meanwhile.

        Parameters
        ----------
        mask
            (ky, kx) boolean.

        Returns
        -------
        numpy.ndarray
            `image`. Equal to the sum over the mask where `BinnedScan.is_exact`; else bins that
            the mask covers in part count in part.
        """
        weights = bin_mask(mask, self._scan.factor).ravel()
        columns, rows = self._scan.scan_shape[1], self._scan.rows_done
        change = weights - self._weights
        changed, used = np.flatnonzero(change), np.flatnonzero(weights)
        done = slice(0, self._rows * columns)
        if changed.size > used.size:
            self._sum[done] = 0
            self._add(done, used, weights[used])
        else:
            self._add(done, changed, change[changed])
        self._add(slice(done.stop, rows * columns), used, weights[used])
        self._weights, self._rows = weights, rows
        return self.image

    def _add(self, positions: slice, chosen: np.ndarray, weights: np.ndarray) -> None:
        if chosen.size and positions.stop > positions.start:
            images = self._scan.images[:, positions]
            add_weighted_images(self._sum[positions], images, chosen, weights)


def iter_exact_image(
    data: np.ndarray | dask.array.Array, mask: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Image of a virtual detector from the data themselves, some scan rows at a time.

    Only the part of each pattern around the detector is read.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), NumPy or dask.
    mask
        (ky, kx) boolean, not empty.

    Yields
    ------
    rows : slice
        Scan rows that are done.
    image : numpy.ndarray
        Of these rows, counts, (rows, scan_x) float64.

    Examples
    --------
    >>> mask = np.eye(4, dtype=bool)
    >>> [image.tolist() for rows, image in iter_exact_image(np.ones((1, 2, 4, 4)), mask)]
    [[[4.0, 4.0]]]
    """
    part = tuple(
        slice(int(covered[0]), int(covered[-1]) + 1)
        for covered in (np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1))
    )
    cropped = data[(slice(None), slice(None), *part)]
    passes = iter_moments(cropped, detectors=[mask[part]], block_bytes=4 * 2**20)
    with closing(passes) as blocks:  # type: ignore[type-var]
        for rows, result in blocks:
            yield rows, result.images[0]
