"""``stem-plugins train airpi``: scans are simulated once, runs add up, the weights can be used."""

import numpy as np
import pytest
from command_runs import names

import stem_plugins as stem
from stem_plugins.io import write_merlin
from stem_plugins.simulation import simulate_scan, single_atoms

pytest.importorskip("torch")

from stem_plugins.models import load_weights
from stem_plugins.training import airpi, airpi_library
from stem_plugins.training.airpi_library import read_scans

ACQUISITION = stem.Acquisition(
    beam_energy=200,
    convergence_angle=22,
    scan_step=0.3,
    diffraction_step=2.2,
    scan_rotation=0,
    defocus=15,
)


@pytest.fixture
def gold(tmp_path):
    atoms = single_atoms([79], [[3.0, 3.6]], extent=(7.2, 7.2))
    scan = simulate_scan(
        atoms, ACQUISITION, scan_shape=(24, 24), detector_shape=(48, 48), dose=1e4, seed=3
    )
    path = tmp_path / "gold.mib"
    write_merlin(path, scan.data, acquisition=scan.acquisition)
    return path


@pytest.fixture(autouse=True)
def few_scans(monkeypatch):
    """Of one scan each, so that a library of two files is there in a second."""
    monkeypatch.setattr(airpi_library, "SCANS_PER_FILE", 1)
    monkeypatch.setattr(airpi, "validate", lambda *_: {"network": -1.0, "direct": 0.0})
    from stem_plugins.cli import train_airpi

    monkeypatch.setattr(train_airpi, "SCANS_FOR_ONE", 2)


def test_a_network_for_one_scan_images_it(works, gold, tmp_path):
    folder = tmp_path / "mine"
    words = ("train", "airpi", folder, "--for", gold, "--minutes", 0.02, "--batch", 1)
    text, _ = works(*words)
    assert "for 200 keV, 22 mrad, steps of 0.301 Å" in text
    assert names(folder / "library") == ["made_for.txt", "scans-00000.npz", "scans-00001.npz"]
    scan = read_scans(folder / "library" / "scans-00000.npz")[0]
    assert scan.conditions.beam_energy == 200
    assert scan.conditions.scan_step * scan.conditions.unit == pytest.approx(0.3, rel=0.05)
    # 15 Å of underfocus, within the errors that are drawn beside it.
    expected = np.pi * 15 * 0.022**2 / (scan.conditions.unit * 0.022)
    assert scan.conditions.aberrations[0].real == pytest.approx(-expected, abs=0.6)
    before = load_weights(folder / "airpi.safetensors").details
    assert before["doses"][0] < 1e4 * scan.conditions.unit**2 < before["doses"][1]
    text, _ = works(*words)
    assert "going on from" in text
    assert load_weights(folder / "airpi.safetensors").details["steps"] > before["steps"]
    works("airpi", gold, "-o", tmp_path / "out", "--model", folder / "airpi.safetensors")


def test_a_folder_is_for_one_purpose(works, fails, gold, tmp_path):
    words = ("train", "airpi", tmp_path / "mine", "--minutes", 0.01, "--batch", 1)
    works(*words, "--for", gold)
    line = fails(*words, "--for", gold, "--convergence-angle", 21)
    assert "were simulated for 200 keV, 22 mrad" in line
    assert "another folder" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scan-step", "0.02"), "outside what can be trained"),
        (("--start-from", "missing.safetensors"), "missing.safetensors"),
        (("--defocus", "9000"), "outside the range"),
    ],
)
def test_what_cannot_be_trained_is_refused(fails, gold, tmp_path, words, said):
    assert said in fails("train", "airpi", tmp_path / "mine", "--minutes", 1, "--for", gold, *words)


def test_a_run_for_all_microscopes_has_scans_to_validate_on(works, tmp_path, monkeypatch):
    from stem_plugins.cli import train_airpi
    from stem_plugins.training import airpi_validation

    monkeypatch.setattr(train_airpi, "SCANS", 2)
    write = airpi_validation.write_validation
    monkeypatch.setattr(airpi_validation, "write_validation", lambda path: write(path, side=8))
    monkeypatch.setattr(
        airpi, "validate", lambda *_: {"network": -1.0, "direct": 0.0, "unlike": 0.5}
    )
    works("train", "airpi", tmp_path / "all", "--minutes", 0.02, "--batch", 1)
    assert (tmp_path / "all" / "library" / "validation.npz").is_file()
    assert load_weights(tmp_path / "all" / "airpi.safetensors").details["steps"] >= 1


def test_the_exit_wave_design_is_trained_without_a_library(works, fails, tmp_path, monkeypatch):
    from stem_plugins.training import exit_wave

    monkeypatch.setattr(exit_wave, "validate", lambda *_: {"network": 1.0, "probe": 2.0})
    monkeypatch.setattr(exit_wave, "MIXED", 1)
    folder = tmp_path / "waves"
    words = ("train", "airpi", folder, "--design", "exit-wave", "--minutes", 0.02, "--batch", 1)
    works(*words, "--filters", 2)
    weights = load_weights(folder / "exit_wave.safetensors")
    assert weights.details["filters"] == 2
    assert weights.details["steps"] >= 1
    # What was trained can be trained further, elsewhere.
    other = ("train", "airpi", tmp_path / "more", *words[3:], "--filters", 2)
    works(*other, "--start-from", folder / "exit_wave.safetensors")
    more = load_weights(tmp_path / "more" / "exit_wave.safetensors").details
    assert more["steps"] > weights.details["steps"]
    line = fails(*other[:2], tmp_path / "wide", *other[3:-1], 4, "--start-from", folder)
    assert "safetensors" in line
    for option in (("--scans", 80), ("--beam-energy", 30), ("--scan", 3, 4)):
        assert "not for --design exit-wave" in fails(*words, *option)
    assert "is for --design exit-wave" in fails(
        "train", "airpi", tmp_path / "mine", "--minutes", 1, "--filters", 2
    )
