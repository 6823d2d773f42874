"""Units as files write them, turned into the units of `Acquisition`: Å and mrad.

Programs spell the same unit in many ways (``1/nm``, ``nm^-1``, ``k_nm^-1``, ``$A^{-1}$``, ``Å⁻¹``).
A unit that is none of the known ones gives ``None``: an axis in pixels is not calibrated, and one
in metres on the camera is no angle.
"""

from __future__ import annotations

import math
import re
from types import MappingProxyType

from stem_plugins.optics.acquisition import MissingCalibrationError
from stem_plugins.optics.electrons import wavelength

__all__ = ["is_reciprocal_length", "to_angstrom", "to_milliradian"]

#: Lengths in Å.
ANGSTROM = MappingProxyType(
    {
        "pm": 1e-2,
        "Å": 1.0,
        "A": 1.0,
        "ang": 1.0,
        "Ang": 1.0,
        "angstrom": 1.0,
        "Angstrom": 1.0,
        "nm": 10.0,
        "um": 1e4,
        "µm": 1e4,
        "micrometer": 1e4,
        "mm": 1e7,
        "cm": 1e8,
        "m": 1e10,
    }
)

#: Angles in mrad.
MILLIRADIAN = MappingProxyType(
    {
        "mrad": 1.0,
        "milliradian": 1.0,
        "rad": 1e3,
        "radian": 1e3,
        "urad": 1e-3,
        "µrad": 1e-3,
        "deg": 1e3 * math.pi / 180,
        "degree": 1e3 * math.pi / 180,
        "°": 1e3 * math.pi / 180,
    }
)

#: Å and µ each exist twice in Unicode.
SAME_LETTER = str.maketrans({"\u212b": "\u00c5", "\u03bc": "\u00b5"})

_RECIPROCAL = re.compile(r"(?:1/(?P<divisor>.+))|(?:(?:k_)?(?P<base>.+?)(?:\^-1|\*\*-1|-1|⁻¹))")


def to_angstrom(value: float, unit: object) -> float | None:
    """Convert a length to Å.

    Parameters
    ----------
    value
        The length.
    unit
        Its unit as a file writes it.

    Returns
    -------
    float or None
        The length [Å]; ``None`` when the unit is no length or not known.

    Examples
    --------
    >>> to_angstrom(0.02, "nm"), to_angstrom(3, "px")
    (0.2, None)
    """
    factor = ANGSTROM.get(_plain(unit))
    return None if factor is None else float(value) * factor


def is_reciprocal_length(unit: object) -> bool:
    """Whether a unit is an inverse length, such as ``1/nm`` or ``k_A^-1``.

    Parameters
    ----------
    unit
        The unit as a file writes it.

    Examples
    --------
    >>> is_reciprocal_length("k_nm^-1"), is_reciprocal_length("mrad")
    (True, False)
    """
    return _reciprocal_angstrom(unit) is not None


def to_milliradian(value: float, unit: object, beam_energy: float | None = None) -> float | None:
    """Convert a scattering angle, or a spatial frequency, to mrad.

    Parameters
    ----------
    value
        The angle, or the spatial frequency k = 1 / d (without 2π).
    unit
        Its unit as a file writes it.
    beam_energy
        Energy of the electrons [keV], needed for spatial frequencies only.

    Returns
    -------
    float or None
        The angle [mrad]; ``None`` when the unit is neither angle nor inverse length, or unknown.

    Raises
    ------
    MissingCalibrationError
        The unit is an inverse length and the beam energy is not given.

    Notes
    -----
    A spatial frequency becomes the angle θ = λ k, which holds for small angles and is how the
    step of a detector is meant.

    Examples
    --------
    >>> to_milliradian(1.5, "mrad")
    1.5
    >>> round(to_milliradian(0.1, "1/Å", beam_energy=300), 4)  # λ = 0.0197 Å
    1.9687
    """
    factor = MILLIRADIAN.get(_plain(unit))
    if factor is not None:
        return float(value) * factor
    reciprocal = _reciprocal_angstrom(unit)
    if reciprocal is None:
        return None
    if beam_energy is None:
        raise MissingCalibrationError(("beam_energy",))
    return float(value) * reciprocal * wavelength(beam_energy) * 1e3


def _plain(unit: object) -> str:
    """Return the unit without spaces and TeX marks; an empty string for no unit."""
    text = unit if isinstance(unit, str) else ""
    text = text.translate(SAME_LETTER).replace(r"\mathrm", "").replace(r"\AA", "Å")
    return re.sub(r"[\s${}\\]", "", text)


def _reciprocal_angstrom(unit: object) -> float | None:
    """Return how many 1/Å the unit is."""
    match = _RECIPROCAL.fullmatch(_plain(unit))
    if match is None:
        return None
    length = ANGSTROM.get(match["divisor"] or match["base"])
    return None if length is None else 1.0 / length
