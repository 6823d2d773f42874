"""Cut images larger than memory into pieces with a halo, and put the results side by side.

Cuts lie on a grid of the whole image, so that a piece sees the same windows as the whole image
does, and it makes no difference who does the cutting: this module, or dask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from stem_plugins.restoration.image_models import ImageModel

__all__ = ["Piece", "apply_in_pieces", "cut", "piece_sizes", "strip_height"]

#: A piece that holds a multiple of the row-aware network's context may be cut across its rows.
WIDEST = 2304

#: About how many pixels a square piece has, and one of whole rows: the published network takes
#: 2.4 kB for each, the row-aware one 0.4 kB.
SQUARE_PIXELS = 2**18
STRIP_PIXELS = 2**20

#: About how many pixels a strip has from which rows are found: 0.2 kB for each.
ROW_PIXELS = 2**21

#: One piece along one axis: what is needed, and what is kept of it.
Piece = tuple[slice, slice]


def piece_sizes(
    shape: tuple[int, int], model: ImageModel, tile: int | None = None
) -> tuple[int, int]:
    """Choose the sides of pieces, (along y, along x) [px], for a model and a size of image.

    Parameters
    ----------
    shape
        Of the image with the fast scan along x.
    model
        Its grid and whether it wants whole rows.
    tile
        Side of a piece [px], height where pieces are whole rows; ``None``: chosen by memory.
    """

    def fitting(size: float) -> int:
        return max(1, round(size / model.grid)) * model.grid

    if not model.whole_rows:
        side = fitting(tile or SQUARE_PIXELS**0.5)
        return side, side
    width = shape[1] if shape[1] <= WIDEST else fitting(WIDEST - 2 * model.halo)
    return fitting(tile or max(2 * model.halo, STRIP_PIXELS / width)), width


def strip_height(width: int, model: ImageModel) -> int:
    """Choose the height of strips of whole rows from which rows are found [px].

    Parameters
    ----------
    width
        Of the image with the fast scan along x.
    model
        Its grid and halo.
    """
    return max(1, round(max(2 * model.halo, ROW_PIXELS / width) / model.grid)) * model.grid


def cut(size: int, piece: int, halo: int) -> Iterator[Piece]:
    """Cut an axis into pieces.

    Parameters
    ----------
    size
        Length of the axis [px].
    piece
        Length of a piece without its halo [px]; the last one takes up a short rest.
    halo
        On either side, as far as there is an image [px].

    Yields
    ------
    needed, kept : slice
        Both in the frame of the axis.

    Examples
    --------
    >>> list(cut(10, 4, 1))
    [(slice(0, 5, None), slice(0, 4, None)), (slice(3, 10, None), slice(4, 10, None))]
    """
    starts = list(range(0, max(1, size - piece // 2), piece))
    for start, stop in zip(starts, [*starts[1:], size], strict=True):
        yield slice(max(0, start - halo), min(size, stop + halo)), slice(start, stop)


def apply_in_pieces(
    function: Callable[[np.ndarray, slice], np.ndarray],
    image: np.ndarray,
    sizes: tuple[int, int],
    halo: int,
) -> Iterator[tuple[float, tuple[slice, slice], np.ndarray]]:
    """Apply a function to an image piece by piece.

    Parameters
    ----------
    function
        Takes a part of the image (y, x) and which rows it has, and returns an image.
    image
        The whole, (y, x).
    sizes
        Of a piece without its halo [px], (y, x).
    halo
        [px].

    Yields
    ------
    share : float
        Of the pieces that are done.
    place : tuple of slice
        Where the result belongs.
    result : ndarray
        The function's result there, without the halo.
    """
    along_y = list(cut(image.shape[0], sizes[0], halo))
    along_x = list(cut(image.shape[1], sizes[1], halo))
    for row, (needed_y, kept_y) in enumerate(along_y):
        for column, (needed_x, kept_x) in enumerate(along_x):
            result = function(image[needed_y, needed_x], needed_y)
            inner = (_within(kept_y, needed_y), _within(kept_x, needed_x))
            share = (row * len(along_x) + column + 1) / (len(along_y) * len(along_x))
            yield share, (kept_y, kept_x), result[inner]


def _within(kept: slice, needed: slice) -> slice:
    return slice(kept.start - needed.start, kept.stop - needed.start)
