"""``stem-plugins info``: what a file holds, from its headers alone."""

import json
import os
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from command_runs import ACQUISITION


def test_shows_scan_detector_and_calibration(works, scan_file):
    text, warnings = works("info", scan_file)
    assert warnings == ""
    lines = {line.split("  ")[1].strip(): line for line in text.splitlines() if "  " in line}
    assert "30 × 34 positions" in lines["scan"]
    assert "32 × 30 px" in lines["detector"]
    assert "Merlin, 12-bit" in lines["format"]
    assert "16-bit unsigned integers, big-endian" in lines["numbers"]
    assert lines["scan step [Å]"].endswith("0.2 (down), 0.25 (across)")
    assert lines["beam energy [keV]"].endswith("200")
    assert lines["defocus [Å], positive is underfocus"].endswith("--defocus 100")


def test_says_when_nothing_is_known(works, bare_file):
    text, _ = works("info", bare_file)
    assert "calibration: nothing is known" in text
    assert "--beam-energy 200" in text


def test_json_can_be_read_back(works, scan_file):
    text, _ = works("info", scan_file, "--json", "--defocus", "-50")
    facts = json.loads(text)
    assert facts["scan_shape"] == [30, 34]
    assert facts["detector_shape"] == [32, 30]
    assert facts["dtype"] == ">u2"
    assert facts["acquisition"] == {**ACQUISITION.to_dict(), "defocus": -50.0}
    assert facts["metadata"]["hdr"]["ScanX"] == "34"


def test_answers_at_once_for_100_gigabytes(works, tmp_path, scan_file):
    frame = 384 + 2 * 256 * 256
    header = scan_file.read_bytes()[:384].replace(b",0030,0032,", b",0256,0256,")
    frames = 872**2
    path = tmp_path / "large.mib"
    with open(path, "wb") as file:
        for number in (0, 1, frames - 1):
            file.seek(number * frame)
            file.write(header)
        file.truncate(frames * frame)
    works("info", scan_file)  # imports
    begin = time.perf_counter()
    text, _ = works("info", path, "--scan", 872, 872)
    assert time.perf_counter() - begin < 1
    assert "99.7 GB" in text
    assert "872 × 872" in text


@pytest.fixture
def real_file(data_dir, tmp_path):
    """A measured 4 × 2 scan whose headers do not tell the scan shape."""
    with zipfile.ZipFile(data_dir / "merlin" / "Merlin_navigation4x2_ROI.zip") as archive:
        for name in archive.namelist():
            if "001_4x2_6bit." in name and "._" not in name:
                (tmp_path / name.rsplit("/")[-1]).write_bytes(archive.read(name))
    return tmp_path / "001_4x2_6bit.mib"


def test_an_unknown_scan_shape_is_listed_with_its_option(works, fails, real_file):
    text, warnings = works("info", real_file)
    assert warnings == ""
    assert "unknown: --scan ROWS COLUMNS (its .hdr gives neither ScanX and ScanY" in text
    assert "6-bit counters" in text
    assert "256 × 256 px" in text
    assert "frames in the file  8" in text
    assert "exposure            0.1 s" in text
    assert "--beam-energy 200" in text
    facts = json.loads(works("info", real_file, "--json")[0])
    assert facts["scan_shape"] is None
    assert facts["detector_shape"] == [256, 256]
    assert facts["metadata"]["frames"] == 8
    assert "--scan 2 3" not in text
    assert "8 frames" in fails("info", real_file, "--scan", 2, 3)


def test_an_interrupted_scan_is_shown(works, tmp_path, scan_file):
    """30 lines of 34 frames, cut in the middle of a line, without ScanX and ScanY."""
    frame = 384 + 2 * 32 * 30
    (tmp_path / "cut.mib").write_bytes(scan_file.read_bytes()[: 1000 * frame])
    hdr = scan_file.with_suffix(".hdr").read_bytes().replace(b"Scan", b"Scam")
    (tmp_path / "cut.hdr").write_bytes(hdr)
    text, _ = works("info", tmp_path / "cut.mib")
    assert "unknown: --scan ROWS COLUMNS (they are not whole scan lines of 34 frames" in text
    assert "frames in the file  1000" in text
    (tmp_path / "cut.hdr").unlink()
    text, _ = works("info", tmp_path / "cut.mib", "--skip-frames", 10)
    assert "there is no .hdr file beside it" in text


def test_a_conversion_is_not_taken_for_the_measurement(works, tmp_path, real_file, bare_file):
    taken = "2021-05-07T16:51:10"
    assert taken in works("info", real_file, "--scan", 2, 4)[0]
    works("convert", real_file, tmp_path / "a.zspy", "--scan", 2, 4)
    works("convert", tmp_path / "a.zspy", tmp_path / "b.mib")
    for name in ("a.zspy", "b.mib"):
        assert f"first frame taken   {taken}" in works("info", tmp_path / name)[0]
        facts = json.loads(works("info", tmp_path / name, "--json")[0])
        assert facts["taken"].startswith(taken)
    assert "first frame taken   not known" in works("info", bare_file)[0]
    assert json.loads(works("info", bare_file, "--json")[0])["taken"] is None


def test_other_formats(works, tmp_path, counts):
    np.save(tmp_path / "stack.npy", counts.reshape(-1, 32, 30))
    text, _ = works("info", tmp_path / "stack.npy", "--scan", 30, 34)
    assert "30 × 34 positions" in text
    assert "format              npy" in text


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--scan", 7, 9], "1020 frames: 16 times a scan of 7 × 9 positions and 12 more frames"),
        (["--scan", 99, 99], "too few for a scan of 99 × 99 positions"),
        (["--skip-rows", 30], "--skip-rows 30"),
        (["--scan", 0, 9], "above zero"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(fails, scan_file, words, reason):
    assert reason in fails("info", scan_file, *words)


def test_a_reader_that_has_had_enough(scan_file):
    """As in `stem-plugins info FILE | head -1`, without a word of complaint."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "stem_plugins.cli", "info", str(scan_file)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 141
