"""Virtual detectors: masks on the detector, and the form in which the moments kernel reads them.

A mask has the detector's shape (ky, kx). Boolean masks count pixels in or out, masks of numbers
weight them. Radii and places are in px, pixel centres at integers, (y, x) order, y down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stem_plugins.optics.acquisition import Acquisition

__all__ = ["annular_detector", "dark_field_detector", "rectangular_detector"]


def annular_detector(
    shape: tuple[int, int],
    inner: float,
    outer: float,
    *,
    center: tuple[float, float],
    pixel_size: float | tuple[float, float] = 1.0,
) -> np.ndarray:
    """Mask of an annulus (or of a disc, for ``inner=0``).

    Parameters
    ----------
    shape
        Detector shape (ky, kx) [px].
    inner
        Inner radius; pixels whose centre lies at this radius are in.
    outer
        Outer radius; pixels whose centre lies at this radius are out.
    center
        Centre (ky, kx) [px].
    pixel_size
        Size of a pixel in the unit of the radii, one number or (ky, kx): 1 for radii in px,
        `Acquisition.diffraction_step` for radii in mrad.

    Returns
    -------
    numpy.ndarray
        Boolean mask of `shape`.

    Raises
    ------
    ValueError
        The radii are negative or reversed, or no pixel lies between them.

    Examples
    --------
    >>> annular_detector((3, 3), 0.5, 1.1, center=(1, 1)).astype(int)
    array([[0, 1, 0],
           [1, 0, 1],
           [0, 1, 0]])
    """
    if not 0 <= inner < outer:
        raise ValueError(
            f"An annular detector needs 0 <= inner < outer radius, not {inner} and {outer}."
        )
    size_y, size_x = np.broadcast_to(pixel_size, 2)
    y, x = np.ogrid[: shape[0], : shape[1]]
    radius_squared = ((y - center[0]) * size_y) ** 2 + ((x - center[1]) * size_x) ** 2
    mask = (radius_squared >= inner**2) & (radius_squared < outer**2)
    unit = "px" if size_y == size_x == 1 else f"(with pixels of {size_y:g} × {size_x:g})"
    place = f"({center[0]:.6g}, {center[1]:.6g}) px"
    return _not_empty(mask, f"from {inner:g} to {outer:g} {unit} around {place}")


def dark_field_detector(
    shape: tuple[int, int], acquisition: Acquisition, *, center: tuple[float, float]
) -> np.ndarray | None:
    """Mask of everything outside the bright-field disc, where that is known and not everything.

    Its image is brighter the more a specimen scatters, whatever the defocus and the sign of the
    phase contrast: a reference for `estimate_rotation`.

    Parameters
    ----------
    shape
        Detector shape (ky, kx) [px].
    acquisition
        Uses `convergence_angle` and `diffraction_step`.
    center
        Centre (ky, kx) [px].

    Returns
    -------
    numpy.ndarray or None
        Boolean mask of `shape`, of what lies beyond 1.1 times the convergence angle, to keep clear
        of the disc's edge; ``None`` where the calibration is missing or no pixel is left.

    Examples
    --------
    >>> acquisition = Acquisition(convergence_angle=1, diffraction_step=1)
    >>> dark_field_detector((3, 3), acquisition, center=(1, 1)).astype(int)
    array([[1, 0, 1],
           [0, 0, 0],
           [1, 0, 1]])
    """
    angle, step = acquisition.convergence_angle, acquisition.diffraction_step
    if angle is None or step is None:
        return None
    y, x = np.ogrid[: shape[0], : shape[1]]
    mask = np.hypot((y - center[0]) * step[0], (x - center[1]) * step[1]) > 1.1 * angle
    return mask if mask.any() else None


def rectangular_detector(
    shape: tuple[int, int], top_left: tuple[float, float], bottom_right: tuple[float, float]
) -> np.ndarray:
    """Mask of a rectangle; pixels whose centre lies on its edge are in.

    Parameters
    ----------
    shape
        Detector shape (ky, kx) [px].
    top_left, bottom_right
        Corners (ky, kx) [px], in either order.

    Returns
    -------
    numpy.ndarray
        Boolean mask of `shape`.

    Raises
    ------
    ValueError
        No pixel lies in the rectangle.

    Examples
    --------
    >>> rectangular_detector((3, 4), (1, 1), (2, 2)).astype(int)
    array([[0, 0, 0, 0],
           [0, 1, 1, 0],
           [0, 1, 1, 0]])
    """
    low, high = np.sort([top_left, bottom_right], axis=0)
    y, x = np.ogrid[: shape[0], : shape[1]]
    mask = (y >= low[0]) & (y <= high[0]) & (x >= low[1]) & (x <= high[1])
    return _not_empty(mask, f"from {low} to {high} px")


def _not_empty(mask: np.ndarray, where: str) -> np.ndarray:
    if not mask.any():
        raise ValueError(
            f"No pixel of the {mask.shape[0]} × {mask.shape[1]} detector lies {where}; "
            "check the radii, the centre and their units."
        )
    return mask


def check_mask(mask: np.ndarray, shape: tuple[int, int], name: str) -> np.ndarray:
    """Return a mask as a boolean or float64 array of the detector's shape, or say what is wrong."""
    mask = np.asarray(mask)
    if mask.shape != tuple(shape):
        raise ValueError(f"{name} has shape {mask.shape}; the detector has {tuple(shape)}.")
    if mask.dtype == bool:
        return mask
    if mask.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold booleans or real weights, not {mask.dtype}.")
    if not np.isfinite(mask).all():
        raise ValueError(f"{name} holds NaN or infinite weights.")
    return mask.astype(np.float64)


class MaskRuns(NamedTuple):
    """A boolean mask as alternating stretches of each row: out, in, out, in, …

    Row ``j`` changes at the columns ``edges[first[j]:first[j + 1]]``, an even number of them.
    """

    first: np.ndarray
    edges: np.ndarray


class DetectorSteps(NamedTuple):
    """Detectors by what changes from each row to the next.

    With C[j, x] the sum of column x over the rows 0…j, summation by parts gives
    ``Σ_j w[j, x] v[j, x] = Σ_j (w[j, x] - w[j + 1, x]) C[j, x]``, and the moments kernel has C at
    hand. An annulus changes at a few hundred pixels, so it costs next to nothing.

    Steps are sorted by row: row ``j`` owns ``row[j]:row[j + 1]`` of `column` (where to read C) and
    `slot` (where to put it). Slots are sorted by detector: detector ``d`` owns
    ``detector[d]:detector[d + 1]`` of `weight`.
    """

    row: np.ndarray
    column: np.ndarray
    slot: np.ndarray
    detector: np.ndarray
    weight: np.ndarray


def mask_runs(mask: np.ndarray | None, shape: tuple[int, int]) -> MaskRuns:
    """Encode a mask for the moments kernel; ``None`` (every pixel counts) has no edges."""
    if mask is None:
        return MaskRuns(np.zeros(shape[0] + 1, np.intp), np.zeros(0, np.intp))
    inside = np.zeros((shape[0], shape[1] + 2), np.int8)
    inside[:, 1:-1] = mask
    rows, columns = np.nonzero(np.diff(inside, axis=1))
    first = np.searchsorted(rows, np.arange(shape[0] + 1))
    return MaskRuns(first.astype(np.intp), columns.astype(np.intp))


def detector_steps(detectors: Sequence[np.ndarray], shape: tuple[int, int]) -> DetectorSteps:
    """Encode detectors (booleans or weights, each of the detector's shape) for the kernel."""
    weights = np.zeros((len(detectors), shape[0] + 1, shape[1]))
    for index, mask in enumerate(detectors):
        weights[index, :-1] = mask
    change = weights[:, :-1] - weights[:, 1:]
    detector, row, column = np.nonzero(change)
    by_row = np.argsort(row, kind="stable")
    return DetectorSteps(
        row=np.searchsorted(row[by_row], np.arange(shape[0] + 1)).astype(np.uintp),
        column=column[by_row].astype(np.uintp),
        slot=by_row.astype(np.uintp),
        detector=np.searchsorted(detector, np.arange(len(detectors) + 1)).astype(np.intp),
        weight=change[detector, row, column],
    )
