"""Distorted and clean patches for the restoration network, standardised alike."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import torch

from stem_plugins.restoration.distortions import Distortions, distort, row_jitter
from stem_plugins.restoration.noise_colour import find_noise_colour
from stem_plugins.restoration.standardization import scale_of
from stem_plugins.restoration.training_range import TrainingRange
from stem_plugins.training.restoration_images import clean_image

__all__ = ["TRAINED_ON", "Batch", "Pair", "draw_batch", "draw_pair"]

#: What 98 of 100 patches lie within.
TRAINED_ON = TrainingRange(electrons=(0.1, 5000), wavelength=(6.4, 230), contrast=0.04)

#: Clean images are larger than patches, for shifts that reach beyond the edge [px].
MARGIN = 8

#: Patches with fewer electrons than this say nothing.
FEWEST_ELECTRONS = 200


class Pair(NamedTuple):
    """One patch. Both images are (y, x) float32, on the scale of the distorted one.

    `distorted` is what the network sees: without what colours the noise, as far as this is known.
    """

    distorted: np.ndarray
    clean: np.ndarray
    shifts: np.ndarray


class Batch(NamedTuple):
    """Several patches: images (n, 1, y, x), shifts of the rows (n, y, 2) [px]."""

    distorted: torch.Tensor
    clean: torch.Tensor
    shifts: torch.Tensor


@dataclasses.dataclass(frozen=True)
class _Exposure:
    """How one patch is recorded."""

    counts: float  # electrons per pixel, mean
    distortions: Distortions
    read_noise: float  # of the clean image's maximum
    saturated: float  # level of the clean image's maximum at which the detector stops
    #: Of electronics or later filters along the rows: at the highest frequency f the transfer is
    #: exp(-blur), and at others as f to the power of the steepness says.
    blur: float
    steepness: float


def draw_pair(size: int, rng: np.random.Generator, *, content: str | None = None) -> Pair:
    """Draw one patch.

    Parameters
    ----------
    size
        Edge [px].
    rng
        Source of random numbers.
    content
        As for `clean_image`.

    Examples
    --------
    >>> pair = draw_pair(64, np.random.default_rng(0))
    >>> pair.distorted.shape, pair.shifts.shape
    ((64, 64), (64, 2))
    """
    while True:
        clean = clean_image(size + 2 * MARGIN, rng, content=content)
        exposure = _draw_exposure(rng)
        inside = (slice(MARGIN, -MARGIN),) * 2
        if exposure.counts * size**2 < FEWEST_ELECTRONS or clean[inside].std() < 1e-3:
            continue
        shifts = row_jitter(
            len(clean),
            sigma=exposure.distortions.jitter,
            correlation=exposure.distortions.jitter_correlation,
            rng=rng,
        ).clip(-MARGIN / 2, MARGIN / 2)
        distorted = _record(clean, shifts, exposure, rng)[inside]
        mean, deviation = scale_of(distorted)
        if deviation > 0:
            break
    scaled = (distorted - mean) / deviation
    # As `restore` does: the network sees no tail or low-pass that the noise gives away.
    colour = find_noise_colour(scaled)
    return Pair(
        colour.removed(scaled),
        ((clean[inside] - mean) / (deviation * colour.scale)).astype(np.float32),
        shifts[MARGIN:-MARGIN].astype(np.float32),
    )


def draw_batch(count: int, size: int, rng: np.random.Generator) -> Batch:
    """Draw several patches.

    Parameters
    ----------
    count, size
        Patches, and their edge [px].
    rng
        Source of random numbers.
    """
    pairs = [draw_pair(size, rng) for _ in range(count)]
    images = [torch.from_numpy(np.stack(parts)) for parts in zip(*pairs, strict=True)]
    return Batch(images[0][:, None], images[1][:, None], images[2])


def _draw_exposure(rng: np.random.Generator) -> _Exposure:
    """Half of the patches below three electrons per pixel, the others up to thousands."""
    low, high = (0.1, 3) if rng.random() < 0.5 else (3, 5000)
    slow = rng.random() < 0.1
    blurred = rng.random() < 0.25
    without = blurred or rng.random() < 0.15
    tail = 0.0 if without else float(np.exp(rng.uniform(np.log(0.3), np.log(8))))
    exponential = rng.random() < 0.2
    return _Exposure(
        counts=float(np.exp(rng.uniform(np.log(low), np.log(high)))),
        distortions=Distortions(
            jitter=(0.0, 0.0) if slow else (rng.uniform(0, 0.5), rng.uniform(0.1, 1.0)),
            jitter_correlation=rng.uniform(0, 0.8),
            beam_energy=[None, 60.0, 80.0, 200.0, 300.0][rng.integers(5)],
            tail=min(tail, 3.0) / 2 if exponential else tail,
            tail_profile="exponential" if exponential else "lorentzian",
            hot=float(10 ** rng.uniform(-5, -3)) if rng.random() < 0.1 else 0.0,
            dead=float(10 ** rng.uniform(-5, -3)) if rng.random() < 0.05 else 0.0,
        ),
        read_noise=rng.uniform(0, 0.1) if rng.random() < 0.2 else 0.0,
        saturated=rng.uniform(0.7, 1.2) if rng.random() < 0.05 else np.inf,
        blur=rng.uniform(0.5, 6) if blurred else 0.0,
        steepness=rng.uniform(1, 2),
    )


def _record(
    clean: np.ndarray, shifts: np.ndarray, exposure: _Exposure, rng: np.random.Generator
) -> np.ndarray:
    dose = exposure.counts / clean.mean()
    image = distort(
        clean,
        pixel_size=1.0,
        dose=dose,
        rng=rng,
        distortions=exposure.distortions,
        shifts=shifts,
    )
    if exposure.blur:
        frequency = np.fft.rfftfreq(clean.shape[1]) / 0.5
        transfer = np.exp(-exposure.blur * frequency**exposure.steepness)
        smooth = np.fft.rfft(image, axis=1) * transfer
        image = np.fft.irfft(smooth, n=clean.shape[1], axis=1)
    image = image + exposure.read_noise * rng.standard_normal(clean.shape)
    return np.minimum(image, exposure.saturated)
