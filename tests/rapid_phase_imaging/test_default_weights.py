"""The network that comes with the package, on scans of the simulation that it was not taught by."""

import numpy as np
import pytest

pytest.importorskip("torch")

from stem_plugins import airpi, ssb
from stem_plugins.models import read_weights
from stem_plugins.models.registry import find_airpi_weights
from stem_plugins.rapid_phase_imaging.networks import DESIGNS

from .conftest import SIDE, atom_scan


def likeness(image, truth):
    return np.corrcoef(image.ravel(), truth.ravel())[0, 1]


@pytest.mark.parametrize(("dose", "better"), [(None, -0.05), (1e4, 0.01), (2e3, 0.03)])
def test_it_is_nearer_to_the_truth_where_there_is_noise(dose, better):
    scan = atom_scan(dose=dose)
    found = airpi(scan.data, scan.acquisition, threads=1)
    direct = np.angle(ssb(scan.data, scan.acquisition))
    assert found.phase.shape == (2 * SIDE, 2 * SIDE)
    truth = np.asarray(scan.phase)
    assert likeness(found.phase[::2, ::2], truth) > likeness(direct, truth) + better


def test_an_empty_field_is_flatter_than_by_direct_ptychography():
    scan = atom_scan(dose=1e4)
    empty = scan.data.mean((0, 1)) * np.ones((SIDE, SIDE, 1, 1))
    counts = np.random.default_rng(0).poisson(empty)
    # With the regularisation that is best for the atoms.
    direct = np.angle(ssb(counts, scan.acquisition, regularization=0.1))
    assert airpi(counts, scan.acquisition, threads=1).phase.std() < direct.std()


@pytest.mark.parametrize("design", ["spatial", "exit-wave"])
def test_the_file_says_what_it_is(design):
    path = find_airpi_weights("default", design)
    weights = read_weights(path)
    assert (weights.design, weights.version) == DESIGNS[design]
    assert path.stat().st_size < 8e6
    assert weights.details["licence"] == "GPL-3.0-or-later"
    assert path.with_suffix(".md").is_file()


def test_the_published_design_sees_atoms():
    """It has learned too little to be more than like the truth."""
    scan = atom_scan(side=20, scan_step=0.38)
    found = airpi(scan.data, scan.acquisition, design="exit-wave", threads=1)
    image, truth = found.phase[::2, ::2].ravel(), np.asarray(scan.phase).ravel()
    assert likeness(image, truth) > 0.6
    assert np.polyfit(truth, image, 1)[0] > 0.15
    assert "several times too small" in found.notes[0]
    assert found.amplitude.mean() == pytest.approx(1, abs=0.2)
