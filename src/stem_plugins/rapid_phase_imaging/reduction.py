"""From patterns of any camera to the cells of `stem_plugins.rapid_phase_imaging.detector_cells`.

Every detector pixel is turned (and mirrored) into the frame of the scan, divided by the aperture's
angle, and shares its counts out to the cells that it lies on. That is done once, into a list of
runs of neighbouring pixels; afterwards a pattern is one pass over these.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stem_plugins.imaging.center_of_mass import scan_frame_matrix
from stem_plugins.imaging.frame_memory import flat_pixels, readable
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.rapid_phase_imaging.detector_cells import (
    CELLS,
    FINE,
    LARGEST_ANGLE,
    SECTORS,
    cell_of,
)
from stem_plugins.rapid_phase_imaging.reduction_kernel import reduce_frames

__all__ = ["Reduction", "plan_reduction", "reduce_patterns"]

#: Parts into which a pixel is divided along an edge, at most, to share it out.
MOST_PARTS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Reduction:
    """Runs of pixels, and the cell that each of them counts for.

    Parameters
    ----------
    runs
        (n, 4): detector row, first column, column after the last, cell.
    weights
        Part of the counts, (n,).
    cells
        How many there are.
    """

    runs: NDArray[np.int32]
    weights: NDArray[np.float32]
    cells: int = CELLS + SECTORS


def plan_reduction(
    detector_shape: tuple[int, int],
    acquisition: Acquisition,
    *,
    cell_of: Callable[[NDArray[np.floating]], NDArray[np.int64]] = cell_of,
    cells: int = CELLS + SECTORS,
) -> Reduction:
    """Find out which cells the pixels of a detector lie on.

    Parameters
    ----------
    detector_shape
        (ky, kx).
    acquisition
        With `convergence_angle`, `diffraction_step` and `center`; `scan_rotation` and `flip_y` are
        taken as none where unknown.
    cell_of, cells
        Number of the cell at angles (..., 2) in parts of α, -1 for none; and how many there are.
    """
    assert acquisition.convergence_angle is not None
    assert acquisition.diffraction_step is not None
    assert acquisition.center is not None
    pixel = np.array(acquisition.diffraction_step) / acquisition.convergence_angle
    turn = scan_frame_matrix(acquisition.scan_rotation or 0.0, bool(acquisition.flip_y))
    parts = int(np.clip(np.ceil(3 * pixel.max() / FINE), 1, MOST_PARTS))
    inner = (np.arange(parts) + 0.5) / parts - 0.5
    rows, columns = (
        (np.arange(size)[:, None] + inner - middle).reshape(-1) * edge
        for size, middle, edge in zip(detector_shape, acquisition.center, pixel, strict=True)
    )
    angles = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1) @ turn.T
    divided = cell_of(angles).reshape(detector_shape[0], parts, detector_shape[1], parts)
    cell = divided.transpose(0, 2, 1, 3).reshape(*detector_shape, parts**2)
    return Reduction(*_runs(cell), cells)


def _runs(cell: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Join neighbouring pixels that count for the same cell by the same part."""
    _, width, parts = cell.shape
    ordered = np.sort(cell, axis=-1).reshape(-1, parts)
    entries = []
    for index in range(parts):
        first = index == 0 or (ordered[:, index] != ordered[:, index - 1])
        chosen = np.flatnonzero((ordered[:, index] >= 0) & first)
        share = (ordered[chosen] == ordered[chosen, index][:, None]).sum(1)
        entries.append(np.column_stack([chosen, ordered[chosen, index], share]))
    pixel, number, share = np.concatenate(entries).T
    # By cell and part, then along the rows: a run goes on where the next pixel is the next entry.
    order = np.lexsort([pixel, share, number])
    pixel, number, share = pixel[order], number[order], share[order]
    begins = np.ones(len(pixel), bool)
    begins[1:] = (
        (np.diff(pixel) != 1)
        | (np.diff(number) != 0)
        | (np.diff(share) != 0)
        | (pixel[1:] % width == 0)
    )
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, len(pixel)))
    row, column = np.divmod(pixel[starts], width)
    order = np.lexsort([column, row])  # as the memory is read
    runs = np.column_stack([row, column, column + lengths, number[starts]])[order]
    return runs.astype(np.int32), (share[starts][order] / parts).astype(np.float32)


def reduce_patterns(block: np.ndarray, reduction: Reduction) -> NDArray[np.float32]:
    """Sum patterns over cells and sectors.

    Parameters
    ----------
    block
        (rows, columns, ky, kx), of any real type in any byte order.
    reduction
        From `plan_reduction`.

    Returns
    -------
    ndarray
        (rows, columns, cells + sectors).

    Raises
    ------
    ValueError
        Pixels that are looked at are NaN or infinite.

    Examples
    --------
    >>> acquisition = Acquisition(convergence_angle=20, diffraction_step=4, center=(7.5, 7.5))
    >>> reduction = plan_reduction((16, 16), acquisition)
    >>> cells = reduce_patterns(np.ones((1, 1, 16, 16), np.uint8), reduction)
    >>> float(cells[..., : CELLS].sum().round())  # about as many pixels as the disc has
    88.0
    """
    rows, columns, _, width = block.shape
    block = readable(np.asarray(block))
    pixels, start, strides = flat_pixels(block)
    out = np.zeros((rows * columns, reduction.cells), np.float32)
    line = np.empty(width, np.float32)
    swap = not block.dtype.isnative
    reduce_frames(
        pixels,
        start,
        strides,
        block.shape,
        swap,
        reduction.runs,
        reduction.weights,
        line,
        out,
    )
    if block.dtype.kind == "f" and not np.isfinite(out).all():
        raise ValueError(
            f"Patterns hold NaN or infinite pixels within {LARGEST_ANGLE:g} times the convergence "
            "angle; replace them first."
        )
    return out.reshape(rows, columns, -1)
