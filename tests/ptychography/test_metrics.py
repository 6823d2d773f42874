"""Measures against a known specimen, and the shift between two images of one object."""

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins.ptychography.metrics import (
    cross_talk,
    moved_image,
    structural_similarity,
    subpixel_shift,
    transfer_by_band,
)


def blobs(shape, shift=(0.0, 0.0), width=1.5, seed=3):
    """Gaussians in the middle of the field, moved by any vector without a transform."""
    rng = np.random.default_rng(seed)
    y, x = (np.arange(size)[:, None] for size in shape)
    image = np.zeros(shape)
    for place in rng.uniform(0.25, 0.75, (60, 2)) * shape:
        down, right = (
            np.exp(-((axis - p - s) ** 2) / (2 * width**2))
            for axis, p, s in zip((y, x), place, shift, strict=True)
        )
        image += down @ right.T
    return image


# --- likeness


def one_window(image, truth):
    """Likeness of images of 11 × 11 px, the formula of Wang et al. for their only window."""
    along = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weight = np.outer(along, along) / along.sum() ** 2
    image, truth = image - image.mean(), truth - truth.mean()
    mean, true_mean = np.sum(weight * image), np.sum(weight * truth)
    variance = np.sum(weight * (image - mean) ** 2)
    true_variance = np.sum(weight * (truth - true_mean) ** 2)
    covariance = np.sum(weight * (image - mean) * (truth - true_mean))
    c1, c2 = (0.01 * np.ptp(truth)) ** 2, (0.03 * np.ptp(truth)) ** 2
    luminance = (2 * mean * true_mean + c1) / (mean**2 + true_mean**2 + c1)
    return luminance * (2 * covariance + c2) / (variance + true_variance + c2)


def test_likeness_of_one_window_is_the_formula(rng):
    image, truth = rng.normal(size=(2, 11, 11))
    assert structural_similarity(image + 5, truth) == pytest.approx(one_window(image, truth))


@settings(deadline=None, max_examples=25)
@given(
    ny=st.integers(11, 40),
    nx=st.integers(11, 40),
    seed=st.integers(0, 2**32 - 1),
    likeness=st.floats(0, 1),
    kind=st.sampled_from(["f4", "f8", ">f4", "i2"]),
)
def test_likeness_is_that_of_scikit_image(ny, nx, seed, likeness, kind):
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(seed)
    truth = (100 * rng.normal(size=(ny, nx)) + 300).astype(kind)
    image = (likeness * truth + 50 * rng.normal(size=(ny, nx)) - 70).astype(kind)
    expected = metrics.structural_similarity(
        image - image.astype(float).mean(),
        truth - truth.astype(float).mean(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=float(truth.astype(float).max() - truth.astype(float).min()),
    )
    assert structural_similarity(image, truth) == pytest.approx(expected, abs=1e-9)


def test_likeness_falls_with_noise_and_knows_no_zero_of_phase(rng):
    truth = blobs((64, 48))
    noise = rng.normal(size=truth.shape)
    values = [structural_similarity(truth + s * noise - 2.0, truth) for s in (0, 0.05, 0.2, 1)]
    assert values[0] == pytest.approx(1)
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.2


def test_reversed_contrast_is_told_by_transfer_and_not_by_likeness(rng):
    """Mean and contrast both change sign, and likeness is their product: as documented."""
    truth = rng.normal(size=(64, 48))
    assert structural_similarity(-truth, truth) > 0.3
    found = transfer_by_band(-truth, truth, sampling=1, bands=[(0, 0.5)])
    assert found.transfer == pytest.approx([-1])


def test_window_is_round_in_angstrom():
    """Pixels of 1 × 1/4 Å have the window of pixels of 1/2 Å: σ of 1.5 √(1 · 1/4) Å."""
    truth, image = blobs((64, 64), width=3), blobs((64, 64), shift=(2, 2), width=3)
    assert structural_similarity(image, truth) == structural_similarity(image, truth, sampling=0.3)

    def sampled(ny, nx):
        finer = (
            scipy.ndimage.zoom(i, (ny, nx), order=3, grid_mode=True, mode="grid-wrap")
            for i in (image, truth)
        )
        return structural_similarity(*finer, sampling=(1 / ny, 1 / nx))

    # Not quite the same margin is left out; a window that is not round is 0.035 off.
    assert sampled(1, 4) == pytest.approx(sampled(2, 2), abs=0.012)


# --- bands


def test_transfer_of_a_filter_is_its_value_in_each_band(rng):
    truth = rng.normal(size=(128, 96))
    ky = np.fft.fftfreq(128, 0.2)[:, None]
    kx = np.fft.fftfreq(96, 0.25)[None, :]
    k = np.hypot(ky, kx)
    response = np.where(k < 0.5, 0.3, np.where(k < 1.2, 0.9, -0.2))
    image = np.fft.ifft2(np.fft.fft2(truth) * response).real + 4.0
    bands = [(0.05, 0.4), (0.6, 1.1), (1.3, 1.9)]
    found = transfer_by_band(image, truth, sampling=(0.2, 0.25), bands=bands)
    assert found.transfer == pytest.approx([0.3, 0.9, -0.2], abs=0.02)
    assert found.correlation == pytest.approx([1, 1, -1], abs=0.02)
    assert found.bands.tolist() == [list(band) for band in bands]


def test_noise_lowers_the_correlation_and_not_the_transfer(rng):
    truth, noise = rng.normal(size=(2, 256, 256))
    found = transfer_by_band(0.7 * truth + 0.7 * noise, truth, sampling=1, bands=[(0.1, 0.5)])
    assert found.transfer == pytest.approx([0.7], abs=0.02)
    assert found.correlation == pytest.approx([np.sqrt(0.5)], abs=0.02)


def test_nothing_of_a_constant_image_is_transferred(rng):
    truth = rng.normal(size=(32, 32))
    found = transfer_by_band(np.full((32, 32), 0.1), truth, sampling=1, bands=[(0, 0.3)])
    assert found.transfer.tolist() == found.correlation.tolist() == [0]


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ([], "pairs"),
        ([0.1, 0.2], "pairs"),
        ([(0.3, 0.1)], "pairs"),
        ([(np.nan, 0.1)], "pairs"),
        ("low", "pairs"),
        ([(3.0, 4.0)], "holds nothing between 3 and 4 1/Å"),
    ],
)
def test_bands_that_are_none_are_named(rng, bands, message):
    truth = rng.normal(size=(32, 32))
    with pytest.raises(ValueError, match=message):
        transfer_by_band(truth, truth, sampling=1.0, bands=bands)


# --- slices


def test_cross_talk_is_the_mixing_that_was_done(rng):
    truth = rng.normal(size=(3, 20, 24)) * np.array([1, 5, 0.2])[:, None, None]
    mixing = np.array([[2.0, 0.5, -0.2], [0.1, 0.8, 0.0], [0.0, 0.3, 1.5]])
    mixed = np.tensordot(mixing, truth, 1) + np.array([3, -1, 7])[:, None, None]
    expected = mixing / np.diag(mixing)[:, None]
    assert cross_talk(mixed, truth + 2.0) == pytest.approx(expected, abs=1e-9)


def test_blur_along_the_beam_shows_as_cross_talk(rng):
    """Two layers that a reconstruction spreads over both, with noise on top."""
    truth = np.stack([blobs((64, 64), seed=1), blobs((64, 64), seed=2)])
    blurred = np.tensordot([[0.75, 0.25], [0.25, 0.75]], truth, 1)
    found = cross_talk(blurred + 0.05 * rng.normal(size=truth.shape), truth)
    assert found == pytest.approx(np.array([[1, 1 / 3], [1 / 3, 1]]), abs=0.02)


def test_slices_that_cannot_be_judged_are_named(rng):
    truth = rng.normal(size=(2, 16, 16))
    with pytest.raises(ValueError, match="holds -1 times truth_slices"):
        cross_talk(-truth, truth)
    with pytest.raises(ValueError, match="nothing of it"):
        cross_talk(truth[::-1], truth)
    with pytest.raises(ValueError, match="nothing of it"):
        cross_talk(np.zeros_like(truth), truth)
    with pytest.raises(ValueError, match="told from each other"):
        cross_talk(truth, [truth[0], 2 * truth[0] + 1])
    with pytest.raises(ValueError, match=r"truth_slices\[1\] is constant"):
        cross_talk(truth, [truth[0], np.ones((16, 16))])
    with pytest.raises(ValueError, match="cannot be compared"):
        cross_talk(truth, truth[:, :8])
    with pytest.raises(ValueError, match=r"slices, ny, nx"):
        cross_talk(truth[0], truth)
    with pytest.raises(ValueError, match=r"slices\[0\] is complex"):
        cross_talk(np.exp(1j * truth), truth)
    with pytest.raises(ValueError, match=r"slices\[1\] holds NaN"):
        cross_talk([truth[0], truth[1] * np.nan], truth)


# --- shifts


@pytest.mark.parametrize("shift", [(0, 0), (0.37, -1.62), (-12.25, 3.5), (7.0, 9.5)])
@pytest.mark.parametrize("slope", [0, 0.02])
def test_shift_of_a_specimen_is_found(shift, slope):
    """Also on a phase ramp, which did not move with the specimen."""
    ramp = slope * np.arange(96)[:, None]
    first, second = blobs((96, 80)) + ramp, blobs((96, 80), shift) + ramp
    found = subpixel_shift(first, second)
    assert found == pytest.approx(np.array(shift), abs=0.05 if slope else 0.01)


def test_shift_in_noise_is_as_exact_as_noise_allows(rng):
    shift, noise = np.array([1.37, -2.62]), 0.1
    first, second = blobs((96, 80)), blobs((96, 80), shift)
    slope = np.gradient(first)
    errors = [
        subpixel_shift(
            first + noise * rng.normal(size=first.shape),
            second + noise * rng.normal(size=first.shape),
        )
        - shift
        for _ in range(8)
    ]
    # Cramér-Rao bound of two noisy images; the window costs some of their information.
    bound = np.sqrt(2 * noise**2 / np.array([np.sum(s**2) for s in slope]))
    assert np.all(np.sqrt(np.mean(np.square(errors), axis=0)) < 3 * bound)


@settings(deadline=None, max_examples=25)
@given(
    ny=st.integers(16, 40),
    nx=st.integers(16, 40),
    shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
def test_moved_image_is_moved_back(ny, nx, shift):
    image = scipy.ndimage.gaussian_filter(
        np.random.default_rng(ny * nx).normal(size=(ny, nx)), 2, mode="wrap"
    )
    back = moved_image(moved_image(image, shift), np.negative(shift))
    assert back == pytest.approx(image, abs=1e-3 * np.ptp(image))
    assert moved_image(image, (2, -1)) == pytest.approx(np.roll(image, (2, -1), (0, 1)))


def test_moved_specimen_is_where_it_was_moved():
    assert moved_image(blobs((64, 64)), (1.3, -0.4)) == pytest.approx(
        blobs((64, 64), (1.3, -0.4)), abs=1e-3
    )


def test_shift_that_is_none_is_named():
    with pytest.raises(ValueError, match="shift must be a vector"):
        moved_image(np.eye(4), 1.0)
    with pytest.raises(ValueError, match="shift must be a vector"):
        moved_image(np.eye(4), (np.nan, 0))


# --- images that are none


@pytest.mark.parametrize(
    "measure",
    [
        structural_similarity,
        lambda image, truth: transfer_by_band(image, truth, sampling=1, bands=[(0, 1)]),
        subpixel_shift,
    ],
)
def test_images_that_cannot_be_compared_are_named(measure, rng):
    image = rng.normal(size=(32, 24))
    with pytest.raises(ValueError, match=r"shape \(32, 24\).*shape \(24, 32\)"):
        measure(image, image.T)
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 768"):
        measure(np.where(np.arange(24) + np.arange(32)[:, None] > 0, image, np.nan), image)
    with pytest.raises(ValueError, match="are the least"):
        measure(image[:8], image[:8])
    with pytest.raises(ValueError, match="complex"):
        measure(np.exp(1j * image), image)
    with pytest.raises(ValueError, match="must be an image"):
        measure(image[0], image[0])
    with pytest.raises(ValueError, match="constant"):
        measure(image, np.full((32, 24), 0.3))


def test_field_smaller_than_a_window_is_named(rng):
    image = rng.normal(size=(12, 24))
    with pytest.raises(ValueError, match="12 × 24 px; 3 × 43 px are the least"):
        structural_similarity(image, image, sampling=(2.0, 0.125))
    with pytest.raises(ValueError, match="pixel size"):
        structural_similarity(image, image, sampling=(0.0, 1.0))
