"""A 4D-STEM scan as every reader returns it: counts, calibration, and what the file says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    import dask.array
    import numpy as np

__all__ = ["Scan"]


@dataclasses.dataclass(frozen=True)
class Scan:
    """A 4D-STEM scan with its calibration.

    Parameters
    ----------
    data
        Counts, ``data[scan_y, scan_x, ky, kx]``, NumPy or dask.
    acquisition
        What is known of the calibration.
    metadata
        What else the file says, by the file's own names.
    largest_count
        Most that a pixel can count, where the file says it: patterns that reach it are saturated.
    """

    data: np.ndarray | dask.array.Array
    acquisition: Acquisition = dataclasses.field(default_factory=Acquisition)
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    largest_count: int | None = None
