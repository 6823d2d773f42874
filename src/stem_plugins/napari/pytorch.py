"""PyTorch as the panels need it: at hand or not, and with how many threads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from stem_plugins.lazy.blocks import thread_count

__all__ = ["needing_pytorch", "spare_threads"]


@contextlib.contextmanager
def needing_pytorch(method: str) -> Iterator[None]:
    """Say how to install PyTorch where what is inside does not find it.

    Parameters
    ----------
    method
        Which needs it, as a sentence begins with it.

    Raises
    ------
    ImportError
        PyTorch is not installed.

    Examples
    --------
    >>> with needing_pytorch("AIRPI"):
    ...     raise ModuleNotFoundError("No module named 'torch'", name="torch")
    Traceback (most recent call last):
        ...
    ImportError: AIRPI needs PyTorch, which is not installed: pip install 'stem-plugins[torch]'.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(
            f"{method} needs PyTorch, which is not installed: pip install 'stem-plugins[torch]'."
        ) from error


def spare_threads() -> int:
    """Processor threads for work beside the viewer, for which one core is left."""
    return max(1, thread_count() - 1)
