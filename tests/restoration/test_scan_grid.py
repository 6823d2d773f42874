"""Data read between the positions of their scan."""

import dask.array as da
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins.restoration import resample_scan


@pytest.fixture
def rng():
    return np.random.default_rng(20263)


def test_positions_without_shift_return_what_is_there(rng):
    data = rng.random((6, 7, 3))
    np.testing.assert_array_equal(resample_scan(data, np.zeros((6, 7, 2))), data)


def test_polynomials_of_second_degree_are_read_exactly(rng):
    def polynomial(y, x):
        return 3 + 0.2 * y - 0.5 * x + 0.1 * y * x + 0.3 * y**2 - 0.2 * x**2

    y, x = np.indices((12, 13), float)
    shifts = rng.uniform(-0.9, 0.9, (12, 13, 2))
    read = resample_scan(polynomial(y, x), shifts)
    expected = polynomial(y + shifts[..., 0], x + shifts[..., 1])
    inner = np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(read[inner], expected[inner], atol=1e-12)


def test_smooth_images_are_read_as_by_a_cubic_spline(rng):
    image = scipy.ndimage.gaussian_filter(rng.standard_normal((60, 50)), 2)
    shifts = rng.normal(0, 0.7, (60, 50, 2))
    places = np.moveaxis(np.indices(image.shape), 0, -1) + shifts
    spline = scipy.ndimage.map_coordinates(image, np.moveaxis(places, -1, 0), order=3)
    inner = np.s_[6:-6, 6:-6]
    difference = (resample_scan(image, shifts) - spline)[inner]
    assert np.abs(difference).max() < 0.04 * image.std()


def test_whole_shifts_move_pixels_and_the_edge_continues():
    data = np.arange(20.0).reshape(4, 5)
    moved = resample_scan(data, np.full((4, 5, 2), (1.0, -2.0)))
    np.testing.assert_array_equal(moved, data[[1, 2, 3, 3]][:, [0, 0, 0, 1, 2]])


def test_every_detector_pixel_is_read_like_an_image(rng):
    data, shifts = rng.random((9, 8, 3, 4)), rng.normal(0, 1, (9, 8, 2))
    moved = resample_scan(data, shifts)
    np.testing.assert_allclose(moved[..., 1, 2], resample_scan(data[..., 1, 2], shifts))


@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 6),
    frame=st.sampled_from([(), (3,), (2, 3)]),
    dtype=st.sampled_from(["u1", ">u2", "<i4", "f4", ">f8", "c8"]),
    chunk=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=60)
def test_lazy_equals_eager_in_any_chunks(rows, columns, frame, dtype, chunk, seed):
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 100, (rows, columns, *frame)).astype(dtype)
    limit = max(rows, columns)
    shifts = rng.normal(0, 1.5, (rows, columns, 2)).clip(-limit, limit)
    eager = resample_scan(data, shifts)
    lazy = resample_scan(da.from_array(data, chunks=chunk), shifts)
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype) == (eager.shape, eager.dtype)
    np.testing.assert_array_equal(lazy.compute(), eager)


def test_blocks_keep_whole_rows_and_frames_and_are_read_once():
    """Eight rows at a time, each made once, whatever the halo takes from the blocks beside."""
    made = []

    def block(block_info=None):
        made.append(block_info[None]["chunk-location"])
        return np.ones((8, 16, 4, 4))

    data = da.map_blocks(block, chunks=((8,) * 6, (16,), (4,), (4,)), dtype=float, meta=np.ones(0))
    moved = resample_scan(data, np.full((48, 16, 2), 1.3))
    assert moved.chunks == data.chunks
    made.clear()
    np.testing.assert_allclose(moved.compute(scheduler="synchronous"), 1)
    assert len(made) == 6


@pytest.mark.parametrize(
    ("data", "shifts", "words"),
    [
        (np.zeros(5), np.zeros((5, 2)), r"two scan axes.*\(5,\)"),
        (np.zeros((0, 5)), np.zeros((0, 5, 2)), "at least one position"),
        (np.zeros((4, 5)), np.zeros((4, 2)), r"\(4, 5, 2\), not \(4, 2\)"),
        (np.zeros((4, 5)), np.full((4, 5, 2), np.nan), "finite real numbers"),
        (np.zeros((4, 5)), np.zeros((4, 5, 2), complex), "finite real numbers"),
        (np.zeros((4, 5)), np.full((4, 5, 2), 6.0), "larger than the whole scan"),
        (np.zeros((4, 5), "U3"), np.zeros((4, 5, 2)), "must be numbers"),
    ],
)
def test_errors_in_words(data, shifts, words):
    with pytest.raises(ValueError, match=words):
        resample_scan(data, shifts)
