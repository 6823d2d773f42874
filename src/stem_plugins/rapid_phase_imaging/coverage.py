"""How much light each pixel of an image got."""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength
from stem_plugins.optics.probe import probe

__all__ = ["probe_coverage"]

#: Largest pixel on which the probe is drawn, and how far it reaches, in λ/α.
FINEST, REACH = 0.25, 4.0


def probe_coverage(
    shape: tuple[int, int], acquisition: Acquisition, oversample: int
) -> NDArray[np.float32]:
    """Sum the probes' intensities, over its mean far from all edges.

    Parameters
    ----------
    shape
        Of the image.
    acquisition
        With energy, semi-angle, scan step and aberrations.
    oversample
        Pixels of the image per scan step.

    Examples
    --------
    >>> fine = Acquisition(beam_energy=300, convergence_angle=20, scan_step=0.2)
    >>> covered = probe_coverage((64, 64), fine, 2)
    >>> bool(abs(covered[32, 32] - 1) < 0.05), bool(covered[0, 0] < 0.4)
    (True, True)
    """
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    assert acquisition.scan_step is not None
    unit = wavelength(acquisition.beam_energy) / (acquisition.convergence_angle * 1e-3)
    # Far from the edges everything repeats from step to step: a small scan has it all.
    reach = [math.ceil(REACH * unit / step) for step in acquisition.scan_step]
    places = [_small_index(size // oversample, far) for size, far in zip(shape, reach, strict=True)]
    small = _covered((int(places[0].max()) + 1, int(places[1].max()) + 1), acquisition, oversample)
    rows, columns = (
        (index[:, None] * oversample + np.arange(oversample)).reshape(-1) for index in places
    )
    return small[rows[:, None], columns]


def _small_index(size: int, reach: int) -> NDArray[np.int64]:
    """Positions of a scan as those of a small one that are covered alike."""
    index = np.arange(size)
    most = 2 * reach + 1
    if size <= most:
        return index
    return np.where(index < reach, index, np.maximum(reach, index - size + most))


def _covered(
    positions: tuple[int, int], acquisition: Acquisition, oversample: int
) -> NDArray[np.float32]:
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    assert acquisition.scan_step is not None
    unit = wavelength(acquisition.beam_energy) / (acquisition.convergence_angle * 1e-3)
    shape = [count * oversample for count in positions]
    # Fine enough for the probe, which has frequencies up to 1/unit.
    finer = math.ceil(max(acquisition.scan_step) / oversample / (FINEST * unit))
    points = oversample * finer
    pixel = (acquisition.scan_step[0] / points, acquisition.scan_step[1] / points)
    sizes = [size * finer for size in shape]
    # As much room around as the probe needs, so that nothing comes in at the opposite edge.
    rooms = [math.ceil(REACH * unit / edge) for edge in pixel]
    grid = [
        scipy.fft.next_fast_len(size + 2 * room) for size, room in zip(sizes, rooms, strict=True)
    ]
    inside = [slice(room, room + size) for size, room in zip(sizes, rooms, strict=True)]
    comb = np.zeros(grid, np.float32)
    comb[inside[0], inside[1]][::points, ::points] = 1
    intensity = np.abs(np.fft.ifftshift(probe((grid[0], grid[1]), pixel, acquisition))) ** 2
    spectrum = scipy.fft.rfft2(intensity) * scipy.fft.rfft2(comb)
    light = scipy.fft.irfft2(spectrum, s=grid) * points**2
    found: NDArray[np.float32] = light[inside[0], inside[1]][::finer, ::finer].astype(np.float32)
    return found
