"""Written Merlin files are read back identically, by us and by RosettaSciIO."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rsciio.quantumdetector import file_reader

from stem_plugins import Acquisition
from stem_plugins.io import (
    Scan,
    convert,
    iter_write_merlin,
    read_merlin,
    read_scan,
    scan_blocks,
    write_merlin,
    write_scan,
)
from stem_plugins.io.scan_date import scan_date

SHAPES = hnp.array_shapes(min_dims=4, max_dims=4, min_side=1, max_side=5)
DTYPES = st.sampled_from(["?", "u1", "i1", "u2", ">u2", "i2", "u4", "i8", "u8", "f4", ">f8"])


def counts(dtype, shape):
    """Counts that the type and 24 bit can hold."""
    largest = {"?": 1, "i1": 127, "u1": 255, "f4": 2**24 - 1}.get(dtype, 2**15 - 1)
    elements = st.booleans() if dtype == "?" else st.integers(0, largest)
    return hnp.arrays(np.dtype(dtype), shape, elements=elements)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data(), DTYPES, SHAPES, st.booleans())
def test_round_trip(tmp_path, data, dtype, shape, lazy):
    scan = data.draw(counts(dtype, shape))
    path = tmp_path / "scan.mib"
    chunks = tuple(data.draw(st.integers(1, size)) for size in shape)
    write_merlin(path, da.from_array(scan, chunks) if lazy else scan, overwrite=True)
    read = read_merlin(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["scan.hdr", "scan.mib"]
    np.testing.assert_array_equal(read.data.compute(scheduler="sync"), scan)
    np.testing.assert_array_equal(read_merlin(path, lazy=False).data, scan)
    if min(shape[2:]) == 1:
        return  # RosettaSciIO drops such axes, and then flips another one
    theirs = file_reader(str(path), navigation_shape=shape[1::-1])[0]["data"]
    np.testing.assert_array_equal(theirs.reshape(shape)[..., ::-1, :], scan)


@pytest.mark.parametrize(
    ("dtype", "largest", "pixel_type", "depth"),
    [
        ("?", 1, "U08", 1),
        ("u1", 62, "U08", 6),
        ("u1", 63, "U16", 12),
        ("u4", 4094, "U16", 12),
        ("u2", 4095, "U32", 24),
        ("f8", 2**24 - 1, "U32", 24),
    ],
)
def test_smallest_pixel_type_that_fits_is_chosen(tmp_path, dtype, largest, pixel_type, depth):
    write_merlin(tmp_path / "scan.mib", np.full((1, 2, 3, 4), largest, dtype))
    header = read_merlin(tmp_path / "scan.hdr").metadata["mq1"]
    assert (header["pixel_type"], header["counter_depth"]) == (pixel_type, depth)


@pytest.mark.parametrize(("largest", "limit", "depth"), [(63, 63, 6), (4095, 4095, 12)])
def test_saturation_survives_conversion(tmp_path, largest, limit, depth):
    scan = Scan(np.full((1, 2, 3, 4), largest, np.uint16), largest_count=limit)
    for name in ("a.mib", "b.hspy", "c.mib"):
        write_scan(tmp_path / name, scan)
        scan = read_scan(tmp_path / name)
        assert scan.largest_count == limit
    assert scan.metadata["mq1"]["counter_depth"] == depth


def test_a_full_range_that_is_no_saturation_is_not_taken_for_one(tmp_path):
    np.save(tmp_path / "a.npy", np.full((1, 2, 3, 4), 63, np.uint16))
    convert(tmp_path / "a.npy", tmp_path / "a.mib")
    assert read_scan(tmp_path / "a.mib").largest_count == 4095


def test_counter_depth_can_be_given(tmp_path):
    write_merlin(tmp_path / "scan.mib", np.ones((1, 2, 3, 4), int), counter_depth=12)
    assert read_merlin(tmp_path / "scan.mib").data.dtype == ">u2"
    with pytest.raises(ValueError, match="must be 1, 6, 12 or 24 bit, not 16"):
        write_merlin(tmp_path / "other.mib", np.ones((1, 2, 3, 4), int), counter_depth=16)


def test_rosettasciio_finds_the_scan_shape_and_exposure(tmp_path):
    write_merlin(
        tmp_path / "scan.mib",
        np.zeros((3, 5, 8, 8), "u2"),
        acquisition=Acquisition(dwell_time=2e-3),
    )
    signal = file_reader(str(tmp_path / "scan.mib"))[0]
    assert signal["data"].shape == (3, 5, 8, 8)
    assert signal["metadata"]["Acquisition_instrument"]["dwell_time"] == pytest.approx(2e-3)
    assert signal["original_metadata"]["hdr_file"]["ScanX"] == "5"


def test_calibration_is_kept(tmp_path):
    acquisition = Acquisition(
        beam_energy=300,
        convergence_angle=20.5,
        scan_step=(0.2, 0.21),
        diffraction_step=1.1,
        center=(3.0, 2.5),
        scan_rotation=-126,
        flip_y=True,
        defocus=-100,
        aberrations={"C30": 1e7, "phi12": 0.1},
        dwell_time=1e-3,
        dose=1e4,
    )
    path = tmp_path / "scan.mib"
    write_merlin(path, np.zeros((2, 3, 8, 6), "u2"), acquisition=acquisition)
    assert read_merlin(path).acquisition == acquisition
    # With the rows upside down, so are the centre and the mirroring.
    flipped = read_merlin(path, flip_y=True).acquisition
    assert flipped == acquisition.replace(center=(4.0, 2.5), flip_y=False)


def test_flipped_center_points_at_the_same_pixel(tmp_path):
    scan = np.zeros((1, 1, 8, 6), "u2")
    scan[0, 0, 3, 2] = 9
    path = tmp_path / "scan.mib"
    write_merlin(path, scan, acquisition=Acquisition(center=(3, 2)))
    read = read_merlin(path, flip_y=True)
    y, x = map(int, read.acquisition.center)
    assert read.data[0, 0, y, x].compute() == 9


@pytest.mark.parametrize(
    ("scan", "message"),
    [
        (np.full((1, 2, 3, 4), -1), "contain -1, below zero"),
        (np.full((1, 2, 3, 4), 0.5), "contain fractions"),
        (np.full((1, 2, 3, 4), np.nan), "NaN or infinity"),
        (np.full((1, 2, 3, 4), np.inf), "NaN or infinity"),
        (np.full((1, 2, 3, 4), 2**24), "16777216 is too large"),
        (np.zeros((1, 2, 3, 4), complex), "must be real numbers"),
        (np.zeros((2, 3, 4)), r"four dimensions.*\(2, 3, 4\)"),
        (np.zeros((0, 2, 3, 4)), "empty"),
    ],
)
def test_data_that_are_no_counts_are_refused(tmp_path, scan, message):
    with pytest.raises(ValueError, match=message):
        write_merlin(tmp_path / "scan.mib", scan)
    assert list(tmp_path.iterdir()) == []


def test_counts_above_the_given_depth_are_refused_wherever_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(scan_blocks, "BLOCK_BYTES", 64)
    scan = np.zeros((4, 2, 3, 4), "u2")
    scan[3, 1, 2, 3] = 64
    with pytest.raises(ValueError, match="count of 64 does not fit a counter depth of 6 bit"):
        write_merlin(tmp_path / "scan.mib", scan, counter_depth=6)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("existing", ["scan.mib", "scan.hdr"])
def test_existing_files_are_not_overwritten(tmp_path, existing):
    (tmp_path / existing).write_text("precious")
    with pytest.raises(FileExistsError, match=r"exists already.*--overwrite"):
        write_merlin(tmp_path / "scan.mib", np.zeros((1, 2, 3, 4), "u1"))
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        (existing, "precious")
    ]
    write_merlin(tmp_path / "scan.mib", np.zeros((1, 2, 3, 4), "u1"), overwrite=True)
    assert read_merlin(tmp_path / "scan.mib").data.shape == (1, 2, 3, 4)


def test_failure_keeps_what_was_there(tmp_path):
    path = tmp_path / "scan.mib"
    write_merlin(path, np.ones((1, 2, 3, 4), "u1"))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="below zero"):
        write_merlin(path, np.full((1, 2, 3, 4), -1), overwrite=True)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_missing_folder_and_wrong_suffix(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder .* does not exist"):
        write_merlin(tmp_path / "nowhere" / "scan.mib", np.ones((1, 2, 3, 4), "u1"))
    with pytest.raises(ValueError, match=r"named \.mib"):
        write_merlin(tmp_path / "scan.tif", np.ones((1, 2, 3, 4), "u1"))


def test_a_scan_can_be_written_over_the_file_it_comes_from(tmp_path):
    path = tmp_path / "scan.mib"
    write_merlin(path, np.arange(24).reshape(1, 2, 3, 4))
    write_merlin(path, read_merlin(path).data, overwrite=True)
    assert read_merlin(path).data.sum().compute() == 276


def test_progress_counts_up_to_the_end(tmp_path, monkeypatch):
    blocks = [(slice(i, i + 1), slice(0, 3)) for i in range(4)]
    monkeypatch.setattr("stem_plugins.io.merlin_writer.scan_blocks", lambda data: blocks)
    steps = list(iter_write_merlin(tmp_path / "scan.mib", np.ones((4, 3, 2, 2), "u2")))
    assert steps == [(i, 8) for i in range(1, 9)]
    assert read_merlin(tmp_path / "scan.mib").data.shape == (4, 3, 2, 2)


def test_closing_the_generator_leaves_nothing(tmp_path, monkeypatch):
    blocks = [(slice(i, i + 1), slice(0, 3)) for i in range(4)]
    monkeypatch.setattr("stem_plugins.io.merlin_writer.scan_blocks", lambda data: blocks)
    steps = iter_write_merlin(tmp_path / "scan.mib", np.ones((4, 3, 2, 2)), counter_depth=12)
    next(steps)
    next(steps)
    assert len(list(tmp_path.iterdir())) == 2  # temporary ones
    steps.close()
    assert list(tmp_path.iterdir()) == []


def test_each_chunk_is_computed_once_per_pass(tmp_path):
    seen = []

    def note(block, block_id):
        seen.append(block_id)
        return block

    data = da.ones((6, 6, 4, 4), chunks=(2, 3, 4, 4), dtype="u2")
    watched = data.map_blocks(
        lambda block, block_id: note(block, block_id), dtype="u2", meta=data._meta
    )
    write_merlin(tmp_path / "scan.mib", watched, counter_depth=12)
    assert sorted(seen) == [(i, j, 0, 0) for i in range(3) for j in range(2)]


def test_more_than_a_million_frames_keep_their_headers_apart(tmp_path):
    from stem_plugins.io.merlin_writer import _Headers

    headers = _Headers((4000, 4000, 4, 4), 0, np.datetime64("2020", "ns"), "Z")
    header = headers.texts(9_999_999, 1, 24)[0]
    assert len(header) <= 384
    assert header.startswith(b"MQ1,10000000,00384,")


@pytest.mark.parametrize(
    "taken", ["2021-05-07T16:51:10.905800928Z", "2021-05-07T16:51:10Z", "2021-05-07 16:51:10"]
)
def test_the_date_of_the_measurement_survives_all_formats(tmp_path, taken):
    acquisition = Acquisition(dwell_time=0.1)
    scan = Scan(np.ones((2, 3, 4, 4), "u2"), acquisition, {"taken": taken})
    expected = np.datetime64(taken.removesuffix("Z"), "ns")
    for name in ("a.mib", "b.zspy", "c.hspy", "d.mib"):
        write_scan(tmp_path / name, scan)
        scan = read_scan(tmp_path / name)
        found = scan_date(scan.metadata)
        assert found.endswith("Z") == taken.endswith("Z")
        assert np.datetime64(found.removesuffix("Z"), "ns") == expected
        if name == "b.zspy":
            general = scan.metadata["General"]
            assert general["date"] == "2021-05-07"
            assert general["time"].startswith("16:51:10")
    # The fifth of six frames, each 0.1 s: 0.4 s later.
    fifth = read_merlin(tmp_path / "d.mib", scan_shape=(1, 2), skip_frames=4).metadata["taken"]
    assert np.datetime64(fifth.removesuffix("Z"), "ns") - expected == np.timedelta64(400, "ms")
    assert "07/05/2021 16:51:10" in (tmp_path / "d.hdr").read_text()


def test_without_a_date_none_is_made_up(tmp_path):
    """Neither in the .hdr nor by the headers of the frames alone, nor at RosettaSciIO."""
    path = tmp_path / "scan.mib"
    write_merlin(path, np.ones((2, 3, 4, 4), "u2"), acquisition=Acquisition(dwell_time=1e-3))
    assert "Time and Date" not in path.with_suffix(".hdr").read_text()
    assert scan_date(read_merlin(path).metadata) is None
    assert file_reader(str(path))[0]["metadata"]["General"]["date"] == "1970-01-01"
    path.with_suffix(".hdr").unlink()
    assert scan_date(read_merlin(path, scan_shape=(2, 3)).metadata) is None
    write_scan(tmp_path / "scan.zspy", read_merlin(path, scan_shape=(2, 3)))
    assert "date" not in read_scan(tmp_path / "scan.zspy").metadata["General"]


@pytest.mark.parametrize("taken", ["yesterday", "", "1970-01-01"])
def test_what_is_no_date_is_refused(tmp_path, taken):
    with pytest.raises(ValueError, match="taken must be a date such as"):
        write_merlin(tmp_path / "scan.mib", np.ones((1, 2, 3, 4), "u2"), taken=taken)
    assert list(tmp_path.iterdir()) == []
