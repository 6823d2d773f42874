"""Resolution of images of known band limit, known noise, and nothing but noise."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins.ptychography.resolution import (
    RingCorrelation,
    fourier_ring_correlation,
    half_scans,
    information_limit,
)


def frequencies(shape, sampling):
    y, x = (np.fft.fftfreq(n, d) for n, d in zip(shape, sampling, strict=True))
    return np.hypot(y[:, None], x)


def filtered_noise(rng, shape, response):
    return np.fft.ifft2(np.fft.fft2(rng.normal(size=shape)) * response).real


# --- ring correlation


@pytest.mark.parametrize("shape", [(64, 64), (96, 48)])
def test_noise_is_not_correlated(rng, shape):
    found = [
        fourier_ring_correlation(*rng.normal(size=(2, *shape)), sampling=(0.2, 0.3))
        for _ in range(100)
    ]
    deviations = np.array([f.correlation * np.sqrt(2 * f.samples) for f in found])
    assert abs(deviations.mean()) < 0.1
    assert 0.6 < deviations.std() <= 1
    assert all(f.resolution() == f.resolution("half-bit") == np.inf for f in found)


@pytest.mark.parametrize("ratio", [0.25, 1, 4])
def test_correlation_is_the_share_of_the_signal(rng, ratio):
    """s / (s + 1) for a ratio s of signal to noise in either image; slow background added."""
    signal = np.sqrt(ratio) * rng.normal(size=(160, 160))
    first, second = signal + rng.normal(size=(2, 160, 160))
    found = fourier_ring_correlation(first + 3, 0.2 * second, sampling=1)
    mean = np.average(found.correlation, weights=found.samples)
    assert mean == pytest.approx(ratio / (1 + ratio), abs=0.03)


@pytest.mark.parametrize("limit", [0.4, 0.9, 1.4])
@pytest.mark.parametrize("criterion", ["one-seventh", "half-bit"])
def test_resolution_is_the_band_limit(rng, limit, criterion):
    shape, sampling = (128, 160), (0.3, 0.25)
    signal = filtered_noise(rng, shape, frequencies(shape, sampling) < limit)
    halves = 3 * signal + rng.normal(size=(2, *shape))
    found = fourier_ring_correlation(*halves, sampling=sampling)
    step = found.frequency[1] - found.frequency[0]
    assert 1 / found.resolution(criterion) == pytest.approx(limit, abs=4 * step)


def test_lost_low_frequencies_do_not_end_the_resolution(rng):
    """Ptychography may lose the lowest frequencies; what it resolves are the highest."""
    shape = (128, 128)
    k = frequencies(shape, (0.25, 0.25))
    common = filtered_noise(rng, shape, (k > 0.3) & (k < 1.2))
    separate = [filtered_noise(rng, shape, np.where(k < 0.3, 1, 0.05)) for _ in range(2)]
    found = fourier_ring_correlation(common + separate[0], common + separate[1], sampling=0.25)
    assert np.abs(found.correlation[:8]).mean() < 0.5
    assert 1 / found.resolution() == pytest.approx(1.2, abs=0.15)


def test_identical_images_are_resolved_to_the_last_ring(rng):
    image = rng.normal(size=(16, 20))
    found = fourier_ring_correlation(image, image, sampling=0.5)
    assert found.correlation == pytest.approx(np.ones(8))
    assert found.resolution() == pytest.approx(1.0, rel=0.03)
    reversed_contrast = fourier_ring_correlation(image, -image, sampling=0.5)
    assert reversed_contrast.correlation == pytest.approx(-np.ones(8))
    assert reversed_contrast.resolution() == np.inf


def test_shift_costs_resolution(rng):
    """Moved by d, the mean over a ring is the Bessel function J₀(2π k d)."""
    image = rng.normal(size=(96, 96))
    found = fourier_ring_correlation(image, np.roll(image, 1, 0), sampling=0.2)
    zero = scipy.optimize.brentq(lambda z: scipy.special.j0(z) - 1 / 7, 0, 2.4)
    assert found.resolution() == pytest.approx(2 * np.pi * 0.2 / zero, rel=0.08)


def test_thresholds_are_those_of_their_papers():
    found = RingCorrelation(np.array([1.0, 2.0]), np.zeros(2), np.array([1.0, 1e12]))
    assert found.threshold().tolist() == [1 / 7, 1 / 7]
    # Half a bit: log2(1 + s) = 1/2 of the full data, s/2 in each half, s/2 / (1 + s/2).
    half = (np.sqrt(2) - 1) / 2
    assert found.threshold("half-bit") == pytest.approx([1, half / (1 + half)], abs=1e-4)
    with pytest.raises(ValueError, match="one-seventh, half-bit"):
        found.threshold("3-sigma")


def test_resolution_lies_between_rings():
    correlation = np.array([1, 1, 1, 0.5, 0.0, 0.9])
    frequency, samples = np.arange(1, 7) / 10, np.full(6, 1000.0)
    found = RingCorrelation(frequency, correlation, samples)
    # From 0.5 at 0.4 1/Å to 0 at 0.5 1/Å; what comes back later does not count.
    assert 1 / found.resolution() == pytest.approx(0.4 + 0.1 * (0.5 - 1 / 7) / 0.5)


@settings(deadline=None, max_examples=40)
@given(
    ny=st.integers(16, 50),
    nx=st.integers(16, 50),
    dy=st.floats(0.05, 40),
    dx=st.floats(0.05, 40),
    kind=st.sampled_from(["f4", "f8", ">f8", "u1", "i4"]),
)
def test_rings_of_any_shape_hold_numbers(ny, nx, dy, dx, kind):
    rng = np.random.default_rng(ny * nx)
    first, second = (30 * rng.uniform(size=(2, ny, nx))).astype(kind)
    # One frequency step along the coarser axis must lie within the other's Nyquist frequency.
    if min(0.5 / dy, 0.5 / dx) < max(1 / (ny * dy), 1 / (nx * dx)):
        with pytest.raises(ValueError, match="no Fourier ring"):
            fourier_ring_correlation(first, second, sampling=(dy, dx))
        return
    found = fourier_ring_correlation(first, second, sampling=(dy, dx))
    assert np.isfinite(found.correlation).all()
    assert np.all(np.abs(found.correlation) <= 1)
    assert np.all(np.diff(found.frequency) > 0)
    assert np.all(found.samples >= 1)
    assert found.resolution() > 0
    turned = fourier_ring_correlation(second.T, first.T, sampling=(dx, dy))
    assert turned.correlation == pytest.approx(found.correlation, abs=1e-9)
    assert information_limit(first, sampling=(dy, dx)).resolution > 0
    assert information_limit(first, sampling=(dy, dx), signal="rings").resolution > 0


def test_empty_rings_are_not_correlated(rng):
    """Images of one period each hold nothing elsewhere but rounding."""
    x = np.arange(64)
    first = np.zeros((64, 64)) + np.cos(2 * np.pi * x / 8)
    second = first + 1e-18 * rng.normal(size=(64, 64))
    found = fourier_ring_correlation(first, second.astype("f4"), sampling=1)
    assert np.isfinite(found.correlation).all()
    assert found.correlation[7] == pytest.approx(1)


# --- halves of a scan


@settings(max_examples=30)
@given(rows=st.integers(1, 40), columns=st.integers(2, 40))
def test_each_position_is_in_one_half(rows, columns):
    first, second = half_scans((rows, columns))
    assert first.shape == second.shape == (rows, columns)
    assert np.all(first ^ second)
    assert 0 <= first.sum() - second.sum() <= 1
    assert not np.any(first[:, 1:] & first[:, :-1])
    assert not np.any(first[1:] & first[:-1])


@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (4,), 4, (2.5, 3), None])
def test_scan_shape_that_is_none_is_named(shape):
    with pytest.raises(ValueError, match="scan_y, scan_x"):
        half_scans(shape)


# --- information limit


def crystal(shape, sampling, orders):
    """Cosines of given frequencies (y, x) [1/Å] and amplitudes."""
    y, x = (d * np.arange(n) for n, d in zip(shape, sampling, strict=True))
    return sum(
        amplitude * np.cos(2 * np.pi * (ky * y[:, None] + kx * x[None, :]) + index)
        for index, (ky, kx, amplitude) in enumerate(orders)
    )


ORDERS = [(0.25, 0, 1.0), (0, 0.3, 1.0), (0.25, 0.3, 0.5), (0.5, 0.6, 0.3), (0.75, 0.6, 0.01)]


@pytest.mark.parametrize("background", ["white", "coloured"])
def test_limit_is_the_last_order_above_the_noise(rng, background):
    """The weakest order of five lies below the noise; the fourth is seen."""
    shape, sampling = (128, 160), (0.3, 0.25)
    k = frequencies(shape, sampling)
    noise = filtered_noise(rng, shape, 1 if background == "white" else 1 / (1 + 4 * k**2))
    found = information_limit(crystal(shape, sampling, ORDERS) + noise, sampling=sampling)
    assert found.frequency == pytest.approx(np.hypot(0.5, 0.6), abs=0.03)
    assert found.resolution == 1 / found.frequency


def test_less_noise_shows_the_next_order(rng):
    shape, sampling = (128, 160), (0.3, 0.25)
    image = crystal(shape, sampling, ORDERS) + 0.05 * rng.normal(size=shape)
    found = information_limit(image, sampling=sampling)
    assert found.frequency == pytest.approx(np.hypot(0.75, 0.6), abs=0.03)


def band(k, y, x):
    return {
        "white": np.ones_like(k),
        "falling": 1 / (0.02 + k) ** 2,
        "disc": (k < 0.3).astype(float),
        "square": ((np.abs(y) < 0.3) & (np.abs(x) < 0.3)).astype(float),
        "astigmatic": np.exp(-((y / 0.1) ** 2) - (x / 0.3) ** 2),
    }


@pytest.mark.parametrize("kind", ["white", "falling", "disc", "square", "astigmatic"])
def test_noise_has_no_peaks(rng, kind):
    """Whatever its spectrum: also where it ends along a square, or differs by direction."""
    y, x = np.meshgrid(np.fft.fftfreq(96), np.fft.fftfreq(96), indexing="ij")
    response = band(np.hypot(y, x), y, x)[kind]
    limits = [
        information_limit(filtered_noise(rng, (96, 96), response), sampling=1, false_alarm=0.05)
        for _ in range(60)
    ]
    # 3 of 60 are expected at most; more than 8 happen once in 300 times.
    assert sum(found.frequency > 0 for found in limits) <= 8
    assert any(found.resolution == np.inf for found in limits)


@pytest.mark.parametrize("limit", [0.15, 0.25, 0.35])
def test_rings_of_a_specimen_without_order_end_at_its_limit(rng, limit):
    k = frequencies((128, 128), (1, 1))
    image = 4 * filtered_noise(rng, (128, 128), k < limit) + rng.normal(size=(128, 128))
    found = information_limit(image, sampling=1, signal="rings")
    assert found.frequency == pytest.approx(limit, abs=0.025)


def test_white_noise_has_no_rings(rng):
    limits = [
        information_limit(rng.normal(size=(64, 64)), sampling=1, signal="rings", false_alarm=0.05)
        for _ in range(60)
    ]
    assert sum(found.frequency > 0 for found in limits) <= 8


def test_questions_that_are_none_are_named(rng):
    image = rng.normal(size=(32, 32))
    with pytest.raises(ValueError, match="signal must be one of peaks, rings"):
        information_limit(image, sampling=1, signal="spots")
    with pytest.raises(ValueError, match="chance between 0 and 1"):
        information_limit(image, sampling=1, false_alarm=0)
    for sampling in (0, -1, np.nan, np.inf, (1, 2, 3), "fine", None):
        with pytest.raises(ValueError, match="pixel size"):
            information_limit(image, sampling=sampling)
        with pytest.raises(ValueError, match="pixel size"):
            fourier_ring_correlation(image, image, sampling=sampling)
    with pytest.raises(ValueError, match="constant"):
        information_limit(np.full((32, 32), 0.1), sampling=1)
    with pytest.raises(ValueError, match="second is constant"):
        fourier_ring_correlation(image, np.full((32, 32), 0.1), sampling=1)
    with pytest.raises(ValueError, match="cannot be compared"):
        fourier_ring_correlation(image, image[:, 1:], sampling=1)
    with pytest.raises(ValueError, match="16 px along either side"):
        information_limit(image[:12], sampling=1)
    with pytest.raises(ValueError, match="NaN or infinity"):
        information_limit(np.where(image > 1, np.inf, image), sampling=1)
