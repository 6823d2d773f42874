"""Files that are damaged, incomplete or senseless: a clear line, never a wrong picture."""

import numpy as np
import pytest
from command_runs import names

from stem_plugins.io import write_merlin


def ricom(path, *words):
    return ("ricom", path, "-o", path.parent / "out", "--format", "npy", "--rotation", 0, *words)


def test_truncated_last_frame(fails, works, scan_file):
    data = scan_file.read_bytes()
    scan_file.write_bytes(data[:-100])
    assert "1019 frames" in fails(*ricom(scan_file))
    # What is complete can be read, and what is missing is said.
    _, warnings = works(*ricom(scan_file, "--scan", 29, 34, "--repeat", 0))
    assert "last frame is incomplete" in warnings
    assert np.load(scan_file.parent / "out" / "scan_ricom-21.npy").shape == (29, 34)


def test_header_that_lies_about_its_size(fails, scan_file):
    data = bytearray(scan_file.read_bytes())
    data[11:16] = b"00768"
    scan_file.write_bytes(data)
    assert "does not start at byte" in fails(*ricom(scan_file))


def test_header_that_lies_about_the_pixels(fails, scan_file):
    scan_file.write_bytes(scan_file.read_bytes().replace(b",0030,0032,", b",0030,0016,"))
    assert "does not start at byte" in fails(*ricom(scan_file))


def test_unknown_depth(fails, scan_file):
    scan_file.write_bytes(scan_file.read_bytes().replace(b",U16,", b",U99,"))
    assert "U99" in fails(*ricom(scan_file))


def test_wrong_scan_shape(fails, scan_file):
    assert "too few for a scan of 31 × 34" in fails(*ricom(scan_file, "--scan", 31, 34))
    line = fails(*ricom(scan_file, "--scan", 29, 34))
    assert "34 more frames" in line
    assert "--repeat 0" in line


def test_centre_beside_the_detector(fails, scan_file):
    assert "not on the detector of 32 × 30 px" in fails(*ricom(scan_file, "--center", 127.5, 127.5))
    assert not (scan_file.parent / "out").exists()


def test_dataset_of_a_merlin_file(fails, scan_file):
    assert "dataset" in fails(*ricom(scan_file, "--dataset", "second"))


def test_missing_hdr(fails, works, scan_file):
    scan_file.with_suffix(".hdr").unlink()
    line = fails(*ricom(scan_file))
    assert "no .hdr file" in line
    assert "--scan ROWS COLUMNS" in line
    works(*ricom(scan_file, "--scan", 30, 34))


def test_hdr_without_mib(fails, scan_file):
    scan_file.unlink()
    line = fails(*ricom(scan_file.with_suffix(".hdr")))
    assert "There is no scan.mib beside scan.hdr" in line


@pytest.mark.parametrize("name", ["empty.mib", "empty.hspy", "empty.h5", "empty.npy", "empty.blo"])
def test_empty_file(fails, tmp_path, name):
    (tmp_path / name).touch()
    assert name in fails(*ricom(tmp_path / name))


@pytest.mark.parametrize("name", ["text.mib", "text.npz", "text.hspy", "text.dm4"])
def test_file_of_something_else(fails, tmp_path, name):
    (tmp_path / name).write_text("This is no microscopy data." * 100)
    assert name in fails(*ricom(tmp_path / name))


def test_directories(fails, tmp_path, scan_file):
    assert "folder" in fails(*ricom(tmp_path))
    (tmp_path / "folder.mib").mkdir()
    assert "folder" in fails(*ricom(tmp_path / "folder.mib"))
    (tmp_path / "folder.zspy").mkdir()
    assert "folder.zspy" in fails(*ricom(tmp_path / "folder.zspy"))
    assert "is a file" in fails("ricom", scan_file, "-o", scan_file)


def test_unknown_suffix_and_images(fails, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    assert ".txt" in fails(*ricom(tmp_path / "notes.txt"))
    np.save(tmp_path / "image.npy", np.zeros((8, 8)))
    assert "holds no array of 4 dimensions" in fails(*ricom(tmp_path / "image.npy"))


def test_all_frames_zero(fails, tmp_path):
    write_merlin(tmp_path / "dark.mib", np.zeros((9, 9, 16, 16), np.uint16))
    for words in ((), ("--adf", 2, 5), ("--center", 8, 8)):
        assert "empty" in fails(*ricom(tmp_path / "dark.mib", *words))
    assert "out" not in names(tmp_path)


def test_some_frames_zero(works, tmp_path, counts):
    counts = counts.copy()
    counts[3, 4] = counts[5] = 0
    write_merlin(tmp_path / "gaps.mib", counts)
    _, warnings = works(*ricom(tmp_path / "gaps.mib", "--com"))
    assert "35 of 1020 patterns are empty, the first at scan position (3, 4)" in warnings
    com = np.load(tmp_path / "out" / "gaps_com-y.npy")
    assert com[3, 4] == 0
    assert np.isfinite(com).all()


def test_saturated_frames(works, tmp_path, counts):
    counts = counts.copy()
    write_merlin(tmp_path / "fine.mib", counts, counter_depth=12)
    _, warnings = works(*ricom(tmp_path / "fine.mib"))
    assert warnings == ""
    counts[2, 3, 10:12, 5] = 4095
    counts[7, 1, 10, 5] = 4095
    write_merlin(tmp_path / "full.mib", counts, counter_depth=12)
    _, warnings = works(*ricom(tmp_path / "full.mib"))
    assert "2 of 1020 patterns are saturated, the first at scan position (2, 3)" in warnings
    assert "A pixel reaches 4095, the most that it can count" in warnings


def test_hot_pixels_are_called_so(works, tmp_path, counts):
    counts = counts.copy()
    counts[..., 9, 8] = 63
    write_merlin(tmp_path / "hot.mib", np.minimum(counts, 63), counter_depth=6)
    _, warnings = works(*ricom(tmp_path / "hot.mib"))
    assert "1020 of 1020 patterns are saturated" in warnings
    assert "that is a hot pixel of the detector, which Python and HyperSpy can leave" in warnings


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_saturated_frames_of_a_format_without_depth(works, tmp_path, dtype):
    counts = np.random.default_rng(0).poisson(4.0, (9, 10, 16, 16)).astype(dtype)
    counts[4, 4, 2, 3] = np.iinfo(dtype).max
    np.save(tmp_path / "full.npy", counts)
    _, warnings = works(*ricom(tmp_path / "full.npy"))
    assert "1 of 90 patterns are saturated, the first at scan position (4, 4)" in warnings
    assert f"A pixel reaches {np.iinfo(dtype).max}," in warnings


def test_patterns_below_zero(works, tmp_path):
    data = np.ones((9, 10, 8, 8), np.float32)
    data[2, 5] = data[6, 6] = -1
    data[8, 0] = 0
    np.save(tmp_path / "flat.npy", data)
    _, warnings = works(*ricom(tmp_path / "flat.npy"))
    assert "2 of 90 patterns are below zero in sum" in warnings
    assert "the first at scan position (2, 5)" in warnings
    assert "1 of 90 patterns are empty, the first at scan position (8, 0)" in warnings


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_in_floating_point_data(fails, tmp_path, value):
    data = np.ones((12, 10, 8, 8), np.float32)
    data[7, 3, 2, 2] = value
    np.save(tmp_path / "damaged.npy", data)
    line = fails(*ricom(tmp_path / "damaged.npy"))
    assert "(7, 3)" in line
    assert "mask=" not in line


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--kernel", 20), "odd number"),
        (("--kernel", 1), "odd number"),
        (("--kernel", -5), "odd number"),
        (("--kernel", 69), "67 already integrates over all of it"),
        (("--low", 0.5, "--high", 0.2), "reversed"),
        (("--low", -1), "above zero"),
        (("--low", 99), "would remove everything"),
        (("--high", "nan"), "pass band"),
        (("--icom-high-pass", 0), "above zero"),
        (("--adf", 90, 30), "inner < outer"),
        (("--adf", 500, 900), "No pixel"),
        (("--detector", "a/b", 1, 9), "file names"),
        (("--detector", "disc", 1, "many"), "two radii"),
        (("--detector", "ricom-21", 1, 9), "same name"),
        (("--scan-step", 0), "above zero"),
        (("--beam-energy", -200), "above zero"),
        (("--acquisition", "none.toml"), "none.toml"),
    ],
)
def test_senseless_options(fails, scan_file, words, reason):
    assert reason in fails(*ricom(scan_file, *words))
    assert names(scan_file.parent) == ["scan.hdr", "scan.mib"]


def test_missing_calibration_names_the_option(fails, bare_file):
    line = fails(*ricom(bare_file, "--bf"))
    assert "--convergence-angle 20" in line
    assert "--diffraction-step 1.0" in line


def test_damaged_acquisition_file(fails, scan_file):
    path = scan_file.parent / "microscope.toml"
    path.write_text("beam_energie = 200")
    assert "beam_energie" in fails(*ricom(scan_file, "--acquisition", path))
    path.write_text("beam_energy is 200")
    assert "not a TOML file" in fails(*ricom(scan_file, "--acquisition", path))


def test_a_file_in_the_way_of_the_folder(fails, scan_file):
    (scan_file.parent / "out").write_text("precious")
    assert "is a file" in fails(*ricom(scan_file))
    assert (scan_file.parent / "out").read_text() == "precious"
