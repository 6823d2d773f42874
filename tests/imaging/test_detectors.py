"""Masks of virtual detectors: area, edges, and the form in which the kernel reads them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stem_plugins import Acquisition
from stem_plugins.imaging import annular_detector, dark_field_detector, rectangular_detector
from stem_plugins.imaging.detectors import detector_steps, mask_runs


def test_annulus_has_the_area_of_an_annulus():
    mask = annular_detector((256, 256), 30, 90, center=(127.5, 127.5))
    assert mask.sum() == pytest.approx(np.pi * (90**2 - 30**2), rel=0.002)


def test_neighbouring_annuli_share_no_pixel_and_leave_none_out():
    rings = [annular_detector((64, 64), r, r + 8, center=(31, 33)) for r in (0, 8, 16)]
    disc = annular_detector((64, 64), 0, 24, center=(31, 33))
    np.testing.assert_array_equal(np.sum(rings, axis=0), disc)


def test_annulus_follows_its_centre_in_y_x_order():
    mask = annular_detector((20, 40), 0, 2.5, center=(5, 30))
    np.testing.assert_allclose(np.argwhere(mask).mean(axis=0), (5, 30))


@pytest.mark.parametrize(("inner", "outer"), [(5, 5), (6, 5), (-1, 5), (np.nan, 5)])
def test_reversed_or_negative_radii_are_refused(inner, outer):
    with pytest.raises(ValueError, match="inner < outer"):
        annular_detector((8, 8), inner, outer, center=(4, 4))


def test_a_detector_beside_the_frame_is_refused():
    with pytest.raises(ValueError, match="No pixel"):
        annular_detector((8, 8), 0, 2, center=(40, 4))
    with pytest.raises(ValueError, match="No pixel"):
        rectangular_detector((8, 8), (9, 9), (12, 12))


def test_dark_field_is_what_lies_clear_of_the_disc():
    acquisition = Acquisition(convergence_angle=10, diffraction_step=(1, 2))
    mask = dark_field_detector((64, 32), acquisition, center=(31, 15))
    y, x = np.indices((64, 32))
    np.testing.assert_array_equal(mask, np.hypot(y - 31, 2 * (x - 15)) > 11)


def test_there_is_no_dark_field_without_calibration_or_room():
    shape, center = (16, 16), (7.5, 7.5)
    assert dark_field_detector(shape, Acquisition(convergence_angle=5), center=center) is None
    wide = Acquisition(convergence_angle=50, diffraction_step=1)
    assert dark_field_detector(shape, wide, center=center) is None


def test_rectangle_takes_its_corners_in_either_order():
    mask = rectangular_detector((8, 9), (6, 2), (3, 5))
    np.testing.assert_array_equal(np.argwhere(mask).min(0), (3, 2))
    np.testing.assert_array_equal(np.argwhere(mask).max(0), (6, 5))


@given(arrays(bool, (5, 7)))
def test_runs_describe_any_mask(mask):
    runs = mask_runs(mask, mask.shape)
    rebuilt = np.zeros(mask.shape, bool)
    for row in range(5):
        edges = runs.edges[runs.first[row] : runs.first[row + 1]]
        for low, high in edges.reshape(-1, 2):
            rebuilt[row, low:high] = True
    np.testing.assert_array_equal(rebuilt, mask)


@given(arrays(np.float64, (2, 5, 7), elements=st.integers(-3, 3)))
def test_steps_sum_to_the_weighted_frame(weights):
    frame = np.arange(35.0).reshape(5, 7) ** 2
    steps = detector_steps(list(weights), (5, 7))
    columns = np.cumsum(frame, axis=0)
    picked = np.zeros(steps.weight.size)
    for row in range(5):
        own = slice(int(steps.row[row]), int(steps.row[row + 1]))
        picked[steps.slot[own]] = columns[row, steps.column[own]]
    for index in range(2):
        own = slice(steps.detector[index], steps.detector[index + 1])
        assert steps.weight[own] @ picked[own] == pytest.approx((weights[index] * frame).sum())
