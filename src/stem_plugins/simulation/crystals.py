"""Atom lists of specimens that a STEM looks at.

Positions are (z, y, x) in Å: the beam runs along +z, y and x are the scan frame (y down), and
the specimen repeats in y and x where it is `periodic`. Thermal motion is isotropic; its root mean
square per direction u follows from the Debye–Waller factor, ``B = 8π²u²``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import ase

__all__ = [
    "Atoms",
    "from_ase",
    "gallium_nitride",
    "graphene",
    "molybdenum_disulfide",
    "single_atoms",
    "strontium_titanate",
]

#: Heaviest element in the table of scattering factors.
LARGEST_NUMBER = 103


@dataclasses.dataclass(frozen=True, eq=False)
class Atoms:
    """Atoms in a box with right angles.

    Parameters
    ----------
    numbers
        Atomic numbers, shape (n,), 1 to 103.
    positions
        Places [Å], shape (n, 3), as (z, y, x).
    cell
        Edges of the box [Å], (z, y, x); its corner is the origin.
    displacements
        Root mean square thermal displacement per direction [Å], shape (n,) or one number.
    periodic
        Whether the box repeats without end in y and x.

    Raises
    ------
    ValueError
        Shapes do not match, a number is no element of the table, or a length is not usable.

    Examples
    --------
    >>> Atoms([14], [[0.0, 1.0, 1.0]], (3.0, 2.0, 2.0)).repeat(1, 2, 3)
    Atoms(6 atoms in 3 × 4 × 6 Å)
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: tuple[float, float, float]
    displacements: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.zeros(()))
    periodic: bool = True

    def __post_init__(self) -> None:
        numbers = np.asarray(self.numbers, dtype=np.int64).reshape(-1)
        positions = np.asarray(self.positions, dtype=float).reshape(-1, 3)
        cell = tuple(float(edge) for edge in self.cell)
        if len(numbers) != len(positions):
            raise ValueError(f"{len(numbers)} atomic numbers but {len(positions)} positions.")
        if ((numbers < 1) | (numbers > LARGEST_NUMBER)).any():
            raise ValueError(f"Atomic numbers must lie between 1 and {LARGEST_NUMBER}.")
        if len(cell) != 3 or not all(np.isfinite(edge) and edge > 0 for edge in cell):
            raise ValueError(f"The cell must be three lengths above zero [Å], not {self.cell!r}.")
        if not np.isfinite(positions).all():
            raise ValueError("Atom positions must be finite numbers [Å].")
        displacements = np.broadcast_to(np.asarray(self.displacements, float), numbers.shape).copy()
        if not (displacements >= 0).all():
            raise ValueError("Thermal displacements must be zero or above [Å].")
        values = (numbers, positions, cell, displacements)
        names = ("numbers", "positions", "cell", "displacements")
        for name, value in zip(names, values, strict=True):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        edges = " × ".join(f"{edge:g}" for edge in self.cell)
        return f"Atoms({len(self)} atoms in {edges} Å)"

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, chosen: NDArray) -> Self:
        """Return the atoms that a mask or an array of indices chooses, in the same box."""
        return dataclasses.replace(
            self,
            numbers=self.numbers[chosen],
            positions=self.positions[chosen],
            displacements=self.displacements[chosen],
        )

    def repeat(self, z: int = 1, y: int = 1, x: int = 1) -> Self:
        """Return the box repeated along each axis.

        Parameters
        ----------
        z, y, x
            How many boxes stand along each axis.
        """
        cells = np.indices((z, y, x)).reshape(3, -1).T * np.array(self.cell)
        return dataclasses.replace(
            self,
            numbers=np.tile(self.numbers, len(cells)),
            positions=(cells[:, None] + self.positions).reshape(-1, 3),
            cell=tuple(np.array(self.cell) * (z, y, x)),
            displacements=np.tile(self.displacements, len(cells)),
        )

    def displaced(self, rng: np.random.Generator) -> Self:
        """Return one frozen-phonon configuration: atoms moved at random, and then at rest.

        Parameters
        ----------
        rng
            Source of the normally distributed, independent (Einstein) displacements.
        """
        moves = rng.normal(size=self.positions.shape) * self.displacements[:, None]
        return dataclasses.replace(
            self, positions=self.positions + moves, displacements=np.zeros(len(self))
        )


def strontium_titanate(thickness_cells: int = 1) -> Atoms:
    """Build SrTiO₃ along [001]: columns of Sr, of Ti with O, and of O alone.

    Parameters
    ----------
    thickness_cells
        Unit cells of 3.905 Å along the beam.

    Notes
    -----
    Displacements at room temperature from the Debye–Waller factors of Y. A. Abramov et al.,
    *Acta Crystallographica B* 51, 942 (1995): B = 0.62 (Sr), 0.44 (Ti), 0.73 Å² (O).

    Examples
    --------
    >>> strontium_titanate(4)
    Atoms(20 atoms in 15.62 × 3.905 × 3.905 Å)
    """
    sites = [
        (38, (0.0, 0.0, 0.0), 0.62),
        (22, (0.5, 0.5, 0.5), 0.44),
        (8, (0.0, 0.5, 0.5), 0.73),
        (8, (0.5, 0.0, 0.5), 0.73),
        (8, (0.5, 0.5, 0.0), 0.73),
    ]
    return _crystal(sites, (3.905, 3.905, 3.905)).repeat(z=thickness_cells)


def gallium_nitride(thickness_cells: int = 1) -> Atoms:
    """Build wurtzite GaN along [11-20]: dumbbells of Ga and N, with the polar axis along +y.

    Parameters
    ----------
    thickness_cells
        Cells of 3.189 Å along the beam.

    Notes
    -----
    a = 3.189 Å, c = 5.185 Å, u = 0.377; B = 0.30 (Ga) and 0.35 Å² (N) are typical of room
    temperature.

    Examples
    --------
    >>> gallium_nitride().cell
    (3.189, 5.185, 5.5235...)
    """
    a, c, u = 3.189, 5.185, 0.377
    layers = ((0.0, 0.0, 1 / 3), (0.5, 0.0, 5 / 6), (0.5, 0.5, 1 / 6), (0.0, 0.5, 2 / 3))
    sites = [(31, layer, 0.30) for layer in layers]
    sites += [(7, (z, y + u, x), 0.35) for z, y, x in layers]
    return _crystal(sites, (a, c, a * np.sqrt(3)))


def graphene() -> Atoms:
    """Build one layer of graphene, 2.46 Å lattice constant, in a box 3.35 Å high.

    The layer lies in the middle of the box; B = 0.30 Å² (in the plane, room temperature).

    Examples
    --------
    >>> len(graphene())
    4
    """
    places = ((1 / 3, 0.0), (5 / 6, 0.5), (1 / 6, 0.5), (2 / 3, 0.0))
    sites = [(6, (0.5, y, x), 0.30) for y, x in places]
    return _crystal(sites, (3.35, 2.46 * np.sqrt(3), 2.46))


def molybdenum_disulfide() -> Atoms:
    """Build one 2H layer of MoS₂, 3.16 Å lattice constant, in a box 6.15 Å high.

    One column holds Mo, its neighbours hold two S above each other, 3.17 Å apart; B = 0.25 (Mo)
    and 0.35 Å² (S) are typical of room temperature.

    Examples
    --------
    >>> sorted(molybdenum_disulfide().numbers.tolist())
    [16, 16, 16, 16, 42, 42]
    """
    height, half = 6.15, 0.5 * 3.17 / 6.15
    sites = [(42, (0.5, y, x), 0.25) for y, x in ((1 / 3, 0.0), (5 / 6, 0.5))]
    sites += [
        (16, (0.5 + side * half, y, x), 0.35)
        for y, x in ((1 / 6, 0.5), (2 / 3, 0.0))
        for side in (-1, 1)
    ]
    return _crystal(sites, (height, 3.16 * np.sqrt(3), 3.16))


def single_atoms(
    numbers: ArrayLike, places: ArrayLike, *, extent: tuple[float, float], thickness: float = 1.0
) -> Atoms:
    """Put separate atoms into vacuum, at half the height of the box.

    Parameters
    ----------
    numbers
        Atomic numbers, shape (n,).
    places
        (y, x) of each atom [Å], shape (n, 2).
    extent
        Size of the box (y, x) [Å]; the specimen does not repeat.
    thickness
        Height of the box [Å].

    Examples
    --------
    >>> single_atoms([6, 79], [[5, 5], [5, 10]], extent=(10, 15)).periodic
    False
    """
    places = np.asarray(places, dtype=float).reshape(-1, 2)
    positions = np.column_stack([np.full(len(places), 0.5 * thickness), places])
    return Atoms(np.asarray(numbers), positions, (thickness, *extent), periodic=False)


def from_ase(
    structure: ase.Atoms, *, displacements: float | dict[str, float] = 0.0, periodic: bool = True
) -> Atoms:
    """Take over the atoms of an ASE structure whose cell has right angles.

    Parameters
    ----------
    structure
        The structure; the beam runs along its third axis, its first axis becomes x, its second y.
    displacements
        Root mean square thermal displacement per direction [Å], for all atoms or by symbol.
    periodic
        Whether the cell repeats in y and x.

    Raises
    ------
    ValueError
        The cell has no right angles or no extent, or a displacement is missing for a symbol.

    Examples
    --------
    >>> import ase.build
    >>> from_ase(ase.build.bulk("Au", cubic=True))
    Atoms(4 atoms in 4.08 × 4.08 × 4.08 Å)
    """
    cell = np.asarray(structure.cell)
    edges = np.diag(cell)
    if np.abs(cell - np.diag(edges)).max() > 1e-6 or (edges <= 0).any():
        raise ValueError(
            "The cell must have right angles and lie along the axes; make it so with ASE "
            "(ase.build.cut, abtem.orthogonalize_cell) before from_ase."
        )
    symbols = structure.get_chemical_symbols()
    if isinstance(displacements, dict):
        unknown = sorted(set(symbols) - set(displacements))
        if unknown:
            raise ValueError(f"No thermal displacement given for {', '.join(unknown)}.")
        motion: ArrayLike = [displacements[symbol] for symbol in symbols]
    else:
        motion = displacements
    positions = structure.positions[:, ::-1].copy()
    z, y, x = (float(edge) for edge in edges[::-1])
    return Atoms(structure.numbers, positions, (z, y, x), np.asarray(motion, float), periodic)


def _crystal(
    sites: Iterable[tuple[int, Sequence[float], float]], cell: tuple[float, float, float]
) -> Atoms:
    """Atoms from (number, fractional (z, y, x), Debye–Waller factor B [Å²])."""
    numbers, places, debye_waller = zip(*sites, strict=True)
    displacements = np.sqrt(np.asarray(debye_waller) / (8 * np.pi**2))
    return Atoms(
        np.asarray(numbers), np.asarray(places) % 1.0 * np.array(cell), cell, displacements
    )
