"""What colours the noise along the rows, taken off before a network sees an image."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from stem_plugins.restoration.low_pass import (
    LowPass,
    apply_low_pass,
    low_pass_of_noise,
    remove_low_pass,
)
from stem_plugins.restoration.noise_spectrum import noise_power
from stem_plugins.restoration.standardization import scale_of
from stem_plugins.restoration.tail_removal import Tail, remove_tail, tail_of_noise

__all__ = ["NoiseColour", "find_noise_colour"]


@dataclasses.dataclass(frozen=True)
class NoiseColour:
    """A tail, a low-pass, or neither.

    Parameters
    ----------
    tail
        Of the detector: what it did to an image is undone.
    low_pass
        Of filters behind it, which are taken as wanted: what they did is put back.
    scale
        Standard deviation of the image without the low-pass.
    """

    tail: Tail = dataclasses.field(default=Tail())
    low_pass: LowPass = dataclasses.field(default=LowPass())
    scale: float = 1.0

    def removed(self, image: np.ndarray) -> NDArray[np.float32]:
        """Make the noise of a standardised image, or of whole rows of it, white.

        Parameters
        ----------
        image
            (y, x), fast scan along x to the right.
        """
        if not self.low_pass.strength:
            return remove_tail(image, self.tail)
        white = remove_low_pass(image, self.low_pass)
        white /= np.float32(self.scale)
        return white

    def put_back(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put filters back that were taken off with `removed`, into a restored image.

        Parameters
        ----------
        image
            (y, x), as what `removed` has given; changed in place.
        """
        if self.low_pass.strength:
            apply_low_pass(image, self.low_pass, out=image)
            image *= np.float32(self.scale)
        return image


def find_noise_colour(image: np.ndarray) -> NoiseColour:
    """Find what colours the noise of an image.

    Parameters
    ----------
    image
        (y, x), real and finite, of standard deviation 1, fast scan along x to the right.
    """
    noise = noise_power(image)
    tail = tail_of_noise(noise)
    if tail.decay:
        return NoiseColour(tail)
    low_pass = low_pass_of_noise(noise)
    if not low_pass.strength:
        return NoiseColour()
    _, scale = scale_of(remove_low_pass(image, low_pass))
    return NoiseColour(low_pass=low_pass, scale=scale or 1.0)
