"""What AIRPI hands over."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AirpiResult"]


@dataclasses.dataclass(frozen=True, eq=False)
class AirpiResult:
    """The transmission function of a thin specimen.

    Parameters
    ----------
    object
        (y, x) complex64, ``exp(iφ)``: the argument is the phase φ [rad], of mean zero; atoms are
        bright. NumPy, or dask for dask data.
    sampling
        Pixel (y, x) [Å].
    origin
        Place of pixel (0, 0) in the frame of the scan [Å], (y, x).
    coverage
        How many probes light each pixel, by the part of the beam that falls onto it, over what the
        middle of a large scan gets, (y, x): 1 inside, less at the edges and between positions that
        are far apart.
    repeat
        Edge of the box of patterns that were summed into one.
    parameters
        What made it.
    notes
        What was chosen, and why.
    """

    object: Any
    sampling: tuple[float, float]
    origin: tuple[float, float]
    coverage: NDArray[np.float32]
    repeat: int
    parameters: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def phase(self) -> Any:
        """Phase [rad], (y, x)."""
        if isinstance(self.object, np.ndarray):
            return np.angle(self.object)
        import dask.array as da

        return da.angle(self.object)
