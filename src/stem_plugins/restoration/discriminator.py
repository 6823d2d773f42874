"""The critic of adversarial training: does a patch look like a real image, relative to others?

The 70 × 70 patch discriminator of pix2pix (P. Isola et al., arXiv:1611.07004) as changed for the
published restoration networks (thesis, fig. 2.11): no zero padding, instance normalisation, and
an output that is not squashed, because the relativistic losses compare it between images.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["PatchDiscriminator"]


class PatchDiscriminator(nn.Module):
    """Score overlapping patches of 70 × 70 pixels; higher means more like a real image.

    Parameters
    ----------
    channels
        1 for the image alone, 2 where the distorted image comes with it as second channel
        (the conditional form of eq. 2.43).
    features
        Channels of the first layer.

    Notes
    -----
    Five convolutions of 4 × 4 with strides 2, 2, 2, 1, 1. The source removes zero padding and
    gives a result of 32 × 32 for images of 256 × 256; both hold where edges are reflected, as
    they are here.

    Examples
    --------
    >>> import torch
    >>> PatchDiscriminator()(torch.zeros(2, 1, 256, 256)).shape
    torch.Size([2, 1, 32, 32])
    """

    def __init__(self, channels: int = 1, features: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_layer(channels, features, stride=2, normalise=False),
            *_layer(features, 2 * features, stride=2),
            *_layer(2 * features, 4 * features, stride=2),
            *_layer(4 * features, 8 * features, stride=1),
            *_reflecting_convolution(8 * features, 1, stride=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Score images.

        Parameters
        ----------
        image
            Shape (batch, channels, y, x), standardised, y and x at least 24.

        Returns
        -------
        torch.Tensor
            Shape (batch, 1, y // 8, x // 8): one unbounded score C per patch.

        Raises
        ------
        ValueError
            The images are too small for the edges to be reflected.
        """
        if min(image.shape[-2:]) < 24:
            raise ValueError(
                f"The discriminator needs images of at least 24 × 24 px, not {tuple(image.shape)}."
            )
        score: Tensor = self.layers(image)
        return score


def _layer(inputs: int, outputs: int, *, stride: int, normalise: bool = True) -> list[nn.Module]:
    normalisation = [nn.InstanceNorm2d(outputs, affine=True)] if normalise else []
    return [
        *_reflecting_convolution(inputs, outputs, stride=stride),
        *normalisation,
        nn.LeakyReLU(0.2, inplace=True),
    ]


def _reflecting_convolution(inputs: int, outputs: int, *, stride: int) -> list[nn.Module]:
    """A 4 × 4 convolution that divides the size by its stride and never sees zeros outside."""
    edges = (1, 1, 1, 1) if stride == 2 else (1, 2, 1, 2)
    return [nn.ReflectionPad2d(edges), nn.Conv2d(inputs, outputs, 4, stride=stride)]
