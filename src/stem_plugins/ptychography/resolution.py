"""How fine a detail an image really shows, without knowing the specimen.

Two reconstructions from separate halves of a scan share the specimen and not the noise: their
Fourier ring correlation says up to which spatial frequency they agree. The information limit needs
one image only: the highest frequency at which its power spectrum stands out of the noise.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from typing import Literal, get_args

import numpy as np
import scipy.ndimage
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from stem_plugins.ptychography.image_spectra import (
    FourierRings,
    fourier_rings,
    image_pair,
    pixel_size,
    real_image,
    tukey,
    windowed_spectrum,
)

__all__ = [
    "InformationLimit",
    "RingCorrelation",
    "fourier_ring_correlation",
    "half_scans",
    "information_limit",
]

#: Standard deviations above chance from which on a ring counts as correlated.
SIGNIFICANT = 4.0

#: Power below this share of the strongest ring's is rounding.
ROUNDING = 1e-26

#: Rings about zero frequency into which the window spreads the slow background.
BACKGROUND_RINGS = 3

#: Side of the windows about a peak in which noise is looked for, and how far apart they lie [px].
AROUND, AROUND_STEP = 11, 7

#: Share of the frequencies, from the highest down, that are taken for noise.
NOISE_SHARE = 0.1

Criterion = Literal["one-seventh", "half-bit"]
Signal = Literal["peaks", "rings"]


@dataclasses.dataclass(frozen=True, eq=False)
class RingCorrelation:
    """Correlation of two images over spatial frequency; one entry for each Fourier ring.

    Parameters
    ----------
    frequency
        Mean spatial frequency of the ring [1/Å], rising.
    correlation
        Between -1 and 1; 0 where either image has no power.
    samples
        Independent complex Fourier coefficients in the ring, at least 1: half of its pixels (the
        other half are their conjugates), less what the window couples. Without anything in common
        the correlation scatters about 0 with a standard deviation of ``1 / √(2 samples)`` at most.
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]
    samples: NDArray[np.float64]

    def threshold(self, criterion: Criterion = "one-seventh") -> NDArray[np.float64]:
        """Return what the correlation must exceed in each ring.

        Parameters
        ----------
        criterion
            "one-seventh": 1/7 = 0.143 (P. B. Rosenthal, R. Henderson, J. Mol. Biol. 333, 721
            (2003)). "half-bit": the full data set carries half a bit per coefficient, which
            demands more where a ring has few of them (M. van Heel, M. Schatz, J. Struct. Biol.
            151, 250 (2005)).

        Raises
        ------
        ValueError
            There is no such criterion.
        """
        if criterion not in get_args(Criterion):
            raise ValueError(
                f"criterion must be one of {', '.join(get_args(Criterion))}, not {criterion!r}."
            )
        if criterion == "one-seventh":
            return np.full(self.frequency.shape, 1 / 7)
        root = np.sqrt(self.samples)
        return (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root)

    def resolution(self, criterion: Criterion = "one-seventh") -> float:
        """Return the finest period on which the two images agree [Å].

        From the first ring that is correlated beyond chance on (low frequencies may be lost in
        ptychography) up to where the correlation falls below the threshold, interpolated between
        rings. ``inf`` where no ring is; the period of the last ring where the correlation never
        falls below the threshold, and the pixels, not the data, are the limit.

        Parameters
        ----------
        criterion
            As in `threshold`.

        Raises
        ------
        ValueError
            There is no such criterion.
        """
        excess = self.correlation - self.threshold(criterion)
        # Fisher's transform of a correlation of 2 n real numbers is about normally distributed.
        deviations = np.arctanh(np.clip(self.correlation, -1 + 1e-12, 1 - 1e-12))
        deviations = deviations * np.sqrt(np.maximum(2 * self.samples - 3, 0))
        agree = np.flatnonzero((excess > 0) & (deviations > SIGNIFICANT))
        if not agree.size:
            return math.inf
        below = agree[0] + np.flatnonzero(excess[agree[0] :] <= 0)
        if not below.size:
            return float(1 / self.frequency[-1])
        ring = below[0]
        share = excess[ring - 1] / (excess[ring - 1] - excess[ring])
        step = self.frequency[ring] - self.frequency[ring - 1]
        return float(1 / (self.frequency[ring - 1] + share * step))


def fourier_ring_correlation(
    first: ArrayLike, second: ArrayLike, *, sampling: float | tuple[float, float]
) -> RingCorrelation:
    """Correlate two images of the same object ring by ring in Fourier space.

    ``Re Σ F G* / √(Σ|F|² Σ|G|²)``, with the mean taken off and a Tukey window (flat in the middle
    half) against the edges. The images must lie on each other: `subpixel_shift` finds by how much
    they do not, `moved_image` takes it back.

    Parameters
    ----------
    first, second
        Phases (ny, nx) [rad], or any other real images, at least 16 px along either side;
        reconstructed from separate data (see `half_scans`), or they share their noise.
    sampling
        Pixel size (y, x) [Å].

    Returns
    -------
    RingCorrelation
        Up to the lower of the two Nyquist frequencies. The window carries what is strong two or
        three rings on.

    Raises
    ------
    ValueError
        The images differ in shape, are too small or constant, or hold NaN or complex numbers; the
        sampling is no pixel size.

    References
    ----------
    W. O. Saxton, W. Baumeister, J. Microsc. 127, 127 (1982).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> specimen = rng.normal(size=(64, 64))
    >>> halves = [specimen + 0.5 * rng.normal(size=(64, 64)) for _ in range(2)]
    >>> found = fourier_ring_correlation(*halves, sampling=0.4)
    >>> print(f"{np.average(found.correlation, weights=found.samples):.1f}")
    0.8
    >>> print(f"{found.resolution():.2f} Å")
    0.80 Å
    """
    one, other = image_pair(first, second, ("first", "second"))
    for name, image in (("first", one), ("second", other)):
        if not np.ptp(image) > 0:
            raise ValueError(f"{name} is constant: there is nothing to correlate.")
    rings = fourier_rings(one.shape, pixel_size(sampling))
    window = np.outer(tukey(one.shape[0]), tukey(one.shape[1]))
    spectra = [windowed_spectrum(image, window) for image in (one, other)]
    common = rings.sums((spectra[0] * spectra[1].conj()).real)
    powers = [rings.sums(np.abs(spectrum) ** 2) for spectrum in spectra]
    floors = [ROUNDING * power.max() for power in powers]
    filled = (powers[0] > floors[0]) & (powers[1] > floors[1])
    power = np.sqrt(powers[0]) * np.sqrt(powers[1])
    correlation = np.divide(common, power, out=np.zeros(rings.count), where=filled)
    samples = np.maximum(rings.pixels / 2 / _coupling(window), 1)
    return RingCorrelation(rings.frequency, np.clip(correlation, -1, 1), samples)


def _coupling(window: NDArray[np.float64]) -> float:
    """Return how many Fourier pixels of white noise under a window count as one."""
    return float(window.size * np.sum(window**4) / np.sum(window**2) ** 2)


def half_scans(
    scan_shape: tuple[int, int],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Divide a scan into two halves like the squares of a chessboard.

    Either half covers the whole field evenly, with a step √2 times as long.

    Parameters
    ----------
    scan_shape
        Positions (scan_y, scan_x).

    Returns
    -------
    tuple of ndarray
        Two masks of that shape: each position is in one of them.

    Raises
    ------
    ValueError
        These are no two numbers of positions, or fewer than two positions in all.

    Examples
    --------
    >>> half_scans((2, 3))[0].astype(int)
    array([[1, 0, 1],
           [0, 1, 0]])
    """
    try:
        rows, columns = (operator.index(size) for size in scan_shape)
    except (TypeError, ValueError):
        rows = columns = 0
    if min(rows, columns) < 1 or rows * columns < 2:
        raise ValueError(
            "scan_shape must be the numbers of positions (scan_y, scan_x), two or more in all, "
            f"not {scan_shape!r}."
        )
    first = np.add.outer(np.arange(rows), np.arange(columns)) % 2 == 0
    return first, ~first


@dataclasses.dataclass(frozen=True)
class InformationLimit:
    """How far the signal in an image reaches.

    Parameters
    ----------
    frequency
        Highest spatial frequency that stands out of the noise [1/Å]; 0: none does.
    """

    frequency: float

    @property
    def resolution(self) -> float:
        """Its period [Å]; infinite where nothing stands out."""
        return 1 / self.frequency if self.frequency > 0 else math.inf


def information_limit(
    phase: ArrayLike,
    *,
    sampling: float | tuple[float, float],
    signal: Signal = "peaks",
    false_alarm: float = 0.01,
) -> InformationLimit:
    """Find the highest spatial frequency at which the power spectrum stands out of the noise.

    The power of noise in a Fourier pixel is distributed exponentially about its mean P: it exceeds
    t P with probability exp(-t), and reaches ``t = ln(pixels / false_alarm)`` anywhere in the
    spectrum with probability `false_alarm` at most. A Blackman window keeps strong peaks, and the
    edges of the field, from showing where they are not.

    Parameters
    ----------
    phase
        (ny, nx) [rad], or any other real image; at least 16 px along either side.
    sampling
        Pixel size (y, x) [Å].
    signal
        "peaks", for crystals: peaks above t P, where P comes from the ring's median and may change
        with frequency, as it does in a reconstruction; the largest of five neighbouring rings and
        of nine windows around the peak, for the edge of a band is no peak. Streaks and artefacts
        with the period of the scan are. "rings", for specimens without order: rings whose mean
        power exceeds that of the highest tenth of the frequencies, which is taken for white noise;
        where the noise is not white, this calls it signal.
    false_alarm
        Chance that noise alone gives a frequency above 0.

    Returns
    -------
    InformationLimit
        Up to the lower of the two Nyquist frequencies, to within a Fourier pixel or a ring.

    Raises
    ------
    ValueError
        The image is too small or constant, or holds NaN or complex numbers; the sampling is no
        pixel size; there is no such signal or chance.

    Examples
    --------
    >>> x = 0.2 * np.arange(128)
    >>> fringes = np.cos(2 * np.pi * x / 1.6) + 0.2 * np.cos(2 * np.pi * x / 0.8)
    >>> noise = np.random.default_rng(0).normal(size=(128, 128))
    >>> found = information_limit(fringes + noise, sampling=(0.2, 0.2))
    >>> print(f"{found.frequency:.2f} 1/Å, {found.resolution:.2f} Å")
    1.25 1/Å, 0.80 Å
    """
    if signal not in get_args(Signal):
        raise ValueError(f"signal must be one of {', '.join(get_args(Signal))}, not {signal!r}.")
    if not 0 < false_alarm < 1:
        raise ValueError(f"false_alarm is a chance between 0 and 1, not {false_alarm!r}.")
    image = real_image(phase, "phase")
    if not np.ptp(image) > 0:
        raise ValueError("phase is constant: there is no signal in it.")
    window = np.outer(np.blackman(image.shape[0] + 2), np.blackman(image.shape[1] + 2))[1:-1, 1:-1]
    power = np.abs(windowed_spectrum(image, window)) ** 2
    rings = fourier_rings(image.shape, pixel_size(sampling))
    if signal == "peaks":
        return InformationLimit(_highest_peak(power, rings, false_alarm))
    return InformationLimit(_highest_ring(power, rings, false_alarm, _coupling(window)))


def _highest_peak(power: NDArray[np.float64], rings: FourierRings, false_alarm: float) -> float:
    """Return the frequency of the outermost peak above the noise of its ring [1/Å], or 0."""
    whole = np.arange(1, rings.count + 1)
    noise = np.asarray(scipy.ndimage.median(power, rings.index, whole)) / math.log(2)
    noise = scipy.ndimage.maximum_filter1d(noise, 5, mode="nearest")
    noise = np.maximum(noise, ROUNDING * power.max())
    inside = (rings.index > BACKGROUND_RINGS) & (rings.index <= rings.count)
    # Of a pair of conjugate pixels one is enough.
    least = math.log(max(int(inside.sum()) / 2, 1) / false_alarm)
    of_pixel = noise[np.clip(rings.index, 1, rings.count) - 1]
    # As far as the main lobe of the window reaches, a peak is one peak.
    summit = power == scipy.ndimage.maximum_filter(power, 7, mode="wrap")
    peaks = np.argwhere(inside & summit & (power > least * of_pixel))
    radii = rings.radius[peaks[:, 0], peaks[:, 1]]
    for number in np.argsort(-radii):
        row, column = peaks[number]
        if power[row, column] > least * _noise_around(power, row, column):
            return float(radii[number])
    return 0.0


def _noise_around(power: NDArray[np.float64], row: int, column: int) -> float:
    """Return the mean power of noise near a Fourier pixel, of nine windows that with the most.

    Noise may differ along a ring: in a band that ends along a square, or by direction.
    """
    reach = AROUND // 2 + AROUND_STEP
    rows, columns = (
        np.arange(center - reach, center + reach + 1) % size
        for center, size in zip((row, column), power.shape, strict=True)
    )
    near = power[np.ix_(rows, columns)]
    windows = np.lib.stride_tricks.sliding_window_view(near, (AROUND, AROUND))
    windows = windows[::AROUND_STEP, ::AROUND_STEP]
    # The lower quartile, for other peaks may fill half of a window.
    return float(np.max(np.quantile(windows, 0.25, axis=(2, 3)))) / math.log(4 / 3)


def _highest_ring(
    power: NDArray[np.float64], rings: FourierRings, false_alarm: float, coupling: float
) -> float:
    """Return the frequency of the outermost ring above the noise of the highest [1/Å], or 0."""
    highest = max(round(NOISE_SHARE * rings.count), 1)
    sums, samples = rings.sums(power), np.maximum(rings.pixels / 2 / coupling, 1)
    noise = np.sum(sums[-highest:]) / np.sum(rings.pixels[-highest:])
    noise = max(noise, ROUNDING * power.max())
    tested = slice(BACKGROUND_RINGS, rings.count - highest)
    # Ratio of two means of exponentially distributed numbers.
    least = scipy.stats.f.isf(
        false_alarm / max(rings.count - highest - BACKGROUND_RINGS, 1),
        2 * samples[tested],
        2 * np.sum(samples[-highest:]),
    )
    found = (sums / rings.pixels)[tested] > least * noise
    return float(np.max(rings.frequency[tested], where=found, initial=0))
