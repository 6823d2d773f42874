"""Units in every spelling."""

import numpy as np
import pytest
from ase.units import _c, _e, _hplanck, _me

from stem_plugins import MissingCalibrationError
from stem_plugins.io import is_reciprocal_length, to_angstrom, to_milliradian


@pytest.mark.parametrize(
    ("unit", "angstrom"),
    [
        ("nm", 10),
        ("Å", 1),
        ("\u212b", 1),
        ("A", 1),
        (r"$\AA$", 1),
        ("pm", 0.01),
        ("um", 1e4),
        ("µm", 1e4),
        ("\u03bcm", 1e4),
        (" nm ", 10),
        ("m", 1e10),
    ],
)
def test_lengths(unit, angstrom):
    assert to_angstrom(2.0, unit) == pytest.approx(2 * angstrom)


@pytest.mark.parametrize("unit", ["px", "", None, "<undefined>", "1/nm", "mrad", 5, "s", object()])
def test_what_is_no_length(unit):
    assert to_angstrom(1.0, unit) is None


@pytest.mark.parametrize(
    ("unit", "milliradian"),
    [("mrad", 1), ("rad", 1000), ("µrad", 1e-3), ("deg", 1000 * np.pi / 180), ("°", 17.4533)],
)
def test_angles(unit, milliradian):
    assert to_milliradian(3.0, unit) == pytest.approx(3 * milliradian, rel=1e-5)


RECIPROCAL = {
    "1/nm": 0.1,
    "1 / nm": 0.1,
    "nm^-1": 0.1,
    "k_nm^-1": 0.1,
    "nm⁻¹": 0.1,
    "nm-1": 0.1,
    "nm**-1": 0.1,
    "$nm^{-1}$": 0.1,
    "1/Å": 1,
    "1/A": 1,
    "A^-1": 1,
    "k_A^-1": 1,
    "Å⁻¹": 1,
    "$A^{-1}$": 1,
    r"$\mathrm{\AA^{-1}}$": 1,
}


@pytest.mark.parametrize(("unit", "per_angstrom"), RECIPROCAL.items())
def test_spatial_frequencies_become_angles_by_the_wavelength(unit, per_angstrom):
    energy = 200e3 * _e
    wavelength = _hplanck / np.sqrt(2 * _me * energy * (1 + energy / (2 * _me * _c**2))) * 1e10
    assert is_reciprocal_length(unit)
    angle = to_milliradian(0.25, unit, beam_energy=200)
    assert angle == pytest.approx(0.25 * per_angstrom * wavelength * 1e3, rel=1e-6)
    with pytest.raises(MissingCalibrationError, match="beam_energy"):
        to_milliradian(0.25, unit)


@pytest.mark.parametrize("unit", ["px", "", None, "cm", "1/s", "k_px^-1", "<undefined>", "1/px"])
def test_what_is_no_angle(unit):
    assert to_milliradian(1.0, unit, beam_energy=200) is None
    assert not is_reciprocal_length(unit)
