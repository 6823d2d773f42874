"""Images and their Fourier rings: what all measures of a reconstruction's quality stand on.

A phase has no zero, and a field of view no edge that belongs to the specimen: the mean goes and a
window takes the edges down before the transform. Rings are of spatial frequency, not of pixels,
so that unequal sampling along y and x is no matter.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from stem_plugins.optics.probe import spatial_frequencies

__all__ = [
    "SMALLEST_SIDE",
    "FourierRings",
    "fourier_rings",
    "image_pair",
    "pixel_size",
    "real_image",
    "tukey",
    "windowed_spectrum",
]

#: Images with shorter sides have too few Fourier rings to say anything [px].
SMALLEST_SIDE = 16

Image = NDArray[np.float64]


def real_image(image: ArrayLike, name: str, smallest: int = SMALLEST_SIDE) -> Image:
    """Return an image as finite real numbers, or say in a ValueError why it is none.

    Parameters
    ----------
    image
        (ny, nx).
    name
        What a message calls it.
    smallest
        Shortest side it may have [px].

    Raises
    ------
    ValueError
        It is complex, no image, smaller than that, or holds NaN or infinity.

    Examples
    --------
    >>> real_image([[0, 1], [2, 3]], "image", smallest=2).dtype
    dtype('float64')
    """
    array = np.asarray(image)
    if array.dtype.kind == "c":
        raise ValueError(f"{name} is complex; take its phase, numpy.angle({name}).")
    if array.dtype.kind not in "buif" or array.ndim != 2:
        raise ValueError(
            f"{name} must be an image (ny, nx) of real numbers, not {array.dtype} of shape "
            f"{array.shape}."
        )
    if min(array.shape) < smallest:
        raise ValueError(
            f"{name} has {array.shape[0]} × {array.shape[1]} px; {smallest} px along either side "
            "are the least."
        )
    array = array.astype(float)
    missing = array.size - int(np.isfinite(array).sum())
    if missing:
        raise ValueError(
            f"{name} holds NaN or infinity in {missing} of {array.size} pixels; cut to the part "
            "that was reconstructed."
        )
    return array


def image_pair(
    first: ArrayLike, second: ArrayLike, names: tuple[str, str], smallest: int = SMALLEST_SIDE
) -> tuple[Image, Image]:
    """Return two images of one shape, or say in a ValueError why they cannot be compared.

    Parameters
    ----------
    first, second
        (ny, nx).
    names
        What a message calls them.
    smallest
        Shortest side they may have [px].

    Raises
    ------
    ValueError
        One of them is no image, or their shapes differ.

    Examples
    --------
    >>> image_pair([[0, 1]], [[2, 3]], ("image", "truth"), smallest=1)[1]
    array([[2., 3.]])
    """
    one, other = (real_image(i, n, smallest) for i, n in zip((first, second), names, strict=True))
    if one.shape != other.shape:
        raise ValueError(
            f"{names[0]} of shape {one.shape} and {names[1]} of shape {other.shape} cannot be "
            "compared; bring both to the same field of view and sampling."
        )
    return one, other


def pixel_size(sampling: Any) -> tuple[float, float]:
    """Return the size of a pixel (y, x) [Å], or say in a ValueError why it is none.

    Parameters
    ----------
    sampling
        (y, x) [Å], or one number for both.

    Raises
    ------
    ValueError
        It is neither, or not above zero.

    Examples
    --------
    >>> pixel_size(0.25)
    (0.25, 0.25)
    """
    try:
        y, x = (float(size) for size in np.broadcast_to(np.asarray(sampling, dtype=float), 2))
    except (TypeError, ValueError):
        y = x = 0.0
    if not (0 < y < np.inf and 0 < x < np.inf):
        raise ValueError(
            f"sampling must be the pixel size (y, x) [Å], two numbers above zero, not {sampling!r}."
        )
    return y, x


@dataclasses.dataclass(frozen=True, eq=False)
class FourierRings:
    """Which pixels of a Fourier transform, zero frequency at index (0, 0), make up which ring.

    Parameters
    ----------
    radius
        Spatial frequency of every pixel [1/Å], (ny, nx).
    index
        Ring of every pixel, (ny, nx); 0 is about zero frequency.
    count
        Rings that are whole, 1 to count: those up to the Nyquist frequency of both axes.
    """

    radius: Image
    index: NDArray[np.intp]
    count: int

    def sums(self, values: Image) -> Image:
        """Return the sum over each whole ring, (count,).

        Parameters
        ----------
        values
            (ny, nx).
        """
        total: Image = np.bincount(self.index.ravel(), values.ravel()).astype(float)
        return total[1 : self.count + 1]

    def averaged(self, values: Image) -> Image:
        """Replace every pixel by the mean of its ring, also beyond the whole ones, (ny, nx).

        Parameters
        ----------
        values
            (ny, nx).
        """
        ring = self.index.ravel()
        means: Image = np.bincount(ring, values.ravel()) / np.maximum(np.bincount(ring), 1)
        return means[self.index]

    @property
    def pixels(self) -> Image:
        """Pixels in each whole ring, (count,)."""
        return self.sums(np.ones(self.index.shape))

    @property
    def frequency(self) -> Image:
        """Mean spatial frequency of each whole ring [1/Å], (count,)."""
        return self.sums(self.radius) / self.pixels


def fourier_rings(shape: tuple[int, int], sampling: tuple[float, float]) -> FourierRings:
    """Divide the Fourier transform of an image into rings, as wide as its coarser frequency step.

    Parameters
    ----------
    shape
        Of the image.
    sampling
        (y, x) [Å].

    Raises
    ------
    ValueError
        The frequency step along one axis is beyond the Nyquist frequency of the other.

    Examples
    --------
    >>> rings = fourier_rings((16, 32), (0.5, 0.25))
    >>> rings.count, rings.frequency.round(2)[-1]
    (8, np.float64(1.0))
    """
    radius = np.hypot(*spatial_frequencies(shape, sampling))
    step = max(1 / (size * pixel) for size, pixel in zip(shape, sampling, strict=True))
    # A hair more, or rounding decides whether a ring at the Nyquist frequency counts.
    count = int(min(0.5 / pixel for pixel in sampling) / step * (1 + 1e-9))
    if count < 1:
        raise ValueError(
            f"An image of {shape[0]} × {shape[1]} px of {sampling[0]:g} × {sampling[1]:g} Å has no "
            "Fourier ring: its frequency step along one axis is beyond the Nyquist frequency of "
            "the other. Check the sampling, or bin the finer axis."
        )
    return FourierRings(radius, np.floor(radius / step + 0.5).astype(np.intp), count)


def tukey(size: int) -> Image:
    """Return a window that is flat in the middle half and falls to zero as a cosine, (size,).

    Parameters
    ----------
    size
        [px].

    Examples
    --------
    >>> tukey(8).round(2).tolist()
    [0.15, 0.85, 1.0, 1.0, 1.0, 1.0, 0.85, 0.15]
    """
    from_edge = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    return 0.5 - 0.5 * np.cos(np.pi * np.minimum(4 * from_edge / size, 1))


def windowed_spectrum(image: Image, window: Image) -> NDArray[np.complex128]:
    """Transform an image whose mean, weighted by a window, was taken off.

    Parameters
    ----------
    image, window
        (ny, nx).

    Examples
    --------
    >>> window = np.outer(tukey(16), tukey(16))
    >>> bool(np.abs(windowed_spectrum(np.full((16, 16), 3.0), window)).max() < 1e-12)
    True
    """
    mean = np.sum(image * window) / window.sum()
    return np.asarray(scipy.fft.fft2((image - mean) * window))
