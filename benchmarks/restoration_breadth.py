"""Forty-eight images that are no bright columns, and the published pairs of tk_r_em.

Six kinds of content in eight variants each, drawn from a seed: what a restoration network meets
outside the images it was made for. All lie between 0 and 0.25 of the beam; the dose is given in
electrons that each pixel collects on average.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

SIZE = 256

#: Electrons per pixel, on average over the image: half of them below 3.
COUNTS = (0.4, 0.8, 1.5, 2.5, 6.0, 15.0, 50.0, 300.0)


@dataclasses.dataclass(frozen=True)
class Scene:
    """A clean image [fraction of the beam] and the electrons that a pixel collects on average."""

    name: str
    image: np.ndarray
    counts: float


def _places() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    return y, x


def _scaled(image: np.ndarray, low: float, high: float, blur: float = 0.6) -> np.ndarray:
    image = gaussian_filter(image.astype(float), blur, mode="nearest") if blur else image
    image = (image - image.min()) / np.ptp(image)
    return low + (high - low) * image


def _distance_to_lines(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Distance of each pixel from the nearest of some straight strokes, all [px] (y, x)."""
    y, x = _places()
    nearest = np.full((SIZE, SIZE), np.inf)
    for start, end in zip(starts, ends, strict=True):
        along = end - start
        length = max(float(along @ along), 1e-9)
        share = np.clip(((y - start[0]) * along[0] + (x - start[1]) * along[1]) / length, 0, 1)
        gap = np.hypot(y - start[0] - share * along[0], x - start[1] - share * along[1])
        nearest = np.minimum(nearest, gap)
    return nearest


def _edge(signed_distance: np.ndarray, width: float = 0.7) -> np.ndarray:
    """1 where the distance is negative, 0 where positive, one pixel of transition."""
    return 1 / (1 + np.exp(np.clip(signed_distance / width * 2, -60, 60)))


def _inverted_lattice(variant: int, rng: np.random.Generator) -> np.ndarray:
    """Dark columns on bright ground, as in bright field; some with a boundary or vacancies."""
    y, x = _places()
    spacing, angle = rng.uniform(9, 24), rng.uniform(0, np.pi)
    skew = rng.uniform(np.pi / 3, np.pi / 2)
    vectors = spacing * np.array(
        [[np.sin(angle), np.cos(angle)], [np.sin(angle + skew), np.cos(angle + skew)]]
    )
    vectors[1] *= rng.uniform(0.8, 1.5)
    index = np.stack(np.meshgrid(np.arange(-60, 60), np.arange(-60, 60)), -1).reshape(-1, 2)
    places = index @ vectors + SIZE / 2
    if variant % 2:
        places = places[rng.random(len(places)) > 0.05]
    if variant % 4 == 2:
        places[places[:, 1] > SIZE / 2, 0] += spacing * 0.4
    distance, _ = KDTree(places).query(np.stack([y, x], -1).reshape(-1, 2), k=4)
    width = spacing * rng.uniform(0.16, 0.24)
    dark = np.exp(-(distance**2) / (2 * width**2)).sum(axis=1).reshape(SIZE, SIZE)
    return _scaled(-dark, rng.uniform(0.02, 0.1), 0.25, 0)


def _lines(variant: int, rng: np.random.Generator) -> np.ndarray:
    """Line lattices, gratings of varying pitch, steps, moiré, zone plates."""
    y, x = _places()
    angle = (0.0, np.pi / 2, rng.uniform(0, np.pi), rng.uniform(0, np.pi))[variant % 4]
    along = y * np.sin(angle) + x * np.cos(angle)
    pitch = rng.uniform(6, 20)
    if variant < 4:
        image = 1 + np.cos(2 * np.pi * along / pitch + rng.uniform(0, 6))
        image = image ** rng.choice([1, 3])
    elif variant == 4:
        image = np.cos(2 * np.pi * (along / 24 + along**2 / (2 * 24 * SIZE)))
    elif variant == 5:
        image = np.sign(np.sin(2 * np.pi * along / (3 * pitch)))
    elif variant == 6:
        image = np.cos(2 * np.pi * along / pitch) + np.cos(2 * np.pi * (along * 1.1 + y * 0.2) / 9)
    else:
        image = np.cos(np.pi * ((y - 120) ** 2 + (x - 140) ** 2) / (SIZE * 4.5))
    return _scaled(image, rng.choice([0.0, 0.05]), rng.uniform(0.1, 0.25))


def _smooth(variant: int, rng: np.random.Generator) -> np.ndarray:
    """Blobs, ramps, steps of thickness: nothing finer than some pixels."""
    y, x = _places()
    if variant < 4:
        image = np.zeros((SIZE, SIZE))
        for _ in range((3, 12, 40, 150)[variant]):
            place, width = rng.uniform(0, SIZE, 2), rng.uniform(4, 40) / (1 + variant)
            square = (y - place[0]) ** 2 + (x - place[1]) ** 2
            image += rng.uniform(0.3, 1) * np.exp(-square / (2 * width**2))
    elif variant == 4:
        image = x + 0.4 * y
    elif variant == 5:
        image = np.floor((x + 0.3 * y) / 45)
    elif variant == 6:
        image = gaussian_filter(rng.standard_normal((SIZE, SIZE)), 12, mode="wrap")
    else:
        image = np.hypot(y - 110, x - 150) ** 0.5
    return _scaled(image, rng.choice([0.0, 0.03]), rng.uniform(0.08, 0.25))


def _texture(variant: int, rng: np.random.Generator) -> np.ndarray:
    """Power-law noise, amorphous films, cells, grains, cracks."""
    if variant < 4:
        frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE))
        frequency[0, 0] = 1
        power = (1.0, 1.5, 2.0)[variant] if variant < 3 else 0.0
        spectrum = np.fft.fft2(rng.standard_normal((SIZE, SIZE))) / frequency**power
        if variant == 3:  # amorphous: a band of frequencies
            spectrum *= np.exp(-(((frequency - 0.09) / 0.03) ** 2))
        spectrum[0, 0] = 0
        return _scaled(np.fft.ifft2(spectrum).real, 0.03, 0.2, 0.8)
    y, x = _places()
    seeds = rng.uniform(-20, SIZE + 20, ((25, 80, 250, 60)[variant - 4], 2))
    distance, nearest = KDTree(seeds).query(np.stack([y, x], -1).reshape(-1, 2), k=2)
    walls = (distance[:, 1] - distance[:, 0]).reshape(SIZE, SIZE)
    if variant == 7:
        image = rng.random(len(seeds))[nearest[:, 0]].reshape(SIZE, SIZE)
    else:
        image = np.exp(-(walls**2) / 8) * (1 if variant % 2 else -1)
    return _scaled(image, 0.02, 0.22)


def _shapes(variant: int, rng: np.random.Generator) -> np.ndarray:
    """Apertures, discs, polygons, rings, diffraction discs: sharp edges on flat ground."""
    y, x = _places()
    image = np.zeros((SIZE, SIZE))
    for number in range((1, 6, 30, 6, 12, 4, 49, 9)[variant]):
        center, size = rng.uniform(20, SIZE - 20, 2), rng.uniform(8, 45)
        if variant == 0:
            center, size = np.array([131.0, 120.0]), 85.0
        if variant == 6:
            center, size = 18 + 36.5 * np.array(divmod(number, 7)), 9.0
        gap = np.hypot(y - center[0], x - center[1]) - size
        if variant in (3, 7):
            turns = rng.uniform(0, 6.3) + 2 * np.pi * np.arange(3 + number % 5) / (3 + number % 5)
            sides = [(y - center[0]) * np.sin(t) + (x - center[1]) * np.cos(t) for t in turns]
            gap = np.max(sides, axis=0) - size
        if variant == 5:
            gap = np.abs(gap) - 3
        image = np.maximum(image, rng.uniform(0.4, 1) * _edge(gap))
    if variant in (4, 7):
        image = 1 - image
    return _scaled(image, 0.0 if variant % 2 == 0 else 0.04, rng.uniform(0.1, 0.25), 0)


def _drawings(variant: int, rng: np.random.Generator) -> np.ndarray:
    """Filaments, membranes, capsids, text-like strokes, wires, branching."""
    y, x = _places()
    if variant in (0, 1, 6):  # random walks: filaments
        image = np.zeros((SIZE, SIZE))
        for _ in range((5, 14, 2)[(0, 1, 6).index(variant)]):
            heading = rng.uniform(0, 6.3) + np.cumsum(rng.normal(0, 0.25, 40))
            walk = rng.uniform(0, SIZE, 2) + np.cumsum(
                9 * np.stack([np.sin(heading), np.cos(heading)], -1), axis=0
            )
            gap = _distance_to_lines(walk[:-1], walk[1:])
            image += np.exp(-(gap**2) / (2 * rng.uniform(1.5, 4) ** 2))
    elif variant in (2, 3):  # closed membranes (two leaflets), capsids with spikes
        image = 0.15 * _edge(np.hypot(y - 128, x - 128) - 300)
        angle = np.arctan2(y - 120, x - 130)
        for size in (30, 55, 85):
            wave = size * (1 + 0.12 * np.sin(3 * angle + size) + 0.05 * np.sin(7 * angle))
            gap = np.hypot(y - 120, x - 130) - wave
            image += np.exp(-((np.abs(gap) - 3.5) ** 2) / 3)
            if variant == 3:
                image += 0.7 * (np.cos(size / 2.5 * angle) > 0.3) * np.exp(-((gap - 8) ** 2) / 8)
    elif variant in (4, 5):  # rows of random glyphs: strokes between points of a small grid
        starts, ends = [], []
        step = (26, 40)[variant - 4]
        for top in range(8, SIZE - step, int(1.4 * step)):
            for left in range(8, SIZE - step, step):
                knots = rng.integers(0, 3, (4, 2)) * step * np.array([0.5, 0.32]) + [top, left]
                starts.extend(knots[:-1])
                ends.extend(knots[1:])
        image = _edge(_distance_to_lines(np.array(starts), np.array(ends)) - 1.6)
    else:  # crossing wires
        starts, ends = rng.uniform(-60, SIZE + 60, (2, 18, 2))
        image = _edge(_distance_to_lines(starts, ends) - 2.5)
    if variant in (1, 5):
        image = -image
    return _scaled(image, 0.0 if variant % 3 == 0 else 0.04, rng.uniform(0.1, 0.25))


KINDS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "inverted": _inverted_lattice,
    "lines": _lines,
    "smooth": _smooth,
    "texture": _texture,
    "shapes": _shapes,
    "drawings": _drawings,
}


def scenes() -> Iterator[Scene]:
    """Yield the forty-eight scenes; each kind sees each dose once."""
    for kind, (name, draw) in enumerate(KINDS.items()):
        for variant in range(8):
            image = draw(variant, np.random.default_rng([77, kind, variant]))
            yield Scene(f"{name} {variant + 1}", image, COUNTS[(variant * 3 + kind) % 8])


def published_pairs(folder: Path, model: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The (distorted, true) images of tk_r_em's test data, turned so that the fast scan is axis 1.

    `folder` is the unpacked source distribution of tk_r_em 1.0.4, `model` ``"hrstem"`` or
    ``"lrstem"``. In the files the fast scan runs along axis 0: noise is correlated along it, its
    tail points that way, and axis-1 lines are shifted against each other.
    """
    import h5py

    with h5py.File(folder / "tk_r_em" / "test_data" / f"sfr_{model}.h5") as file:
        distorted, true = (np.asarray(file[key][:, 0], float) for key in ("x", "y"))
    return [(a.T.copy(), b.T.copy()) for a, b in zip(distorted, true, strict=True)]
