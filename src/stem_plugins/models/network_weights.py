"""Weights of a file into a network of torch."""

from __future__ import annotations

import numpy as np
import torch

from stem_plugins.models.weights_file import Weights, check_tensors

__all__ = ["fill_network"]


def fill_network(network: torch.nn.Module, weights: Weights) -> None:
    """Give a network the weights of a file, in single precision.

    Parameters
    ----------
    network
        Changed in place.
    weights
        As read from a file.

    Raises
    ------
    ValueError
        Tensors are missing, too many, or of another shape.
    """
    # How many batches were normalised is of no use afterwards, and not in the files.
    shapes = {
        name: tuple(value.shape)
        for name, value in network.state_dict().items()
        if value.is_floating_point()
    }
    check_tensors(weights, shapes)
    tensors = {
        name: torch.from_numpy(np.asarray(value, "f4")) for name, value in weights.tensors.items()
    }
    network.load_state_dict(tensors, strict=False)
