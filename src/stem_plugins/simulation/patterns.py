"""Diffraction patterns of single probes, on the pixels of a given detector.

The detector's pixel fixes the box in which a probe lives (its edge is λ/step); the farthest
detector corner fixes how fine the box's pixels must be. Beam centre and descan are phase ramps
on the exit wave, so patterns move by any part of a pixel without interpolation.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength
from stem_plugins.optics.probe import probe_radius, probe_spectrum, spatial_frequencies
from stem_plugins.simulation.multislice import CUTOFF, TAPER, propagator
from stem_plugins.simulation.specimen import TransmissionWindows

__all__ = ["DetectorGeometry", "PatternSimulator", "detector_geometry", "pattern_simulator"]

#: Probes that are computed together: few enough for their waves to stay in a CPU's cache.
BATCH = 16


@dataclasses.dataclass(frozen=True)
class DetectorGeometry:
    """How a detector's pixels lie in the Fourier space of the probe's box.

    Parameters
    ----------
    shape
        Detector pixels (ky, kx).
    center
        Place of the undiffracted beam [px], (ky, kx).
    oversample
        Samples per pixel and direction, which are summed.
    box
        Edges of the probe's box [Å], (y, x).
    window
        Pixels of the probe's box, (y, x).
    """

    shape: tuple[int, int]
    center: tuple[float, float]
    oversample: int
    box: tuple[float, float]
    window: tuple[int, int]

    @property
    def pixel(self) -> tuple[float, float]:
        """Pixel of the probe's box [Å], (y, x)."""
        return self.box[0] / self.window[0], self.box[1] / self.window[1]


def detector_geometry(
    acquisition: Acquisition,
    detector_shape: tuple[int, int],
    *,
    oversample: int = 1,
    largest_shift: float = 0.0,
) -> DetectorGeometry:
    """Choose the box and its pixels so that its Fourier transform is the detector.

    Parameters
    ----------
    acquisition
        Gives `beam_energy`, `convergence_angle`, `diffraction_step`, `center`, and `defocus` and
        `aberrations` where known.
    detector_shape
        Detector pixels (ky, kx).
    oversample
        Samples per pixel and direction; the box is that much larger than λ/step.
    largest_shift
        How far descan moves the pattern at most [px].

    Raises
    ------
    MissingCalibrationError
        A calibration value is missing.
    ValueError
        The probe is wider than its box.
    """
    acquisition.require("beam_energy", "convergence_angle", "diffraction_step", "center")
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    assert acquisition.diffraction_step is not None
    assert acquisition.center is not None
    step = np.array(acquisition.diffraction_step) * 1e-3
    electron_wavelength = wavelength(acquisition.beam_energy)
    box = electron_wavelength / step * oversample
    diameter = 2 * probe_radius(acquisition)
    if diameter > box.min():
        raise ValueError(
            f"The probe is about {diameter:.3g} Å wide, but detector pixels of "
            f"{1e3 * step.max():.3g} mrad can only tell {box.min():.3g} Å; use "
            f"oversample={math.ceil(oversample * diameter / box.min() * 1.2)} or a finer "
            "diffraction_step."
        )
    center, last = np.array(acquisition.center), np.array(detector_shape) - 1
    farthest = np.maximum(center, last - center) + 0.5 + largest_shift
    # Beyond the farthest corner, and some way beyond the bright field in any case.
    angle = max(float(np.hypot(*(farthest * step))), 3e-3 * acquisition.convergence_angle)
    coarsest = (CUTOFF - TAPER) * electron_wavelength / angle
    rows, columns = (scipy.fft.next_fast_len(math.ceil(edge / coarsest)) for edge in box)
    return DetectorGeometry(
        shape=(int(detector_shape[0]), int(detector_shape[1])),
        center=acquisition.center,
        oversample=oversample,
        box=(float(box[0]), float(box[1])),
        window=(rows, columns),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class PatternSimulator:
    """Everything that is the same for all probes of a scan.

    Parameters
    ----------
    geometry
        The detector and the box.
    windows
        Transmission functions of the specimen.
    spectrum
        The probe's wave in the aperture, only the `columns` that are not empty.
    columns
        Fourier columns that the aperture covers.
    propagation
        Propagator from slice to slice.
    """

    geometry: DetectorGeometry
    windows: TransmissionWindows
    spectrum: NDArray[np.complex64]
    columns: NDArray[np.int64]
    propagation: NDArray[np.complex64]

    def patterns(
        self,
        places: NDArray[np.float64],
        shifts: NDArray[np.float64],
        configurations: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Compute the patterns of some probes.

        Parameters
        ----------
        places
            Probe positions [Å], (y, x) in the detector's frame, shape (n, 2).
        shifts
            How far descan moves each pattern [px], shape (n, 2).
        configurations
            Frozen-phonon configuration of each probe, shape (n,).

        Returns
        -------
        ndarray, shape (n, ky, kx)
            Part of the beam that each detector pixel receives; the sum is below 1 by what is
            scattered past the detector.
        """
        result = np.empty((len(places), *self.geometry.shape), np.float32)
        for start in range(0, len(places), BATCH):
            part = slice(start, start + BATCH)
            waves = self._exit_waves(places[part], configurations[part])
            result[part] = self._intensities(waves, shifts[part])
        return result

    def _exit_waves(
        self, places: NDArray[np.float64], configurations: NDArray[np.int64]
    ) -> NDArray[np.complex64]:
        """Waves behind the last slice, in real space, each in its own window."""
        corners, inside = self.windows.corner(places)
        rows, columns = self.geometry.window
        ramp_y = _ramps(-inside[:, 0], np.fft.fftfreq(rows))
        ramp_x = _ramps(-inside[:, 1], np.fft.fftfreq(columns)[self.columns])
        # Only the aperture's columns carry anything: transform those first.
        spectra = self.spectrum * ramp_y[:, :, None] * ramp_x[:, None, :]
        waves = np.zeros((len(places), rows, columns), np.complex64)
        waves[:, :, self.columns] = scipy.fft.ifft(spectra, axis=1, norm="ortho", overwrite_x=True)
        waves = scipy.fft.ifft(waves, axis=2, norm="ortho", overwrite_x=True)
        for index in range(self.windows.arrays.shape[1]):
            if index > 0:
                waves = scipy.fft.fft2(waves, overwrite_x=True)
                waves *= self.propagation
                waves = scipy.fft.ifft2(waves, overwrite_x=True)
            self.windows.multiply(waves, configurations, index, corners)
        return waves

    def _intensities(
        self, waves: NDArray[np.complex64], shifts: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Intensities on the detector, whose pixel j sees the angle j - center - shift."""
        n = self.geometry.oversample
        ramps, fourier_indices = [], []
        for axis, (pixels, size) in enumerate(
            zip(self.geometry.shape, self.geometry.window, strict=True)
        ):
            center = n * self.geometry.center[axis] + 0.5 * (n - 1)
            nearest = round(center)
            fourier_indices.append((np.arange(n * pixels) - nearest) % size)
            around_middle = (np.arange(size) - size // 2) / size
            ramps.append(_ramps(center - nearest + n * shifts[:, axis], around_middle))
        waves *= ramps[0][:, :, None]
        waves *= ramps[1][:, None, :]
        spectra = scipy.fft.fft(waves, axis=2, norm="ortho", overwrite_x=True)
        spectra = np.ascontiguousarray(spectra[:, :, fourier_indices[1]])
        spectra = scipy.fft.fft(spectra, axis=1, norm="ortho", overwrite_x=True)
        spectra = spectra[:, fourier_indices[0]]
        fine = spectra.real**2 + spectra.imag**2
        if n == 1:
            return fine
        rows, columns = self.geometry.shape
        return fine.reshape(-1, rows, n, columns, n).sum((2, 4))


def pattern_simulator(
    acquisition: Acquisition,
    geometry: DetectorGeometry,
    windows: TransmissionWindows,
    frame: NDArray[np.float64],
) -> PatternSimulator:
    """Prepare the probe and the propagator.

    Parameters
    ----------
    acquisition
        Gives `beam_energy`, `convergence_angle`, `diffraction_step`, and `defocus` and
        `aberrations` (azimuths in the scan frame) where known.
    geometry
        The detector and the box.
    windows
        Transmission functions of the specimen.
    frame
        Matrix from scan to detector frame.
    """
    assert acquisition.beam_energy is not None
    assert acquisition.diffraction_step is not None
    ky, kx = spatial_frequencies(geometry.window, geometry.pixel)
    step_y, step_x = (step / geometry.oversample for step in acquisition.diffraction_step)
    spectrum = probe_spectrum(
        frame[0, 0] * ky + frame[1, 0] * kx,
        frame[0, 1] * ky + frame[1, 1] * kx,
        acquisition,
        edge=(step_y, step_x),
    )
    columns = np.flatnonzero(np.abs(spectrum).max(0) > 0)
    propagation = propagator(
        geometry.window, geometry.pixel, windows.slice_thickness, acquisition.beam_energy
    )
    return PatternSimulator(
        geometry,
        windows,
        spectrum[:, columns].astype(np.complex64),
        columns,
        propagation.astype(np.complex64),
    )


def _ramps(slopes: NDArray[np.floating], axis: NDArray[np.floating]) -> NDArray[np.complex64]:
    """``exp(2πi slope axis)`` for each slope, shape (slopes, axis)."""
    return np.exp(2j * np.pi * np.outer(slopes, axis)).astype(np.complex64)
