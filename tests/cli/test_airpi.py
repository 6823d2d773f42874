"""``stem-plugins airpi``: a scan in, its phase out."""

import re
import tomllib

import numpy as np
import pytest
import tifffile
from command_runs import names
from dgp_commands import signal_in

import stem_plugins as stem
from stem_plugins.hyperspy import load
from stem_plugins.io import write_merlin
from stem_plugins.models.registry import find_airpi_weights
from stem_plugins.simulation import simulate_scan, single_atoms

pytest.importorskip("torch")

ACQUISITION = stem.Acquisition(
    beam_energy=300,
    convergence_angle=20,
    scan_step=0.3,
    diffraction_step=2.0,
    scan_rotation=25.0,
    flip_y=True,
)
PLACES = [[3.0, 3.6], [5.4, 1.8]]
FORMATS = ("png", "tif", "zspy")
OUTPUTS = [f"gold_airpi_phase.{suffix}" for suffix in FORMATS] + ["gold_airpi_record.toml"]
ONE = ("--threads", 1)


@pytest.fixture(scope="module")
def simulated():
    atoms = single_atoms([79, 79], PLACES, extent=(7.2, 7.2))
    return simulate_scan(
        atoms, ACQUISITION, scan_shape=(24, 24), detector_shape=(48, 48), dose=1e5, seed=3
    )


@pytest.fixture
def gold(tmp_path, simulated):
    """A Merlin file that knows its whole calibration."""
    path = tmp_path / "gold.mib"
    write_merlin(path, simulated.data, acquisition=simulated.acquisition)
    return path


def test_the_file_the_signal_and_the_array_give_one_image(works, gold, out, simulated):
    text, said = works("airpi", gold, "-o", out, "--evidence", *ONE)
    assert said == ""
    consistency = [name.replace("phase", "consistency") for name in OUTPUTS[:-1]]
    assert names(out) == sorted([*OUTPUTS, *consistency])
    assert "pixels of 0.15 × 0.15 Å" in text
    expected = stem.airpi(simulated.data, simulated.acquisition, return_evidence=True, threads=1)
    for name, array in (("phase", expected.phase), ("consistency", expected.consistency)):
        image = tifffile.imread(out / f"gold_airpi_{name}.tif")
        np.testing.assert_allclose(image, array, atol=1e-5)
        kept = signal_in(out / f"gold_airpi_{name}.zspy")
        np.testing.assert_array_equal(kept["data"], image)
        assert {axis["units"] for axis in kept["axes"]} == {"nm"}
        edge = 0.15 if name == "phase" else 0.3
        assert [10 * axis["scale"] for axis in kept["axes"]] == pytest.approx([edge, edge])
    signal = load(gold, lazy=True)
    found = signal.airpi(threads=1, lazy_output=False, show_progressbar=False)
    np.testing.assert_allclose(found.phase.data, expected.phase, atol=1e-5)
    row, column = np.unravel_index(expected.phase.argmax(), expected.phase.shape)
    nearest = np.hypot(*(np.array(PLACES) - [row * 0.15, column * 0.15]).T).min()
    assert nearest < 0.2


def test_the_exit_wave_design_has_an_amplitude(works, fails, tmp_path, simulated, out):
    small = tmp_path / "small.mib"
    write_merlin(small, simulated.data[:8, :9], acquisition=simulated.acquisition)
    works("airpi", small, "-o", out, "--design", "exit-wave", "--evidence", *ONE)
    expected = stem.airpi(
        simulated.data[:8, :9], simulated.acquisition, design="exit-wave", threads=1
    )
    for name in ("phase", "amplitude"):
        image = tifffile.imread(out / f"small_airpi_{name}.tif")
        np.testing.assert_allclose(image, getattr(expected, name), atol=1e-4)
    assert (out / "small_airpi_consistency.tif").is_file()
    record = tomllib.loads((out / "small_airpi_record.toml").read_text(encoding="utf-8"))
    assert record["parameters"]["design"] == "exit-wave"
    signal = load(small, lazy=True)
    found = signal.airpi(design="exit-wave", threads=1, show_progressbar=False)
    assert found.phase._lazy
    np.testing.assert_allclose(np.abs(found.transmission.data), expected.amplitude, atol=1e-4)
    weights = find_airpi_weights("exit-wave")
    line = fails("airpi", small, "-o", out / "other", "--design", "spatial", "--model", weights)
    assert "holds weights of the exit-wave design, not of spatial" in line
    assert not (out / "other").exists()


def test_the_record_says_what_was_done(works, gold, out):
    works("airpi", gold, "-o", out, "--box", 2, "--oversample", 3, *ONE)
    record = tomllib.loads((out / "gold_airpi_record.toml").read_text(encoding="utf-8"))
    assert record["parameters"]["repeat"] == 2
    assert record["parameters"]["oversample"] == 3
    assert record["acquisition"]["scan_rotation"] == 25
    assert record["units"] == {"phase": "rad"}
    parameters = signal_in(out / "gold_airpi_phase.zspy")["metadata"]["stem_plugins"]["parameters"]
    assert parameters["acquisition"]["beam_energy"] == 300


def test_an_unknown_rotation_is_found(works, gold, out, simulated):
    text, _ = works("airpi", gold, "-o", out, "--rotation", "auto", *ONE)
    assert "estimated from the scan" in text
    assert "mirrored" in text


def test_results_are_not_overwritten_unasked(works, fails, gold, out):
    works("airpi", gold, "-o", out, *ONE)
    before = (out / "gold_airpi_phase.tif").read_bytes()
    assert "--overwrite" in fails("airpi", gold, "-o", out, "--box", 2)
    assert (out / "gold_airpi_phase.tif").read_bytes() == before
    works("airpi", gold, "-o", out, "--box", 2, "--overwrite", *ONE)
    assert (out / "gold_airpi_phase.tif").read_bytes() != before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scan-step", 2), "too little to be imaged.*--force"),
        (("--convergence-angle", 60), "does not lie on the detector"),
        (("--convergence-angle", 12), "One of the two is wrong"),
        (("--defocus", 20000), "outside the range.*--force images it"),
        (("--model", "missing.safetensors"), "missing.safetensors"),
        (("--model", "tk_r_em:hrstem"), "AIRPI has no model"),
        (("--box", 9), "at least 36"),
        (("--center", 400, 3), "400"),
        (("--device", "toaster"), "toaster"),
    ],
)
def test_what_cannot_be_imaged_is_refused_and_leaves_nothing(fails, gold, out, words, said):
    line = fails("airpi", gold, "-o", out, *words)
    assert re.search(said, line), line
    assert "=True" not in line
    assert not out.exists()


def test_missing_calibration_is_named_as_options(fails, tmp_path, simulated, out):
    np.save(tmp_path / "bare.npy", np.asarray(simulated.data))
    line = fails("airpi", tmp_path / "bare.npy", "-o", out)
    for option in ("--beam-energy", "--convergence-angle", "--scan-step", "--diffraction-step"):
        assert option in line


def test_without_torch_it_says_how_to_install_it(fails, gold, out, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "stem-plugins[torch]" in fails("airpi", gold, "-o", out)
