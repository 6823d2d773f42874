"""What the exit-wave network sees of a scan: one definition, for training and reconstruction.

Each position sees its own pattern and its eight neighbours, as square roots of the counts, whose
noise is the same everywhere: of its own what differs from the pattern of vacuum, of the neighbours
what differs from its own. At the edges of the scan the patterns there are seen twice. Amplitude and
phase of the probe's spectrum lie beside them.

The published system takes tenth roots of whole patterns. Thin specimens change these by a hundredth
of what the disc is beside them, which takes a network millions of examples to see.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from stem_plugins.rapid_phase_imaging.exit_wave_network import CHANNELS
from stem_plugins.rapid_phase_imaging.wave_grid import WINDOW

__all__ = ["exit_wave_inputs", "neighbour_weights"]

#: Distance of neighbours [λ/α] whose weight is one.
FAR = 0.5

#: Differences from vacuum, and from the pattern itself, that count as strong, in parts of the
#: probe's amplitude: what is weaker looks weak.
STRONG = (0.01, 0.003)

#: Largest number that the network sees.
LARGEST = 8.0

#: Part of the highest amplitude of the probe's spectrum below which it is dark.
DARK = 0.01


def neighbour_weights(scan_step: tuple[float, float]) -> NDArray[np.float32]:
    """Return the weights of 3 × 3 patterns, in the order of rows and columns: they tell the step.

    Parameters
    ----------
    scan_step
        (y, x) in λ/α.

    Examples
    --------
    >>> neighbour_weights((0.2, 0.2)).round(3)[:2, :2]
    array([[0.566, 0.4  ],
           [0.4  , 1.   ]], dtype=float32)
    """
    y, x = (np.array([-1.0, 0.0, 1.0]) * step for step in scan_step)
    weights = np.hypot(y[:, None], x) / FAR
    weights[1, 1] = 1
    return weights.astype(np.float32)


def exit_wave_inputs(
    rows: NDArray[np.floating], scan_step: tuple[float, float], probe: NDArray[np.complexfloating]
) -> NDArray[np.float32]:
    """Make the network's input for a row of positions.

    Parameters
    ----------
    rows
        Patterns of the row before, itself, and the row after, (3, columns, `WINDOW`, `WINDOW`), in
        any unit; what is below zero counts as zero.
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
    spectrum = scipy.fft.fftshift(scipy.fft.fft2(scipy.fft.ifftshift(probe), norm="ortho"))
    vacuum = np.abs(spectrum).astype(np.float32)
    unit = vacuum.max()
    counts = np.pad(
        np.maximum(rows, 0).astype(np.float32), ((0, 0), (1, 1), (0, 0), (0, 0)), mode="edge"
    )
    channels = np.empty((columns, CHANNELS, WINDOW, WINDOW), np.float32)
    for number in range(9):
        row, column = divmod(number, 3)
        channels[:, number] = counts[row, column : column + columns]
    patterns = channels[:, :9]
    # Nine patterns together have the electrons of nine vacuum patterns.
    total = patterns.sum(axis=(1, 2, 3), keepdims=True) / (9 * np.sum(vacuum**2))
    np.sqrt(patterns / np.where(total > 0, total, 1), out=patterns)
    own = patterns[:, 4].copy()
    patterns -= own[:, None]
    patterns *= neighbour_weights(scan_step).reshape(1, 9, 1, 1) / unit
    patterns[:, 4] = (own - vacuum) / unit
    others = np.delete(np.arange(9), 4)
    for which, strong in ((np.array([4]), STRONG[0]), (others, STRONG[1])):
        some = patterns[:, which]
        size = np.sqrt(np.mean(some**2, axis=(1, 2, 3), keepdims=True))
        tell = 1.0 if len(which) == 1 else float(np.mean(scan_step)) / FAR
        patterns[:, which] = some * (tell / (size + strong))
    np.clip(patterns, -LARGEST, LARGEST, out=patterns)
    channels[:, 9] = vacuum / unit
    # Where there is no light there is no phase.
    channels[:, 10] = np.where(vacuum > DARK * unit, np.angle(spectrum), 0)
    return channels
