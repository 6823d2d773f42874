"""``stem-plugins dgp``: a scan in, its phase out, and every way to stop, go on and be refused."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib

import numpy as np
import pytest
import tifffile
from atom_scans import ACQUISITION, PLACES, peaks, scan_of_atoms
from command_runs import names, start
from rsciio.zspy import file_reader as read_zspy

pytest.importorskip("torch")


from stem_plugins import iterative_ptychography, load_ptychography
from stem_plugins.cli import dgp, main
from stem_plugins.io import Scan, write_scan
from stem_plugins.io.signal_dictionary import signal_dictionary
from stem_plugins.ptychography import Progress

QUICK = ("--prior", "pixelated", "--iterations", 5, "--threads", 1)
CALIBRATION = (
    *("--beam-energy", 300, "--convergence-angle", 20, "--scan-step", 1, "--diffraction-step", 2),
    *("--defocus", 60, "--rotation", 0, "--center", 16, 16),
)
OUTPUTS = [
    *("atoms_dgp.h5", "atoms_dgp_phase.png", "atoms_dgp_phase.tif", "atoms_dgp_phase.zspy"),
    *("atoms_dgp_probe.zspy", "atoms_dgp_record.toml"),
]


@pytest.fixture(scope="module")
def scan():
    return scan_of_atoms(dose=1e5)


@pytest.fixture
def atoms(tmp_path, scan):
    """The scan in a file that knows its whole calibration."""
    path = tmp_path / "atoms.hspy"
    write_scan(path, Scan(np.asarray(scan.data), scan.acquisition))
    return path


@pytest.fixture
def bare(tmp_path, scan):
    """The scan in a file that knows nothing."""
    np.save(tmp_path / "bare.npy", np.asarray(scan.data))
    return tmp_path / "bare.npy"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def signal_in(path):
    return read_zspy(str(path))[0]


def test_the_phase_is_that_of_the_function_with_its_scale(works, atoms, out, scan):
    text, warnings = works("dgp", atoms, "-o", out, *QUICK)
    assert warnings == ""
    assert names(out) == OUTPUTS
    expected = iterative_ptychography(
        np.asarray(scan.data), scan.acquisition, prior="pixelated", iterations=5, threads=1
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
    assert first.settings == second.settings


def test_a_network_draws_the_object_unless_told_otherwise(works, atoms, out, tmp_path):
    parameters = tmp_path / "quick.toml"
    parameters.write_text('first_guess = "none"\nfilters = 4\n')
    text, _ = works(
        *("dgp", atoms, "-o", out, "--parameters", parameters, "--iterations", 1, "--threads", 1)
    )
    assert load_ptychography(out / "atoms_dgp.h5").settings["prior"] == "dgp"
    assert "1 iteration, loss" in text


def test_a_vacuum_scan_tells_the_aperture(works, fails, atoms, out, tmp_path, scan):
    vacuum = tmp_path / "vacuum.mib"
    empty = scan_of_atoms(numbers=[1], places=[[200, 200]], side=3, dose=1e5)
    write_scan(vacuum, Scan(np.asarray(empty.data), empty.acquisition))
    words = ("dgp", atoms, "-o", out, *QUICK, "--probe-prior", "fixed", "--vacuum")
    works(*words, vacuum)
    found = np.abs(np.fft.fft2(load_ptychography(out / "atoms_dgp.h5").probe[0])) ** 2
    pattern = np.fft.fftshift(found / found.sum())
    expected = empty.data.mean((0, 1)) / empty.data.mean((0, 1)).sum()
    np.testing.assert_allclose(pattern, expected, atol=1e-5)
    assert "missing.mib" in fails(*words, tmp_path / "missing.mib", "--overwrite")
    write_scan(tmp_path / "small.mib", Scan(np.asarray(empty.data)[..., 1:], empty.acquisition))
    assert "as large as those of the scan" in fails(*words, tmp_path / "small.mib", "--overwrite")


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
    fails, atoms, out, tmp_path, scan, interrupted, monkeypatch, capsys
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
    write_scan(atoms, Scan(2 * np.asarray(scan.data), scan.acquisition), overwrite=True)
    assert "other data" in fails(*run, *QUICK, "--resume")
    assert (out / "atoms_dgp.h5").read_bytes() == before
    (out / "atoms_dgp.h5").write_bytes(b"no state")
    assert "damaged" in fails(*run, *QUICK, "--resume")


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


def test_an_estimate_that_is_to_be_trusted_is_taken(works, atoms, out, scan, monkeypatch):
    from stem_plugins.cli import one_pass
    from stem_plugins.imaging import RotationEstimate

    found = RotationEstimate(angle=90.0, flip_y=True, confidence=0.8, angle_error=0.1)
    monkeypatch.setattr(one_pass, "estimate_rotation", lambda *_, **__: found)
    write_scan(
        atoms,
        Scan(np.asarray(scan.data), ACQUISITION),
        overwrite=True,
    )
    text, warnings = works("dgp", atoms, "-o", out, *QUICK)
    assert warnings == ""
    assert "rotation 90.0° ± 0.1°, mirrored: estimated from the scan, confidence 80%" in text
    used = load_ptychography(out / "atoms_dgp.h5").acquisition
    assert (used.scan_rotation, used.flip_y) == (90.0, True)


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


def test_what_is_wrong_with_a_vacuum_scan_names_it(fails, atoms, out, tmp_path):
    words = ("dgp", atoms, "-o", out, *QUICK, "--vacuum")
    edge = np.zeros((3, 3, 32, 32))
    edge[..., 0, 0] = 9
    for name, data, problem in (
        ("dark", np.zeros((3, 3, 32, 32)), "no counts"),
        ("nan", np.full((3, 3, 32, 32), np.nan), "not finite numbers"),
        ("small", np.ones((3, 3, 32, 31)), "as large as those of the scan"),
        ("stack", np.ones((9, 32, 32)), "4 dimensions"),
        ("line", np.ones(32), "4 dimensions"),
    ):
        np.save(tmp_path / f"{name}.npy", data)
        line = fails(*words, tmp_path / f"{name}.npy")
        assert line.startswith(f"error: --vacuum {name}.npy: ")
        assert problem in line
    # A flat field is found to be none by the reconstruction.
    np.save(tmp_path / "flat.npy", np.ones((32, 32)))
    assert fails(*words, tmp_path / "flat.npy").startswith("error: --vacuum flat.npy: ")
    assert not out.exists()


@pytest.mark.parametrize("suffix", ["tif", "hspy", "npy"])
def test_a_vacuum_pattern_may_be_the_only_one_of_its_file(works, atoms, out, tmp_path, suffix):
    from rsciio.hspy import file_writer

    empty = scan_of_atoms(numbers=[1], places=[[200, 200]], side=3, dose=1e5)
    pattern = np.asarray(empty.data).mean((0, 1)).astype(np.float32)
    path = tmp_path / f"vacuum.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, pattern)
    elif suffix == "npy":
        np.save(path, pattern)
    else:
        kind = "electron_diffraction"
        axis = {"size": 32, "scale": 2.0, "offset": 0.0, "units": "mrad", "navigate": False}
        axes = [{**axis, "name": name, "index_in_array": n} for n, name in enumerate("yx")]
        metadata = {"General": {"title": "Vacuum"}, "Signal": {"signal_type": kind}}
        file_writer(str(path), signal_dictionary(pattern, axes, metadata))
    works("dgp", atoms, "-o", out, *QUICK, "--probe-prior", "fixed", "--vacuum", path)
    found = np.abs(np.fft.fft2(load_ptychography(out / "atoms_dgp.h5").probe[0])) ** 2
    np.testing.assert_allclose(
        np.fft.fftshift(found / found.sum()), pattern / pattern.sum(), atol=1e-5
    )


@pytest.mark.parametrize(("rank", "lines"), [(None, 1), ("0", 1), ("1", 0)])
def test_only_the_first_process_says_what_is_wrong(tmp_path, monkeypatch, capsys, rank, lines):
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert main(["dgp", str(tmp_path / "missing.mib"), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("error: ") == lines
