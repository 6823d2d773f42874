"""``stem-plugins convert``: counts and calibration survive, and nothing is lost."""

import signal
import sys
import time

import numpy as np
import pytest
from command_runs import ACQUISITION, names, start
from rsciio.zspy import file_reader as read_zspy

from stem_plugins.cli import main
from stem_plugins.io import read_scan


def test_there_and_back_changes_nothing(works, tmp_path, scan_file, counts):
    works("convert", scan_file, tmp_path / "scan.zspy")
    works("convert", tmp_path / "scan.zspy", tmp_path / "again.mib")
    again = read_scan(tmp_path / "again.mib")
    np.testing.assert_array_equal(again.data.compute(), counts)
    assert again.acquisition == ACQUISITION


def test_hyperspy_file_has_calibrated_axes(works, tmp_path, bare_file, counts):
    works(
        *("convert", bare_file, tmp_path / "scan.zspy", "--scan-step", "0.2", "0.25"),
        *("--diffraction-step", "2", "--center", "15", "14"),
    )
    signal_dictionary = read_zspy(str(tmp_path / "scan.zspy"))[0]
    np.testing.assert_array_equal(signal_dictionary["data"], counts)
    y, x, ky, kx = signal_dictionary["axes"]
    assert [y["scale"], x["scale"], y["units"]] == pytest.approx([0.02, 0.025, "nm"])
    assert [ky["offset"], kx["offset"]] == pytest.approx([-30, -28])
    assert ky["units"] == "mrad"


def test_acquisition_file_counts_more_than_the_data_file(works, tmp_path, scan_file):
    (tmp_path / "microscope.toml").write_text("beam_energy = 80\ndefocus = 10\n")
    works(
        *("convert", scan_file, tmp_path / "new.mib"),
        *("--acquisition", tmp_path / "microscope.toml", "--defocus", "-20"),
    )
    expected = ACQUISITION.replace(beam_energy=80, defocus=-20)
    assert read_scan(tmp_path / "new.mib").acquisition == expected


def test_a_stack_of_frames_becomes_a_scan(works, tmp_path, counts):
    np.savez(tmp_path / "two.npz", patterns=counts.reshape(-1, 32, 30), dark=np.zeros((1, 32, 30)))
    works(
        *("convert", tmp_path / "two.npz", tmp_path / "scan.mib"),
        *("--dataset", "patterns", "--scan", 30, 34),
    )
    np.testing.assert_array_equal(read_scan(tmp_path / "scan.mib").data.compute(), counts)


def test_existing_target_is_kept(fails, works, tmp_path, scan_file):
    target = tmp_path / "target.mib"
    target.write_text("precious")
    assert "--overwrite" in fails("convert", scan_file, target)
    assert target.read_text() == "precious"
    works("convert", scan_file, target, "--overwrite")
    assert read_scan(target).data.shape == (30, 34, 32, 30)


def test_source_is_never_its_own_target(fails, scan_file):
    before = scan_file.read_bytes()
    assert "same file" in fails("convert", scan_file, scan_file, "--overwrite")
    assert scan_file.read_bytes() == before


def test_counts_that_do_not_fit_leave_nothing(fails, tmp_path):
    np.save(tmp_path / "float.npy", np.full((2, 2, 4, 4), 0.5))
    assert "fractions" in fails("convert", tmp_path / "float.npy", tmp_path / "scan.mib")
    assert names(tmp_path) == ["float.npy"]


def test_unknown_formats_are_named(fails, tmp_path, scan_file):
    assert ".zspy" in fails("convert", scan_file, tmp_path / "scan.jpg")
    assert "folder" in fails("convert", tmp_path, tmp_path / "scan.mib")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "kill"]
)
def test_interrupted_conversion_leaves_nothing(tmp_path, sent, code):
    # A file of 4 GB that takes no place: more than can be converted before the signal.
    np.lib.format.open_memmap(
        tmp_path / "large.npy", mode="w+", dtype=np.uint16, shape=(128, 128, 358, 358)
    ).flush()
    words = ("convert", tmp_path / "large.npy", tmp_path / "new.mib", "--counter-depth", 12)
    process = start(*words)
    deadline = time.monotonic() + 60
    while len(names(tmp_path)) == 1 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert names(tmp_path) == ["large.npy"]


def test_missing_file(capsys, tmp_path):
    assert main(["convert", str(tmp_path / "none.mib"), str(tmp_path / "new.zspy")]) == 1
    assert "There is no none.mib" in capsys.readouterr().err
