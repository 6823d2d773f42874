"""A scan of known content, and ``stem-plugins`` as a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from stem_plugins.optics import Acquisition

#: What the scan was made with.
ACQUISITION = Acquisition(
    beam_energy=200,
    convergence_angle=20,
    scan_step=(0.2, 0.25),
    diffraction_step=(2.0, 2.0),
    center=(15.0, 14.0),
    scan_rotation=25.0,
    flip_y=True,
)


def spot_patterns(vectors, center, detector=(32, 30), width=3.0, height=4000):
    """Counts (y, x, ky, kx) of a round spot that the vectors [px, detector frame] move."""
    ky, kx = np.indices(detector)
    at = np.asarray(center) + vectors
    squared = (ky - at[..., 0, None, None]) ** 2 + (kx - at[..., 1, None, None]) ** 2
    return np.rint(height * np.exp(-squared / (2 * width**2))).astype(np.uint16)


def start(*words, **options):
    """Start ``stem-plugins`` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "stem_plugins.cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        **options,
    )


def names(folder: Path):
    """All that lies in a folder, hidden files included."""
    return sorted(path.name for path in folder.iterdir())
