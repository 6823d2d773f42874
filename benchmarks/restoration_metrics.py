"""Figures of merit of a restored image: PSNR, column positions, vacuum, mean.

Images in one unit, positions in px (y, x). The truth is the undistorted image on the undistorted
grid; nothing is aligned or rescaled before it is compared.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from restoration_images import Specimen

#: Columns this near to the dislocation [Å] belong to its core.
CORE_RADIUS = 8.0

#: Standard deviation of a column's profile [Å], where a fit starts.
COLUMN_WIDTH = 0.4


@dataclasses.dataclass(frozen=True)
class Quality:
    """How near a restored image is to the truth; None where the specimen does not show it.

    `psnr` [dB]; `mean`, the change of the mean as a share of the true one; `position`, and in the
    `core` of a dislocation and the `rest` [pm]; `undershoot` as a share of the maximum.
    """

    psnr: float
    mean: float
    position: float | None = None
    core: float | None = None
    rest: float | None = None
    undershoot: float | None = None


def psnr(truth: np.ndarray, image: np.ndarray) -> float:
    """Peak signal-to-noise ratio [dB]; the peak is the range of the true image."""
    error = np.sqrt(np.mean((np.asarray(image, float) - truth) ** 2))
    return float(20 * np.log10(np.ptp(truth) / max(error, 1e-12)))


def undershoot(truth: np.ndarray, image: np.ndarray, vacuum: np.ndarray) -> float:
    """How far below the truth the vacuum goes, as a share of the true maximum; never negative."""
    return float(max(0.0, -np.min((image - truth)[vacuum])) / truth.max())


def fit_positions(
    image: np.ndarray, positions: np.ndarray, *, radius: float, width: float
) -> np.ndarray:
    """Fit a Gaussian on a constant to the pixels around each position (thesis eq. 2.19).

    Levenberg-Marquardt of (y, x, height, width, constant) for all columns at once, from the true
    positions as in the thesis. A position stays within `radius` [px], a width within a factor of
    two of `width` [px], a height above zero.

    Returns
    -------
    ndarray
        Positions [px], (n, 2).
    """
    pixel = np.round(positions).astype(int)
    half = int(np.ceil(radius))
    offsets = np.indices((2 * half + 1,) * 2).reshape(2, -1).T - half
    offsets = offsets[np.hypot(*offsets.T) < radius + 0.75]
    places = pixel[:, None] + offsets
    # float32 and a unit scale: the fit is limited by noise, and it runs thousands of times.
    values = (image[places[..., 0], places[..., 1]] / max(float(np.ptp(image)), 1e-12)).astype("f4")
    places = (places - positions[:, None]).astype("f4")
    inside = ((places**2).sum(axis=-1) <= radius**2).astype("f4")
    low = np.array([-radius, -radius, 1e-4, width / 2, -np.inf])
    high = np.array([radius, radius, np.inf, width * 2, np.inf])
    fit = _start(values, places, inside, width)
    active, damping = np.arange(len(fit)), np.full(len(fit), 1e-2)
    residual, slopes = _residual(fit, values, places, inside)
    for _ in range(60):
        normal = (slopes.transpose(0, 2, 1) @ slopes).astype(float)
        gradient = (slopes.transpose(0, 2, 1) @ residual[..., None]).astype(float)
        normal += (damping[:, None] * np.einsum("nii->ni", normal) + 1e-9)[:, :, None] * np.eye(5)
        trial = np.clip(fit[active] + np.linalg.solve(normal, gradient)[..., 0], low, high)
        step = np.abs(trial - fit[active])[:, :2].max(axis=1)
        trial_residual, trial_slopes = _residual(
            trial, values[active], places[active], inside[active]
        )
        better = (trial_residual**2).sum(axis=1) < (residual**2).sum(axis=1)
        fit[active[better]] = trial[better]
        residual[better], slopes[better] = trial_residual[better], trial_slopes[better]
        damping = np.where(better, damping / 5, damping * 5)
        going = (step > 3e-4) & (damping < 1e6)
        active, damping = active[going], damping[going]
        residual, slopes = residual[going], slopes[going]
        if not len(active):
            break
    return positions + fit[:, :2]


def _start(values: np.ndarray, places: np.ndarray, inside: np.ndarray, width: float) -> np.ndarray:
    """Best height and constant for a Gaussian of `width` at the expected position."""
    count = inside.sum(axis=1, keepdims=True)
    shape = np.exp(-(places**2).sum(axis=-1) / (2 * width**2)) * inside
    centered = (shape - shape.sum(axis=1, keepdims=True) / count) * inside
    fit = np.zeros((len(values), 5))
    fit[:, 2] = np.maximum((centered * values).sum(axis=1) / (centered**2).sum(axis=1), 1e-2)
    fit[:, 3] = width
    fit[:, 4] = ((values * inside).sum(axis=1) - fit[:, 2] * shape.sum(axis=1)) / count[:, 0]
    return fit


def _residual(
    fit: np.ndarray, values: np.ndarray, places: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Data minus model, and the model's derivatives to y, x, height, width, constant."""
    fit = fit.astype("f4")
    dy, dx = places[..., 0] - fit[:, :1], places[..., 1] - fit[:, 1:2]
    square, variance = dy**2 + dx**2, fit[:, 3:4] ** 2
    shape = np.exp(-square / (2 * variance)) * inside
    height = fit[:, 2:3] * shape
    over = height / variance
    slopes = np.stack([over * dy, over * dx, shape, over * square / fit[:, 3:4], inside], axis=-1)
    return (values - height - fit[:, 4:5]) * inside, slopes


def position_errors(specimen: Specimen, image: np.ndarray) -> np.ndarray:
    """Distance of every fitted column from its true place [pm] (thesis eq. 2.21, not averaged)."""
    radius = min(0.5 * specimen.spacing, 1.0) / specimen.pixel_size
    width = COLUMN_WIDTH / specimen.pixel_size
    found = fit_positions(image, specimen.columns, radius=radius, width=width)
    return np.hypot(*(found - specimen.columns).T) * specimen.pixel_size * 100


def quality(truth: np.ndarray, image: np.ndarray, specimen: Specimen | None = None) -> Quality:
    """All figures of one restored image."""
    position = core = rest = below = None
    if specimen is not None:
        errors = position_errors(specimen, image)
        position = float(errors.mean())
        if specimen.core is not None:
            distance = np.hypot(*(specimen.columns - specimen.core).T) * specimen.pixel_size
            core = float(errors[distance <= CORE_RADIUS].mean())
            rest = float(errors[distance > CORE_RADIUS].mean())
        if specimen.vacuum is not None:
            below = undershoot(truth, image, specimen.vacuum)
    mean = float(image.mean(dtype=float) / truth.mean() - 1)
    return Quality(psnr(truth, image), mean, position, core, rest, below)
