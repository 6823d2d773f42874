"""Probes to begin with, and how the modes of a partially coherent one are told apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stem_plugins.imaging.bright_field_disc import calibrated_radius, find_disc
from stem_plugins.imaging.direct_ptychography import disc_center
from stem_plugins.ptychography.detector_pixels import filled_dead_pixels
from stem_plugins.ptychography.objective import Objective

__all__ = ["given_probe", "orthogonal_modes", "probe_modes", "vacuum_probe"]

#: Share of the intensity that all further modes have at first.
FURTHER_MODES = 0.05

#: Angles, in parts of the semi-angle, beyond which a vacuum pattern holds noise only.
DISC = 1.15

#: Of the counts of a vacuum pattern, the least part that lies there.
INSIDE = 0.8

#: Radii of its disc, in parts of that by the calibration, that are no error of either.
RADII = (0.87, 1.15)


def given_probe(objective: Objective, probe: ArrayLike) -> NDArray[np.complexfloating]:
    """Return a probe that was given, or say in a ValueError why it is none.

    Parameters
    ----------
    objective
        With the window that it must fit.
    probe
        (ky, kx) complex, in the middle of its window.
    """
    wave, window = np.asarray(probe), objective.geometry.window
    if wave.shape != window or not np.isfinite(wave).all() or not np.any(wave):
        raise ValueError(
            f"probe must be a wave of {window[0]} × {window[1]} pixels without NaN, not "
            f"{wave.shape}."
        )
    return wave


def vacuum_probe(objective: Objective, vacuum: ArrayLike) -> NDArray[np.complex128]:
    """Make a probe of a pattern without specimen and the calibrated aberrations.

    The root of the pattern takes the place of the ideal aperture: its edge, its evenness, and
    what the detector makes of them are then those of the experiment.

    Parameters
    ----------
    objective
        With the detector and the aberrations.
    vacuum
        Counts, (ky, kx), of the same detector and camera length; as much of a mean as possible.

    Returns
    -------
    ndarray, shape (ky, kx)
        In the middle of its window, with ``Σ|P|² = 1``.

    Raises
    ------
    ValueError
        It is no pattern of this detector, or holds no counts.
    """
    pattern, window = np.asarray(vacuum), objective.geometry.window
    if pattern.ndim > 2 and pattern.shape[-2:] == window:
        raise ValueError(
            f"vacuum must be one pattern; of those given, {pattern.shape}, take the mean: "
            f"vacuum.mean(axis={tuple(range(pattern.ndim - 2))})."
        )
    if pattern.dtype.kind not in "buif" or pattern.shape != window:
        raise ValueError(
            f"vacuum must be a pattern of real numbers as large as those of the scan, {window}, "
            f"not {pattern.dtype} {pattern.shape}."
        )
    missing = pattern.size - int(np.isfinite(pattern).sum())
    if missing:
        raise ValueError(
            f"The vacuum pattern has {missing} pixels that are not finite numbers, which would be "
            "holes of the aperture; replace them by their neighbours."
        )
    pattern = pattern.astype(float).clip(min=0)
    if not pattern.any():
        raise ValueError("The vacuum pattern holds no counts.")
    measured = objective.measurements
    pattern = filled_dead_pixels(pattern, measured.survey.weights)
    _check_radius(find_disc(pattern).radius, objective)
    apart = np.subtract(disc_center(pattern[None, None]), measured.center)
    # The specimen may pull the disc's centre by less than a pixel; more is another alignment.
    moved = tuple(-round(shift) if abs(shift) > 1 else 0 for shift in apart)
    amplitude = measured.ordered(np.roll(np.sqrt(pattern), moved, axis=(0, 1)))
    ky, kx = objective.frequencies()
    inside = amplitude * (np.hypot(ky, kx) < DISC * objective.aperture_radius)
    share = np.sum(inside**2) / np.sum(amplitude**2)
    if share < INSIDE:
        raise ValueError(
            f"Only {share:.0%} of the counts of the vacuum pattern lie inside the convergence "
            "angle: it is of another camera length or angle, or no pattern of vacuum."
        )
    return objective.calibrated_probe(inside)


def _check_radius(radius: float, objective: Objective) -> None:
    """Compare the disc of a vacuum pattern with the calibration."""
    angle = objective.acquisition.convergence_angle
    assert angle is not None
    expected = calibrated_radius(objective.acquisition)
    # A disc of few pixels is known to a pixel only.
    low, high = RADII[0] - 0.7 / expected, RADII[1] + 0.7 / expected
    if not low <= radius / expected <= high:
        raise ValueError(
            f"The disc of the vacuum pattern has a radius of {radius:.3g} px, and by the "
            f"calibration it is {expected:.3g} px: it is of another camera length or aperture, or "
            f"convergence_angle is wrong, which by this pattern is {angle * radius / expected:.3g} "
            "mrad."
        )


def probe_modes(probe: NDArray[np.complexfloating], count: int) -> NDArray[np.complex64]:
    """Make modes of a probe: itself, and its derivatives, as a source of some size has them.

    Parameters
    ----------
    probe
        (y, x), in the middle of its window.
    count
        How many.

    Returns
    -------
    ndarray, shape (count, y, x)
        Orthogonal, with ``Σ|P|² = 1`` over all.
    """
    ky, kx = (np.fft.fftfreq(size) for size in probe.shape)
    spectrum = np.fft.fft2(probe)
    orders = [(total - i, i) for total in range(count) for i in range(total + 1)]
    derivatives = np.stack(
        [np.fft.ifft2(spectrum * ky[:, None] ** a * kx[None, :] ** b) for a, b in orders]
    )
    # Mixed, so that no direction is without a share of any: it would stay without.
    derivatives /= np.linalg.norm(derivatives, axis=(1, 2), keepdims=True)
    mixed = np.random.default_rng(0).standard_normal((count, len(orders)))
    mixed[0] = np.eye(1, len(orders))
    raw = np.tensordot(mixed, derivatives, axes=1)
    q, _ = np.linalg.qr(raw.reshape(count, -1).T)
    modes = q.T.reshape(raw.shape)
    modes[0] = probe / np.linalg.norm(probe)
    share = FURTHER_MODES / max(1, count - 1)
    weights = np.full(count, share)
    weights[0] = 1 - share * (count - 1)
    return (modes * np.sqrt(weights)[:, None, None]).astype(np.complex64)


def orthogonal_modes(modes: NDArray[np.complexfloating]) -> NDArray[np.complex64]:
    """Describe the same incoherent probe by orthogonal modes, the strongest first.

    Parameters
    ----------
    modes
        (modes, y, x).
    """
    flat = modes.reshape(len(modes), -1)
    _, values, vectors = np.linalg.svd(flat, full_matrices=False)
    found = (values[:, None] * vectors).reshape(modes.shape)
    # The phase of a mode is free; its strongest pixel gets that of the mode as it was.
    for one in found:
        peak = np.unravel_index(np.abs(one).argmax(), one.shape)
        like = modes[:, *peak][np.abs(modes[:, *peak]).argmax()]
        one *= np.exp(1j * (np.angle(like) - np.angle(one[peak])))
    return found.astype(np.complex64)
