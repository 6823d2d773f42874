"""The demo's scan shows what its text says."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from stem_plugins.simulation import demo_scan, demo_specimen


@pytest.fixture(scope="module")
def scan():
    return demo_scan((40, 40))


def test_specimen_overfills_three_sides_and_leaves_a_corner_empty():
    extent = np.array([25.6, 25.6])
    atoms = demo_specimen(tuple(extent))
    y, x = atoms.positions[:, 1:].T
    assert y.min() < -6
    assert x.min() < -6
    corner = (y > 0.9 * extent[0]) & (x > 0.9 * extent[1])
    assert not corner.any()
    middle = (np.abs(y - 12.8) < 3.905) & (np.abs(x - 12.8) < 3.905)
    assert middle.sum() >= 4 * 25


def test_dose_and_calibration(scan):
    assert scan.data.shape == (40, 40, 48, 48)
    assert scan.data.dtype == np.uint16
    acquisition = scan.acquisition.require(
        "beam_energy", "convergence_angle", "scan_step", "diffraction_step", "center", "dose"
    )
    expected = acquisition.dose * np.prod(acquisition.scan_step)
    assert scan.data.sum((2, 3)).mean() == pytest.approx(expected, rel=0.02)


def test_dark_field_shows_strontium_and_not_oxygen(scan):
    y, x = np.indices((48, 48))
    center_y, center_x = scan.acquisition.center
    angle = np.hypot(y - center_y, x - center_x) * 4.0
    dark_field = gaussian_filter(scan.data[:, :, angle > 50].sum(-1).astype(float), 1.0)
    # Sr stands on the corners of the cells of 3.905 Å; pure oxygen halfway along the edges.
    strontium, titanium, oxygen = (
        np.mean([dark_field[_nearest(place)] for place in places])
        for places in (
            [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)],
            [(0.5, 0.5), (0.5, 1.5), (1.5, 0.5)],
            [(0.5, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 0.5)],
        )
    )
    assert strontium > 2 * titanium
    assert titanium > 2 * oxygen


def _nearest(place):
    """Scan index nearest to a place in units of the cell."""
    return tuple(round(coordinate * 3.905 / 0.2) for coordinate in place)
