"""What the spatial network sees of a scan: one definition, for training and for reconstruction."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stem_plugins.imaging.overlap_kernel import disc_amplitude
from stem_plugins.optics.aberrations import aberration_coefficients
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength
from stem_plugins.rapid_phase_imaging.detector_cells import (
    CELLS,
    COARSE_CELLS,
    FINE,
    SECTORS,
    coarse_of_fine,
    fine_angles,
)
from stem_plugins.rapid_phase_imaging.physics_images import (
    IMAGES,
    cell_overlaps,
    lens_in_units_of_aperture,
    physics_images,
)

__all__ = ["CHANNELS", "CONDITIONS", "ScanConditions", "ScanInputs", "conditions_of", "scan_inputs"]

#: Channels of the network's input, and numbers that describe the scan as a whole.
CHANNELS = COARSE_CELLS + SECTORS + IMAGES
CONDITIONS = 13

#: Contrast of a cell for a phase of 1 rad, about; and the smallest phase that counts as one [rad].
CONTRAST, SMALLEST_SCALE = 0.5, 0.01

#: Largest number that the network sees.
LARGEST = 12.0

#: Cells whose spectra are held at once: those of all are as large as the cells themselves.
TOGETHER = 80

#: Electrons per pattern from which on more make no difference.
MANY_ELECTRONS = 1e6

#: Aberrations that the network knows, and their multiplicities.
ABERRATIONS = {"C10": 0, "C12": 2, "C21": 1, "C23": 3, "C30": 0}


@dataclasses.dataclass(frozen=True)
class ScanConditions:
    """How a scan was recorded, in units of λ/α and α.

    Parameters
    ----------
    scan_step
        (y, x) in λ/α.
    electrons
        In a mean pattern; infinite where there is no noise.
    unit
        λ/α [Å], which says how large atoms are.
    aberrations
        Complex phases at the aperture's edge [rad], in the order of `ABERRATIONS`: χ is the sum of
        ``Re[c r^(n+1-m) ω*^m]`` with ``ω = x + iy``.
    """

    scan_step: tuple[float, float]
    electrons: float
    unit: float
    aberrations: tuple[complex, ...] = (0j,) * len(ABERRATIONS)

    def numbers(self) -> NDArray[np.float32]:
        """Return what the network is told beside the scale, (`CONDITIONS` - 1,)."""
        c10, c12, c21, c23, c30 = self.aberrations
        step_y, step_x = self.scan_step
        return np.array(
            [
                math.log10(min(self.electrons, MANY_ELECTRONS)) / 3 - 1,
                math.log(step_y * step_x) / 2 + 1.5,
                math.log(step_y / step_x),
                math.log(self.unit) - 0.5,
                *(value / 1.5 for value in (c10.real, c30.real)),
                *(part / 1.5 for value in (c12, c21, c23) for part in (value.real, value.imag)),
            ],
            np.float32,
        )

    def terms(self) -> NDArray[np.float64]:
        """Return the aberrations as `stem_plugins.imaging.overlap_kernel.Lens` has them."""
        rows = []
        for (name, fold), value in zip(ABERRATIONS.items(), self.aberrations, strict=True):
            if value:
                own = (int(name[1]) + 1 - fold) // 2
                rows.append((own, own + fold, value.real, value.imag))
        return np.array(rows, float).reshape(-1, 4)


def conditions_of(acquisition: Acquisition, repeat: int, electrons: float) -> ScanConditions:
    """Turn a calibration into the units of the network.

    Parameters
    ----------
    acquisition
        With beam energy, convergence angle and scan step.
    repeat
        Edge of the boxes of patterns that are summed.
    electrons
        In a mean pattern, or box of patterns.
    """
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    assert acquisition.scan_step is not None
    angle = acquisition.convergence_angle * 1e-3
    unit = wavelength(acquisition.beam_energy) / angle
    coefficients = aberration_coefficients(acquisition.aberrations, acquisition.defocus)
    aberrations = []
    for name, fold in ABERRATIONS.items():
        order = int(name[1]) + 1
        size = 2 * np.pi / unit * angle ** (order - 1) * coefficients.get(name, 0.0) / order
        # cos m(φ - φ_m) = Re[exp(i m φ_m) exp(-i m φ)], and ω* = r exp(-iφ).
        turn = fold * coefficients.get(f"phi{name[1:]}", 0.0)
        aberrations.append(complex(size * math.cos(turn), size * math.sin(turn)))
    step_y, step_x = (repeat * step / unit for step in acquisition.scan_step)
    return ScanConditions((step_y, step_x), electrons, unit, tuple(aberrations))


@dataclasses.dataclass(frozen=True, eq=False)
class ScanInputs:
    """What the network sees.

    Parameters
    ----------
    channels
        (`CHANNELS`, y, x).
    conditions
        (`CONDITIONS`,).
    base
        Direct ptychography at the positions and halfway between them, (2 y, 2 x): what the network
        corrects, in units of `scale`.
    scale
        Root mean square of direct ptychography [rad]: weak and strong specimens look alike.
    """

    channels: NDArray[np.float32]
    conditions: NDArray[np.float32]
    base: NDArray[np.float32]
    scale: float


def scan_inputs(
    cells: NDArray[np.floating], conditions: ScanConditions, *, mean: float = 1.0
) -> ScanInputs:
    """Make the network's input.

    Parameters
    ----------
    cells
        What cells and sectors recorded, (cells + sectors, y, x), of any floating type; views are
        read in place.
    conditions
        Of the scan.
    mean
        The mean pattern's sum, in the same unit.
    """
    step, shape = conditions.scan_step, cells.shape[1:]
    lens = lens_in_units_of_aperture(conditions.terms())
    electrons = conditions.electrons if math.isfinite(conditions.electrons) else None
    channels = np.empty((CHANNELS, *shape), np.float32)
    coarse = channels[:COARSE_CELLS]
    coarse[:] = 0
    sums = []
    for which in _groups_of_cells():
        fine = _in_parts(cells[which], mean)
        for number, cell in zip(coarse_of_fine()[which], fine, strict=True):
            coarse[number] += cell
        sums.append(cell_overlaps(fine, which, lens=lens, scan_step=step))
    physics = physics_images(
        functools.reduce(operator.add, sums), shape, lens=lens, scan_step=step, electrons=electrons
    )
    scale = float(np.hypot(physics.images[0].std(), SMALLEST_SCALE))
    vacuum, share = _vacuum()
    # In units of what is seen: of the specimen's contrast, or of the noise where that is larger.
    size = share * math.hypot(CONTRAST * scale, 1 / math.sqrt(share * conditions.electrons))
    coarse -= vacuum[:, None, None]
    coarse /= size
    channels[COARSE_CELLS : COARSE_CELLS + SECTORS] = _in_parts(cells[CELLS:], mean * size)
    # What noise there is beyond the scale tells little by its size.
    noisy = physics.images.std(axis=(1, 2), keepdims=True)
    channels[COARSE_CELLS + SECTORS :] = physics.images / np.maximum(scale, noisy)
    np.clip(channels, -LARGEST, LARGEST, out=channels)
    told = np.append(conditions.numbers(), np.float32(math.log(scale) / 2 + 1))
    return ScanInputs(channels, told, physics.finer / scale, scale)


def _groups_of_cells() -> Iterator[slice]:
    for first in range(0, CELLS, TOGETHER):
        yield slice(first, min(first + TOGETHER, CELLS))


def _in_parts(cells: NDArray[np.floating], whole: float) -> NDArray[np.float32]:
    """Bring cells together in single precision, in parts of a number."""
    return np.multiply(cells, np.float32(1 / whole), dtype=np.float32, order="C")


def _vacuum() -> tuple[NDArray[np.float32], float]:
    """What coarse cells record without specimen, and a whole one of them within the disc."""
    disc = disc_amplitude(fine_angles(), 1.0, FINE) ** 2
    vacuum = np.bincount(coarse_of_fine(), disc) / disc.sum()
    return vacuum.astype(np.float32), float(4 / disc.sum())
