"""The training simulation against the one that is tested against abTEM."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from stem_plugins import Acquisition
from stem_plugins.optics import interaction_constant, wavelength
from stem_plugins.simulation import Atoms, simulate_scan
from stem_plugins.simulation.batched_scan import (
    FRACTIONS,
    PIXEL,
    WINDOW,
    BatchedScan,
    free_flight,
    phase_spectrum,
)
from stem_plugins.simulation.potentials import projected_potential

ENERGY, ANGLE = 300.0, 20.0
UNIT = wavelength(ENERGY) / (ANGLE * 1e-3)


@pytest.fixture
def atoms(rng):
    """Atoms of three elements in the middle of 16 Å, in two layers 4 Å apart."""
    places = rng.uniform(6.5, 9.5, (7, 2))
    heights = np.repeat([2.0, 6.0], [4, 3])
    return Atoms(
        [6, 14, 79, 38, 8, 47, 22],
        np.column_stack([heights, places]),
        (8.0, 16.0, 16.0),
        0.08,
        periodic=False,
    )


def test_the_phase_is_that_of_the_whole_potential(atoms):
    size = (144, 150)
    spectrum = phase_spectrum(atoms, size, unit=UNIT, beam_energy=ENERGY)
    pixel = PIXEL * UNIT
    expected = interaction_constant(ENERGY) * projected_potential(atoms, size, pixel)
    found = np.fft.irfft2(spectrum, s=size)
    # Below the cut-off; beyond it both are sharp in their own way.
    both = [np.fft.rfft2(one) for one in (found, expected)]
    y, x = np.fft.fftfreq(size[0], PIXEL)[:, None], np.fft.rfftfreq(size[1], PIXEL)
    inside = np.hypot(y, x) < 3
    np.testing.assert_allclose(both[0][inside], both[1][inside], atol=0.004 * np.abs(both[1]).max())
    resting = phase_spectrum(atoms, size, unit=UNIT, beam_energy=ENERGY, smeared=False)
    assert np.fft.irfft2(resting, s=size).max() > found.max()


@pytest.mark.parametrize("slices", [1, 2])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (1.0, -2.0)])
def test_patterns_equal_those_of_the_simulation(atoms, slices, offset):
    pixel = PIXEL * UNIT
    grid = 168
    parts = [atoms] if slices == 1 else [atoms[:4], atoms[4:]]
    phases = np.stack(
        [
            np.fft.irfft2(
                phase_spectrum(part, (grid, grid), unit=UNIT, beam_energy=ENERGY), s=(grid, grid)
            )
            for part in parts
        ]
    )
    y = np.fft.fftfreq(WINDOW, PIXEL)
    radius = np.hypot(y[:, None], y)
    disc = np.clip((1 - radius) * WINDOW * PIXEL + 0.5, 0, 1).astype(np.complex64)
    scan = BatchedScan(
        torch.from_numpy(phases[None].astype(np.float32)),
        free_flight(ENERGY, 4.0, ANGLE) if slices == 2 else 0.0,
        torch.from_numpy(disc),
    )
    places = np.array([[60, 60], [66, 73], [80, 70]]) * FRACTIONS + np.array(
        [[0, 3], [5, 1], [2, 7]]
    )
    found = scan.patterns(
        torch.from_numpy(places), torch.zeros(3, dtype=torch.int64), torch.tensor(offset)
    ).numpy()
    np.testing.assert_allclose(found.sum((1, 2)), 1, atol=0.03)
    # The same scan, position by position, with the beam where four pixels meet.
    for pattern, place in zip(found, places, strict=True):
        expected = simulate_scan(
            atoms,
            Acquisition(
                beam_energy=ENERGY,
                convergence_angle=ANGLE,
                scan_step=1.0,
                diffraction_step=ANGLE / (WINDOW * PIXEL),
                center=(47.5 + offset[0], 47.5 + offset[1]),
                scan_rotation=0,
                flip_y=False,
            ),
            scan_shape=(1, 1),
            detector_shape=(WINDOW, WINDOW),
            scan_origin=tuple(place / FRACTIONS * pixel),
            slice_thickness=4.0 if slices == 2 else None,
        ).data[0, 0]
        assert np.corrcoef(pattern.ravel(), expected.ravel())[0, 1] > 0.999
        np.testing.assert_allclose(pattern, expected / expected.sum(), atol=0.03 * pattern.max())
