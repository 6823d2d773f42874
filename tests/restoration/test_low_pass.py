"""A low-pass along the rows, found in the noise, taken off and put back."""

import numpy as np
import pytest
from column_images import columns
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from stem_plugins.restoration import (
    Distortions,
    LowPass,
    apply_low_pass,
    distort,
    estimate_low_pass,
    remove_low_pass,
    restore,
)
from stem_plugins.restoration.noise_colour import NoiseColour, find_noise_colour


def crystal(size=256):
    return 0.02 + 0.1 * columns((size, size), spacing=14)


def recorded(dose, seed=0, **distortions):
    return distort(
        crystal(),
        pixel_size=0.15,
        dose=dose,
        rng=np.random.default_rng(seed),
        distortions=Distortions(tail=0.0, **distortions),
    )


def error(image, truth):
    """Root mean square difference, whatever gain and offset."""
    gain, offset = np.polyfit(np.ravel(image), np.ravel(truth), 1)
    return float(np.std(gain * image + offset - truth))


@pytest.mark.parametrize("dose", [1e3, 1e5])
@pytest.mark.parametrize(("strength", "steepness"), [(4.0, 1.0), (4.5, 1.5), (6.0, 2.0)])
def test_a_low_pass_is_found_at_every_dose_under_jitter(dose, strength, steepness):
    true = LowPass(strength, steepness)
    found = estimate_low_pass(apply_low_pass(recorded(dose), true))
    frequencies = np.linspace(0.1, 0.9, 9)
    np.testing.assert_allclose(
        np.log(found.transfer(frequencies)), np.log(true.transfer(frequencies)), atol=0.35
    )


def test_a_gaussian_filter_of_scipy_is_found():
    """σ of 1 px has the transfer exp(-π² f² / 2), f in parts of the highest frequency."""
    smooth = gaussian_filter1d(recorded(1e4).astype(float), 1.0, axis=1)
    found = estimate_low_pass(smooth)
    assert found.steepness == pytest.approx(2.0, abs=0.25)
    assert found.strength == pytest.approx(np.pi**2 / 2, rel=0.15)


@pytest.mark.parametrize("tail", [0.0, 2.0, 8.0])
@pytest.mark.parametrize("dose", [1e3, 1e6])
def test_recorded_images_have_none(dose, tail):
    image = distort(
        crystal(),
        pixel_size=0.15,
        dose=dose,
        rng=np.random.default_rng(1),
        distortions=Distortions(tail=tail),
    )
    assert estimate_low_pass(image) == LowPass()


def test_structure_is_not_taken_for_noise():
    """A smooth image falls off, too, but then white noise shows."""
    y, x = np.mgrid[:256, :256] / 256
    smooth = 50 + 40 * np.sin(20 * x * y) * np.cos(9 * y)
    assert estimate_low_pass(np.random.default_rng(2).poisson(smooth)) == LowPass()
    assert estimate_low_pass(smooth) == LowPass()
    assert estimate_low_pass(np.ones((80, 80))) == LowPass()
    assert estimate_low_pass(np.random.default_rng(0).random((40, 300))) == LowPass()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(2, 90),
    st.floats(0.5, 6.0),
    st.sampled_from([1.0, 1.5, 2.0]),
    st.integers(0, 99),
)
def test_what_is_taken_off_comes_back(rows, width, strength, steepness, seed):
    image = np.random.default_rng(seed).random((rows, width))
    low_pass = LowPass(strength, steepness)
    smooth = apply_low_pass(image, low_pass)
    np.testing.assert_allclose(remove_low_pass(smooth, low_pass), image, atol=3e-5)
    np.testing.assert_allclose(smooth.mean(axis=1), image.mean(axis=1), rtol=1e-5)
    again = image.astype(np.float32)
    assert apply_low_pass(again, low_pass, out=again) is again
    np.testing.assert_allclose(again, smooth, atol=1e-6)


def test_nothing_but_the_rows_is_filtered():
    """Rows do not mix, and the filter is that of the cosine wave of each frequency."""
    low_pass = LowPass(4.0, 1.5)
    x = np.arange(64) + 0.5
    wave = np.cos(np.pi * 16 * x / 64)
    image = np.stack([wave, np.zeros(64), np.ones(64)])
    smooth = apply_low_pass(image, low_pass)
    np.testing.assert_allclose(smooth[0], wave * low_pass.transfer(np.array(0.25)), atol=1e-5)
    np.testing.assert_allclose(smooth[1], 0, atol=1e-6)
    np.testing.assert_allclose(smooth[2], 1, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.01, 1e4), st.floats(-1e3, 1e3))
def test_the_estimate_does_not_depend_on_gain_and_offset(gain, offset):
    smooth = apply_low_pass(recorded(1e4), LowPass(5.0, 1.5)).astype(float)
    expected = estimate_low_pass(smooth)
    assert expected.strength
    found = estimate_low_pass(gain * smooth + offset)
    assert found.strength == pytest.approx(expected.strength, abs=0.3)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="two axes"):
        estimate_low_pass(np.ones((2, 80, 80)))
    with pytest.raises(ValueError, match="finite"):
        estimate_low_pass(np.full((80, 80), np.nan))


def test_a_tail_is_undone_but_a_low_pass_put_back():
    image = recorded(1e4).astype(float)
    image = (image - image.mean()) / image.std()
    assert find_noise_colour(image) == NoiseColour()
    smooth = apply_low_pass(image, LowPass(5.0, 1.5))
    colour = find_noise_colour(smooth / smooth.std())
    white = colour.removed(smooth)
    assert colour.low_pass.strength
    assert not colour.tail.decay
    assert white.std() == pytest.approx(smooth.std(), rel=0.1)
    np.testing.assert_allclose(colour.put_back(white), smooth, atol=1e-4)
    slow = recorded(1e4, seed=3)
    tailed = distort(
        crystal(),
        pixel_size=0.15,
        dose=1e4,
        rng=np.random.default_rng(3),
        distortions=Distortions(tail=4.0),
    ).astype(float)
    colour = find_noise_colour((tailed - tailed.mean()) / tailed.std())
    assert colour.tail.decay
    assert colour.put_back(slow) is slow


def test_restoring_a_smoothed_image_removes_its_noise_and_keeps_its_filter(monkeypatch):
    """Nearer to the smoothed truth than without, and no sharper than the smoothed truth."""
    low_pass = LowPass(5.0, 1.5)
    truth = apply_low_pass(crystal(192), low_pass)
    counts = distort(
        crystal(192),
        pixel_size=0.15,
        dose=2e3,
        rng=np.random.default_rng(5),
        distortions=Distortions(tail=0.0),
    )
    smooth = apply_low_pass(counts, low_pass)
    found = error(restore(smooth, threads=1), truth)
    monkeypatch.setattr(
        "stem_plugins.restoration.noise_colour.low_pass_of_noise", lambda noise: LowPass()
    )
    assert found < 0.9 * error(restore(smooth, threads=1), truth)
