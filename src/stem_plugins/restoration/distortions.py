"""What a scanning microscope does to an image: row jitter, detector noise, fast-scan tail.

After thesis section 2.2 (T. Friedrich, University of Antwerp, 2023), in the order in which the
microscope does it: the beam visits shifted places, electrons arrive one by one, scintillator and
photomultiplier turn each into a pulse of uncertain height, and the pulse dies away slowly. Images
are (..., y, x) in the fraction of the beam that the detector collects, the fast scan runs along x
to the right, and shifts are in pixels, (y, x). Every function takes a `numpy.random.Generator`,
so that a seed gives the same image again.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy.signal

from stem_plugins.lazy import is_lazy
from stem_plugins.restoration.detector_response import (
    collected_fraction,
    electron_spread,
    electrons_per_pixel,
    fast_scan_tail,
    noisy_detector,
    outliers,
    real_image,
    tail_weights,
)
from stem_plugins.restoration.scan_grid import resample_scan

if TYPE_CHECKING:
    import dask.array as da

__all__ = [
    "Distortions",
    "distort",
    "electron_spread",
    "fast_scan_tail",
    "noisy_detector",
    "outliers",
    "row_jitter",
    "tail_weights",
]


@dataclasses.dataclass(frozen=True)
class Distortions:
    """How strong each distortion is; the defaults are those of thesis table 2.2.

    Parameters
    ----------
    jitter
        Standard deviation σ of the random step that every scan row adds to its shift [px],
        (y, x). The thesis gives no unit; pixels are taken.
    jitter_correlation
        Coupling φ of a row's shift to the one before, 0 to below 1.
    beam_energy
        [keV], for the pulse heights of the detector; ``None`` counts electrons without noise of
        the detector, as a pixelated detector does.
    tail
        Decay of the detector's response over the dwell time, α in pixels; 0: no tail.
    tail_profile
        ``"lorentzian"`` (thesis eq. 2.18) or ``"exponential"`` (eq. 2.17, β = 1/α).
    pedestal
        Constant that the electronics adds, as a fraction of the beam.
    hot, dead
        Share of the pixels hit by an X-ray, and of those that read nothing.

    Raises
    ------
    ValueError
        A value is outside its range.

    Examples
    --------
    >>> Distortions(jitter=(0, 0), beam_energy=None, tail=0)  # electrons are counted, nothing else
    Distortions(jitter=(0, 0), jitter_correlation=0.5, beam_energy=None, tail=0, ...)
    """

    jitter: tuple[float, float] = (0.25, 0.5)
    jitter_correlation: float = 0.5
    beam_energy: float | None = 300.0
    tail: float = 1.0
    tail_profile: Literal["lorentzian", "exponential"] = "lorentzian"
    pedestal: float = 0.0
    hot: float = 0.0
    dead: float = 0.0

    def __post_init__(self) -> None:
        _check_jitter(self.jitter, self.jitter_correlation)
        if self.beam_energy is not None:
            electron_spread(self.beam_energy)
        tail_weights(self.tail, 1, self.tail_profile)
        if not (0 <= self.hot <= 1 and 0 <= self.dead <= 1):
            raise ValueError(
                f"hot and dead are shares between 0 and 1, not {self.hot} and {self.dead}."
            )
        if not np.isfinite(self.pedestal):
            raise ValueError(f"pedestal must be a finite number, not {self.pedestal}.")


def row_jitter(
    rows: int,
    *,
    sigma: tuple[float, float] = (0.25, 0.5),
    correlation: float = 0.5,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw the shift of every scan row: ``Δ_j = φ Δ_{j-1} + a_j`` (thesis eq. 2.14, 2.15).

    Parameters
    ----------
    rows
        Number of scan rows.
    sigma
        Standard deviation of a_j [px], (y, x).
    correlation
        φ, at least 0 and below 1. The series is stationary from its first row on, in both
        directions (the thesis prints that for y alone): its variance is σ²/(1 - φ²) everywhere.
    rng
        Source of random numbers.

    Returns
    -------
    ndarray
        Shifts [px], (rows, 2), vectors (y, x): row j was recorded at ``(j + Δy, x + Δx)``.

    Raises
    ------
    ValueError
        The correlation is not below 1, or sigma is not two lengths.

    Examples
    --------
    >>> shifts = row_jitter(10000, rng=np.random.default_rng(0))
    >>> shifts.std(axis=0).round(2)
    array([0.29, 0.58])
    """
    _check_jitter(sigma, correlation)
    steps = rng.standard_normal((rows, 2)) * np.asarray(sigma, float)
    steps[:1] /= np.sqrt(1 - correlation**2)
    return scipy.signal.lfilter([1.0], [1.0, -correlation], steps, axis=0)


def _check_jitter(sigma: tuple[float, float], correlation: float) -> None:
    if not 0 <= correlation < 1:
        raise ValueError(
            "The correlation of rows must be at least 0 and below 1, or they would drift away; "
            f"it is {correlation}."
        )
    if np.shape(sigma) != (2,) or not all(0 <= length < np.inf for length in sigma):
        raise ValueError(f"The jitter must be two lengths in px, (y, x), not {sigma!r}.")


def distort(
    image: np.ndarray | da.Array,
    *,
    pixel_size: float | tuple[float, float],
    dose: float,
    rng: np.random.Generator,
    distortions: Distortions = Distortions(),
    shifts: np.ndarray | None = None,
) -> np.ndarray | da.Array:
    """Distort a clean image, a stack of images, or a 4D scan as a scanning microscope does.

    In order: row jitter, counting and detector noise, fast-scan tail, outliers, pedestal.

    Parameters
    ----------
    image
        Fraction of the beam that is collected: an image (y, x), a stack (n, y, x) whose images
        are distorted independently, or a 4D scan (scan_y, scan_x, ky, kx), whose patterns are
        shifted on the scan grid and counted, and nothing else: a pixelated detector has no pulse
        spread and no tail. NumPy, or dask, which stays lazy.
    pixel_size
        Of the image, or scan step [Å]; one number or (y, x).
    dose
        [e/Å²].
    rng
        Source of random numbers. One number is drawn for each image or scan; all else follows
        from it, so a stack equals its images one after the other, and a scan has the same jitter
        as an image.
    distortions
        How strong each is.
    shifts
        Shifts of the rows [px], (rows, 2), as `row_jitter` draws them, or of all pixels,
        (rows, columns, 2), as `scan_shifts` finds them; ``None``: drawn.

    Returns
    -------
    ndarray or dask.array.Array
        float64, in the units of `image`, same shape. Pixel (y, x) was recorded at
        ``(y, x) + shift``; outside the image its edge continues.

    Raises
    ------
    ValueError
        The shape is none of these, the shifts do not fit it, or as for the single distortions.

    Examples
    --------
    >>> clean = np.full((64, 64), 0.1)
    >>> rng = np.random.default_rng(0)
    >>> distort(clean, pixel_size=0.2, dose=1e4, rng=rng).mean().round(2)
    np.float64(0.1)
    """
    if image.ndim not in (2, 3, 4) or 0 in image.shape:
        raise ValueError(
            "distort takes an image (y, x), a stack (n, y, x) or a scan (scan_y, scan_x, ky, kx), "
            f"not shape {tuple(image.shape)}."
        )
    if image.dtype.kind not in "biuf":
        real_image(np.zeros((1, 1), image.dtype))
    electrons_per_pixel(dose, pixel_size)
    rows, columns = image.shape[1:] if image.ndim == 3 else image.shape[:2]
    if shifts is not None:
        shifts = _fitting_shifts(shifts, rows, columns)
    if image.ndim == 4:
        return _distort_scan(image, pixel_size, dose, rng, distortions, shifts)
    stack = image if image.ndim == 3 else image[None]
    seeds = rng.integers(2**63, size=len(stack))
    block = functools.partial(
        _distort_stack,
        pixel_size=pixel_size,
        dose=dose,
        distortions=distortions,
        shifts=shifts,
    )
    if is_lazy(stack):
        import dask.array as da

        # Images whole, one at a time: the shape of chunks then changes nothing.
        stack = stack.rechunk((1, -1, -1))
        each = da.from_array(seeds[:, None, None], chunks=(1, 1, 1))
        meta = np.empty((0, 0, 0))
        distorted = da.map_blocks(block, stack, each, dtype=float, chunks=stack.chunks, meta=meta)
    else:
        distorted = block(np.asarray(stack), seeds)
    return distorted if image.ndim == 3 else distorted[0]


def _fitting_shifts(shifts: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """One vector for each pixel, from one for each row or for each pixel."""
    shifts = np.asarray(shifts)
    if shifts.shape not in ((rows, 2), (rows, columns, 2)):
        raise ValueError(
            f"shifts must be vectors (y, x) of the rows, shape {(rows, 2)}, or of all pixels, "
            f"shape {(rows, columns, 2)}, not shape {shifts.shape}."
        )
    if shifts.ndim == 2:
        shifts = shifts[:, None]
    return np.broadcast_to(shifts, (rows, columns, 2))


def _shifts(
    shape: tuple[int, ...], distortions: Distortions, seed: int, shifts: np.ndarray | None
) -> np.ndarray:
    """Shifts of all pixels, given or drawn, with a stream of random numbers of their own."""
    if shifts is not None:
        return shifts
    rows = row_jitter(
        shape[0],
        sigma=distortions.jitter,
        correlation=distortions.jitter_correlation,
        rng=np.random.default_rng((seed, 0)),
    )
    return np.broadcast_to(rows[:, None], (*shape[:2], 2))


def _distort_stack(
    stack: np.ndarray,
    seeds: np.ndarray,
    *,
    pixel_size: float | tuple[float, float],
    dose: float,
    distortions: Distortions,
    shifts: np.ndarray | None,
) -> np.ndarray:
    """Distort images (n, y, x), each with the seed of its own."""
    distorted = np.empty(stack.shape)
    for index, (image, seed) in enumerate(zip(stack, seeds.ravel().tolist(), strict=True)):
        image = collected_fraction(real_image(image))
        moved = resample_scan(image, _shifts(image.shape, distortions, seed, shifts))
        # Cubic interpolation undershoots beside sharp edges; there is no negative intensity.
        moved = moved.clip(0)
        rng = np.random.default_rng((seed, 1))
        counted = noisy_detector(
            moved, dose=dose, pixel_size=pixel_size, rng=rng, beam_energy=distortions.beam_energy
        )
        smeared = fast_scan_tail(counted, decay=distortions.tail, profile=distortions.tail_profile)
        hit = outliers(smeared, hot=distortions.hot, dead=distortions.dead, rng=rng)
        distorted[index] = hit + distortions.pedestal
    return distorted


def _distort_scan(
    data: np.ndarray | da.Array,
    pixel_size: float | tuple[float, float],
    dose: float,
    rng: np.random.Generator,
    distortions: Distortions,
    shifts: np.ndarray | None,
) -> np.ndarray | da.Array:
    seed = int(rng.integers(2**63))
    places = _shifts(data.shape, distortions, seed, shifts)
    count = functools.partial(_counted, pixel_size=pixel_size, dose=dose, seed=seed)
    if not is_lazy(data):
        data = collected_fraction(np.asarray(data))
        return count(np.asarray(resample_scan(data, places)), np.arange(len(data)))
    import dask.array as da

    meta = np.empty((0,) * 4)
    checked = da.map_blocks(
        collected_fraction, data, dtype=data.dtype, meta=meta.astype(data.dtype)
    )
    moved = da.asarray(resample_scan(checked, places))
    rows = da.arange(len(data), chunks=moved.chunks[:1])[:, None, None, None]
    return da.map_blocks(count, moved, rows, dtype=float, chunks=moved.chunks, meta=meta)


def _counted(
    block: np.ndarray,
    rows: np.ndarray,
    *,
    pixel_size: float | tuple[float, float],
    dose: float,
    seed: int,
) -> np.ndarray:
    """Count electrons, with one stream of random numbers per scan row: chunks change nothing."""
    return np.stack(
        [
            noisy_detector(
                patterns.clip(0),
                dose=dose,
                pixel_size=pixel_size,
                rng=np.random.default_rng((seed, 1, row)),
                beam_energy=None,
            )
            for patterns, row in zip(block, rows.ravel().tolist(), strict=True)
        ]
    )
