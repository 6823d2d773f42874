"""Blocks of scan rows: complete, whole detectors, one pass, also on worker processes."""

import pickle
import time

import dask
import dask.array as da
import numpy as np
import pytest
from counted_arrays import CountedArray
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins.imaging import icom, moments, ricom
from stem_plugins.lazy import (
    array_of_blocks,
    chunk_by_scan_rows,
    in_order,
    is_lazy,
    map_scan_blocks,
    map_whole,
    numpy_or_dask,
    scan_row_blocks,
)


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.none() | st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.just(6)),
    st.integers(1, 4000),
)
@settings(max_examples=40, deadline=None)
def test_what_lies_in_a_file_is_read_there_chunk_by_chunk(scan, chunks, block_bytes):
    rng = np.random.default_rng(0)
    data = rng.integers(0, 99, (*scan, 4, 6)).astype("u2")
    stored = CountedArray(data, chunks)
    high, wide = (1, scan[1]) if chunks is None else np.minimum(chunks[:2], scan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stem_plugins.lazy.blocks.BLOCK_BYTES", block_bytes)
        lazy = numpy_or_dask(stored)
    assert is_lazy(lazy)
    assert lazy.numblocks[2:] == (1, 1)
    stored.places.clear()
    np.testing.assert_array_equal(lazy.compute(), data)
    assert stored.largest <= max(block_bytes, high * wide * 48)
    # No chunk is read by two blocks.
    for rows, columns, *_detector in stored.places:
        assert rows.start % high == 0
        assert columns.start % wide == 0
    assert sum(data[place].size for place in stored.places) == data.size


@pytest.mark.parametrize("kind", ["zarr", "h5py"])
def test_arrays_of_zarr_and_h5py_stay_in_their_files(kind, tmp_path):
    module = pytest.importorskip(kind)
    data = np.random.default_rng(0).integers(0, 99, (5, 6, 8, 8)).astype(">u2")
    if kind == "zarr":
        stored = module.array(data, chunks=(2, 2, 4, 8))
    else:
        file = module.File(tmp_path / "scan.h5", "w")
        stored = file.create_dataset("scan", data=data, chunks=(2, 2, 4, 8))
    lazy = numpy_or_dask(stored)
    assert is_lazy(lazy)
    assert lazy.dtype == data.dtype
    np.testing.assert_array_equal(lazy.compute(), data)
    assert numpy_or_dask(data) is data
    assert numpy_or_dask(lazy) is lazy


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


class RowsOfNumbers:
    """A file in which every pixel has the number of its scan position."""

    def __init__(self, scan, detector):
        self.scan, self.detector = scan, detector

    def __call__(self, rows, columns):
        numbers = np.arange(np.prod(self.scan)).reshape(self.scan)[slice(*rows), slice(*columns)]
        return np.broadcast_to(numbers[..., None, None], (*numbers.shape, *self.detector))


def offset_and_shape(block, offset):
    return offset, block.shape, int(block[0, 0, 0, 0])


def test_blocks_of_files_are_read_in_the_task_that_uses_them():
    read = RowsOfNumbers((5, 6), (3, 2))
    data = array_of_blocks(read, ((2, 3), (4, 2), (3,), (2,)), np.dtype(int), "numbers")
    np.testing.assert_array_equal(data.compute(), read((0, 5), (0, 6)))
    np.testing.assert_array_equal(data[1:4, 5].compute(), read((1, 4), (5, 6))[:, 0])
    expected = [
        [((0, 0), (2, 4, 3, 2), 0), ((0, 4), (2, 2, 3, 2), 4)],
        [((2, 0), (3, 4, 3, 2), 12), ((2, 4), (3, 2, 3, 2), 16)],
    ]
    whole = map_scan_blocks(offset_and_shape, data, list)
    assert whole.compute() == expected
    assert len(dict(whole.dask)) == 5  # four blocks, one join
    sent = pickle.loads(pickle.dumps(data))
    assert map_scan_blocks(offset_and_shape, sent, list).compute() == expected
    for changed in (data + 0, data.rechunk((2, 4, 3, 2)), data.rechunk((5, 6, 1, 1))):
        assert map_scan_blocks(offset_and_shape, changed, len).compute() >= 1
    assert map_scan_blocks(offset_and_shape, data + 0, list).compute() == expected


def test_lazy_maps_from_the_same_input_have_the_same_name():
    first, second = (map_whole(np.transpose, da.ones((2, 3)), shape=(3, 2)) for _ in range(2))
    assert first.name == second.name
    assert map_whole(np.transpose, da.zeros((2, 3)), shape=(3, 2)).name != first.name
