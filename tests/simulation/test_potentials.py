"""Projected potentials against closed forms, sum rules and abTEM."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import constants
from scipy.special import k0, k1

from stem_plugins.simulation import (
    Atoms,
    projected_potential,
    scattering_factor,
    single_atoms,
    sliced_potential,
    strontium_titanate,
)
from stem_plugins.simulation.potentials import _coefficients

BOHR = constants.physical_constants["Bohr radius"][0] * 1e10


@pytest.mark.parametrize("number", range(1, 104))
def test_every_element_scatters_as_its_nuclear_charge_at_large_angles(number):
    # Mott–Bethe: f(g) = (Z - f_x(g)) / (2π² a₀ g²), and f_x vanishes at large g.
    frequency = 1e4
    charge = scattering_factor(number, frequency) * 2 * np.pi**2 * BOHR * frequency**2
    assert charge == pytest.approx(number, rel=3e-4)


def test_small_angle_scattering_of_the_international_tables():
    # f(0) [Å], International Tables for Crystallography C, table 4.3.1.1.
    for number, expected in {1: 0.529, 6: 2.509, 14: 5.828, 29: 5.600, 79: 10.573}.items():
        assert scattering_factor(number, 0.0) == pytest.approx(expected, rel=0.05)


def test_scattering_factors_equal_abtem(abtem):
    lobato = abtem.parametrizations.LobatoParametrization()
    frequency = np.linspace(0.05, 8, 50)
    for symbol, number in (("H", 1), ("O", 8), ("Sr", 38), ("Au", 79), ("Lr", 103)):
        expected = lobato.scattering_factor(symbol)(frequency**2)
        np.testing.assert_allclose(scattering_factor(number, frequency), expected, rtol=1e-4)


def _closed_form(number, radius):
    """The projection of an unsmeared atom [V Å], by modified Bessel functions."""
    factor = constants.h**2 / (2 * np.pi * constants.m_e * constants.e) * 1e20
    total = np.zeros_like(radius)
    for a, b in _coefficients()[number].T:
        decay = 2 * np.pi / np.sqrt(b)
        total += 2 * np.pi * a / b * k0(decay * radius)
        total += np.pi * a / b * decay * radius * k1(decay * radius)
    return factor * total


@pytest.mark.parametrize("number", [6, 14, 38, 79])
def test_projected_potential_equals_its_closed_form(number):
    sampling, pixels = 0.02, 1000
    atom = single_atoms([number], [[10.0, 10.0]], extent=(20.0, 20.0))
    potential = projected_potential(atom, (pixels, pixels), sampling)
    # The band limit rings around the pole at the nucleus: compare from 0.3 to 3 Å.
    row = potential[500, 515:650]
    expected = _closed_form(number, np.arange(15, 150) * sampling)
    np.testing.assert_allclose(row, expected, atol=3e-3 * expected[0])


def test_potential_equals_abtem(abtem):
    ase = pytest.importorskip("ase")
    # abTEM puts atoms on the grid by bilinear weights under an approximate sinc: compare where
    # these do nothing, with atoms on pixels and smeared over many of them.
    sampling, pixels = 0.04, (200, 240)
    places = np.array([[2.0, 2.4], [4.4, 6.8], [6.0, 1.2]])
    numbers = [38, 8, 79]
    atoms = Atoms(numbers, np.column_stack([np.ones(3), places]), (2.0, 8.0, 9.6), np.full(3, 0.15))
    potential = projected_potential(atoms, pixels, sampling)
    structure = ase.Atoms(
        numbers,
        positions=np.column_stack([places[:, ::-1], np.ones(3)]),
        cell=(9.6, 8.0, 2.0),
        pbc=True,
    )
    reference = abtem.Potential(
        structure,
        gpts=pixels[::-1],
        slice_thickness=2.0,
        projection="infinite",
        parametrization=abtem.parametrizations.LobatoParametrization(sigmas=0.15),
    )
    expected = reference.build(lazy=False).array.sum(0).T
    np.testing.assert_allclose(potential, expected, atol=1e-3 * potential.max())


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(st.integers(24, 40), st.integers(24, 40)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.sampled_from([1, 8, 22, 92]),
)
def test_mean_potential_is_the_forward_scattering(shape, place, number):
    # ∫V d²r = h²/(2π m e) f(0), wherever the atom stands.
    atom = single_atoms([number], [place], extent=(1.0, 1.0))
    potential = projected_potential(atom, shape, (0.2, 0.15))
    factor = constants.h**2 / (2 * np.pi * constants.m_e * constants.e) * 1e20
    integral = potential.sum() * 0.2 * 0.15
    assert integral == pytest.approx(factor * scattering_factor(number, 0.0), rel=1e-9)


def test_sub_pixel_places_are_exact():
    sampling = 0.1
    atom = Atoms([22], [[0.0, 3.0, 3.0]], (1, 6, 6), 0.1)
    moved = Atoms([22], [[0.0, 3.037, 2.944]], (1, 6, 6), 0.1)
    fine = projected_potential(moved, (600, 600), sampling / 10)
    ky = np.fft.fftfreq(60, sampling)[:, None]
    kx = np.fft.fftfreq(60, sampling)[None]
    ramp = np.exp(-2j * np.pi * (ky * 0.037 - kx * 0.056))
    shifted = np.fft.ifft2(np.fft.fft2(projected_potential(atom, (60, 60), sampling)) * ramp).real
    potential = projected_potential(moved, (60, 60), sampling)
    np.testing.assert_allclose(potential, shifted, atol=2e-3 * potential.max())
    np.testing.assert_allclose(potential, fine[::10, ::10], atol=1e-2 * potential.max())


def test_smearing_is_the_mean_over_frozen_phonons():
    rng = np.random.default_rng(0)
    atom = Atoms([38], [[0.5, 2.0, 2.0]], (1, 4, 4), 0.1)
    smeared = projected_potential(atom, (40, 40), 0.1)
    crowd = Atoms(np.full(20000, 38), np.tile(atom.positions, (20000, 1)), atom.cell, 0.1)
    mean = projected_potential(crowd.displaced(rng), (40, 40), 0.1) / 20000
    np.testing.assert_allclose(mean, smeared, atol=0.02 * smeared.max())


def test_single_precision_is_close():
    atoms = strontium_titanate().repeat(1, 2, 2)
    double = projected_potential(atoms, (80, 80), 0.1)
    single = projected_potential(atoms, (80, 80), 0.1, dtype=np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, atol=1e-5 * double.max())


@pytest.mark.parametrize(("thickness", "count"), [(None, 1), (2.0, 4), (3.905, 2), (100.0, 1)])
def test_slices_add_up_to_the_whole(thickness, count):
    atoms = strontium_titanate(2)
    parts = sliced_potential(atoms, (30, 32), (0.13, 0.12), thickness)
    whole = projected_potential(atoms, (30, 32), (0.13, 0.12))
    assert len(parts) == count
    np.testing.assert_allclose(parts.sum(0), whole, atol=1e-9 * whole.max())


def test_the_beam_meets_small_z_first():
    atoms = Atoms([6, 79], [[0.5, 1, 1], [3.5, 1, 1]], (4, 2, 2))
    parts = sliced_potential(atoms, (20, 20), 0.1, 1.0)
    assert np.argsort(parts.max((1, 2)))[::-1][:2].tolist() == [3, 0]


def test_what_is_not_possible_is_refused():
    with pytest.raises(ValueError, match="Z = 1 to 103"):
        scattering_factor(104, 1.0)
    with pytest.raises(ValueError, match="above zero"):
        sliced_potential(strontium_titanate(), (8, 8), 0.5, 0.0)
