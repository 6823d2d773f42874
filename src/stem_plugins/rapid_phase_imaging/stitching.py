"""From waves behind the specimen to its transmission function: patches that are put together.

Where the specimen is thin, the wave at half its height is ψ = T ψ₀ with the probe ψ₀, so that
``ψ ψ₀*`` is T weighted by the probe's intensity (T. Friedrich, eq. 4.6 to 4.8, there with patches
of unit amplitude). Both waves are moved to their place exactly, by a ramp in Fourier space; the
thesis places them on whole pixels, and refers them to the lower face of the specimen, which limits
what can be reached.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
import scipy.ndimage
from numpy.typing import NDArray

from stem_plugins.rapid_phase_imaging.wave_grid import PIXEL, WINDOW

__all__ = ["SPLINE_REACH", "Stitcher", "object_phase", "probe_reach"]

#: The product of two waves has twice their frequencies.
FINER = 2

#: Pixels around which a spline looks at; and how far that is, in λ/α.
SPLINE = 16
SPLINE_REACH = SPLINE / FINER * PIXEL

#: Part of the probe's highest intensity below which it says nothing.
DARK = 0.1


def probe_reach(probe: NDArray[np.complexfloating]) -> float:
    """How far the light of a probe reaches that counts, in λ/α.

    Parameters
    ----------
    probe
        (`WINDOW`, `WINDOW`), around its middle pixel.
    """
    intensity = np.abs(probe) ** 2
    y, x = np.nonzero(intensity > DARK * intensity.max())
    middle = WINDOW // 2
    return float(np.hypot(y - middle, x - middle).max() + 1) * PIXEL


def object_phase(transmission: NDArray[np.complexfloating]) -> NDArray[np.float32]:
    """Phases from -π/2 to 3π/2 [rad]: atoms turn the wave forward, vacuum leaves it at zero.

    Parameters
    ----------
    transmission
        Complex, any shape.
    """
    return (np.angle(-1j * transmission) + np.float32(np.pi / 2)).astype(np.float32)


class Stitcher:
    """Put patches of an object together, for some rows of the scan.

    Parameters
    ----------
    probe
        At half the height of the specimen, (`WINDOW`, `WINDOW`), around its middle pixel.
    scan_step
        (y, x) in λ/α.
    rows
        First and last but one row of positions that will be added.
    columns
        Positions of a row.
    """

    def __init__(
        self,
        probe: NDArray[np.complexfloating],
        scan_step: tuple[float, float],
        rows: tuple[int, int],
        columns: int,
    ) -> None:
        self._probe = scipy.fft.fft2(scipy.fft.ifftshift(probe))
        self._step = tuple(step / PIXEL * FINER for step in scan_step)
        self._columns = columns
        self._margin = WINDOW * FINER // 2 + 1
        # The canvas begins at a whole pixel of that of the whole scan: all rows lie on one grid.
        self._top = math.floor(rows[0] * self._step[0])
        sides = [
            math.ceil((rows[1] - 1) * self._step[0]) - self._top + 2 * self._margin,
            math.ceil((columns - 1) * self._step[1]) + 2 * self._margin,
        ]
        self._sum = np.zeros(sides, np.complex64)
        self._light = np.zeros(sides, np.float32)

    def add(self, row: int, column: int, waves: NDArray[np.complexfloating]) -> None:
        """Add the patches of neighbouring positions of a row.

        Parameters
        ----------
        row, column
            Of the first position.
        waves
            (n, `WINDOW`, `WINDOW`), each around its probe's middle pixel, at half the height of the
            specimen; the probe is of unit intensity.
        """
        corners, ramps = self._places(row, column + np.arange(len(waves)))
        spectra = scipy.fft.fft2(scipy.fft.ifftshift(waves, axes=(1, 2)))
        moved = [_finer(one * ramps) for one in (spectra, self._probe[None])]
        intensity = np.abs(moved[1]) ** 2
        intensity *= intensity > DARK * intensity.max(axis=(1, 2), keepdims=True)
        patches = moved[0] * np.conj(moved[1]) * (intensity > 0)
        size = WINDOW * FINER
        for (top, left), patch, light in zip(corners, patches, intensity, strict=True):
            place = (slice(top, top + size), slice(left, left + size))
            self._sum[place] += patch
            self._light[place] += light

    def _places(
        self, row: int, columns: NDArray[np.int64]
    ) -> tuple[list[tuple[int, int]], NDArray[np.complex128]]:
        """First pixels of the patches, and ramps that move waves by what is left."""
        y = row * self._step[0]
        x = columns * self._step[1]
        top, left = math.floor(y), np.floor(x).astype(int)
        frequency = scipy.fft.fftfreq(WINDOW) / FINER
        down = np.exp(-2j * np.pi * frequency * (y - top))
        right = np.exp(-2j * np.pi * np.outer(x - left, frequency))
        # Pixel (0, 0) of the canvas is `_margin` pixels before the first position.
        offset = self._margin - WINDOW * FINER // 2
        corners = [(top - self._top + offset, int(one) + offset) for one in left]
        return corners, down[None, :, None] * right[:, None, :]

    def transmission(
        self, rows: tuple[int, int], points: int
    ) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
        """Return the object at and between positions.

        Parameters
        ----------
        rows
            First and last but one row of positions.
        points
            Of the image for each position, along an axis.

        Returns
        -------
        transmission : ndarray
            Complex; 1, as of vacuum, where no light fell.
        light : ndarray
            Intensity of all probes together there.
        """
        y = np.arange(rows[0] * points, rows[1] * points) * self._step[0] / points
        y += self._margin - self._top
        x = self._margin + np.arange(self._columns * points) * self._step[1] / points
        first, last = int(y[0]) - SPLINE, int(y[-1]) + SPLINE
        grid = np.meshgrid(y - max(first, 0), x, indexing="ij")
        part = slice(max(first, 0), last)
        real, imaginary, light = (
            scipy.ndimage.map_coordinates(one[part], grid, order=3, mode="nearest")
            for one in (self._sum.real, self._sum.imag, self._light)
        )
        light = np.maximum(light, 0)
        lit = light > 1e-6 * max(float(light.max()), 1e-30)
        found = np.where(lit, (real + 1j * imaginary) / np.where(lit, light, 1), 1)
        return found.astype(np.complex64), light.astype(np.float32)


def _finer(spectra: NDArray[np.complexfloating]) -> NDArray[np.complex64]:
    """Waves on a finer grid around its middle, from spectra with frequency zero first."""
    more = (FINER - 1) * WINDOW // 2
    padded = np.pad(scipy.fft.fftshift(spectra, axes=(1, 2)), ((0, 0), (more, more), (more, more)))
    waves = scipy.fft.ifft2(scipy.fft.ifftshift(padded, axes=(1, 2)))
    return (FINER**2 * scipy.fft.fftshift(waves, axes=(1, 2))).astype(np.complex64)
