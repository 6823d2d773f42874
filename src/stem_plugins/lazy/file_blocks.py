"""The layer of a dask graph whose tasks read blocks of frames from a file.

Apart from `stem_plugins.lazy.blocks`, so that only those who have lazy data import dask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from dask.highlevelgraph import MaterializedLayer

__all__ = ["FileBlocks"]


class FileBlocks(MaterializedLayer):
    """Tasks that read, and the function by which they do.

    Parameters
    ----------
    tasks
        By key, as dask has them.
    read
        As for `stem_plugins.lazy.array_of_blocks`.
    """

    def __init__(self, tasks: Mapping[Any, Any], read: Callable[..., np.ndarray]) -> None:
        super().__init__(tasks)
        self.read = read
