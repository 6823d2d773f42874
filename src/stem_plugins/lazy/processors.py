"""Which processor torch computes on, and with how many threads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from stem_plugins.lazy.blocks import thread_count

__all__ = ["torch_device", "torch_threads"]


def torch_device(wanted: str) -> str:
    """Return torch's name of a device that can be used.

    Parameters
    ----------
    wanted
        ``"auto"``: a GPU if torch sees one, otherwise the processor; or torch's name of a device.

    Raises
    ------
    ValueError
        The device cannot be used here.

    Examples
    --------
    >>> torch_device("cpu")
    'cpu'
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"The device {wanted!r} cannot be used here: {error}. device='auto' takes a GPU if "
            "there is one, and otherwise the processor."
        ) from error
    return wanted


@contextlib.contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Set torch's threads for a while. Two that wait for one core are slower than one by far.

    Parameters
    ----------
    count
        Threads; ``None``: as many as there are cores.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or thread_count())
    try:
        yield
    finally:
        torch.set_num_threads(before)
