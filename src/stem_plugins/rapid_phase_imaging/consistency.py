"""Whether an image explains the patterns that it was made from.

The phase under the probe makes a pattern; this is compared with the one that was recorded, cell by
cell, in units of the noise that counting gives.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np
import scipy.fft
import scipy.ndimage
from numpy.typing import NDArray

from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength
from stem_plugins.optics.probe import probe_spectrum, spatial_frequencies
from stem_plugins.rapid_phase_imaging.detector_cells import (
    CELLS,
    COARSE_CELLS,
    LARGEST_ANGLE,
    SECTORS,
    cell_of,
    coarse_of_fine,
)
from stem_plugins.rapid_phase_imaging.reduction import Reduction, plan_reduction, reduce_patterns

__all__ = ["Comparison", "pattern_consistency", "plan_comparison"]

#: Pixels of a predicted pattern, and the largest pixel of the specimen [λ/α]: patterns to 3 α.
WINDOW, LARGEST_PIXEL = 64, 1 / 6

#: Part of a cell that must lie on the detector for it to count.
WHOLE = 0.95


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """All that is needed to predict patterns from a phase.

    Parameters
    ----------
    probe
        Wave at half the height of the specimen, (`WINDOW`, `WINDOW`).
    finer, stride
        By which the phase is interpolated, and then every how many points are taken, (y, x).
    points
        Of the phase per position.
    reduction
        From predicted patterns to cells.
    compared
        Cells and sectors that lie on the detector, after fine cells are joined to coarse ones.
    """

    probe: NDArray[np.complex64]
    finer: tuple[int, int]
    stride: tuple[int, int]
    points: int
    reduction: Reduction
    compared: NDArray[np.bool_]


def plan_comparison(
    acquisition: Acquisition,
    scan_step: tuple[float, float],
    points: int,
    detector: Reduction,
    detector_step: tuple[float, float],
) -> Comparison:
    """Prepare to predict the patterns of a scan.

    Parameters
    ----------
    acquisition
        With energy, semi-angle and aberrations.
    scan_step
        Between positions (y, x) [Å], or between boxes of summed ones.
    points
        Of the phase per position.
    detector
        From recorded patterns to cells.
    detector_step
        Pixel of the recorded patterns (ky, kx), in parts of α.
    """
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    unit = wavelength(acquisition.beam_energy) / (acquisition.convergence_angle * 1e-3)
    pixels = [step / points / unit for step in scan_step]
    finer, stride = zip(*map(_parts_and_stride, pixels), strict=True)
    edges = [
        pixel * every / parts for pixel, parts, every in zip(pixels, finer, stride, strict=True)
    ]
    angles = [1 / (WINDOW * edge) for edge in edges]
    ky, kx = spatial_frequencies((WINDOW, WINDOW), (edges[0] * unit, edges[1] * unit))
    edge = float(np.mean(angles)) * acquisition.convergence_angle
    wave = np.fft.fftshift(np.fft.ifft2(probe_spectrum(ky, kx, acquisition, edge=edge)))
    predicted = Acquisition(
        convergence_angle=1.0,
        diffraction_step=(angles[0], angles[1]),
        center=(WINDOW / 2, WINDOW / 2),
    )
    seen = np.bincount(
        detector.runs[:, 3],
        detector.weights * (detector.runs[:, 2] - detector.runs[:, 1]),
        CELLS + SECTORS,
    )
    whole = _joined(seen * math.prod(detector_step)) > WHOLE * _joined(_areas())
    return Comparison(
        wave.astype(np.complex64),
        (finer[0], finer[1]),
        (stride[0], stride[1]),
        points,
        plan_reduction((WINDOW, WINDOW), predicted),
        whole,
    )


def _parts_and_stride(pixel: float) -> tuple[int, int]:
    """By how many points to interpolate, and every how many to take, to come near the largest."""
    fewest = math.ceil(pixel / LARGEST_PIXEL - 1e-9)
    found = [
        (parts, int(LARGEST_PIXEL / pixel * parts + 1e-9)) for parts in range(fewest, fewest + 4)
    ]
    return max(found, key=lambda one: one[1] / one[0])


@functools.cache
def _areas() -> NDArray[np.float64]:
    """Of cells and sectors, in α²."""
    edge = 0.005
    middle = np.arange(-LARGEST_ANGLE + edge / 2, LARGEST_ANGLE, edge)
    cell = cell_of(np.stack(np.meshgrid(middle, middle, indexing="ij"), -1))
    return np.asarray(np.bincount(cell[cell >= 0], minlength=CELLS + SECTORS) * edge**2, float)


def _joined(cells: NDArray[np.floating]) -> NDArray[np.float64]:
    """Fine cells joined to coarse ones, (..., cells + sectors) to (..., coarse cells + sectors)."""
    joined = np.zeros((*cells.shape[:-1], COARSE_CELLS + SECTORS))
    for fine, number in enumerate(coarse_of_fine()):
        joined[..., number] += cells[..., fine]
    joined[..., COARSE_CELLS:] = cells[..., CELLS:]
    return joined


def pattern_consistency(
    phase: NDArray[np.float32],
    cells: NDArray[np.floating],
    rows: tuple[int, int],
    comparison: Comparison,
    unit: float = 1.0,
    compared: Callable[[], None] | None = None,
) -> NDArray[np.float32]:
    """Compare recorded patterns with those that a phase makes.

    Parameters
    ----------
    phase
        [rad], (`points` × rows, `points` × columns) of the positions.
    cells
        What cells and sectors recorded, (rows, columns, cells + sectors).
    rows
        First and last but one row of the positions that are looked at; others lend their phase.
    comparison
        From `plan_comparison`.
    unit
        Electrons that a cell of 1 recorded.
    compared
        Called after every row. What it raises ends the work.

    Returns
    -------
    ndarray
        Root of the squared differences over the expected ones, Σ(n - e)² / Σe, for each of the
        rows and all columns: 1 where there is nothing but the noise of counting; 0 for patterns
        without counts.
    """
    _, columns = cells.shape[:2]
    transmission = np.exp(1j * _interpolated(phase, comparison.finer)).astype(np.complex64)
    room = [WINDOW // 2 * every for every in comparison.stride]
    transmission = np.pad(transmission, [(one, one) for one in room], mode="edge")
    window = [np.arange(WINDOW) * every for every in comparison.stride]
    between = [comparison.points * parts for parts in comparison.finer]
    across = between[1] * np.arange(columns)[:, None] + window[1]
    found = np.empty((rows[1] - rows[0], columns), np.float32)
    for number, row in enumerate(range(*rows)):
        part = transmission[between[0] * row + window[0]]
        waves = part[:, across].swapaxes(0, 1) * comparison.probe
        spectra = scipy.fft.fftshift(scipy.fft.fft2(waves, norm="ortho", workers=1), axes=(1, 2))
        predicted = reduce_patterns(np.abs(spectra[None]) ** 2, comparison.reduction)[0]
        expected = _joined(predicted)[:, comparison.compared]
        measured = unit * _joined(cells[row])[:, comparison.compared]
        # Beams flicker: each pattern has its own electrons.
        total = measured.sum(axis=1, keepdims=True)
        expected *= total / expected.sum(axis=1, keepdims=True)
        misfit = np.sum((measured - expected) ** 2, axis=1)
        found[number] = np.sqrt(misfit / np.maximum(total[:, 0], 1e-12))
        if compared is not None:
            compared()
    return found


def _interpolated(phase: NDArray[np.float32], finer: tuple[int, int]) -> NDArray[np.float32]:
    if finer == (1, 1):
        return phase
    lines = [
        np.arange(size * parts) / parts for size, parts in zip(phase.shape, finer, strict=True)
    ]
    grid = np.meshgrid(*lines, indexing="ij")
    found: NDArray[np.float32] = scipy.ndimage.map_coordinates(
        phase, grid, order=3, mode="nearest", output=np.float32
    )
    return found
