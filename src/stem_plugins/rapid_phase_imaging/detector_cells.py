"""Virtual detectors that know neither voltage nor aperture nor camera: cells of the pattern.

All angles are in units of the convergence semi-angle α, in the frame of the scan, so that a network
sees the same whatever the microscope. Fine cells, squares of 3/32 α, tile the bright-field disc:
direct ptychography looks at these. Four of them make a coarse cell of 3/16 α, which is what the
network looks at, together with 36 sectors of the dark field up to 3 α. Cells and sectors go over
into each other when patterns are turned by 90° or mirrored.

One definition serves training, where simulated patterns have a fine cell for a pixel, and
reconstruction, where pixels of any size, turned and mirrored, share their counts out to the cells
that they lie on (`stem_plugins.rapid_phase_imaging.reduction`).
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CELLS",
    "COARSE",
    "FINE",
    "LARGEST_ANGLE",
    "SECTORS",
    "cell_of",
    "coarse_of_fine",
    "fine_angles",
]

#: Edges of fine and coarse cells, in parts of α.
FINE, COARSE = 3 / 32, 3 / 16

#: Fine cells along half an edge of the square that holds the disc.
HALF = 12

#: Outer radii of the rings of the dark field, and sectors of each.
RINGS = (1.5, 2.1, 3.0)
SECTORS_PER_RING = 12

#: Beyond this, in parts of α, nothing is looked at.
LARGEST_ANGLE = RINGS[-1]


@functools.cache
def _square() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Number of each fine cell of the square, -1 outside the disc, and the cells' middles."""
    middle = (np.arange(-HALF, HALF) + 0.5) * FINE
    y, x = np.meshgrid(middle, middle, indexing="ij")
    # A cell of which any part lies within the aperture, with half a cell for a soft edge.
    inside = np.hypot(y, x) < 1 + FINE / 2 * np.sqrt(2)
    number = np.full(inside.shape, -1)
    number[inside] = np.arange(inside.sum())
    return number, np.column_stack([y[inside], x[inside]])


def fine_angles() -> NDArray[np.float64]:
    """Middles of the fine cells, (cells, 2) as (y, x) in parts of α.

    Examples
    --------
    >>> fine_angles().shape
    (400, 2)
    """
    return _square()[1]


@functools.cache
def coarse_of_fine() -> NDArray[np.int64]:
    """Number of the coarse cell that each fine cell belongs to, (fine cells,).

    Examples
    --------
    >>> int(coarse_of_fine().max()) + 1
    112
    """
    y, x = np.floor(fine_angles() / COARSE).astype(int).T
    _, number = np.unique(np.column_stack([y, x]), axis=0, return_inverse=True)
    return number.reshape(-1)


#: Fine cells, coarse cells and sectors.
CELLS = len(fine_angles())
COARSE_CELLS = int(coarse_of_fine().max()) + 1
SECTORS = len(RINGS) * SECTORS_PER_RING


def cell_of(angles: NDArray[np.floating]) -> NDArray[np.int64]:
    """Find the cell or sector at angles.

    Parameters
    ----------
    angles
        (..., 2), vectors (y, x) in the scan frame, in parts of α.

    Returns
    -------
    ndarray of int, shape (...)
        Below `CELLS` a fine cell, from there on a sector; -1 where nothing is looked at.

    Examples
    --------
    >>> int(cell_of(np.array([0.0, 2.0]))) - CELLS  # second ring, first sector
    12
    >>> int(cell_of(np.array([0.0, 3.1])))
    -1
    """
    number, _ = _square()
    row, column = np.moveaxis(np.floor(angles / FINE).astype(int) + HALF, -1, 0)
    on_square = (row >= 0) & (row < 2 * HALF) & (column >= 0) & (column < 2 * HALF)
    found = np.where(on_square, number[row % (2 * HALF), column % (2 * HALF)], -1)
    radius = np.hypot(angles[..., 0], angles[..., 1])
    ring = np.searchsorted(RINGS, radius, side="right")
    turn = np.arctan2(angles[..., 0], angles[..., 1]) / (2 * np.pi) % 1.0
    sector = np.minimum((turn * SECTORS_PER_RING).astype(int), SECTORS_PER_RING - 1)
    sector = CELLS + ring * SECTORS_PER_RING + sector
    return np.where(found >= 0, found, np.where(ring < len(RINGS), sector, -1))
