"""``stem-plugins dgp``: a scan in, its phase out."""

import os
import socket
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import tifffile
from atom_scans import ACQUISITION, PLACES, peaks
from command_runs import names
from dgp_commands import CALIBRATION, OUTPUTS, QUICK, signal_in

pytest.importorskip("torch")

from stem_plugins import iterative_ptychography, load_ptychography
from stem_plugins.io import Scan, write_scan


def test_the_phase_is_that_of_the_function_with_its_scale(works, atoms, out, atom_scan):
    text, warnings = works("dgp", atoms, "-o", out, *QUICK)
    assert warnings == ""
    assert names(out) == OUTPUTS
    expected = iterative_ptychography(
        np.asarray(atom_scan.data),
        atom_scan.acquisition,
        prior="pixelated",
        iterations=5,
        threads=1,
    )
    kept = load_ptychography(out / "atoms_dgp.h5")
    np.testing.assert_allclose(kept.phase, expected.phase, atol=1e-3)
    phase = signal_in(out / "atoms_dgp_phase.zspy")
    np.testing.assert_array_equal(phase["data"], kept.phase)
    np.testing.assert_array_equal(tifffile.imread(out / "atoms_dgp_phase.tif"), kept.phase)
    assert [axis["units"] for axis in phase["axes"]] == ["nm", "nm"]
    sampling = [10 * axis["scale"] for axis in phase["axes"]]
    assert sampling == pytest.approx(kept.sampling)
    found = peaks(phase["data"], sampling)
    np.testing.assert_allclose(found, sorted(PLACES.tolist()), atol=0.2)
    probe = signal_in(out / "atoms_dgp_probe.zspy")
    np.testing.assert_array_equal(probe["data"], kept.probe)
    assert [axis["navigate"] for axis in probe["axes"]] == [True, False, False]
    for axis in probe["axes"][1:]:
        assert 10 * axis["scale"] == pytest.approx(kept.probe_sampling[0])
        assert axis["offset"] + 16 * axis["scale"] == pytest.approx(0)
    for written in (phase, probe):
        ours = written["metadata"]["stem_plugins"]
        assert ours["parameters"]["prior"] == "pixelated"
        assert ours["acquisition"]["beam_energy"] == 300
    # What was chosen, why it ended, and how fine it is, are said and recorded.
    record = tomllib.loads((out / "atoms_dgp_record.toml").read_text(encoding="utf-8"))
    for note in (*(f"chosen: {words}" for words in kept.settings["chosen"]), kept.stopped):
        assert note in text
        assert any(note in one for one in record["notes"])
    assert "information limit" in text
    assert record["parameters"]["iterations"] == 5
    assert record["parameters"]["regularization"]["total_variation"] == 0
    assert record["acquisition"]["defocus"] == 60
    assert record["units"] == {"phase": "rad", "probe": "1"}


def test_a_detector_that_stopped_counting_below_its_type_is_said(works, out, atom_scan, tmp_path):
    data = np.asarray(atom_scan.data)
    top = int(data.max() // 2)
    scan = Scan(np.minimum(data, top).astype("u2"), atom_scan.acquisition, largest_count=top)
    write_scan(tmp_path / "atoms.hspy", scan)
    _, warnings = works("dgp", tmp_path / "atoms.hspy", "-o", out, *QUICK)
    assert f"at the largest count, {top}" in warnings


def test_options_win_over_the_file_of_parameters(works, atoms, out, tmp_path):
    parameters = tmp_path / "parameters.toml"
    parameters.write_text(
        'iterations = 9\nprior = "pixelated"\nslices = 2\nslice_thickness = 8\nheld_out = 0.1\n'
        'refine = ["positions"]\nloss = "amplitude"\n[regularization]\nlow_pass = 0.8\n'
    )
    words = ("--parameters", parameters, "--iterations", 2, "--threads", 1, "--probe-modes", 2)
    words += ("--object-type", "potential", "--refine", "background", "--refine", "tilt")
    words += ("--probe-prior", "fixed", "--seed", 7)
    works("dgp", atoms, "-o", out, *words)
    assert names(out) == sorted([*OUTPUTS, "atoms_dgp_slices.zspy"])
    settings = load_ptychography(out / "atoms_dgp.h5").settings
    assert settings["regularization"]["low_pass"] == 0.8
    expected = {
        "iterations": 2,
        "slices": 2,
        "slice_thickness": 8,
        "held_out": 0.1,
        "loss": "amplitude",
        "probe_modes": 2,
        "object_type": "potential",
        "refine": ["background", "tilt"],
        "probe_prior": "fixed",
        "seed": 7,
    }
    assert {name: settings[name] for name in expected} == expected
    slices = signal_in(out / "atoms_dgp_slices.zspy")
    assert slices["data"].shape[0] == 2
    assert [axis["name"] for axis in slices["axes"]] == ["depth", "y", "x"]
    assert slices["axes"][0]["scale"] == pytest.approx(0.8)
    # The record of the run is such a file, too, for parameters and calibration.
    record = out / "atoms_dgp_record.toml"
    again = out / "again"
    works("dgp", atoms, "-o", again, "--parameters", record, "--acquisition", record, *words[4:6])
    first, second = (load_ptychography(folder / "atoms_dgp.h5") for folder in (out, again))
    np.testing.assert_array_equal(first.phase, second.phase)
    # With all of it given, nothing is left to choose.
    assert second.settings == first.settings | {"chosen": []}


def test_a_network_draws_the_object_unless_told_otherwise(works, atoms, out, tmp_path):
    parameters = tmp_path / "quick.toml"
    parameters.write_text('first_guess = "none"\nfilters = 4\n')
    text, _ = works(
        *("dgp", atoms, "-o", out, "--parameters", parameters, "--iterations", 1, "--threads", 1)
    )
    assert load_ptychography(out / "atoms_dgp.h5").settings["prior"] == "dgp"
    assert "1 iteration, loss" in text


def test_processes_of_torchrun_reconstruct_together(works, atoms, out, tmp_path):
    words = ("dgp", atoms, *QUICK)
    works(*words, "-o", tmp_path / "alone")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-m", "stem_plugins.cli", *map(str, words), "-o", str(out)]
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **meeting, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    (said, _), (silence, no_bar) = (process.communicate(timeout=180) for process in started)
    assert [process.returncode for process in started] == [0, 0]
    assert "5 iterations" in said
    assert (silence, no_bar) == ("", "")
    assert names(out) == OUTPUTS
    alone = load_ptychography(tmp_path / "alone" / "atoms_dgp.h5").phase
    shared = load_ptychography(out / "atoms_dgp.h5").phase
    np.testing.assert_allclose(shared, alone, atol=0.01 * np.ptp(alone))


def test_an_unknown_rotation_is_estimated_and_said(works, bare, out):
    known = [word for word in CALIBRATION if word not in ("--rotation", 0)]
    # This scan is too small to tell, which is said; see the HyperSpy tests for one that is not.
    text, warnings = works("dgp", bare, "-o", out, *QUICK, *known)
    assert "rotation 0°, because it is not known" in text
    assert "The scan itself suggests" in warnings
    assert load_ptychography(out / "bare_dgp.h5").acquisition.scan_rotation == 0
    text, warnings = works("dgp", bare, "-o", out / "auto", *QUICK, *known, "--rotation", "auto")
    assert "estimated from the scan, confidence" in text
    assert "uncertain" in warnings


def test_an_estimate_that_is_to_be_trusted_is_taken(works, atoms, out, atom_scan, monkeypatch):
    from stem_plugins.cli import one_pass
    from stem_plugins.imaging import RotationEstimate

    found = RotationEstimate(angle=90.0, flip_y=True, confidence=0.8, angle_error=0.1)
    monkeypatch.setattr(one_pass, "estimate_rotation", lambda *_, **__: found)
    write_scan(
        atoms,
        Scan(np.asarray(atom_scan.data), ACQUISITION),
        overwrite=True,
    )
    text, warnings = works("dgp", atoms, "-o", out, *QUICK)
    assert warnings == ""
    assert "rotation 90.0° ± 0.1°, mirrored: estimated from the scan, confidence 80%" in text
    used = load_ptychography(out / "atoms_dgp.h5").acquisition
    assert (used.scan_rotation, used.flip_y) == (90.0, True)
