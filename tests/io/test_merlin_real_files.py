"""Every real Merlin file, against RosettaSciIO and against an arithmetic reading of raw words."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from rsciio.quantumdetector import file_reader

from stem_plugins.io import read_merlin


def load(path: Path, **options):
    """Load with the shape of the .hdr, or, where it has none, all frames as one line."""
    frames = 9 if "_9_" in path.name else 1
    if path.name.startswith(("001_", "002_4x2")):
        frames = 8  # 4 × 2 by pixel triggers, which the header does not tell
    if "hot_pixel" in path.name:
        return read_merlin(path, **options)
    return read_merlin(path, scan_shape=(1, frames), **options)


def real_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.mib") if not path.name.startswith("._"))


def test_all_104_files_load_lazily_and_at_once(merlin_dir):
    files = real_files(merlin_dir)
    assert len(files) == 104
    for path in files:
        lazy, eager = load(path), load(path, lazy=False)
        assert lazy.data.shape == eager.data.shape
        assert lazy.data.dtype == eager.data.dtype
        np.testing.assert_array_equal(lazy.data.compute(scheduler="sync"), eager.data)
        assert eager.data.any(), path.name
        assert lazy.acquisition.dwell_time == pytest.approx(
            0.1 if "4x2" in path.name and "hot" not in path.name else 0.001
        )


def test_pixels_are_those_of_rosettasciio_with_its_row_flip_undone(merlin_dir):
    compared = 0
    for path in real_files(merlin_dir):
        if "RAW" in path.name:
            continue  # RosettaSciIO reads no raw files
        ours = load(path, lazy=False).data
        theirs = file_reader(str(path), navigation_shape=ours.shape[1::-1])[0]["data"]
        np.testing.assert_array_equal(ours, theirs.reshape(ours.shape)[..., ::-1, :])
        flipped = load(path, lazy=False, flip_y=True).data
        np.testing.assert_array_equal(flipped, theirs.reshape(ours.shape))
        compared += 1
    assert compared == 84


def raw_words(path: Path, header_bytes: int, chips: int) -> np.ndarray:
    """Read 1-bit raw frames by arithmetic: pixel p of a big-endian 64-bit word is its bit p."""
    data = path.read_bytes()
    height = int(data[:64].split(b",")[5])
    frame = header_bytes + chips * 256 * height // 8
    words = np.stack(
        [
            np.frombuffer(data, ">u8", chips * 4 * height, start + header_bytes)
            for start in range(0, len(data), frame)
        ]
    ).astype(np.uint64)
    bits = (words[..., None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    return bits.reshape(-1, height, chips * 256).astype(np.uint8)


def test_raw_frames_of_one_chip(merlin_dir):
    files = [path for path in real_files(merlin_dir) if path.match("Single*RAW.mib")]
    assert len(files) == 10
    for path in files:
        np.testing.assert_array_equal(load(path, lazy=False).data[0], raw_words(path, 384, 1))


def test_raw_frames_of_four_chips_form_a_square(merlin_dir):
    files = [path for path in real_files(merlin_dir) if path.match("Quad*RAW.mib")]
    assert len(files) == 10
    for path in files:
        rows = raw_words(path, 768, 4)
        chip = [rows[..., i * 256 : (i + 1) * 256] for i in range(4)]
        upside_down = [np.rot90(part, 2, axes=(1, 2)) for part in chip]
        square = np.concatenate(
            [
                np.concatenate([chip[3], chip[2]], axis=2),
                np.concatenate([upside_down[1], upside_down[0]], axis=2),
            ],
            axis=1,
        )
        np.testing.assert_array_equal(load(path, lazy=False).data[0], square)


@pytest.mark.parametrize(("rows", "number"), [(128, "002"), (64, "003")])
def test_hot_pixel_is_at_column_52_row_39(merlin_dir, rows, number):
    (path,) = merlin_dir.rglob(f"{number}_merlin*hot_pixel_52x_39y.mib")
    scan = read_merlin(path)
    assert scan.data.shape == (2, 4, rows, 256)  # ScanY, ScanX of the .hdr
    first = scan.data[0, 0].compute()
    assert first[39, 52] > 0
    assert np.count_nonzero(first) == 2
    assert read_merlin(path, flip_y=True).data[0, 0].compute()[rows - 1 - 39, 52] > 0
    assert scan.metadata["hdr"]["ScanX"] == "4"
    assert scan.metadata["mq1"]["thresholds"][0] == 12.0


def test_either_of_the_two_files_may_be_given(merlin_dir):
    (path,) = merlin_dir.rglob("002_merlin*.mib")
    by_mib, by_hdr = read_merlin(str(path)), read_merlin(path.with_suffix(".hdr"))
    np.testing.assert_array_equal(by_mib.data.compute(), by_hdr.data.compute())


def test_without_hdr_the_scan_shape_is_asked_for(data_dir):
    path = data_dir / "merlin" / "read_mib_example.mib"
    with pytest.raises(ValueError, match=r"2 frames.*no \.hdr.*scan_shape=\(rows, columns\)"):
        read_merlin(path)
    assert read_merlin(path, scan_shape=(2, 1)).data.shape == (2, 1, 256, 256)


def test_nine_frames_of_one_trigger_are_a_line_with_a_warning(merlin_dir):
    (path,) = merlin_dir.rglob("Single_9_Frames_CounterDepth_12_Rows_64.mib")
    with pytest.warns(UserWarning, match=r"single scan line.*\(3, 3\)"):
        assert read_merlin(path).data.shape[:2] == (1, 9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_merlin(path, scan_shape=(3, 3)).data.shape[:2] == (3, 3)


def test_frames_triggered_one_by_one_have_no_known_shape(merlin_dir):
    (path,) = merlin_dir.rglob("001_4x2_6bit.mib")
    with pytest.raises(ValueError, match=r"8 frames.*neither ScanX and ScanY.*scan_shape="):
        read_merlin(path)
    assert read_merlin(path, scan_shape=(2, 4)).data.shape == (2, 4, 256, 256)


def test_apple_double_files_are_named_for_what_they_are(merlin_dir):
    files = list(merlin_dir.rglob("._*.mib"))
    assert files
    for path in files:
        with pytest.raises(ValueError, match="macOS resource file"):
            read_merlin(path)
