"""Figures of merit and peers of the restoration benchmark, against SciPy and scikit-image."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.optimize
from restoration import DISTORTIONS, columns, measured
from restoration_images import bulk, specimens
from restoration_metrics import fit_positions, psnr, quality, undershoot
from restoration_peers import Task, _estimated_sigma, _stabilised, bm3d, wiener
from skimage.metrics import peak_signal_noise_ratio

from stem_plugins.restoration.distortions import distort


def gaussians(places: np.ndarray, width: float, shape=(96, 96)) -> np.ndarray:
    y, x = np.indices(shape)
    image = np.full(shape, 0.02)
    for row, column in places:
        image += 0.1 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))
    return image


def test_psnr_is_that_of_scikit_image():
    rng = np.random.default_rng(0)
    truth = rng.random((40, 50)) * 3 - 1
    image = truth + rng.normal(0, 0.2, truth.shape)
    expected = peak_signal_noise_ratio(truth, image, data_range=np.ptp(truth))
    assert psnr(truth, image) == pytest.approx(expected)


def test_fit_agrees_with_scipy_on_noisy_columns():
    rng = np.random.default_rng(1)
    places = np.stack(np.meshgrid([20.3, 45.1, 70.7], [18.2, 44.6, 71.9]), -1).reshape(-1, 2)
    image = rng.poisson(gaussians(places, 3.0) * 300) / 300
    found = fit_positions(image, places, radius=6.0, width=2.7)
    y, x = np.indices(image.shape)
    for place, ours in zip(places, found, strict=True):
        near = (y - place[0]) ** 2 + (x - place[1]) ** 2 <= 36

        def residual(fit, near=near):
            square = (y[near] - fit[0]) ** 2 + (x[near] - fit[1]) ** 2
            return fit[2] * np.exp(-square / (2 * fit[3] ** 2)) + fit[4] - image[near]

        reference = scipy.optimize.least_squares(residual, [*place, 0.1, 2.7, 0.02])
        assert ours == pytest.approx(reference.x[:2], abs=2e-3)


def test_fit_follows_a_shift():
    places = np.array([[30.2, 40.7], [60.4, 50.1]])
    moved = gaussians(places + np.array([0.31, -0.42]), 3.0)
    assert fit_positions(moved, places, radius=7.0, width=3.0) - places == pytest.approx(
        np.array([[0.31, -0.42]] * 2), abs=1e-3
    )


def test_fit_of_pure_noise_stays_near_its_start():
    image = np.random.default_rng(2).random((96, 96))
    places = np.array([[30.0, 40.0], [60.0, 50.0]])
    found = fit_positions(image, places, radius=5.0, width=3.0)
    assert np.abs(found - places).max() <= 5.0


def test_shift_counts_as_position_error():
    specimen = bulk()
    shift = 0.5  # px to the right
    moved = scipy.ndimage.shift(specimen.image, (0, shift), mode="nearest")
    found = quality(specimen.image, moved, specimen)
    assert found.position == pytest.approx(100 * shift * specimen.pixel_size, rel=0.02)


def test_undershoot_is_the_deepest_pixel_of_the_vacuum():
    truth = np.zeros((8, 8))
    truth[:4] = 2.0
    image = truth.copy()
    image[6, 3], image[1, 1] = -0.1, -5.0
    assert undershoot(truth, image, truth == 0) == pytest.approx(0.05)
    assert undershoot(truth, truth + 1, truth == 0) == 0


def test_raw_columns_are_eleven_picometres_off():
    errors = [quality(t.truth, t.distorted, t.specimen).position for t in columns(1)]
    assert len(errors) == 35
    assert np.mean(errors) == pytest.approx(11, abs=0.5)


def test_distortions_come_from_seeds():
    first, again = next(columns(1)), next(columns(1))
    assert np.array_equal(first.distorted, again.distorted)
    assert specimens(1)[0].name != specimens(0)[0].name


@pytest.mark.parametrize("counts", [1.0, 5.0, 40.0])
def test_transform_and_its_inverse_keep_the_mean_of_counts(counts):
    image = np.random.default_rng(3).poisson(counts, (400, 400)) / 100
    task = Task("flat", "flat", image, image, electrons=100.0)
    flat = _stabilised(task, lambda values: np.full_like(values, values.mean()))
    assert flat.mean() * 100 == pytest.approx(counts, rel=0.02)


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_noise_level_is_found(sigma):
    y, _ = np.mgrid[:256, :256] / 20
    image = np.sin(y) + np.random.default_rng(6).normal(0, sigma, y.shape)
    assert _estimated_sigma(image) == pytest.approx(sigma, rel=0.04)


@pytest.mark.parametrize("method", [wiener, bm3d])
def test_peers_remove_noise(method):
    if method is bm3d:
        pytest.importorskip("bm3d", reason="the peer BM3D is not installed: pip install bm3d")
    specimen = specimens()[3]
    rng = np.random.default_rng(4)
    image = distort(specimen.image, pixel_size=0.14, dose=1e4, rng=rng, distortions=DISTORTIONS)
    task = Task("columns", "one", image, specimen.image, 1e4 * 0.14**2)
    assert psnr(task.truth, method(task)) > psnr(task.truth, image) + 1


def test_noise2void_does_not_see_the_pixel_it_predicts_nor_its_neighbours_along_the_scan():
    torch = pytest.importorskip("torch")
    from restoration_noise2void import STRIP, _blinded

    patches = torch.arange(8 * 64 * 64, dtype=torch.float32).reshape(8, 1, 64, 64)
    masked, blind = _blinded(patches, np.random.default_rng(5))
    changed = (masked != patches).numpy()[:, 0]
    number, row, column = np.nonzero(blind.numpy()[:, 0])
    inner = (column >= STRIP) & (column < 64 - STRIP)
    for n, y, x in zip(number[inner], row[inner], column[inner], strict=True):
        assert changed[n, y, x - STRIP : x + STRIP + 1].all()
    strips = scipy.ndimage.binary_dilation(
        blind.numpy()[:, 0], np.ones((1, 1, 2 * STRIP + 1), bool)
    )
    assert not changed[~strips].any()


def test_kept_images_are_not_restored_again(tmp_path):
    calls = []

    def method(task: Task) -> np.ndarray:
        calls.append(task.name)
        return task.distorted

    task = next(columns(1))
    first = measured(task, {"slow": method}, tmp_path)[0]
    again = measured(task, {"slow": method}, tmp_path)[0]
    assert calls == [task.name]
    assert again.quality == first.quality
    assert again.seconds == first.seconds
