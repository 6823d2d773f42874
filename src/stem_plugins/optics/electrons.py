"""Relativistic electrons: their wavelength and how strongly a potential turns their phase.

Energies are in keV, lengths in Å, potentials in V. Formulas as in E. J. Kirkland, *Advanced
Computing in Electron Microscopy*, 3rd ed. (Springer, 2020), eqs. 2.5 and 5.6; constants are
those of CODATA 2022.
"""

from __future__ import annotations

import math

__all__ = ["interaction_constant", "lorentz_factor", "wavelength"]

# SI units. Written out here because scipy.constants takes 0.2 s to import; the first three are
# exact by definition.
PLANCK = 6.62607015e-34
LIGHT = 299792458.0
CHARGE = 1.602176634e-19
ELECTRON_MASS = 9.1093837139e-31

#: Rest energy of the electron [keV].
REST_ENERGY = ELECTRON_MASS * LIGHT**2 / CHARGE * 1e-3


def lorentz_factor(beam_energy: float) -> float:
    """Return γ = 1 + E / (m₀c²), the relativistic increase of the electron's mass.

    Parameters
    ----------
    beam_energy
        Kinetic energy E [keV].

    Raises
    ------
    ValueError
        The energy is not a finite number above zero.

    Examples
    --------
    >>> round(lorentz_factor(300), 4)
    1.5871
    """
    return 1.0 + _valid(beam_energy) / REST_ENERGY


def wavelength(beam_energy: float) -> float:
    """Return the relativistic de Broglie wavelength λ = hc / √(E (E + 2 m₀c²)) [Å].

    Parameters
    ----------
    beam_energy
        Kinetic energy E [keV].

    Raises
    ------
    ValueError
        The energy is not a finite number above zero.

    Examples
    --------
    >>> round(wavelength(300), 6)
    0.019687
    """
    energy = _valid(beam_energy)
    planck_light = PLANCK * LIGHT / CHARGE * 1e7  # keV Å
    return planck_light / math.sqrt(energy * (energy + 2.0 * REST_ENERGY))


def interaction_constant(beam_energy: float) -> float:
    """Return σ = 2π γ m₀ e λ / h² [rad/(V Å)], phase per projected potential.

    A wave that passes a positive projected potential V [V Å] is multiplied by ``exp(+iσV)``.

    Parameters
    ----------
    beam_energy
        Kinetic energy [keV].

    Raises
    ------
    ValueError
        The energy is not a finite number above zero.

    Examples
    --------
    >>> round(interaction_constant(300) * 1e4, 3)
    6.526
    """
    mass = lorentz_factor(beam_energy) * ELECTRON_MASS
    wavelength_metres = wavelength(beam_energy) * 1e-10
    per_volt_metre = 2 * math.pi * mass * CHARGE * wavelength_metres / PLANCK**2
    return per_volt_metre * 1e-10


def _valid(beam_energy: float) -> float:
    if not (math.isfinite(beam_energy) and beam_energy > 0):
        raise ValueError(f"The beam energy must be above zero [keV], not {beam_energy!r}.")
    return float(beam_energy)
