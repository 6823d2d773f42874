"""What the exit-wave network sees of a scan: one definition, for training and reconstruction.

Each position sees its own pattern and its eight neighbours. Counts are divided by the mean pattern
of the scan, weighted by how far away they are, raised to a tenth power, which keeps single
electrons in sight of a bright disc, and standardised together. At the edges of the scan the
patterns there are seen twice. Amplitude and phase of the probe's spectrum lie beside them.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from stem_plugins.rapid_phase_imaging.exit_wave_network import CHANNELS
from stem_plugins.rapid_phase_imaging.wave_grid import WINDOW

__all__ = ["exit_wave_inputs", "neighbour_weights"]

#: Power of the counts.
POWER = 0.1

#: Part of the highest amplitude of the probe's spectrum below which it is dark.
DARK = 0.01

#: Weight of the neighbours at a distance of λ/α; the pattern itself has 1.
NEAR = 1 / 50


def neighbour_weights(scan_step: tuple[float, float]) -> NDArray[np.float32]:
    """Return the weights of 3 × 3 patterns, in the order of rows and columns.

    Parameters
    ----------
    scan_step
        (y, x) in λ/α.

    Examples
    --------
    >>> neighbour_weights((0.2, 0.2)).round(3)[:2, :2]
    array([[0.071, 0.1  ],
           [0.1  , 1.   ]], dtype=float32)
    """
    y, x = (np.array([-1.0, 0.0, 1.0]) * step for step in scan_step)
    distance = np.hypot(y[:, None], x)
    distance[1, 1] = NEAR
    return np.minimum(1.0, NEAR / distance).astype(np.float32)


def exit_wave_inputs(
    rows: NDArray[np.floating], scan_step: tuple[float, float], probe: NDArray[np.complexfloating]
) -> NDArray[np.float32]:
    """Make the network's input for a row of positions.

    Parameters
    ----------
    rows
        Patterns of the row before, itself, and the row after, (3, columns, `WINDOW`, `WINDOW`), in
        parts of the mean pattern; none below zero.
    scan_step
        (y, x) in λ/α.
    probe
        (`WINDOW`, `WINDOW`) complex.

    Returns
    -------
    ndarray
        (columns, `CHANNELS`, `WINDOW`, `WINDOW`).
    """
    columns = rows.shape[1]
    rooted = np.maximum(rows, 0).astype(np.float32) ** np.float32(POWER)
    rooted = np.pad(rooted, ((0, 0), (1, 1), (0, 0), (0, 0)), mode="edge")
    weights = neighbour_weights(scan_step) ** np.float32(POWER)
    channels = np.empty((columns, CHANNELS, WINDOW, WINDOW), np.float32)
    for number in range(9):
        row, column = divmod(number, 3)
        channels[:, number] = weights[row, column] * rooted[row, column : column + columns]
    patterns = channels[:, :9]
    patterns -= patterns.mean(axis=(1, 2, 3), keepdims=True)
    patterns /= np.maximum(patterns.std(axis=(1, 2, 3), keepdims=True), 1e-6)
    spectrum = scipy.fft.fftshift(scipy.fft.fft2(scipy.fft.ifftshift(probe), norm="ortho"))
    amplitude = np.abs(spectrum)
    # Where there is no light there is no phase.
    phase = np.where(amplitude > DARK * amplitude.max(), np.angle(spectrum), 0)
    channels[:, 9] = (amplitude - amplitude.mean()) / amplitude.std()
    channels[:, 10] = phase
    return channels
