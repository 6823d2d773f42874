"""The two designs of AIRPI by name, and their networks as files of weights have them."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch

from stem_plugins.models import Weights, load_weights, weights_header
from stem_plugins.models.network_weights import fill_network
from stem_plugins.models.registry import find_airpi_weights
from stem_plugins.rapid_phase_imaging.exit_wave_network import (
    EXIT_WAVE_DESIGN,
    EXIT_WAVE_VERSION,
    ExitWaveNetwork,
)
from stem_plugins.rapid_phase_imaging.spatial_network import DESIGN, DESIGN_VERSION, SpatialNetwork

__all__ = ["DESIGNS", "EXIT_WAVE", "SPATIAL", "find_network", "load_network"]

#: What users call the designs.
SPATIAL, EXIT_WAVE = "spatial", "exit-wave"

#: What files of weights call them, and the newest version.
DESIGNS = {SPATIAL: (DESIGN, DESIGN_VERSION), EXIT_WAVE: (EXIT_WAVE_DESIGN, EXIT_WAVE_VERSION)}


def find_network(model: str | Path, design: str | None) -> tuple[Path, str]:
    """Find the weights of a network, and which design it is of.

    Parameters
    ----------
    model
        As for `stem_plugins.models.registry.find_airpi_weights`.
    design
        A name of `DESIGNS`; ``None``: that of the weights.

    Raises
    ------
    FileNotFoundError, ValueError
        There are no such weights, or they are of another design.
    """
    if design is not None and design not in DESIGNS:
        raise ValueError(f"design must be one of {', '.join(DESIGNS)}, not {design!r}.")
    path = find_airpi_weights(model, design or SPATIAL)
    names = {word: name for name, (word, _) in DESIGNS.items()}
    # What reads the tensors says what is wrong with other designs.
    found = names.get(weights_header(path).design, design or SPATIAL)
    if design not in (None, found):
        raise ValueError(
            f"The model {str(model)!r} holds weights of the {found} design, not of {design}. Leave "
            "design out, or give another model."
        )
    return path, found


@functools.lru_cache(maxsize=2)
def load_network(path: Path, stamp: int, device: str) -> torch.nn.Module:
    """Read the network of a file of weights.

    Parameters
    ----------
    path
        Of a ``.safetensors`` file.
    stamp
        When it was written: a file that was written anew is read anew.
    device
        Of torch.

    Raises
    ------
    ValueError
        The file is damaged, or of no design of AIRPI.
    """
    del stamp
    weights = load_weights(path, designs=dict(DESIGNS.values()))
    if weights.design == DESIGN:
        network: torch.nn.Module = SpatialNetwork()
    else:
        network = ExitWaveNetwork(_filters(weights))
    fill_network(network, weights)
    network.to(device).eval()
    # Channels last is faster on processors.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _filters(weights: Weights) -> int:
    """Channels of the first level; what other tensors have is checked against it."""
    first = weights.tensors.get("first.0.weight", np.empty(0))
    return max(1, len(first))
