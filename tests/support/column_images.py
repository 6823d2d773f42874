"""Images of atomic columns whose truth is known."""

import numpy as np


def columns(shape: tuple[int, int], spacing: float = 12.0) -> np.ndarray:
    """Columns of two kinds on a turned lattice, from 0.05 to about 1."""
    y, x = np.indices(shape)
    image = np.full(shape, 0.05)
    for shift, height in ((0, 1.0), (0.5, 0.4)):
        along = (np.cos(0.3) * x + np.sin(0.3) * y) / spacing + shift
        across = (np.cos(0.3) * y - np.sin(0.3) * x) / spacing + shift
        distance = sum(((part + 0.5) % 1 - 0.5) ** 2 for part in (along, across)) * spacing**2
        image += height * np.exp(-distance / (2 * (spacing / 6) ** 2))
    return image
