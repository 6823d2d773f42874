"""The focused probe of a STEM, on a grid.

Fourier sign convention, here and in `stem_plugins.simulation` (the one of abTEM): a wave is
``ψ(r) = Σ_k Ψ(k) exp(+2πi k·r)``, so ``Ψ = fft2(ψ)``; an aberrated probe is
``Ψ = A exp(-iχ)``, a positive potential multiplies ψ by ``exp(+iσV)``, and a pattern is
``|fft2(ψ)|²``. The centre of mass of the pattern therefore moves towards an atom.

Grids are (y, x) with y down; spatial frequencies k [1/Å] have their origin at index (0, 0)
(the order of `numpy.fft`), and an angle is ``λk``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .aberrations import aberration_function
from .acquisition import Acquisition
from .electrons import wavelength

__all__ = [
    "aperture",
    "probe",
    "probe_radius",
    "probe_spectrum",
    "scattering_angles",
    "spatial_frequencies",
]

Pair = tuple[float, float]


def spatial_frequencies(
    shape: tuple[int, int], sampling: float | Pair
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the spatial frequencies of a grid, zero at index (0, 0).

    Parameters
    ----------
    shape
        Pixels (y, x).
    sampling
        Pixel size [Å], (y, x) or one number for both.

    Returns
    -------
    ky : ndarray, shape (ny, 1)
        Vertical frequencies [1/Å].
    kx : ndarray, shape (1, nx)
        Horizontal frequencies [1/Å].

    Examples
    --------
    >>> ky, kx = spatial_frequencies((4, 2), 0.5)
    >>> ky.ravel().tolist(), kx.ravel().tolist()
    ([0.0, 0.5, -1.0, -0.5], [0.0, -1.0])
    """
    step_y, step_x = np.broadcast_to(np.asarray(sampling, dtype=float), 2)
    return np.fft.fftfreq(shape[0], step_y)[:, None], np.fft.fftfreq(shape[1], step_x)[None, :]


def scattering_angles(
    ky: NDArray[np.floating], kx: NDArray[np.floating], beam_energy: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn spatial frequencies into polar scattering angles.

    Parameters
    ----------
    ky, kx
        Spatial frequencies [1/Å], broadcast against each other.
    beam_energy
        Energy of the electrons [keV].

    Returns
    -------
    alpha : ndarray
        Angle to the optic axis, λ|k| [rad].
    phi : ndarray
        Azimuth [rad], from x towards y (down).

    Examples
    --------
    >>> alpha, phi = scattering_angles(np.array([[1.0]]), np.array([[0.0]]), 300)
    >>> alpha.round(5).item(), phi.round(5).item()
    (0.01969, 1.5708)
    """
    return wavelength(beam_energy) * np.hypot(ky, kx), np.arctan2(ky, kx)


def aperture(
    alpha: NDArray[np.floating],
    phi: NDArray[np.floating],
    convergence_angle: float,
    *,
    edge: float | Pair = 0.0,
) -> NDArray[np.float64]:
    """Compute the transmission of a round aperture.

    Parameters
    ----------
    alpha, phi
        Polar scattering angles [rad], as from `scattering_angles`.
    convergence_angle
        Semi-angle of the aperture [mrad].
    edge
        Width of the linear ramp from 1 to 0 [mrad], (y, x) or one number. The angle that one
        grid pixel covers makes an anti-aliased edge; 0 makes a hard one.

    Returns
    -------
    ndarray
        Amplitude between 0 and 1, of the broadcast shape of `alpha` and `phi`.

    Raises
    ------
    ValueError
        The semi-angle is not above zero.

    Examples
    --------
    >>> angles = np.array([0.0, 9.75e-3, 11e-3])
    >>> aperture(angles, np.zeros(3), 10, edge=1).round(2).tolist()
    [1.0, 0.75, 0.0]
    """
    if not convergence_angle > 0:
        raise ValueError(
            f"The convergence semi-angle must be above zero [mrad], not {convergence_angle!r}."
        )
    width_y, width_x = np.broadcast_to(np.asarray(edge, dtype=float) * 1e-3, 2)
    inside = convergence_angle * 1e-3 - np.asarray(alpha)
    if width_y <= 0 or width_x <= 0:
        return np.where(np.broadcast_arrays(inside, phi)[0] >= 0, 1.0, 0.0)
    width = np.hypot(width_y * np.sin(phi), width_x * np.cos(phi))
    return np.clip(inside / width + 0.5, 0.0, 1.0)


def probe_spectrum(
    ky: NDArray[np.floating],
    kx: NDArray[np.floating],
    acquisition: Acquisition,
    *,
    edge: float | Pair = 0.0,
    amplitude: NDArray[np.floating] | None = None,
) -> NDArray[np.complex128]:
    """Compute the probe's wave in the aperture, ``A exp(-iχ)``, for a probe at the origin.

    Parameters
    ----------
    ky, kx
        Spatial frequencies [1/Å] in the scan frame, broadcast against each other.
    acquisition
        Gives `beam_energy`, `convergence_angle`, and `defocus` and `aberrations` where known.
    edge
        Width of the aperture's edge [mrad], see `aperture`.
    amplitude
        What a measured aperture lets through at these frequencies, in place of an ideal one.

    Returns
    -------
    ndarray
        Complex amplitudes, normalised to ``Σ|Ψ|² = 1``.

    Raises
    ------
    MissingCalibrationError
        Beam energy or convergence angle is unknown.
    ValueError
        The aperture holds no grid frequency, or the aberrations contradict each other.

    Examples
    --------
    >>> ky, kx = spatial_frequencies((32, 32), 0.2)
    >>> acquisition = Acquisition(beam_energy=300, convergence_angle=20)
    >>> bool(np.isclose((abs(probe_spectrum(ky, kx, acquisition)) ** 2).sum(), 1))
    True
    """
    acquisition.require("beam_energy", "convergence_angle")
    beam_energy, angle = acquisition.beam_energy, acquisition.convergence_angle
    assert beam_energy is not None
    assert angle is not None
    alpha, phi = scattering_angles(ky, kx, beam_energy)
    if amplitude is None:
        amplitude = aperture(alpha, phi, angle, edge=edge)
    norm = math.sqrt(float((amplitude**2).sum()))
    if norm == 0:
        raise ValueError(
            f"An aperture of {angle:g} mrad holds no frequency of this grid; "
            "enlarge the grid's extent."
        )
    chi = aberration_function(alpha, phi, beam_energy, acquisition.aberrations, acquisition.defocus)
    return amplitude / norm * np.exp(-1j * chi)


def probe(
    shape: tuple[int, int],
    sampling: float | Pair,
    acquisition: Acquisition,
    *,
    position: Pair | None = None,
) -> NDArray[np.complex128]:
    """Compute the probe's wave function on a periodic grid.

    Parameters
    ----------
    shape
        Pixels (y, x).
    sampling
        Pixel size [Å], (y, x) or one number for both.
    acquisition
        Gives `beam_energy`, `convergence_angle`, and `defocus` and `aberrations` where known.
    position
        Place of the probe [Å] from the middle of pixel (0, 0), (y, x); by default the middle of
        pixel ``(ny // 2, nx // 2)``. Any sub-pixel place is exact.

    Returns
    -------
    ndarray, shape (ny, nx)
        Complex wave, normalised to ``Σ|ψ|² = 1``; the aperture's edge is anti-aliased.

    Raises
    ------
    MissingCalibrationError
        Beam energy or convergence angle is unknown.
    ValueError
        The pixels are too coarse for the aperture (they must be below λ/2α), or too few.

    Examples
    --------
    >>> acquisition = Acquisition(beam_energy=300, convergence_angle=20)
    >>> wave = probe((64, 64), 0.2, acquisition)
    >>> [int(i) for i in np.unravel_index(abs(wave).argmax(), wave.shape)]
    [32, 32]
    """
    acquisition.require("beam_energy", "convergence_angle")
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    step_y, step_x = (float(step) for step in np.broadcast_to(np.asarray(sampling, float), 2))
    electron_wavelength = wavelength(acquisition.beam_energy)
    coarsest = electron_wavelength / (2e-3 * acquisition.convergence_angle)
    if max(step_y, step_x) >= coarsest:
        raise ValueError(
            f"Pixels of {max(step_y, step_x):g} Å cannot hold an aperture of "
            f"{acquisition.convergence_angle:g} mrad; they must be below {coarsest:.3g} Å."
        )
    y, x = position or (shape[0] // 2 * step_y, shape[1] // 2 * step_x)
    pixel_y = 1e3 * electron_wavelength / (shape[0] * step_y)
    pixel_x = 1e3 * electron_wavelength / (shape[1] * step_x)
    ky, kx = spatial_frequencies(shape, (step_y, step_x))
    spectrum = probe_spectrum(ky, kx, acquisition, edge=(pixel_y, pixel_x))
    spectrum *= np.exp(-2j * np.pi * ky * y) * np.exp(-2j * np.pi * kx * x)
    return np.fft.ifft2(spectrum, norm="ortho")


def probe_radius(acquisition: Acquisition) -> float:
    """Estimate the radius of the disc that the probe fills.

    Parameters
    ----------
    acquisition
        Gives `beam_energy`, `convergence_angle`, and `defocus` and `aberrations` where known.

    Returns
    -------
    float
        Radius [Å]: the longest geometric ray aberration ``λ/2π |∇χ|`` inside the aperture, plus
        the radius ``0.61 λ/α`` of the Airy disc.

    Raises
    ------
    MissingCalibrationError
        Beam energy or convergence angle is unknown.

    Examples
    --------
    >>> acquisition = Acquisition(beam_energy=300, convergence_angle=20, defocus=1000)
    >>> round(probe_radius(acquisition), 2)
    20.6
    """
    acquisition.require("beam_energy", "convergence_angle")
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    electron_wavelength = wavelength(acquisition.beam_energy)
    largest = acquisition.convergence_angle * 1e-3
    alpha = np.linspace(0.0, largest, 65)[1:, None]
    phi = np.linspace(0.0, 2 * np.pi, 97)[None, :-1]
    step = 1e-4

    def path(angle: NDArray[np.float64], azimuth: NDArray[np.float64]) -> NDArray[np.floating]:
        assert acquisition.beam_energy is not None
        chi = aberration_function(
            angle, azimuth, acquisition.beam_energy, acquisition.aberrations, acquisition.defocus
        )
        return chi * electron_wavelength / (2 * np.pi)

    radial = (path(alpha * (1 + step), phi) - path(alpha * (1 - step), phi)) / (2 * step * alpha)
    azimuthal = (path(alpha, phi + step) - path(alpha, phi - step)) / (2 * step * alpha)
    return float(np.hypot(radial, azimuthal).max() + 0.61 * electron_wavelength / largest)
