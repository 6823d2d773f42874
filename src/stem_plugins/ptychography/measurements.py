"""Patterns of a scan, read batch by batch from where they are, in memory or in a file."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stem_plugins.imaging.direct_ptychography import disc_center
from stem_plugins.imaging.moments import check_4d
from stem_plugins.lazy.blocks import chunk_by_scan_rows, is_lazy, numpy_or_dask
from stem_plugins.ptychography.detector_pixels import (
    HOT,
    dead_pixels,
    given_weights,
    hot_pixels,
    warn_of_saturation,
)

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Measurements", "Survey", "measurements"]

#: Patterns along either scan axis of which the survey is made.
SURVEYED = 24

#: A pattern with less than this part of the mean counts has not seen the beam; where there are
#: fewer electrons in a pattern than this, chance could make one.
DARK, ENOUGH_ELECTRONS = 0.02, 100.0

#: From so many electrons on, chance makes no pattern without any.
SOME_ELECTRONS = 20.0

#: A pattern with so many times the median counts holds something else than the beam.
BRIGHT = 20.0

#: Bytes of lazy patterns that are computed together: many small chunks cost time, one by one.
TOGETHER = 2**26

#: A pattern with a smaller part of finite pixels is left out, and says nothing of the pixels.
MOSTLY = 0.9

#: Sums of a mean pattern between which waves can be computed in single precision.
SMALLEST, LARGEST = 1e-25, 1e25

NEGATIVE = "Pixels below zero count as zero. Subtract no more than the detector's own offset."

Batch = tuple[NDArray[np.int64], NDArray[np.float32]]


@dataclasses.dataclass(frozen=True, eq=False)
class Survey:
    """What some of the patterns, spread over the scan, tell about all.

    Parameters
    ----------
    mean_pattern
        As stored, (ky, kx).
    mean_counts
        In a whole pattern, in the unit of the data.
    electrons
        In a whole pattern; infinite where nobody knows them.
    weights
        1 where a pixel counts and 0 where it is masked or dead, (ky, kx).
    totals
        Sum of each of these patterns, (n,).
    """

    mean_pattern: NDArray[np.float64]
    mean_counts: float
    electrons: float
    weights: NDArray[np.float32]
    totals: NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Measurements:
    """The patterns of a scan, in the order of a Fourier transform.

    Parameters
    ----------
    data
        (scan_y, scan_x, ky, kx), NumPy or dask.
    center
        Undiffracted beam [px], (ky, kx).
    survey
        Mean pattern and weights.
    """

    data: np.ndarray | da.Array
    center: tuple[float, float]
    survey: Survey
    #: What was warned of; each once.
    told: set[str] = dataclasses.field(default_factory=set, repr=False)

    @property
    def scan_shape(self) -> tuple[int, int]:
        """Positions (y, x)."""
        return self.data.shape[0], self.data.shape[1]

    @property
    def nearest(self) -> tuple[int, int]:
        """Pixel nearest to the centre, which becomes index (0, 0)."""
        return round(self.center[0]), round(self.center[1])

    @property
    def fraction(self) -> tuple[float, float]:
        """How far the centre lies beyond that pixel, (y, x)."""
        return self.center[0] - self.nearest[0], self.center[1] - self.nearest[1]

    def weights(self) -> NDArray[np.float32]:
        """Which pixels count, in the order of a Fourier transform.

        Where the beam is not in the middle of the detector, frequencies that it does not reach
        on one side take the places of those beyond the window on the other; these do not count.
        """
        measured = np.zeros(self.survey.weights.shape, np.float32)
        within = []
        for axis, nearest in enumerate(self.nearest):
            size: int = measured.shape[axis]
            frequency = np.arange(size) - nearest
            within.append((frequency >= -(size // 2)) & (frequency <= (size - 1) // 2))
        measured[np.ix_(*within)] = 1
        return self.ordered(measured * self.survey.weights)

    def batches(self, chosen: NDArray[np.bool_], size: int) -> Iterator[Batch]:
        """Read the patterns of the chosen positions once, chunk by chunk in the order of the scan.

        Parameters
        ----------
        chosen
            Which positions, (n,), row by row of the scan.
        size
            Most patterns of a batch.

        Yields
        ------
        indices : ndarray
            Positions, counted row by row of the scan.
        counts : ndarray
            float32, (patterns, ky, kx), negative ones as 0.
        """
        wanted = chosen.reshape(self.scan_shape)
        weights = self.ordered(self.survey.weights)
        for place, block in self._blocks(wanted):
            rows, columns = np.nonzero(wanted[place])
            index = (rows + place[0].start) * self.scan_shape[1] + columns + place[1].start
            for start in range(0, len(index), size):
                part = slice(start, start + size)
                patterns = block[rows[part], columns[part]]
                whole = self._whole(patterns)
                counts = self._counts(patterns[whole])
                lit = self._lit(counts, weights)
                if lit.any():
                    yield index[part][whole][lit], counts[lit]

    def _lit(self, counts: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which patterns the beam has made; those of dead rows or a blanked beam are left out."""
        usual = float(np.sum(self.survey.mean_pattern * self.survey.weights))
        electrons = self.survey.electrons
        if electrons * usual / self.survey.mean_counts < SOME_ELECTRONS:
            return np.ones(len(counts), bool)
        totals = np.einsum("nyx,yx->n", counts, weights, dtype=float)
        lit: NDArray[np.bool_] = totals > (DARK * usual if electrons >= ENOUGH_ELECTRONS else 0)
        if not lit.all():
            self._tell(
                "Patterns with hardly any counts, as of dead rows or a blanked beam, are left out."
            )
        sound = totals < BRIGHT * usual
        if not sound.all():
            self._tell(
                f"Patterns with more than {BRIGHT:g} times the usual counts, which the beam cannot "
                "have made, are left out."
            )
        return lit & sound

    def _whole(self, patterns: np.ndarray) -> NDArray[np.bool_]:
        """Which patterns are finite numbers wherever pixels count."""
        if patterns.dtype.kind != "f":
            return np.ones(len(patterns), bool)
        finite = np.isfinite(patterns) | (self.survey.weights == 0)
        whole: NDArray[np.bool_] = finite.all(axis=(1, 2))
        if not whole.all():
            self._tell("Patterns with pixels that are not finite numbers are left out.")
        return whole

    def _tell(self, words: str) -> None:
        if words not in self.told:
            self.told.add(words)
            warnings.warn(words, stacklevel=3)

    def _blocks(
        self, wanted: NDArray[np.bool_]
    ) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
        """Rows and columns of each block that holds wanted positions, and the block."""
        data = self.data
        if not is_lazy(data):
            yield (slice(0, self.scan_shape[0]), slice(0, self.scan_shape[1])), np.asarray(data)
            return
        each = data.nbytes // wanted.size
        for rows in _joined(data.chunks[0], TOGETHER // (each * wanted.shape[1])):
            height = rows.stop - rows.start
            for columns in _joined(data.chunks[1], TOGETHER // (each * height)):
                if wanted[rows, columns].any():
                    yield (rows, columns), data[rows, columns].compute()

    def _counts(self, patterns: np.ndarray) -> NDArray[np.float32]:
        counts = self.ordered(patterns.astype(np.float32))
        if patterns.dtype.kind == "f":
            np.nan_to_num(counts, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        if patterns.dtype.kind != "u":
            if NEGATIVE not in self.told and (counts < 0).any():
                self._tell(NEGATIVE)
            np.maximum(counts, 0, out=counts)
        return counts

    def ordered(self, patterns: np.ndarray) -> np.ndarray:
        """Patterns with the pixel nearest to the beam first, as a Fourier transform has them."""
        shift = tuple(-place for place in self.nearest)
        return np.roll(patterns, shift, axis=(-2, -1))


def _joined(chunks: tuple[int, ...], most: int) -> Iterator[slice]:
    """Join neighbouring chunks of an axis up to a number of positions."""
    first = last = 0
    for size in chunks:
        if last > first and last + size - first > most:
            yield slice(first, last)
            first = last
        last += size
    yield slice(first, last)


def measurements(
    data: np.ndarray | da.Array,
    *,
    center: tuple[float, float] | None = None,
    mask: np.ndarray | None = None,
    electrons: float | None = None,
    largest_count: int | None = None,
) -> Measurements:
    """Look at some of the patterns, so that all can be read batch by batch.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), of any real type: NumPy, dask, or what else can be
        sliced.
    center
        Undiffracted beam [px], (ky, kx); ``None``: the middle of the bright-field disc.
    mask
        True where a detector pixel counts, (ky, kx).
    electrons
        Of a pattern; ``None``: whole numbers are counts, and of other data they are not known.
    largest_count
        That a pixel can record; ``None``: what its type can hold.

    Raises
    ------
    ValueError
        The data are not 4D or not real, hold no counts, or the mask does not fit.

    Warns
    -----
    UserWarning
        Pixels are dead, saturated, negative or not finite; what is done about it.
    """
    data = numpy_or_dask(check_4d(data))
    data = chunk_by_scan_rows(data) if is_lazy(data) else data
    rows, columns = data.shape[:2]
    every = tuple(slice(None, None, max(1, side // SURVEYED)) for side in (rows, columns))
    sample = np.asarray(data[every]).reshape(-1, *data.shape[2:])
    weights = given_weights(mask, data.shape[2:])
    finite = None
    if sample.dtype.kind == "f":
        finite = np.isfinite(sample)
        if not finite.any():
            raise ValueError(
                "The patterns hold no numbers, only NaN or infinity: there is nothing to "
                "reconstruct."
            )
        # Patterns of which much is missing are left out, and pixels that others lack too.
        mostly = finite.mean(axis=(1, 2)) > MOSTLY
        sample, finite = (
            (sample[mostly], finite[mostly].all(axis=0))
            if mostly.any()
            else (
                np.zeros_like(sample[:1]),
                np.ones(data.shape[2:], bool),
            )
        )
    if finite is not None and not finite.all():
        warnings.warn(
            f"{np.count_nonzero(~finite)} detector pixels are not finite numbers in some patterns "
            "and are left out everywhere.",
            stacklevel=3,
        )
        weights = weights * finite
        sample = np.where(finite, sample, 0)
    told = set()
    if sample.dtype.kind != "u" and (sample < 0).any():
        warnings.warn(
            f"{np.count_nonzero(sample < 0)} of {sample.size} pixels that were looked at are below "
            f"zero. {NEGATIVE}",
            stacklevel=3,
        )
        told.add(NEGATIVE)
        sample = np.maximum(sample, 0)
    warn_of_saturation(sample, largest_count)
    totals = sample.sum(axis=(1, 2), dtype=float)
    sample = sample[totals <= BRIGHT * np.median(totals[totals > 0])] if totals.any() else sample
    mean = sample.mean(axis=0, dtype=float)
    if not (mean * weights).any():
        raise ValueError("The patterns hold no counts: there is nothing to reconstruct.")
    if not SMALLEST < mean.sum() < LARGEST:
        raise ValueError(
            f"The patterns sum to {mean.sum():.3g} on average, which single precision cannot "
            "compute with; scale them."
        )
    if center is None:
        center = disc_center(mean[None, None])
    if not all(0 <= place <= size - 1 for place, size in zip(center, mean.shape, strict=True)):
        raise ValueError(
            f"The centre {center[0]:g} {center[1]:g} px is not on the detector of "
            f"{mean.shape[0]} × {mean.shape[1]} px; leave it out to have it found."
        )
    dead = dead_pixels(mean, weights)
    if dead.any():
        warnings.warn(
            f"{np.count_nonzero(dead)} detector pixels in the bright-field disc are dead and are "
            "left out.",
            stacklevel=3,
        )
    hot = hot_pixels(mean, weights)
    if hot.any():
        warnings.warn(
            f"{np.count_nonzero(hot)} detector pixels are hot, with more than {HOT:g} times the "
            "counts of their neighbours, and are left out.",
            stacklevel=3,
        )
        weights, mean = weights * ~hot, np.where(hot, 0.0, mean)
    total = float(mean.sum())
    if electrons is None:
        electrons = total if np.array_equal(sample, np.rint(sample)) else np.inf
    survey = Survey(mean, total, electrons, (weights * ~dead).astype(np.float32), totals)
    return Measurements(data, (float(center[0]), float(center[1])), survey, told)
