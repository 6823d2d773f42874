"""Live images from binned patterns against NumPy sums over the data."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins.napari.binned_scan import (
    BinnedScan,
    LiveImage,
    binning_factor,
    iter_exact_image,
)
from stem_plugins.napari.regions import Annulus
from stem_plugins.napari.virtual_images import VirtualImages


def disc(center, radius, shape=(16, 16)):
    y, x = np.indices(shape)
    return np.hypot(y - center[0], x - center[1]) < radius


def fill(scan):
    for _ in scan.iter_fill():
        pass
    return scan


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.floats(-4, 20), st.floats(-4, 20), st.floats(0.6, 12)), min_size=1, max_size=8
    ),
    lazy=st.booleans(),
)
def test_a_dragged_detector_always_shows_the_sum_over_its_pixels(counts, steps, lazy):
    data = da.from_array(counts, chunks=(5, 6, 16, 16)) if lazy else counts
    live = LiveImage(fill(BinnedScan(data, 1)))
    for y, x, radius in steps:
        mask = disc((y, x), radius)
        np.testing.assert_array_equal(live.update(mask), (counts * mask).sum(axis=(2, 3)))


def test_the_image_fills_with_the_scan_and_follows_the_detector_meanwhile(counts):
    data = da.from_array(counts, chunks=(2, 14, 16, 16))
    scan = BinnedScan(data, 1)
    live = LiveImage(scan)
    for done in scan.iter_fill():
        mask = disc((8, done), 5)
        expected = (counts * mask).sum(axis=(2, 3))
        expected[done:] = 0
        np.testing.assert_array_equal(live.update(mask), expected)
    assert done == 12


def test_bins_that_a_detector_covers_in_part_count_in_part(counts):
    live = LiveImage(fill(BinnedScan(counts, 4)))
    mask = disc((7.3, 8.1), 5)
    blocks = counts.reshape(12, 14, 4, 4, 4, 4).sum(axis=(3, 5), dtype=float)
    share = mask.reshape(4, 4, 4, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(live.update(mask), (blocks * share).sum(axis=(2, 3)))
    whole = np.ones((16, 16), bool)
    np.testing.assert_allclose(live.update(whole), counts.sum(axis=(2, 3)))


def test_a_pass_goes_on_where_it_was_stopped(counts):
    scan = BinnedScan(da.from_array(counts, chunks=(2, 14, 16, 16)), 2)
    first = scan.iter_fill()
    for _ in range(3):
        next(first)
    first.close()
    assert scan.rows_done == 6
    fill(scan)
    assert scan.is_complete
    np.testing.assert_allclose(scan.mean_pattern(), counts.mean(axis=(0, 1)))
    whole = LiveImage(scan).update(np.ones((16, 16), bool))
    np.testing.assert_array_equal(whole, counts.sum(axis=(2, 3)))


def test_the_mean_pattern_is_that_of_the_rows_seen(counts):
    scan = BinnedScan(da.from_array(counts, chunks=(2, 14, 16, 16)), 4)
    assert scan.mean_pattern().max() == 0
    passes = scan.iter_fill()
    next(passes)
    done = scan.rows_done
    np.testing.assert_allclose(scan.mean_pattern(), counts[:done].mean(axis=(0, 1)))
    passes.close()


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((64, 64, 48, 48), "<u2"),
        ((256, 256, 64, 64), "<u2"),
        ((128, 128, 256, 256), ">u2"),
        ((512, 512, 256, 256), "u1"),
        ((1024, 1024, 512, 512), ">u4"),
        ((20000, 1, 256, 4), "f4"),
    ],
)
def test_a_binned_scan_never_takes_more_than_a_gibibyte(shape, dtype):
    factor = binning_factor(shape, np.dtype(dtype))
    bins = np.prod([-(-n // factor) for n in shape[2:]])
    pixel = np.dtype(dtype).itemsize if factor == 1 else 4
    assert np.prod(shape[:2], dtype=float) * bins * pixel <= 2**30


def test_small_scans_are_not_binned():
    assert binning_factor((64, 64, 48, 48), np.dtype("u2")) == 1
    assert binning_factor((256, 256, 64, 64), np.dtype("u1")) == 1


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    "mask", [disc((7, 8), 5), disc((0, 0), 3), disc((15, 2), 1), np.ones((16, 16), bool)]
)
def test_the_exact_image_is_the_sum_over_the_pixels(counts, mask, lazy):
    data = da.from_array(counts, chunks=(5, 6, 16, 16)) if lazy else counts
    image = np.full(counts.shape[:2], np.nan)
    for rows, part in iter_exact_image(data, mask):
        image[rows] = part
    np.testing.assert_array_equal(image, (counts * mask).sum(axis=(2, 3)))


def test_images_say_whether_they_are_exact_and_remember_exact_ones(counts):
    images = VirtualImages(counts)
    region = Annulus((7.5, 7.5), 0.0, 4.0)
    assert images.binned.is_exact
    assert not images.of(region).is_exact
    fill(images.binned)
    shown = images.of(region)
    assert shown.is_exact
    np.testing.assert_array_equal(shown.image, (counts * shown.mask).sum(axis=(2, 3)))
    images.keep(region, np.ones((12, 14)))
    assert images.of(region).image.max() == 1
    assert images.of(Annulus((7.5, 7.5), 0.0, 3.0)).image.max() > 1
