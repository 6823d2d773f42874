"""Rows of a distorted scan are found and put back."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins import Distortions, apply_scan_shifts, distort, scan_shifts
from stem_plugins.restoration import resample_scan, row_jitter
from stem_plugins.restoration.row_prior import RowPrior

STEP = 0.2


def columns(shape: tuple[int, int]) -> np.ndarray:
    """Two kinds of atomic columns on a turned lattice, as fractions of the beam."""
    y, x = np.indices(shape) * STEP
    along, across = np.cos(0.2) * x + np.sin(0.2) * y, np.cos(0.2) * y - np.sin(0.2) * x
    image = np.full(shape, 0.01)
    for shift, height in ((0, 0.2), (0.5, 0.1)):
        place = (np.array([along, across]) / 3.9 + shift + 0.5) % 1 - 0.5
        image += height * np.exp(-np.sum((place * 3.9) ** 2, axis=0) / (2 * 0.5**2))
    return image


@pytest.fixture
def rng():
    return np.random.default_rng(20264)


@pytest.fixture
def jitter(rng):
    return row_jitter(96, rng=rng)


def residual(shifts: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Error of the shifts of rows without its mean, (y, x)."""
    return (shifts.mean(axis=1) - true).std(axis=0)


@pytest.mark.parametrize("dose", [1e4, 1e5])
@pytest.mark.parametrize("tail", [0, 3])
def test_rows_are_found_to_a_tenth_of_a_pixel(rng, jitter, dose, tail):
    """With the detector's noise and tail in the image, and none of both in the restored one."""
    clean = columns((96, 128))
    recorded = distort(
        clean,
        pixel_size=STEP,
        dose=dose,
        rng=rng,
        distortions=Distortions(tail=tail),
        shifts=jitter,
    )
    shifts = scan_shifts(recorded, clean)
    assert shifts.shape == (96, 128, 2)
    assert (residual(shifts, jitter) < 0.1).all()


def test_error_reaches_the_cramer_rao_bound(rng):
    clean = columns((128, 128))
    counts = clean * 2e4 * STEP**2
    slopes = np.gradient(counts)
    information = np.einsum("ajx,bjx->jab", slopes, np.array(slopes) / counts)
    variance = np.linalg.inv(information + np.diag([0.75 / 0.25**2, 0.75 / 0.5**2]))
    bound = np.sqrt(np.diagonal(variance, axis1=1, axis2=2).mean(axis=0))
    errors = []
    for _ in range(4):
        true = row_jitter(128, rng=rng)
        recorded = distort(
            clean,
            pixel_size=STEP,
            dose=2e4,
            rng=rng,
            distortions=Distortions(beam_energy=None, tail=0),
            shifts=true,
        )
        errors.append(residual(scan_shifts(recorded, clean), true))
    assert (np.sqrt(np.mean(np.square(errors), axis=0)) < 1.3 * bound).all()


def test_without_counts_rows_stay_where_they_are_expected(rng, jitter):
    """At a tenth of a count per pixel the estimate is better than none, never wilder."""
    clean = columns((96, 128))
    recorded = distort(clean, pixel_size=STEP, dose=60, rng=rng, shifts=jitter)
    error = residual(scan_shifts(recorded, clean), jitter)
    assert (error < 1.1 * jitter.std(axis=0)).all()


def test_a_bend_along_the_rows_is_found(rng, jitter):
    clean = columns((96, 128))
    bend = 0.4 * np.cos(np.pi * (np.arange(128) + 0.5) / 128)
    true = jitter[:, None] + np.stack([0 * bend, bend], axis=-1)
    recorded = distort(clean, pixel_size=STEP, dose=1e6, rng=rng, shifts=true)
    found = scan_shifts(recorded, clean)
    along = found[..., 1] - found[..., 1].mean(axis=1, keepdims=True)
    assert np.abs(along - bend).mean() < 0.05


def test_scale_and_offset_of_the_images_do_not_matter(rng, jitter):
    clean = columns((96, 64))
    recorded = distort(clean, pixel_size=STEP, dose=1e5, rng=rng, shifts=jitter)
    shifts = scan_shifts(recorded, clean)
    scaled = scan_shifts(3000 * recorded - 70, 5 * clean + 2)
    np.testing.assert_allclose(scaled, shifts, atol=0.01)


def test_an_image_compared_with_itself_has_no_shifts():
    clean = columns((48, 64))
    assert np.abs(scan_shifts(clean, clean)).max() < 0.02


def test_lazy_images_give_the_same_shifts(rng):
    clean = columns((24, 32))
    recorded = rng.poisson(1000 * clean)
    lazy = scan_shifts(da.from_array(recorded, chunks=7), clean)
    assert isinstance(lazy, da.Array)
    np.testing.assert_array_equal(lazy.compute(), scan_shifts(recorded, clean))


def test_the_estimate_can_be_stopped():
    def stop(rounds, total):
        yield from list(rounds)[:1]
        raise KeyboardInterrupt

    clean = columns((24, 32))
    with pytest.raises(KeyboardInterrupt):
        scan_shifts(clean, clean, progress=stop)


def test_row_prior_solves_the_dense_problem(rng):
    """Against one large matrix: the precision of two series, and their inverse."""
    rows, step, correlation = 7, np.array([0.3, 0.6]), np.array([0.5, 0.2])
    a = rng.standard_normal((rows, 2, 5))
    normal, projected = a @ a.transpose(0, 2, 1), rng.standard_normal((rows, 2))
    precision = np.zeros((rows, 2, rows, 2))
    for k in range(2):
        lag = np.abs(np.subtract.outer(np.arange(rows), np.arange(rows)))
        covariance = step[k] ** 2 / (1 - correlation[k] ** 2) * correlation[k] ** lag
        precision[:, k, :, k] = np.linalg.inv(covariance)
    for row in range(rows):
        precision[row, :, row, :] += normal[row]
    covariance = np.linalg.inv(precision.reshape(2 * rows, 2 * rows))
    estimate = RowPrior(step, correlation).most_probable(normal, projected)
    np.testing.assert_allclose(estimate.coefficients.ravel(), covariance @ projected.ravel())
    blocks = covariance.reshape(rows, 2, rows, 2)
    for row in range(rows - 1):
        np.testing.assert_allclose(estimate.covariance[row], blocks[row, :, row])
        np.testing.assert_allclose(estimate.covariance_to_next[row], blocks[row, :, row + 1])


@pytest.mark.parametrize(
    ("distorted", "restored", "words"),
    [
        (np.eye(10), np.eye(11), r"same pixels, not \(10, 10\) and \(11, 11\)"),
        (np.zeros((3, 10, 10)), np.eye(10), r"distorted image must be real numbers \(ny, nx\)"),
        (np.eye(10), np.eye(10) * 1j, "restored image must be real numbers"),
        (np.eye(5), np.eye(5), "8 pixels or more"),
        (np.eye(10) * np.nan, np.eye(10), "100 pixels of the distorted image are not"),
        (np.eye(10), np.ones((10, 10)), "restored image is constant"),
    ],
)
def test_errors_of_scan_shifts(distorted, restored, words):
    with pytest.raises(ValueError, match=words):
        scan_shifts(distorted, restored)


def test_rows_put_back_are_closer_to_the_truth(jitter):
    clean = columns((96, 128))
    shifts = np.broadcast_to(jitter[:, None], (96, 128, 2))
    recorded = resample_scan(clean, shifts)
    inner = np.s_[4:-4, 4:-4]
    before, after = (
        (image - clean)[inner].std() for image in (recorded, apply_scan_shifts(recorded, shifts))
    )
    assert after < 0.6 * before


def test_whole_pixels_are_put_back_exactly(rng):
    clean = rng.random((20, 30))
    shifts = np.zeros((20, 30, 2))
    shifts[5::3, :, 1] = 2.0
    recorded = resample_scan(clean, shifts)
    put_back = apply_scan_shifts(recorded, shifts)
    np.testing.assert_allclose(put_back[:, 4:-4], clean[:, 4:-4], atol=1e-12)


def test_sums_of_detector_pixels_are_kept(rng):
    """Whole rows of 4D counts, thesis table 2.2: within 1 % where more than 10⁴ were counted."""
    scan = rng.uniform(0.2, 1, (4, 5)) * columns((128, 128))[..., None, None]
    jitter = row_jitter(128, rng=rng)
    shifts = np.broadcast_to(jitter[:, None], (128, 128, 2))
    counts = rng.poisson(200 * resample_scan(scan, shifts).clip(0))
    put_back = apply_scan_shifts(counts, shifts)
    recorded = counts.sum(axis=(0, 1))
    assert recorded.min() > 1e4
    np.testing.assert_allclose(put_back.sum(axis=(0, 1)), recorded, rtol=0.01)
    assert put_back.min() >= 0


@given(
    rows=st.integers(1, 14),
    width=st.integers(1, 8),
    spread=st.sampled_from([0.0, 0.3, 2.0]),
    frame=st.sampled_from([(), (3,), (2, 3)]),
    dtype=st.sampled_from(["u1", ">u2", "<i4", "f4", ">f8", "c8"]),
    chunk=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=60)
def test_lazy_equals_eager_and_constants_stay(rows, width, spread, frame, dtype, chunk, seed):
    rng = np.random.default_rng(seed)
    limit = max(rows, width)
    shifts = rng.normal(0, spread, (rows, width, 2)).clip(-limit, limit)
    data = rng.integers(0, 100, (rows, width, *frame)).astype(dtype)
    eager = apply_scan_shifts(data, shifts)
    lazy = apply_scan_shifts(da.from_array(data, chunks=chunk), shifts)
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype) == (eager.shape, eager.dtype)
    np.testing.assert_array_equal(lazy.compute(), eager)
    constant = apply_scan_shifts(np.full((rows, width), 7.0), shifts)
    np.testing.assert_allclose(constant, 7, rtol=1e-12)


def test_without_shifts_nothing_changes(rng):
    data = rng.poisson(3, (6, 7, 4, 4)).astype(np.uint16)
    np.testing.assert_array_equal(apply_scan_shifts(data, np.zeros((6, 7, 2))), data)


def test_a_scan_moved_as_a_whole_continues_at_its_edge():
    recorded = np.arange(12.0).reshape(1, 12) + np.zeros((9, 1))
    put_back = apply_scan_shifts(recorded, np.full((9, 12, 2), (0.0, 7.0)))
    np.testing.assert_allclose(put_back[0, 7:], np.arange(5))
    np.testing.assert_allclose(put_back[0, :3], 0)


def test_errors_of_apply_scan_shifts():
    with pytest.raises(ValueError, match=r"\(4, 5, 2\), not \(5, 4, 2\)"):
        apply_scan_shifts(np.zeros((4, 5)), np.zeros((5, 4, 2)))
