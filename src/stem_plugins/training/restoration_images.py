"""Clean images to train restoration on, made on the fly from random numbers.

Half of them are atomic columns: lattices with a motif, strain, dislocations, boundaries,
vacancies, particles on vacuum or a support, thickness that varies. The other half is everything
that is not: inverted lattices, lines, smooth fields, textures, mosaics, apertures, discs,
filaments, strokes, and mixtures. A network that saw bright columns only would draw them into
everything else.

All images are square, (y, x), not negative, with a maximum of 1, and carry no unit: sampling is a
matter of how many pixels a feature is wide.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft
import scipy.ndimage

__all__ = ["CONTENTS", "clean_image", "columns"]

Generator = np.random.Generator


def clean_image(size: int, rng: Generator, *, content: str | None = None) -> np.ndarray:
    """Draw one clean image.

    Parameters
    ----------
    size
        Edge [px].
    rng
        Source of random numbers.
    content
        A name of `CONTENTS`; ``None``: columns in half of the cases, anything else in the others.

    Returns
    -------
    ndarray
        (size, size), float64, from 0 (or above) to 1.

    Raises
    ------
    ValueError
        There is no such content.

    Examples
    --------
    >>> image = clean_image(64, np.random.default_rng(0))
    >>> image.shape, float(image.max())
    ((64, 64), 1.0)
    """
    if content is None:
        others = [name for name in CONTENTS if name != "columns"]
        content = "columns" if rng.random() < 0.5 else others[rng.integers(len(others))]
    if content not in CONTENTS:
        raise ValueError(f"content must be one of {', '.join(CONTENTS)}, not {content!r}.")
    image = CONTENTS[content](size, rng)
    low, high = float(image.min()), float(image.max())
    if high - low < 1e-6:
        return np.ones((size, size))
    if content == "columns":
        return np.maximum(image, 0) / high
    # Everything else stands on a background as often as not.
    image = (image - low) / (high - low)
    floor = 0.0 if rng.random() < 0.3 else rng.uniform(0, 0.8)
    return floor + (1 - floor) * image


def columns(size: int, rng: Generator) -> np.ndarray:
    """Atomic columns: bright spots on dark."""
    scale = _feature_size(rng)
    image = _lattice(size, rng, scale)
    if rng.random() < 0.25:
        # Two crystals that meet, one of them perhaps only glue or vacuum.
        other = _lattice(size, rng, scale * rng.uniform(0.8, 1.25)) * rng.choice([0, 1, 1])
        share = _side_of_a_line(size, rng, softness=rng.uniform(0.3, 1) * scale)
        image = image * share + other * (1 - share)
    if rng.random() < 0.4:
        # Support, diffuse scattering, contamination.
        ground = _smooth(size, rng) if rng.random() < 0.5 else _texture(size, rng)
        ground = (ground - ground.min()) / max(np.ptp(ground), 1e-6)
        image = image + rng.uniform(0.02, 0.5) * image.max() * (0.3 + ground)
    if rng.random() < 0.2:
        image = image * (0.3 + _bump(size, rng))
    return image


def _feature_size(rng: Generator) -> float:
    """Distance of neighbouring columns [px]."""
    return float(np.exp(rng.uniform(np.log(5), np.log(36))))


def _lattice(size: int, rng: Generator, spacing: float) -> np.ndarray:
    """Sum of Gaussians on a lattice with a motif, distorted and cut to a shape."""
    places, cell = _lattice_points(size, rng, spacing)
    places = _displaced(places, size, rng, spacing)
    kinds = int(rng.choice([1, 2, 3, 4], p=[0.4, 0.35, 0.15, 0.1]))
    radius = spacing * rng.uniform(0.12, 0.3)
    thickness = _thickness(places, size, rng, spacing)
    image = np.zeros((size, size))
    for kind in range(kinds):
        height = 1.0 if kind == 0 else rng.uniform(0.05, 1.0)
        offset = np.zeros(2) if kind == 0 else rng.random(2) @ cell
        present = (rng.random(len(places)) > rng.choice([0, 0, 0.02, 0.1])) * thickness
        heights = height * present * rng.normal(1, rng.choice([0, 0.05, 0.15]), len(places))
        width = max(0.9, radius * (1 if kind == 0 else rng.uniform(0.8, 1.2)))
        # Columns that were relaxed or knocked aside a little.
        loose = places + offset + rng.normal(0, spacing * rng.choice([0, 0.01, 0.04]), places.shape)
        image += _gaussians(size, loose, np.maximum(heights, 0), width)
    return image


def _lattice_points(size: int, rng: Generator, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) of a lattice that covers the image with some room, and its cell (2, 2)."""
    angle = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.6:  # as zone axes are: square, rectangular or hexagonal
        between, ratio = [
            (np.pi / 2, 1.0),
            (np.pi / 2, float(rng.uniform(1, 2))),
            (np.pi / 3, 1.0),
            (np.arctan(np.sqrt(2)), float(np.sqrt(3) / 2)),
        ][rng.integers(4)]
    else:
        between, ratio = rng.uniform(np.pi / 3, np.pi / 2), rng.uniform(0.8, 1.8)
    first = spacing * np.array([np.sin(angle), np.cos(angle)])
    second = spacing * ratio * np.array([np.sin(angle + between), np.cos(angle + between)])
    cell = np.stack([first, second])
    reach = int(np.ceil(1.2 * size / (spacing * np.sin(between)))) + 2
    steps = np.arange(-reach, reach + 1)
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    places = (grid + rng.random(2)) @ cell + size / 2
    near = (np.abs(places - size / 2) < size / 2 + 2 * spacing * max(1, ratio)).all(axis=1)
    return places[near], cell


def _displaced(places: np.ndarray, size: int, rng: Generator, spacing: float) -> np.ndarray:
    """Strain, dislocations and stacking faults."""
    if rng.random() < 0.3:
        waves = rng.normal(0, 1, (3, 2)) * 2 * np.pi / size
        for wave in waves:
            strength = rng.uniform(0, 0.03) / max(np.hypot(*wave), 1e-9)
            direction = rng.normal(0, 0.5, 2)
            phase = places @ wave + rng.uniform(0, 2 * np.pi)
            places = places + min(strength, spacing) * direction * np.sin(phase)[:, None]
    for _ in range(int(rng.choice([0, 1, 2], p=[0.7, 0.2, 0.1]))):
        places = places + _edge_dislocation(places - rng.uniform(0, size, 2), rng, spacing)
    if rng.random() < 0.1:
        side = (places - rng.uniform(0, size, 2)) @ rng.normal(0, 1, 2) > 0
        places = places + side[:, None] * rng.normal(0, 0.3, 2) * spacing
    return places


def _edge_dislocation(from_core: np.ndarray, rng: Generator, spacing: float) -> np.ndarray:
    """Displacement (y, x) of an edge dislocation in an isotropic body, Poisson's ratio 1/3."""
    turn = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    along, across = rotation @ from_core.T
    squared = along**2 + across**2 + 0.01 * spacing**2
    burgers = spacing / (2 * np.pi)
    glide = np.arctan2(across, along) + along * across / (4 / 3 * squared)
    climb = -(np.log(squared / spacing**2) / 8 + (along**2 - across**2) / (8 / 3 * squared))
    return burgers * (rotation.T @ np.stack([glide, climb])).T


def _thickness(places: np.ndarray, size: int, rng: Generator, spacing: float) -> np.ndarray:
    """Relative height of columns at `places`: bulk, particles, holes, a wedge or an edge."""
    kind = rng.random()
    thickness = np.ones(len(places))
    if kind < 0.25:  # one or more particles, spherical or faceted, on nothing
        thickness[:] = 0
        for _ in range(rng.integers(1, 4)):
            thickness = np.maximum(thickness, _particle(places, size, rng))
    elif kind < 0.35:  # a hole
        thickness = 1 - np.minimum(1, 2 * _particle(places, size, rng))
    elif kind < 0.5:  # an edge, abrupt or a wedge
        along = (places - rng.uniform(0.2, 0.8, 2) * size) @ _unit(rng)
        thickness = np.clip(along / (rng.choice([0.01, 0.2, 1.0]) * size), 0, 1)
    elif kind < 0.6:
        wave = rng.normal(0, 1.5, 2) * 2 * np.pi / size
        thickness = 1 + rng.uniform(0, 0.8) * np.sin(places @ wave + rng.uniform(0, 6))
    if rng.random() < 0.5:  # whole atoms, so that neighbours differ by steps
        atoms = rng.integers(3, 30)
        thickness = np.ceil(thickness * atoms) / atoms
    return np.where(thickness > 0, thickness ** rng.uniform(0.6, 1.0), 0)


def _particle(places: np.ndarray, size: int, rng: Generator) -> np.ndarray:
    radius = size * rng.uniform(0.12, 0.55)
    away = places - rng.uniform(0.1, 0.9, 2) * size
    if rng.random() < 0.5:
        distance = np.hypot(*away.T) / radius
        return np.sqrt(np.clip(1 - distance**2, 0, 1))
    facets = np.stack([_unit(rng) * rng.uniform(0.7, 1.3) for _ in range(rng.integers(3, 9))])
    inside = 1 - np.max(away @ facets.T, axis=1) / radius
    return np.clip(inside * rng.choice([1.0, 3.0, 30.0]), 0, 1)


def _unit(rng: Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.sin(angle), np.cos(angle)])


def _gaussians(size: int, places: np.ndarray, heights: np.ndarray, width: float) -> np.ndarray:
    """Sum of round Gaussians; each is a product of one in y and one in x, so a matrix product."""
    shown = (np.abs(places - size / 2) < size / 2 + 4 * width).all(axis=1) & (heights > 0)
    places, heights = places[shown], heights[shown]
    pixels = np.arange(size)
    in_y, in_x = (np.exp(-((pixels - at[:, None]) ** 2) / (2 * width**2)) for at in places.T)
    return (in_y * heights[:, None]).T @ in_x


def _smooth(size: int, rng: Generator) -> np.ndarray:
    """A field that changes slowly."""
    return _spectrum(size, rng, lambda k: np.exp(-((k * size * rng.uniform(0.15, 0.5)) ** 2)))


def _texture(size: int, rng: Generator) -> np.ndarray:
    """Power laws, or grains of one size: amorphous films, rough surfaces."""
    if rng.random() < 0.5:
        power = rng.uniform(0.8, 2.5)
        return _spectrum(size, rng, lambda k: 1 / np.maximum(k, 1 / size) ** power)
    center, spread = np.exp(rng.uniform(np.log(0.02), np.log(0.2))), rng.uniform(0.2, 1)
    field = _spectrum(size, rng, lambda k: np.exp(-(((k - center) / (spread * center)) ** 2)))
    return np.maximum(field, 0) if rng.random() < 0.3 else field


def _spectrum(
    size: int, rng: Generator, amplitude: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Random field of a given amplitude over frequency [cycles per px], standard deviation 1."""
    whole = 2 * size  # so that opposite edges differ
    frequency = np.hypot(np.fft.fftfreq(whole)[:, None], np.fft.rfftfreq(whole))
    waves = scipy.fft.rfft2(rng.standard_normal((whole, whole))) * amplitude(frequency)
    waves[0, 0] = 0
    field = scipy.fft.irfft2(waves, s=(whole, whole))[:size, :size]
    return field / max(field.std(), 1e-12)


def _bump(size: int, rng: Generator) -> np.ndarray:
    y, x = np.indices((size, size)) / size - rng.uniform(0, 1, 2)[:, None, None]
    return np.exp(-(y**2 + x**2) / (2 * rng.uniform(0.15, 0.6) ** 2))


def _side_of_a_line(size: int, rng: Generator, *, softness: float) -> np.ndarray:
    pixels = np.moveaxis(np.indices((size, size)), 0, -1) - rng.uniform(0.2, 0.8, 2) * size
    return 1 / (1 + np.exp(np.clip(-4 * (pixels @ _unit(rng)) / softness, -50, 50)))


def _inverted(size: int, rng: Generator) -> np.ndarray:
    image = columns(size, rng)
    return image.max() - image


def _lines(size: int, rng: Generator) -> np.ndarray:
    """A grating or rings: sinusoidal or sharp, straight, bent or chirped, perhaps cut off."""
    period = np.exp(rng.uniform(np.log(4), np.log(48)))
    y, x = np.indices((size, size)).astype(float)
    bend = rng.choice([0, 0, 0.5, rng.uniform(0.5, 1.5)]) * period * _smooth(size, rng)
    direction = _unit(rng)
    place = y * direction[0] + x * direction[1] + bend
    if rng.random() < 0.3:  # rings around a point that may lie outside
        centre = rng.uniform(-0.5, 1.5, 2) * size
        place = np.hypot(y - centre[0], x - centre[1]) + bend
    if rng.random() < 0.3:  # the period changes by up to a factor of three from end to end
        reach = np.ptp(place)
        place = place + rng.uniform(-0.4, 1) * (place - place.min()) ** 2 / max(reach, 1) / 2
    phase = 2 * np.pi * (place / period + rng.random())
    image = 0.5 + 0.5 * np.cos(phase)
    if rng.random() < 0.6:
        image = image ** rng.uniform(1, 6)
    if rng.random() < 0.3:
        image = image * _shape(size, rng)
    return image


def _mosaic(size: int, rng: Generator) -> np.ndarray:
    """Grains of even or sloping brightness that meet at sharp boundaries."""
    count = int(rng.integers(4, 80))
    seeds = rng.uniform(-0.1, 1.1, (count, 2)) * size
    pixels = np.moveaxis(np.indices((size, size)), 0, -1).astype(float)
    distance = ((pixels[:, :, None] - seeds) ** 2).sum(axis=-1)
    grain = distance.argmin(axis=-1)
    level, slope = rng.random(count), rng.normal(0, 1, (count, 2)) / size
    away = pixels - seeds[grain]
    image = level[grain] + rng.choice([0, 0.5]) * (away * slope[grain]).sum(axis=-1)
    if rng.random() < 0.3:  # cells: walls between the grains
        nearest = np.sqrt(np.partition(distance, 1, axis=-1)[..., :2])
        wall = np.exp(-(((nearest[..., 1] - nearest[..., 0]) / rng.uniform(1, 5)) ** 2))
        image = 0.3 * image + wall
    return _softened(image, rng)


def _softened(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Edges as wide as a probe, or sharp ones."""
    return scipy.ndimage.gaussian_filter(image, rng.choice([0.5, 0.8, 1.2, 2.0]))


def _shape(size: int, rng: Generator) -> np.ndarray:
    """One filled shape: disc, ellipse, ring, polygon, half plane."""
    pixels = np.moveaxis(np.indices((size, size)), 0, -1) - rng.uniform(0, 1, 2) * size
    turn = rng.uniform(0, np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    along, across = np.moveaxis(pixels @ rotation, -1, 0)
    radius = size * np.exp(rng.uniform(np.log(0.03), np.log(0.6)))
    kind = rng.integers(5)
    if kind == 0:
        return (np.hypot(along, across) < radius).astype(float)
    if kind == 1:
        return (np.hypot(along, rng.uniform(1, 4) * across) < radius).astype(float)
    if kind == 2:
        return (np.abs(np.hypot(along, across) - radius) < rng.uniform(0.05, 0.4) * radius) + 0.0
    if kind == 3:
        facets = np.stack([_unit(rng) * rng.uniform(0.7, 1.3) for _ in range(rng.integers(3, 8))])
        return ((pixels @ facets.T).max(axis=-1) < radius).astype(float)
    return (along > 0).astype(float)


def _shapes(size: int, rng: Generator) -> np.ndarray:
    """Discs, apertures, polygons, holes, particles that overlap."""
    image = np.full((size, size), rng.random())
    solid = rng.random() < 0.5
    for _ in range(int(np.exp(rng.uniform(0, np.log(30))))):
        shape, level = _shape(size, rng), rng.uniform(-1, 1)
        image = np.where(shape > 0, abs(level), image) if solid else image + level * shape
    return _softened(image, rng)


def _blobs(size: int, rng: Generator) -> np.ndarray:
    """Round spots of any size at random places: clusters, vesicles, single atoms."""
    image = np.zeros((size, size))
    sizes = np.exp(rng.uniform(np.log(1.0), np.log(size / 8), rng.integers(1, 5)))
    for width in sizes:
        count = int(rng.integers(1, max(2, min(150, int(size**2 / (25 * width**2))))))
        heights = rng.uniform(0.2, 1, count)
        image += _gaussians(size, rng.uniform(0, size, (count, 2)), heights, width)
    return image


def _filaments(size: int, rng: Generator) -> np.ndarray:
    """Curved lines: fibres, membranes, dislocation lines, cracks, strokes of letters."""
    image = np.zeros((size, size))
    for _ in range(rng.integers(1, 12)):
        steps = int(rng.integers(20, 3 * size))
        angle = rng.uniform(0, 2 * np.pi) + np.cumsum(
            rng.normal(0, rng.choice([0, 0.05, 0.3]), steps)
        )
        path = rng.uniform(0, 1, 2) * size
        path = path + np.cumsum(np.stack([np.sin(angle), np.cos(angle)], axis=1), axis=0)
        inside = ((path >= 0) & (path < size - 0.5)).all(axis=1)
        line = np.zeros((size, size))
        line[tuple(path[inside].round().astype(int).clip(0, size - 1).T)] = 1
        width = rng.uniform(0.7, 4)
        image = np.maximum(
            image, rng.uniform(0.3, 1) * scipy.ndimage.gaussian_filter(line, width) * width
        )
    return image


def _rectangles(size: int, rng: Generator) -> np.ndarray:
    """Straight bars and letters of bars, along the scan or across it."""
    image = np.full((size, size), rng.random())
    for _ in range(rng.integers(1, 25)):
        y, x = rng.integers(0, size, 2)
        long, short = rng.integers(3, max(4, size // 3)), rng.integers(1, 8)
        height, width = (long, short) if rng.random() < 0.5 else (short, long)
        image[y : y + height, x : x + width] = rng.random()
    return _softened(image, rng)


def _plain(size: int, rng: Generator) -> np.ndarray:
    """Next to nothing: a slope, a bump."""
    y, x = np.indices((size, size)) / size
    return y * rng.normal() + x * rng.normal() + rng.normal() * _bump(size, rng)


def _mixed(size: int, rng: Generator) -> np.ndarray:
    """Two of the others: added, multiplied, or one beside the other behind a sharp mask."""
    names = [name for name in CONTENTS if name != "mixed"]
    parts = []
    for _ in range(2):
        part = CONTENTS[names[rng.integers(len(names))]](size, rng)
        parts.append((part - part.min()) / max(np.ptp(part), 1e-9))
    kind = rng.integers(3)
    if kind == 0:
        return parts[0] + rng.uniform(0.1, 1) * parts[1]
    if kind == 1:
        return (0.2 + parts[0]) * (0.2 + parts[1])
    return np.where(_softened(_shape(size, rng), rng) > 0.5, parts[0], rng.random() * parts[1])


#: Kinds of content by name.
CONTENTS: dict[str, Callable[[int, Generator], np.ndarray]] = {
    "columns": columns,
    "inverted": _inverted,
    "lines": _lines,
    "smooth": _smooth,
    "texture": _texture,
    "mosaic": _mosaic,
    "shapes": _shapes,
    "blobs": _blobs,
    "filaments": _filaments,
    "rectangles": _rectangles,
    "plain": _plain,
    "mixed": _mixed,
}
