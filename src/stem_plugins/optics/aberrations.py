"""The phase that lens aberrations add to the probe, by polar coefficients.

The coefficients carry the names of the polar expansion in E. J. Kirkland, *Advanced Computing in
Electron Microscopy*, 3rd ed., section 2.3 (also abTEM's names): ``C10`` defocus, ``C12`` two-fold
astigmatism, ``C21`` coma, ``C23`` three-fold astigmatism, ``C30`` spherical aberration, up to
``C56``; lengths in Å, azimuths ``phi12`` … in rad.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .electrons import wavelength

__all__ = ["aberration_coefficients", "aberration_function"]

#: Order n and azimuthal multiplicity m of every coefficient C_nm up to fifth order.
ORDERS = tuple((n, m) for n in range(1, 6) for m in range(n + 2) if (n + m) % 2 == 1)

#: All polar names, lengths before azimuths.
NAMES = tuple(f"C{n}{m}" for n, m in ORDERS) + tuple(f"phi{n}{m}" for n, m in ORDERS if m)

_NAMED_LENGTHS = {
    "C30": "Cs",
    "C50": "C5",
    "C12": "astigmatism",
    "C32": "astigmatism3",
    "C52": "astigmatism5",
    "C21": "coma",
    "C41": "coma4",
    "C23": "trefoil",
    "C43": "trefoil4",
    "C34": "quadrafoil",
    "C54": "quadrafoil5",
    "C45": "pentafoil",
    "C56": "hexafoil",
}

#: Other accepted names; ``defocus`` is accepted too and equals ``-C10``.
ALIASES = {alias: name for name, alias in _NAMED_LENGTHS.items()} | {
    f"{alias}_angle": f"phi{name[1:]}" for name, alias in _NAMED_LENGTHS.items() if name[2] != "0"
}


def aberration_coefficients(
    aberrations: Mapping[str, float] | None = None, defocus: float | None = None
) -> dict[str, float]:
    """Collect aberrations under their polar names.

    Parameters
    ----------
    aberrations
        Coefficients by polar name or alias (``Cs``, ``coma``, ``coma_angle``, ``defocus`` …);
        lengths in Å, azimuths in rad.
    defocus
        Defocus [Å], positive is underfocus: ``C10 = -defocus``. ``None`` when unknown.

    Returns
    -------
    dict
        The coefficients that were given, by polar name.

    Raises
    ------
    ValueError
        A name is unknown, a value is not finite, or two entries for one coefficient contradict
        each other (for example ``defocus`` and ``C10``).

    Examples
    --------
    >>> aberration_coefficients({"Cs": 1e7}, defocus=500)
    {'C30': 10000000.0, 'C10': -500.0}
    """
    given = list((aberrations or {}).items())
    if defocus is not None:
        given.append(("defocus", defocus))
    coefficients: dict[str, float] = {}
    for name, value in given:
        if not math.isfinite(value):
            raise ValueError(f"Aberration {name!r} must be a finite number, not {value!r}.")
        symbol = "C10" if name == "defocus" else ALIASES.get(name, name)
        if symbol not in NAMES:
            raise ValueError(
                f"Unknown aberration {name!r}; the polar names are {', '.join(NAMES)}, "
                f"and defocus, {', '.join(ALIASES)}."
            )
        number = -float(value) if name == "defocus" else float(value)
        if not math.isclose(coefficients.get(symbol, number), number, abs_tol=1e-9):
            raise ValueError(
                f"{name} = {value:g} contradicts {symbol} = {coefficients[symbol]:g}; "
                "give one of them (positive defocus is underfocus, C10 = -defocus)."
            )
        coefficients[symbol] = number
    return coefficients


def aberration_function(
    alpha: ArrayLike,
    phi: ArrayLike,
    beam_energy: float,
    aberrations: Mapping[str, float] | None = None,
    defocus: float | None = None,
) -> NDArray[np.floating]:
    """Compute the aberration phase χ of a lens.

    The probe's wave in the aperture is ``A(α) exp(-iχ)``.

    Parameters
    ----------
    alpha
        Angle to the optic axis [rad], any shape.
    phi
        Azimuth [rad], from the x axis towards the y axis (which points down), in the scan frame;
        broadcast against `alpha`.
    beam_energy
        Energy of the electrons [keV].
    aberrations
        Coefficients by polar name or alias, lengths in Å and azimuths in rad.
    defocus
        Defocus [Å], positive is underfocus: ``C10 = -defocus``. ``None`` when unknown.

    Returns
    -------
    ndarray
        χ [rad], of the broadcast shape.

    Raises
    ------
    ValueError
        An aberration's name is unknown, or two entries contradict each other.

    Notes
    -----
    .. math:: \\chi(\\alpha, \\phi) = \\frac{2\\pi}{\\lambda} \\sum_{nm}
              \\frac{C_{nm}}{n + 1} \\alpha^{n+1} \\cos m(\\phi - \\phi_{nm})

    Examples
    --------
    >>> float(aberration_function(0.01, 0.0, 300, {"C10": -100.0}).round(4))
    -1.5957
    """
    coefficients = aberration_coefficients(aberrations, defocus)
    alpha, phi = np.asarray(alpha, dtype=float), np.asarray(phi, dtype=float)
    path = np.zeros(np.broadcast_shapes(alpha.shape, phi.shape))
    for n, m in ORDERS:
        length = coefficients.get(f"C{n}{m}", 0.0)
        if length:
            azimuth = coefficients.get(f"phi{n}{m}", 0.0)
            path += length / (n + 1) * alpha ** (n + 1) * np.cos(m * (phi - azimuth))
    return 2.0 * np.pi / wavelength(beam_energy) * path
