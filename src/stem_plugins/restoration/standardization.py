"""Mean and spread of an image, so that networks see all images on one scale.

Both follow the image through every change of gain and offset, which makes a restoration that works
on standardised images exact for ``x → a·x + b`` with positive a.
"""

from __future__ import annotations

import numpy as np

__all__ = ["scale_of"]

#: Pixels farther from the mean than this many standard deviations (X-ray hits) do not count.
FARTHEST = 8.0


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
    values = np.asarray(image, np.float64)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 0.0
    for _ in range(3):
        mean, deviation = float(values.mean()), float(values.std())
        kept = values[np.abs(values - mean) <= FARTHEST * deviation]
        if kept.size in (0, values.size):
            break
        values = kept
    # What rounding leaves of a constant is no contrast.
    if deviation <= 1e-7 * abs(mean):
        deviation = 0.0
    return mean, deviation
