"""What the microscope does to an image, against its statistics."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins import Distortions, distort
from stem_plugins.restoration import (
    electron_spread,
    fast_scan_tail,
    noisy_detector,
    outliers,
    resample_scan,
    row_jitter,
    tail_weights,
)


def rng(seed: int = 20262) -> np.random.Generator:
    return np.random.default_rng(seed)


BEAM = {"pixel_size": 0.2, "dose": 1e4}


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_jitter_is_stationary_and_coupled_to_the_row_before(correlation):
    """Variance σ²/(1 - φ²) from the first row on, autocorrelation φ, in y and in x."""
    generator, sigma = rng(), np.array([0.25, 0.5])
    series = np.stack(
        [
            row_jitter(8, sigma=(0.25, 0.5), correlation=correlation, rng=generator)
            for _ in range(20000)
        ]
    )
    variance = sigma**2 / (1 - correlation**2)
    np.testing.assert_allclose(series.var(axis=0), np.tile(variance, (8, 1)), rtol=0.06)
    product = np.mean(series[:, 1:] * series[:, :-1], axis=0)
    np.testing.assert_allclose(product, np.tile(correlation * variance, (7, 1)), atol=0.06 * 0.5**2)
    assert np.abs(np.mean(series[..., 0] * series[..., 1])) < 0.03 * np.sqrt(variance.prod())


def test_one_two_and_three_electrons_are_separate_peaks():
    """Thesis figure 2.3: peaks at equal distances, each √n as wide as the first."""
    electrons = 1e3 * 0.2**2
    image = noisy_detector(np.full((700, 700), 0.02), dose=1e3, pixel_size=0.2, rng=rng())
    counts = image * electrons
    spread = electron_spread(300)
    expected = np.exp(-0.8) * 0.8 ** np.arange(4) / np.array([1, 1, 2, 6])
    assert np.mean(counts == 0) == pytest.approx(expected[0], rel=0.01)
    for n in (1, 2, 3):
        near = counts[np.abs(counts - n) < 0.5]
        assert near.mean() == pytest.approx(n, abs=0.02)
        if n < 3:  # beyond, the tails of neighbours overlap
            assert near.std() == pytest.approx(spread * np.sqrt(n), rel=0.04)
        assert near.size / counts.size == pytest.approx(expected[n], rel=0.03)
    heights = np.histogram(counts[counts > 0], bins=np.arange(0.05, 3.5, 0.1))[0]
    peaks, valleys = heights[[9, 19, 29]], heights[[14, 24]]
    assert (valleys < 0.5 * np.maximum(peaks[:-1], peaks[1:])).all()


def test_spread_of_a_pulse_by_hand():
    """m = 300, η = ¼, δ = 4: √((¾ + ⅓)/75 + 1/300)."""
    assert electron_spread(300) == pytest.approx(np.sqrt(13 / 12 / 75 + 1 / 300))


def test_mean_and_variance_of_the_detector():
    image = noisy_detector(np.full((600, 600), 0.5), dose=1e3, pixel_size=(0.2, 0.1), rng=rng())
    assert image.mean() == pytest.approx(0.5, rel=0.005)
    expected = 0.5 * (1 + electron_spread(300) ** 2) / 20
    assert image.var() == pytest.approx(expected, rel=0.02)
    counted = noisy_detector(
        np.full((99, 99), 0.5), dose=1e3, pixel_size=0.2, rng=rng(), beam_energy=None
    )
    np.testing.assert_allclose(counted * 40, np.rint(counted * 40), atol=1e-9)


@pytest.mark.parametrize("decay", [1.0, 3.0])
def test_spectrum_of_the_half_lorentzian(decay):
    """The real part against the closed sum over all replicas of exp(-α|f|) (Poisson)."""
    frequency = np.fft.rfftfreq(4096)
    transfer = np.fft.rfft(tail_weights(decay, 4096)).real

    def both_sides(f):
        return np.cosh(decay * (0.5 - f)) / (2 * np.sinh(decay / 2))

    expected = (both_sides(frequency) + 1 / decay) / (both_sides(0.0) + 1 / decay)
    np.testing.assert_allclose(transfer, expected, atol=2e-3)


@pytest.mark.parametrize("profile", ["lorentzian", "exponential"])
def test_noise_with_a_tail_is_coloured_along_x_only(profile):
    """Thesis figure 2.6 b: damped towards high fx, the same for all fy."""
    decay, images, shape = 2.0, 60, (64, 128)
    noise = rng().standard_normal((images, *shape))
    smeared = fast_scan_tail(noise, decay=decay, profile=profile)
    power = np.mean(np.abs(np.fft.fft2(smeared)) ** 2, axis=0) / (shape[0] * shape[1])
    if profile == "exponential":
        q, wave = np.exp(-1 / decay), np.exp(-2j * np.pi * np.fft.fftfreq(shape[1]))
        expected = np.abs((1 - q) / (1 - q * wave)) ** 2
    else:
        x = np.arange(4096)
        weights = decay / ((2 * np.pi * x) ** 2 + decay**2)
        wave = np.exp(-2j * np.pi * np.outer(np.fft.fftfreq(shape[1]), x))
        expected = np.abs(wave @ weights / weights.sum()) ** 2
    np.testing.assert_allclose(power.mean(axis=0), expected, rtol=0.1)
    rows = power.mean(axis=1)
    assert rows.std() / rows.mean() < 0.03


@pytest.mark.parametrize("profile", ["lorentzian", "exponential"])
def test_the_tail_points_to_the_right(profile):
    image = np.zeros((3, 64))
    image[1, 20] = 1
    smeared = fast_scan_tail(image, decay=4, profile=profile)
    assert np.abs(smeared[[0, 2]]).max() < 1e-12
    assert (np.diff(smeared[1, 20:]) < 0).all()
    assert smeared[1, 10:20].max() < 0.05 * smeared[1, 20]
    assert smeared[1, 20] == pytest.approx(tail_weights(4, 64, profile)[0], rel=1e-3)


def test_the_tail_keeps_constants_and_no_decay_is_no_tail():
    np.testing.assert_allclose(fast_scan_tail(np.full((4, 30), 2.5), decay=5), 2.5)
    image = rng().random((5, 9))
    np.testing.assert_array_equal(fast_scan_tail(image, decay=0), image)


def test_mean_is_kept_by_all_distortions_together():
    y, x = np.indices((256, 256))
    clean = 0.1 + 0.05 * np.cos(0.7 * x) * np.cos(0.6 * y)
    distorted = distort(clean, rng=rng(), distortions=Distortions(pedestal=0.03), **BEAM)
    assert distorted.mean() - 0.03 == pytest.approx(clean.mean(), rel=0.005)


def test_shares_of_hot_and_dead_pixels():
    image = outliers(np.ones((300, 300)), hot=0.01, dead=0.02, rng=rng())
    assert np.mean(image > 1.5) == pytest.approx(0.01, rel=0.15)
    assert np.mean(image == 0) == pytest.approx(0.02, rel=0.15)
    assert image.max() <= 11


def test_a_seed_gives_the_same_image_again():
    clean = rng().random((20, 30))
    first, again, other = (distort(clean, rng=rng(seed), **BEAM) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9


def test_a_stack_equals_its_images_one_after_the_other():
    stack = rng().random((3, 20, 30))
    generator = rng(5)
    singly = [distort(image, rng=generator, **BEAM) for image in stack]
    np.testing.assert_array_equal(distort(stack, rng=rng(5), **BEAM), singly)


def test_jitter_of_a_scan_is_that_of_its_dark_field_image():
    """At 10¹³ e/Å² counting is exact: distort the image, or sum the distorted patterns."""
    y, x = np.indices((40, 30))
    image = 0.1 + 0.05 * np.cos(0.5 * x + 0.3 * y)
    pattern = np.array([[0.1, 0.2], [0.3, 0.4]])
    scan = image[..., None, None] * pattern
    only_jitter = {
        "dose": 1e13,
        "pixel_size": 0.2,
        "distortions": Distortions(beam_energy=None, tail=0),
    }
    shifts = row_jitter(40, rng=rng())
    for extra in ({"shifts": shifts}, {}):
        from_scan = distort(scan, rng=rng(3), **only_jitter, **extra)
        from_image = distort(image, rng=rng(3), **only_jitter, **extra)
        np.testing.assert_allclose(from_scan.sum(axis=(2, 3)), from_image, atol=1e-4)
    each = np.broadcast_to(shifts[:, None], (40, 30, 2))
    np.testing.assert_allclose(
        distort(image, rng=rng(), shifts=shifts, **only_jitter),
        resample_scan(image, each),
        atol=1e-4,
    )


def test_detector_pixels_of_a_scan_are_poisson_counts():
    electrons = 1e4 * 0.2**2
    scan = np.full((60, 60, 2, 3), 1.0) * np.array([[0.001, 0.01, 0.1], [0.02, 0.2, 0]])
    counts = distort(scan, rng=rng(), **BEAM) * electrons
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)
    mean = scan[0, 0] * electrons
    np.testing.assert_allclose(counts.mean(axis=(0, 1)), mean, rtol=0.1)
    np.testing.assert_allclose(counts.var(axis=(0, 1)), mean, rtol=0.1)


@given(
    shape=st.sampled_from([(9, 8), (3, 9, 8), (9, 8, 4, 3)]),
    dtype=st.sampled_from(["f4", ">f8", "u1"]),
    chunk=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=40)
def test_lazy_equals_eager_in_any_chunks(shape, dtype, chunk, seed):
    clean = rng(seed).integers(0, 3, shape).astype(dtype)
    options = {"distortions": Distortions(hot=0.1, dead=0.1), **BEAM}
    eager = distort(clean, rng=rng(seed), **options)
    lazy = distort(da.from_array(clean, chunks=chunk), rng=rng(seed), **options)
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype, eager.dtype) == (shape, float, float)
    np.testing.assert_array_equal(lazy.compute(), eager)


@pytest.mark.parametrize(
    ("image", "changed", "words"),
    [
        (np.zeros(5), {}, r"not shape \(5,\)"),
        (np.zeros((2, 2, 2, 2, 2)), {}, "takes an image"),
        (np.zeros((0, 5)), {}, "takes an image"),
        (np.full((4, 4), -0.1), {}, "cannot be negative.*-0.1"),
        (np.full((4, 4, 2, 2), -0.1), {}, "cannot be negative.*-0.1"),
        (np.full((4, 4), np.nan), {}, "16 of 16 pixels are not finite"),
        (np.full((4, 4, 2, 2), np.nan), {}, "not finite"),
        (np.ones((4, 4)) * 1j, {}, "absolute square"),
        (np.ones((4, 4)), {"dose": 0}, "above zero, not 0 and 0.2"),
        (np.ones((4, 4)), {"dose": np.nan}, "above zero"),
        (np.ones((4, 4)), {"pixel_size": (0.2, -1)}, "above zero"),
        (np.ones((4, 4)), {"pixel_size": (1, 2, 3)}, r"or two, \(y, x\)"),
        (np.full((4, 4), 1e18), {}, "fraction of the beam"),
        (np.ones((4, 4)), {"shifts": np.zeros((5, 2))}, r"\(4, 2\).*not shape \(5, 2\)"),
        (np.ones((4, 4)), {"shifts": np.full((4, 2), np.nan)}, "finite real numbers"),
    ],
)
def test_errors_of_distort(image, changed, words):
    with pytest.raises(ValueError, match=words):
        distort(image, **{"rng": rng(), **BEAM, **changed})


def test_errors_of_lazy_data_come_with_the_result():
    lazy = distort(da.full((4, 4, 2, 2), -0.1, chunks=2), rng=rng(), **BEAM)
    with pytest.raises(ValueError, match="cannot be negative"):
        lazy.compute()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"jitter": (0.1, -0.1)}, "two lengths in px"),
        ({"jitter": 0.5}, "two lengths in px"),
        ({"jitter_correlation": 1.0}, "below 1.*it is 1.0"),
        ({"beam_energy": 0}, "beam_energy must be above zero"),
        ({"tail": -1}, "zero or a length above it"),
        ({"tail_profile": "gaussian"}, "'lorentzian' or 'exponential'"),
        ({"hot": 1.2}, "shares between 0 and 1"),
        ({"pedestal": np.nan}, "finite number"),
    ],
)
def test_errors_of_distortions(changed, words):
    with pytest.raises(ValueError, match=words):
        Distortions(**changed)
