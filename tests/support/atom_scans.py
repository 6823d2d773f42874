"""Small scans of known specimens."""

import dataclasses

import numpy as np

from stem_plugins import Acquisition
from stem_plugins.simulation import simulate_scan, single_atoms

ACQUISITION = Acquisition(
    beam_energy=300, convergence_angle=20, scan_step=1.0, diffraction_step=2.0, defocus=60
)
PLACES = np.array([[4.0, 5.0], [8.0, 3.0], [7.0, 9.0]])


def scan_of_atoms(
    numbers=(79, 79, 79), places=PLACES, *, side=13, positions=None, dose=None, **calibration
):
    """Atoms in vacuum at known places; the centre falls onto a pixel."""
    acquisition = dataclasses.replace(ACQUISITION, center=(16, 16), **calibration)
    positions = positions or side
    return simulate_scan(
        single_atoms(numbers, places, extent=(side, side)),
        acquisition,
        scan_shape=(positions, positions),
        detector_shape=(32, 32),
        dose=dose,
        seed=1,
        workers=1,
    )


def peaks(phase, sampling, count=3):
    """Places [Å] of the highest separate maxima, sorted by row."""
    rest, found = phase.copy(), []
    rows, columns = np.indices(phase.shape)
    for _ in range(count):
        y, x = np.unravel_index(rest.argmax(), rest.shape)
        found.append((y * sampling[0], x * sampling[1]))
        near = np.hypot((rows - y) * sampling[0], (columns - x) * sampling[1]) < 1.5
        rest[near] = -np.inf
    return np.array(sorted(found))
