"""Bad Merlin files: an error that says what is wrong and what to do, never a wrong picture."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins.io import (
    merlin_sampling,
    parse_acquisition_header,
    parse_frame_header,
    read_merlin,
)

FRAME = np.arange(12, dtype=">u2").tobytes()
SHAPE = {"scan_shape": (1, 2)}


def test_a_good_file_loads(make_mib):
    scan = read_merlin(make_mib([FRAME, FRAME]), **SHAPE)
    np.testing.assert_array_equal(scan.data[0, 1].compute(), np.arange(12).reshape(3, 4))


def test_truncated_last_frame_is_left_out_with_a_warning(make_mib):
    path = make_mib([FRAME, FRAME, FRAME])
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.warns(UserWarning, match=r"last frame is incomplete.*2 frames remain"):
        scan = read_merlin(path, **SHAPE)
    np.testing.assert_array_equal(scan.data[0, 1].compute(), np.arange(12).reshape(3, 4))


def renumbered(make_mib, numbers):
    """Return a file whose frames have these numbers."""
    path = make_mib([FRAME] * len(numbers))
    data = path.read_bytes()
    for place, number in enumerate(numbers, 1):
        data = data.replace(b"MQ1,%06d,00384" % place, b"MQ1,x%05d,00384" % number, 1)
    path.write_bytes(data.replace(b"MQ1,x", b"MQ1,0"))
    return path


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([1, 2, 5, 6], r"faults: 2 missing \(3 to 4\)\. All"),
        ([1, 3, 4, 6], r"2 missing \(2, 5\)"),
        ([7, 9, 10, 10], r"1 missing \(8\), 1 there twice \(10\)"),
        (range(1, 30, 2), r"14 missing \(2, 4, 6, 8, 10 and 9 more\)"),
        (
            [1, 2, 3, 3, 5, 6],
            r"faults: 1 replaced by a copy of the frame before \(4\)\. Those positions show the "
            r"pattern before; no other scan position is shifted\.$",
        ),
        ([1, 2, 2, 2, 5, 6], r"2 replaced by a copy of the frame before \(3, 4\)\. Those"),
        (
            [1, 1, 3, 4, 6, 7],
            r"1 missing \(5\), 1 replaced by a copy of the frame before \(2\)\. All scan "
            r"positions behind a missing or doubled frame are shifted",
        ),
        (
            [1, 2, 4, 5, 5, 6],
            r"1 missing \(3\), 1 there twice \(5\)\. The scan positions of frames 3 to 4 of the "
            r"file are shifted; those behind are in place again",
        ),
        ([1, 2, 2, 3, 5, 6], r"The scan positions of frames 3 to 4 of the file are shifted"),
        ([1, 2, 2, 3, 4, 5], r"1 there twice \(2\)\. All scan positions behind such a frame are"),
    ],
)
def test_lost_and_doubled_frames_are_told_by_their_numbers(make_mib, numbers, words):
    with pytest.warns(UserWarning, match=words):
        read_merlin(renumbered(make_mib, numbers), scan_shape=(1, len(numbers)))


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(st.sampled_from([1, 1, 1, 1, 1, 0, 2, 3]), min_size=1, max_size=60),
    at_first=st.integers(1, 12),
)
def test_of_long_files_not_all_headers_are_read(steps, at_first, tmp_path_factory):
    """Faults that do not cancel between two headers read are found, and put where they are."""
    numbers = 1 + np.cumsum([0, *steps])
    path = tmp_path_factory.mktemp("long") / "scan.mib"
    text = b"MQ1,%06d,00384,01,0004,0003,U16,   1x1,01"
    path.write_bytes(b"".join((text % number).ljust(64, b"\0") for number in numbers))
    header = SimpleNamespace(frame_bytes=64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merlin_sampling, "HEADERS_AT_FIRST", at_first)
        found = merlin_sampling.look_at_frames(path, header, len(numbers)).numbers
    every = max(1, len(numbers) // at_first)
    places = [*range(0, len(numbers) - 1, every), len(numbers) - 1]
    np.testing.assert_array_equal(found[places], numbers[places])
    for start, stop in pairwise(places):
        if numbers[stop] - numbers[start] != stop - start:
            np.testing.assert_array_equal(found[start:stop], numbers[start:stop])


@pytest.mark.parametrize("numbers", [[1, 2, 1, 2], [0, 0, 0, 0], [9, 10, 11, 12]])
def test_numbers_that_start_again_or_stand_still_are_no_fault(make_mib, numbers):
    assert read_merlin(renumbered(make_mib, numbers), scan_shape=(2, 2)).data.shape[0] == 2


def test_on_a_slow_disc_the_last_number_tells_how_many_are_lost(make_mib, monkeypatch):
    monkeypatch.setattr(merlin_sampling, "LONGEST_CHECK", -1)
    monkeypatch.setattr(merlin_sampling, "HEADERS_TOGETHER", 2)
    path = renumbered(make_mib, [1, 2, 3, 7])
    with pytest.warns(UserWarning, match=r"3 missing \(after 2\)"):
        read_merlin(path, scan_shape=(2, 2))
    path = renumbered(make_mib, [1, 2, 3, 4])
    assert read_merlin(path, scan_shape=(2, 2)).data.shape[0] == 2


@pytest.mark.parametrize("frames", [3, 40])
def test_header_size_that_is_not_true(make_mib, frames):
    path = make_mib([FRAME] * frames)
    data = path.read_bytes().replace(b",00384,", b",00400,")
    path.write_bytes(data)
    with pytest.raises(ValueError, match="does not start at byte"):
        read_merlin(path, scan_shape=(1, frames))


def test_wrong_width_is_noticed(make_mib):
    path = make_mib([FRAME, FRAME, FRAME], width=5)
    with pytest.raises(ValueError, match="does not start at byte"):
        read_merlin(path, **SHAPE)


def test_swapped_rows_and_columns_of_a_row_of_chips(make_mib):
    path = make_mib([bytes(1024 * 256 * 2)] * 2, width=256, height=1024, chips=4, layout="4x1")
    with pytest.raises(ValueError, match="256 columns × 1024 rows do not fit on chips"):
        read_merlin(path, **SHAPE)


@pytest.mark.parametrize(
    ("line", "value", "words"),
    [
        ("Counter Depth (number)", 6, "counters of 6 bit.*counters of 12 bit"),
        ("Assembly Size (NX1, 2X2)", "   2x2", "arranged as 2x2.*arranged as 1x1"),
    ],
)
def test_hdr_of_another_acquisition(make_mib, line, value, words):
    path = make_mib([FRAME] * 2, hdr={line: value})
    with pytest.raises(ValueError, match=words):
        read_merlin(path, **SHAPE)


def test_an_acquisition_in_several_files(make_mib):
    for number in (2, 1):
        data = make_mib([FRAME] * 2, name=f"scan_{number}.mib").read_bytes()
        data = data.replace(b"MQ1,0000", b"MQ1,000%d" % number)
        (path := make_mib([FRAME], name=f"scan_{number}.mib")).write_bytes(data)
    hdr = path.with_name("scan.hdr")
    hdr.write_bytes(b"HDR,\t\r\nEnd\t")
    with pytest.raises(ValueError, match=r"2 that begin so: scan_1\.mib, scan_2\.mib\. If"):
        read_merlin(hdr)


def test_damaged_end_is_noticed(make_mib):
    path = make_mib([FRAME] * 4)
    data = bytearray(path.read_bytes())
    data[-408:-404] = b"XXXX"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="frame 4 of 4 does not start"):
        read_merlin(path, scan_shape=(2, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 7}, "unknown counter depth of 7 bit"),
        ({"depth": "many"}, "counter depth.*'many'"),
        ({"pixel_type": "F32"}, "unknown pixel type 'F32'"),
        ({"width": 0}, "empty frame"),
        ({"chips": 0}, "empty frame"),
        ({"pixel_type": "R64", "width": 100}, "raw rows of 100 pixels do not fit 1 chip"),
        ({"pixel_type": "R64", "width": 512, "chips": 2}, "raw data of 2 chips"),
        ({"pixel_type": "R64", "width": 1024, "chips": 4, "layout": "4x1"}, "raw data of 4 chips"),
    ],
)
def test_headers_that_describe_no_known_frame(make_mib, options, message):
    with pytest.raises(ValueError, match=message):
        read_merlin(make_mib([FRAME, FRAME], **options), **SHAPE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello, this is something else", "no Merlin data.*b'hello"),
        (b"HDR,\tsomething", "starts like a .hdr"),
        (b"MQ1,000001,", "header size.*not a whole number"),
        (b"MQ1,000001,99999,01," + b"0" * 100, "gives its own size as 99999"),
        (b"MQ1,000001,00384,01,0004,0003,U16,", "should have 384 bytes, but only 34"),
        (b"MQ1,000001,00384,01".ljust(384, b"\0"), "only 4 fields"),
        (b"MQ1,000001,00384,one,4,3,U16,1x1,1,now,1".ljust(384, b"\0"), "number of chips.*'one'"),
        (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X", "macOS resource file"),
    ],
)
def test_files_that_are_no_merlin_files(tmp_path, content, message):
    path = tmp_path / "scan.mib"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_merlin(path, **SHAPE)


def test_less_than_one_frame(make_mib):
    path = make_mib([FRAME])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="407 bytes, less than one frame of 408"):
        read_merlin(path, **SHAPE)


def test_hdr_without_mib(make_mib):
    path = make_mib([FRAME], hdr={"ScanX": 1, "ScanY": 1})
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no scan\.mib beside scan\.hdr"):
        read_merlin(path.with_suffix(".hdr"))


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no scan\.mib in"):
        read_merlin(tmp_path / "scan.mib")


def test_a_folder(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        read_merlin(tmp_path)


def test_another_suffix(tmp_path):
    with pytest.raises(ValueError, match=r"neither a \.mib nor a \.hdr"):
        read_merlin(tmp_path / "scan.tif")


def test_hdr_that_is_none(make_mib):
    path = make_mib([FRAME, FRAME])
    path.with_suffix(".hdr").write_bytes(b"\x89PNG")
    with pytest.raises(ValueError, match=r"no Merlin \.hdr"):
        read_merlin(path, **SHAPE)


def test_damaged_calibration_line(make_mib):
    path = make_mib([FRAME, FRAME], hdr={"Acquisition (stem-plugins)": '{"beam_energy": '})
    with pytest.raises(ValueError, match=r"line 'Acquisition.*damaged"):
        read_merlin(path, **SHAPE)


def test_file_that_becomes_shorter_after_opening(make_mib):
    path = make_mib([FRAME] * 2)
    scan = read_merlin(path, **SHAPE)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(OSError, match="has become shorter"):
        scan.data.compute()


def test_raw_quad_with_gap_warns(make_mib):
    payload = bytes(4 * 256 * 32 // 8)
    path = make_mib(
        [payload],
        pixel_type="R64",
        depth=1,
        chips=4,
        width=1024,
        height=32,
        layout="  2x2G",
        header_bytes=768,
    )
    with pytest.warns(UserWarning, match="leave out the gap"):
        assert read_merlin(path).data.shape == (1, 1, 64, 512)


def test_processed_quad_with_gap_holds_the_gap(make_mib):
    frame = np.arange(258 * 260, dtype=">u2")
    path = make_mib([frame.tobytes()], chips=4, width=260, height=258, layout="  2x2G")
    np.testing.assert_array_equal(read_merlin(path, lazy=False).data[0, 0].ravel(), frame)


@pytest.mark.parametrize("value", [0, 2**16 - 1])
def test_empty_and_saturated_frames_are_read_as_they_are(make_mib, value):
    path = make_mib([np.full(12, value, ">u2").tobytes()] * 2)
    assert (read_merlin(path, **SHAPE).data == value).all().compute()


def test_header_without_the_newer_part(tmp_path):
    text = b"MQ1,000001,00384,01,0004,0003,U16,1x1,01,2014-01-01 00:00:00,0.020000,0,0,0,12.0"
    header = parse_frame_header(text.ljust(384, b"\0"))
    assert header.exposure == 0.02
    assert header.counter_depth == 12
    with pytest.raises(ValueError, match="lacks the counter depth"):
        parse_frame_header(text.replace(b"U16", b"R64").ljust(384, b"\0"))


def test_unknown_exposure_is_not_a_dwell_time(make_mib):
    scan = read_merlin(make_mib([FRAME, FRAME], exposure="0ns"), **SHAPE)
    assert scan.acquisition.dwell_time is None


def test_hdr_values_that_are_no_numbers_are_unknown():
    header = parse_acquisition_header(
        b"HDR,\r\nFrames in Acquisition (Number):\t0\r\nScanX:\tfour\r\nScanY:\t2\r\n"
        b"bpc File:\tc:\\M\xe4rz\r\nEnd\t\r\nafter:\tthe end"
    )
    assert header.frames is None
    assert header.scan_shape is None
    assert header.values["bpc File"] == "c:\\März"
    assert "after" not in header.values
