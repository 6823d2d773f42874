"""Projected electrostatic potentials of atoms, from the scattering factors of Lobato and Van Dyck.

I. Lobato and D. Van Dyck, *Acta Crystallographica A* 70, 636–649 (2014): five terms per element,
H to Lr, with the right limits at small and at large angles. Potentials are built in Fourier
space, where every sub-pixel place and every thermal smearing is exact, and each atom is projected
whole (to infinity) into its slice.
"""

from __future__ import annotations

import functools
import importlib.resources
import math
from collections.abc import Iterator

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, DTypeLike, NDArray

from stem_plugins.optics.electrons import CHARGE, ELECTRON_MASS, PLANCK
from stem_plugins.simulation.crystals import Atoms

__all__ = ["projected_potential", "scattering_factor", "sliced_potential", "slices"]

#: h² / (2π m₀ e) [V Å²]: turns a scattering factor [Å] into the transform of a potential.
POTENTIAL_FACTOR = PLANCK**2 / (2 * math.pi * ELECTRON_MASS * CHARGE) * 1e20


@functools.cache
def _coefficients() -> NDArray[np.float64]:
    """The table, shape (104, 2, 5): element, a or b, term; row 0 is empty."""
    with (importlib.resources.files(__package__) / "lobato.csv").open() as file:
        rows = np.loadtxt(file, delimiter=",", skiprows=4)
    return np.concatenate([np.zeros((1, 2, 5)), rows[:, 1:].reshape(-1, 2, 5)])


def scattering_factor(number: int, frequency: ArrayLike) -> NDArray[np.float64]:
    """Compute the electron scattering factor of a neutral atom at rest.

    Parameters
    ----------
    number
        Atomic number, 1 to 103.
    frequency
        Spatial frequency g = 2 sin(θ/2) / λ [1/Å], any shape.

    Returns
    -------
    ndarray
        ``f(g) = Σ a (2 + b g²) / (1 + b g²)²`` [Å], for electrons at rest mass.

    Raises
    ------
    ValueError
        There is no such element in the table.

    Examples
    --------
    >>> scattering_factor(6, [0.0, 1.0]).round(3).tolist()
    [2.51, 0.413]
    """
    if not 1 <= number < len(_coefficients()):
        raise ValueError(f"Scattering factors are known for Z = 1 to 103, not {number!r}.")
    squared = np.asarray(frequency, dtype=float) ** 2
    factor = np.zeros_like(squared)
    for a, b in _coefficients()[number].T:
        factor += a * (2.0 + b * squared) / (1.0 + b * squared) ** 2
    return factor


def projected_potential(
    atoms: Atoms,
    shape: tuple[int, int],
    sampling: float | tuple[float, float],
    *,
    dtype: DTypeLike = np.float64,
) -> NDArray[np.floating]:
    """Project the potential of atoms along the beam, on a periodic grid.

    Parameters
    ----------
    atoms
        The atoms; their `cell` is not used: the grid repeats with its own extent. Thermal
        displacements smear each atom by the Debye–Waller factor ``exp(-2π²u²g²)``.
    shape
        Pixels (y, x).
    sampling
        Pixel size [Å], (y, x) or one number for both.
    dtype
        float64, or float32 for half the time.

    Returns
    -------
    ndarray, shape (ny, nx)
        Projected potential [V Å], positive at atoms, band-limited to the grid's frequencies;
        pixel (0, 0) is at position (0, 0).

    Examples
    --------
    >>> from stem_plugins.simulation import single_atoms
    >>> atom = single_atoms([14], [[3.2, 3.2]], extent=(6.4, 6.4))
    >>> potential = projected_potential(atom, (64, 64), 0.1)
    >>> [int(i) for i in np.unravel_index(potential.argmax(), potential.shape)]
    [32, 32]
    """
    step_y, step_x = (float(step) for step in np.broadcast_to(np.asarray(sampling, float), 2))
    ky = scipy.fft.fftfreq(shape[0], step_y)
    kx = scipy.fft.rfftfreq(shape[1], step_x)
    wave_type = np.result_type(dtype, np.complex64)
    total = np.zeros((len(ky), len(kx)), dtype=wave_type)
    for number, displacement in sorted(set(zip(atoms.numbers, atoms.displacements, strict=True))):
        alike = (atoms.numbers == number) & (atoms.displacements == displacement)
        y, x = atoms.positions[alike, 1], atoms.positions[alike, 2]
        # Σ exp(-2πi k·r) over the atoms, as the product of a y and an x factor.
        waves_y = np.exp(-2j * np.pi * np.outer(ky, y)).astype(wave_type)
        waves_x = np.exp(-2j * np.pi * np.outer(x, kx)).astype(wave_type)
        structure_factor = waves_y @ waves_x
        structure_factor *= _form_factor(int(number), float(displacement), shape, step_y, step_x)
        total += structure_factor
    return scipy.fft.irfft2(total, s=shape, overwrite_x=True)


@functools.lru_cache(maxsize=16)
def _form_factor(
    number: int, displacement: float, shape: tuple[int, int], step_y: float, step_x: float
) -> NDArray[np.float64]:
    """Transform of one smeared atom's projected potential on a grid, in the order of rfft2.

    Kept for the next slice: a specimen of many slices has few kinds of atoms.
    """
    ky = scipy.fft.fftfreq(shape[0], step_y)[:, None]
    kx = scipy.fft.rfftfreq(shape[1], step_x)[None, :]
    squared = ky**2 + kx**2
    factor = scattering_factor(number, np.sqrt(squared))
    if displacement > 0:
        factor *= np.exp(-2 * np.pi**2 * displacement**2 * squared)
    factor *= POTENTIAL_FACTOR / (step_y * step_x)
    factor.flags.writeable = False
    return factor


def slices(atoms: Atoms, slice_thickness: float | None) -> Iterator[Atoms]:
    """Cut atoms into slices of equal thickness along the beam.

    Parameters
    ----------
    atoms
        The atoms.
    slice_thickness
        Wanted thickness [Å]; the number of slices is rounded so that they fill the cell.
        ``None`` makes one slice of everything.

    Yields
    ------
    Atoms
        The atoms of one slice, first the one that the beam meets first; each slice's `cell` is
        as high as the slice. An atom outside the cell belongs to the nearest slice.

    Raises
    ------
    ValueError
        The thickness is not above zero.

    Examples
    --------
    >>> from stem_plugins.simulation import strontium_titanate
    >>> [len(part) for part in slices(strontium_titanate(), 2.0)]
    [2, 3]
    """
    if slice_thickness is not None and not slice_thickness > 0:
        raise ValueError(f"The slice thickness must be above zero [Å], not {slice_thickness!r}.")
    height, *extent = atoms.cell
    count = 1 if slice_thickness is None else max(1, round(height / slice_thickness))
    # Atoms that lie on a cut by construction must not fall to either side by rounding.
    index = np.floor(atoms.positions[:, 0] / height * count + 1e-6).astype(int)
    for number in range(count):
        part = atoms[np.clip(index, 0, count - 1) == number]
        yield Atoms(
            part.numbers,
            part.positions,
            (height / count, extent[0], extent[1]),
            part.displacements,
            part.periodic,
        )


def sliced_potential(
    atoms: Atoms,
    shape: tuple[int, int],
    sampling: float | tuple[float, float],
    slice_thickness: float | None,
) -> NDArray[np.float64]:
    """Project the potential of each slice of a specimen, on a periodic grid.

    Parameters
    ----------
    atoms
        The atoms; the height of their `cell` is divided into slices.
    shape
        Pixels (y, x).
    sampling
        Pixel size [Å], (y, x) or one number for both.
    slice_thickness
        Wanted slice thickness [Å]; ``None`` makes one slice.

    Returns
    -------
    ndarray, shape (slices, ny, nx)
        Projected potentials [V Å] in the order in which the beam meets them.

    Raises
    ------
    ValueError
        The thickness is not above zero.

    Examples
    --------
    >>> from stem_plugins.simulation import strontium_titanate
    >>> sliced_potential(strontium_titanate(3), (32, 32), 3.905 / 32, 3.905).shape
    (3, 32, 32)
    """
    return np.stack(
        [projected_potential(part, shape, sampling) for part in slices(atoms, slice_thickness)]
    )
