"""Where patterns lie on the object, for turned and mirrored detectors."""

import dataclasses

import numpy as np
import pytest
from atom_scans import ACQUISITION
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins import MissingCalibrationError
from stem_plugins.imaging import to_scan_frame
from stem_plugins.ptychography.geometry import scan_geometry


def geometry(scan=(5, 7), detector=(32, 32), **calibration):
    return scan_geometry(scan, detector, dataclasses.replace(ACQUISITION, **calibration))


@given(
    st.floats(-180, 180),
    st.booleans(),
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
    st.tuples(st.integers(31, 40), st.integers(31, 40)),
)
@settings(max_examples=25, deadline=None)
def test_positions_turned_into_the_scan_frame_are_the_scan(rotation, flip, scan, detector):
    found = geometry(scan, detector, scan_rotation=rotation, flip_y=flip)
    steps = (found.positions - found.positions[0]) * np.array(found.sampling)
    turned = to_scan_frame(steps.reshape(*scan, 2), rotation=rotation, flip_y=flip)
    np.testing.assert_allclose(turned, np.moveaxis(np.indices(scan), 0, -1), atol=1e-9)


@given(st.floats(-180, 180), st.booleans(), st.tuples(st.integers(30, 41), st.integers(30, 41)))
@settings(max_examples=25, deadline=None)
def test_every_window_lies_within_the_object(rotation, flip, detector):
    found = geometry((6, 4), detector, scan_rotation=rotation, flip_y=flip)
    corners, fractions = found.corners(found.positions)
    assert (corners >= 5).all()
    assert (corners + np.array(detector) + 5 <= np.array(found.shape)).all()
    assert np.abs(fractions).max() <= 0.5


@pytest.mark.parametrize("rotation", [0.0, 90.0, 180.0, 37.0])
@pytest.mark.parametrize("flip", [False, True])
def test_an_image_comes_back_from_the_object(rotation, flip):
    found = geometry((12, 15), scan_rotation=rotation, flip_y=flip)
    y, x = np.indices((12, 15))
    image = np.exp(-((y - 5) ** 2 + (x - 9) ** 2) / 8)
    back = found.in_scan_frame(found.from_scan(image))
    rows, columns = (
        np.rint(np.arange(n) * step / pixel).astype(int)
        for n, step, pixel in zip((12, 15), found.scan_step, found.scan_sampling, strict=True)
    )
    peak = np.unravel_index(back.argmax(), back.shape) * np.array(found.scan_sampling)
    np.testing.assert_allclose(peak, (5, 9), atol=0.4)
    assert np.corrcoef(back[np.ix_(rows, columns)].ravel(), image.ravel())[0, 1] > 0.98


def test_without_rotation_nothing_is_interpolated(rng):
    found = geometry((4, 5))
    image = rng.standard_normal(found.shape)
    cut = found.in_scan_frame(image)
    first = found.positions[0].astype(int)
    rows, columns = cut.shape
    expected = image[first[0] : first[0] + rows, first[1] : first[1] + columns]
    np.testing.assert_array_equal(cut, expected)


def test_illumination_is_the_sum_of_all_probes(rng):
    found = geometry((3, 4))
    intensity = rng.random(found.window)
    expected = np.zeros(found.shape)
    corners, _ = found.corners(found.positions)
    for y, x in corners:
        expected[y : y + found.window[0], x : x + found.window[1]] += intensity
    np.testing.assert_allclose(found.illumination(intensity), expected, atol=1e-9)


@pytest.mark.parametrize("field", ["beam_energy", "convergence_angle", "scan_step"])
def test_missing_calibration_is_named(field):
    with pytest.raises(MissingCalibrationError, match=field):
        geometry(**{field: None})


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ({"defocus": 500.0}, "leave a window of 9.84 Å"),
        ({"scan_step": 20.0}, "share too little"),
        ({"convergence_angle": 40.0, "defocus": 0.0, "scan_step": 0.4}, "disc is 80 mrad wide"),
    ],
)
def test_what_cannot_be_reconstructed_is_said(calibration, message):
    with pytest.raises(ValueError, match=message):
        geometry(**calibration)
