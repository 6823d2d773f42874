"""Evidence: calibrated against the truth, and it finds what was invented."""

import warnings

import numpy as np
import pytest
from column_images import columns

pytest.importorskip("torch")

from stem_plugins.restoration import Distortions, Evidence, distort, restore
from stem_plugins.restoration.evidence import examine
from stem_plugins.restoration.training_range import (
    TrainingRange,
    dominant_wavelength,
    pedestal_of,
    warn_outside,
)

TRAINED = TrainingRange(electrons=(0.1, 5000), wavelength=(6.4, 230), contrast=0.04)


def measured(truth, dose, rng, **distortions):
    return distort(
        truth, pixel_size=1.0, dose=dose, rng=rng, distortions=Distortions(**distortions)
    )


def rms(image):
    return float(np.sqrt(np.mean(np.square(image))))


@pytest.mark.parametrize("dose", [5, 50, 1000])
@pytest.mark.parametrize("tail", [0.0, 2.0])
def test_of_the_truth_only_noise_remains_unexplained(dose, tail, rng):
    truth = columns((160, 160))
    found = examine(measured(truth, dose, rng, tail=tail), truth)
    assert rms(found.unexplained) == pytest.approx(1, abs=0.15)


def test_without_jitter_the_truth_is_consistent(rng):
    truth = columns((160, 160))
    found = examine(measured(truth, 50, rng, jitter=(0.0, 0.0), tail=0.0), truth)
    assert rms(found.consistency) == pytest.approx(1, abs=0.15)


def test_an_invented_column_and_a_lost_one_stand_out(rng):
    truth = columns((160, 160))
    image = measured(truth, 50, rng)
    y, x = np.indices(truth.shape)
    # Where the lattice has its minimum an atom is put in, and where it has one it is taken out.
    dark = np.unravel_index(np.argmin(truth[60:100, 60:100]), (40, 40)) + np.array([60, 60])
    bright = np.unravel_index(np.argmax(truth[60:100, 60:100]), (40, 40)) + np.array([60, 60])
    wrong = truth.copy()
    for place, height in ((dark, 0.7), (bright, -0.7)):
        wrong += height * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 8)
    map_of = examine(image, wrong).unexplained
    assert map_of[tuple(dark)] < -6
    assert map_of[tuple(bright)] > 6
    far = np.hypot(y - 80, x - 80) > 50
    assert rms(map_of[far]) == pytest.approx(1, abs=0.2)


def test_noise_is_measured(rng):
    truth = columns((160, 160))
    image = rng.poisson(40 * truth) / 40
    noise = examine(image, truth).noise
    assert noise.gain == pytest.approx(1 / 40, rel=0.15)
    assert abs(noise.pedestal) < 0.05
    assert noise.mean_variance == pytest.approx(truth.mean() / 40, rel=0.1)
    level = examine(truth + 0.3 * rng.standard_normal(truth.shape), truth).noise
    np.testing.assert_allclose(level.variance(truth), 0.09, rtol=0.1)


def test_spread_grows_as_electrons_become_few(rng):
    truth = columns((96, 96))
    spreads = []
    for dose in (3, 30, 300):
        _, evidence = restore(measured(truth, dose, rng), model="fft", return_evidence=True)
        assert isinstance(evidence, Evidence)
        spreads.append(rms(evidence.spread))
    assert spreads == sorted(spreads, reverse=True)


def test_evidence_follows_the_image(rng, random_weights):
    """Turned images give turned maps, scaled ones scaled spreads, missing pixels missing maps."""
    image = measured(columns((64, 64)), 50, rng)
    plain, maps = restore(image, model="fft", return_evidence=True)
    turned, same = restore(10 * image.T + 5, model="fft", scan_axis=-2, return_evidence=True)
    np.testing.assert_allclose(turned.T, 10 * plain + 5, atol=1e-3)
    np.testing.assert_allclose(same.consistency.T, maps.consistency, atol=1e-2)
    np.testing.assert_allclose(same.unexplained.T, maps.unexplained, atol=1e-2)
    np.testing.assert_allclose(same.spread.T, 10 * maps.spread, atol=1e-2)


def test_lazy_evidence_equals_eager(rng):
    import dask.array as da

    image = measured(columns((64, 64)), 50, rng)
    eager, maps = restore(image, model="fft", return_evidence=True)
    lazy, lazy_maps = restore(da.from_array(image), model="fft", return_evidence=True)
    np.testing.assert_allclose(lazy.compute(), eager, atol=1e-5)
    np.testing.assert_allclose(lazy_maps.spread.compute(), maps.spread, atol=1e-4)


@pytest.mark.parametrize("pedestal", [0.0, 1.5, -4.0])
def test_a_pedestal_is_found_and_removed(pedestal, rng):
    truth = columns((160, 160))
    image = measured(truth, 30, rng) + pedestal
    restored = restore(image, model="fft", remove_pedestal=True)
    assert restored.mean() == pytest.approx(truth.mean(), abs=0.05)


def test_a_pedestal_that_nothing_tells_stays(rng):
    image = columns((96, 96)) + 0.3 * rng.standard_normal((96, 96)) + 5
    with pytest.warns(UserWarning, match="nothing tells the pedestal"):
        restored = restore(image, model="fft", remove_pedestal=True)
    assert restored.mean() == pytest.approx(image.mean(), rel=0.01)


def test_wavelength_of_a_wave_is_its_own():
    y, _ = np.indices((200, 200))
    assert dominant_wavelength(np.sin(2 * np.pi * y / 20)) == pytest.approx(20, rel=0.03)
    assert dominant_wavelength(np.ones((9, 9))) == np.inf


@pytest.mark.parametrize(
    ("counts", "spacing", "words"),
    [
        (0.03, 12, "electrons per pixel, where training went down to 0.1"),
        (40, 3.0, "scan with smaller steps"),
        (40, 1500, "bin the image"),
    ],
)
def test_images_outside_the_training_are_told(counts, spacing, words, rng):
    truth = columns((160, 160), spacing=spacing)
    image = rng.poisson(counts * truth / truth.mean()).astype(float)
    noise = examine(image, counts * truth / truth.mean()).noise
    with pytest.warns(UserWarning, match=words):
        warn_outside(TRAINED, noise, counts * truth / truth.mean())


def test_an_ordinary_image_is_not(rng, random_weights):
    image = measured(columns((96, 96)), 50, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restore(image, return_evidence=True)
        assert pedestal_of(examine(image, columns((96, 96))).noise, image.mean()) is not None
