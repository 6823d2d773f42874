"""The published design of AIRPI: a network that sees 3 × 3 patterns and draws the exit wave.

After T. Friedrich, C.-P. Yu, J. Verbeeck and S. Van Aert (thesis of T. Friedrich, section 4.2.4): a
U-Net with three convolutions per level, batch normalisation and two heads, of which one corrects
the amplitude of the probe and the other its phase. The published one has dropout, too, of which
training on examples that never come again has no use.

There the probe is given, and the wave drawn, in real space, and convolutions have to learn a
Fourier transform from the patterns to it. Here both are spectra, which lie on the pixels of the
patterns: the amplitude of the wave's spectrum *is* the square root of a pattern.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn

__all__ = ["CHANNELS", "EXIT_WAVE_DESIGN", "EXIT_WAVE_VERSION", "FILTERS", "ExitWaveNetwork"]

#: Written into files of weights.
EXIT_WAVE_DESIGN, EXIT_WAVE_VERSION = "airpi exit wave", 1

#: Nine patterns, and amplitude and phase of the probe's spectrum.
CHANNELS = 11

#: Channels of the first level, as published.
FILTERS = 32

#: Levels, and convolutions of each.
LEVELS, CONVOLUTIONS = 3, 3

#: Heads begin at next to nothing.
SMALL = 0.1


class ExitWaveNetwork(nn.Module):
    """Find the wave behind the specimen.

    Parameters
    ----------
    filters
        Channels of the first level, doubled at each.
    """

    def __init__(self, filters: int = FILTERS) -> None:
        super().__init__()
        widths = [filters * 2**level for level in range(LEVELS + 1)]
        self.first = _followed(nn.Conv2d(CHANNELS, filters, 3, padding=1), filters)
        self.down = nn.ModuleList(_convolutions(width, width) for width in widths[:-1])
        self.coarser = nn.ModuleList(
            _followed(nn.Conv2d(width, wider, 3, stride=2, padding=1), wider)
            for width, wider in itertools.pairwise(widths)
        )
        self.finer = nn.ModuleList(
            _followed(
                nn.ConvTranspose2d(wider, width, 3, stride=2, padding=1, output_padding=1), width
            )
            for width, wider in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(_convolutions(2 * width, width) for width in widths[:-1])
        self.amplitude = nn.Conv2d(filters, 1, 3, padding=1)
        self.phase = nn.Conv2d(filters, 1, 3, padding=1)
        self.scales = nn.Parameter(torch.full((2,), SMALL))

    def forward(self, channels: torch.Tensor, probe: torch.Tensor) -> torch.Tensor:
        """Return the waves.

        Parameters
        ----------
        channels
            (n, `CHANNELS`, 64, 64), as `stem_plugins.rapid_phase_imaging.exit_wave_inputs` makes
            them.
        probe
            Wave at half the height of the specimen, (n, 64, 64) or (64, 64) complex.

        Returns
        -------
        Tensor
            (n, 64, 64) complex, in the unit of the probe.
        """
        image = self.first(channels)
        kept = []
        for level, coarser in zip(self.down, self.coarser, strict=True):
            image = level(image)
            kept.append(image)
            image = coarser(image)
        for number in reversed(range(LEVELS)):
            image = self.up[number](torch.cat([self.finer[number](image), kept[number]], dim=1))
        shifted = torch.fft.ifftshift(probe, dim=(-2, -1))
        spectrum = torch.fft.fftshift(torch.fft.fft2(shifted, norm="ortho"), dim=(-2, -1))
        highest = spectrum.abs().amax(dim=(-2, -1), keepdim=True)
        amplitude = spectrum.abs() + highest * self.amplitude(image)[:, 0] * self.scales[0]
        phase = torch.angle(spectrum) + self.phase(image)[:, 0] * self.scales[1]
        drawn = torch.polar(amplitude.clamp_min(0), phase)
        waves = torch.fft.ifft2(torch.fft.ifftshift(drawn, dim=(-2, -1)), norm="ortho")
        return torch.fft.fftshift(waves, dim=(-2, -1))


def _followed(convolution: nn.Module, width: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.SiLU())


def _convolutions(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        *(
            _followed(nn.Conv2d(width if number else inputs, width, 3, padding=1), width)
            for number in range(CONVOLUTIONS)
        )
    )
