"""The aberration phase against abTEM, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins.optics import aberration_coefficients, aberration_function, wavelength
from stem_plugins.optics.aberrations import NAMES


def _scale(name):
    """A length [Å] that turns the phase by some radians at 20 mrad, or an azimuth [rad]."""
    return 1.0 if name.startswith("phi") else 50.0 / 0.02 ** (int(name[1]) - 1)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.floats(-2, 2)), st.sampled_from([60, 200, 300]))
def test_chi_equals_abtem(abtem, multiples, energy):
    coefficients = {name: value * _scale(name) for name, value in multiples.items()}
    alpha = np.linspace(0, 0.02, 9)[:, None]
    phi = np.linspace(-np.pi, np.pi, 13)[None]
    reference = abtem.transfer.Aberrations(energy=energy * 1e3, **coefficients)
    expected = reference._evaluate_from_angular_grid(
        np.broadcast_to(alpha, (9, 13)).astype(np.float32),
        np.broadcast_to(phi, (9, 13)).astype(np.float32),
    )
    chi = aberration_function(alpha, phi, energy, coefficients)
    assert chi.shape == (9, 13)
    np.testing.assert_allclose(np.exp(-1j * chi), expected, atol=1e-3)


def test_underfocus_is_negative_c10():
    alpha = np.linspace(0, 0.03, 7)
    chi = aberration_function(alpha, 0.0, 200, defocus=300.0)
    np.testing.assert_allclose(chi, -np.pi / wavelength(200) * 300.0 * alpha**2, rtol=1e-12)
    np.testing.assert_array_equal(chi, aberration_function(alpha, 0.0, 200, {"C10": -300.0}))


def test_aliases_are_the_polar_coefficients():
    given_names = {"Cs": 1.0, "astigmatism": 2.0, "astigmatism_angle": 3.0, "hexafoil": 4.0}
    expected = {"C30": 1.0, "C12": 2.0, "phi12": 3.0, "C56": 4.0}
    assert aberration_coefficients(given_names) == expected


def test_every_alias_of_abtem_is_known(abtem):
    for alias, name in abtem.transfer.polar_aliases.items():
        sign = -1.0 if alias == "defocus" else 1.0
        assert aberration_coefficients({alias: 5.0}) == {name: sign * 5.0}


def test_agreeing_entries_are_one():
    assert aberration_coefficients({"C10": -10.0, "defocus": 10.0}, 10.0) == {"C10": -10.0}


@pytest.mark.parametrize(
    ("aberrations", "defocus", "message"),
    [
        ({"C10": 10.0}, 10.0, "contradicts C10 = 10"),
        ({"C10": 10.0}, 0.0, "contradicts"),
        ({"Cs": 1.0, "C30": 2.0}, None, "contradicts C30"),
        ({"C13": 1.0}, None, r"Unknown aberration 'C13'; the polar names are C10, C12, C21"),
        ({"C30": np.nan}, None, "finite"),
    ],
)
def test_contradictions_and_unknown_names_are_refused(aberrations, defocus, message):
    with pytest.raises(ValueError, match=message):
        aberration_function(0.01, 0.0, 200, aberrations, defocus)
