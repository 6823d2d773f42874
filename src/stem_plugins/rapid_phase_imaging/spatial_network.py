"""The default network of AIRPI: it corrects direct ptychography by what single patterns say.

A linear map turns the cells of each pattern into 32 numbers, learned virtual detectors; a U-Net
over the scan looks at these and at images by direct ptychography, knows dose, step and lens, and
draws a correction at the scan positions and halfway between them. There are no normalisation
layers, and no gate: one that was tried closed in the first minutes of training and never opened.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional

from stem_plugins.rapid_phase_imaging.inputs import CHANNELS, CONDITIONS

__all__ = ["DESIGN", "DESIGN_VERSION", "SpatialNetwork"]

#: Written into files of weights.
DESIGN, DESIGN_VERSION = "airpi spatial network", 1

#: Learned virtual detectors.
DETECTORS = 32

#: Channels of the levels of the U-Net.
WIDTHS = (48, 64, 96)

#: Residual blocks of a level, down and up.
BLOCKS = 2


class SpatialNetwork(nn.Module):
    """Correct direct ptychography.

    Parameters
    ----------
    widths
        Channels of the levels, each of half the resolution of the one before.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.detectors = nn.Conv2d(CHANNELS, DETECTORS, 1)
        self.told = nn.Sequential(
            nn.Linear(CONDITIONS, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU()
        )
        self.first = nn.Conv2d(DETECTORS, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_Level(width) for width in widths)
        self.coarser = nn.ModuleList(
            nn.Conv2d(width, wider, 2, stride=2) for width, wider in itertools.pairwise(widths)
        )
        self.finer = nn.ModuleList(
            nn.ConvTranspose2d(wider, width, 2, stride=2)
            for width, wider in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(_Level(width) for width in widths[:-1])
        self.last = nn.Conv2d(widths[0], 4, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(
        self, channels: torch.Tensor, conditions: torch.Tensor, base: torch.Tensor
    ) -> torch.Tensor:
        """Return the phase at the positions and between them, in the unit of the base.

        Parameters
        ----------
        channels
            (scans, `CHANNELS`, y, x); both sides can be divided by four.
        conditions
            (scans, `CONDITIONS`).
        base
            Direct ptychography, (scans, 2 y, 2 x).
        """
        told = self.told(conditions)
        image = self.first(self.detectors(channels))
        kept = []
        for number, level in enumerate(self.down):
            image = level(self.coarser[number - 1](image) if number else image, told)
            kept.append(image)
        for number in reversed(range(len(self.up))):
            image = self.up[number](self.finer[number](image) + kept[number], told)
        return base + functional.pixel_shuffle(self.last(image), 2)[:, 0]


class _Level(nn.Module):
    """Blocks at one resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(width) for _ in range(BLOCKS))

    def forward(self, image: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            image = block(image, told)
        return image


class _Block(nn.Module):
    """Two convolutions beside which the image passes; conditions scale and shift in between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(width, width, 3, padding=1)
        self.two = nn.Conv2d(width, width, 3, padding=1)
        self.told = nn.Linear(64, 2 * width)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)

    def forward(self, image: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        scale, shift = self.told(told)[:, :, None, None].chunk(2, dim=1)
        inner = self.one(functional.silu(image))
        return image + self.two(functional.silu(inner * (1 + scale) + shift))
