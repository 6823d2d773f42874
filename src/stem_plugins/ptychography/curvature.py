"""How strongly patterns react to each spatial frequency of an object: the optimiser's yardstick.

Gradient descent alone finds fine detail fast and slow variations hardly at all, because patterns
of a focused probe say so little about them. Dividing the gradient by the expected curvature of the
likelihood makes all frequencies come at the same pace, in a few iterations instead of hundreds.

For a weak perturbation of frequency Q in vacuum, a bright-field pixel k changes by the double
overlap ``Γ = P*(k) P(k-Q) - P(k) P*(k+Q)`` of direct ptychography (Rodenburg et al.,
Ultramicroscopy 48, 304 (1993)), with + for absorption, and dark-field pixels by what is scattered
into them. With Poisson noise the curvature is the sum of the squared changes over the intensity.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from stem_plugins.optics.aberrations import aberration_function
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength

__all__ = ["Curvature", "curvature"]

#: Points of the aperture, azimuths and frequencies at which the overlaps are summed.
APERTURE_POINTS, AZIMUTHS, FREQUENCIES = 31, 6, 64


@dataclasses.dataclass(frozen=True, eq=False)
class Curvature:
    """Curvature of the likelihood per electron of one pattern, over spatial frequency.

    Parameters
    ----------
    frequency
        Q [1/Å], rising from 0.
    phase, absorption
        For a phase φ and an absorption μ of the transmission ``exp(iφ - μ)``, mean over azimuths.
    """

    frequency: NDArray[np.float64]
    phase: NDArray[np.float64]
    absorption: NDArray[np.float64]

    def on_grid(
        self, shape: tuple[int, int], sampling: tuple[float, float], *, absorption: bool = False
    ) -> NDArray[np.float64]:
        """Interpolate to the frequencies of an image, zero at index (0, 0)."""
        ky, kx = (np.fft.fftfreq(size, step) for size, step in zip(shape, sampling, strict=True))
        values = self.absorption if absorption else self.phase
        return np.interp(np.hypot(ky[:, None], kx), self.frequency, values)


def curvature(acquisition: Acquisition, largest: float) -> Curvature:
    """Compute the curvature for a round aperture with aberrations.

    Parameters
    ----------
    acquisition
        Gives `beam_energy`, `convergence_angle`, and `defocus` and `aberrations` where known.
    largest
        Frequency up to which it is computed [1/Å].

    Examples
    --------
    >>> acquisition = Acquisition(beam_energy=300, convergence_angle=20)
    >>> found = curvature(acquisition, 2.0)
    >>> bool(found.phase[0] < 0.01 * found.phase.max() and found.absorption[0] > 0.9)
    True
    """
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    electron_wavelength = wavelength(acquisition.beam_energy)
    semi_angle = 1e-3 * acquisition.convergence_angle
    line = (np.arange(APERTURE_POINTS) - APERTURE_POINTS // 2) / (APERTURE_POINTS // 2)
    points = semi_angle * np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    points = points[np.hypot(*points.T) <= semi_angle]

    def lens(angles: NDArray[np.float64]) -> NDArray[np.complex128]:
        assert acquisition.beam_energy is not None
        alpha, phi = np.hypot(angles[:, 0], angles[:, 1]), np.arctan2(angles[:, 0], angles[:, 1])
        chi = aberration_function(
            alpha, phi, acquisition.beam_energy, acquisition.aberrations, acquisition.defocus
        )
        return np.where(alpha <= semi_angle, np.exp(-1j * chi), 0)

    here = lens(points)
    frequency = np.linspace(0, largest, FREQUENCIES)
    found = np.zeros((2, FREQUENCIES))
    for azimuth in np.arange(AZIMUTHS) * np.pi / AZIMUTHS:
        direction = np.array([np.sin(azimuth), np.cos(azimuth)])
        for index, shift in enumerate(electron_wavelength * frequency):
            before, behind = lens(points - shift * direction), lens(points + shift * direction)
            scattered = np.mean(np.abs(before) ** 2 + np.abs(behind) ** 2)
            crossed = np.mean((here.conj() ** 2 * before * behind).real)
            dark = max(0.0, 2 - scattered)
            found[:, index] += dark + 0.5 * scattered + np.array([-1, 1]) * crossed
    return Curvature(frequency, found[0] / AZIMUTHS, found[1] / AZIMUTHS)
