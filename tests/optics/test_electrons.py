"""Wavelengths and interaction constants against textbook tables and abTEM."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import constants

from stem_plugins.optics import electrons, interaction_constant, lorentz_factor, wavelength

# E. J. Kirkland, Advanced Computing in Electron Microscopy: wavelength [Å] by energy [keV].
TABLE = {60: 0.04866, 80: 0.04176, 100: 0.03701, 200: 0.02508, 300: 0.01969}


@pytest.mark.parametrize(("energy", "expected"), TABLE.items())
def test_wavelengths_of_the_textbook(energy, expected):
    assert wavelength(energy) == pytest.approx(expected, abs=6e-6)


@given(st.floats(1, 1000))
def test_wavelength_and_interaction_constant_equal_abtem(abtem, energy):
    reference = abtem.core.energy
    assert wavelength(energy) == pytest.approx(reference.energy2wavelength(energy * 1e3), rel=1e-6)
    assert interaction_constant(energy) == pytest.approx(
        reference.energy2sigma(energy * 1e3), rel=1e-6
    )


def test_constants_are_those_of_codata():
    assert constants.h == electrons.PLANCK
    assert constants.c == electrons.LIGHT
    assert constants.e == electrons.CHARGE
    assert pytest.approx(constants.m_e, rel=1e-9) == electrons.ELECTRON_MASS
    assert pytest.approx(510.99895, rel=1e-8) == electrons.REST_ENERGY


def test_slow_electrons_are_classical():
    # λ = h / √(2 m e U) = 12.2643 Å / √(U / V)
    assert wavelength(1e-3) == pytest.approx(12.2643, rel=1e-5)
    assert lorentz_factor(1e-3) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("function", [lorentz_factor, wavelength, interaction_constant])
@pytest.mark.parametrize("energy", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_energy_is_refused(function, energy):
    with pytest.raises(ValueError, match="must be above zero"):
        function(energy)
