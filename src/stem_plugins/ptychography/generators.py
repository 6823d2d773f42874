"""Networks that draw an object or a probe: their shape alone is the prior.

A convolutional network finds structure that repeats and edges that continue sooner than noise
(D. Ulyanov, A. Vedaldi, V. Lempitsky, CVPR 2018), and slow variations as fast as fine detail. Its
input is the first guess with fresh noise beside fixed noise, its output a correction of that guess,
which is zero at first: nothing has to be learnt before the reconstruction starts. From a smooth
guess alone, convolutions could draw nothing that differs from place to place; the fixed noise tells
places apart. There are no normalisation layers, which at low dose cost more than they bring.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["Generator"]

#: Standard deviation of the noise that is added to the scaled input.
INPUT_NOISE = 0.1

#: Channels of fixed noise.
CODES = 4

#: How often weights are drawn again, at most.
BIRTHS = 20

#: Unit of what a network draws where the first guess is empty [rad].
EMPTY_SCALE = 0.1


class Generator(nn.Module):
    """U-Net that corrects a first guess of several channels.

    Parameters
    ----------
    guess
        (channels, y, x), any size.
    filters
        Of the first level; doubled from level to level.
    levels
        How often the image is halved.
    noise
        Standard deviation of the noise on the scaled input.
    """

    def __init__(
        self, guess: torch.Tensor, *, filters: int, levels: int = 2, noise: float = INPUT_NOISE
    ) -> None:
        super().__init__()
        channels = len(guess)
        self.noise, self.levels = noise, levels
        scale = guess.std(dim=(1, 2), keepdim=True)
        # A part without contrast takes its unit from the others, or that of a weak phase.
        largest = scale.max()
        scale = torch.where(scale > 0, scale, largest if largest > 0 else EMPTY_SCALE)
        self.register_buffer("guess", guess.clone())
        self.register_buffer("scale", scale)
        mean = guess.mean(dim=(1, 2), keepdim=True)
        self.register_buffer("input", ((guess - mean) / scale)[None])
        self.register_buffer("codes", torch.randn(1, CODES, *guess.shape[1:]).to(guess))
        width = filters
        self.down = nn.ModuleList([_block(channels + CODES, width)])
        for _ in range(levels):
            self.down.append(_block(width, 2 * width))
            width *= 2
        self.merge, self.up = nn.ModuleList(), nn.ModuleList()
        for _ in range(levels):
            self.merge.append(_convolution(width, width // 2))
            self.up.append(_block(width, width // 2))
            width //= 2
        self.last = nn.Conv2d(width, channels, 1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)
        self._come_alive()

    def forward(self, noise: torch.Tensor | None = None) -> torch.Tensor:
        """Draw the channels, (channels, y, x).

        Parameters
        ----------
        noise
            Normal noise of the shape of `input`; ``None``: none, for display.
        """
        image: torch.Tensor = self.input  # type: ignore[assignment]
        if noise is not None:
            image = image + self.noise * noise
        height, width = image.shape[-2:]
        features = self._features(torch.cat([image, self.codes], dim=1))  # type: ignore[list-item]
        with torch.autocast(image.device.type, enabled=False):
            correction = self.last(features.float())[0, :, :height, :width]
        return self.guess + self.scale * correction  # type: ignore[operator]

    @torch.no_grad()
    def _come_alive(self) -> None:
        """Draw weights again where nothing reaches the last layer: such a network cannot learn.

        Of 200 networks with 1, 2, 4 and 8 filters, 70, 31, 1 and none are born so.
        """
        image = torch.cat([self.input, self.codes], dim=1)  # type: ignore[list-item]
        for _ in range(BIRTHS):
            if self._features(image).any():
                return
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d) and layer is not self.last:
                    layer.reset_parameters()

    def _features(self, image: torch.Tensor) -> torch.Tensor:
        """What the last layer weighs, (1, filters, y, x) with sides that can be halved."""
        height, width = image.shape[-2:]
        step = 2**self.levels
        image = functional.pad(image, (0, -width % step, 0, -height % step), mode="replicate")
        kept = []
        for level, block in enumerate(self.down):
            image = block(functional.max_pool2d(image, 2) if level else image)
            kept.append(image)
        for merge, block, finer in zip(self.merge, self.up, kept[-2::-1], strict=True):
            larger = functional.interpolate(image, scale_factor=2, mode="bilinear")
            image = block(torch.cat([merge(larger), finer], dim=1))
        return image


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        _convolution(inputs, outputs),
        nn.ReLU(inplace=True),
        _convolution(outputs, outputs),
        nn.ReLU(inplace=True),
    )


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="replicate")
