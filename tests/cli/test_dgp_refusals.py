"""What ``stem-plugins dgp`` refuses, and in which words."""

import tempfile

import numpy as np
import pytest
from command_runs import names
from dgp_commands import CALIBRATION, QUICK

pytest.importorskip("torch")

from stem_plugins import load_ptychography
from stem_plugins.cli import dgp, main


def test_existing_results_stay_unless_told_otherwise(works, fails, atoms, out):
    works("dgp", atoms, "-o", out, *QUICK, "--slices", 2, "--slice-thickness", 8)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    line = fails("dgp", atoms, "-o", out, *QUICK)
    assert "atoms_dgp.h5 exists already" in line
    assert "(--overwrite)" in line
    (out / "atoms_dgp.h5").rename(out / "other.h5")
    assert "atoms_dgp_phase.zspy exists already" in fails("dgp", atoms, "-o", out, *QUICK)
    (out / "other.h5").rename(out / "atoms_dgp.h5")
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    _, warnings = works("dgp", atoms, "-o", out, *QUICK, "--overwrite")
    assert "atoms_dgp_slices.zspy" in warnings
    assert load_ptychography(out / "atoms_dgp.h5").settings["slices"] == 1
    (out.parent / "file").touch()
    assert "is a file" in fails("dgp", atoms, "-o", out.parent / "file", *QUICK)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--beam-energy", "beam energy"),
        ("--convergence-angle", "convergence semi-angle"),
        ("--scan-step", "scan step"),
        ("--diffraction-step", "detector pixel"),
    ],
)
def test_missing_calibration_is_named_with_its_option(fails, bare, out, option, words):
    index = CALIBRATION.index(option)
    line = fails("dgp", bare, "-o", out, *QUICK, *CALIBRATION[:index], *CALIBRATION[index + 2 :])
    assert f"the {words}" in line
    assert f"{option} " in line
    assert not out.exists()


def test_what_cannot_be_is_refused_before_anything_is_read(fails, bare, out, tmp_path):
    def refused(*words):
        line = fails("dgp", bare, "-o", out, *CALIBRATION, *words)
        assert not out.exists()
        return line

    assert "leave a window of" in refused("--defocus", 3000)
    assert "share too little" in refused("--scan-step", 20, "--defocus", 0)
    assert "not on the detector" in refused("--center", 40, 16)
    assert "slices need --slice-thickness" in refused("--slices", 3)
    assert "several slices only" in refused("--refine", "tilt")
    assert "cannot be used here" in refused("--device", "abacus", *QUICK)
    parameters = tmp_path / "parameters.toml"
    for text, words in (
        ("iteratons = 4", "unknown parameter 'iteratons'; known are prior, probe_prior"),
        ("[regularization]\nlowpass = 4", "[regularization] has the unknown parameter 'lowpass'"),
        ("[regularization]\nlow_pass = -1", "low_pass must be zero or above"),
        ("regularization = 4", "regularization must be a table"),
        ("parameters = 4", "parameters must be a table"),
        ("iterations = 'many'", "iterations must be a whole number, not 'many'"),
        ("iterations = true", "iterations must be a whole number, not True"),
        ("held_out = 'few'", "held_out must be a number"),
        ("loss = 4", "loss must be text in quotes"),
        ("refine = [4]", "refine must be a list of names"),
        ("refine = 'probe'", "'probe' cannot be refined"),
        ("held_out = 0.9", "held_out must be a share"),
        ("this is no TOML", "is not a TOML file"),
    ):
        parameters.write_text(text)
        assert words in refused("--parameters", parameters)
    assert "missing.toml" in refused("--parameters", tmp_path / "missing.toml")


def test_empty_patterns_leave_no_folder(fails, tmp_path, out):
    np.save(tmp_path / "empty.npy", np.zeros((13, 13, 32, 32)))
    assert "no counts" in fails("dgp", tmp_path / "empty.npy", "-o", out, *QUICK, *CALIBRATION)
    assert not out.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--prior", "pixels"],
        ["--slices", "0"],
        ["--slice-thickness", "-3"],
        ["--checkpoint-minutes", "nan"],
        ["--refine", "probe"],
    ],
)
def test_wrong_usage_exits_with_2(words, capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["dgp", "scan.mib", "-o", str(tmp_path / "out"), *words])
    assert stopped.value.code == 2
    assert "stem-plugins dgp" in capsys.readouterr().err


def test_without_torch_it_says_how_to_install_it(fails, atoms, out, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "Ptychography needs PyTorch" in fails("dgp", atoms, "-o", out)


def test_a_folder_that_cannot_be_written_is_refused_before_the_scan_is_read(
    fails, out, tmp_path, monkeypatch
):
    scan = tmp_path / "damaged.npy"
    scan.write_text("no scan")
    (tmp_path / "file").touch()
    below = tmp_path / "file" / "out"
    line = fails("dgp", scan, "-o", below)
    assert f"{below} cannot be written: Not a directory; give a folder that can be" in line

    def refuse(dir, **_):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    words = "cannot be written: Permission denied; give a folder that can be."
    # One that cannot be made, and one that exists.
    assert f"{out} {words}" in fails("dgp", scan, "-o", out)
    assert not out.exists()
    out.mkdir()
    assert f"{out} {words}" in fails("dgp", scan, "-o", out)
    monkeypatch.undo()
    assert "damaged.npy" in fails("dgp", scan, "-o", out)
    assert names(out) == []


def test_names_of_a_file_of_parameters_stay_as_they_are(fails, atoms, out, tmp_path):
    parameters = tmp_path / "parameters.toml"
    words = ("dgp", atoms, "-o", out, "--parameters")
    for text in ("slice = 3", "slices = 3", "slice_thickness = -4"):
        parameters.write_text(text)
        line = fails(*words, parameters)
        assert "parameters.toml" in line
        assert "slice_thickness" in line
        assert "--slice" not in line
    parameters.write_text("slices = 3")
    assert "--slice-thickness" in fails("dgp", atoms, "-o", out, "--slices", 3)
    assert f"{tmp_path} cannot be read" in fails(*words, tmp_path)


def test_no_finished_iteration_is_an_error(fails, atoms, out, monkeypatch):
    from dataclasses import replace

    reconstruct = dgp._reconstruct

    def unfinished(*arguments):
        result = reconstruct(*arguments)
        return replace(result, losses=result.losses[:0], held_out_losses=result.losses[:0])

    monkeypatch.setattr(dgp, "_reconstruct", unfinished)
    assert "No iteration was finished" in fails("dgp", atoms, "-o", out, *QUICK)
    assert names(out) in ([], ["atoms_dgp.h5"])


@pytest.mark.parametrize(("rank", "lines"), [(None, 1), ("0", 1), ("1", 0)])
def test_only_the_first_process_says_what_is_wrong(tmp_path, monkeypatch, capsys, rank, lines):
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert main(["dgp", str(tmp_path / "missing.mib"), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("error: ") == lines
