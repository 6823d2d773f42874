"""Mean and spread of an image, so that networks see all images on one scale.

Both follow the image through every change of gain and offset, which makes a restoration that works
on standardised images exact for ``x → a·x + b`` with positive a.
"""

from __future__ import annotations

import numpy as np

__all__ = ["scale_of"]

#: Pixels farther from the mean than this many standard deviations (X-ray hits) do not count.
FARTHEST = 8.0

#: Pixels that are copied in double precision at a time: large images fill the memory once.
PART = 2**20


def scale_of(image: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of an image without its outliers.

    Parameters
    ----------
    image
        Any shape, real. Pixels that are not finite do not count.

    Returns
    -------
    mean : float
    deviation : float
        0 where the image is constant or holds no finite pixel.

    Examples
    --------
    >>> image = np.tile([1.0, 3.0], (64, 64))
    >>> image[0, 0] = 1e6
    >>> mean, deviation = scale_of(image)
    >>> round(mean, 2), round(deviation, 2)
    (2.0, 1.0)
    """
    image = np.asarray(image)
    parts = np.array_split(image.reshape(-1), max(1, image.size // PART))
    mean, deviation, count = 0.0, 0.0, -1
    low, high = -np.inf, np.inf
    for _ in range(3):
        kept_mean, kept_deviation, kept = _moments(parts, low, high)
        if kept in (0, count):
            break
        mean, deviation, count = kept_mean, kept_deviation, kept
        low = max(low, mean - FARTHEST * deviation)
        high = min(high, mean + FARTHEST * deviation)
    # What rounding leaves of a constant is no contrast.
    if deviation <= 1e-7 * abs(mean):
        deviation = 0.0
    return mean, deviation


def _moments(parts: list[np.ndarray], low: float, high: float) -> tuple[float, float, int]:
    """Mean, standard deviation and number of the finite values from low to high."""

    def kept(part: np.ndarray) -> np.ndarray:
        values = part.astype(np.float64)
        return values[np.isfinite(values) & (values >= low) & (values <= high)]

    sums = [(values.sum(), values.size) for values in map(kept, parts)]
    count = sum(size for _, size in sums)
    if count == 0:
        return 0.0, 0.0, 0
    mean = float(sum(total for total, _ in sums) / count)
    square = sum(float(np.sum((kept(part) - mean) ** 2)) for part in parts)
    return mean, float(np.sqrt(square / count)), count
