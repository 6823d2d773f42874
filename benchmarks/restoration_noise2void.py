"""Structure-aware Noise2Void: a small U-Net learns from the one noisy image that it restores.

After Krull, Buchholz and Jug (arXiv:1811.10980) and, for noise that is correlated along the fast
scan, Broaddus et al. (doi:10.1109/ISBIWorkshops50223.2020.9153336): at some pixels, these and their
neighbours along x are replaced by random values, and the network predicts what stood there. It
removes noise that it cannot predict; shifts of rows and the tail are to it part of the image.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

#: Steps of training, pixels each side of a blind one that are blind too, blind share of the pixels.
STEPS, STRIP, SHARE = 500, 4, 0.008


class _UNet(nn.Module):
    """Two levels, 32 and 64 channels: the size with which Noise2Void is commonly run."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first = _convolutions(1, width)
        self.second = _convolutions(width, 2 * width)
        self.bottom = _convolutions(2 * width, 2 * width)
        self.up_second = _convolutions(4 * width, width)
        self.up_first = _convolutions(2 * width, width)
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.first(image)
        middle = self.second(functional.max_pool2d(fine, 2))
        coarse = self.bottom(functional.max_pool2d(middle, 2))
        middle = self.up_second(torch.cat((middle, _doubled(coarse)), dim=1))
        return self.last(self.up_first(torch.cat((fine, _doubled(middle)), dim=1)))


def _convolutions(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.ReLU(),
    )


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2, mode="nearest")


def noise2void(image: np.ndarray, seed: int = 0) -> np.ndarray:
    """Train on `image` (y, x), fast scan along x, and return what the network makes of it.

    Both edges must be multiples of 4 px and at least 64 px.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    mean, spread = float(image.mean()), max(float(image.std()), 1e-12)
    whole = torch.from_numpy((image - mean) / spread).float()[None, None]
    network = _UNet()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        patches = _patches(whole[0, 0], rng)
        masked, blind = _blinded(patches, rng)
        loss = ((network(masked) - patches)[blind] ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        restored = network(whole)[0, 0].numpy()
    return restored * spread + mean


def _patches(image: Tensor, rng: np.random.Generator, count: int = 8, edge: int = 64) -> Tensor:
    """Random patches; turned upside down at random, which leaves the direction of the scan."""
    starts = rng.integers(0, np.array(image.shape) - edge + 1, (count, 2))
    patches = [image[y : y + edge, x : x + edge] for y, x in starts]
    return torch.stack([patch.flip(0) if rng.random() < 0.5 else patch for patch in patches])[
        :, None
    ]


def _blinded(patches: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Patches with random values in horizontal strips, and where the strips' middles are."""
    blind = torch.from_numpy(rng.random(tuple(patches.shape)) < SHARE)
    strips = functional.max_pool2d(
        blind.float(), (1, 2 * STRIP + 1), stride=1, padding=(0, STRIP)
    ).bool()
    # Values of other pixels of the patches: the histogram of the image stays.
    flat = patches.flatten()
    drawn = flat[torch.from_numpy(rng.integers(0, len(flat), len(flat)))].reshape(patches.shape)
    return torch.where(strips, drawn, patches), blind
