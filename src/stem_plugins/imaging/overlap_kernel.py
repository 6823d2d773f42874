"""The kernel of direct ptychography: what the overlaps of the diffraction discs say.

A scan makes the pixel k of the detector vary, and its Fourier transform over the scan positions
is, for a thin specimen of phase φ (weak, real),

``G(Q, k) = φ̂(Q) Γ(Q, k)``,  ``Γ(Q, k) = i [A*(k) A(k - Q) - A(k) A*(k + Q)]``

with the probe's wave in the aperture ``A(k) = a(k) exp(-iχ(k))``, ``Σ_k |A|² = 1``, and patterns
in parts of the beam (J. M. Rodenburg, B. C. McCallum and P. D. Nellist, Ultramicroscopy 48, 304
(1993)). The kernel sums ``Γ* G`` and ``|Γ|²`` over detector pixels, frequency by frequency, and
beside them the power of G where no discs overlap, which is noise.
"""

from __future__ import annotations

import dataclasses
import math

import numba
import numpy as np
from numpy.typing import NDArray

from stem_plugins.optics.aberrations import ORDERS, aberration_coefficients
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength

__all__ = ["Lens", "OverlapSums", "add_overlaps", "disc_amplitude", "lens_of", "overlap"]


@dataclasses.dataclass(frozen=True, eq=False)
class Lens:
    """Aperture and aberrations, in angles [rad].

    Parameters
    ----------
    semi_angle
        Of the aperture.
    edge
        Width of its edge, one detector pixel.
    terms
        (n, 4): ``χ = Σ Re[(c + is) ω^p ω*^q]`` of the complex angle ``ω = θ_x + iθ_y``, as rows
        (p, q, c, s).
    norm
        ``Σ_k a(k)²`` over the detector.
    """

    semi_angle: float
    edge: float
    terms: NDArray[np.float64]
    norm: float


def lens_of(acquisition: Acquisition, angles: NDArray[np.float64], edge: float) -> Lens:
    """Describe the lens of an experiment.

    Parameters
    ----------
    acquisition
        With `beam_energy` and `convergence_angle`; `defocus` and `aberrations` where known.
    angles
        Of all detector pixels [rad], (pixels, 2), vectors (y, x).
    edge
        Width of the aperture's edge [rad].
    """
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    coefficients = aberration_coefficients(acquisition.aberrations, acquisition.defocus)
    terms = []
    for n, m in ORDERS:
        length = coefficients.get(f"C{n}{m}", 0.0)
        if length:
            # cos m(φ - φ_nm) |ω|^(n+1) = Re[exp(-imφ_nm) ω^p ω*^q] with p + q = n + 1, p - q = m.
            size = 2 * np.pi / wavelength(acquisition.beam_energy) * length / (n + 1)
            turn = m * coefficients.get(f"phi{n}{m}", 0.0)
            powers = ((n + 1 + m) // 2, (n + 1 - m) // 2)
            terms.append((*powers, size * math.cos(turn), -size * math.sin(turn)))
    semi_angle = acquisition.convergence_angle * 1e-3
    norm = float(np.sum(disc_amplitude(angles, semi_angle, edge) ** 2))
    return Lens(semi_angle, edge, np.array(terms, float).reshape(-1, 4), norm)


def disc_amplitude(
    angles: NDArray[np.float64], semi_angle: float, edge: float
) -> NDArray[np.float64]:
    """Amplitude of the aperture, of which the kernel's own function is the same for one angle.

    Parameters
    ----------
    angles
        (..., 2), vectors (y, x).
    semi_angle, edge
        Of the aperture, in the same unit.
    """
    size = np.hypot(angles[..., 0], angles[..., 1])
    return np.clip((semi_angle - size) / edge + 0.5, 0, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class OverlapSums:
    """Sums over detector pixels, for scan frequencies (Q_y, Q_x) with Q_x from 0 up.

    Parameters
    ----------
    signal
        ``Σ_k Γ* G``, complex.
    weight
        ``Σ_k |Γ|²``.
    noise, quiet
        ``Σ |G|²`` over the inner pixels and frequencies without overlap, and how many these are.
    """

    signal: NDArray[np.complex128]
    weight: NDArray[np.float64]
    noise: float
    quiet: int

    def __add__(self, other: OverlapSums) -> OverlapSums:
        return OverlapSums(
            self.signal + other.signal,
            self.weight + other.weight,
            self.noise + other.noise,
            self.quiet + other.quiet,
        )

    def in_parts_of(self, electrons: float) -> OverlapSums:
        """Return the sums for G in parts of so many electrons."""
        return dataclasses.replace(
            self, signal=self.signal / electrons, noise=self.noise / electrons**2
        )


def add_overlaps(
    spectra: NDArray[np.complex64],
    angles: NDArray[np.float64],
    frequencies: tuple[NDArray[np.floating], NDArray[np.floating]],
    lens: Lens,
) -> OverlapSums:
    """Sum what some detector pixels say.

    Parameters
    ----------
    spectra
        G in any unit, (pixels, Q_y, Q_x).
    angles
        Of these pixels, in the scan frame [rad], (pixels, 2), vectors (y, x).
    frequencies
        Q_y and Q_x as angles λQ [rad].
    lens
        From `lens_of`.
    """
    signal = np.zeros(spectra.shape[1:], np.complex128)
    weight = np.zeros(spectra.shape[1:])
    noise, quiet = _add(
        spectra, angles, *frequencies, lens.semi_angle, lens.edge, lens.terms, signal, weight
    )
    # The amplitudes in the kernel are 1 within the disc.
    return OverlapSums(signal / lens.norm, weight / lens.norm**2, noise, quiet)


def overlap(
    angles: NDArray[np.float64], frequencies: NDArray[np.float64], lens: Lens
) -> NDArray[np.complex128]:
    """Return Γ without its norm, for few frequencies.

    Parameters
    ----------
    angles
        Of detector pixels, in the scan frame [rad], (pixels, 2), vectors (y, x).
    frequencies
        λQ [rad], (frequencies, 2).
    lens
        From `lens_of`.

    Returns
    -------
    ndarray
        (frequencies, pixels).
    """
    here = _waves(angles[None], lens)
    before = _waves(angles - frequencies[:, None], lens)
    after = _waves(angles + frequencies[:, None], lens)
    return 1j * (here.conj() * before - here * after.conj())


def _waves(angles: NDArray[np.float64], lens: Lens) -> NDArray[np.complex128]:
    """The probe in the aperture, ``a exp(-iχ)``."""
    y, x = np.moveaxis(angles, -1, 0)
    omega, chi = x + 1j * y, np.zeros(y.shape)
    for p, q, real, imaginary in lens.terms:
        chi += ((real + 1j * imaginary) * omega**p * omega.conj() ** q).real
    waves: NDArray[np.complex128] = np.exp(-1j * chi)
    return waves * disc_amplitude(angles, lens.semi_angle, lens.edge)


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _amplitude(y: float, x: float, semi_angle: float, edge: float) -> float:
    beyond = semi_angle + 0.5 * edge
    square = y * y + x * x
    if square >= beyond * beyond:
        return 0.0
    inside = semi_angle - 0.5 * edge
    if inside > 0 and square <= inside * inside:
        return 1.0
    return min(1.0, max(0.0, (semi_angle - math.sqrt(square)) / edge + 0.5))


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _aberration(y: float, x: float, terms: NDArray[np.float64]) -> float:
    total = 0.0
    angle = complex(x, y)
    for term in range(len(terms)):
        value = complex(terms[term, 2], terms[term, 3])
        for _ in range(int(terms[term, 0])):
            value *= angle
        for _ in range(int(terms[term, 1])):
            value *= angle.conjugate()
        total += value.real
    return total


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _add(
    spectra: NDArray[np.complex64],
    angles: NDArray[np.float64],
    frequency_y: NDArray[np.floating],
    frequency_x: NDArray[np.floating],
    semi_angle: float,
    edge: float,
    terms: NDArray[np.float64],
    signal: NDArray[np.complex128],
    weight: NDArray[np.float64],
) -> tuple[float, int]:
    noise, quiet = 0.0, 0
    for pixel in range(len(angles)):
        ky, kx = angles[pixel]
        here = _amplitude(ky, kx, semi_angle, edge)
        if here == 0.0:
            continue
        phase = _aberration(ky, kx, terms)
        for row in range(len(frequency_y)):
            qy = frequency_y[row]
            for column in range(len(frequency_x)):
                qx = frequency_x[column]
                before = _amplitude(ky - qy, kx - qx, semi_angle, edge)
                after = _amplitude(ky + qy, kx + qx, semi_angle, edge)
                value = spectra[pixel, row, column]
                if before == 0.0 and after == 0.0:
                    if here == 1.0:
                        noise += value.real * value.real + value.imag * value.imag
                        quiet += 1
                    continue
                if len(terms):
                    # i A*(k) A(k-Q) = i a a' exp(i(χ(k) - χ(k-Q))), and so on.
                    left = phase - _aberration(ky - qy, kx - qx, terms) if before else 0.0
                    right = _aberration(ky + qy, kx + qx, terms) - phase if after else 0.0
                    real = here * (after * math.sin(right) - before * math.sin(left))
                    imag = here * (before * math.cos(left) - after * math.cos(right))
                else:
                    real, imag = 0.0, here * (before - after)
                # Γ* G
                signal[row, column] += complex(
                    real * value.real + imag * value.imag, real * value.imag - imag * value.real
                )
                weight[row, column] += real * real + imag * imag
    return noise, quiet
