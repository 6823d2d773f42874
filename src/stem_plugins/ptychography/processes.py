"""Several processes that share the positions of a scan, each with its own GPU or processor core.

They are those of torch.distributed: where its default group is there, every process computes its
share of the patterns, and gradients are added up. All else, which is the same everywhere, every
process does for itself.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

__all__ = ["add_up", "agree", "is_first", "joined", "own_share", "process_count"]


def process_count() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if _together() else 1


def is_first() -> bool:
    """Whether this is the process that writes and speaks."""
    return not _together() or distributed.get_rank() == 0


def own_share(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Positions of this process among the chosen ones: neighbours, which are read together.

    Parameters
    ----------
    chosen
        Which positions, (n,), row by row of the scan.
    """
    if process_count() == 1:
        return chosen
    share = np.zeros_like(chosen)
    share[np.array_split(np.flatnonzero(chosen), process_count())[distributed.get_rank()]] = True
    return share


def add_up(tensors: Sequence[torch.Tensor]) -> None:
    """Replace tensors, in place, by their sums over all processes."""
    if process_count() > 1:
        for tensor in tensors:
            distributed.all_reduce(tensor)


def agree(wish: bool) -> bool:
    """Whether any process wishes it."""
    if process_count() == 1:
        return wish
    wishes = torch.tensor([float(wish)], device="cuda" if _backend() == "nccl" else "cpu")
    distributed.all_reduce(wishes)
    return wishes.item() > 0


@contextlib.contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the other processes that ``torchrun`` has started, if it has.

    Parameters
    ----------
    device
        Of torch. ``"cuda"`` becomes the GPU of this process.

    Yields
    ------
    str
        The device of this process.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or _together():
        yield device
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _backend() -> str:
    return str(distributed.get_backend())
