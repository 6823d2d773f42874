"""Where a reconstruction begins: the probe's modes and the object."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.imaging.direct_ptychography import ssb
from stem_plugins.ptychography.objective import Objective, Parts

__all__ = ["direct_object", "empty_object", "expected_power", "probe_modes"]

#: Share of the intensity that all further modes have at first.
FURTHER_MODES = 0.05

#: Illumination, in parts of the largest, from which on a pixel of the object is known.
LIT = 0.3


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


def empty_object(objective: Objective, slices: int) -> torch.Tensor:
    """Vacuum, (channels, slices, y, x)."""
    channels = 2 if objective.object_type == "complex" else 1
    return torch.zeros(channels, slices, *objective.geometry.shape, device=objective.device)


def direct_object(objective: Objective, slices: int) -> torch.Tensor:
    """The phase of direct ptychography, shared out among the slices; zero outside the scan."""
    image = np.asarray(ssb(objective.measurements.data, objective.acquisition))
    placed = objective.geometry.from_scan(np.angle(image).astype(np.float32))
    found = empty_object(objective, slices)
    found[0] = torch.from_numpy(placed / slices).to(objective.device)
    return found


def expected_power(
    objective: Objective, parts: Parts, before: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Estimate how strong the object is at each spatial frequency, from an estimate of it.

    One step of the expectation–maximisation algorithm for a Gaussian object whose power depends
    on |k| only: the mean over all directions of the estimate's power, and of what the estimate
    leaves uncertain, which follows from the electrons and the curvature of the likelihood
    (A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Stat. Soc. B 39, 1 (1977)).

    Parameters
    ----------
    objective
        Of the estimate.
    parts
        The estimate.
    before
        The power that it was made with; ``None``: it was made without.

    Returns
    -------
    ndarray, shape (channels, y, x)
        Mean ``|FFT|²`` with unit norm, over the frequencies of the object.
    """
    geometry = objective.geometry
    images = parts["object"].sum(dim=1).cpu().numpy().astype(float)
    intensity = parts["probe"].square().sum(dim=(0, -1)).cpu().numpy()
    light = geometry.illumination(intensity)
    # Unlit, the object is not known and shows no power.
    lit = float(np.mean(light > LIT * light.max()))
    power = np.abs(np.fft.fft2(images, norm="ortho")) ** 2 / lit
    if before is not None:
        electrons = objective.electrons * len(geometry.positions)
        known = np.stack([electrons * one for one in objective.expected_curvature])
        power += 1 / (known + 1 / before)
    ky, kx = (
        np.fft.fftfreq(size, step)
        for size, step in zip(geometry.shape, geometry.sampling, strict=True)
    )
    width = max(
        1 / (size * step) for size, step in zip(geometry.shape, geometry.sampling, strict=True)
    )
    ring = np.rint(np.hypot(ky[:, None], kx) / width).astype(int)
    count = np.bincount(ring.ravel())
    return np.stack([(np.bincount(ring.ravel(), one.ravel()) / count)[ring] for one in power])
