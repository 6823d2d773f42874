"""Is this structure real? What speaks for a restored image, pixel by pixel.

Three maps. *Consistency*: the restored image, as the same detector would have recorded it, against
the measured one. What is left should be noise; where it is more, the restoration changed the image,
and stands or falls with what it took for scan distortion. *Unexplained*: the same after every row
was moved to where it fits best; what now exceeds the noise is no scan distortion, and was lost or
invented. *Spread*: the restoration is repeated on images that could have been measured instead,
with other noise, other jitter, and mirrored; what changes from one to the next was decided by
chance or by the network, not by the specimen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import scipy.ndimage

from stem_plugins.restoration.distortions import row_jitter
from stem_plugins.restoration.row_registration import Prediction, predict, register_rows

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["REPLICAS", "Evidence", "Examination", "NoiseModel", "examine", "spread_map"]

#: Radius over which differences are averaged, about that of a column (σ of a Gaussian) [px].
FEATURE = 1.5

#: Other images that could have been measured, for the map of spread.
REPLICAS = 4

#: Levels of intensity between which the growth of the noise is fitted.
LEVELS = 24

#: Share of the mean variance that the darkest pixels have at least, for noise of the electronics.
LEAST_VARIANCE = 0.02

#: Distance along a row beyond which noise is taken as independent [px].
LARGEST_LAG = 12

#: Strongest jitter that replicas get [px], and strongest coupling of rows.
LARGEST_JITTER = 1.5
LARGEST_COUPLING = 0.9


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """Maps beside a restored image, of its shape, float32.

    Parameters
    ----------
    consistency
        Measured image minus the restored one as the same detector records it (gain, offset, tail;
        no jitter), averaged over a Gaussian of σ 1.5 px, in units of the standard deviation that
        noise alone has after this. Zero on average; its root mean square is about 1 where only
        noise was removed, and more where the scan displaced things or the restoration is wrong.
    unexplained
        The same after every row of the restored image was moved to where it fits best. A patch
        beyond ±4 is something that was measured and the restored image does not show (positive),
        or that it shows and was not measured (negative). The clean image itself would give a root
        mean square of about 1; a restored one gives less, about 0.7 to 0.9, because it was made
        from the same counts and follows a part of their noise.
    spread
        Root mean square difference between the restored image and restorations of what could
        have been measured instead, in the units of the image. It shows what depends on chance; an
        error that is made every time does not show.
    """

    consistency: np.ndarray | da.Array
    unexplained: np.ndarray | da.Array
    spread: np.ndarray | da.Array


@dataclasses.dataclass(frozen=True)
class NoiseModel:
    """How the noise of an image grows with its intensity: ``variance = gain · (I - pedestal)``.

    Parameters
    ----------
    gain
        Variance per intensity; for counting noise what one electron adds to a pixel, less what
        the detector's tail averages out. 0: the noise does not grow, the image is no count.
    pedestal
        Intensity at which the noise ends: that of no electrons. Of no meaning where gain is 0.
    mean_variance
        Over the image.
    correlation
        Of pixels 0, 1, 2 … apart along the row, whose noise the detector's tail couples.
    """

    gain: float
    pedestal: float
    mean_variance: float
    correlation: tuple[float, ...] = (1.0,)

    def variance(self, intensity: np.ndarray) -> np.ndarray:
        """Return the variance at some intensities.

        Parameters
        ----------
        intensity
            Of the image without noise.
        """
        least = max(LEAST_VARIANCE * self.mean_variance, np.finfo(float).tiny)
        if self.gain <= 0:
            return np.full(intensity.shape, max(self.mean_variance, least))
        return np.maximum(self.gain * (intensity - self.pedestal), least)


@dataclasses.dataclass(frozen=True, eq=False)
class Examination:
    """A measured image beside its restored one.

    Parameters
    ----------
    consistency, unexplained
        As in `Evidence`.
    noise
        Of the measured image.
    prediction
        The restored image, distorted again.
    shifts
        With which, (ny, nx, 2), vectors (y, x) [px].
    """

    consistency: np.ndarray
    unexplained: np.ndarray
    noise: NoiseModel
    prediction: Prediction
    shifts: np.ndarray


def examine(measured: np.ndarray, restored: np.ndarray) -> Examination:
    """Compare a measured image with the restored one, distorted again.

    Parameters
    ----------
    measured, restored
        (y, x), finite, at least 8 px on either side, not constant, fast scan along x to the right.

    Returns
    -------
    Examination
    """
    measured, restored = np.asarray(measured, float), np.asarray(restored, float)
    shifts = register_rows(measured, restored)
    prediction = predict(measured, restored, shifts)
    noise = _fit_noise(measured, prediction)
    unmoved = predict(measured, restored, np.zeros_like(shifts))
    return Examination(
        _in_noise(measured, unmoved, noise),
        _in_noise(measured, prediction, noise),
        noise,
        prediction,
        shifts,
    )


def _in_noise(measured: np.ndarray, prediction: Prediction, noise: NoiseModel) -> np.ndarray:
    """Return a difference averaged over features, in units of what noise leaves of it."""
    difference = np.where(prediction.inside, measured - prediction.image, 0)
    averaged = scipy.ndimage.gaussian_filter(difference, FEATURE, mode="mirror")
    variance = scipy.ndimage.gaussian_filter(noise.variance(prediction.image), FEATURE)
    left = _share_left(noise.correlation)
    return (averaged / np.sqrt(left * variance)).astype(np.float32)


def _share_left(correlation: tuple[float, ...]) -> float:
    """Share of the variance that averaging leaves of noise coupled along x."""
    impulse = np.zeros(12 * int(np.ceil(FEATURE)) + 1)
    impulse[len(impulse) // 2] = 1
    average = scipy.ndimage.gaussian_filter1d(impulse, FEATURE)
    along_y = np.correlate(average, average, "full")
    middle = len(along_y) // 2
    along_x = sum(
        (1 if lag == 0 else 2) * value * along_y[middle + lag]
        for lag, value in enumerate(correlation)
    )
    return float(along_y[middle] * along_x)


def _fit_noise(measured: np.ndarray, prediction: Prediction) -> NoiseModel:
    """Fit how the noise grows with intensity.

    Noise differs from row to row, and what was restored wrongly does so far less: second
    differences down the columns, whose variance is six times that of the noise.
    """
    difference = np.where(prediction.inside, measured - prediction.image, 0)
    bend = difference[:-2] - 2 * difference[1:-1] + difference[2:]
    inside = prediction.inside[:-2] & prediction.inside[1:-1] & prediction.inside[2:]
    square, level = (bend[inside] ** 2) / 6, prediction.image[1:-1][inside]
    if not square.size or not square.mean() > 0:
        return NoiseModel(0.0, 0.0, 0.0)
    gain, pedestal = _fit_growth(square, level)
    return NoiseModel(gain, pedestal, float(square.mean()), _correlation(bend * inside))


def _fit_growth(square: np.ndarray, level: np.ndarray) -> tuple[float, float]:
    """Fit a line through squares of noise over levels: its slope, and where it is zero."""
    edges = np.quantile(level, np.linspace(0, 1, LEVELS + 1))
    member = np.clip(np.searchsorted(edges, level, side="right") - 1, 0, LEVELS - 1)
    count = np.maximum(np.bincount(member, minlength=LEVELS), 1)
    mean_level = np.bincount(member, level, LEVELS) / count
    variance = np.bincount(member, square, LEVELS) / count
    mean = float(square.mean())
    if not np.ptp(mean_level) > 0:
        return 0.0, 0.0
    gain, offset = 0.0, mean
    for _ in range(10):
        # The variance of a level is known to a share of itself.
        known = np.sqrt(count) / np.maximum(gain * mean_level + offset, 0.05 * mean)
        gain, offset = (float(v) for v in np.polyfit(mean_level, variance, 1, w=known))
    # A slope that changes the variance by less than a tenth over the image may be chance.
    if gain * np.ptp(mean_level) < 0.1 * mean:
        return 0.0, 0.0
    return gain, -offset / gain


def _correlation(noise: np.ndarray) -> tuple[float, ...]:
    """Autocorrelation along the rows, as far as a spectrum that is nowhere negative has it."""
    reach = min(LARGEST_LAG, noise.shape[1] // 4)
    width = noise.shape[1]
    lags = [float(np.sum(noise[:, : width - lag] * noise[:, lag:])) for lag in range(reach + 1)]
    # The triangle keeps the spectrum of the shortened series from going below zero.
    return tuple(v / lags[0] * (1 - lag / (reach + 1)) for lag, v in enumerate(lags))


def spread_map(
    restored: np.ndarray,
    examination: Examination,
    again: Callable[[np.ndarray], np.ndarray],
    *,
    seed: int = 0,
) -> np.ndarray:
    """Restore images that could have been measured instead, and see what changes.

    Parameters
    ----------
    restored
        (y, x).
    examination
        Of the measured image.
    again
        Restores an image (y, x) as `restored` was; called `REPLICAS` times.
    seed
        Of noise and jitter: the same seed gives the same map.

    Returns
    -------
    ndarray
        As in `Evidence`, (y, x) float32.
    """
    square = np.zeros(restored.shape)
    for index, replica in enumerate(_replicas(restored, examination, seed)):
        # Every other one upside down: what depends on that was decided by the network.
        up = slice(None, None, -1 if index % 2 else 1)
        again_restored = again(replica[up].astype(np.float32))[up]
        square += (again_restored.astype(float) - restored) ** 2
    return np.sqrt(square / REPLICAS).astype(np.float32)


def _replicas(restored: np.ndarray, found: Examination, seed: int) -> Iterator[np.ndarray]:
    """Draw images that could have been measured instead, (y, x) float64."""
    rng = np.random.default_rng(seed)
    restored = np.asarray(restored, float)
    sigma, coupling = _jitter_of(found.shifts)
    for _ in range(REPLICAS):
        rows = row_jitter(len(restored), sigma=sigma, correlation=coupling, rng=rng)
        shifts = np.broadcast_to(rows[:, None], (*restored.shape, 2))
        image = found.prediction.recorded(restored, shifts)
        noise = _coupled(rng.standard_normal(image.shape), found.noise.correlation)
        yield image + np.sqrt(found.noise.variance(image)) * noise


def _coupled(noise: np.ndarray, correlation: tuple[float, ...]) -> np.ndarray:
    """Give white noise an autocorrelation along the rows; its variance stays 1."""
    width = noise.shape[1]
    series = np.zeros(width)
    for lag, value in enumerate(correlation):
        series[lag] = value
        series[-lag] = value
    power = np.maximum(np.fft.rfft(series).real, 0)
    return np.fft.irfft(np.fft.rfft(noise, axis=1) * np.sqrt(power), width, axis=1)


def _jitter_of(shifts: np.ndarray) -> tuple[tuple[float, float], float]:
    """Steps (y, x) [px] and coupling of the rows' shifts (thesis eq. 2.14, 2.15)."""
    rows = shifts.mean(axis=1)
    rows = rows - rows.mean(axis=0)
    power = np.sum(rows**2, axis=0)
    together = np.sum(rows[1:] * rows[:-1], axis=0)
    coupling = float(np.clip(together.sum() / max(power.sum(), 1e-12), 0, LARGEST_COUPLING))
    deviation = np.minimum(np.sqrt(power / len(rows)), LARGEST_JITTER)
    y, x = deviation * np.sqrt(1 - coupling**2)
    return (float(y), float(x)), coupling
