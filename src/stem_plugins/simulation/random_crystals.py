"""Crystals drawn at random, and slabs cut out of any crystal.

Common structure types with any chemistry, cells of hard spheres in which no network can have seen
an order, and single layers. Distances follow covalent radii (B. Cordero et al., *Dalton
Transactions* 2008, 2832, coarsely), so that densities are those of matter.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stem_plugins.simulation.crystals import Atoms

__all__ = [
    "FACES",
    "HELD_OUT",
    "ZONES",
    "Crystal",
    "covalent_radius",
    "crystal_slab",
    "hard_spheres",
    "layer_crystal",
    "random_element",
    "typed_crystal",
]

Generator = np.random.Generator

#: Elements that are drawn more often than others.
COMMON = (6, 7, 8, 13, 14, 16, 22, 26, 29, 31, 33, 38, 42, 46, 47, 56, 57, 74, 78, 79)

#: What networks are tested on, and is never drawn: gold, silicon, strontium titanate, boron nitride
#: and molybdenum disulfide, as their elements.
HELD_OUT = ({79}, {14}, {38, 22, 8}, {5, 7}, {42, 16})


@dataclasses.dataclass(frozen=True, eq=False)
class Crystal:
    """A crystal without end.

    Parameters
    ----------
    cell
        Lattice vectors [Å] as rows (x, y, z).
    places
        Atoms in parts of the lattice vectors, (n, 3).
    numbers
        Atomic numbers, (n,).
    """

    cell: NDArray[np.float64]
    places: NDArray[np.float64]
    numbers: NDArray[np.int64]

    @property
    def shortest(self) -> float:
        """Smallest distance of two atoms [Å]."""
        shifts = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
        apart = (self.places[:, None, None] - self.places[None, :, None] + shifts) @ self.cell
        lengths = np.linalg.norm(apart, axis=-1)
        return float(lengths[lengths > 1e-3].min())


def crystal_slab(
    crystal: Crystal,
    zone: ArrayLike,
    *,
    angle: float,
    extent: tuple[float, float],
    thickness: float,
    origin: ArrayLike = (0.0, 0.0, 0.0),
) -> Atoms:
    """Cut a slab out of a crystal.

    Parameters
    ----------
    crystal
        Any crystal; its cell need not have right angles.
    zone
        Direction of the beam in parts of the lattice vectors, ``[u, v, w]``.
    angle
        By which it is turned about the beam [rad].
    extent, thickness
        Of the slab: (y, x) and along the beam [Å].
    origin
        Part of a cell by which the crystal is moved.

    Returns
    -------
    Atoms
        Not periodic.

    Examples
    --------
    >>> copper = Crystal(3.6 * np.eye(3), np.array(
    ...     [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]), np.full(4, 29))
    >>> crystal_slab(copper, [1, 1, 0], angle=0.3, extent=(36, 36), thickness=3.6)
    Atoms(... atoms in 3.6 × 36 × 36 Å)
    """
    along = np.asarray(zone, float) @ crystal.cell
    along /= np.linalg.norm(along)
    aside = np.eye(3)[np.abs(along).argmin()]
    first = np.cross(aside, along)
    first /= np.linalg.norm(first)
    second = np.cross(along, first)
    cos, sin = np.cos(angle), np.sin(angle)
    # Rows: the directions z, y and x of the slab.
    frame = np.stack([along, cos * second - sin * first, sin * second + cos * first])
    vectors = crystal.cell @ frame.T
    size = np.array([thickness, *extent])
    corners = (np.array(list(itertools.product((0, 1), repeat=3))) * size) @ np.linalg.inv(vectors)
    low, high = np.floor(corners.min(0)).astype(int) - 1, np.ceil(corners.max(0)).astype(int) + 1
    cells = np.stack(np.meshgrid(*map(np.arange, low, high + 1), indexing="ij"), -1).reshape(-1, 3)
    numbers, positions = [], []
    for number, place in zip(crystal.numbers, crystal.places, strict=True):
        found = (cells + place + np.asarray(origin)) @ vectors
        found = found[((found >= 0) & (found < size)).all(1)]
        positions.append(found)
        numbers.append(np.full(len(found), number))
    return Atoms(np.concatenate(numbers), np.concatenate(positions), tuple(size), periodic=False)


def random_element(rng: Generator) -> int:
    """Draw an atomic number, common elements more often.

    Parameters
    ----------
    rng
        Source of random numbers.
    """
    return int(rng.choice(COMMON)) if rng.random() < 0.6 else int(rng.integers(3, 93))


def covalent_radius(number: int) -> float:
    """Return a covalent radius [Å], to a tenth or two.

    Parameters
    ----------
    number
        Atomic number.
    """
    period = np.searchsorted((2, 10, 18, 36, 54, 86), number)
    return float((0.35, 0.75, 1.15, 1.3, 1.45, 1.5, 1.65)[period])


#: Places of atoms in parts of the cell, each with its kind, and the edges b/a and c/a.
FACES = ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))


def _moved(kind: int, by: tuple[float, float, float]) -> list[tuple[int, tuple[float, ...]]]:
    return [(kind, tuple(np.add(place, by))) for place in FACES]


_THIRDS = ((1 / 3, 2 / 3, 0.0), (2 / 3, 1 / 3, 0.5))
_TYPES: dict[str, tuple[float, float, Sequence[tuple[int, tuple[float, ...]]]]] = {
    # name: (angle between a and b [deg], c/a, [(kind, place)])
    "A1": (90, 1.0, _moved(0, (0, 0, 0))),
    "A2": (90, 1.0, [(0, (0, 0, 0)), (0, (0.5, 0.5, 0.5))]),
    "A3": (120, 1.63, [(0, (1 / 3, 2 / 3, 0.25)), (0, (2 / 3, 1 / 3, 0.75))]),
    "A4": (90, 1.0, _moved(0, (0, 0, 0)) + _moved(0, (0.25, 0.25, 0.25))),
    "B1": (90, 1.0, _moved(0, (0, 0, 0)) + _moved(1, (0.5, 0, 0))),
    "B2": (90, 1.0, [(0, (0, 0, 0)), (1, (0.5, 0.5, 0.5))]),
    "B3": (90, 1.0, _moved(0, (0, 0, 0)) + _moved(1, (0.25, 0.25, 0.25))),
    "B4": (
        120,
        1.63,
        [(0, place) for place in _THIRDS] + [(1, (x, y, z + 0.377)) for x, y, z in _THIRDS],
    ),
    "C1": (
        90,
        1.0,
        _moved(0, (0, 0, 0)) + _moved(1, (0.25, 0.25, 0.25)) + _moved(1, (0.75, 0.75, 0.75)),
    ),
    "E2_1": (
        90,
        1.0,
        [
            (0, (0, 0, 0)),
            (1, (0.5, 0.5, 0.5)),
            (2, (0.5, 0.5, 0)),
            (2, (0.5, 0, 0.5)),
            (2, (0, 0.5, 0.5)),
        ],
    ),
    "C4": (
        90,
        0.644,
        [(0, (0, 0, 0)), (0, (0.5, 0.5, 0.5))]
        + [
            (1, (x, y, z))
            for x, y, z in (
                (0.305, 0.305, 0),
                (0.695, 0.695, 0),
                (0.805, 0.195, 0.5),
                (0.195, 0.805, 0.5),
            )
        ],
    ),
}

ZONES = ((0, 0, 1), (1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 1, 2), (0, 1, 1), (2, 1, 0), (1, 0, 1))


def typed_crystal(rng: Generator) -> Crystal:
    """A common structure type with any elements, as large as their radii ask.

    Parameters
    ----------
    rng
        Source of random numbers.
    """
    between, ratio, sites = _TYPES[str(rng.choice(list(_TYPES)))]
    numbers = _not_held_out(
        lambda: np.array([random_element(rng) for _ in range(3)])[[kind for kind, _ in sites]]
    )
    turn = np.deg2rad(between)
    stretch = rng.uniform(0.97, 1.03, 2)
    cell = np.array(
        [
            [1, 0, 0],
            [np.cos(turn) * stretch[0], np.sin(turn) * stretch[0], 0],
            [0, 0, ratio * stretch[1]],
        ]
    )
    return _to_scale(cell, np.array([place for _, place in sites], float), numbers, rng)


def _not_held_out(draw: Callable[[], NDArray[np.int64]]) -> NDArray[np.int64]:
    """Draw elements until they are none of those to test on."""
    while set((numbers := draw()).tolist()) in HELD_OUT:
        pass
    return numbers


def _to_scale(
    cell: NDArray[np.float64], places: NDArray[np.float64], numbers: NDArray, rng: Generator
) -> Crystal:
    """Give a crystal the size that its atoms need."""
    small = Crystal(cell, places, numbers)
    touching = np.mean([covalent_radius(int(number)) for number in numbers]) * 2
    return dataclasses.replace(
        small, cell=cell * (touching * rng.uniform(0.95, 1.2) / small.shortest)
    )


def hard_spheres(rng: Generator) -> Crystal:
    """A cell of any shape with atoms at random that keep their distance.

    Parameters
    ----------
    rng
        Source of random numbers.
    """
    elements = [random_element(rng) for _ in range(rng.integers(1, 4))]
    count = int(rng.integers(2, 13))
    numbers = rng.choice(elements, count)
    radii = np.array([covalent_radius(int(number)) for number in numbers])
    volume = np.sum((2 * radii) ** 3) * rng.uniform(1.0, 1.6)
    cell = np.diag(rng.uniform(0.7, 1.4, 3)) + np.triu(rng.uniform(-0.4, 0.4, (3, 3)), 1)
    cell *= (volume / abs(np.linalg.det(cell))) ** (1 / 3)
    shifts = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ cell
    kept: list[int] = []
    places = rng.random((count, 3))
    for index in range(count):
        apart = (places[kept] - places[index]) @ cell
        lengths = np.linalg.norm(apart[:, None] + shifts, axis=-1)
        if not kept or (lengths > 0.85 * (radii[kept] + radii[index])[:, None]).all():
            kept.append(index)
    return Crystal(cell, places[kept], numbers[kept])


def layer_crystal(rng: Generator) -> Crystal:
    """Graphene, a dichalcogenide, or such a layer of any elements.

    Parameters
    ----------
    rng
        Source of random numbers.
    """
    hexagon = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 1]])
    kind = rng.integers(4)
    if kind < 2:
        numbers, length = np.array([6, 6]), 2.46
        if kind == 1 or rng.random() < 0.3:
            # Light ones are the hardest to see.
            light = rng.random() < 0.5
            numbers = _not_held_out(
                lambda: (
                    rng.integers(4, 10, 2)
                    if light
                    else np.array([random_element(rng), random_element(rng)])
                )
            )
            length = np.sqrt(3) * (
                covalent_radius(int(numbers[0])) + covalent_radius(int(numbers[1]))
            )
        places = np.array([[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])
        return Crystal(hexagon * [[length], [length], [3.4]], places, numbers)
    metal, other = _not_held_out(
        lambda: np.array(
            [
                rng.choice([42, 74, 22, 41, 73, 78, 50])
                if rng.random() < 0.7
                else random_element(rng),
                rng.choice([16, 34, 52]) if rng.random() < 0.8 else random_element(rng),
            ]
        )
    )
    length, height = rng.uniform(3.1, 3.6), rng.uniform(6.0, 6.6)
    half = rng.uniform(1.5, 1.8) / height
    places = np.array([[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5 - half], [2 / 3, 1 / 3, 0.5 + half]])
    if rng.random() < 0.3:
        places[2, :2] = 0.0  # octahedral
    return Crystal(
        hexagon * [[length], [length], [height]], places, np.array([metal, other, other])
    )
