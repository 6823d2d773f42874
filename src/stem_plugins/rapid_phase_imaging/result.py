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
    """The phase of a thin specimen, and its transmission function.

    Parameters
    ----------
    phase
        (y, x) float32 [rad], of mean zero; atoms are bright. NumPy, or dask for dask data. It is
        not wrapped: heavy columns may have more than π.
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
    consistency
        For each position, or box of positions: how far the recorded pattern is from the one that
        the image predicts, in units of the noise of counting; 1 where the image explains all. For
        dask data a dask array; ``None`` where it was not asked for.
    """

    phase: Any
    sampling: tuple[float, float]
    origin: tuple[float, float]
    coverage: NDArray[np.float32]
    repeat: int
    parameters: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    consistency: Any = None

    @property
    def transmission(self) -> Any:
        """Transmission function ``exp(iφ)``, (y, x) complex64."""
        if isinstance(self.phase, np.ndarray):
            return np.exp(1j * self.phase).astype(np.complex64)
        import dask.array as da

        return da.exp(1j * self.phase).astype(np.complex64)
