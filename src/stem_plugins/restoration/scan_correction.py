"""Scan correction: where every pixel was really recorded, and any data put back there.

The restored image of a scan shows where things are; the image as it was recorded shows where the
beam met them. `scan_shifts` compares both row by row, and `apply_scan_shifts` moves anything that
was recorded in the same scan, spectra and diffraction patterns included (thesis section 2.1 and
figure 2.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
import scipy.spatial
from numpy.typing import ArrayLike, NDArray

from stem_plugins.lazy import is_lazy, map_whole
from stem_plugins.restoration.row_registration import register_rows
from stem_plugins.restoration.scan_grid import checked_shifts, weigh_scan

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["apply_scan_shifts", "scan_shifts"]

#: Rows and columns below which a scan holds too little to compare.
SMALLEST_SIDE = 8

#: Weight of recorded pixels below which a place counts as a gap.
THIN = 0.25

#: Gaps are closed by means that reach up to this far, and wider ones by the nearest pixel [px].
WIDEST = 4

#: Recorded positions that cannot count this much among their neighbours, since rows crowd there,
#: may count this far away [px], with so small a share at first that only balancing makes use of it.
CROWDED, FAR, FAR_SHARE = 0.99, 3, 0.003

#: Rounds of balancing. More change sums by less than the edges of the scan do.
BALANCING = 100

#: Bounds of the balanced weights, up and (its inverse) down.
LARGEST_WEIGHT = 100.0


def scan_shifts(
    distorted: np.ndarray | da.Array,
    restored: np.ndarray | da.Array,
    *,
    progress: Callable[..., Iterable[int]] | None = None,
) -> np.ndarray | da.Array:
    """Estimate where each pixel of a distorted image was recorded.

    Every row has a shift of its own and a smooth change along it, in y and in x. Both maximise
    the likelihood of all counts (Gauss–Newton) times the probability of the series of rows, each
    coupled to the one before (thesis eq. 2.14, 2.15); how far rows jump and how strongly they are
    coupled is learnt from the image. Where counts say little, rows follow their neighbours.
    Scale, offset and detector tail of the distorted image may differ from the restored one's.

    Parameters
    ----------
    distorted
        The image as recorded, (ny, nx), fast scan along x.
    restored
        The same image without distortions and noise, (ny, nx). NumPy; where one of both is dask,
        so is the result.
    progress
        Called as ``progress(rounds, total=number_of_rounds)`` and iterated over, like
        `tqdm.tqdm`; an exception from it stops the estimate.

    Returns
    -------
    ndarray or dask.array.Array
        Shifts [px], float64, (ny, nx, 2), vectors (y, x): pixel (y, x) of the distorted image
        was recorded at ``(y, x) + shift``.

    Raises
    ------
    ValueError
        The images are not two real, finite ones of the same shape, smaller than 8 pixels, or
        hold no structure.

    Notes
    -----
    What the restored image keeps, slow drift and warp above all, cannot be seen in it. The mean
    of the shifts along x contains what the detector's tail moves the image by, which is no
    shift of the beam.

    Examples
    --------
    >>> from stem_plugins import Distortions, distort
    >>> y, x = np.indices((64, 64))
    >>> clean = 0.1 + 0.05 * np.cos(0.8 * x) * np.cos(0.7 * y) + 0.05 * np.cos(0.5 * (x + y))
    >>> true = np.random.default_rng(0).normal(0, 0.4, (64, 2))
    >>> recorded = distort(
    ...     clean, pixel_size=0.2, dose=1e6, rng=np.random.default_rng(1), shifts=true
    ... )
    >>> error = scan_shifts(recorded, clean).mean(axis=1) - true
    >>> bool(error.std() < 0.05)
    True
    """
    for name, image in (("distorted", distorted), ("restored", restored)):
        if image.ndim != 2 or image.dtype.kind not in "biuf":
            raise ValueError(
                f"The {name} image must be real numbers (ny, nx), not {image.dtype} of shape "
                f"{tuple(image.shape)}."
            )
    if distorted.shape != restored.shape:
        raise ValueError(
            "The distorted and the restored image must have the same pixels, not "
            f"{tuple(distorted.shape)} and {tuple(restored.shape)}."
        )
    if min(distorted.shape) < SMALLEST_SIDE:
        raise ValueError(
            f"Both sides of the images must be {SMALLEST_SIDE} pixels or more, not "
            f"{tuple(distorted.shape)}."
        )
    if is_lazy(distorted) or is_lazy(restored):
        import dask.array as da

        pair = da.stack([da.asarray(distorted), da.asarray(restored)])
        shape = (*distorted.shape, 2)
        return map_whole(_register_pair, pair, shape=shape, progress=progress)
    pair = np.stack([np.asarray(distorted, float), np.asarray(restored, float)])
    return _register_pair(pair, progress)


def _register_pair(pair: np.ndarray, progress: Callable[..., Iterable[int]] | None) -> np.ndarray:
    """Shifts from the distorted and the restored image, stacked."""
    pair = pair.astype(float)
    for name, image in zip(("distorted", "restored"), pair, strict=True):
        if not np.isfinite(image).all():
            raise ValueError(
                f"{np.count_nonzero(~np.isfinite(image))} pixels of the {name} image are not "
                "finite (NaN or infinite): fill them first."
            )
        if np.ptp(image) == 0:
            raise ValueError(f"The {name} image is constant: nothing in it shows a shift.")
    return register_rows(pair[0], pair[1], progress=progress)


def apply_scan_shifts(data: np.ndarray | da.Array, shifts: ArrayLike) -> np.ndarray | da.Array:
    """Put everything that a scan recorded back where it belongs.

    Each position of the regular grid becomes a mean of what was recorded less than a pixel away
    in y and in x, with weights ``w (1 - |Δy|)(1 - |Δx|)``. Where rows left a gap, the mean
    reaches two or four pixels far, and beyond that the nearest pixel is taken. The weight w of
    each recorded position is balanced so that it counts once in all means together; where rows
    crowd, some of them count up to three pixels away for that.

    Parameters
    ----------
    data
        Recorded on the scan grid: an image (scan_y, scan_x), spectra (scan_y, scan_x, energy), a
        4D scan (scan_y, scan_x, ky, kx). NumPy, or dask, which stays lazy: one pass in blocks of
        whole scan rows, with a halo as large as the largest shift.
    shifts
        [px], (scan_y, scan_x, 2), vectors (y, x), from `scan_shifts`.

    Returns
    -------
    ndarray or dask.array.Array
        Shape of `data`; float32 where that holds the type of `data`, otherwise float64 (complex
        likewise).

    Raises
    ------
    ValueError
        The data have no two scan axes, or the shifts do not fit them or are not finite.

    Notes
    -----
    A mean keeps the scale: a constant stays constant, and counts are never negative. Where rows
    came to lie close together the beam measured twice, and a sum would show that as a bright
    line. A plain mean, however, counts each recorded position with the area it stands for,
    which changes the sum of a detector pixel over the scan by some per cent. Balancing (Sinkhorn
    and Knopp) brings what every position counts to one. What was recorded less than a pixel
    outside the grid counts at its edge; what lies further out is lost.

    What is traded: rows that lie closer than a position are drawn apart a little, by less than
    they are blurred; and linear interpolation halfway between positions leaves ``cos(πf)`` of a
    contrast of f cycles per position. Sums are kept as well as the edges allow and, where a
    detector pixel has few counts, to a fraction of their shot noise; figures are in the table of
    ``benchmarks/scan_correction.py``.

    References
    ----------
    R. Sinkhorn, P. Knopp, Pacific Journal of Mathematics 21, 343 (1967).

    Examples
    --------
    >>> shifts = np.zeros((4, 5, 2))
    >>> shifts[2, :, 1] = 1.0
    >>> recorded = np.tile(np.arange(5.0), (4, 1)) + shifts[..., 1]
    >>> apply_scan_shifts(recorded, shifts)[2, 1:]
    array([1., 2., 3., 4.])
    """
    shifts = _kept_inside(checked_shifts(data, shifts))
    balanced, distance = _balanced(shifts)
    reach = int(np.ceil(distance + np.abs(shifts[..., 0]).max()))
    positions = np.concatenate([shifts, balanced], axis=-1)
    return weigh_scan(data, positions, mean_weights, reach=reach)


def _grid(shifts: NDArray[np.float64]) -> NDArray[np.intp]:
    """Positions of the regular grid, (scan_y, scan_x, 2)."""
    return np.moveaxis(np.indices(shifts.shape[:2]), 0, -1)


def _nearest_inside(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each place the one that is nearest to it within the grid."""
    return np.clip(place, 0, np.array(place.shape[:2]) - 1.0)


def _kept_inside(shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shifts with which what was recorded less than a pixel outside counts at the edge."""
    grid = _grid(shifts)
    place = grid + shifts
    inside = _nearest_inside(place)
    return np.where(np.abs(place - inside) < 1, inside - grid, shifts)


def mean_weights(
    positions: NDArray[np.float64], *, rows: slice, window: slice, scan_rows: int
) -> scipy.sparse.csr_array:
    """Weights of recorded positions in the mean at each position of the regular grid.

    Parameters
    ----------
    positions, rows, window, scan_rows
        As for `stem_plugins.restoration.scan_grid.Weights`; beside the shift (y, x) of each
        recorded position stands its weight, and its share of what lies far away.
    """
    weights, _ = _coverage(positions[..., :2], rows, window, positions[..., 3])
    weights = weights @ scipy.sparse.diags_array(positions[..., 2].ravel())
    weights = (scipy.sparse.diags_array(1 / weights.sum(axis=1)) @ weights).tocsr()
    weights.sort_indices()
    return weights


def _balanced(shifts: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Balance what recorded positions count, (scan_y, scan_x, 2), and how far they reach [px].

    The weight of each position, and its share of what lies far away.
    """
    whole = slice(0, len(shifts))
    far = np.zeros(shifts.shape[:2])
    coverage, distance = _coverage(shifts, whole, whole, far)
    weights, counted = _count_once(coverage)
    place = _grid(shifts) + shifts
    inside = (place == _nearest_inside(place)).all(axis=-1)
    far[(counted.reshape(far.shape) < CROWDED) & inside] = FAR_SHARE
    if far.any():
        coverage, distance = _coverage(shifts, whole, whole, far)
        weights, _ = _count_once(coverage)
    return np.stack([weights.reshape(far.shape), far], axis=-1), distance


def _count_once(
    coverage: scipy.sparse.csr_array,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of recorded positions with which each counts once, and what they then count."""
    across = coverage.T.tocsr()
    weights = np.ones(coverage.shape[1])
    for _ in range(BALANCING):
        counted = across @ (1 / (coverage @ weights))
        # Bounds for what cannot count once: it lies outside, or is alone far and wide.
        weights = 1 / np.clip(counted, 1 / LARGEST_WEIGHT, LARGEST_WEIGHT)
    return weights, weights * (across @ (1 / (coverage @ weights)))


def _coverage(
    shifts: NDArray[np.float64], rows: slice, window: slice, far: NDArray[np.float64]
) -> tuple[scipy.sparse.csr_array, float]:
    """How recorded positions cover those of the grid, and from how far at most [px].

    `far` is the share of what lies far away, for each recorded position.
    """
    radius = 1
    weights = _hats(shifts, rows, window, radius)
    while (thin := weights.sum(axis=1) < THIN).any() and radius < WIDEST:
        radius *= 2
        weights = _replaced(weights, thin, _hats(shifts, rows, window, radius))
    distance = float(radius)
    if thin.any():
        nearest, furthest = _nearest(shifts, rows, window, thin)
        weights, distance = _replaced(weights, thin, nearest), max(distance, furthest)
    if far.any():
        shares = scipy.sparse.diags_array(far.ravel())
        weights = (weights + _hats(shifts, rows, window, FAR) @ shares).tocsr()
    weights.eliminate_zeros()
    # In order, so that the sums of all blocks come out the same to the last digit.
    weights.sort_indices()
    return weights, max(distance, FAR)


def _replaced(
    weights: scipy.sparse.csr_array, which: NDArray[np.bool_], others: scipy.sparse.csr_array
) -> scipy.sparse.csr_array:
    """Weights with some rows from another matrix."""
    keep, take = (scipy.sparse.diags_array(np.where(c, 1.0, 0.0)) for c in (~which, which))
    return (keep @ weights + take @ others).tocsr()


def _nearest(
    shifts: NDArray[np.float64], rows: slice, window: slice, wanted: NDArray[np.bool_]
) -> tuple[scipy.sparse.csr_array, float]:
    """The recorded position nearest to each wanted one, and how far the furthest of them is."""
    height, width = shifts.shape[:2]
    grid = np.moveaxis(np.indices((height, width)), 0, -1) + np.array([window.start, 0])
    recorded = shifts + grid
    places = grid[rows.start - window.start : rows.stop - window.start].reshape(-1, 2)[wanted]
    distance, index = scipy.spatial.cKDTree(recorded.reshape(-1, 2)).query(places)
    shape = (len(wanted), height * width)
    found = (np.ones(len(index)), (np.flatnonzero(wanted), index))
    return scipy.sparse.coo_array(found, shape=shape).tocsr(), float(distance.max())


def _hats(
    shifts: NDArray[np.float64], rows: slice, window: slice, radius: int
) -> scipy.sparse.csr_array:
    """``(1 - |Δy|/radius)(1 - |Δx|/radius)`` between grid (rows) and recorded positions."""
    height, width = shifts.shape[:2]
    y = np.arange(window.start, window.stop)[:, None] + shifts[..., 0]
    x = np.arange(width) + shifts[..., 1]
    recorded = np.arange(height * width).reshape(height, width)
    rows_found, columns_found, values = [], [], []
    for offset_y in range(1 - radius, radius + 1):
        grid_y = np.floor(y).astype(np.intp) + offset_y
        weight_y = 1 - np.abs(y - grid_y) / radius
        for offset_x in range(1 - radius, radius + 1):
            grid_x = np.floor(x).astype(np.intp) + offset_x
            weight = weight_y * (1 - np.abs(x - grid_x) / radius)
            kept = (grid_y >= rows.start) & (grid_y < rows.stop)
            kept &= (grid_x >= 0) & (grid_x < width) & (weight > 0)
            rows_found.append((grid_y[kept] - rows.start) * width + grid_x[kept])
            columns_found.append(recorded[kept])
            values.append(weight[kept])
    found = np.concatenate(values), (np.concatenate(rows_found), np.concatenate(columns_found))
    shape = ((rows.stop - rows.start) * width, height * width)
    return scipy.sparse.coo_array(found, shape=shape).tocsr()
