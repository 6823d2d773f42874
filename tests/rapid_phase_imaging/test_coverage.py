"""The light that falls on an image."""

import numpy as np
import pytest

from stem_plugins import Acquisition
from stem_plugins.rapid_phase_imaging.coverage import _covered, probe_coverage


@pytest.mark.parametrize("oversample", [1, 2, 3])
@pytest.mark.parametrize("defocus", [0.0, 60.0])
def test_a_large_scan_is_covered_as_the_probes_together_say(oversample, defocus):
    acquisition = Acquisition(
        beam_energy=300, convergence_angle=20, scan_step=(0.5, 0.7), defocus=defocus
    )
    positions = (40, 23)
    expected = _covered(positions, acquisition, oversample)
    shape = (positions[0] * oversample, positions[1] * oversample)
    found = probe_coverage(shape, acquisition, oversample)
    assert found.shape == expected.shape == shape
    # What is left of the probe four times λ/α away counts for nothing here.
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_memory_does_not_grow_with_the_scan():
    import tracemalloc

    acquisition = Acquisition(beam_energy=300, convergence_angle=20, scan_step=0.5)
    peaks = []
    for side in (64, 256):
        tracemalloc.start()
        found = probe_coverage((side, side), acquisition, 1)
        peaks.append(tracemalloc.get_traced_memory()[1] - found.nbytes)
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
