"""Centre-of-mass maps: from patterns, freed of descan, and turned into the scan frame.

A centre-of-mass map, like every vector map here, is an array ``(scan_y, scan_x, 2)`` of vectors
(y, x), y down. `center_of_mass` gives them in the detector frame as stored, in px.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stem_plugins.imaging.hyperspy_data import vectors_of
from stem_plugins.imaging.moments import moments
from stem_plugins.lazy.blocks import map_whole

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["center_of_mass", "remove_descan", "to_scan_frame"]


def center_of_mass(
    data: np.ndarray | da.Array,
    *,
    mask: np.ndarray | None = None,
    center: tuple[float, float] | None = None,
    workers: int | None = None,
) -> np.ndarray | da.Array:
    """Centre of mass of every pattern, minus the centre of the undiffracted beam.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), NumPy or dask.
    mask
        Detector pixels that count; an annulus gives the annular centre of mass.
    center
        Undiffracted beam [px], (ky, kx), pixel centres at integers. ``None``: the mean centre of
        mass of all patterns that are not empty.
    workers
        Threads for NumPy data; ``None``: as many as there are cores.

    Returns
    -------
    numpy.ndarray or dask.array.Array
        (scan_y, scan_x, 2) float64 [px], vectors (y, x) in the detector frame as stored, y down.
        Zero where a pattern is empty.

    Raises
    ------
    ValueError
        The data are not 4D or not real, the mask does not fit, or a frame holds NaN.

    References
    ----------
    T. Friedrich, PhD thesis, University of Antwerp (2023), eq. 3.1, normalised by the intensity.

    Examples
    --------
    >>> data = np.zeros((1, 2, 5, 5))
    >>> data[0, 0, 2, 2] = data[0, 1, 3, 1] = 7
    >>> center_of_mass(data, center=(2, 2))
    array([[[ 0.,  0.],
            [ 1., -1.]]])
    """
    return moments(data, mask=mask, center=center, workers=workers).com


def check_vectors(com: Any) -> Any:
    """Return a vector map (that of a HyperSpy signal), or say in a ValueError what it is."""
    com = vectors_of(com)
    if getattr(com, "ndim", None) != 3 or com.shape[2] != 2 or 0 in com.shape:
        shape = getattr(com, "shape", type(com).__name__)
        raise ValueError(
            f"Expected a vector map (scan_y, scan_x, 2) with vectors (y, x), not {shape}. "
            "Two images become one by numpy.stack([y_image, x_image], axis=-1)."
        )
    if com.dtype.kind not in "iuf":
        raise ValueError(f"Expected real vectors, not {com.dtype}.")
    return com


def check_finite(com: np.ndarray) -> np.ndarray:
    """Return a NumPy vector map as float64, or raise a ValueError where it holds NaN."""
    com = np.asarray(com, np.float64)
    if not np.isfinite(com).all():
        bad = np.argwhere(~np.isfinite(com).all(axis=2))[0]
        raise ValueError(
            f"The vector map holds NaN or infinity at scan position {tuple(map(int, bad))}; "
            "one such vector would spread over the whole image. Replace it, for example by "
            "numpy.nan_to_num."
        )
    return com


_DESCAN_TERMS = {
    "plane": ((0, 0), (1, 0), (0, 1)),
    "parabola": ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)),
}


def remove_descan(
    com: np.ndarray | da.Array,
    *,
    model: Literal["plane", "parabola"] = "plane",
    where: np.ndarray | None = None,
) -> np.ndarray | da.Array:
    """Subtract the slow drift of the beam over the detector that imperfect descan leaves.

    Each component is fitted by least squares with a polynomial of the scan position.

    Parameters
    ----------
    com
        Vector map, (scan_y, scan_x, 2), NumPy or dask.
    model
        ``"plane"``: constant and linear terms. ``"parabola"``: quadratic terms too.
    where
        Scan positions to fit, (scan_y, scan_x) boolean: vacuum around a particle, for example.
        The fit is subtracted everywhere. ``None``: all.

    Returns
    -------
    numpy.ndarray or dask.array.Array
        The map without the fit, same unit and frame.

    Raises
    ------
    ValueError
        The model is unknown, the map is none, or too few positions determine the fit.

    Notes
    -----
    A real constant or linear field of the specimen is removed with it: where that matters, fit
    on vacuum (`where`) or on a separate vacuum scan.

    Examples
    --------
    >>> y, x = np.indices((4, 5))
    >>> com = np.stack([0.1 * y + 0.2 * x - 3, 0.4 * x], axis=-1)
    >>> float(abs(remove_descan(com)).max()) < 1e-12
    True
    """
    com = check_vectors(com)
    if model not in _DESCAN_TERMS:
        raise ValueError(f"model must be 'plane' or 'parabola', not {model!r}.")
    if where is not None:
        where = np.asarray(where)
        if where.shape != tuple(com.shape[:2]) or where.dtype != bool:
            raise ValueError(
                f"where must be booleans of the scan's shape {tuple(com.shape[:2])}, not "
                f"{where.dtype} of shape {where.shape}."
            )
    return map_whole(_subtract_fit, com, shape=com.shape, model=model, where=where)


def _subtract_fit(com: np.ndarray, *, model: str, where: np.ndarray | None) -> np.ndarray:
    com = check_finite(com)
    rows, columns = com.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    terms = np.stack([y**i * x**j for i, j in _DESCAN_TERMS[model]], axis=-1)
    chosen = np.ones((rows, columns), bool) if where is None else where
    if np.count_nonzero(chosen) < terms.shape[-1]:
        raise ValueError(
            f"A {model} has {terms.shape[-1]} coefficients per component; "
            f"{np.count_nonzero(chosen)} scan positions cannot determine them."
        )
    coefficients, _, rank, _ = np.linalg.lstsq(terms[chosen], com[chosen], rcond=None)
    if where is not None and rank < np.linalg.matrix_rank(terms.reshape(rows * columns, -1)):
        raise ValueError(
            f"The scan positions of where= lie on too few rows or columns for a {model}; what it "
            "would take off the other positions is anybody's guess."
        )
    return com - terms @ coefficients


def to_scan_frame(
    com: np.ndarray | da.Array, *, rotation: float = 0.0, flip_y: bool = False
) -> np.ndarray | da.Array:
    """Turn vectors from the detector frame into the scan frame.

    First the y component changes sign where `flip_y` says so, then the vector turns by θ:
    ``x' = cos θ x - sin θ y``, ``y' = sin θ x + cos θ y``.

    Parameters
    ----------
    com
        Vector map, (scan_y, scan_x, 2), NumPy or dask.
    rotation
        θ [deg], as in `Acquisition.scan_rotation`.
    flip_y
        As in `Acquisition.flip_y`.

    Returns
    -------
    numpy.ndarray or dask.array.Array
        The map in the scan frame, same unit.

    Raises
    ------
    ValueError
        `com` is no vector map.

    Examples
    --------
    >>> right = np.array([[[0.0, 1.0]]])
    >>> to_scan_frame(right, rotation=90).round(6)
    array([[[1., 0.]]])
    """
    com = check_vectors(com)
    return linear_map(com, scan_frame_matrix(rotation, flip_y))


def linear_map(com: np.ndarray | da.Array, matrix: np.ndarray) -> np.ndarray | da.Array:
    """Multiply every vector of a map, as a column (y, x), by a matrix."""
    return map_whole(_multiply, com, shape=com.shape, matrix=matrix)


def _multiply(com: np.ndarray, *, matrix: np.ndarray) -> np.ndarray:
    return com @ matrix.T


def scan_frame_matrix(rotation: float, flip_y: bool) -> np.ndarray:
    """Matrix that turns a column vector (y, x) from the detector frame into the scan frame."""
    if not np.isfinite(rotation):
        raise ValueError(f"rotation must be a finite angle [deg], not {rotation}.")
    cos, sin = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    matrix = np.array([[cos, sin], [-sin, cos]])
    if flip_y:
        matrix[:, 0] *= -1
    return matrix


def as_pair(value: float | tuple[float, float], name: str) -> tuple[float, float]:
    """Return a positive number or (y, x) pair as a pair, or say what is wrong."""
    try:
        y, x = (float(v) for v in np.broadcast_to(value, 2))
    except (TypeError, ValueError):
        y = x = np.nan
    if not (np.isfinite([y, x]).all() and min(y, x) > 0):
        raise ValueError(f"{name} must be one or two numbers above zero, (y, x), not {value!r}.")
    return y, x
