"""Which frame is which scan position: flyback, repeats, interrupted scans."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stem_plugins.io import read_merlin
from stem_plugins.io.merlin_layout import find_scan_layout


def positions(scan) -> np.ndarray:
    """Return the number of the frame at each scan position."""
    data = np.asarray(scan.data)
    assert (data == data[..., :1, :1]).all()
    return data[..., 0, 0]


@pytest.mark.parametrize("lazy", [True, False])
def test_flyback_columns_and_rows_are_left_out(numbered, lazy):
    path = numbered((2 + 1) * (4 + 2))
    scan = read_merlin(path, scan_shape=(2, 4), skip_columns=2, skip_rows=1, lazy=lazy)
    assert positions(scan).tolist() == [[0, 1, 2, 3], [6, 7, 8, 9]]


def test_flyback_after_the_last_position_may_be_missing(numbered):
    scan = read_merlin(numbered(6 + 4), scan_shape=(2, 4), skip_columns=2, skip_rows=1)
    assert positions(scan).tolist() == [[0, 1, 2, 3], [6, 7, 8, 9]]


def test_header_counts_the_flyback_too(numbered):
    path = numbered(3 * 6, hdr={"ScanX": 6, "ScanY": 3})
    assert read_merlin(path).data.shape[:2] == (3, 6)
    scan = read_merlin(path, skip_columns=2, skip_rows=1)
    assert positions(scan).tolist() == [[0, 1, 2, 3], [6, 7, 8, 9]]
    with pytest.raises(ValueError, match="leave nothing of the 3 lines of 6"):
        read_merlin(path, skip_rows=3)


def test_frames_per_trigger_are_one_line(numbered):
    hdr = {"Frames in Acquisition (Number)": 12, "Frames per Trigger (Number)": 4}
    assert positions(read_merlin(numbered(12, hdr=hdr)))[:, 0].tolist() == [0, 4, 8]


def test_leading_frames_are_skipped(numbered):
    path = numbered(2 + 6)
    assert positions(read_merlin(path, scan_shape=(2, 3), skip_frames=2)).tolist() == [
        [2, 3, 4],
        [5, 6, 7],
    ]
    with pytest.raises(ValueError, match="skip_frames=8 leaves none of its 8 frames"):
        read_merlin(path, scan_shape=(2, 3), skip_frames=8)


def test_leading_frames_with_a_header_that_counts_them(numbered):
    hdr = {"Frames in Acquisition (Number)": 12, "Frames per Trigger (Number)": 4}
    path = numbered(12, hdr=hdr)
    assert positions(read_merlin(path, skip_frames=4)).tolist()[0][0] == 4


def test_repeated_scans_are_chosen_by_number(numbered):
    path = numbered(3 * 2 * 4, hdr={"ScanX": 4, "ScanY": 2})
    with pytest.raises(ValueError, match=r"3 times a scan of 2 × 4.*repeat=0 to 2"):
        read_merlin(path)
    assert positions(read_merlin(path, repeat=2)).tolist() == [[16, 17, 18, 19], [20, 21, 22, 23]]
    with pytest.raises(ValueError, match=r"repeat=3 is not among them \(0 to 2\)"):
        read_merlin(path, repeat=3)


def test_repeats_with_flyback(numbered):
    path = numbered(2 * 3 * 5 - 6)  # the flyback of the last scan is missing
    options = {"scan_shape": (2, 4), "skip_columns": 1, "skip_rows": 1}
    assert positions(read_merlin(path, repeat=1, **options)).tolist() == [
        [15, 16, 17, 18],
        [20, 21, 22, 23],
    ]


def test_frames_left_over_are_not_dropped_silently(numbered):
    path = numbered(11)
    with pytest.raises(ValueError, match=r"1 times a scan of 2 × 5 positions and 1 more frames"):
        read_merlin(path, scan_shape=(2, 5))
    assert read_merlin(path, scan_shape=(2, 5), repeat=0).data.shape[:2] == (2, 5)


@pytest.mark.parametrize("hdr", [{"ScanX": 4, "ScanY": 5}, None])
def test_interrupted_scan_says_how_to_load_its_complete_lines(numbered, hdr):
    path = numbered(14, hdr=hdr)
    options = {} if hdr else {"scan_shape": (5, 4)}
    with pytest.raises(ValueError, match=r"scan_shape=\(3, 4\) with repeat=0.*3 complete lines"):
        read_merlin(path, **options)
    scan = read_merlin(path, scan_shape=(3, 4), repeat=0)  # as the message says
    assert positions(scan).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_interrupted_line_triggered_scan(numbered):
    hdr = {"Frames in Acquisition (Number)": 20, "Frames per Trigger (Number)": 4}
    with pytest.raises(ValueError, match=r"scan_shape=\(3, 4\) with repeat=0.*3 complete lines"):
        read_merlin(numbered(14, hdr=hdr))
    with pytest.warns(UserWarning, match="12 of the 20 frames.*3 complete scan lines"):
        assert read_merlin(numbered(12, hdr=hdr)).data.shape[:2] == (3, 4)


def test_less_than_one_line(numbered):
    with pytest.raises(ValueError, match="Not even one line is complete"):
        read_merlin(numbered(3), scan_shape=(5, 4))


@pytest.mark.parametrize("shape", [(4,), (2, 2, 2), (0, 4), (2.0, 2), "ab", 4, (-1, -4)])
def test_scan_shapes_that_are_none(numbered, shape):
    with pytest.raises(ValueError, match="scan_shape must be two whole numbers above zero"):
        read_merlin(numbered(4), scan_shape=shape)


@pytest.mark.parametrize("name", ["skip_rows", "skip_columns", "skip_frames", "repeat"])
@pytest.mark.parametrize("value", [-1, 1.5, True])
def test_skips_that_are_no_counts(numbered, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number"):
        read_merlin(numbered(4), scan_shape=(2, 2), **{name: value})


def test_one_frame_needs_no_header(numbered):
    assert read_merlin(numbered(1)).data.shape[:2] == (1, 1)


@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 5),
    st.integers(1, 4),
)
def test_layout_marks_the_frames_that_a_list_of_them_would(
    shape, skip_rows, skip_columns, skip_frames, scans
):
    recorded = [("before", 0, 0)] * skip_frames + [
        (scan, row, column)
        for scan in range(scans)
        for row in range(shape[0] + skip_rows)
        for column in range(shape[1] + skip_columns)
    ]
    for repeat in range(scans):
        layout = find_scan_layout(
            len(recorded),
            None,
            scan_shape=shape,
            skip_rows=skip_rows,
            skip_columns=skip_columns,
            skip_frames=skip_frames,
            repeat=repeat,
        )
        for row, column in np.ndindex(*shape):
            frame = layout.first_frame + row * layout.frames_per_line + column
            assert recorded[frame] == (repeat, row, column)
