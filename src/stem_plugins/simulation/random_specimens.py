"""Specimens drawn at random, to train networks on: all that is looked at in a STEM, and more.

Crystals of the common structure types with any chemistry, in any low-index zone; cells of hard
spheres in which no network can have seen an order; twisted layers; particles on a support;
clusters, amorphous films and single atoms. Distances follow covalent radii (B. Cordero et al.,
*Dalton Transactions* 2008, 2832, coarsely), so that densities are those of matter.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stem_plugins.simulation.crystals import Atoms

__all__ = ["CONTENTS", "Crystal", "crystal_slab", "random_specimen"]

Generator = np.random.Generator

#: Most atoms of a specimen: thick ones of a wide field are made thinner.
MOST_ATOMS = 150_000

#: Elements that are drawn more often than others.
COMMON = (6, 7, 8, 13, 14, 16, 22, 26, 29, 31, 33, 38, 42, 46, 47, 56, 57, 74, 78, 79)

#: What networks are tested on, and is never drawn: gold, silicon, strontium titanate, boron nitride
#: and molybdenum disulfide, as their elements.
HELD_OUT = ({79}, {14}, {38, 22, 8}, {5, 7}, {42, 16})

#: Root mean square displacements [Å].
DISPLACEMENTS = (0.04, 0.11)


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


def random_specimen(
    extent: float, rng: Generator, *, content: str | None = None, thickness: float | None = None
) -> Atoms:
    """Draw a specimen.

    Parameters
    ----------
    extent
        Of the field that it fills [Å].
    rng
        Source of random numbers.
    content
        A name of `CONTENTS`; ``None``: any.
    thickness
        Along the beam [Å]; ``None``: 3 to 30, as in table 4.1 of the thesis.

    Returns
    -------
    Atoms
        Not periodic, with thermal displacements.

    Raises
    ------
    ValueError
        There is no such content.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> random_specimen(40.0, rng, content="layers").cell[1:]
    (40.0, 40.0)
    """
    if content is None:
        names, weights = zip(
            *((name, weight) for name, (weight, _) in CONTENTS.items()), strict=True
        )
        content = str(rng.choice(names, p=np.array(weights) / sum(weights)))
    if content not in CONTENTS:
        raise ValueError(f"content must be one of {', '.join(CONTENTS)}, not {content!r}.")
    if thickness is None:
        thickness = float(np.exp(rng.uniform(np.log(3), np.log(30))))
    # Matter has about 0.08 atoms in a cubic ångström.
    thickness = max(2.5, min(thickness, MOST_ATOMS / (0.08 * extent**2)))
    atoms = CONTENTS[content][1](extent, thickness, rng)
    motion = rng.uniform(*DISPLACEMENTS) * np.ones(len(atoms))
    return dataclasses.replace(atoms, displacements=motion)


def _element(rng: Generator) -> int:
    return int(rng.choice(COMMON)) if rng.random() < 0.6 else int(rng.integers(3, 93))


def _radius(number: int) -> float:
    """Covalent radius [Å], to a tenth or two."""
    period = np.searchsorted((2, 10, 18, 36, 54, 86), number)
    return float((0.35, 0.75, 1.15, 1.3, 1.45, 1.5, 1.65)[period])


#: Places of atoms in parts of the cell, each with its kind, and the edges b/a and c/a.
_FACES = ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))


def _moved(kind: int, by: tuple[float, float, float]) -> list[tuple[int, tuple[float, ...]]]:
    return [(kind, tuple(np.add(place, by))) for place in _FACES]


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

_ZONES = ((0, 0, 1), (1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 1, 2), (0, 1, 1), (2, 1, 0), (1, 0, 1))


def _typed_crystal(rng: Generator) -> Crystal:
    """A common structure type with any elements, as large as their radii ask."""
    between, ratio, sites = _TYPES[str(rng.choice(list(_TYPES)))]
    numbers = _not_held_out(
        lambda: np.array([_element(rng) for _ in range(3)])[[kind for kind, _ in sites]]
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
    touching = np.mean([_radius(int(number)) for number in numbers]) * 2
    return dataclasses.replace(
        small, cell=cell * (touching * rng.uniform(0.95, 1.2) / small.shortest)
    )


def _hard_spheres(rng: Generator) -> Crystal:
    """A cell of any shape with atoms at random that keep their distance."""
    elements = [_element(rng) for _ in range(rng.integers(1, 4))]
    count = int(rng.integers(2, 13))
    numbers = rng.choice(elements, count)
    radii = np.array([_radius(int(number)) for number in numbers])
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


def _crystal(extent: float, thickness: float, rng: Generator) -> Atoms:
    made = _typed_crystal(rng) if rng.random() < 0.7 else _hard_spheres(rng)
    atoms = crystal_slab(
        made,
        _ZONES[rng.integers(len(_ZONES))] if rng.random() < 0.85 else rng.integers(-3, 4, 3) + 0.1,
        angle=rng.uniform(0, 2 * np.pi),
        extent=(extent, extent),
        thickness=thickness,
        origin=rng.random(3),
    )
    return _with_defects(atoms, rng)


def _with_defects(atoms: Atoms, rng: Generator) -> Atoms:
    """Vacancies, other elements in places, static displacements, an edge."""
    keep = np.ones(len(atoms), bool)
    if rng.random() < 0.3:
        keep &= rng.random(len(atoms)) > rng.choice([0.01, 0.05, 0.2])
    if rng.random() < 0.35:
        keep &= _within_shape(atoms.positions[:, 1:], atoms.cell[1], rng)
    atoms = atoms[keep]
    numbers, positions = atoms.numbers.copy(), atoms.positions.copy()
    if rng.random() < 0.2:
        swapped = rng.random(len(atoms)) < rng.choice([0.005, 0.05])
        numbers[swapped] = _element(rng)
    if rng.random() < 0.3:
        positions[:, 1:] += rng.normal(0, rng.choice([0.05, 0.15]), (len(atoms), 2))
    return dataclasses.replace(atoms, numbers=numbers, positions=positions)


def _within_shape(places: NDArray[np.float64], extent: float, rng: Generator) -> NDArray[np.bool_]:
    """Beyond an edge, within a disc, or outside a hole."""
    middle = rng.uniform(0.2, 0.8, 2) * extent
    kind = rng.integers(3)
    if kind == 0:
        turn = rng.uniform(0, 2 * np.pi)
        return (places - middle) @ np.array([np.sin(turn), np.cos(turn)]) > 0
    radius = rng.uniform(0.1, 0.5) * extent
    inside = np.linalg.norm(places - middle, axis=1) < radius
    return inside if kind == 1 else ~inside


def _layers(extent: float, thickness: float, rng: Generator) -> Atoms:
    """One to three layers of a two-dimensional material, twisted; now and then with adatoms."""
    kinds = rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])
    first = _layer_crystal(rng)
    parts = []
    angle = rng.uniform(0, 2 * np.pi)
    for _ in range(kinds):
        layer = first if rng.random() < 0.7 else _layer_crystal(rng)
        parts.append(
            crystal_slab(
                layer,
                (0, 0, 1),
                angle=angle,
                extent=(extent, extent),
                thickness=layer.cell[2, 2] * 0.999,
                origin=(*rng.random(2), 0.0),
            )
        )
        angle += rng.choice([0.0, rng.uniform(0, np.pi / 3)])
    atoms = _stacked(parts)
    if rng.random() < 0.3:
        loose = _sparse(extent, atoms.cell[0], rng)
        atoms = _stacked([atoms, dataclasses.replace(loose, cell=(2.0, extent, extent))])
    return _with_defects(atoms, rng)


def _layer_crystal(rng: Generator) -> Crystal:
    """Graphene, a dichalcogenide, or such a layer of any elements."""
    hexagon = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 1]])
    kind = rng.integers(4)
    if kind < 2:
        numbers, length = np.array([6, 6]), 2.46
        if kind == 1 or rng.random() < 0.3:
            numbers = _not_held_out(lambda: np.array([_element(rng), _element(rng)]))
            length = np.sqrt(3) * (_radius(int(numbers[0])) + _radius(int(numbers[1])))
        places = np.array([[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])
        return Crystal(hexagon * [[length], [length], [3.4]], places, numbers)
    metal, other = _not_held_out(
        lambda: np.array(
            [
                rng.choice([42, 74, 22, 41, 73, 78, 50]) if rng.random() < 0.7 else _element(rng),
                rng.choice([16, 34, 52]) if rng.random() < 0.8 else _element(rng),
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


def _stacked(parts: list[Atoms]) -> Atoms:
    """Specimens above each other."""
    height, positions = 0.0, []
    for part in parts:
        positions.append(part.positions + np.array([height, 0, 0]))
        height += part.cell[0]
    cell = (height, *parts[0].cell[1:])
    numbers = np.concatenate([part.numbers for part in parts])
    return Atoms(numbers, np.concatenate(positions), cell, periodic=False)


def _amorphous(extent: float, thickness: float, rng: Generator) -> Atoms:
    """Atoms without order that keep some distance: a jittered lattice of any orientation."""
    number = int(rng.choice([6, 6, 8, 14, 32])) if rng.random() < 0.8 else _element(rng)
    faces = np.array(_FACES, float)
    # So far apart, they are as dense as amorphous carbon or silicon.
    edge = 1.5 * np.sqrt(2) * 2 * _radius(number)
    made = Crystal(edge * np.eye(3), faces, np.full(4, number))
    loose = crystal_slab(
        made,
        rng.normal(size=3),
        angle=rng.uniform(0, 6),
        extent=(extent, extent),
        thickness=thickness,
        origin=rng.random(3),
    )
    positions = loose.positions + rng.normal(0, 0.6 * _radius(number), loose.positions.shape)
    positions[:, 0] = positions[:, 0].clip(0, thickness)
    return Atoms(np.full(len(loose), number), positions, loose.cell, periodic=False)


def _sparse(extent: float, thickness: float, rng: Generator) -> Atoms:
    """Single atoms, pairs and small groups in vacuum."""
    count = int(np.clip(extent**2 * np.exp(rng.uniform(np.log(0.002), np.log(0.1))), 1, 4000))
    middles = rng.uniform(0, extent, (count, 2))
    groups = rng.integers(1, 4, count)
    places = np.repeat(middles, groups, axis=0)
    turn = rng.uniform(0, 2 * np.pi, len(places))
    away = np.where(np.arange(len(places)) % 2, rng.uniform(0.8, 3.0, len(places)), 0.0)
    places = places + away[:, None] * np.column_stack([np.sin(turn), np.cos(turn)])
    heights = np.full(len(places), 0.5 * thickness)
    numbers = np.array([_element(rng) for _ in range(len(places))])
    return Atoms(
        numbers, np.column_stack([heights, places]), (thickness, extent, extent), periodic=False
    )


def _on_support(extent: float, thickness: float, rng: Generator) -> Atoms:
    """Crystalline particles on an amorphous film."""
    film = _amorphous(extent, max(2.5, thickness * rng.uniform(0.3, 1)), rng)
    made = _typed_crystal(rng)
    parts = [film]
    for _ in range(rng.integers(1, 4)):
        slab = crystal_slab(
            made,
            _ZONES[rng.integers(len(_ZONES))],
            angle=rng.uniform(0, 6),
            extent=(extent, extent),
            thickness=max(2.5, thickness * rng.uniform(0.3, 1)),
            origin=rng.random(3),
        )
        middle = np.array([slab.cell[0] * rng.uniform(0, 0.5), *(rng.random(2) * extent)])
        radius = rng.uniform(0.05, 0.4) * extent
        flat = (slab.positions - middle) * [radius / max(slab.cell[0], radius), 1, 1]
        parts.append(slab[np.linalg.norm(flat, axis=1) < radius])
    return _stacked(parts[:2]) if rng.random() < 0.6 else _side_by_side(parts)


def _side_by_side(parts: list[Atoms]) -> Atoms:
    """All on the first part, at the same height."""
    film, *others = parts
    positions = [
        film.positions,
        *(part.positions + np.array([film.cell[0], 0, 0]) for part in others),
    ]
    height = film.cell[0] + max(part.cell[0] for part in others)
    numbers = np.concatenate([part.numbers for part in parts])
    return Atoms(numbers, np.concatenate(positions), (height, *film.cell[1:]), periodic=False)


#: How often each is drawn, and what draws it.
CONTENTS: dict[str, tuple[float, Callable[[float, float, Generator], Atoms]]] = {
    "crystal": (0.42, _crystal),
    "layers": (0.22, _layers),
    "on support": (0.14, _on_support),
    "amorphous": (0.1, _amorphous),
    "sparse": (0.12, _sparse),
}
