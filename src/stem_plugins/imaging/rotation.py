"""The rotation and mirroring between detector and scan, from the centre-of-mass map itself.

The deflection field of a specimen is a gradient, so in the scan frame it has no curl. That fixes
the rotation up to 180° and, where the specimen has structure in more than two directions, the
mirroring. What is left is decided by the sign of the phase contrast: atoms are bright, so the
integrated image is skewed towards bright values.

Everything is done on Fourier coefficients split into their part along k (no curl) and across k
(all curl), which weights noise evenly at all frequencies, unlike derivatives of the map.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
from scipy.ndimage import median
from scipy.special import ndtr

from stem_plugins.imaging.center_of_mass import (
    as_pair,
    check_finite,
    check_vectors,
    remove_descan,
)
from stem_plugins.imaging.icom import icom

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["RotationEstimate", "estimate_rotation"]

#: Smallest scan side for which an estimate is tried.
_SMALLEST_SIDE = 8
#: Deviation of the angle [deg] up to which `RotationEstimate.confidence` counts it as right.
_TOLERANCE = 0.5
#: Median of a sum of four squared normal deviates: the power of two complex components of noise.
_MEDIAN_OF_FOUR_SQUARES = 3.3567
#: Parts into which spectrum and image are split to see how far the answer depends on chance.
_PARTS = 16


@dataclasses.dataclass(frozen=True)
class RotationEstimate:
    """Rotation and mirroring from detector to scan frame, and how far to trust them.

    Parameters
    ----------
    angle
        θ [deg] in (-180, 180], as `Acquisition.scan_rotation`.
    flip_y
        As `Acquisition.flip_y`.
    confidence
        Estimated probability, 0 to 1, that flip and sign are right and the angle within 0.5°.
        Images bear twice that deviation; the probability is for half of it so that it is low
        where the angle is off by more than 1°. Below 0.5 the estimate should not be used unseen.
    angle_error
        Standard error of the angle [deg], provided that flip and sign are right.
    """

    angle: float
    flip_y: bool
    confidence: float
    angle_error: float


@dataclasses.dataclass(frozen=True)
class _Candidate:
    """The best rotation for one choice of mirroring."""

    flip_y: bool
    angle: float
    angle_error: float
    curl: np.ndarray  # share of the field across k, per part left out
    brightness: float  # skewness of the image, or its correlation with the reference
    brightness_error: float


def estimate_rotation(
    com: np.ndarray | da.Array,
    *,
    flip_y: bool | None = None,
    scan_step: float | tuple[float, float] = 1.0,
    reference: np.ndarray | None = None,
) -> RotationEstimate:
    """Find the rotation and mirroring that make a centre-of-mass map free of curl.

    Parameters
    ----------
    com
        From `center_of_mass`, (scan_y, scan_x, 2), vectors (y, x) in the detector frame, NumPy
        or dask (which is computed). Both components in the same unit: px where detector pixels
        are square, else mrad.
    flip_y
        The mirroring, where it is known; ``None``: it is estimated too.
    scan_step
        Distance of scan positions, one number or (y, x); only the ratio matters.
    reference
        Image (scan_y, scan_x) in which atoms are bright, such as an annular dark field from the
        same pass. It then fixes the sign (and the mirroring, where curl cannot) instead of the
        skewness, which fails where the holes of a structure look more like atoms than its atoms
        do: a honeycomb whose atoms are not resolved.

    Returns
    -------
    RotationEstimate
        For `to_scan_frame`, `ricom`, `icom` and `Acquisition`.

    Raises
    ------
    ValueError
        `com` is no vector map, holds NaN, has a side of fewer than 8 positions, or is zero; or
        `reference` does not fit.

    Notes
    -----
    With V the Fourier transform of the map (minus its mean plane), ``L = k̂ · V`` and
    ``T = k̂_y V_x - k̂_x V_y``, turning the vectors by θ gives ``T' = T cos θ - L sin θ``. The sum
    of ``|T'|²`` is least at ``tan 2θ = 2 Σ Re(L T*) / Σ (|L|² - |T|²)``. Frequencies count by how
    far they rise above the noise. The errors come from leaving out sixteenths of the spectrum, and
    of the image, in turn (jackknife).

    Examples
    --------
    >>> from stem_plugins.imaging import to_scan_frame
    >>> y, x = np.indices((64, 64))
    >>> com = np.zeros((64, 64, 2))
    >>> for atom in np.random.default_rng(0).uniform(5, 59, (12, 2)):
    ...     toward = atom - np.stack([y, x], axis=-1)
    ...     com += toward * np.exp(-(toward**2).sum(-1, keepdims=True) / 8)
    >>> turned = to_scan_frame(com, rotation=-30)  # what a detector rotated by 30° would record
    >>> estimate = estimate_rotation(turned)
    >>> round(estimate.angle), estimate.flip_y, estimate.confidence > 0.5
    (30, False, True)
    """
    com = check_vectors(com)
    com = check_finite(np.asarray(com))
    if min(com.shape[:2]) < _SMALLEST_SIDE:
        raise ValueError(
            f"The rotation cannot be seen in a scan of {com.shape[0]} × {com.shape[1]}; "
            f"{_SMALLEST_SIDE} positions in each direction are the least."
        )
    largest = np.abs(com).max()
    com = np.asarray(remove_descan(com))
    if np.abs(com).max() <= 1e-9 * largest:
        raise ValueError("The centre of mass is the same everywhere; there is nothing to turn.")
    step = as_pair(scan_step, "scan_step")
    spectrum = _Spectrum.of(com, step)
    if reference is not None:
        reference = _standard(_check_reference(reference, com.shape[:2]))
    flips = (False, True) if flip_y is None else (bool(flip_y),)
    return _choose([_best_angle(com, spectrum, step, flip, reference) for flip in flips])


def _check_reference(reference: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    reference = np.asarray(reference, np.float64)
    if reference.shape != shape or not np.isfinite(reference).all():
        raise ValueError(
            f"reference must be a finite image of the scan's shape {shape}, not {reference.shape}."
        )
    return reference


@dataclasses.dataclass(frozen=True)
class _Spectrum:
    """Half of the windowed map's Fourier transform: directions, coefficients, weights, parts."""

    direction: np.ndarray  # (n, 2) unit vectors k̂
    values: np.ndarray  # (n, 2) complex
    weight: np.ndarray  # (n,)
    part: np.ndarray  # (n,) integers below _PARTS
    keep: np.ndarray  # weight on the full grid of the real transform
    noise: float  # mean power of noise in one component of a coefficient
    spread: float  # by how much the window, which couples neighbours, increases a variance

    @classmethod
    def of(cls, com: np.ndarray, step: tuple[float, float]) -> _Spectrum:
        rows, columns = com.shape[:2]
        window = np.outer(_taper(rows), _taper(columns))
        values = scipy.fft.rfft2(com * window[..., None], axes=(0, 1))
        k_y, k_x = scipy.fft.fftfreq(rows)[:, None], scipy.fft.rfftfreq(columns)[None, :]
        length = np.hypot(k_y, k_x)
        power = (np.abs(values) ** 2).sum(axis=2)
        # Counts scatter evenly over all frequencies; most lie where the specimen has nothing. What
        # rises above them are single spots of a crystal, or whole rings of what has no lattice.
        noise = np.median(power[length > 0.25])
        rings = np.round(length * min(rows, columns)).astype(int)
        of_ring = median(power, rings, np.arange(rings.max() + 1))[rings]
        spots = 1 - 2.5 * noise / np.maximum(power, 1e-300)
        weight = np.clip(np.maximum(spots, 1 - noise / np.maximum(of_ring, 1e-300)), 0, None)
        weight[length * min(rows, columns) < 1.5] = 0
        if not weight.any():
            weight = (length > 0).astype(float)
        chosen = weight > 0
        direction = np.stack(np.broadcast_arrays(k_y / step[0], k_x / step[1]), axis=-1)[chosen]
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        # Strong spots are dealt out evenly, so that no part holds them all.
        spot = _spots(weight * power)[chosen]
        strength = np.bincount(spot, (weight * power)[chosen])
        rank = np.empty(strength.size, int)
        rank[np.argsort(-strength)] = np.arange(strength.size)
        part = rank[spot] % _PARTS
        return cls(
            direction,
            values[chosen],
            weight[chosen],
            part,
            weight,
            2 * float(noise) / _MEDIAN_OF_FOUR_SQUARES,
            float(np.mean(window**4) / np.mean(window**2) ** 2),
        )


def _spots(power: np.ndarray) -> np.ndarray:
    """Number of the peak to which each coefficient of a real transform leads uphill.

    The window couples a coefficient with its neighbours, so they are kept together.
    """
    number = np.arange(power.size).reshape(power.shape)
    highest, leads_to = power.copy(), number.copy()
    padded = np.pad(power, ((0, 0), (1, 1)), constant_values=-1)
    numbers = np.pad(number, ((0, 0), (1, 1)))
    for down in (-1, 0, 1):
        for right in (0, 1, 2):
            columns = slice(right, right + power.shape[1])
            neighbour = np.roll(padded, down, axis=0)[:, columns]
            above = neighbour > highest
            highest = np.where(above, neighbour, highest)
            leads_to = np.where(above, np.roll(numbers, down, axis=0)[:, columns], leads_to)
    target = leads_to.ravel()
    for _ in range(4):  # sixteen steps, further than any spot reaches
        target = target[target]
    return target.reshape(power.shape)


def _taper(length: int) -> np.ndarray:
    """Window that falls off over an eighth of the scan on either side.

    A wider one would throw away more of the field than the edges cost.
    """
    from scipy.signal.windows import tukey  # half a second that other methods need not pay

    return tukey(length + 2, 0.25)[1:-1]


def _best_angle(
    com: np.ndarray,
    spectrum: _Spectrum,
    step: tuple[float, float],
    flip_y: bool,
    reference: np.ndarray | None,
) -> _Candidate:
    mirror = np.array([-1.0 if flip_y else 1.0, 1.0])
    v_y, v_x = (spectrum.values * mirror).T
    k_y, k_x = spectrum.direction.T
    along, across = k_y * v_y + k_x * v_x, k_y * v_x - k_x * v_y
    terms = spectrum.weight * np.array(
        [np.abs(along) ** 2, np.abs(across) ** 2, (along * across.conj()).real]
    )
    parts = np.stack([np.bincount(spectrum.part, term, _PARTS) for term in terms])
    angle, _ = _least_curl(parts.sum(axis=1))
    left_out = [_least_curl(parts.sum(axis=1) - part) for part in parts.T]
    deviations = [_half_turns(other - angle) for other, _ in left_out]
    jackknife = (_PARTS - 1) / _PARTS * np.sum(np.square(deviations))
    integrated = icom(
        _above_noise(com, spectrum.keep),
        rotation=np.rad2deg(angle),
        flip_y=flip_y,
        scan_step=step,
    )
    image = _standard(np.asarray(integrated))
    weight = image**2 if reference is None else reference
    brightness, brightness_error = _mean_of_tiles(image * weight)
    if brightness < 0:
        angle, brightness = angle + np.pi, -brightness
    return _Candidate(
        flip_y,
        angle,
        float(
            np.sqrt(spectrum.spread * max(jackknife, _variance_by_noise(spectrum, terms, angle)))
        ),
        np.array([curl for _, curl in left_out]),
        brightness,
        brightness_error,
    )


def _least_curl(sums: np.ndarray) -> tuple[float, float]:
    """Angle [rad] of least curl from Σ|L|², Σ|T|², Σ Re(L T*), and the share of curl left."""
    along, across, both = sums
    mean, half = (along + across) / 2, (along - across) / 2
    share = (mean - np.hypot(half, both)) / mean if mean > 0 else 0.5
    return 0.5 * float(np.arctan2(2 * both, along - across)), float(share)


def _variance_by_noise(spectrum: _Spectrum, terms: np.ndarray, angle: float) -> float:
    """Variance of the angle [rad²] that noise gives it; `terms` as `_least_curl`, weighted."""
    along, across, both = terms
    c, s = np.cos(angle), np.sin(angle)
    turned = along * c**2 + across * s**2 + 2 * both * c * s
    signal = np.sum(2 * turned - along - across)
    if signal <= 0:
        return np.inf
    return float(np.sum(spectrum.weight * turned) * spectrum.noise / 2 / signal**2)


def _half_turns(angle: float) -> float:
    """Difference of two directions that repeat after half a turn, within ±90° [rad]."""
    return (angle + np.pi / 2) % np.pi - np.pi / 2


def _above_noise(com: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """The map's frequencies that rise above the noise."""
    spectrum = scipy.fft.rfft2(com, axes=(0, 1)) * keep[..., None]
    return scipy.fft.irfft2(spectrum, com.shape[:2], axes=(0, 1))


def _standard(image: np.ndarray) -> np.ndarray:
    image = image - image.mean()
    return image / (image.std() or 1.0)


def _mean_of_tiles(image: np.ndarray) -> tuple[float, float]:
    """Mean of an image, and its standard error as its tiles scatter."""
    sides = int(np.sqrt(_PARTS))
    rows = np.array_split(image, sides, axis=0)
    tiles = [tile.mean() for row in rows for tile in np.array_split(row, sides, axis=1)]
    return float(np.mean(tiles)), float(np.std(tiles, ddof=1) / np.sqrt(len(tiles)))


def _choose(candidates: list[_Candidate]) -> RotationEstimate:
    """Decide the mirroring, if it is open, and say how sure flip, sign and angle are."""
    best, flip_is_right = candidates[0], 1.0
    if len(candidates) == 2:
        evidence = _evidence(*candidates)
        best, flip_is_right = candidates[0 if evidence >= 0 else 1], ndtr(abs(evidence))
    sign_is_right = ndtr(best.brightness / (best.brightness_error or np.inf))
    angle_is_right = 2 * ndtr(np.deg2rad(_TOLERANCE) / (best.angle_error + 1e-12)) - 1
    angle = (np.rad2deg(best.angle) + 180) % 360 - 180
    return RotationEstimate(
        angle=float(180.0 if angle == -180 else angle),
        flip_y=best.flip_y,
        confidence=float(flip_is_right * sign_is_right * angle_is_right),
        angle_error=float(np.rad2deg(best.angle_error)),
    )


def _evidence(one: _Candidate, other: _Candidate) -> float:
    """How strongly the map speaks for one candidate, in standard errors.

    Curl decides; where it cannot tell, the image with the brighter atoms does.
    """
    by_curl = _significance(other.curl - one.curl)
    if abs(by_curl) > 3:
        return by_curl
    error = float(np.hypot(one.brightness_error, other.brightness_error))
    return by_curl + (one.brightness - other.brightness) / (error or np.inf)


def _significance(left_out: np.ndarray) -> float:
    """Mean of jackknife values in units of its standard error."""
    deviation = left_out - left_out.mean()
    error = np.sqrt((_PARTS - 1) / _PARTS * np.sum(deviation**2))
    return float(left_out.mean() / (error or np.inf))
