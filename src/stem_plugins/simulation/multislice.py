"""Waves through a specimen: transmission, Fresnel propagation, multislice.

J. M. Cowley and A. F. Moodie, *Acta Crystallographica* 10, 609 (1957), in the form of
E. J. Kirkland, *Advanced Computing in Electron Microscopy*, 3rd ed., chapter 6. Signs as in
`stem_plugins.optics.probe`: transmission ``exp(+iσV)``, propagation ``exp(-iπλzk²)``. Transmission
functions and propagators are cut off at two thirds of the grid's highest frequency, so that
products of two do not fold back.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from stem_plugins.optics.electrons import interaction_constant, wavelength
from stem_plugins.optics.probe import spatial_frequencies

__all__ = ["antialias_aperture", "multislice", "propagator", "transmission"]

#: Cut-off of the anti-aliasing aperture, as a part of the sampling rate 1/pixel.
CUTOFF = 1 / 3

#: Width of the aperture's smooth edge, inside the cut-off, as a part of the sampling rate.
TAPER = 0.01


def antialias_aperture(
    shape: tuple[int, int], sampling: float | tuple[float, float]
) -> NDArray[np.float64]:
    """Compute the aperture that keeps products on the grid from folding back.

    Parameters
    ----------
    shape
        Pixels (y, x).
    sampling
        Pixel size [Å], (y, x) or one number for both.

    Returns
    -------
    ndarray, shape (ny, nx)
        1 inside, 0 beyond two thirds of the coarser axis's highest frequency, with a cosine edge
        of 1 % of the sampling rate; zero frequency at index (0, 0).

    Examples
    --------
    >>> antialias_aperture((6, 6), 1.0)[0].round(3).tolist()
    [1.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    """
    coarsest = float(np.max(sampling))
    ky, kx = spatial_frequencies(shape, sampling)
    # Distance into the edge in units of its width: 0 where it begins, 1 where it ends.
    depth = (np.hypot(ky, kx) * coarsest - (CUTOFF - TAPER)) / TAPER
    return 0.5 * (1.0 + np.cos(np.pi * np.clip(depth, 0.0, 1.0)))


def transmission(
    potential: NDArray[np.floating],
    beam_energy: float,
    sampling: float | tuple[float, float],
    *,
    workers: int | None = None,
) -> NDArray[np.complexfloating]:
    """Compute what thin slices multiply a wave by, ``exp(+iσV)``, band-limited.

    Parameters
    ----------
    potential
        Projected potentials [V Å], shape (..., ny, nx).
    beam_energy
        Energy of the electrons [keV].
    sampling
        Pixel size [Å], (y, x) or one number for both.
    workers
        Threads for the Fourier transforms.

    Returns
    -------
    ndarray, shape (..., ny, nx)
        Complex, in the potential's precision.

    Examples
    --------
    >>> thin = transmission(np.full((8, 8), 100.0), 300, 0.1)
    >>> np.angle(thin[0, 0]).round(4).item()
    0.0653
    """
    phase = np.asarray(potential) * interaction_constant(beam_energy)
    wave = np.empty(phase.shape, np.result_type(phase, np.complex64))
    np.cos(phase, out=wave.real)
    np.sin(phase, out=wave.imag)
    band = antialias_aperture(phase.shape[-2:], sampling).astype(phase.dtype)
    spectrum = scipy.fft.fft2(wave, workers=workers, overwrite_x=True)
    spectrum *= band
    return scipy.fft.ifft2(spectrum, workers=workers, overwrite_x=True)


def propagator(
    shape: tuple[int, int],
    sampling: float | tuple[float, float],
    thickness: float,
    beam_energy: float,
) -> NDArray[np.complex128]:
    """Compute the Fresnel propagator in Fourier space, band-limited.

    Parameters
    ----------
    shape
        Pixels (y, x).
    sampling
        Pixel size [Å], (y, x) or one number for both.
    thickness
        Distance z along the beam [Å].
    beam_energy
        Energy of the electrons [keV].

    Returns
    -------
    ndarray, shape (ny, nx)
        ``exp(-iπλz|k|²)`` inside the anti-aliasing aperture, zero frequency at index (0, 0).

    Examples
    --------
    >>> propagator((4, 4), 1.0, 10.0, 300)[0, 0].item()
    (1+0j)
    """
    ky, kx = spatial_frequencies(shape, sampling)
    phase = np.pi * wavelength(beam_energy) * thickness * (ky**2 + kx**2)
    return np.exp(-1j * phase) * antialias_aperture(shape, sampling)


def multislice(
    wave: NDArray[np.complexfloating],
    transmissions: Iterable[NDArray[np.complexfloating]],
    propagation: NDArray[np.complexfloating],
    *,
    workers: int | None = None,
) -> NDArray[np.complexfloating]:
    """Send waves through slices, propagating after each of them.

    Parameters
    ----------
    wave
        Waves that enter, in real space, shape (..., ny, nx); not changed.
    transmissions
        What each slice multiplies the waves by, in the order in which they meet them, each of a
        shape that broadcasts against `wave`.
    propagation
        Propagator through one slice, in Fourier space, shape (ny, nx).
    workers
        Threads for the Fourier transforms.

    Returns
    -------
    ndarray, shape (..., ny, nx)
        Exit waves, at the lower face of the last slice, in real space.

    Examples
    --------
    >>> vacuum = np.ones((3, 8, 8), dtype=complex)
    >>> wave = np.ones((8, 8), dtype=complex)
    >>> bool(np.allclose(multislice(wave, vacuum, propagator((8, 8), 0.1, 2.0, 300)), 1))
    True
    """
    for slice_transmission in transmissions:
        spectrum = scipy.fft.fft2(wave * slice_transmission, workers=workers, overwrite_x=True)
        spectrum *= propagation
        wave = scipy.fft.ifft2(spectrum, workers=workers, overwrite_x=True)
    return wave
