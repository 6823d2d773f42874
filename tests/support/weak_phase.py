"""Scans of a weak phase object of a few waves, written out as the theory has them."""

import numpy as np

from stem_plugins import Acquisition
from stem_plugins.optics import aberration_function, wavelength

ENERGY, SEMI_ANGLE, STEP, SCAN = 200, 20, 0.4, (24, 30)
LENGTH = wavelength(ENERGY)

#: Spatial frequencies of the specimen, in cycles per scan (y, x), and their complex amplitudes.
WAVES = {(0, 2): 0.8, (3, 0): 0.5j, (4, 5): 0.4 - 0.3j, (-2, 7): 0.3, (9, -6): 0.2j}


def acquisition(**changes):
    known = {
        "beam_energy": ENERGY,
        "convergence_angle": SEMI_ANGLE,
        "scan_step": STEP,
        "diffraction_step": 2.5,
        "center": (12.3, 10.8),
        "scan_rotation": 0,
        "flip_y": False,
    }
    return Acquisition(**known | changes)


def specimen(strength=1e-3):
    """Phase at the scan positions, and its Fourier series {(y, x): amplitude}."""
    y, x = np.indices(SCAN)
    series = {(0, 0): 1}
    phase = np.zeros(SCAN)
    for (qy, qx), amplitude in WAVES.items():
        wave = np.exp(2j * np.pi * (qy * y / SCAN[0] + qx * x / SCAN[1]))
        phase += 2 * strength * (amplitude * wave).real
        series[qy, qx] = 1j * strength * amplitude
        series[-qy, -qx] = 1j * strength * np.conj(amplitude)
    return phase, series


def angles_of_pixels(setup, detector):
    """Scan-frame angles [rad] of all pixels, as the documentation of frames and signs says."""
    ky, kx = np.indices(detector)
    step_y, step_x = setup.diffraction_step
    y, x = (ky - setup.center[0]) * step_y * 1e-3, (kx - setup.center[1]) * step_x * 1e-3
    if setup.flip_y:
        y = -y
    cos, sin = np.cos(np.deg2rad(setup.scan_rotation)), np.sin(np.deg2rad(setup.scan_rotation))
    return sin * x + cos * y, cos * x - sin * y


def lens_wave(y, x, setup):
    """Aperture with an edge of one detector pixel, and aberrations."""
    angle, edge = np.hypot(y, x), np.sqrt(np.prod(setup.diffraction_step)) * 1e-3
    inside = np.clip((SEMI_ANGLE * 1e-3 - angle) / edge + 0.5, 0, 1)
    chi = aberration_function(
        angle, np.arctan2(y, x), ENERGY, setup.aberrations, setup.defocus or 0.0
    )
    return inside * np.exp(-1j * chi)


def record(setup, series, detector=(24, 22)):
    """Patterns: every wave of the specimen shifts the probe's disc and turns with the position."""
    y, x = angles_of_pixels(setup, detector)
    row, column = (index[..., None, None] for index in np.indices(SCAN))
    wave = np.zeros((*SCAN, *detector), complex)
    for (qy, qx), amplitude in series.items():
        shifted = lens_wave(
            y - qy * LENGTH / (SCAN[0] * STEP), x - qx * LENGTH / (SCAN[1] * STEP), setup
        )
        turn = np.exp(2j * np.pi * (qy * row / SCAN[0] + qx * column / SCAN[1]))
        wave += amplitude * shifted * turn
    return np.abs(wave) ** 2
