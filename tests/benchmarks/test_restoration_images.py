"""Held-out specimens of the restoration benchmark: the physics that their truth rests on."""

import numpy as np
import pytest
from restoration_breadth import COUNTS, scenes
from restoration_images import (
    DOSES,
    PLATINUM,
    REACH,
    column_cross_section,
    column_profile,
    dislocation,
    edge_displacement,
    particle,
    render,
    specimens,
)
from restoration_metrics import position_errors


def test_column_holds_its_cross_section_and_nothing_beyond_its_reach():
    place, pixel_size = np.array([[9.03, 8.91]]), 0.1
    image = render(place, np.array([0.2]), (180, 180), pixel_size)
    assert image.sum() * pixel_size**2 == pytest.approx(0.2, rel=2e-3)
    y, x = np.mgrid[:180, :180] * pixel_size
    distance = np.hypot(y - place[0, 0], x - place[0, 1])
    assert image[distance > REACH + pixel_size].max() == 0
    center = (image * np.stack([y, x])).sum(axis=(1, 2)) / image.sum()
    assert center == pytest.approx(place[0], abs=1e-3)


def test_column_is_wider_than_the_source_alone():
    radius, profile = column_profile(source=0.7)
    half_width = np.interp(-profile[0] / 2, -profile, radius)
    assert 0.7 < 2 * half_width < 1.0
    assert (np.diff(profile) <= 1e-12).all()


def test_cross_section_grows_ever_more_slowly():
    grown = np.diff(column_cross_section(np.arange(100)))
    assert (grown > 0).all()
    assert (np.diff(grown) < 0).all()


def test_dislocation_obeys_elasticity():
    """Navier's equation ``(1 - 2ν) ∇²u + ∇(∇·u) = 0`` holds off the core."""
    ratio, step = 0.3, 1e-2

    def displacement(dy: float, dx: float) -> np.ndarray:
        return edge_displacement(places + np.array([dy, dx]), burgers=2.8, poisson=ratio)

    places = np.array([[3.0, 4.0], [-5.0, 2.0], [2.5, -6.0]])
    middle = displacement(0, 0)
    yy = (displacement(step, 0) + displacement(-step, 0) - 2 * middle) / step**2
    xx = (displacement(0, step) + displacement(0, -step) - 2 * middle) / step**2
    corners = [displacement(a * step, b * step) * a * b for a in (1, -1) for b in (1, -1)]
    xy = sum(corners) / (4 * step**2)
    along_y = (1 - 2 * ratio) * (yy + xx)[:, 0] + yy[:, 0] + xy[:, 1]
    along_x = (1 - 2 * ratio) * (yy + xx)[:, 1] + xy[:, 0] + xx[:, 1]
    scale = np.abs(yy).max()
    assert np.abs(along_y).max() < 1e-3 * scale
    assert np.abs(along_x).max() < 1e-3 * scale


def test_burgers_circuit_closes_by_the_burgers_vector():
    angle = np.linspace(-np.pi + 1e-9, np.pi - 1e-9, 400)
    circle = 7 * np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    moved = edge_displacement(circle, burgers=2.77)
    assert moved[-1] - moved[0] == pytest.approx([0, 2.77], abs=1e-6)


def test_dislocation_leaves_no_columns_on_top_of_each_other():
    specimen = dislocation()
    places = specimen.columns * specimen.pixel_size
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    distance[np.diag_indices_from(distance)] = np.inf
    assert distance.min() > 0.75 * PLATINUM / np.sqrt(8)


def test_sphere_holds_as_many_atoms_as_its_volume():
    cells = 11
    sphere = particle(cells, 384, 0.12, 0.0, "sphere")
    # 4 atoms in each cell; the count follows from the columns' cross sections.
    total = sphere.image.sum() * 0.12**2
    half = cells / 2
    atoms = 4 * (4 / 3) * np.pi * half**3
    mean_count = atoms / len(sphere.columns)
    assert total == pytest.approx(len(sphere.columns) * column_cross_section(mean_count), rel=0.05)


@pytest.mark.parametrize("index", range(5))
def test_true_positions_are_where_the_clean_image_has_its_columns(index):
    specimen = specimens()[index]
    errors = position_errors(specimen, specimen.image)
    assert errors.mean() < 2
    assert 0.03 < specimen.image.max() < 0.3
    assert specimen.image.min() >= 0


def test_vacuum_is_empty_and_lies_outside_the_particle():
    for specimen in specimens():
        if specimen.vacuum is not None:
            assert specimen.vacuum.mean() > 0.05
            assert not specimen.image[specimen.vacuum].any()
            pixels = np.round(specimen.columns).astype(int)
            assert not specimen.vacuum[tuple(pixels.T)].any()


def test_scenes_are_the_same_each_time_and_half_are_starved():
    first, again = list(scenes()), list(scenes())
    assert len(first) >= 40
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=True))
    assert all(a.image.min() >= 0 and a.image.max() <= 0.25 + 1e-9 for a in first)
    assert np.mean([scene.counts < 3 for scene in first]) == 0.5
    assert {scene.counts for scene in first} == set(COUNTS)


def test_doses_are_those_of_the_thesis():
    assert DOSES == (500, 1000, 5000, 10000, 50000, 100000, 500000)
