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
        (y, x) float32 [rad], of mean zero; atoms are bright. NumPy, or dask for dask data. The
        default design does not wrap it: heavy columns may have more than π. The exit-wave design
        knows it from -π/2 to 3π/2 of vacuum.
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
    amplitude
        Modulus of the transmission function by the exit-wave design, (y, x), about 1; ``None``:
        the default design takes the specimen for a phase object.
    """

    phase: Any
    sampling: tuple[float, float]
    origin: tuple[float, float]
    coverage: NDArray[np.float32]
    repeat: int
    parameters: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    consistency: Any = None
    amplitude: Any = None

    @property
    def transmission(self) -> Any:
        """Transmission function ``A exp(iφ)``, (y, x) complex64."""
        # NumPy's function calls dask's for a dask array.
        wave = np.exp(1j * self.phase)
        return (wave if self.amplitude is None else self.amplitude * wave).astype(np.complex64)
