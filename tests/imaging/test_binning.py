"""Binned patterns against NumPy sums of padded patterns."""

import threading

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins.imaging.binning import (
    add_weighted_images,
    bin_mask,
    binned_dtype,
    binned_shape,
    iter_binned,
)


def padded_sums(data: np.ndarray, factor: int) -> np.ndarray:
    """Sums over bins by NumPy alone, (scan_y, scan_x, bins_y, bins_x) float64."""
    padding = [(0, -n % factor) for n in data.shape[2:]]
    padded = np.pad(data.astype(np.float64), [(0, 0), (0, 0), *padding])
    height, width = padded.shape[2:]
    shape = (*data.shape[:2], height // factor, factor, width // factor, factor)
    return padded.reshape(shape).sum(axis=(3, 5))


def whole(data, factor, **options):
    """All rows of a pass: (scan_y, scan_x, bins_y, bins_x), and the summed pattern."""
    bins = binned_shape(data.shape[2:], factor)
    images = np.full((*bins, *data.shape[:2]), -1.0)
    pattern = np.zeros(data.shape[2:])
    for rows, part, part_pattern in iter_binned(data, factor, **options):
        images[:, :, rows] = part
        pattern += part_pattern
    return np.moveaxis(images, (0, 1), (2, 3)), pattern


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 2, *[st.integers(1, 19)] * 2),
    dtype=st.sampled_from(["u1", ">u2", "<u2", ">u4", "i2", ">i4", "?", ">f4", "f8", "f2"]),
    factor=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_bins_equal_numpy_sums_for_any_type_and_shape(shape, dtype, factor, seed):
    data = np.random.default_rng(seed).integers(0, 2, shape) * 117
    data = data.astype(dtype)
    binned, pattern = whole(data, factor, workers=1, block_bytes=500)
    np.testing.assert_allclose(binned, padded_sums(data, factor), rtol=1e-6)
    np.testing.assert_allclose(pattern, data.astype(float).sum(axis=(0, 1)))


def test_largest_counts_do_not_overflow():
    data = np.full((1, 2, 16, 16), np.iinfo(np.uint16).max, ">u2")
    binned, pattern = whole(data, 16)
    assert binned.max() == binned.min() == 256 * 65535
    assert pattern.max() == pattern.min() == 2 * 65535


def test_small_counts_take_little_memory():
    assert binned_dtype(np.dtype("u1"), 16) == np.uint16
    assert binned_dtype(np.dtype("u1"), 17) == np.uint32
    assert binned_dtype(np.dtype(">u2"), 256) == np.uint32


def test_strided_views_of_a_memory_map_are_read_in_place(tmp_path):
    frame = np.dtype([("header", "S384"), ("pixels", ">u2", (12, 10))])
    records = np.memmap(tmp_path / "frames.bin", frame, "w+", shape=(6, 5))
    records["pixels"] = np.random.default_rng(1).integers(0, 900, (6, 5, 12, 10))
    for view in (
        records["pixels"],
        records["pixels"][:, :, ::-1],
        records["pixels"][::2, ::-1, 2:9, 3:8],
    ):
        binned, pattern = whole(view, 3)
        np.testing.assert_array_equal(binned, padded_sums(np.array(view), 3))
        np.testing.assert_array_equal(pattern, np.array(view, float).sum(axis=(0, 1)))


@pytest.mark.parametrize("chunks", [(2, 4, 9, 8), (3, 2, 9, 8), (2, 4, 4, 3)])
def test_dask_equals_numpy_for_any_chunks(chunks):
    data = np.random.default_rng(2).poisson(5, (7, 4, 9, 8)).astype(np.uint16)
    binned, pattern = whole(da.from_array(data, chunks=chunks), 4)
    np.testing.assert_array_equal(binned, padded_sums(data, 4))
    np.testing.assert_array_equal(pattern, data.sum(axis=(0, 1)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_position_of_an_unusable_pixel_is_named(value):
    data = np.ones((4, 3, 6, 6), np.float32)
    data[2, 1, 3, 3] = value
    with pytest.raises(ValueError, match=r"scan position \(2, 1\) holds NaN"):
        whole(data, 2, block_bytes=1)


@pytest.mark.parametrize("factor", [0, -1, 1.5])
def test_impossible_factors_are_refused(factor):
    with pytest.raises(ValueError, match="whole number above zero"):
        iter_binned(np.ones((1, 1, 4, 4)), factor)


def test_closing_the_generator_stops_the_pass():
    read = []

    def block(block_info):
        read.append(threading.get_ident())
        return np.ones((1, 2, 4, 4), np.uint8)

    data = da.map_blocks(
        block, chunks=((1,) * 200, (2,), (4,), (4,)), dtype=np.uint8, meta=np.ones(0)
    )
    passes = iter_binned(data, 2, workers=2)
    next(passes)
    passes.close()
    assert len(read) < 20


@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    factor=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_binned_mask_is_the_share_of_each_bin_that_lies_inside(shape, factor, seed):
    mask = np.random.default_rng(seed).random(shape) < 0.5
    share = bin_mask(mask, factor)
    for index in np.ndindex(share.shape):
        part = mask[tuple(slice(i * factor, (i + 1) * factor) for i in index)]
        assert share[index] == pytest.approx(part.mean())


def test_a_constant_pattern_gives_the_exact_virtual_image_from_bins():
    data = np.arange(6, dtype=np.uint16).reshape(2, 3, 1, 1) * np.ones((10, 11), np.uint16)
    mask = np.random.default_rng(3).random((10, 11)) < 0.3
    binned, _ = whole(data, 4)
    image = (binned * bin_mask(mask, 4)).sum(axis=(2, 3))
    np.testing.assert_allclose(image, (data * mask).sum(axis=(2, 3)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int64, np.float32])
def test_weighted_images_equal_a_matrix_product(dtype):
    random = np.random.default_rng(4)
    images = random.integers(0, 100, (30, 5000)).astype(dtype)
    chosen = np.array([3, 7, 7, 29])
    weights = random.normal(size=4)
    image = add_weighted_images(np.full(5000, 2.0), images, chosen, weights)
    np.testing.assert_allclose(image, 2 + weights @ images[chosen].astype(float))
