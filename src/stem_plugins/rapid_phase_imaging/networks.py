"""The two designs of AIRPI by name, and their networks as files of weights have them."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch

from stem_plugins.models import Weights, check_tensors, load_weights
from stem_plugins.rapid_phase_imaging.exit_wave_network import (
    EXIT_WAVE_DESIGN,
    EXIT_WAVE_VERSION,
    ExitWaveNetwork,
)
from stem_plugins.rapid_phase_imaging.spatial_network import DESIGN, DESIGN_VERSION, SpatialNetwork

__all__ = ["DESIGNS", "EXIT_WAVE", "SPATIAL", "load_network"]

#: What users call the designs.
SPATIAL, EXIT_WAVE = "spatial", "exit-wave"

#: What files of weights call them, and the newest version.
DESIGNS = {SPATIAL: (DESIGN, DESIGN_VERSION), EXIT_WAVE: (EXIT_WAVE_DESIGN, EXIT_WAVE_VERSION)}


@functools.lru_cache(maxsize=2)
def load_network(path: Path, stamp: int, device: str) -> tuple[torch.nn.Module, str]:
    """Read the network of a file of weights.

    Parameters
    ----------
    path
        Of a ``.safetensors`` file.
    stamp
        When it was written: a file that was written anew is read anew.
    device
        Of torch.

    Returns
    -------
    tuple
        The network, and the name of its design.

    Raises
    ------
    ValueError
        The file is damaged, or of no design of AIRPI.
    """
    del stamp
    weights = load_weights(path, designs=dict(DESIGNS.values()))
    design = next(name for name, (word, _) in DESIGNS.items() if word == weights.design)
    network = SpatialNetwork() if design == SPATIAL else ExitWaveNetwork(_filters(weights))
    # Counts of batches are not in the files.
    shapes = {
        name: tuple(value.shape)
        for name, value in network.state_dict().items()
        if value.is_floating_point()
    }
    check_tensors(weights, shapes)
    tensors = {name: np.asarray(value, "f4") for name, value in weights.tensors.items()}
    network.load_state_dict(
        {name: torch.from_numpy(value) for name, value in tensors.items()}, strict=False
    )
    network.to(device).eval()
    # Channels last is faster on processors.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, design


def _filters(weights: Weights) -> int:
    """Channels of the first level; what other tensors have is checked against it."""
    first = weights.tensors.get("first.0.weight", np.empty(0))
    return max(1, len(first))
