"""What the 4D-STEM browser knows beside its widgets: patterns, beam, units, preset detectors."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.ndimage import uniform_filter

from stem_plugins.lazy.blocks import is_lazy
from stem_plugins.napari.regions import Annulus
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength

if TYPE_CHECKING:
    import dask.array

__all__ = [
    "BeamDisc",
    "DiffractionUnit",
    "PatternReader",
    "beam_disc",
    "diffraction_units",
    "find_beam",
    "pattern_center_of_mass",
    "preset_detectors",
    "shown_intensity",
]

IntensityScale = Literal["linear", "square root", "logarithmic"]

#: Computed blocks of lazy data that are kept, so that neighbouring patterns come at once.
KEPT_BLOCKS = 2


@dataclasses.dataclass(frozen=True)
class DiffractionUnit:
    """A unit for lengths on the detector.

    Parameters
    ----------
    symbol
        ``"mrad"``, ``"1/nm"`` or ``"px"``.
    pixel_size
        Size of a detector pixel in it, (ky, kx).
    """

    symbol: str
    pixel_size: tuple[float, float]


def diffraction_units(acquisition: Acquisition) -> list[DiffractionUnit]:
    """Units that a calibration allows, the best first.

    Parameters
    ----------
    acquisition
        `diffraction_step` gives mrad, together with `beam_energy` 1/nm.

    Examples
    --------
    >>> [unit.symbol for unit in diffraction_units(Acquisition(diffraction_step=0.5))]
    ['mrad', 'px']
    >>> units = diffraction_units(Acquisition(diffraction_step=1, beam_energy=200))
    >>> units[1].symbol, round(units[1].pixel_size[0], 3)
    ('1/nm', 0.399)
    """
    units = [DiffractionUnit("px", (1.0, 1.0))]
    if acquisition.diffraction_step is not None:
        step_y, step_x = acquisition.diffraction_step
        if acquisition.beam_energy is not None:
            # Small angles: k = θ / λ, θ in mrad, λ in Å, k in 1/nm.
            per_mrad = 1e-3 / wavelength(acquisition.beam_energy) * 10
            units.insert(0, DiffractionUnit("1/nm", (step_y * per_mrad, step_x * per_mrad)))
        units.insert(0, DiffractionUnit("mrad", (step_y, step_x)))
    return units


@dataclasses.dataclass(frozen=True)
class BeamDisc:
    """The undiffracted beam on the detector.

    Parameters
    ----------
    center
        (ky, kx) [px].
    radius
        Of the disc, in the unit of the pixel size that it was found with.
    is_calibrated
        Whether the radius is the calibrated convergence angle; else it was measured.
    """

    center: tuple[float, float]
    radius: float
    is_calibrated: bool = False


def find_beam(pattern: np.ndarray, pixel_size: tuple[float, float] = (1.0, 1.0)) -> BeamDisc:
    """Measure the bright-field disc in a mean pattern.

    The disc is what is brighter than half of its own mean.

    Parameters
    ----------
    pattern
        (ky, kx), best averaged over many positions.
    pixel_size
        Of a detector pixel, in the unit wanted for the radius.

    Returns
    -------
    BeamDisc
        The centroid of the disc, and the radius of the circle of the same area. For a pattern
        without contrast: its middle, and a quarter of its shorter side.

    Examples
    --------
    >>> y, x = np.indices((64, 64))
    >>> disc = find_beam(np.hypot(y - 30, x - 33) < 12.0)
    >>> disc.center, round(disc.radius)
    ((30.0, 33.0), 12)
    """
    smooth = uniform_filter(np.nan_to_num(np.asarray(pattern, np.float64)), 3, mode="nearest")
    middle = ((smooth.shape[0] - 1) / 2, (smooth.shape[1] - 1) / 2)
    sides = [n * size for n, size in zip(smooth.shape, pixel_size, strict=True)]
    if not smooth.max() > max(smooth.min(), 0):
        return BeamDisc(middle, min(sides) / 4)
    inside = smooth > smooth.max() / 2
    for _ in range(4):
        inside = smooth > smooth[inside].mean() / 2
    y, x = (float(place.mean()) for place in np.nonzero(inside))
    area = np.count_nonzero(inside) * pixel_size[0] * pixel_size[1]
    return BeamDisc((round(y, 2), round(x, 2)), math.sqrt(area / math.pi))


def beam_disc(pattern: np.ndarray, acquisition: Acquisition, unit: DiffractionUnit) -> BeamDisc:
    """Undiffracted beam from the calibration, and from the mean pattern what that leaves open.

    Parameters
    ----------
    pattern
        Mean pattern, (ky, kx).
    acquisition
        Uses `center`, `convergence_angle` and `diffraction_step`.
    unit
        For the radius.
    """
    found = find_beam(pattern, unit.pixel_size)
    center = acquisition.center or found.center
    if acquisition.convergence_angle is None or acquisition.diffraction_step is None:
        return BeamDisc(center, found.radius)
    radius = acquisition.convergence_angle * unit.pixel_size[1] / acquisition.diffraction_step[1]
    return BeamDisc(center, radius, is_calibrated=True)


def preset_detectors(
    beam: BeamDisc, detector_shape: tuple[int, int], unit: DiffractionUnit
) -> dict[str, Annulus]:
    """Usual detectors for a beam with the convergence semi-angle α.

    Parameters
    ----------
    beam
        Centre, and α as the radius in `unit`.
    detector_shape
        (ky, kx) [px].
    unit
        For the radii.

    Returns
    -------
    dict
        ``BF`` from 0 to α, ``ABF`` from α/2 to α, ``ADF`` from 1.1 α to the nearest edge of the
        detector (left out where the disc fills it).

    Examples
    --------
    >>> unit = DiffractionUnit("mrad", (1.0, 1.0))
    >>> presets = preset_detectors(BeamDisc((31.5, 31.5), 10.0), (64, 64), unit)
    >>> [(name, ring.inner, ring.outer) for name, ring in presets.items()]
    [('BF', 0.0, 10.0), ('ABF', 5.0, 10.0), ('ADF', 11.0, 32.0)]
    """
    center = (round(beam.center[0], 2), round(beam.center[1], 2))
    radii = {"BF": (0.0, 1.0), "ABF": (0.5, 1.0)}
    detectors = {
        name: Annulus(
            center, _rounded(inner * beam.radius), _rounded(outer * beam.radius), unit.pixel_size
        )
        for name, (inner, outer) in radii.items()
    }
    to_edges = [
        min(place + 0.5, n - 0.5 - place) * size
        for place, n, size in zip(center, detector_shape, unit.pixel_size, strict=True)
    ]
    inner, outer = 1.1 * beam.radius, min(to_edges)
    if outer > inner + min(unit.pixel_size):
        detectors["ADF"] = Annulus(center, _rounded(inner), _rounded(outer), unit.pixel_size)
    return detectors


def _rounded(length: float) -> float:
    return float(f"{length:.4g}")


def shown_intensity(pattern: np.ndarray, scale: IntensityScale) -> np.ndarray:
    """Values that are shown for a pattern.

    Parameters
    ----------
    pattern
        (ky, kx).
    scale
        ``"logarithmic"`` is ``log10(1 + I)`` for counts. Mean patterns and other small values are
        multiplied first, so that their smallest value above zero counts as one: the logarithm
        would not reach them otherwise. Values below zero count as zero except on the linear scale.

    Returns
    -------
    numpy.ndarray
        (ky, kx) float32.

    Examples
    --------
    >>> shown_intensity(np.array([[0, 9, 99]]), "logarithmic")
    array([[0., 1., 2.]], dtype=float32)
    >>> shown_intensity(np.array([[0, 9, 16]]), "square root")
    array([[0., 3., 4.]], dtype=float32)
    """
    values = np.asarray(pattern, np.float32)
    if scale == "linear":
        return values
    values = np.maximum(values, 0)
    if scale == "square root":
        return np.sqrt(values)
    above = values[values > 0]
    smallest = float(above.min()) if above.size else 1.0
    return np.log10(1 + values / min(smallest, 1.0))


def pattern_center_of_mass(pattern: np.ndarray) -> tuple[float, float] | None:
    """Centre of mass of a pattern [px], (ky, kx); ``None`` where it is empty.

    Parameters
    ----------
    pattern
        (ky, kx); NaN counts as zero.

    Examples
    --------
    >>> pattern_center_of_mass(np.array([[0, 0], [1, 3]]))
    (1.0, 0.75)
    """
    values = np.nan_to_num(np.asarray(pattern, np.float64))
    total = values.sum()
    if not total > 0:
        return None
    y = float(values.sum(axis=1) @ np.arange(values.shape[0]) / total)
    x = float(values.sum(axis=0) @ np.arange(values.shape[1]) / total)
    return y, x


class PatternReader:
    """Single patterns of a scan, fast enough to follow a mouse.

    Blocks of lazy data are kept after their first use. Blocks of a Merlin file are views into the
    file and take no memory.

    Parameters
    ----------
    data
        (scan_y, scan_x, ky, kx), NumPy or dask.
    """

    def __init__(self, data: np.ndarray | dask.array.Array) -> None:
        self._data = data
        self._blocks: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()
        self._edges = []
        if is_lazy(data):
            self._edges = [np.cumsum([0, *chunks]) for chunks in data.chunks[:2]]
            self._tasks = data.to_delayed()

    def pattern(self, y: int, x: int) -> np.ndarray:
        """Pattern at a scan position, (ky, kx), in the data's own type.

        Parameters
        ----------
        y, x
            Scan position.
        """
        if not self._edges:
            return np.asarray(self._data[y, x])
        i, j = (
            int(np.searchsorted(edges, place, side="right")) - 1
            for edges, place in zip(self._edges, (y, x), strict=True)
        )
        inside = (y - int(self._edges[0][i]), x - int(self._edges[1][j]))
        rows = [
            np.concatenate(
                [self._block((i, j, m, n))[inside] for n in range(self._tasks.shape[3])], 1
            )
            for m in range(self._tasks.shape[2])
        ]
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    def _block(self, index: tuple[int, ...]) -> np.ndarray:
        if index not in self._blocks:
            self._blocks[index] = np.asarray(self._tasks[index].compute(scheduler="synchronous"))
            most = KEPT_BLOCKS * self._tasks.shape[2] * self._tasks.shape[3]
            while len(self._blocks) > most:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(index)
        return self._blocks[index]

    def sample_mean(self, positions: int = 64) -> np.ndarray:
        """Mean of some patterns of the middle scan row: a first look before any pass.

        Parameters
        ----------
        positions
            At most so many.

        Returns
        -------
        numpy.ndarray
            (ky, kx) float64; NaN and infinite pixels count as zero.
        """
        row, columns = self._data.shape[0] // 2, self._data.shape[1]
        chosen = range(0, columns, max(1, math.ceil(columns / positions)))
        patterns = [np.asarray(self.pattern(row, x), np.float64) for x in chosen]
        return np.mean([np.nan_to_num(p, posinf=0, neginf=0) for p in patterns], axis=0)
