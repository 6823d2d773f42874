"""Virtual detectors as shapes: masks, mouse grips and the code that makes them again."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stem_plugins.imaging import annular_detector, rectangular_detector
from stem_plugins.napari.regions import Annulus, Rectangle
from stem_plugins.napari.virtual_detectors import VirtualDetector, grab_detector

SHAPE = (40, 50)
places = st.floats(5, 35)
sizes = st.sampled_from([(1.0, 1.0), (0.5, 0.5), (2.0, 0.8)])
centers = st.tuples(places, places)


@given(center=centers, inner=st.floats(0, 8), width=st.floats(1.5, 10), size=sizes)
def test_annulus_covers_the_pixels_between_its_radii(center, inner, width, size):
    mask = Annulus(center, inner, inner + width, size).mask(SHAPE)
    for y, x in np.random.default_rng(0).integers(0, 40, (40, 2)):
        distance = np.hypot((y - center[0]) * size[0], (x - center[1]) * size[1])
        assume(min(abs(distance - inner), abs(distance - inner - width)) > 1e-9)
        assert mask[y, x] == (inner < distance < inner + width)


def test_an_annulus_on_oblong_pixels_is_round_in_angle():
    mask = Annulus((20.0, 25.0), 0.0, 12.0, (2.0, 1.0)).mask(SHAPE)
    rows, columns = mask.any(axis=1).sum(), mask.any(axis=0).sum()
    assert (rows, columns) == (11, 23)


def test_a_rectangle_covers_what_lies_inside():
    mask = Rectangle((10.0, 20.0), 4.0, 3.0, (2.0, 0.5)).mask(SHAPE)
    expected = np.zeros(SHAPE, bool)
    expected[9:12, 17:24] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("region", [Annulus((-30.0, 10.0), 0.0, 5.0), Rectangle((9.0, 90.0), 4, 4)])
def test_a_detector_beside_the_frame_is_an_error_with_advice(region):
    with pytest.raises(ValueError, match="No pixel of the 40 × 50 detector"):
        region.mask(SHAPE)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Annulus((1, 1), 3, 3),
        lambda: Annulus((1, 1), -1, 3),
        lambda: Annulus((1, 1), 0, np.nan),
        lambda: Rectangle((1, 1), 0, 3),
        lambda: Rectangle((1, 1), 3, np.inf),
    ],
)
def test_impossible_sizes_are_refused(make):
    with pytest.raises(ValueError, match="needs"):
        make()


@given(center=centers, radius=st.floats(3, 12), size=sizes, angle=st.floats(0, 6.28))
def test_dragging_the_edge_of_a_disc_puts_it_below_the_mouse(center, radius, size, angle):
    disc = Annulus(center, 0.0, radius, size)
    direction = np.array([np.sin(angle) / size[0], np.cos(angle) / size[1]])
    start, end = center + radius * direction, center + 1.5 * radius * direction
    assert disc.grab(start, 1.0) == "outer"
    dragged = disc.dragged("outer", start, end)
    assert dragged.outer == pytest.approx(1.5 * radius, rel=1e-3)
    assert (dragged.center, dragged.inner) == (disc.center, disc.inner)


@given(center=centers, shift=st.tuples(st.floats(-50, 50), st.floats(-50, 50)), size=sizes)
def test_dragging_the_inside_moves_the_whole(center, shift, size):
    for region in (Annulus(center, 2.0, 9.0, size), Rectangle(center, 9.0, 12.0, size)):
        assert region.grab(center, 0.5) == "inside"
        moved = region.dragged("inside", (3.0, 4.0), (3.0 + shift[0], 4.0 + shift[1]))
        np.testing.assert_allclose(moved.center, np.add(center, shift), atol=0.0051)
        assert dataclasses.replace(moved, center=center) == region


@given(part=st.sampled_from(["outer", "inner"]), distance=st.floats(-60, 60))
def test_no_drag_turns_an_annulus_inside_out(part, distance):
    ring = Annulus((20.0, 20.0), 4.0, 9.0).dragged(part, (20.0, 26.0), (20.0, 26.0 + distance))
    assert 0 <= ring.inner < ring.outer


@given(
    part=st.sampled_from(["top", "bottom", "left", "right", "top left", "bottom right"]),
    end=st.tuples(st.floats(-60, 90), st.floats(-60, 90)),
)
def test_edges_of_a_rectangle_follow_the_mouse_and_the_others_stay(part, end):
    rectangle = Rectangle((20.0, 30.0), 10.0, 8.0, (2.0, 0.5))
    before = dict(zip(("top", "left", "bottom", "right"), rectangle.bounds(), strict=True))
    after = rectangle.dragged(part, (20.0, 30.0), end).bounds()
    after = dict(zip(("top", "left", "bottom", "right"), after, strict=True))
    for edge, place in after.items():
        if edge not in part:
            assert place == pytest.approx(before[edge], abs=0.02)
    assert after["top"] < after["bottom"]
    assert after["left"] < after["right"]
    if part == "top" and end[0] - 20 < 2:
        assert after["top"] == pytest.approx(before["top"] + end[0] - 20, abs=0.02)


@pytest.mark.parametrize(
    "region",
    [
        Annulus((20.25, 24.75), 3.125, 11.5, (0.7, 0.7)),
        Annulus((20.25, 24.75), 0.0, 11.5),
        Annulus((19.0, 22.0), 2.0, 9.0, (2.0, 0.9)),
        Rectangle((20.3, 21.1), 9.4, 12.8, (0.7, 1.3)),
    ],
)
def test_the_code_of_a_detector_makes_its_mask(region):
    names = {
        "annular_detector": annular_detector,
        "rectangular_detector": rectangular_detector,
        "data": np.empty((1, 1, *SHAPE)),
    }
    np.testing.assert_array_equal(eval(region.python(), names), region.mask(SHAPE))


def test_another_unit_keeps_the_pixels():
    for region in (
        Annulus((20.0, 25.0), 3.2, 9.7, (1.0, 1.0)),
        Rectangle((20.0, 25.0), 7.3, 9.9, (1.0, 1.0)),
    ):
        mrad = region.rescaled((0.25, 0.25))
        np.testing.assert_array_equal(mrad.mask(SHAPE), region.mask(SHAPE))
        assert mrad.pixel_size == (0.25, 0.25)
    assert Annulus((0, 0), 4.0, 8.0).rescaled((0.25, 0.25)).outer == 2.0


def test_outlines_lie_on_the_edge():
    size = (2.0, 0.5)
    outer, inner = Annulus((20.0, 25.0), 3.0, 9.0, size).outlines()
    for outline, radius in ((outer, 9.0), (inner, 3.0)):
        offset = (outline - (20.0, 25.0)) * size
        np.testing.assert_allclose(np.hypot(*offset.T), radius)
    (corners,) = Rectangle((20.0, 25.0), 8.0, 3.0, size).outlines()
    np.testing.assert_allclose(corners, [(18, 22), (18, 28), (22, 28), (22, 22)])
    assert len(Annulus((20.0, 25.0), 0.0, 9.0).outlines()) == 1


def test_the_mouse_finds_the_detector_a_user_means():
    disc = VirtualDetector("BF", Annulus((20.0, 20.0), 0.0, 5.0), "#ffffff")
    ring = VirtualDetector("ADF", Annulus((20.0, 20.0), 5.0, 15.0), "#ffffff")
    both = [disc, ring]
    # The shared circle belongs to the active one.
    assert grab_detector(both, 0, (20.0, 25.0), 0.5) == (0, "outer")
    assert grab_detector(both, 1, (20.0, 25.0), 0.5) == (1, "inner")
    assert grab_detector(both, 1, (20.0, 20.0), 0.5) == (0, "inside")
    assert grab_detector(both, 0, (20.0, 30.0), 0.5) == (1, "inside")
    assert grab_detector(both, 0, (20.0, 38.0), 0.5) is None
    assert grab_detector([], -1, (20.0, 38.0), 0.5) is None
