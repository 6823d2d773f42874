"""Vector maps of known content."""

import numpy as np


def atom_field(shape, atoms, width=2.2):
    """Gradient of Gaussian atoms, (y, x, 2), and their potential; atoms are (y, x, height)."""
    y, x = np.indices(shape, dtype=float)
    potential, gradient = np.zeros(shape), np.zeros((*shape, 2))
    for atom_y, atom_x, height in atoms:
        peak = height * np.exp(-((y - atom_y) ** 2 + (x - atom_x) ** 2) / (2 * width**2))
        potential += peak
        gradient[..., 0] -= peak * (y - atom_y) / width**2
        gradient[..., 1] -= peak * (x - atom_x) / width**2
    return gradient, potential


def detector_frame(vectors, rotation, flip_y):
    """What a detector records of scan-frame vectors: the documented formula solved backwards.

    The documented way is v_y -> -v_y, then x' = cos θ x - sin θ y, y' = sin θ x + cos θ y.
    """
    cos, sin = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    y, x = vectors[..., 0], vectors[..., 1]
    recorded_y, recorded_x = -sin * x + cos * y, cos * x + sin * y
    return np.stack([-recorded_y if flip_y else recorded_y, recorded_x], axis=-1)
