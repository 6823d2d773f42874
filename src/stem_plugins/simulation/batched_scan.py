"""Scans for training, many positions at once, on a processor or a GPU.

The same physics as `stem_plugins.simulation.scan` (Lobato and Van Dyck's potentials, multislice),
in other units and for another purpose: lengths are in λ/α and angles in α, patterns are computed
with three pixels to 9/32 α and reach ±4.5 α, and positions lie on eighths of a pixel, so that one
table of shifted probes serves a whole scan. Waves and transmission functions are cut off at 3 α.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.optics.electrons import interaction_constant, wavelength
from stem_plugins.simulation.crystals import Atoms
from stem_plugins.simulation.potentials import POTENTIAL_FACTOR, scattering_factor

__all__ = ["PIXEL", "WINDOW", "BatchedScan", "phase_spectrum"]

#: Pixels of a pattern; a pixel of the specimen, in λ/α; and one of a pattern, in α.
WINDOW = 96
PIXEL = 1 / 9
ANGLE = 1 / (WINDOW * PIXEL)

#: Beyond which waves are cut off, in α; a third of the sampling rate.
CUTOFF = 3.0

#: Parts of a pixel on which positions lie.
FRACTIONS = 8

#: Waves that are computed at once.
BATCH = 256


@dataclasses.dataclass(frozen=True, eq=False)
class BatchedScan:
    """Diffraction patterns of a specimen.

    Parameters
    ----------
    phases
        σV of the slices [rad], (configurations, slices, y, x), in the order in which the beam meets
        them; pixels of `PIXEL`.
    slice_distance
        Of the slices, times α²/λ: π times it is the phase of free flight at the aperture's edge.
    aperture
        Wave in the aperture, (`WINDOW`, `WINDOW`) with angle zero first, at the upper face.
    """

    phases: torch.Tensor
    slice_distance: float
    aperture: torch.Tensor

    def patterns(
        self,
        places: torch.Tensor,
        configurations: torch.Tensor,
        offset: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Compute patterns, in parts of the beam.

        Parameters
        ----------
        places
            Of the probe in `FRACTIONS` of a pixel, whole numbers (n, 2); half a window from each
            edge of the specimen at least.
        configurations
            Which of them each position sees, (n,).
        offset
            By which patterns are moved over the detector, in pixels (y, x).

        Returns
        -------
        Tensor
            (n, `WINDOW`, `WINDOW`), pixels of `ANGLE` whose edges meet at angle zero.
        """
        moved = _moved(self.phases.device, offset)
        found = [
            torch.fft.fft2(waves * moved, norm="ortho").abs().square()
            for waves in self._exit_waves(places, configurations)
        ]
        return torch.fft.fftshift(torch.cat(found), dim=(1, 2))

    def mid_plane_waves(self, places: torch.Tensor, configurations: torch.Tensor) -> torch.Tensor:
        """Compute exit waves, sent back through free space to half the height of the specimen.

        Parameters
        ----------
        places, configurations
            As for `patterns`.

        Returns
        -------
        Tensor
            (n, `WINDOW`, `WINDOW`) complex, pixels of `PIXEL`; the probe stands between the pixels
            in the middle as its place does between those of the specimen.
        """
        back = self._flight(-0.5 * (self.phases.shape[1] - 1))
        found = [
            torch.fft.ifft2(torch.fft.fft2(waves) * back)
            for waves in self._exit_waves(places, configurations)
        ]
        return torch.cat(found)

    def _exit_waves(
        self, places: torch.Tensor, configurations: torch.Tensor
    ) -> Iterator[torch.Tensor]:
        transmissions = _limited(torch.polar(torch.ones_like(self.phases), self.phases))
        probes = self._probes()
        flight = self._flight()
        for part, kinds in zip(places.split(BATCH), configurations.split(BATCH), strict=True):
            pixel = torch.div(part, FRACTIONS, rounding_mode="floor")
            fraction = part - FRACTIONS * pixel
            waves = probes[fraction[:, 0], fraction[:, 1]]
            for index in range(transmissions.shape[1]):
                if index:
                    waves = torch.fft.ifft2(torch.fft.fft2(waves) * flight)
                waves = waves * _windows(transmissions[:, index], kinds, pixel)
            yield waves

    def _probes(self) -> torch.Tensor:
        """Probes in the middle of the window, for every fraction of a pixel."""
        device = self.phases.device
        frequency = torch.fft.fftfreq(WINDOW, device=device)
        shift = torch.arange(FRACTIONS, device=device) / FRACTIONS + WINDOW // 2
        ramp = torch.exp(-2j * torch.pi * shift[:, None] * frequency)
        spectra = self.aperture * ramp[:, None, :, None] * ramp[None, :, None, :]
        waves = torch.fft.ifft2(spectra, norm="ortho")
        return waves / self.aperture.abs().square().sum().sqrt()

    def _flight(self, slices: float = 1.0) -> torch.Tensor:
        angle = torch.fft.fftfreq(WINDOW, PIXEL, device=self.phases.device)
        squared = angle[:, None] ** 2 + angle**2
        phase = -torch.pi * slices * self.slice_distance * squared
        return torch.polar((squared <= CUTOFF**2).float(), phase)


def _windows(slice_: torch.Tensor, kinds: torch.Tensor, pixel: torch.Tensor) -> torch.Tensor:
    """Cut a window around each probe out of a slice (configurations, y, x)."""
    # Every window of every configuration, as a view that copies nothing.
    views = slice_.unfold(1, WINDOW, 1).unfold(2, WINDOW, 1)
    corner = pixel - WINDOW // 2
    return views[kinds, corner[:, 0], corner[:, 1]]


def _moved(device: torch.device, offset: torch.Tensor | None) -> torch.Tensor:
    """Ramp that moves patterns by half a pixel, so that angle zero is where four pixels meet."""
    shift = torch.full((2,), -0.5, device=device)
    if offset is not None:
        shift = shift + offset
    place = torch.arange(WINDOW, device=device) / WINDOW
    y, x = (torch.exp(2j * torch.pi * one * place) for one in shift)
    return y[:, None] * x


def _limited(waves: torch.Tensor) -> torch.Tensor:
    height, width = waves.shape[-2:]
    y = torch.fft.fftfreq(height, PIXEL, device=waves.device)[:, None]
    x = torch.fft.fftfreq(width, PIXEL, device=waves.device)
    return torch.fft.ifft2(torch.fft.fft2(waves) * (y**2 + x**2 <= CUTOFF**2))


def phase_spectrum(
    atoms: Atoms, shape: tuple[int, int], *, unit: float, beam_energy: float, smeared: bool = True
) -> NDArray[np.complex64]:
    """Transform of the phase σV that atoms give to a wave, projected along the beam.

    Parameters
    ----------
    atoms
        Positions [Å]; they need not be periodic, the field is.
    shape
        Pixels (y, x) of `PIXEL`.
    unit
        λ/α [Å].
    beam_energy
        Energy of the electrons [keV].
    smeared
        Whether thermal motion smears the potential; else the atoms rest where they are.

    Returns
    -------
    ndarray
        In the order of ``rfft2``: ``irfft2`` gives the phase [rad].
    """
    pixel = PIXEL * unit
    sigma = interaction_constant(beam_energy)
    fine = (2 * shape[0], 2 * shape[1])
    ky = np.fft.fftfreq(shape[0], pixel)
    kx = np.fft.rfftfreq(shape[1], pixel)
    squared = ky[:, None] ** 2 + kx**2
    # Atoms are spread over four fine pixels by a cubic B-spline, which is divided out.
    spline = np.sinc(ky * pixel / 2)[:, None] ** 4 * np.sinc(kx * pixel / 2) ** 4
    rows = np.r_[0 : shape[0] - shape[0] // 2, fine[0] - shape[0] // 2 : fine[0]]
    total = np.zeros(squared.shape, np.complex64)
    motions = atoms.displacements if smeared else np.zeros(len(atoms))
    for number, motion in sorted(set(zip(atoms.numbers.tolist(), motions.tolist(), strict=True))):
        alike = (atoms.numbers == number) & (motions == motion)
        density = _spread(atoms.positions[alike, 1:] / pixel * 2, fine)
        spectrum = np.fft.rfft2(density)[rows, : len(kx)]
        form = scattering_factor(number, np.sqrt(squared)) * POTENTIAL_FACTOR
        form *= np.exp(-2 * np.pi**2 * motion**2 * squared)
        total += (sigma * form / (spline * pixel**2) * spectrum).astype(np.complex64)
    return total


def _spread(places: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Spread points over a periodic grid by a cubic B-spline."""
    whole = np.floor(places).astype(np.int64)
    t = places - whole
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    )
    weights /= 6
    total = np.zeros(shape[0] * shape[1])
    for i in range(4):
        row = (whole[:, 0] + i - 1) % shape[0] * shape[1]
        for j in range(4):
            index = row + (whole[:, 1] + j - 1) % shape[1]
            total += np.bincount(index, weights[i][:, 0] * weights[j][:, 1], len(total))
    return total.reshape(shape).astype(np.float32)


def free_flight(energy: float, distance: float, semi_angle: float) -> float:
    """Distance of slices [Å] in the units of `BatchedScan`, for α in mrad."""
    return distance * (semi_angle * 1e-3) ** 2 / wavelength(energy)
