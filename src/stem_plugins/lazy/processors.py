"""Which processor torch computes on, and with how many threads."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterator

from stem_plugins.lazy.blocks import thread_count

__all__ = ["torch_device", "torch_threads"]

_DEVICES = "device must be 'auto', 'cpu', 'cuda' or one of several GPUs, such as 'cuda:1'"


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
    TypeError
        It is no name.

    Examples
    --------
    >>> torch_device("cpu")
    'cpu'
    """
    import torch

    if isinstance(wanted, torch.device):
        wanted = str(wanted)
    if not isinstance(wanted, str):
        raise TypeError(f"{_DEVICES}, not {wanted!r}.")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # Some devices, such as "meta", give room but no numbers.
        torch.zeros(1, device=wanted).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        # Why a GPU cannot be used, its user wants to know: no driver, too old, full.
        why = f": {error}".partition("\n")[0].rstrip(".") if wanted.startswith("cuda") else ""
        raise ValueError(
            f"{_DEVICES}, not {wanted!r}, which cannot be used here{why}. device='auto' takes a "
            "GPU if there is one, and otherwise the processor."
        ) from error
    return wanted


@contextlib.contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Set torch's threads for a while. Two that wait for one core are slower than one by far.

    Parameters
    ----------
    count
        Threads; ``None``: as many as there are cores.

    Raises
    ------
    ValueError
        The count is no whole number from 1.
    """
    import torch

    if count is not None and not _is_count(count):
        raise ValueError(
            f"threads must be a whole number from 1, or None for as many as there are cores, "
            f"not {count!r}."
        )
    before = torch.get_num_threads()
    torch.set_num_threads(thread_count() if count is None else int(count))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _is_count(value: object) -> bool:
    # Above, torch's own number of threads overflows.
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and 1 <= int(value) < 2**31  # type: ignore[call-overload]
