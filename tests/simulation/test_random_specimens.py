"""Random specimens: they look like matter, and never are what networks are tested on."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from stem_plugins.simulation.random_crystals import HELD_OUT, Crystal, crystal_slab
from stem_plugins.simulation.random_specimens import CONTENTS, random_specimen

FACES = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def columns(atoms):
    """Places of atomic columns (y, x)."""
    flat = np.round(atoms.positions[:, 1:], 2)
    return np.unique(flat, axis=0)


@pytest.mark.parametrize(
    ("zone", "nearest"),
    [((0, 0, 1), 4 / 2), ((1, 1, 0), 4 * np.sqrt(3 / 8)), ((1, 1, 1), 4 / np.sqrt(6))],
)
def test_zones_of_a_cubic_crystal_show_their_columns(zone, nearest):
    """Distances of columns along [001], [110] and [111] of a face-centred cell of 4 Å."""
    slab = crystal_slab(
        Crystal(4 * np.eye(3), FACES, np.full(4, 29)),
        zone,
        angle=0.7,
        extent=(30, 30),
        thickness=12,
    )
    expected = 4 / 4**3 * 30 * 30 * 12
    assert len(slab) == pytest.approx(expected, rel=0.12)
    assert ((slab.positions >= 0) & (slab.positions < slab.cell)).all()
    found = columns(slab)
    apart, _ = cKDTree(found).query(found, k=2)
    assert np.median(apart[:, 1]) == pytest.approx(nearest, abs=0.02)
    # No two atoms are nearer than in the crystal.
    apart, _ = cKDTree(slab.positions).query(slab.positions, k=2)
    assert apart[:, 1].min() == pytest.approx(4 / np.sqrt(2), abs=1e-6)


@pytest.mark.parametrize("content", list(CONTENTS))
def test_specimens_fill_their_field_with_matter(content):
    rng = np.random.default_rng(3)
    densities = []
    for _ in range(25):
        atoms = random_specimen(30.0, rng, content=content)
        assert atoms.cell[1:] == (30.0, 30.0)
        assert not atoms.periodic
        assert 0.04 <= atoms.displacements.min() <= atoms.displacements.max() <= 0.11
        densities.append(len(atoms) / np.prod(atoms.cell))
    assert max(densities) < 0.25
    if content in ("crystal", "amorphous"):
        assert 0.01 < np.median(densities) < 0.15


def test_what_is_tested_on_is_never_drawn():
    rng = np.random.default_rng(5)
    for _ in range(300):
        content = ("crystal", "layers")[int(rng.integers(2))]
        numbers = set(random_specimen(12.0, rng, content=content, thickness=5.0).numbers.tolist())
        # Two layers, defects or adatoms may together have such elements; a crystal alone not.
        if content == "crystal" and len(numbers) == 1:
            assert numbers not in HELD_OUT


def test_the_same_seed_draws_the_same():
    one, other = (random_specimen(20.0, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one.positions, other.positions)


def test_a_wide_field_is_made_thin():
    assert len(random_specimen(600.0, np.random.default_rng(1), content="crystal")) < 300_000


def test_an_unknown_content_is_refused():
    with pytest.raises(ValueError, match="content must be one of crystal"):
        random_specimen(10.0, np.random.default_rng(0), content="cheese")
