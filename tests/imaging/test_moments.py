"""The one-pass kernel against NumPy, for every type, byte order, stride, chunking and mask."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stem_plugins.imaging import (
    annular_detector,
    iter_moments,
    moments,
    rectangular_detector,
    virtual_image,
)
from stem_plugins.imaging.moments_kernel import rows_before_overflow

TYPES = ["?", "u1", "i1", "<u2", ">u2", ">i2", "<u4", ">u4", ">i4", "<u8", ">i8"]
TYPES += ["<f2", ">f4", "<f8", ">f8"]


def numpy_moments(data, mask=None):
    """Total and absolute centre of mass by plain NumPy in double precision."""
    frames = data.astype(np.float64)
    if mask is not None:
        frames = np.where(mask, frames, 0)
    total = frames.sum(axis=(2, 3))
    y, x = np.indices(data.shape[2:])
    with np.errstate(invalid="ignore", divide="ignore"):
        com = np.stack([(frames * y).sum((2, 3)), (frames * x).sum((2, 3))], -1) / total[..., None]
    return total, com


def random_scan(rng, dtype, shape=(4, 5, 20, 24)):
    return rng.integers(0, 2 if dtype == "?" else 100, shape).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("width", [24, 70])  # less than a strip in registers, and some and a rest
def test_equals_numpy_for_every_type_and_byte_order(rng, dtype, masked, width):
    data = random_scan(rng, dtype, (4, 5, 22, width))
    shape = data.shape[2:]
    mask = annular_detector(shape, 2, 9, center=(9.3, width - 13)) if masked else None
    detectors = [
        annular_detector(shape, 3, 8, center=(9, width - 13)),
        rng.random(shape) > 0.5,
        rng.random(shape),
    ]
    result = moments(data, detectors=detectors, mask=mask, pattern=True, center=(0, 0))
    total, com = numpy_moments(data, mask)
    frames = data.astype(float) * (1 if mask is None else mask)
    np.testing.assert_allclose(result.total, total, rtol=1e-12)
    np.testing.assert_allclose(result.com, com, rtol=1e-12)
    expected = np.einsum("abij,nij->nab", frames, np.array(detectors, float))
    np.testing.assert_allclose(result.images, expected, rtol=1e-12)
    np.testing.assert_allclose(result.pattern, data.astype(float).mean((0, 1)), rtol=1e-12)
    counted = data if mask is None else data[:, :, mask]
    np.testing.assert_array_equal(result.peak, counted.max(axis=(2, 3)[: counted.ndim - 2]))


@pytest.mark.parametrize("dtype", ["i1", "<i2", ">i4", ">f4", "<f8"])
def test_peak_of_patterns_below_zero(rng, dtype):
    data = -random_scan(rng, dtype) - np.ones((), dtype)
    data[0, 0] += -1
    result = moments(data, center=(0, 0))
    np.testing.assert_array_equal(result.peak, data.max(axis=(2, 3)))


@pytest.mark.parametrize(
    "view",
    [
        np.s_[::2, 1:],
        np.s_[:, :, ::-1],
        np.s_[::-1, ::-1],
        np.s_[..., ::2],
        np.s_[..., ::-1],
        np.s_[:, :, 3:11, 5:17],
        np.s_[:, :, 11:3:-1, 5:90],
        np.s_[:1, :1, :1, :1],
    ],
)
@pytest.mark.parametrize("width", [24, 100])
def test_reads_strided_views_as_numpy_does(rng, view, width):
    data = random_scan(rng, ">u2", (4, 5, 20, width))[view]
    total, com = numpy_moments(data)
    result = moments(data, center=(0, 0))
    np.testing.assert_array_equal(result.total, total)
    np.testing.assert_allclose(result.com, com, rtol=1e-12)
    np.testing.assert_array_equal(result.peak, data.max(axis=(2, 3)))


def test_reads_a_memory_map_with_headers_between_the_frames(tmp_path, rng):
    frames = random_scan(rng, ">u2", (12, 1, 20, 24))[:, 0]
    path = tmp_path / "frames.bin"
    with path.open("wb") as file:
        for frame in frames:
            file.write(b"HEADER, of odd length" + b"\0" + frame.tobytes())
    record = np.dtype([("header", "V22"), ("pixels", ">u2", (20, 24))])
    data = np.memmap(path, record, mode="r")["pixels"].reshape(3, 4, 20, 24)
    total, com = numpy_moments(data)
    result = moments(data, center=(0, 0))
    np.testing.assert_array_equal(result.total, total)
    np.testing.assert_allclose(result.com, com, rtol=1e-12)


@pytest.mark.parametrize(("dtype", "height"), [(">u2", 700), ("u1", 6000), (">u4", 300)])
@pytest.mark.parametrize("width", [3, 35])
def test_saturated_tall_frames_do_not_overflow(dtype, height, width):
    data = np.full((1, 1, height, width), np.iinfo(dtype).max, dtype)
    result = moments(data, center=(0, 0), detectors=[np.ones((height, width), bool)], pattern=True)
    assert result.total[0, 0] == height * width * float(np.iinfo(dtype).max)
    middle = [(height - 1) / 2, (width - 1) / 2]
    np.testing.assert_allclose(result.com[0, 0], middle, rtol=1e-13)
    assert result.images[0, 0, 0] == result.total[0, 0]
    np.testing.assert_array_equal(result.pattern, float(np.iinfo(dtype).max))


def test_overflow_bound_is_the_largest_safe_number_of_rows():
    rows = rows_before_overflow(np.dtype("u2"), 256)
    assert rows * 256 * 65535 < 2**32 <= (rows + 1) * 256 * 65535


@settings(max_examples=30, deadline=None)
@given(
    data=arrays(
        st.sampled_from([">u2", "u1", "<f4"]),
        st.tuples(*[st.integers(1, 6)] * 2, st.integers(1, 40), st.integers(1, 80)),
        elements=st.integers(0, 200),
    ),
    chunks=st.tuples(*[st.integers(1, 6)] * 2, *[st.integers(1, 40)] * 2),
)
def test_chunking_changes_nothing(data, chunks):
    mask = np.zeros(data.shape[2:], bool)
    mask[0, 0] = mask[-1, -1] = True
    options = {"detectors": [mask], "pattern": True}
    eager = moments(data, **options)
    lazy = moments(da.from_array(data, chunks=chunks), **options)
    assert isinstance(lazy.com, da.Array)
    lazy = lazy.compute()
    np.testing.assert_array_equal(lazy.total, eager.total)
    np.testing.assert_array_equal(lazy.images, eager.images)
    np.testing.assert_array_equal(lazy.peak, eager.peak)
    np.testing.assert_allclose(lazy.com, eager.com, atol=1e-12)
    np.testing.assert_allclose(lazy.pattern, eager.pattern, rtol=1e-12)


def test_lazy_results_are_one_pass(scan):
    reads = []

    def read(block, block_info=None):
        reads.append(block_info[0]["chunk-location"])
        return block

    data = da.from_array(scan, chunks=(2, -1, -1, -1)).map_blocks(read, dtype=scan.dtype)
    reads.clear()
    moments(data, detectors=[np.ones((20, 24), bool)], pattern=True).compute()
    assert sorted(reads) == [(i, 0, 0, 0) for i in range(3)]


def test_threads_change_nothing(scan):
    data = np.tile(scan, (40, 20, 1, 1))
    one, many = moments(data, workers=1), moments(data, workers=4)
    np.testing.assert_array_equal(one.com, many.com)


def test_center_is_the_mean_of_the_patterns_that_are_not_empty(scan):
    scan[2, 3] = 0
    _, com = numpy_moments(scan)
    result = moments(scan)
    np.testing.assert_allclose(result.center, np.nanmean(com, axis=(0, 1)), rtol=1e-12)
    np.testing.assert_array_equal(result.com[2, 3], 0)


def test_all_empty_patterns_give_zeros():
    result = moments(np.zeros((2, 3, 4, 4), np.uint8), pattern=True)
    for values in (result.total, result.com, result.pattern, result.center):
        np.testing.assert_array_equal(values, 0)


def test_nan_is_an_error_that_names_the_position(scan):
    data = scan.astype(np.float32)
    data[3, 5, 7, 2] = np.nan
    with pytest.raises(ValueError, match=r"scan position \(3, 5\)"):
        moments(data)
    with pytest.raises(ValueError, match=r"scan position \(3, 5\)"):
        moments(da.from_array(data, chunks=(2, 4, -1, -1))).compute()


def test_a_mask_leaves_nan_pixels_out(scan):
    data = scan.astype(np.float32)
    data[..., 7, 2] = np.nan
    mask = np.ones((20, 24), bool)
    mask[7, 2] = False
    total, com = numpy_moments(np.nan_to_num(data))
    result = moments(data, mask=mask, center=(0, 0))
    np.testing.assert_allclose(result.total, total)
    np.testing.assert_allclose(result.com, com)


@pytest.mark.parametrize("lazy", [False, True])
def test_iter_moments_covers_every_row_once(scan, lazy):
    data = da.from_array(scan, chunks=(4, 3, -1, -1)) if lazy else scan
    whole = moments(scan, center=(0, 0), detectors=[np.eye(20, 24) > 0], pattern=True)
    rows_done, pattern = [], 0
    blocks = iter_moments(data, detectors=[np.eye(20, 24) > 0], pattern=True, block_bytes=14000)
    for rows, part in blocks:
        rows_done += range(*rows.indices(6))
        np.testing.assert_array_equal(part.total, whole.total[rows])
        np.testing.assert_allclose(part.com, whole.com[rows])
        np.testing.assert_array_equal(part.images, whole.images[:, rows])
        pattern = pattern + part.pattern * (rows.stop - rows.start) / 6
    assert rows_done == list(range(6))
    np.testing.assert_allclose(pattern, whole.pattern)


def test_virtual_image_counts_the_electrons_on_the_detector(scan):
    mask = rectangular_detector((20, 24), (2, 3), (8, 12))
    np.testing.assert_array_equal(virtual_image(scan, mask), scan[..., 2:9, 3:13].sum((2, 3)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((3, 4, 4)), "reshape"),
        (np.zeros((2, 2, 3, 3), complex), "complex"),
        (np.zeros((0, 2, 3, 3)), "empty"),
        ([[1]], "list"),
    ],
)
def test_wrong_data_are_refused_in_words(data, words):
    with pytest.raises(ValueError, match=words):
        moments(data)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"detectors": [np.ones((3, 3))]}, r"detectors\[0\] has shape"),
        ({"detectors": [np.full((20, 24), np.nan)]}, "NaN"),
        ({"detectors": [np.ones((20, 24), complex)]}, "complex"),
        ({"mask": np.zeros((20, 24), bool)}, "no pixel"),
        ({"mask": np.ones((20, 24))}, "boolean"),
        ({"center": (9, 11, 1)}, "two finite numbers"),
        ({"center": 9.0}, "two finite numbers"),
        ({"center": (9, np.nan)}, "two finite numbers"),
    ],
)
def test_wrong_masks_and_centres_are_refused_in_words(scan, options, words):
    with pytest.raises(ValueError, match=words):
        moments(scan, **options)
