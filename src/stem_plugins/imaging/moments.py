"""One pass over 4D data: totals, centres of mass, virtual detectors and the mean pattern.

Centre of mass after thesis eq. 3.1 (T. Friedrich, University of Antwerp, 2023), normalised by the
intensity of each pattern: ``COM = Σ k I(k) / Σ I(k) - center``.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.imaging.hyperspy_data import patterns_of
from stem_plugins.imaging.moments_blocks import BlockMoments, Pass, beside, block_moments
from stem_plugins.lazy.blocks import (
    array_part,
    chunk_by_scan_rows,
    in_order,
    is_lazy,
    map_scan_blocks,
    scan_row_blocks,
    thread_count,
)

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Moments", "iter_moments", "moments", "virtual_image"]

#: How much of NumPy data one thread reads at a time: little where pictures fill meanwhile, more
#: where nobody looks, since every step costs as much as some patterns do.
_STEP_BYTES = 16 * 2**20
_UNSEEN_STEP_BYTES = 32 * 2**20


@dataclasses.dataclass(frozen=True)
class Moments:
    """What one pass over a scan gives.

    Every array is NumPy for NumPy data and dask for dask data.

    Parameters
    ----------
    total
        Sum of each pattern, (scan_y, scan_x).
    com
        Centre of mass of each pattern minus `center` [px], (scan_y, scan_x, 2), vectors (y, x) in
        the detector frame as stored. Zero where a pattern is empty.
    images
        One image per virtual detector, (detectors, scan_y, scan_x).
    pattern
        Mean pattern of the scan (position-averaged pattern, PACBED), (ky, kx), or ``None`` where
        it was not asked for. The mask does not apply to it.
    center
        The centre that was subtracted [px], (ky, kx).
    peak
        Largest pixel of each pattern among those that count, (scan_y, scan_x). Where it reaches
        what the detector's counter can hold, the pattern is saturated.
    """

    total: np.ndarray | da.Array
    com: np.ndarray | da.Array
    images: np.ndarray | da.Array
    pattern: np.ndarray | da.Array | None
    center: np.ndarray | da.Array
    peak: np.ndarray | da.Array

    def compute(self) -> Moments:
        """Return the same with NumPy arrays, all computed in one pass."""
        import dask

        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        (computed,) = dask.compute(fields)
        return Moments(**computed)


def moments(
    data: np.ndarray | da.Array,
    *,
    center: tuple[float, float] | None = None,
    detectors: Sequence[np.ndarray] = (),
    mask: np.ndarray | None = None,
    pattern: bool = False,
    workers: int | None = None,
    inspect: Callable[[Moments], None] | None = None,
) -> Moments:
    """Total, centre of mass, virtual-detector images and mean pattern, in one pass.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), of any real type in any byte order, NumPy (memory
        maps included, read in place) or dask.
    center
        Undiffracted beam [px], (ky, kx). ``None``: the mean centre of mass of all patterns that
        are not empty, which also removes a constant offset.
    detectors
        Masks of the detector's shape: booleans, or weights.
    mask
        Detector pixels that count, for the total, the centre of mass and the detectors: dead
        pixels out, or an annulus for annular centre of mass. ``None``: all.
    pattern
        Whether to average the patterns too.
    workers
        Threads for NumPy data; ``None``: as many as there are cores. Dask data use dask's
        scheduler.
    inspect
        Called once at the end of the pass with its result as NumPy arrays, also where dask
        computes it: `stem_plugins.imaging.warn_of_patterns`, for example.

    Returns
    -------
    Moments
        Dask arrays for dask data; then ``result.compute()`` does everything in one pass.

    Raises
    ------
    ValueError
        The data are not 4D or not real, the center is not two finite numbers, a mask does not fit
        the detector, or a frame holds NaN or infinite pixels that the mask does not exclude.

    Examples
    --------
    >>> data = np.zeros((2, 2, 4, 4), np.uint16)
    >>> data[..., 1, 2] = 3
    >>> result = moments(data, center=(1.5, 1.5))
    >>> result.com[0, 0], result.total[0, 0]
    (array([-0.5,  0.5]), np.float64(3.0))
    """
    data = check_4d(data)
    _check_center(center)
    task = Pass.build(data.shape, mask, detectors, pattern)
    if is_lazy(data):
        return _lazy_moments(data, task, center, inspect)
    blocks = _iter_blocks(np.asarray(data), task, workers or thread_count(), _UNSEEN_STEP_BYTES)
    return _join([[block] for _, block in blocks], center=center, inspect=inspect)


def iter_moments(
    data: np.ndarray | da.Array,
    *,
    detectors: Sequence[np.ndarray] = (),
    mask: np.ndarray | None = None,
    pattern: bool = False,
    workers: int | None = None,
    block_bytes: int = _STEP_BYTES,
) -> Iterator[tuple[slice, Moments]]:
    """Do the pass of `moments` block by block, for pictures that fill while it runs.

    Closing the generator stops the pass after the few blocks in work.

    Parameters
    ----------
    data, detectors, mask, pattern
        As for `moments`.
    workers
        Threads that work on blocks; ``None``: as many as there are cores.
    block_bytes
        About how much of NumPy data is read between two results; dask data keep their chunks.

    Yields
    ------
    rows : slice
        The scan rows that are done.
    result : Moments
        Of these rows alone, NumPy arrays. `Moments.com` is absolute (``center`` is 0, 0), since
        the mean is not known before the end; empty patterns give NaN there.

    Examples
    --------
    >>> data = np.ones((3, 2, 4, 4), np.uint8)
    >>> [(rows, result.total.sum()) for rows, result in iter_moments(data, block_bytes=64)]
    [(slice(0, 2, None), np.float64(64.0)), (slice(2, 3, None), np.float64(32.0))]
    """
    data = check_4d(data)
    task = Pass.build(data.shape, mask, detectors, pattern)
    return _iter_rows(data, task, workers or thread_count(), block_bytes)


def _iter_rows(
    data: Any, task: Pass, workers: int, block_bytes: int
) -> Iterator[tuple[slice, Moments]]:
    with contextlib.closing(_iter_blocks(data, task, workers, block_bytes)) as blocks:
        for rows, block in blocks:
            yield (
                rows,
                dataclasses.replace(
                    _join([[block]], center=(0, 0)), com=_absolute_com(block.values)
                ),
            )


def virtual_image(
    data: np.ndarray | da.Array, mask: np.ndarray, *, workers: int | None = None
) -> np.ndarray | da.Array:
    """Image of a virtual detector: ``Σ_k mask(k) I(k)`` at every scan position.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), NumPy or dask.
    mask
        Detector, (ky, kx): booleans or weights.
    workers
        As for `moments`.

    Returns
    -------
    numpy.ndarray or dask.array.Array
        (scan_y, scan_x) float64, in counts.

    Raises
    ------
    ValueError
        As for `moments`.

    Examples
    --------
    >>> virtual_image(np.ones((1, 2, 4, 4)), np.eye(4, dtype=bool))
    array([[4., 4.]])
    """
    return moments(data, detectors=[mask], center=(0, 0), workers=workers).images[0]


def check_4d(data: Any) -> Any:
    """Return 4D-STEM data (those of a HyperSpy signal), or say in a ValueError what they are."""
    data = patterns_of(data)
    if not hasattr(data, "ndim") or not hasattr(data, "dtype"):
        raise ValueError(
            f"Expected an array of patterns (scan_y, scan_x, ky, kx), not {type(data).__name__}."
        )
    if isinstance(data, np.ma.MaskedArray):
        raise ValueError(
            "The data are a masked array, and the values under its mask would count. Fill them: "
            "data.filled(0), or data.astype(float).filled(numpy.nan)."
        )
    if any(size != size for size in data.shape):
        raise ValueError(
            "The sizes of the dask array are not known; data.compute_chunk_sizes() finds them."
        )
    if data.ndim != 4:
        raise ValueError(
            f"Expected 4D data (scan_y, scan_x, ky, kx), not shape {tuple(data.shape)}. "
            "A stack of frames becomes a scan by data.reshape(scan_y, scan_x, ky, kx)."
        )
    if data.dtype.kind not in "buif":
        raise ValueError(f"Expected real patterns, not {data.dtype}; take abs(data)**2 of waves.")
    if 0 in data.shape:
        raise ValueError(f"The data are empty: shape {tuple(data.shape)}.")
    return data


def _check_center(center: Any) -> None:
    if center is not None and not (np.shape(center) == (2,) and np.isfinite(center).all()):
        raise ValueError(f"center must be two finite numbers, (ky, kx) in px, not {center!r}.")


def _lazy_moments(
    data: da.Array,
    task: Pass,
    center: tuple[float, float] | None,
    inspect: Callable[[Moments], None] | None,
) -> Moments:
    """Do the pass over dask data; every field of the result hangs on one task."""
    run = partial(block_moments, task=task)
    whole = map_scan_blocks(run, data, partial(_join, center=center, inspect=inspect))
    scan, detector = data.shape[:2], data.shape[2:]

    return Moments(
        array_part(whole, "total", scan),
        array_part(whole, "com", (*scan, 2)),
        array_part(whole, "images", (task.detector_count, *scan)),
        array_part(whole, "pattern", detector) if task.pattern else None,
        array_part(whole, "center", (2,)),
        array_part(whole, "peak", scan),
    )


def _iter_blocks(
    data: Any, task: Pass, workers: int, block_bytes: int
) -> Generator[tuple[slice, BlockMoments], None, None]:
    """Do the pass on threads, whole scan rows at a time, in order; the kernel frees the GIL."""
    if is_lazy(data):
        data = chunk_by_scan_rows(data)
        edges = np.cumsum([0, *data.chunks[0]]).tolist()
        rows_of_blocks: Iterator[slice] = map(slice, edges[:-1], edges[1:])
        # Delayed once: slicing the array for every block would cost more than the block itself.
        grid = dict(zip(edges, data.to_delayed()[:, :, 0, 0], strict=False))
    else:
        rows_of_blocks = scan_row_blocks(data.shape, data.dtype.itemsize, block_bytes=block_bytes)

    def one(rows: slice) -> tuple[slice, BlockMoments]:
        if not is_lazy(data):
            return rows, block_moments(data[rows], (rows.start, 0), task=task)
        columns = np.cumsum([0, *data.chunks[1]]).tolist()
        parts = [
            block_moments(block.compute(), (rows.start, column), task=task)
            for block, column in zip(grid[rows.start], columns, strict=False)
        ]
        return rows, beside(parts)

    return in_order(one, rows_of_blocks, workers=workers)


def _absolute_com(values: np.ndarray) -> np.ndarray:
    """COM per position from (total, Σ y v, Σ x v, …); NaN where the total is not above zero."""
    total = values[..., :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, values[..., 1:3] / total, np.nan)


def _join(
    grid: list[list[BlockMoments]],
    *,
    center: tuple[float, float] | None,
    inspect: Callable[[Moments], None] | None = None,
) -> Moments:
    """Turn the raw sums of all blocks, one list per row of blocks, into `Moments`."""
    rows = [beside(blocks) for blocks in grid]
    values = np.concatenate([row.values for row in rows])
    patterns = [row.pattern for row in rows if row.pattern is not None]
    com = _absolute_com(values)
    empty = np.isnan(com)
    if center is not None:
        place = np.array(center, np.float64).reshape(2)
    elif empty.all():
        place = np.zeros(2)
    else:
        place = np.nanmean(com, axis=(0, 1))
    result = Moments(
        total=values[..., 0],
        com=np.where(empty, 0, com - place),
        images=np.moveaxis(values[..., 4:], -1, 0),
        pattern=np.sum(patterns, axis=0) / values[..., 0].size if patterns else None,
        center=place,
        peak=values[..., 3],
    )
    if inspect is not None:
        inspect(result)
    return result
