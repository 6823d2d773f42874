"""Blocks of scan rows: complete, whole detectors, one pass, also on worker processes."""

import time

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stem_plugins.imaging import icom, moments, ricom
from stem_plugins.lazy import (
    chunk_by_scan_rows,
    in_order,
    is_lazy,
    map_whole,
    scan_row_blocks,
)


@given(st.tuples(*[st.integers(1, 40)] * 4), st.integers(1, 8), st.integers(1, 100_000))
def test_row_blocks_cover_every_row_once_and_keep_to_the_size(shape, itemsize, block_bytes):
    blocks = list(scan_row_blocks(shape, itemsize, block_bytes=block_bytes))
    assert [row for block in blocks for row in range(block.start, block.stop)] == [*range(shape[0])]
    row_bytes = np.prod(shape[1:]) * itemsize
    assert all((b.stop - b.start) * row_bytes <= max(block_bytes, row_bytes) for b in blocks)


def test_is_lazy_knows_dask_arrays_only():
    assert is_lazy(da.zeros(3))
    assert not any(map(is_lazy, (np.zeros(3), dask.delayed(3), None)))


def test_whole_detectors_are_left_alone_and_cut_ones_mended():
    data = da.zeros((8, 6, 10, 12), chunks=(3, 2, 10, 12))
    assert chunk_by_scan_rows(data) is data
    cut = chunk_by_scan_rows(da.zeros((8, 6, 10, 12), chunks=(3, 2, 5, 12)))
    assert cut.numblocks[2:] == (1, 1)


def test_map_whole_follows_its_input():
    eager = map_whole(np.transpose, np.arange(6).reshape(2, 3), shape=(3, 2))
    lazy = map_whole(np.transpose, da.arange(6, chunks=2).reshape(2, 3), shape=(3, 2))
    assert isinstance(lazy, da.Array)
    np.testing.assert_array_equal(lazy.compute(), eager)


@pytest.mark.parametrize("workers", [1, 3])
def test_in_order_keeps_the_order_and_stops_when_closed(workers):
    started = []

    def slow_first(number):
        started.append(number)
        time.sleep(0.02 if number == 0 else 0)
        return number

    results = in_order(slow_first, range(1000), workers=workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    results.close()
    assert len(started) < 40


def test_an_error_in_one_item_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda number: 1 / number, [1, 0, 1], workers=2))


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_two_processes_give_the_same_as_one_thread(cluster):
    data = np.random.default_rng(0).poisson(2, (12, 10, 16, 18)).astype(">u2")
    lazy = moments(
        da.from_array(data, chunks=(5, 4, 8, 18)), detectors=[np.eye(16, 18) > 0], pattern=True
    )
    images = ricom(lazy.com, 7), icom(lazy.com)
    totals, com, detector, pattern, *images = cluster.gather(
        cluster.compute([lazy.total, lazy.com, lazy.images, lazy.pattern, *images])
    )
    eager = moments(data, detectors=[np.eye(16, 18) > 0], pattern=True)
    assert len(cluster.nthreads()) == 2
    np.testing.assert_array_equal(totals, eager.total)
    np.testing.assert_allclose(com, eager.com, atol=1e-12)
    np.testing.assert_array_equal(detector, eager.images)
    np.testing.assert_allclose(pattern, eager.pattern)
    np.testing.assert_allclose(images[0], ricom(eager.com, 7), atol=1e-12)
    np.testing.assert_allclose(images[1], icom(eager.com), atol=1e-12)
