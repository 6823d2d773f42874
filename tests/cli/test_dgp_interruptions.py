"""Every way to stop ``stem-plugins dgp`` and to go on."""

import signal
import sys
import time
import tomllib

import numpy as np
import pytest
from command_runs import names, start
from dgp_commands import OUTPUTS, QUICK, signal_in

pytest.importorskip("torch")

from stem_plugins import load_ptychography
from stem_plugins.cli import main
from stem_plugins.io import Scan, write_scan
from stem_plugins.ptychography import Progress


@pytest.fixture
def interrupted(monkeypatch):
    """Press Ctrl-C after some iterations."""
    shown = Progress.__str__

    def after(iterations):
        def press(progress):
            if progress.iteration == iterations:
                raise KeyboardInterrupt
            return shown(progress)

        monkeypatch.setattr(Progress, "__str__", press)

    yield after
    monkeypatch.setattr(Progress, "__str__", shown)


def test_ctrl_c_keeps_what_there_is_and_resume_goes_on(
    atoms, out, tmp_path, interrupted, capsys, monkeypatch
):
    straight = tmp_path / "straight"

    def run(*words):
        return main([str(word) for word in ("dgp", atoms, *QUICK[:2], *QUICK[4:], *words)])

    assert run("-o", straight, "--iterations", 6) == 0
    interrupted(3)
    assert run("-o", out, "--iterations", 5) == 130
    said, errors = capsys.readouterr()
    assert "stopped by Ctrl-C" in said
    assert "with --resume goes on" in said
    assert "interrupted" not in errors
    assert names(out) == OUTPUTS
    assert len(load_ptychography(out / "atoms_dgp.h5").losses) == 3
    monkeypatch.undo()
    assert run("-o", out, "--iterations", 6, "--resume") == 0
    found, expected = (load_ptychography(folder / "atoms_dgp.h5") for folder in (out, straight))
    assert len(expected.losses) == 6
    np.testing.assert_array_equal(found.phase, expected.phase)
    np.testing.assert_array_equal(found.probe, expected.probe)
    np.testing.assert_array_equal(found.losses, expected.losses)
    np.testing.assert_array_equal(
        signal_in(out / "atoms_dgp_phase.zspy")["data"],
        signal_in(straight / "atoms_dgp_phase.zspy")["data"],
    )


def test_ctrl_c_before_the_first_iteration_leaves_nothing(
    atoms, out, tmp_path, interrupted, capsys
):
    parameters = tmp_path / "batches.toml"
    parameters.write_text("batch = 50")
    interrupted(0)
    words = ("dgp", atoms, "-o", out, "--parameters", parameters, *QUICK)
    assert main([str(word) for word in words]) == 130
    said, errors = capsys.readouterr()
    assert "interrupted" in errors
    assert "is kept" not in said
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_of_a_process_keeps_its_state(atoms, out, tmp_path):
    parameters = tmp_path / "endless.toml"
    parameters.write_text('first_guess = "none"\nfilters = 4\nheld_out = 0\niterations = 100000\n')
    process = start(
        *("dgp", atoms, "-o", out, "--parameters", parameters, "--threads", 1),
        *("--checkpoint-minutes", 1e-6),
    )
    deadline = time.monotonic() + 120
    while not (out / "atoms_dgp.h5").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "is kept" in said
    assert "Traceback" not in errors
    assert names(out) == OUTPUTS


def test_only_the_same_data_and_options_are_resumed(
    fails, atoms, out, tmp_path, atom_scan, interrupted, monkeypatch, capsys
):
    run = ("dgp", atoms, "-o", out)
    assert "There is no" in fails(*run, "--resume")
    assert not out.exists()
    interrupted(2)
    assert main([str(word) for word in (*run, *QUICK)]) == 130
    monkeypatch.undo()
    capsys.readouterr()
    assert "seed cannot be given anew" in fails(*run, *QUICK, "--resume", "--seed", 3)
    before = (out / "atoms_dgp.h5").read_bytes()
    write_scan(atoms, Scan(2 * np.asarray(atom_scan.data), atom_scan.acquisition), overwrite=True)
    assert "other data" in fails(*run, *QUICK, "--resume")
    assert (out / "atoms_dgp.h5").read_bytes() == before
    (out / "atoms_dgp.h5").write_bytes(b"no state")
    assert "damaged" in fails(*run, *QUICK, "--resume")


def test_a_refused_resume_changes_no_file_and_another_keeps_what_was_chosen(
    works, fails, atoms, out
):
    works("dgp", atoms, "-o", out, *QUICK)
    before = contents(out)
    chosen = load_ptychography(out / "atoms_dgp.h5").settings["chosen"]
    assert chosen
    for words in ((), ("--iterations", 2)):
        line = fails("dgp", atoms, "-o", out, *QUICK[:2], *QUICK[4:], "--resume", *words)
        assert "has done 5 of the 5 iterations" in line
        assert "at least 6" in line
        assert contents(out) == before
    text, _ = works("dgp", atoms, "-o", out, *QUICK[:2], *QUICK[4:], "--resume", "--iterations", 6)
    record = tomllib.loads((out / "atoms_dgp_record.toml").read_text(encoding="utf-8"))
    assert record["parameters"]["chosen"] == chosen
    for words in chosen:
        assert f"chosen: {words}" in text
        assert f"chosen: {words}" in record["notes"]


def test_what_is_to_be_overwritten_stays_until_there_is_something_new(
    works, atoms, out, tmp_path, interrupted
):
    works("dgp", atoms, "-o", out, *QUICK)
    before = contents(out)
    parameters = tmp_path / "batches.toml"
    parameters.write_text("batch = 50")
    interrupted(0)
    words = ("dgp", atoms, "-o", out, "--parameters", parameters, *QUICK, "--overwrite")
    assert main([str(word) for word in words]) == 130
    assert contents(out) == before


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
