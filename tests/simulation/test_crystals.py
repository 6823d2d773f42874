"""Atom lists: stoichiometry, distances, repetition, and what is refused."""

import numpy as np
import pytest

from stem_plugins.simulation import (
    Atoms,
    from_ase,
    gallium_nitride,
    graphene,
    molybdenum_disulfide,
    single_atoms,
    strontium_titanate,
)


def _nearest_distance(atoms, first, second):
    """Shortest distance [Å] between two kinds of atoms of a crystal that repeats everywhere."""
    block = atoms.repeat(3, 3, 3)
    middle = np.array(block.cell) / 2
    centers = block.positions[block.numbers == first]
    center = centers[np.argmin(((centers - middle) ** 2).sum(1))]
    distances = np.linalg.norm(block.positions[block.numbers == second] - center, axis=1)
    return distances[distances > 1e-6].min()


@pytest.mark.parametrize(
    ("crystal", "composition", "pair", "distance", "density"),
    [
        # Distances [Å] and densities [g/cm³] of the handbooks.
        (strontium_titanate, {38: 1, 22: 1, 8: 3}, (22, 8), 1.9525, 5.12),
        (strontium_titanate, {38: 1, 22: 1, 8: 3}, (38, 8), 2.761, 5.12),
        (gallium_nitride, {31: 4, 7: 4}, (31, 7), 1.95, 6.10),
        (graphene, {6: 4}, (6, 6), 1.42, 2.27),
        (molybdenum_disulfide, {42: 2, 16: 4}, (42, 16), 2.42, 5.0),
    ],
)
def test_crystals_are_the_ones_of_the_handbook(crystal, composition, pair, distance, density):
    data = pytest.importorskip("ase.data")
    atoms = crystal()
    numbers, counts = np.unique(atoms.numbers, return_counts=True)
    assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == composition
    assert _nearest_distance(atoms, *pair) == pytest.approx(distance, abs=0.01)
    mass = data.atomic_masses[atoms.numbers].sum() * 1.66054
    assert mass / np.prod(atoms.cell) == pytest.approx(density, rel=0.02)
    assert (atoms.positions >= 0).all()
    assert (atoms.positions < np.array(atoms.cell)).all()
    assert ((atoms.displacements > 0.03) & (atoms.displacements < 0.12)).all()


def test_strontium_titanate_has_heavy_mixed_and_light_columns():
    atoms = strontium_titanate()
    columns = {}
    for number, (_, y, x) in zip(atoms.numbers, atoms.positions, strict=True):
        columns.setdefault((round(y, 3), round(x, 3)), set()).add(int(number))
    assert sorted(map(sorted, columns.values())) == [[8], [8], [8, 22], [38]]


def test_repeat_keeps_every_atom_of_every_cell():
    atoms = gallium_nitride().repeat(2, 1, 3)
    assert len(atoms) == 6 * 8
    assert atoms.cell == pytest.approx((6.378, 5.185, 3 * 3.189 * np.sqrt(3)))
    fractional = atoms.positions / np.array(gallium_nitride().cell)
    inside = {tuple(row) for row in (fractional % 1).round(6)}
    assert len(inside) == 8


def test_frozen_phonons_have_the_asked_amplitude_and_repeat_with_the_seed():
    atoms = strontium_titanate().repeat(5, 20, 20)
    moved = atoms.displaced(np.random.default_rng(3))
    again = atoms.displaced(np.random.default_rng(3))
    np.testing.assert_array_equal(moved.positions, again.positions)
    for number in (38, 22, 8):
        kind = atoms.numbers == number
        expected = atoms.displacements[kind][0]
        measured = (moved.positions - atoms.positions)[kind].std(axis=0)
        np.testing.assert_allclose(measured, expected, rtol=0.06)
    assert (moved.displacements == 0).all()


def test_ase_axes_are_reversed():
    build = pytest.importorskip("ase.build")
    structure = build.bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    structure.cell[1] *= 2
    structure.cell[2] *= 3
    atoms = from_ase(structure, displacements={"Na": 0.08, "Cl": 0.07})
    assert atoms.cell == pytest.approx((3 * 5.64, 2 * 5.64, 5.64))
    np.testing.assert_allclose(atoms.positions, structure.positions[:, ::-1])
    np.testing.assert_array_equal(atoms.displacements, np.where(atoms.numbers == 11, 0.08, 0.07))


def test_ase_structures_that_do_not_fit_are_refused():
    build = pytest.importorskip("ase.build")
    with pytest.raises(ValueError, match="right angles"):
        from_ase(build.bulk("Au"))
    with pytest.raises(ValueError, match="No thermal displacement given for Cl"):
        from_ase(build.bulk("NaCl", "rocksalt", a=5.64, cubic=True), displacements={"Na": 0.1})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([6, 6], [[0, 0, 0]], (1, 1, 1)), "2 atomic numbers but 1 positions"),
        (([0], [[0, 0, 0]], (1, 1, 1)), "between 1 and 103"),
        (([104], [[0, 0, 0]], (1, 1, 1)), "between 1 and 103"),
        (([6], [[0, 0, np.nan]], (1, 1, 1)), "finite"),
        (([6], [[0, 0, 0]], (1, 0, 1)), "three lengths above zero"),
        (([6], [[0, 0, 0]], (1, 1)), "three lengths above zero"),
        (([6], [[0, 0, 0]], (1, 1, 1), -0.1), "zero or above"),
    ],
)
def test_impossible_atoms_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Atoms(*arguments)


def test_single_atoms_stand_where_they_were_put():
    atoms = single_atoms([6, 79], [[1.0, 2.0], [3.0, 4.0]], extent=(5.0, 6.0), thickness=2.0)
    np.testing.assert_array_equal(atoms.positions, [[1.0, 1.0, 2.0], [1.0, 3.0, 4.0]])
    assert atoms.cell == (2.0, 5.0, 6.0)
