"""Weights that no version, or only a later one, can use."""

import numpy as np

from stem_plugins.models import save_weights

TENSORS = {"a": np.ones(64, np.float32)}


def damaged_weights(path):
    """Write weights and change one bit of them, as a bad disk does."""
    from stem_plugins.restoration.row_aware_network import DESIGN, DESIGN_VERSION

    save_weights(path, TENSORS, design=DESIGN, version=DESIGN_VERSION)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    return path


def newer_weights(path):
    """Write weights as a later version of the package will."""
    from stem_plugins.restoration.row_aware_network import DESIGN, DESIGN_VERSION

    return save_weights(path, TENSORS, design=DESIGN, version=DESIGN_VERSION + 1)
