"""Held-out specimens of atom columns for the evaluation of restoration; none is used in training.

After the three studies of thesis section 2.3 (table 2.1): platinum along [001], platinum along
[112] with an edge dislocation, platinum spheres along [100] on vacuum; and a polar perovskite with
heavy and light columns. Image model, independent of the package: incoherent ADF, an image is the
sum over columns of their scattering cross section times a profile that is probe (300 kV, 21 mrad,
aberrations of table 2.1) * source (0.7 Å) * thermal motion. Fraction of the beam; lengths in Å,
positions in px (y, x); every image comes from a seed.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import j0

#: [e/Å²], thesis table 2.2.
DOSES = (5e2, 1e3, 5e3, 1e4, 5e4, 1e5, 5e5)

#: Edge of the cubic cell of platinum [Å].
PLATINUM = 3.924

#: A profile ends here [Å]; beyond it vacuum is exactly zero.
REACH = 5.0

#: Cross section of one atom of platinum in a thin column [Å²] and the number of atoms after which
#: a column has lost 1/e of its gain: about what multislice gives for 60 to 190 mrad at 300 kV.
CROSS_SECTION, SATURATION = 0.0120, 38.0

#: Share of a cross section that the spreading beam smears out, and the width of that [Å].
SPREAD, SPREAD_WIDTH = 0.2, 1.5


@dataclasses.dataclass(frozen=True)
class Specimen:
    """A clean image [fraction of the beam] and what is known about it.

    `columns` are the true positions [px] (y, x) whose error counts: those that are bright and lie
    far enough from the border to be fitted. `core` [px] is the dislocation, `vacuum` the pixels
    that hold exactly nothing, `spacing` [Å] the smallest distance between neighbours.
    """

    name: str
    image: np.ndarray
    pixel_size: float
    columns: np.ndarray
    spacing: float
    core: tuple[float, float] | None = None
    vacuum: np.ndarray | None = None


def column_cross_section(atoms: np.ndarray, atomic_number: float = 78.0) -> np.ndarray:
    """Scattering cross section [Å²] of a column of `atoms` atoms: linear at first, then less."""
    strength = (atomic_number / 78.0) ** 1.7
    loss = SATURATION / strength**0.5
    return CROSS_SECTION * strength * loss * (1 - np.exp(-np.asarray(atoms) / loss))


def column_profile(thermal: float = 0.085, source: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """Radii [Å] and profile [1/Å²] of a column of cross section 1: probe, source, atoms.

    `thermal` is the rms displacement with the width of high-angle scattering [Å], `source` a FWHM.
    """
    wavelength, aperture = 0.019687, 0.0211
    angle = (np.arange(400) + 0.5) / 400 * aperture
    defocus, cs, c5 = -88.74, 0.04e7, 10e7
    phase = defocus * angle**2 / 2 + cs * angle**4 / 4 + c5 * angle**6 / 6
    wave = np.exp(-2j * np.pi / wavelength * phase) * angle
    fine = np.arange(0, 12, 0.02)
    probe = np.abs(j0(2 * np.pi / wavelength * np.outer(fine, angle)) @ wave) ** 2
    probe /= 2 * np.pi * np.sum(probe * fine) * 0.02
    # Gaussian blur by way of the two-dimensional (Hankel) transform.
    frequency = np.arange(0, 2.4, 0.01) + 0.005
    bessel = j0(2 * np.pi * np.outer(frequency, fine))
    transfer = 2 * np.pi * bessel @ (probe * fine) * 0.02
    variance = thermal**2 + (source / 2.35482) ** 2
    transfer *= np.exp(-2 * np.pi**2 * frequency**2 * variance)
    spread = np.exp(-2 * np.pi**2 * frequency**2 * SPREAD_WIDTH**2)
    transfer *= 1 - SPREAD + SPREAD * spread
    radius = np.arange(0, REACH + 0.02, 0.02)
    profile = (
        2 * np.pi * j0(2 * np.pi * np.outer(radius, frequency)) @ (transfer * frequency) * 0.01
    )
    end = np.clip((REACH - radius) / 2, 0, 1)
    profile = np.maximum(profile, 0) * end**2 * (3 - 2 * end)
    return radius, profile / (2 * np.pi * np.sum(profile * radius) * 0.02)


def render(
    places: np.ndarray, cross_sections: np.ndarray, shape: tuple[int, int], pixel_size: float
) -> np.ndarray:
    """Image of columns at `places` [Å] (y, x), in the fraction of the beam."""
    radius, profile = column_profile()
    image = np.zeros(shape)
    half = int(np.ceil(REACH / pixel_size))
    for (y, x), strength in zip(places / pixel_size, cross_sections, strict=True):
        rows = np.arange(max(int(y) - half, 0), min(int(y) + half + 2, shape[0]))
        columns = np.arange(max(int(x) - half, 0), min(int(x) + half + 2, shape[1]))
        if not (len(rows) and len(columns)):
            continue
        distance = np.hypot(rows[:, None] - y, columns - x) * pixel_size
        image[np.ix_(rows, columns)] += strength * np.interp(distance, radius, profile, right=0.0)
    return image


def _grid(step: tuple[float, float], extent: float) -> np.ndarray:
    """Rectangular lattice around 0 [Å] that covers a square field however it is turned."""
    count = int(np.ceil(1.5 * extent / min(step)))
    index = np.arange(-count, count + 1)
    return np.stack(np.meshgrid(index * step[0], index * step[1], indexing="ij"), -1).reshape(-1, 2)


def _turned(places: np.ndarray, angle: float, origin: np.ndarray) -> np.ndarray:
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return places @ np.array([[cosine, sine], [-sine, cosine]]) + origin


def _specimen(
    name: str,
    places: np.ndarray,
    cross_sections: np.ndarray,
    *,
    pixels: int,
    pixel_size: float,
    spacing: float,
    bright: np.ndarray | None = None,
    core: np.ndarray | None = None,
    vacuum: bool = False,
) -> Specimen:
    extent = pixels * pixel_size
    near = ((places > -REACH) & (places < extent + REACH)).all(axis=1)
    places, cross_sections = places[near], cross_sections[near]
    image = render(places, cross_sections, (pixels, pixels), pixel_size)
    border = 1.6
    counted = ((places > border) & (places < extent - border)).all(axis=1)
    if bright is not None:
        counted &= bright[near]
    return Specimen(
        name,
        image,
        pixel_size,
        places[counted] / pixel_size,
        spacing,
        None if core is None else tuple(core / pixel_size),
        (image == 0) if vacuum else None,
    )


def bulk(thickness: int = 20) -> Specimen:
    """Platinum along [001], `thickness` atoms in each column."""
    pixels, pixel_size = 256, 0.15
    origin = np.array([17.3, 20.9])
    places = _turned(_grid((PLATINUM / 2,) * 2, pixels * pixel_size), 11.0, origin)
    return _specimen(
        f"Pt [001], {thickness} atoms",
        places,
        np.full(len(places), column_cross_section(thickness)),
        pixels=pixels,
        pixel_size=pixel_size,
        spacing=PLATINUM / 2,
    )


def edge_displacement(places: np.ndarray, burgers: float, poisson: float = 0.38) -> np.ndarray:
    """Displacement (y, x) of an edge dislocation along z at 0, Burgers vector along x.

    Isotropic elasticity (Hirth and Lothe, eq. 3-45, 3-46). Its jump by one Burgers vector, a
    translation of the lattice, lies on the glide plane left of the core.
    """
    y, x = places[:, 0], places[:, 1]
    squared = x**2 + y**2
    along = np.arctan2(y, x) + x * y / (2 * (1 - poisson) * squared)
    across = (1 - 2 * poisson) / (4 * (1 - poisson)) * np.log(squared) + (x**2 - y**2) / (
        4 * (1 - poisson) * squared
    )
    return burgers / (2 * np.pi) * np.stack([-across, along], axis=-1)


def dislocation() -> Specimen:
    """Platinum along [112], six cells thick, unit edge dislocation 1/2[110] on a (111) plane."""
    pixels, pixel_size = 256, 0.16
    step = (PLATINUM / np.sqrt(3), PLATINUM / np.sqrt(8))
    core = np.array([21.4, 18.6])
    # The glide plane runs midway between two atomic planes.
    places = _grid(step, pixels * pixel_size) + np.array([step[0] / 2, step[1] / 4])
    places = places + edge_displacement(places, burgers=PLATINUM / np.sqrt(2))
    places = _turned(places, 3.0, core)
    # One column holds one atom per 1/2[112]; six cells along [112] are twelve atoms.
    return _specimen(
        "Pt [112], edge dislocation",
        places,
        np.full(len(places), column_cross_section(12)),
        pixels=pixels,
        pixel_size=pixel_size,
        spacing=step[1],
        core=core,
    )


def particle(cells: float, pixels: int, pixel_size: float, angle: float, name: str) -> Specimen:
    """A platinum sphere along [100], `cells` unit cells in diameter, on vacuum."""
    extent = pixels * pixel_size
    center = np.array([0.49, 0.515]) * extent
    lattice = _grid((PLATINUM / 2,) * 2, extent)
    radius = cells * PLATINUM / 2
    square = radius**2 - (lattice**2).sum(axis=1)
    # Atoms of every second column lie half a cell higher.
    odd = (np.round(lattice / (PLATINUM / 2)).sum(axis=1) % 2) / 2
    half = np.sqrt(np.maximum(square, 0)) / PLATINUM
    atoms = np.where(square > 0, np.floor(half - odd) + np.floor(half + odd) + 1, 0)
    inside = atoms > 0
    return _specimen(
        name,
        _turned(lattice[inside], angle, center),
        column_cross_section(atoms[inside]),
        pixels=pixels,
        pixel_size=pixel_size,
        spacing=PLATINUM / 2,
        vacuum=True,
    )


def perovskite() -> Specimen:
    """BaTiO3 along [001], 25 cells, with a wall between two polar domains; O columns not fitted."""
    pixels, pixel_size, cell = 256, 0.14, 4.01
    origin = np.array([18.9, 16.2])
    lattice = _grid((cell, cell), pixels * pixel_size)
    # Ti moves against Ba and O, to the right on one side of the wall and down on the other.
    side = np.tanh((lattice[:, 0] - 0.6 * lattice[:, 1]) / cell)
    polar = 0.16 * np.stack([(1 - side) / 2, (1 + side) / 2], axis=-1)
    sites = (
        (lattice, column_cross_section(25, 56), True),
        (
            lattice + cell / 2 + polar,
            column_cross_section(25, 22) + column_cross_section(25, 8),
            True,
        ),
        (lattice + np.array([0, cell / 2]) - polar / 2, column_cross_section(25, 8), False),
        (lattice + np.array([cell / 2, 0]) - polar / 2, column_cross_section(25, 8), False),
    )
    return _specimen(
        "BaTiO3 [001], domain wall",
        _turned(np.concatenate([places for places, _, _ in sites]), -7.0, origin),
        np.concatenate([np.full(len(lattice), strength) for _, strength, _ in sites]),
        pixels=pixels,
        pixel_size=pixel_size,
        spacing=cell / np.sqrt(2),
        bright=np.concatenate([np.full(len(lattice), counted) for _, _, counted in sites]),
    )


def specimens(realisation: int = 0) -> list[Specimen]:
    """The five held-out specimens; the bulk has another thickness in each realisation."""
    return [
        bulk((20, 6, 50)[realisation % 3]),
        dislocation(),
        particle(11, 384, 0.12, 8.0, "Pt sphere, 11 cells"),
        perovskite(),
        particle(6.4, 256, 0.13, 31.0, "Pt sphere, 6.4 cells"),
    ]
