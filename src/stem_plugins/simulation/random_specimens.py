"""Specimens drawn at random, to train networks on: all that is looked at in a STEM, and more.

Crystals of the common structure types with any chemistry, in any low-index zone; cells of hard
spheres in which no network can have seen an order; twisted layers; particles on a support;
clusters, amorphous films and single atoms.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stem_plugins.simulation.crystals import Atoms
from stem_plugins.simulation.random_crystals import (
    FACES,
    ZONES,
    Crystal,
    covalent_radius,
    crystal_slab,
    hard_spheres,
    layer_crystal,
    random_element,
    typed_crystal,
)

__all__ = ["CONTENTS", "random_specimen"]

Generator = np.random.Generator

#: Most atoms of a specimen: thick ones of a wide field are made thinner.
MOST_ATOMS = 150_000

#: Root mean square displacements [Å].
DISPLACEMENTS = (0.04, 0.11)


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


def _crystal(extent: float, thickness: float, rng: Generator) -> Atoms:
    made = typed_crystal(rng) if rng.random() < 0.7 else hard_spheres(rng)
    atoms = crystal_slab(
        made,
        ZONES[rng.integers(len(ZONES))] if rng.random() < 0.85 else rng.integers(-3, 4, 3) + 0.1,
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
        numbers[swapped] = random_element(rng)
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
    first = layer_crystal(rng)
    parts = []
    angle = rng.uniform(0, 2 * np.pi)
    for _ in range(kinds):
        layer = first if rng.random() < 0.7 else layer_crystal(rng)
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
    number = int(rng.choice([6, 6, 8, 14, 32])) if rng.random() < 0.8 else random_element(rng)
    faces = np.array(FACES, float)
    # So far apart, they are as dense as amorphous carbon or silicon.
    edge = 1.5 * np.sqrt(2) * 2 * covalent_radius(number)
    made = Crystal(edge * np.eye(3), faces, np.full(4, number))
    loose = crystal_slab(
        made,
        rng.normal(size=3),
        angle=rng.uniform(0, 6),
        extent=(extent, extent),
        thickness=thickness,
        origin=rng.random(3),
    )
    positions = loose.positions + rng.normal(
        0, 0.6 * covalent_radius(number), loose.positions.shape
    )
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
    numbers = np.array([random_element(rng) for _ in range(len(places))])
    return Atoms(
        numbers, np.column_stack([heights, places]), (thickness, extent, extent), periodic=False
    )


def _on_support(extent: float, thickness: float, rng: Generator) -> Atoms:
    """Crystalline particles on an amorphous film."""
    film = _amorphous(extent, max(2.5, thickness * rng.uniform(0.3, 1)), rng)
    made = typed_crystal(rng)
    parts = [film]
    for _ in range(rng.integers(1, 4)):
        slab = crystal_slab(
            made,
            ZONES[rng.integers(len(ZONES))],
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
    "crystal": (0.36, _crystal),
    "layers": (0.26, _layers),
    "on support": (0.14, _on_support),
    "amorphous": (0.1, _amorphous),
    "sparse": (0.14, _sparse),
}
