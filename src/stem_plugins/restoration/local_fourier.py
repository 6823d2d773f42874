"""A Wiener filter in overlapping windows, for scan noise: white down the image, coloured along it.

Needs no training. It removes what the Fourier transform of a window shows to be noise, and is
strong where the image repeats; the shift that a fast-scan tail causes stays, and at defects it
plants faint ghosts of the lattice. The restoration network sees its result beside the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["WINDOW", "filter_with_pilot", "local_fourier_filter"]

#: Edge of a window [px], a multiple of 4: neighbours lie a quarter of it apart.
WINDOW = 96

#: Noise power is subtracted this many times: a coefficient of noise alone exceeds the mean by a
#: factor of 4 in one case of 55.
OVERSUBTRACTION = 4.0

#: Frequencies up to this one [cycles per window] pass, for they hold the slow changes of an image.
PASSED = 2.5

#: Windows filtered at once.
WINDOWS_AT_ONCE = 64


def local_fourier_filter(
    image: torch.Tensor, *, window: int = WINDOW, step: int | None = None
) -> torch.Tensor:
    """Remove noise whose power depends on the fast-scan frequency alone.

    In every window the noise power at a fast-scan frequency is the median over the slow-scan
    frequencies of ``|F|²``, over ln 2 (the median of an exponential distribution), and the gain is
    ``max(|F|² - 4 noise, 0) / |F|²``.

    Parameters
    ----------
    image
        Images with the fast scan along the last axis, (..., y, x), finite real numbers.
    window
        Edge of the windows [px], a multiple of 4.
    step
        Distance of neighbouring windows [px], a quarter (``None``) or half of the window.

    Returns
    -------
    torch.Tensor
        Same shape and type.

    Raises
    ------
    ValueError
        The window is no multiple of 4, or the step neither a half nor a quarter of it.

    Examples
    --------
    >>> import torch
    >>> noise = torch.randn(128, 128, generator=torch.Generator().manual_seed(0))
    >>> bool(local_fourier_filter(noise).std() < 0.3)
    True
    """
    return _in_windows(_filtered, [image], window, step)


def filter_with_pilot(
    image: torch.Tensor, pilot: torch.Tensor, *, window: int = WINDOW, step: int | None = None
) -> torch.Tensor:
    """Filter an image as one that is mostly without noise shows what there is to keep.

    The gain is that of Wiener, ``|P|² / (|P|² + noise)`` with P the pilot's transform and the noise
    power of the image as in `local_fourier_filter`, whose result is the natural pilot: weak
    frequencies keep what they have above the noise, where that filter loses four times the noise.

    Parameters
    ----------
    image, pilot
        As for `local_fourier_filter`, of the same shape.
    window, step
        As for `local_fourier_filter`.

    Returns
    -------
    torch.Tensor
        Same shape and type.

    Raises
    ------
    ValueError
        As for `local_fourier_filter`.

    Examples
    --------
    >>> import torch
    >>> noise = torch.randn(128, 128, generator=torch.Generator().manual_seed(0))
    >>> clean = torch.cos(torch.arange(128) / 2).expand(128, 128)
    >>> pilot = local_fourier_filter(clean + noise)
    >>> bool((filter_with_pilot(clean + noise, pilot) - clean).std() < 0.3)
    True
    """
    return _in_windows(_filtered_by_pilot, [image, pilot], window, step)


def _in_windows(
    process: Callable[..., torch.Tensor], images: list[torch.Tensor], window: int, step: int | None
) -> torch.Tensor:
    """Process windows of images of one shape, and overlap the results."""
    import torch

    if window < 8 or window % 4:
        raise ValueError(f"window must be a multiple of 4 of at least 8 px, not {window}.")
    step = window // 4 if step is None else step
    if step not in (window // 4, window // 2):
        raise ValueError(f"step must be a quarter or half of the window, not {step} px.")
    height, width = images[0].shape[-2:]
    device = images[0].device
    # Before the image as many steps as give every pixel its full number of windows, and behind it.
    margin = window - step
    rows, columns = (
        _reflected(size, margin, margin + -size % step, device) for size in (height, width)
    )
    padded = [image.reshape(-1, height, width)[:, rows[:, None], columns] for image in images]
    taper = torch.sin(math.pi * (torch.arange(window, device=device) + 0.5) / window)
    taper = (taper[:, None] * taper).to(images[0].dtype)
    result = torch.zeros_like(padded[0])
    count_y = (result.shape[-2] - window) // step + 1
    per_row = (result.shape[-1] - window) // step + 1
    at_once = WINDOWS_AT_ONCE * WINDOW**2 // window**2
    rows_at_once = max(1, at_once // (per_row * len(result)))
    for first in range(0, count_y, rows_at_once):
        last = min(first + rows_at_once, count_y)
        strip = slice(first * step, (last - 1) * step + window)
        patches = [
            image[:, strip].unfold(-2, window, step).unfold(-2, window, step) for image in padded
        ]
        result[:, strip] += _overlapped(process(*patches, taper) * taper, step)
    # The squared sines of all windows over a pixel add up to this along either axis.
    overlap = window / (2 * step)
    result = result[:, margin : margin + height, margin : margin + width] / overlap**2
    return result.reshape(images[0].shape)


def _reflected(size: int, before: int, after: int, device: torch.device) -> torch.Tensor:
    """Indices that reflect an axis about its ends, over and over if it is short."""
    import torch

    place = torch.arange(-before, size + after, device=device)
    if size == 1:
        return torch.zeros_like(place)
    place = place.abs() % (2 * size - 2)
    return torch.where(place >= size, 2 * size - 2 - place, place)


def _filtered(patches: torch.Tensor, taper: torch.Tensor) -> torch.Tensor:
    """Filter windows (..., window, window)."""
    spectrum, mean = _spectrum(patches, taper)
    power = _power(spectrum)
    gain = (1 - OVERSUBTRACTION * _noise(power) / power.clamp_min(1e-30)).clamp_min(0)
    return _passed(spectrum, gain, mean * taper)


def _filtered_by_pilot(
    patches: torch.Tensor, pilots: torch.Tensor, taper: torch.Tensor
) -> torch.Tensor:
    """Filter windows (..., window, window) by those of the pilot."""
    spectrum, mean = _spectrum(patches, taper)
    kept = _power(_spectrum(pilots, taper)[0])
    gain = kept / (kept + _noise(_power(spectrum)) + 1e-30)
    return _passed(spectrum, gain, mean * taper)


def _spectrum(patches: torch.Tensor, taper: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Transforms of tapered windows without their means, and the means."""
    import torch

    mean = patches.mean((-2, -1), keepdim=True)
    return torch.fft.rfft2((patches - mean) * taper), mean


def _power(spectrum: torch.Tensor) -> torch.Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def _noise(power: torch.Tensor) -> torch.Tensor:
    """Noise power at each fast-scan frequency."""
    return power.median(dim=-2, keepdim=True).values / math.log(2)


def _passed(spectrum: torch.Tensor, gain: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Windows after a gain at all but the lowest frequencies, with their means back."""
    import torch

    window = spectrum.shape[-2]
    frequency = torch.fft.fftfreq(window, 1 / window, device=gain.device)
    slow = torch.hypot(frequency[:, None], frequency[: window // 2 + 1].abs()) <= PASSED
    gain = torch.where(slow, torch.ones_like(gain), gain)
    return torch.fft.irfft2(spectrum * gain, s=(window, window)) + mean


def _overlapped(patches: torch.Tensor, step: int) -> torch.Tensor:
    """Add up windows (n, rows, columns, window, window) that lie a quarter of a window apart."""
    count, rows, columns, window, _ = patches.shape
    parts = window // step
    quarters = patches.reshape(count, rows, columns, window, parts, step)
    line = patches.new_zeros(count, rows, columns + parts - 1, window, step)
    for part in range(parts):
        line[:, :, part : part + columns] += quarters[..., part, :]
    # (n, rows, window, x)
    line = line.permute(0, 1, 3, 2, 4).reshape(count, rows, window, -1)
    bands = line.reshape(count, rows, parts, step, line.shape[-1])
    page = line.new_zeros(count, rows + parts - 1, step, line.shape[-1])
    for part in range(parts):
        page[:, part : part + rows] += bands[:, :, part]
    return page.reshape(count, -1, line.shape[-1])
