"""One pass over 4D data: totals, centres of mass, virtual detectors and the mean pattern.

Centre of mass after thesis eq. 3.1 (T. Friedrich, University of Antwerp, 2023), normalised by the
intensity of each pattern: ``COM = Σ k I(k) / Σ I(k) - center``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from stem_plugins.imaging.detectors import (
    DetectorSteps,
    MaskRuns,
    check_mask,
    detector_steps,
    mask_runs,
)
from stem_plugins.imaging.hyperspy_data import patterns_of
from stem_plugins.lazy.blocks import is_lazy, map_scan_blocks, scan_row_blocks, thread_count

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Moments", "iter_moments", "moments", "virtual_image"]


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
    """

    total: np.ndarray | da.Array
    com: np.ndarray | da.Array
    images: np.ndarray | da.Array
    pattern: np.ndarray | da.Array | None
    center: np.ndarray | da.Array

    def compute(self) -> Moments:
        """Return the same with NumPy arrays, all computed in one pass."""
        import dask

        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        (computed,) = dask.compute(fields)
        return Moments(**computed)


@dataclasses.dataclass(frozen=True)
class _Pass:
    """What is done with every frame: the masks as given, and as the kernel reads them."""

    detector_shape: tuple[int, int]
    mask: MaskRuns
    detectors: DetectorSteps
    detector_count: int
    pattern: bool

    @classmethod
    def build(
        cls,
        shape: tuple[int, ...],
        mask: np.ndarray | None,
        detectors: Sequence[np.ndarray],
        pattern: bool,
    ) -> _Pass:
        detector_shape = (shape[2], shape[3])
        if mask is not None:
            mask = check_mask(mask, detector_shape, "mask")
            if mask.dtype != bool:
                raise ValueError("mask must be boolean: True for pixels that count.")
            if not mask.any():
                raise ValueError("mask leaves no pixel of the detector.")
        masks = [
            check_mask(detector, detector_shape, f"detectors[{index}]")
            for index, detector in enumerate(detectors)
        ]
        return cls(
            detector_shape,
            mask_runs(mask, detector_shape),
            detector_steps(masks, detector_shape),
            len(masks),
            pattern,
        )


def moments(
    data: np.ndarray | da.Array,
    *,
    center: tuple[float, float] | None = None,
    detectors: Sequence[np.ndarray] = (),
    mask: np.ndarray | None = None,
    pattern: bool = False,
    workers: int | None = None,
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

    Returns
    -------
    Moments
        Dask arrays for dask data; then ``result.compute()`` does everything in one pass.

    Raises
    ------
    ValueError
        The data are not 4D or not real, a mask does not fit the detector, or a frame holds NaN or
        infinite pixels that the mask does not exclude.

    Examples
    --------
    >>> data = np.zeros((2, 2, 4, 4), np.uint16)
    >>> data[..., 1, 2] = 3
    >>> result = moments(data, center=(1.5, 1.5))
    >>> result.com[0, 0], result.total[0, 0]
    (array([-0.5,  0.5]), np.float64(3.0))
    """
    data = check_4d(data)
    task = _Pass.build(data.shape, mask, detectors, pattern)
    values: np.ndarray | da.Array
    summed: np.ndarray | da.Array
    if is_lazy(data):
        values, summed = map_scan_blocks(
            partial(_block_moments, task=task),
            data,
            channels=3 + task.detector_count,
            reduced_shape=task.detector_shape if pattern else (0, 0),
        )
    else:
        values, summed = _in_threads(np.asarray(data), task, workers or thread_count())
    return _assemble(values, summed if pattern else None, center)


def iter_moments(
    data: np.ndarray | da.Array,
    *,
    detectors: Sequence[np.ndarray] = (),
    mask: np.ndarray | None = None,
    pattern: bool = False,
    block_bytes: int = 16 * 2**20,
) -> Iterator[tuple[slice, Moments]]:
    """Do the pass of `moments` block by block, for pictures that fill while it runs.

    Closing the generator stops the pass; nothing runs on behind it.

    Parameters
    ----------
    data, detectors, mask, pattern
        As for `moments`.
    block_bytes
        About how much is read between two results.

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
    task = _Pass.build(data.shape, mask, detectors, pattern)
    if is_lazy(data) and data.numblocks[2:] == (1, 1):
        edges = np.cumsum([0, *data.chunks[0]])
        blocks: Iterator[slice] = map(slice, edges[:-1], edges[1:])
    else:
        blocks = scan_row_blocks(data.shape, data.dtype.itemsize, block_bytes=block_bytes)
    for rows in blocks:
        block = data[rows].compute() if is_lazy(data) else np.asarray(data[rows])
        values, summed = _block_moments(block, (int(rows.start), 0), task=task)
        frames = values.shape[0] * values.shape[1]
        yield (
            slice(int(rows.start), int(rows.stop)),
            Moments(
                values[..., 0],
                _absolute_com(values),
                np.moveaxis(values[..., 3:], -1, 0),
                summed / frames if pattern else None,
                np.zeros(2),
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


def _in_threads(data: np.ndarray, task: _Pass, workers: int) -> tuple[np.ndarray, np.ndarray]:
    """Run the pass over NumPy data, blocks of rows on threads; the kernel releases the GIL."""
    values = np.empty((*data.shape[:2], 3 + task.detector_count))
    summed = np.zeros(task.detector_shape if task.pattern else (0, 0))
    blocks = list(scan_row_blocks(data.shape, data.dtype.itemsize, block_bytes=16 * 2**20))

    def one(rows: slice) -> np.ndarray:
        values[rows], block_sum = _block_moments(data[rows], (rows.start, 0), task=task)
        return block_sum

    if workers == 1 or len(blocks) == 1:
        for rows in blocks:
            summed += one(rows)
    else:
        with ThreadPoolExecutor(workers) as pool:
            for block_sum in pool.map(one, blocks):
                summed += block_sum
    return values, summed


def _block_moments(
    block: np.ndarray, offset: tuple[int, int], *, task: _Pass
) -> tuple[np.ndarray, np.ndarray]:
    """Return (total, Σ y v, Σ x v, detectors…) per position of a block, and its summed pattern."""
    from stem_plugins.imaging.moments_kernel import (
        accumulator_dtype,
        moments_of_frames,
        rows_before_overflow,
    )

    block = _readable(np.asarray(block))
    pixels, start, strides = _flat(block)
    dtype = accumulator_dtype(block.dtype)
    values = np.zeros((*block.shape[:2], 3))
    images = np.zeros((*block.shape[:2], task.detector_count))
    pattern = np.zeros(task.detector_shape if task.pattern else (0, 0))
    moments_of_frames(
        pixels,
        start,
        strides,
        block.shape,
        not block.dtype.isnative,
        rows_before_overflow(block.dtype, block.shape[2]),
        task.mask,
        task.detectors,
        np.zeros(block.shape[3], dtype),
        np.zeros(block.shape[3], dtype),
        np.zeros(task.detectors.weight.size, dtype),
        values,
        images,
        pattern,
    )
    if block.dtype.kind == "f" and not (np.isfinite(values).all() and np.isfinite(images).all()):
        bad = np.argwhere(~np.isfinite(values).all(axis=2) | ~np.isfinite(images).all(axis=2))[0]
        raise ValueError(
            f"The pattern at scan position {tuple(int(i) for i in bad + offset)} holds NaN or "
            "infinite pixels. Leave them out with mask=, or replace them, for example by "
            "numpy.nan_to_num."
        )
    return np.concatenate([values, images], axis=2), pattern


def _readable(block: np.ndarray) -> np.ndarray:
    """Return the block in a form the kernel reads in place; a copy only where there is no other."""
    if block.dtype == bool:
        block = block.view(np.uint8)
    if block.dtype.kind == "f" and block.dtype.itemsize not in (4, 8):
        block = block.astype(np.float64 if block.dtype.itemsize > 8 else np.float32)
    in_place = (
        block.flags.aligned
        and (block.shape[3] == 1 or block.strides[3] == block.itemsize)
        and all(stride % block.itemsize == 0 for stride in block.strides)
    )
    return block if in_place else np.ascontiguousarray(block)


def _flat(block: np.ndarray) -> tuple[np.ndarray, int, tuple[int, int, int]]:
    """Return the memory under a block as one row of machine-typed pixels, and how to walk it."""
    low, high = byte_bounds(block)
    native = block.view(np.ndarray).view(block.dtype.newbyteorder("="))
    ascending = native[tuple(slice(None, None, -1 if step < 0 else 1) for step in native.strides)]
    pixels = np.lib.stride_tricks.as_strided(
        ascending, ((high - low) // block.itemsize,), (block.itemsize,), writeable=False
    )
    start = (block.__array_interface__["data"][0] - low) // block.itemsize
    sy, sx, row = (stride // block.itemsize for stride in block.strides[:3])
    return pixels, start, (sy, sx, row)


def _absolute_com(values: np.ndarray) -> np.ndarray:
    """COM per position from (total, Σ y v, Σ x v, …); NaN where the total is not above zero."""
    total = values[..., :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, values[..., 1:3] / total, np.nan)


def _assemble(values: Any, summed: Any, center: tuple[float, float] | None) -> Moments:
    """Turn the pass's raw sums into `Moments`; the same code for NumPy and dask arrays."""
    if is_lazy(values):
        import dask.array as da

        absolute: Any = da.map_blocks(
            _absolute_com, values, chunks=(*values.chunks[:2], (2,)), dtype=np.float64
        )
        xp: Any = da
    else:
        absolute, xp = _absolute_com(values), np
    empty = xp.isnan(absolute)
    if center is None:
        counted = (~empty).sum(axis=(0, 1))
        place = xp.where(empty, 0, absolute).sum(axis=(0, 1)) / xp.where(counted == 0, 1, counted)
    else:
        place = xp.asarray(np.array(center, np.float64).reshape(2))
    frames = values.shape[0] * values.shape[1]
    return Moments(
        values[..., 0],
        xp.where(empty, 0, absolute - place),
        xp.moveaxis(values[..., 3:], -1, 0),
        None if summed is None else summed / frames,
        place,
    )
