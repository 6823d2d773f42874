"""Frames where they lie in memory, in the form that compiled kernels read without a copy."""

from __future__ import annotations

import numpy as np
from numpy.lib.array_utils import byte_bounds

__all__ = ["flat_pixels", "readable"]


def readable(block: np.ndarray) -> np.ndarray:
    """Return the block in a form the kernel reads in place; a copy only where there is no other."""
    if block.dtype == bool:
        block = block.view(np.uint8)
    if block.dtype.kind == "f" and block.dtype.itemsize not in (4, 8):
        block = block.astype(np.float64 if block.dtype.itemsize > 8 else np.float32)
    in_place = (
        block.flags.aligned
        and (block.shape[3] == 1 or block.strides[3] == block.itemsize)
        and all(stride % block.itemsize == 0 for stride in block.strides)
    )
    return block if in_place else np.ascontiguousarray(block)


def flat_pixels(block: np.ndarray) -> tuple[np.ndarray, int, tuple[int, int, int]]:
    """Return the memory under a block as one row of machine-typed pixels, and how to walk it."""
    low, high = byte_bounds(block)
    native = block.view(np.ndarray).view(block.dtype.newbyteorder("="))
    ascending = native[tuple(slice(None, None, -1 if step < 0 else 1) for step in native.strides)]
    pixels = np.lib.stride_tricks.as_strided(
        ascending, ((high - low) // block.itemsize,), (block.itemsize,), writeable=False
    )
    start = (block.__array_interface__["data"][0] - low) // block.itemsize
    sy, sx, row = (stride // block.itemsize for stride in block.strides[:3])
    return pixels, start, (sy, sx, row)
