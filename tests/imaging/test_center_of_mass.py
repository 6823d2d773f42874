"""Centre-of-mass maps: against SciPy, free of descan, turned by the documented formula."""

import dask.array as da
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st
from vector_fields import detector_frame

from stem_plugins.imaging import (
    annular_detector,
    center_of_mass,
    remove_descan,
    to_scan_frame,
)


def test_equals_scipy(scan):
    expected = [[scipy.ndimage.center_of_mass(f) for f in row] for row in scan.astype(float)]
    result = center_of_mass(scan, center=(9.5, 11.5))
    np.testing.assert_allclose(result, np.array(expected) - (9.5, 11.5), rtol=1e-10)


def test_annular_center_of_mass_sees_only_the_annulus(scan):
    mask = annular_detector((20, 24), 3, 8, center=(9.5, 11.5))
    masked = center_of_mass(scan, mask=mask)
    np.testing.assert_allclose(masked, center_of_mass(np.where(mask, scan, 0)))
    scan[..., 10, 12] = 5000
    np.testing.assert_allclose(center_of_mass(scan, mask=mask), masked)


@pytest.mark.parametrize("model", ["plane", "parabola"])
@pytest.mark.parametrize("lazy", [False, True])
def test_descan_of_the_model_is_removed_to_rounding(model, lazy):
    y, x = np.indices((9, 14)).astype(float)
    drift = np.stack([3 + 0.2 * y - 0.1 * x, -1 + 0.05 * x], axis=-1)
    if model == "parabola":
        drift += np.stack([0.02 * y**2, 0.01 * x * y - 0.03 * x**2], axis=-1)
    result = remove_descan(da.from_array(drift, chunks=3) if lazy else drift, model=model)
    assert isinstance(result, da.Array) == lazy
    assert np.abs(np.asarray(result)).max() < 1e-12


def test_descan_fitted_on_vacuum_leaves_the_specimen_alone():
    y, x = np.indices((16, 16)).astype(float)
    specimen = np.zeros((16, 16, 2))
    specimen[4:12, 4:12] = 1.0
    drift = np.stack([0.3 * y, 0.2 * x - 1], axis=-1)
    vacuum = (specimen == 0).all(axis=2)
    np.testing.assert_allclose(remove_descan(specimen + drift, where=vacuum), specimen, atol=1e-12)


def test_bad_descan_requests_are_refused():
    com = np.zeros((4, 4, 2))
    with pytest.raises(ValueError, match="'plane' or 'parabola'"):
        remove_descan(com, model="cubic")
    with pytest.raises(ValueError, match="cannot determine"):
        remove_descan(com, where=np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match="shape"):
        remove_descan(com, where=np.zeros((3, 4), bool))
    with pytest.raises(ValueError, match="booleans of the scan's shape"):
        remove_descan(com, where=np.zeros((4, 4)))
    one_row = np.zeros((4, 4), bool)
    one_row[0] = True
    with pytest.raises(ValueError, match="too few rows or columns for a plane"):
        remove_descan(com, where=one_row)


@pytest.mark.parametrize(
    ("recorded", "rotation", "flip_y", "expected"),
    [
        # (y, x), y down: a vector to the right turned by 90° points down.
        ((0, 1), 90, False, (1, 0)),
        ((1, 0), 90, False, (0, -1)),
        ((1, 0), 0, True, (-1, 0)),
        ((1, 0), 90, True, (0, 1)),
        ((0, 1), 180, True, (0, -1)),
    ],
)
def test_scan_frame_by_hand(recorded, rotation, flip_y, expected):
    com = np.array([[recorded]], float)
    result = to_scan_frame(com, rotation=rotation, flip_y=flip_y)
    np.testing.assert_allclose(result[0, 0], expected, atol=1e-12)


@given(st.floats(-360, 360), st.booleans())
def test_scan_frame_undoes_the_detector(rotation, flip_y):
    vectors = np.random.default_rng(0).normal(size=(3, 4, 2))
    recorded = detector_frame(vectors, rotation, flip_y)
    np.testing.assert_allclose(
        to_scan_frame(recorded, rotation=rotation, flip_y=flip_y), vectors, atol=1e-12
    )


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 3), (0, 4, 2)])
def test_what_is_no_vector_map_is_refused(shape):
    with pytest.raises(ValueError, match="vector map"):
        to_scan_frame(np.zeros(shape))
