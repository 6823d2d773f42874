"""Patterns of any camera become the cells that they show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins import Acquisition
from stem_plugins.rapid_phase_imaging.detector_cells import (
    CELLS,
    FINE,
    SECTORS,
    cell_of,
    fine_angles,
)
from stem_plugins.rapid_phase_imaging.reduction import plan_reduction, reduce_patterns


def acquisition(**options):
    known = {"convergence_angle": 20, "diffraction_step": 1.5, "center": (20.3, 21.8)}
    return Acquisition(**{**known, **options})


def by_hand(patterns, calibration, parts=7):
    """Every pixel in parts, each counted where it lies."""
    inner = (np.arange(parts) + 0.5) / parts - 0.5
    height, width = patterns.shape[2:]
    theta = np.deg2rad(calibration.scan_rotation or 0)
    result = np.zeros((*patterns.shape[:2], CELLS + SECTORS))
    for row in range(height):
        for column in range(width):
            for dy in inner:
                for dx in inner:
                    y = (row + dy - calibration.center[0]) * calibration.diffraction_step[0]
                    x = (column + dx - calibration.center[1]) * calibration.diffraction_step[1]
                    y = -y if calibration.flip_y else y
                    turned = np.array(
                        [
                            np.sin(theta) * x + np.cos(theta) * y,
                            np.cos(theta) * x - np.sin(theta) * y,
                        ]
                    )
                    cell = cell_of(turned / calibration.convergence_angle)
                    if cell >= 0:
                        result[..., cell] += patterns[..., row, column] / parts**2
    return result


@pytest.mark.parametrize(("rotation", "flip"), [(0, False), (33, False), (-140, True)])
def test_counts_go_where_their_angles_lie(rng, rotation, flip):
    patterns = rng.poisson(20, (1, 2, 18, 20)).astype(np.uint16)
    calibration = acquisition(
        diffraction_step=(4.0, 4.2), center=(8.2, 9.9), scan_rotation=rotation, flip_y=flip
    )
    found = reduce_patterns(patterns, plan_reduction((18, 20), calibration))
    expected = by_hand(patterns, calibration)
    np.testing.assert_allclose(found.sum(), expected.sum(), rtol=1e-4)
    np.testing.assert_allclose(found, expected, atol=0.05, rtol=1e-4)


@settings(max_examples=15, deadline=None)
@given(
    dtype=st.sampled_from(["u1", "<u2", ">u2", "i4", ">i4", "f4", "f8", ">f8", "f2", "?"]),
    shape=st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(20, 50)] * 2),
)
def test_types_and_shapes_change_nothing(dtype, shape):
    patterns = np.random.default_rng(0).integers(0, 2, shape)
    reduction = plan_reduction(shape[2:], acquisition(center=(10, 11)))
    expected = reduce_patterns(patterns.astype(np.float32), reduction)
    found = reduce_patterns(patterns.astype(dtype), reduction)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_small_pixel_counts_for_one_cell_alone():
    calibration = acquisition(diffraction_step=0.2, center=(127.5, 127.5))
    reduction = plan_reduction((256, 256), calibration)
    ones = reduce_patterns(np.ones((1, 1, 256, 256), np.uint16), reduction)[0, 0]
    inner = np.hypot(*fine_angles().T) < 0.9
    pixels = (FINE * 20 / 0.2) ** 2
    np.testing.assert_allclose(ones[:CELLS][inner], pixels, rtol=0.15)
    assert ones[:CELLS][inner].mean() == pytest.approx(pixels, rel=0.01)


def test_pixels_that_are_no_numbers_are_refused_where_they_are_looked_at():
    reduction = plan_reduction((40, 40), acquisition(center=(20, 20), diffraction_step=5))
    patterns = np.ones((1, 1, 40, 40), np.float32)
    patterns[0, 0, 0, 0] = np.nan  # at 7 α
    assert np.isfinite(reduce_patterns(patterns, reduction)).all()
    patterns[0, 0, 20, 20] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        reduce_patterns(patterns, reduction)
