"""What is kept of a scan after one pass, so that pictures follow every change at once.

A few numbers per scan position: the centre of mass, and the counts in discs of growing radius.
Kernel, filter, rotation, centre, descan correction and detector radii can then change at any
moment, also during the pass, for all positions seen so far, and the patterns are not read again.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from stem_plugins.imaging.detectors import annular_detector
from stem_plugins.imaging.moments import Moments, iter_moments
from stem_plugins.imaging.pattern_checks import warn_of_patterns
from stem_plugins.napari.messages import in_napari_words
from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    import dask.array

__all__ = [
    "KeptMoments",
    "guess_center",
    "inscribed_radius",
    "iter_fill",
    "iter_pass",
    "nearest_radius",
    "ring_radii",
    "warnings_of",
]

#: Most discs whose counts are kept for every scan position, and most bytes that they may take.
MOST_DISCS = 24
MOST_DISC_BYTES = 256 * 2**20

#: Scan positions from which the centre is guessed before the pass.
GUESSED_FROM = 64


@dataclasses.dataclass(frozen=True)
class KeptMoments:
    """What is kept of the scan; the arrays fill while the pass runs.

    Parameters
    ----------
    com
        Absolute centre of mass [px], (scan_y, scan_x, 2); NaN where a pattern is empty or was not
        seen yet.
    discs
        Counts in discs of `radii` around `disc_center`, (discs, scan_y, scan_x).
    pattern
        Sum of the patterns seen so far, (ky, kx).
    peak
        Largest pixel of every pattern, (scan_y, scan_x).
    seen
        Scan rows that are done, (scan_y,) boolean.
    radii
        Of the discs [px], ascending.
    disc_center
        Of the discs [px], (ky, kx).
    mean
        The mean of `com` [px], once it was asked for and until more is added.
    """

    com: np.ndarray
    discs: np.ndarray
    pattern: np.ndarray
    peak: np.ndarray
    seen: np.ndarray
    radii: np.ndarray
    disc_center: tuple[float, float]
    mean: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    @classmethod
    def empty(
        cls, shape: tuple[int, int, int, int], disc_center: tuple[float, float]
    ) -> KeptMoments:
        """Make room for a scan of which nothing was seen yet.

        Parameters
        ----------
        shape
            (scan_y, scan_x, ky, kx).
        disc_center
            Centre of the annular detectors [px].
        """
        radii = ring_radii(shape, disc_center)
        return cls(
            com=np.full((*shape[:2], 2), np.nan),
            discs=np.zeros((radii.size, *shape[:2])),
            pattern=np.zeros(shape[2:]),
            peak=np.zeros(shape[:2]),
            seen=np.zeros(shape[0], bool),
            radii=radii,
            disc_center=disc_center,
        )

    @property
    def scan_shape(self) -> tuple[int, int]:
        """Scan positions (y, x)."""
        return self.com.shape[0], self.com.shape[1]

    def add(self, rows: slice, part: Moments) -> None:
        """Take in some scan rows, in place.

        Parameters
        ----------
        rows, part
            As `iter_pass` yields them.
        """
        self.com[rows] = part.com
        self.discs[:, rows] = part.images
        self.peak[rows] = part.peak
        assert part.pattern is not None
        self.pattern[...] += part.pattern * part.total.size
        self.seen[rows] = True
        self.mean.clear()

    def center(self, acquisition: Acquisition) -> tuple[float, float]:
        """Centre that is subtracted [px]: the calibrated one, or the mean of all seen positions.

        Parameters
        ----------
        acquisition
            Uses `center`.
        """
        if acquisition.center is not None:
            return acquisition.center
        if self.mean:
            return self.mean[0]
        counted = self.com[~np.isnan(self.com[..., 0])]
        if counted.size == 0:
            return self.disc_center
        y, x = counted.mean(axis=0)
        self.mean.append((float(y), float(x)))
        return self.mean[0]

    def annulus(self, inner: float, outer: float) -> np.ndarray:
        """Image of an annular detector whose radii are among those kept (0 is one of them).

        Parameters
        ----------
        inner, outer
            Radii [px]; the nearest kept ones are taken.
        """
        disc = {0.0: 0.0} | dict(zip(self.radii.tolist(), self.discs, strict=True))
        inner, outer = (nearest_radius(self.radii, radius) for radius in (inner, outer))
        return disc[outer] - disc[inner] if outer > inner else np.zeros(self.scan_shape)

    def dark_field(self, acquisition: Acquisition) -> np.ndarray | None:
        """Image of the seen rows from outside the bright-field disc, if that is known.

        Parameters
        ----------
        acquisition
            Uses `convergence_angle` and `diffraction_step`.
        """
        if acquisition.convergence_angle is None or acquisition.diffraction_step is None:
            return None
        disc = 1.1 * acquisition.convergence_angle / min(acquisition.diffraction_step)
        outside = self.radii[self.radii > disc]
        if outside.size < 2:
            return None
        image = self.annulus(float(outside[0]), float(outside[-1]))[self.seen]
        return image if np.ptp(image) > 0 else None


def warnings_of(kept: KeptMoments, largest_count: int | None) -> list[str]:
    """Say which of the patterns seen so far have a wrong or unknown centre of mass.

    Parameters
    ----------
    kept
        From the pass, complete or not.
    largest_count
        Of `stem_plugins.imaging.largest_count_of`.

    Returns
    -------
    list of str
        What `stem_plugins.imaging.warn_of_patterns` warns of, in the words of napari: saturated
        patterns, empty ones, and ones whose sum is below zero.
    """
    if not kept.seen.any():
        return []
    seen = Moments(
        total=kept.discs[-1][kept.seen],  # the largest disc holds the whole detector
        com=kept.com[kept.seen],
        images=kept.discs[:, kept.seen],
        pattern=kept.pattern,
        center=np.array(kept.disc_center),
        peak=kept.peak[kept.seen],
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_patterns(seen, largest_count=largest_count)
    return [in_napari_words(str(warning.message)) for warning in caught]


def ring_radii(shape: tuple[int, int, int, int], center: tuple[float, float]) -> np.ndarray:
    """Radii of the discs whose counts the pass keeps.

    Parameters
    ----------
    shape
        (scan_y, scan_x, ky, kx).
    center
        Of the discs [px].

    Returns
    -------
    ndarray
        Ascending, evenly spaced by a multiple of half a pixel of at least one [px]; the last one
        holds the whole detector. At most 24, fewer for very large scans.

    Examples
    --------
    >>> ring_radii((4, 4, 8, 8), (3.5, 3.5))
    array([1., 2., 3., 4., 5.])
    """
    corners = np.array([(y, x) for y in (0, shape[2] - 1) for x in (0, shape[3] - 1)])
    farthest = float(np.hypot(*(corners - np.array(center)).T).max()) + 1e-6
    most = int(np.clip(MOST_DISC_BYTES // (8 * shape[0] * shape[1]), 4, MOST_DISCS))
    step = max(1.0, np.ceil(2 * farthest / most) / 2)
    # The smallest disc must hold a pixel, wherever the centre is.
    return step * np.arange(1, int(np.ceil(farthest / step)) + 1)


def inscribed_radius(detector_shape: tuple[int, int], center: tuple[float, float]) -> float:
    """Radius of the largest disc around a centre that lies on the detector.

    Parameters
    ----------
    detector_shape
        (ky, kx) [px].
    center
        Of the disc [px].

    Returns
    -------
    float
        [px], to the outer edge of the nearest edge pixels; below zero for a centre outside.

    Examples
    --------
    >>> inscribed_radius((8, 10), (3.5, 3.0))
    3.5
    """
    return min(min(c + 0.5, n - 0.5 - c) for c, n in zip(center, detector_shape, strict=True))


def nearest_radius(radii: np.ndarray, radius: float) -> float:
    """Return the kept radius, or 0, next to a wanted one.

    Parameters
    ----------
    radii
        Kept radii [px].
    radius
        Wanted [px].
    """
    kept = np.concatenate([[0.0], radii])
    return float(kept[np.argmin(abs(kept - radius))])


def guess_center(data: np.ndarray | dask.array.Array) -> tuple[float, float]:
    """Guess the undiffracted beam from a few patterns, before a pass.

    Parameters
    ----------
    data
        (scan_y, scan_x, ky, kx).

    Returns
    -------
    tuple of float
        Centre of mass [px] of the sum of some patterns of the middle scan row, rounded to a tenth;
        the middle of the detector where they are empty.
    """
    row = data[data.shape[0] // 2, :: max(1, data.shape[1] // GUESSED_FROM)]
    pattern = np.asarray(row, dtype=float).sum(axis=0)
    total = pattern.sum()
    if not 0 < total < np.inf:
        return (data.shape[2] - 1) / 2, (data.shape[3] - 1) / 2
    y = (pattern.sum(axis=1) * np.arange(data.shape[2])).sum() / total
    x = (pattern.sum(axis=0) * np.arange(data.shape[3])).sum() / total
    return round(float(y), 1), round(float(x), 1)


def iter_pass(
    data: np.ndarray | dask.array.Array, kept: KeptMoments
) -> Iterator[tuple[slice, Moments]]:
    """Go through the data once, block by block; `KeptMoments.add` takes in what comes.

    Parameters
    ----------
    data
        (scan_y, scan_x, ky, kx).
    kept
        From `KeptMoments.empty`, for its radii and centre; it is not changed.

    Yields
    ------
    rows : slice
        Scan rows that are done.
    part : Moments
        Of these rows.
    """
    discs = [_disc(data.shape[2:], radius, kept.disc_center) for radius in kept.radii]
    yield from iter_moments(data, detectors=discs, pattern=True, block_bytes=8 * 2**20)


def iter_fill(
    data: np.ndarray | dask.array.Array, center: tuple[float, float] | None
) -> Iterator[KeptMoments | tuple[slice, Moments]]:
    """Make room for the moments of a scan, then go through its data.

    Parameters
    ----------
    data
        (scan_y, scan_x, ky, kx).
    center
        Of the annular detectors [px]; `None`: guessed.

    Yields
    ------
    KeptMoments or tuple
        First the room, empty; then what `iter_pass` yields.
    """
    kept = KeptMoments.empty(tuple(data.shape), center or guess_center(data))
    yield kept
    yield from iter_pass(data, kept)


def _disc(shape: tuple[int, int], radius: float, center: tuple[float, float]) -> np.ndarray:
    try:
        return annular_detector(shape, 0, radius, center=center)
    except ValueError:  # a small disc around a beam that missed the detector
        return np.zeros(shape, bool)
