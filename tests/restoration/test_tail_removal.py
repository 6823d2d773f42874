"""The tail of a detector, found in the noise and taken back."""

import numpy as np
import pytest
from column_images import columns
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins.restoration import (
    Distortions,
    Tail,
    distort,
    estimate_tail,
    fast_scan_tail,
    remove_tail,
    tail_weights,
)


def crystal(size=256):
    return 0.02 + 0.1 * columns((size, size), spacing=14)


def recorded(dose, decay, seed=0, profile="lorentzian", **jitter):
    return distort(
        crystal(),
        pixel_size=0.15,
        dose=dose,
        rng=np.random.default_rng(seed),
        distortions=Distortions(tail=decay, tail_profile=profile, **jitter),
    )


def delay(tail, frequency=0.1):
    """Distance by which a tail moves waves of this frequency [px], from its definition."""
    weights = tail_weights(tail.decay, 512, tail.profile)
    wave = weights @ np.exp(-2j * np.pi * frequency * np.arange(512))
    return -np.angle(wave) / (2 * np.pi * frequency)


@pytest.mark.parametrize("dose", [1e3, 1e4, 1e6])
@pytest.mark.parametrize("decay", [1.5, 3.0, 6.0])
def test_tail_is_found_at_every_dose_under_jitter(dose, decay):
    tail = estimate_tail(recorded(dose, decay))
    assert tail.profile == "lorentzian"
    assert delay(tail) == pytest.approx(delay(Tail(decay)), abs=0.08)


@pytest.mark.parametrize("dose", [1e3, 1e5])
def test_without_a_tail_none_is_found(dose):
    assert delay(estimate_tail(recorded(dose, 0.0))) < 0.03


def test_an_exponential_tail_is_moved_back_for_the_most_part():
    """High frequencies hardly tell the profiles apart; the distance is what matters."""
    truth = Tail(1.0, "exponential")
    found = estimate_tail(recorded(1e4, 1.0, profile="exponential"))
    assert abs(delay(found) - delay(truth)) < 0.3 * delay(truth)


def test_structure_lies_where_it_was_once_the_tail_is_removed():
    """A wave of 14 px along x, whose phase is its place."""
    x = np.arange(280)
    wave = np.tile(0.1 * (1 + np.cos(2 * np.pi * x / 14)), (280, 1))
    truth = Distortions(jitter=(0.0, 0.0), tail=5.0)
    image = distort(
        wave, pixel_size=0.15, dose=5e4, rng=np.random.default_rng(0), distortions=truth
    )

    def place(picture):
        return np.angle(np.exp(2j * np.pi * x / 14) @ picture.sum(axis=0)) * 14 / (2 * np.pi)

    assert place(image) > 0.5
    assert abs(place(remove_tail(image, estimate_tail(image)))) < 0.06


def test_images_without_noise_have_no_tail_to_be_seen():
    y, x = np.indices((128, 128))
    radius = np.hypot(y - 64, x - 64)
    for image in (crystal(128), radius, radius < 30, x > 60, (x // 9 + y // 13) % 2, 0 * x):
        assert estimate_tail(image) == Tail()


def test_small_images_are_left_alone():
    image = np.random.default_rng(0).poisson(3, (63, 400))
    assert estimate_tail(fast_scan_tail(image, decay=4.0)) == Tail()


@given(
    st.floats(1e-6, 1e6),
    st.floats(-1e3, 1e3),
    st.sampled_from(["f4", "f8"]),
)
@settings(max_examples=10, deadline=None)
def test_scale_and_offset_change_nothing(scale, offset, dtype):
    image = fast_scan_tail(np.random.default_rng(1).poisson(3.0, (96, 128)), decay=3.0)
    changed = (scale * (image + offset)).astype(dtype)
    assert delay(estimate_tail(changed)) == pytest.approx(delay(estimate_tail(image)), abs=0.05)


@given(
    st.floats(0, 8),
    st.sampled_from(["lorentzian", "exponential"]),
    st.tuples(st.integers(1, 5), st.integers(2, 200)),
)
@settings(max_examples=40, deadline=None)
def test_removal_undoes_the_tail(decay, profile, shape):
    image = np.random.default_rng(0).random(shape)
    decay = decay if profile == "lorentzian" else decay / 4
    smeared = fast_scan_tail(image, decay=decay, profile=profile)
    removed = remove_tail(smeared, Tail(decay, profile))
    assert removed.shape == shape
    assert removed.dtype == np.float32
    # At the left edge what lies beyond is not known.
    np.testing.assert_allclose(removed[:, 40:], image[:, 40:], atol=0.06)


def test_removal_keeps_constants_and_does_nothing_without_a_tail():
    image = np.full((4, 90), 2.5)
    np.testing.assert_allclose(remove_tail(image, Tail(6.0)), 2.5, rtol=1e-5)
    image = np.random.default_rng(0).random((3, 70)).astype("f4")
    np.testing.assert_array_equal(remove_tail(image, Tail()), image)


@pytest.mark.parametrize("function", [estimate_tail, lambda image: remove_tail(image, Tail(2.0))])
def test_bad_images_are_refused_in_words(function):
    with pytest.raises(ValueError, match="not finite"):
        function(np.full((80, 80), np.nan))
    with pytest.raises(ValueError, match="real numbers"):
        function(np.ones((80, 80), complex))
    with pytest.raises(ValueError, match="pixels along y and x"):
        function(np.ones(80))


def test_a_stack_is_refused_by_the_estimate():
    with pytest.raises(ValueError, match=r"two axes \(y, x\), not 3"):
        estimate_tail(np.ones((2, 80, 80)))
