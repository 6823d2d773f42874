"""Training AIRPI: examples are physics, runs add up, and what is exported can be used."""

import dataclasses
import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from stem_plugins.imaging.center_of_mass import scan_frame_matrix
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength
from stem_plugins.rapid_phase_imaging.detector_cells import CELLS
from stem_plugins.rapid_phase_imaging.inputs import ScanConditions, scan_inputs
from stem_plugins.rapid_phase_imaging.networks import load_network
from stem_plugins.rapid_phase_imaging.reduction import plan_reduction, reduce_patterns
from stem_plugins.rapid_phase_imaging.spatial_network import SpatialNetwork
from stem_plugins.rapid_phase_imaging.wave_grid import aberration_phase
from stem_plugins.simulation import Atoms
from stem_plugins.simulation.batched_scan import ANGLE, WINDOW
from stem_plugins.training import airpi, airpi_library
from stem_plugins.training.airpi import AirpiTraining, airpi_loss, train_airpi
from stem_plugins.training.airpi_examples import LIMIT, draw_example, examples, turned
from stem_plugins.training.airpi_library import grow_library, read_scans
from stem_plugins.training.airpi_scans import (
    SIDE,
    Conditions,
    clean_scan,
    conditions_like,
    random_conditions,
)
from stem_plugins.training.airpi_validation import (
    mean_dissimilarity,
    read_validation,
    write_validation,
)
from stem_plugins.training.cell_sums import UNDISTORTED, sum_over_cells


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Two files of two scans."""
    folder = tmp_path_factory.mktemp("library")
    airpi_library.SCANS_PER_FILE, kept = 2, airpi_library.SCANS_PER_FILE
    try:
        files = grow_library(folder)
        next(files), next(files)
        files.close()
    finally:
        airpi_library.SCANS_PER_FILE = kept
    return folder


@pytest.fixture(scope="module")
def scan():
    conditions = Conditions(
        beam_energy=300,
        convergence_angle=20,
        step=14,
        aberrations=(1.8 + 0j, 1.0 - 0.6j, 0.4 + 0.8j, -0.6 + 0.4j, 0.4 + 0j),
        offset=(0.0, 0.0),
        configurations=0,
    )
    # Light atoms, whose phase is weak, so that direct ptychography is right with the right lens.
    extent, rng = conditions.extent, np.random.default_rng(4)
    places = np.column_stack([np.ones(60), rng.uniform(0, extent, (60, 2))])
    atoms = Atoms(np.full(60, 6), places, (2.0, extent, extent), 0.08, periodic=False)
    return clean_scan(conditions, rng, atoms=atoms)


def direct(cells, aberrations, conditions):
    """Direct ptychography of a clean scan [rad]."""
    step = conditions.scan_step
    told = ScanConditions((step, step), math.inf, conditions.unit, aberrations)
    inputs = scan_inputs(cells / cells.sum(axis=0).mean(), told)
    return inputs.base * inputs.scale


def test_patterns_hold_all_of_the_beam_and_show_the_phase(scan):
    assert scan.cells.astype(float).sum(axis=0).mean() == pytest.approx(1, abs=0.02)
    image = direct(scan.cells.astype(np.float32), scan.conditions.aberrations, scan.conditions)
    right = np.corrcoef(image.ravel(), scan.phase.ravel())[0, 1]
    assert right > 0.9
    # With the lens reversed it is far worse: the aberrations are those of the patterns.
    other = tuple(-one for one in scan.conditions.aberrations)
    worse = direct(scan.cells.astype(np.float32), other, scan.conditions)
    assert np.corrcoef(worse.ravel(), scan.phase.ravel())[0, 1] < right - 0.15


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_scan_shows_the_turned_phase(scan, quarters, mirrored):
    """Cells, phase and lens are turned together, else direct ptychography would see it."""
    cells, phase, aberrations = turned(scan, quarters, mirrored)
    expected = direct(scan.cells.astype(np.float32), scan.conditions.aberrations, scan.conditions)
    found = direct(cells, aberrations, scan.conditions)
    likeness = [
        np.corrcoef(one[:-1, :-1].ravel(), truth[:-1, :-1].ravel())[0, 1]
        for one, truth in ((expected, scan.phase), (found, phase))
    ]
    assert likeness[1] == pytest.approx(likeness[0], abs=0.01)


def test_chi_is_written_as_in_the_lens():
    from stem_plugins.imaging.overlap_kernel import _aberration

    aberrations = (0.8 + 0j, 0.5 - 0.3j, 0.2 + 0.4j, -0.3 + 0.2j, 0.2 + 0j)
    terms = ScanConditions((0.2, 0.2), 100.0, 1.0, aberrations).terms()
    for y, x in ((0.3, -0.6), (0.7, 0.5)):
        chi = aberration_phase(np.array(y), np.array(x), aberrations)
        assert _aberration(y, x, terms) == pytest.approx(float(chi))


def test_the_library_gives_back_what_was_simulated(library):
    files = sorted(library.glob("*.npz"))
    assert [path.name for path in files] == ["scans-00000.npz", "scans-00001.npz"]
    rng = np.random.default_rng((20, 0))
    expected = clean_scan(random_conditions(rng), rng)
    found = read_scans(files[0])[0]
    assert found.conditions == expected.conditions
    np.testing.assert_array_equal(found.cells, expected.cells)
    np.testing.assert_array_equal(found.phase, expected.phase)
    assert not list(library.glob("*.tmp*"))


def test_examples_are_noisy_and_of_one_kind(library):
    drawn = examples(library, np.random.default_rng(0))
    for _ in range(4):
        example = next(drawn)
        assert example.inputs.channels.shape[1:] == (SIDE, SIDE)
        assert example.inputs.base.shape == example.phase.shape == (2 * SIDE, 2 * SIDE)
        assert np.isfinite(example.inputs.channels).all()
        assert np.abs(example.inputs.conditions).max() < 4
    with pytest.raises(ValueError, match="no training scans"):
        next(examples(library / "missing", np.random.default_rng(0)))


def test_noise_takes_the_electrons_that_it_says(scan):
    rng = np.random.default_rng(3)
    told = [draw_example(scan, rng).inputs.conditions[0] for _ in range(40)]
    doses = 10 ** (3 * (np.array(told) + 1))
    assert doses.min() < 20
    assert (doses > 0.9e6).sum() > 1


def test_patterns_can_lie_turned_and_stretched():
    """As the reduction of recorded patterns sees them with that rotation and those pixels."""
    rng = np.random.default_rng(6)
    patterns = rng.random((3, WINDOW, WINDOW)).astype(np.float32)
    camera = Acquisition(
        convergence_angle=1.0,
        diffraction_step=(1.02 * ANGLE, 0.98 * ANGLE),
        center=(WINDOW / 2 - 0.5,) * 2,
        scan_rotation=4.0,
    )
    expected = reduce_patterns(patterns[None], plan_reduction((WINDOW, WINDOW), camera))[0]
    turn = scan_frame_matrix(4.0, False) @ np.diag([1.02, 0.98])
    found = sum_over_cells(torch.from_numpy(patterns), tuple(map(tuple, turn.tolist())))
    inside = expected.mean(axis=0) > 0
    np.testing.assert_allclose(found[:, inside], expected[:, inside], atol=0.02 * expected.max())
    straight = sum_over_cells(torch.from_numpy(patterns))
    assert float((straight - found)[:, :CELLS].abs().max()) > 0.3


def test_conditions_hold_errors_of_the_camera_in_half_of_the_scans(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    drawn = [random_conditions(rng).distortion for _ in range(200)]
    assert 60 < sum(one == UNDISTORTED for one in drawn) < 140
    angles = np.rad2deg([np.arctan2(one[0][1] - one[1][0], one[0][0] + one[1][1]) for one in drawn])
    assert 0.8 < angles.std() < 2.5
    # A library keeps them.
    monkeypatch.setattr(airpi_library, "SCANS_PER_FILE", 1)
    made = []

    def remembered(rng):
        made.append(random_conditions(rng))
        return made[-1]

    path = next(grow_library(tmp_path, conditions=remembered))
    assert [one.conditions for one in read_scans(path)] == made


def test_many_doses_lie_where_a_specimen_begins_to_be_seen(scan):
    rng = np.random.default_rng(4)
    weak = dataclasses.replace(scan, phase=scan.phase * np.float32(0.05 / scan.phase.std()))
    told = [draw_example(weak, rng).inputs.conditions[0] for _ in range(60)]
    electrons = 10 ** (3 * (np.array(told) + 1))
    seen = electrons / scan.conditions.scan_step**2 * 0.05**2
    low, high = LIMIT
    # Of doses that are drawn alike no more than a third would.
    assert ((seen > low * 0.99) & (seen < high * 1.01)).mean() > 0.4


def test_the_loss_knows_no_offset_and_falls_with_the_error():
    truth = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 20, 20)))
    noise = torch.from_numpy(np.random.default_rng(1).standard_normal((3, 20, 20)))
    exact, near, far = (airpi_loss(truth + part * noise, truth) for part in (0.0, 0.1, 1.0))
    assert exact < near < far
    assert float(airpi_loss(truth + 5.0, truth)) == pytest.approx(float(exact), abs=1e-3)
    assert airpi_loss(0.5 * truth, truth) > exact


def test_runs_add_up_and_what_is_exported_is_used(library, tmp_path, monkeypatch):
    monkeypatch.setattr(airpi, "validate", lambda *_: {"network": -1.0, "direct": 0.0})
    settings = AirpiTraining(batch=1)
    first = list(train_airpi(tmp_path, library, minutes=0.06, settings=settings))[-1]
    second = list(train_airpi(tmp_path, library, minutes=0.04, settings=settings))[-1]
    assert second.step > first.step > 0
    assert second.seconds > first.seconds
    assert (tmp_path / "log.csv").read_text().startswith("step,seconds,loss,network,direct\n")
    path = tmp_path / "airpi.safetensors"
    network = load_network(path, path.stat().st_mtime_ns, "cpu")
    # The last layer was zero before the first step.
    assert float(network.last.weight.detach().abs().max()) > 0
    (tmp_path / "checkpoint.pt").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="cannot be resumed"):
        next(train_airpi(tmp_path, library, minutes=1))
    with pytest.raises(ValueError, match="above zero"):
        next(train_airpi(tmp_path, library, minutes=0))


def test_what_is_exported_is_the_average_that_was_best(library, tmp_path, monkeypatch):
    figures = iter([0.2, 0.5, 0.4, 0.6])
    kept = []

    def validate(network, *_):
        kept.append({name: one.clone() for name, one in network.state_dict().items()})
        return {"network": 0.0, "direct": 0.0, "unlike": next(figures)}

    monkeypatch.setattr(airpi, "validate", validate)
    monkeypatch.setattr(airpi, "read_validation", lambda _: [])
    for _ in range(2):
        steps = train_airpi(
            tmp_path,
            library,
            minutes=0.03,
            settings=AirpiTraining(batch=1),
            validation=tmp_path / "validation.npz",
        )
        assert list(steps)
    path = tmp_path / "airpi.safetensors"
    exported = load_network(path, path.stat().st_mtime_ns, "cpu").state_dict()
    for name, value in exported.items():
        np.testing.assert_allclose(value, kept[0][name], atol=1e-3)
    # The second run went on from the last step, and was worse.
    assert not torch.equal(kept[0]["last.weight"], kept[1]["last.weight"])
    assert ",0.2\n" in (tmp_path / "log.csv").read_text()


def test_scans_to_validate_on_show_their_phase_to_direct_ptychography(tmp_path):
    path = tmp_path / "validation.npz"
    assert list(write_validation(path, side=16))[-1] == (5, 5)
    scans = read_validation(path)
    energies = [scan.acquisition.beam_energy for scan in scans]
    assert energies == [200, 200, 300, 300, 80, 80, 80, 80, 300, 300]
    # Once as they are, and once with a camera that is not as it is said to be.
    off = np.abs(scans[1].cells - scans[0].cells).mean() / scans[0].cells.mean()
    assert 0.02 < off < 0.3
    np.testing.assert_array_equal(scans[0].phase, scans[1].phase)
    assert scans[0].cells.astype(float).sum(axis=0).mean() == pytest.approx(1, abs=0.1)
    # A network that was not taught leaves direct ptychography as it is.
    alike = 1 - mean_dissimilarity(SpatialNetwork(), scans)
    assert 0.6 < alike < 0.95
    blind = [dataclasses.replace(scan, phase=scan.phase[::-1]) for scan in scans]
    assert 1 - mean_dissimilarity(SpatialNetwork(), blind) < alike - 0.3


def test_scans_to_validate_on_of_an_earlier_version_are_named(tmp_path):
    np.savez(tmp_path / "validation.npz", cells0=np.zeros(3), phase0=np.zeros(3))
    with pytest.raises(ValueError, match="earlier version"):
        read_validation(tmp_path / "validation.npz")


def test_conditions_like_those_of_a_scan():
    known = Acquisition(
        beam_energy=200, convergence_angle=22, scan_step=(0.3, 0.3), defocus=30, dose=1e4
    )
    drawn = [conditions_like(known, np.random.default_rng(seed)) for seed in range(200)]
    assert {one.beam_energy for one in drawn} == {200.0}
    assert drawn[0].scan_step * drawn[0].unit == pytest.approx(0.3, rel=0.04)
    focus = np.array([one.aberrations[0].real for one in drawn])
    expected = -np.pi * 30 * 0.022**2 / wavelength(200)
    assert focus.mean() == pytest.approx(expected, abs=0.05)
    assert 0.1 < focus.std() < 0.2
    with pytest.raises(ValueError, match="outside what can be trained"):
        conditions_like(known.replace(scan_step=(3.0, 3.0)), np.random.default_rng(0))
