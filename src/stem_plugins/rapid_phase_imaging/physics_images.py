"""What direct ptychography makes of the fine cells: images that the network starts from.

The overlaps of the diffraction discs are read as in `stem_plugins.ssb`, in units of λ/α and α. Of
the same sums several images are made: with the Wiener term that the data ask for, which is the
image that the network corrects, and with fixed ones.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from stem_plugins.imaging.direct_ptychography import noise_to_signal
from stem_plugins.imaging.overlap_kernel import Lens, OverlapSums, add_overlaps, disc_amplitude
from stem_plugins.rapid_phase_imaging.detector_cells import FINE, fine_angles

__all__ = [
    "IMAGES",
    "PhysicsImages",
    "cell_overlaps",
    "lens_in_units_of_aperture",
    "physics_images",
]

#: Wiener terms of the other images, in parts of the largest weight.
TERMS = (0.02, 0.2, 2.0)

#: Images that are made.
IMAGES = 1 + len(TERMS)


@dataclasses.dataclass(frozen=True, eq=False)
class PhysicsImages:
    """Phases by direct ptychography.

    Parameters
    ----------
    images
        (`IMAGES`, y, x) at the scan positions [rad], first the best.
    finer
        The best at the positions and halfway between them, (2 y, 2 x).
    """

    images: NDArray[np.float32]
    finer: NDArray[np.float32]


def lens_in_units_of_aperture(terms: NDArray[np.float64]) -> Lens:
    """Describe a lens with angles in parts of α.

    Parameters
    ----------
    terms
        As in `Lens`.
    """
    norm = float(np.sum(disc_amplitude(fine_angles(), 1.0, FINE) ** 2))
    return Lens(1.0, FINE, terms, norm)


def cell_overlaps(
    cells: NDArray[np.float32], which: slice, *, lens: Lens, scan_step: tuple[float, float]
) -> OverlapSums:
    """Sum what some of the cells say; the sums of all of them are added.

    Parameters
    ----------
    cells
        What these fine cells recorded, in parts of the mean pattern, (cells, y, x).
    which
        Their numbers.
    lens
        From `lens_in_units_of_aperture`.
    scan_step
        (y, x) in λ/α.
    """
    spectra = scipy.fft.rfft2(cells, axes=(1, 2))
    frequencies = _frequencies(cells.shape[1:], scan_step)
    return add_overlaps(spectra, fine_angles()[which], frequencies, lens)


def _frequencies(
    shape: tuple[int, ...], scan_step: tuple[float, float]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    return np.fft.fftfreq(shape[0], scan_step[0]), np.fft.rfftfreq(shape[1], scan_step[1])


def physics_images(
    sums: OverlapSums,
    shape: tuple[int, ...],
    *,
    lens: Lens,
    scan_step: tuple[float, float],
    electrons: float | None,
) -> PhysicsImages:
    """Make the images.

    Parameters
    ----------
    sums
        From `cell_overlaps`, over all fine cells.
    shape
        Of the scan, (y, x).
    lens, scan_step
        As for `cell_overlaps`.
    electrons
        In a pattern; ``None``: not known.
    """
    frequencies = _frequencies(shape, scan_step)
    weight, signal = sums.weight, sums.signal
    weight[0, 0] = signal[0, 0] = 0
    largest = weight.max()
    poisson = None if electrons is None else float(np.prod(shape)) / (lens.norm * electrons)
    best = weight + noise_to_signal(sums, frequencies, poisson=poisson)
    spectra_of_images = [np.divide(signal, best, out=np.zeros_like(signal), where=best > 0)]
    spectra_of_images += [signal / (weight + term * largest) for term in TERMS]
    images = scipy.fft.irfft2(np.stack(spectra_of_images), s=shape, axes=(1, 2))
    return PhysicsImages(images.astype(np.float32), _finer(spectra_of_images[0], shape))


def _finer(spectrum: NDArray[np.complexfloating], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Image with twice the points on each axis, by Fourier interpolation."""
    rows, columns = shape
    padded = np.zeros((2 * rows, columns + 1), complex)
    top, left = (rows + 1) // 2, columns // 2 + 1
    padded[:top, :left] = spectrum[:top]
    padded[top - rows :, :left] = spectrum[top - rows :] if rows > 1 else 0
    if rows == 1:
        padded[0, :left] = spectrum[0]
    return (4 * scipy.fft.irfft2(padded, s=(2 * rows, 2 * columns))).astype(np.float32)
