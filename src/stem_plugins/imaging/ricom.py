"""Real-time integrated centre of mass (riCOM): kernels, images, and what a kernel transfers.

After C.-P. Yu, T. Friedrich, D. Jannis, S. Van Aert and J. Verbeeck, Microscopy and Microanalysis
28, 1526 (2022), and chapter 3 of T. Friedrich's thesis (University of Antwerp, 2023); equation
numbers are the thesis's.

riCOM integrates a centre-of-mass map along radii of finite length. It is linear, so the whole map
at once (`ricom`, by FFT) and position by position as a scan comes in (`ricom_add`) give the same
image. Nothing wraps around at the edges: what lies outside the scan counts as zero.
"""

from __future__ import annotations

import dataclasses
import numbers
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from stem_plugins.imaging.center_of_mass import (
    as_pair,
    check_finite,
    check_vectors,
    scan_frame_matrix,
)
from stem_plugins.lazy.blocks import map_whole

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["KernelTransfer", "kernel_transfer", "ricom", "ricom_add", "ricom_kernel"]


def ricom_kernel(
    size: int,
    *,
    rotation: float = 0.0,
    flip_y: bool = False,
    low: float | None = None,
    high: float | None = None,
    scan_step: float | tuple[float, float] = 1.0,
) -> np.ndarray:
    """Kernel of riCOM, optionally rotated and filtered.

    ``k(r) = a / (2π) · (r_p - r) / |r_p - r|²`` (eq. 3.4) on ``size`` × ``size`` scan positions r
    around r_p, zero at r_p itself, with a the area of one scan step. The image is the
    cross-correlation of kernel and centre-of-mass map, summed over both components.

    Parameters
    ----------
    size
        Side n of the kernel [scan positions], odd.
    rotation, flip_y
        From detector to scan frame, as in `to_scan_frame`; turning the kernel back instead of
        every vector forth gives the same image.
    low, high
        Pass band [cycles per unit of `scan_step`]: frequencies below `low` and above `high` are
        removed by hard cut-offs (eq. 3.9), convolved into the kernel and cut back to its size
        (eq. 3.8), which softens them. ``None``: no limit.
    scan_step
        Distance of scan positions, one number or (y, x). With Å here and vectors in rad/Å the
        image is a phase [rad]; with the default 1, frequencies are in cycles per scan position.

    Returns
    -------
    numpy.ndarray
        (2, size, size) float64, components (y, x), indexed by r - r_p + (size - 1) / 2.

    Raises
    ------
    ValueError
        The size is even or below 3, or the limits are reversed, negative or beyond the Nyquist
        frequency.

    Examples
    --------
    >>> kernel = ricom_kernel(3)
    >>> (2 * np.pi * kernel[1, 1]).round(3)  # x component, the row through the centre
    array([ 1.,  0., -1.])
    """
    step = as_pair(scan_step, "scan_step")
    half = (check_kernel_size(size) - 1) // 2
    offset = np.arange(-half, half + 1)
    r_y, r_x = offset[:, None] * step[0], offset[None, :] * step[1]
    distance_squared = r_y**2 + r_x**2
    distance_squared[half, half] = np.inf
    kernel = -np.stack(np.broadcast_arrays(r_y, r_x)) / distance_squared
    kernel *= step[0] * step[1] / (2 * np.pi)
    if low is not None or high is not None:
        kernel = _band_pass(kernel, low, high, step)
    # k · (M v) = (Mᵀ k) · v
    return np.einsum("ij,iyx->jyx", scan_frame_matrix(rotation, flip_y), kernel)


def check_kernel_size(size: int, scan_shape: tuple[int, ...] | None = None) -> int:
    """Return a usable kernel size, or say why it is none."""
    number = isinstance(size, numbers.Real) and np.isfinite(size)
    if not number or int(size) != size or size < 3 or size % 2 == 0:
        raise ValueError(
            f"The kernel size must be an odd number of scan positions, 3 or more, not {size!r}."
        )
    if scan_shape is not None and size > largest_kernel(scan_shape):
        raise ValueError(
            f"A kernel of {size} scan positions reaches beyond a {scan_shape[0]} × "
            f"{scan_shape[1]} scan; {largest_kernel(scan_shape)} already integrates over all of it."
        )
    return int(size)


def largest_kernel(scan_shape: tuple[int, ...]) -> int:
    """Size of the kernel that reaches every position of a scan from every other."""
    return max(3, 2 * max(scan_shape[:2]) - 1)


def check_band(
    low: float | None, high: float | None, step: tuple[float, float]
) -> tuple[float, float]:
    """Return the limits of a pass band as numbers, or say what is wrong with them."""
    nyquist = float(np.hypot(0.5 / step[0], 0.5 / step[1]))
    lower = 0.0 if low is None else float(low)
    upper = np.inf if high is None else float(high)
    if not (np.isfinite(lower) and lower >= 0 and upper > 0):
        raise ValueError(f"The pass band must lie above zero, not from {low} to {high}.")
    if lower >= upper:
        raise ValueError(f"The pass band is reversed: low={low} is not below high={high}.")
    if lower > nyquist:
        raise ValueError(
            f"low={low} lies beyond the highest frequency of this scan, {nyquist:.4g} cycles per "
            "unit of the scan step: the filter would remove everything."
        )
    return lower, upper


def _band_pass(
    kernel: np.ndarray, low: float | None, high: float | None, step: tuple[float, float]
) -> np.ndarray:
    """Convolve a kernel with a hard band pass and cut it back to its size (eq. 3.8, 3.9)."""
    lower, upper = check_band(low, high, step)
    size = kernel.shape[1]
    # The filter's own tails are long; this grid keeps them from coming round to the kernel.
    grid = scipy.fft.next_fast_len(max(2 * size, 256), real=True)
    k_y = scipy.fft.fftfreq(grid, step[0])[:, None]
    k_x = scipy.fft.rfftfreq(grid, step[1])[None, :]
    frequency = np.hypot(k_y, k_x)
    passed = (frequency >= lower) & (frequency <= upper)
    square = step[0] == step[1]
    # With square steps the x component is the y component with its axes exchanged.
    spectrum = scipy.fft.rfft2(kernel[:1] if square else kernel, (grid, grid)) * passed
    filtered = scipy.fft.irfft2(spectrum, (grid, grid))[:, :size, :size]
    return np.concatenate([filtered, np.swapaxes(filtered, 1, 2)]) if square else filtered


def ricom(
    com: np.ndarray | da.Array,
    kernel_size: int = 21,
    *,
    low: float | None = None,
    high: float | None = None,
    rotation: float = 0.0,
    flip_y: bool = False,
    scan_step: float | tuple[float, float] = 1.0,
) -> np.ndarray | da.Array:
    """Image by real-time integrated centre of mass, from a whole vector map.

    Parameters
    ----------
    com
        Vector map, (scan_y, scan_x, 2), vectors (y, x), NumPy or dask: a centre-of-mass map, or
        the difference signals of a segmented detector.
    kernel_size
        Side of the kernel [scan positions], odd. Small kernels show detail and suppress slow
        changes; up to the whole scan the image becomes iCOM. See `kernel_transfer`.
    low, high, rotation, flip_y, scan_step
        As for `ricom_kernel`.

    Returns
    -------
    numpy.ndarray or dask.array.Array
        (scan_y, scan_x) float64, in the unit of `com` times that of `scan_step`. Atoms are
        bright: the image rises where the beam is deflected inwards.

    Raises
    ------
    ValueError
        `com` is no vector map or holds NaN, or the kernel or its filter is unusable.

    References
    ----------
    Thesis eq. 3.4 (the sum), 3.8 and 3.9 (filters).

    Examples
    --------
    >>> y, x = np.indices((31, 31)) - 15
    >>> inwards = -np.stack([y, x], axis=-1) * np.exp(-(y**2 + x**2) / 18)[..., None]
    >>> image = ricom(inwards, 21)
    >>> tuple(int(i) for i in np.unravel_index(image.argmax(), image.shape))
    (15, 15)
    """
    com = check_vectors(com)
    check_kernel_size(kernel_size, com.shape)
    kernel = ricom_kernel(
        kernel_size, rotation=rotation, flip_y=flip_y, low=low, high=high, scan_step=scan_step
    )
    return map_whole(_correlate, com, shape=com.shape[:2], kernel=kernel)


def _correlate(com: np.ndarray, *, kernel: np.ndarray) -> np.ndarray:
    """Cross-correlate vector map and kernel by FFT; everything outside the scan counts as zero.

    Half a kernel of room is enough for that: what wraps around lands where it is cut off.
    """
    components = np.moveaxis(check_finite(com), -1, 0)
    shape, size = components.shape[1:], kernel.shape[1]
    half = size // 2
    grid = [scipy.fft.next_fast_len(max(n + half, size), real=True) for n in shape]
    turned = np.zeros((2, *grid))
    turned[:, :size, :size] = kernel[:, ::-1, ::-1]
    spectrum = scipy.fft.rfft2(np.roll(turned, (-half, -half), axis=(1, 2)))
    spectrum *= scipy.fft.rfft2(components, grid)
    return scipy.fft.irfft2(spectrum.sum(axis=0), grid)[: shape[0], : shape[1]]


def ricom_add(
    image: np.ndarray, com: np.ndarray, kernel: np.ndarray, *, first: int = 0
) -> np.ndarray:
    """Add the contributions of scan positions to a growing riCOM image, in place.

    Once every position of a scan was added, in any order, the image equals `ricom`'s.

    Parameters
    ----------
    image
        (scan_y, scan_x) float64; start from zeros.
    com
        Vectors of consecutive scan positions, (positions, 2), (y, x).
    kernel
        From `ricom_kernel`.
    first
        Scan position of ``com[0]``, counted along the fast axis, row by row.

    Returns
    -------
    numpy.ndarray
        The same image.

    Raises
    ------
    ValueError
        Shapes or types do not fit, or the positions lie outside the scan.

    Examples
    --------
    >>> image = np.zeros((3, 3))
    >>> com = np.zeros((9, 2))
    >>> com[4] = 0, 2 * np.pi  # the middle is deflected to the right
    >>> ricom_add(image, com, ricom_kernel(3))[1]
    array([-1.,  0.,  1.])
    """
    com = np.ascontiguousarray(com, np.float64)
    if not np.isfinite(com).all():
        raise ValueError(
            "The vectors hold NaN or infinite values; what they would add cannot be taken back. "
            "Leave these scan positions out."
        )
    if image.ndim != 2 or image.dtype != np.float64:
        raise ValueError(f"image must be 2D float64, not {image.ndim}D {image.dtype}.")
    if com.ndim != 2 or com.shape[1] != 2:
        raise ValueError(f"com must be (positions, 2), not {com.shape}.")
    if kernel.ndim != 3 or kernel.shape[0] != 2 or kernel.shape[1] != kernel.shape[2]:
        raise ValueError(f"kernel must be (2, n, n) from ricom_kernel, not {kernel.shape}.")
    check_kernel_size(kernel.shape[1])
    if not 0 <= first <= first + len(com) <= image.size:
        raise ValueError(
            f"Positions {first} to {first + len(com)} lie outside a scan of {image.size}."
        )
    from stem_plugins.imaging.ricom_scatter import scatter_add

    scatter_add(image, com, np.ascontiguousarray(kernel[:, ::-1, ::-1]), first)
    return image


@dataclasses.dataclass(frozen=True)
class KernelTransfer:
    """How strongly a kernel passes each spatial frequency.

    Parameters
    ----------
    frequency
        Spatial frequencies [cycles per unit of the scan step].
    kernel
        Weight that a gradient field of this frequency gets in the image, from the kernel itself,
        averaged over directions [unit of the scan step].
    line_integration
        The same by the line-integration approximation, eq. 3.7. It knows no filter.
    """

    frequency: np.ndarray
    kernel: np.ndarray
    line_integration: np.ndarray


def kernel_transfer(
    size: int,
    *,
    low: float | None = None,
    high: float | None = None,
    scan_step: float = 1.0,
    points: int = 128,
) -> KernelTransfer:
    """Transfer function of a riCOM kernel and its line-integration approximation.

    Both are weights on the vector map: multiply by ``2π · frequency`` for the weight on the
    potential whose gradient the map is (eq. 3.6), where full transfer is 1.

    Parameters
    ----------
    size, low, high
        As for `ricom_kernel`.
    scan_step
        Distance of scan positions in both directions.
    points
        Number of frequencies, from above zero to the Nyquist frequency.

    Returns
    -------
    KernelTransfer

    Raises
    ------
    ValueError
        As for `ricom_kernel`.

    References
    ----------
    Thesis eq. 3.7: ``N / (2kπ) · [1 - cos((n - 1) / 2 · 2kπ / N)]`` with ``k / N`` the frequency
    in cycles per scan position.

    Examples
    --------
    >>> transfer = kernel_transfer(21)
    >>> peak = transfer.frequency[transfer.kernel.argmax()]
    >>> bool(0.02 < peak < 0.06)
    True
    """
    kernel = ricom_kernel(size, low=low, high=high, scan_step=scan_step)
    frequency = np.linspace(0, 0.5, points + 1)[1:] / scan_step
    half = size // 2
    offset = np.arange(-half, half + 1) * scan_step
    directions = np.deg2rad(np.arange(0, 90, 3))
    weight = np.zeros(points)
    for angle in directions:
        k_y, k_x = frequency * np.sin(angle), frequency * np.cos(angle)
        along_y = np.exp(2j * np.pi * k_y[:, None] * offset)
        along_x = np.exp(2j * np.pi * k_x[:, None] * offset)
        spectrum = np.einsum("ky,cyk->ck", along_y, kernel @ along_x.T)
        # A gradient field i k̂ at this frequency; the kernel's spectrum is -i times real.
        weight += (1j * (np.sin(angle) * spectrum[0] + np.cos(angle) * spectrum[1])).real
    reach = (size - 1) / 2 * scan_step
    line = (1 - np.cos(2 * np.pi * frequency * reach)) / (2 * np.pi * frequency)
    return KernelTransfer(frequency, weight / len(directions), line)
