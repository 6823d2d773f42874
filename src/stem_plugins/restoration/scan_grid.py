"""Data moved on its scan grid: images, spectra and 4D scans read between the scan positions.

Every result is a weighted sum of whole detector frames (or spectra, or pixels), so a sparse matrix
of weights does the work: one row per scan position of the result, one column per position that
was recorded. Weights reach over a few scan rows only, and blocks of rows with a halo go through
one by one: memory does not grow with the scan, and chunks of a dask array change nothing.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from stem_plugins.lazy import is_lazy, scan_row_blocks

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["checked_shifts", "resample_scan", "weigh_scan"]

#: Bytes that one scan position of a block needs for its weights, about: 16 weights with index.
WEIGHT_BYTES = 256


class Weights(Protocol):
    """Makes the matrix of weights for some rows of the result."""

    def __call__(
        self, positions: NDArray[np.float64], *, rows: slice, window: slice, scan_rows: int
    ) -> scipy.sparse.csr_array:
        """Return the weights of the positions in `window` for the positions in `rows`.

        Parameters
        ----------
        positions
            What is known of each position in `window`, its shift (y, x) first [px], (window
            rows, scan_x, 2 or more).
        rows, window
            Rows of the result, and the recorded rows around them.
        scan_rows
            Rows of the whole scan.
        """


def resample_scan(data: np.ndarray | da.Array, shifts: ArrayLike) -> np.ndarray | da.Array:
    """Read data between the positions of their scan, at ``(y, x) + shifts``.

    Cubic convolution of 4 × 4 positions (Keys): a polynomial of second degree is read exactly,
    and a position without shift returns what is there. Beside sharp edges the result may
    undershoot. Outside the scan the edge continues.

    Parameters
    ----------
    data
        On a scan grid: an image (scan_y, scan_x), spectra (scan_y, scan_x, energy), a 4D scan
        (scan_y, scan_x, ky, kx). NumPy, or dask, which stays lazy: one pass in blocks of whole
        scan rows, with a halo as large as the largest shift.
    shifts
        Where to read, relative to each position [px], (scan_y, scan_x, 2), vectors (y, x).

    Returns
    -------
    ndarray or dask.array.Array
        Shape of `data`; float32 where that holds the type of `data`, otherwise float64 (complex
        likewise).

    Raises
    ------
    ValueError
        The data have no two scan axes, or the shifts do not fit them, are not finite
        or larger than the scan.

    References
    ----------
    R. G. Keys, IEEE Transactions on Acoustics, Speech and Signal Processing 29, 1153 (1981).

    Examples
    --------
    >>> ramp = np.arange(6.0) + np.zeros((3, 1))
    >>> resample_scan(ramp, np.full((3, 6, 2), (0.0, 0.25)))[1].round(2)
    array([0.18, 1.25, 2.25, 3.25, 4.27, 5.  ])
    """
    shifts = checked_shifts(data, shifts)
    reach = int(np.ceil(np.abs(shifts[..., 0]).max(initial=0.0))) + 2
    return weigh_scan(data, shifts, cubic_weights, reach=reach)


def checked_shifts(data: Any, shifts: ArrayLike) -> NDArray[np.float64]:
    """Return shifts as numbers, one vector for each position of the data's scan.

    Parameters
    ----------
    data
        On a scan grid, (scan_y, scan_x, ...).
    shifts
        [px], (scan_y, scan_x, 2).

    Raises
    ------
    ValueError
        The data have no two scan axes, or the shifts do not fit them, are not finite
        or larger than the scan.
    """
    if data.ndim < 2 or 0 in data.shape:
        raise ValueError(
            "The data need two scan axes, (scan_y, scan_x, ...), with at least one position; "
            f"their shape is {tuple(data.shape)}."
        )
    if data.dtype.kind not in "biufc":
        raise ValueError(f"The data must be numbers, not {data.dtype}.")
    numbers = np.asarray(shifts)
    expected = (*data.shape[:2], 2)
    if numbers.shape != expected:
        raise ValueError(
            f"The shifts must be one vector (y, x) for each scan position, shape {expected}, "
            f"not {numbers.shape}."
        )
    if numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all():
        raise ValueError("The shifts must be finite real numbers [px].")
    if np.abs(numbers).max() > max(data.shape[:2]):
        raise ValueError(
            f"A shift of {np.abs(numbers).max():g} px is larger than the whole scan, "
            f"{tuple(data.shape[:2])}. Shifts are in pixels."
        )
    return numbers.astype(float)


def weigh_scan(
    data: np.ndarray | da.Array, positions: NDArray[np.float64], weights: Weights, *, reach: int
) -> np.ndarray | da.Array:
    """Replace every scan position by a weighted sum of those around it.

    Parameters
    ----------
    data
        On a scan grid, (scan_y, scan_x, ...), NumPy or dask.
    positions
        What is known of each position, its shift (y, x) first [px], (scan_y, scan_x, 2 or more).
    weights
        Makes the matrix of weights.
    reach
        Weights are zero between rows that are further apart.

    Returns
    -------
    ndarray or dask.array.Array
        Shape of `data`.
    """
    scan_rows = data.shape[0]
    dtype = np.result_type(data.dtype, np.float32)
    reach = min(reach, scan_rows)
    weigh = functools.partial(
        _weigh_rows, weights=weights, reach=reach, scan_rows=scan_rows, dtype=dtype
    )
    if is_lazy(data):
        return _map_row_chunks(weigh, data, positions, reach, dtype)
    return weigh(np.asarray(data), positions, rows=slice(0, scan_rows), start=0)


def _weigh_rows(
    source: np.ndarray,
    positions: NDArray[np.float64],
    *,
    rows: slice,
    start: int,
    weights: Weights,
    reach: int,
    scan_rows: int,
    dtype: np.dtype,
) -> np.ndarray:
    """Rows of the result from `source`, whose first row is row `start` of the scan."""
    result = np.empty((rows.stop - rows.start, *source.shape[1:]), dtype)
    # Pieces, so that neither weights nor converted frames take much memory.
    bytes_each = max(int(np.prod(source.shape[2:])) * dtype.itemsize, WEIGHT_BYTES)
    for piece in scan_row_blocks((len(result), source.shape[1], bytes_each), 1):
        wanted = slice(rows.start + piece.start, rows.start + piece.stop)
        window = slice(max(wanted.start - reach, 0), min(wanted.stop + reach, scan_rows))
        here = slice(window.start - start, window.stop - start)
        matrix = weights(positions[here], rows=wanted, window=window, scan_rows=scan_rows)
        frames = source[here].astype(dtype).reshape(matrix.shape[1], -1)
        result[piece] = (matrix.astype(dtype) @ frames).reshape(-1, *source.shape[1:])
    return result


def _map_row_chunks(
    weigh: Callable[..., np.ndarray],
    data: da.Array,
    positions: NDArray[np.float64],
    reach: int,
    dtype: np.dtype,
) -> da.Array:
    """One lazy pass: every chunk of whole scan rows with the rows around it."""
    import dask.array as da

    data = _chunk_by_rows(data, reach)
    edges = np.cumsum([0, *data.chunks[0]]).tolist()
    parts = []
    for start, stop in itertools.pairwise(edges):
        window = slice(max(start - reach, 0), min(stop + reach, len(positions)))
        parts.append(
            da.map_blocks(
                weigh,
                data[window].rechunk({0: -1}),
                positions=positions[window],
                rows=slice(start, stop),
                start=window.start,
                chunks=((stop - start,), *data.chunks[1:]),
                dtype=dtype,
                meta=np.empty((0,) * data.ndim, dtype),
            )
        )
    return da.concatenate(parts)


def _chunk_by_rows(data: da.Array, reach: int) -> da.Array:
    """Chunks of whole scan rows and frames; not so thin that they are all halo."""
    if data.numblocks[1:] == (1,) * (data.ndim - 1) and max(data.chunks[0]) >= reach:
        return data
    first = next(scan_row_blocks(data.shape, data.dtype.itemsize))
    return data.rechunk((first.stop, *(-1,) * (data.ndim - 1)))


def cubic_weights(
    positions: NDArray[np.float64], *, rows: slice, window: slice, scan_rows: int
) -> scipy.sparse.csr_array:
    """Weights of Keys' cubic convolution, 4 × 4 for each position.

    Parameters
    ----------
    positions, rows, window, scan_rows
        As for `Weights`.
    """
    width = positions.shape[1]
    inner = positions[rows.start - window.start : rows.stop - window.start]
    y, weight_y = _taps(np.arange(rows.start, rows.stop)[:, None] + inner[..., 0], scan_rows)
    x, weight_x = _taps(np.arange(width) + inner[..., 1], width)
    index = (y - window.start)[..., :, None] * width + x[..., None, :]
    values = weight_y[..., :, None] * weight_x[..., None, :]
    count = inner.shape[0] * width
    return scipy.sparse.csr_array(
        (values.ravel(), index.ravel(), np.arange(0, 16 * count + 1, 16)),
        shape=(count, positions.shape[0] * width),
    )


def _taps(place: NDArray[np.float64], length: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The four positions around each place, and their weights."""
    # Outside the scan the edge continues.
    place = np.clip(place, 0, length - 1)
    below = np.floor(place)
    index = below[..., None].astype(np.intp) + np.arange(-1, 3)
    distance = np.abs(place[..., None] - index)
    near = ((1.5 * distance - 2.5) * distance) * distance + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weight = np.where(distance <= 1, near, far)
    return np.clip(index, 0, length - 1), weight
