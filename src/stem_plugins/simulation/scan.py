"""4D-STEM data of a known specimen: what a pixelated detector would record.

Each scan position sends its own probe through the specimen (one slice or multislice, with
smeared or frozen phonons) and records ``|FFT ψ|²`` on the detector's own pixels: rotation, flip,
beam centre and descan are built into the calculation, nothing is interpolated. Poisson counts
follow from a finite dose.
"""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import interaction_constant
from stem_plugins.simulation.crystals import Atoms
from stem_plugins.simulation.patterns import PatternSimulator, detector_geometry, pattern_simulator
from stem_plugins.simulation.specimen import (
    detector_frame,
    potential_on_grid,
    transmission_windows,
)

__all__ = ["SimulatedScan", "iter_simulate_scan", "simulate_scan"]

#: Scan steps below this [Å] are taken for a mistake in the unit.
SMALLEST_STEP = 0.01

#: Wraps the iterator over rows to show or stop it, as ``tqdm.tqdm`` does.
Progress = Callable[..., Iterable[NDArray]]


@dataclasses.dataclass(frozen=True, eq=False)
class SimulatedScan:
    """Simulated 4D-STEM data and the truth behind them.

    Parameters
    ----------
    data
        ``data[scan_y, scan_x, ky, kx]``: counts, or the expected part of the beam per pixel.
    acquisition
        The calibration that the data were made with, complete.
    potential
        Projected potential at the scan positions [V Å], shape (scan_y, scan_x), band-limited to
        the scan grid.
    """

    data: NDArray
    acquisition: Acquisition
    potential: NDArray[np.floating]

    @property
    def phase(self) -> NDArray[np.floating]:
        """Phase that the projected potential gives to the electrons, σV [rad]."""
        assert self.acquisition.beam_energy is not None
        return interaction_constant(self.acquisition.beam_energy) * self.potential


@dataclasses.dataclass(frozen=True, eq=False)
class _Experiment:
    """A scan that is ready to run, row by row."""

    acquisition: Acquisition
    simulator: PatternSimulator
    places: NDArray[np.float64]
    shifts: NDArray[np.float64]
    configurations: int
    phonons_per_position: int
    electrons: float | None
    dtype: np.dtype
    entropy: int

    def row(self, index: int) -> NDArray:
        """Patterns of one scan row, shape (scan_x, ky, kx)."""
        rng = np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=(1, index)))
        places, shifts = self.places[index], self.shifts[index]
        # Each position draws its phonons anew, without drawing one twice.
        order = np.argsort(rng.random((len(places), max(1, self.configurations))), axis=1)
        passes = order[:, : self.phonons_per_position].T
        expected = self.simulator.patterns(places, shifts, passes[0])
        for configurations in passes[1:]:
            expected += self.simulator.patterns(places, shifts, configurations)
        expected /= len(passes)
        if self.electrons is None:
            return expected
        counts = rng.poisson(expected * np.float64(self.electrons))
        if counts.max(initial=0) > np.iinfo(self.dtype).max:
            raise ValueError(
                f"A pixel received {counts.max()} electrons, more than {self.dtype} can hold; "
                "use a wider dtype or a lower dose."
            )
        return counts.astype(self.dtype)


def simulate_scan(
    atoms: Atoms,
    acquisition: Acquisition,
    *,
    scan_shape: tuple[int, int],
    detector_shape: tuple[int, int],
    scan_origin: tuple[float, float] = (0.0, 0.0),
    slice_thickness: float | None = None,
    phonon_configurations: int = 0,
    phonons_per_position: int | None = None,
    dose: float | None = None,
    seed: int | None = None,
    descan: ArrayLike | None = None,
    oversample: int = 1,
    dtype: DTypeLike = np.uint16,
    workers: int | None = None,
    progress: Progress | None = None,
) -> SimulatedScan:
    """Simulate a 4D-STEM scan.

    Parameters
    ----------
    atoms
        The specimen, in the scan frame; it repeats in y and x where `Atoms.periodic` says so.
    acquisition
        The experiment. Needed are `beam_energy`, `convergence_angle`, `scan_step` and
        `diffraction_step`. Used where known, otherwise zero: `defocus`, `aberrations` (azimuths
        in the scan frame), `scan_rotation`, `flip_y`. `center` is the middle of the detector
        where it is not known.
    scan_shape
        Scan positions (y, x).
    detector_shape
        Detector pixels (ky, kx).
    scan_origin
        Where in the specimen scan position (0, 0) lies [Å], (y, x).
    slice_thickness
        Thickness of the slices of a multislice calculation [Å]. ``None`` projects the whole
        specimen into one slice, which holds for thin specimens.
    phonon_configurations
        How many frozen-phonon configurations of the specimen are drawn. 0 smears the potential
        by the Debye–Waller factor instead, which leaves out thermal diffuse scattering.
    phonons_per_position
        Over how many of the configurations, chosen at random, each pattern is averaged; by
        default over all of them.
    dose
        Electrons per area [e/Å²]; each pattern gets ``dose · scan_step_y · scan_step_x`` on
        average, Poisson distributed in each pixel. ``None`` gives expected intensities.
    seed
        Makes phonons and counts reproducible, whatever the number of workers.
    descan
        2×2 matrix D [px per scan position]: the pattern at scan index (i, j) is moved by
        ``D · (i - i_mid, j - j_mid)``, (ky, kx), with the scan's middle at rest.
    oversample
        Samples per detector pixel and direction that are summed: more model the area of a pixel
        and enlarge the box λ/step in which the probe must fit.
    dtype
        Integer type of the counts.
    workers
        Threads; by default one per CPU.
    progress
        Called as ``progress(rows, total=number_of_rows)`` and iterated over, like `tqdm.tqdm`.

    Returns
    -------
    SimulatedScan
        ``data[scan_y, scan_x, ky, kx]`` (float32 parts of the beam, or counts of `dtype`), the
        completed acquisition, and the projected potential at the scan positions.

    Raises
    ------
    MissingCalibrationError
        A needed calibration value is unknown.
    ValueError
        A parameter is not usable, the probe does not fit its box, or `dtype` overflows.

    Notes
    -----
    Frames: patterns are as a camera stores them, with ky down and kx right. Applying the
    documented way from detector to scan frame (first `flip_y`, then `scan_rotation`) to their
    vectors brings these into the scan frame; there, the centre of mass points towards atoms, and
    for a weak phase φ it is ``λ/2π (|ψ|² ⋆ ∇φ)`` (as an angle).

    The box of each probe is λ/step · `oversample` wide and its pixels are fine enough for the
    detector's corner to lie inside the band limit. Where the box is a whole number of cells of a
    periodic specimen, the calculation is exactly periodic; otherwise each window is cut out of
    the potential around its probe.

    Examples
    --------
    >>> from stem_plugins.optics import Acquisition
    >>> from stem_plugins.simulation import graphene
    >>> acquisition = Acquisition(
    ...     beam_energy=80, convergence_angle=30, scan_step=0.4, diffraction_step=4
    ... )
    >>> scan = simulate_scan(
    ...     graphene(), acquisition, scan_shape=(4, 5), detector_shape=(32, 32), dose=1e4, seed=1
    ... )
    >>> scan.data.shape, scan.data.dtype
    ((4, 5, 32, 32), dtype('uint16'))
    >>> scan.acquisition.center
    (15.5, 15.5)
    """
    experiment = _prepare(
        atoms,
        acquisition,
        scan_shape=scan_shape,
        detector_shape=detector_shape,
        scan_origin=scan_origin,
        slice_thickness=slice_thickness,
        phonon_configurations=phonon_configurations,
        phonons_per_position=phonons_per_position,
        dose=dose,
        seed=seed,
        descan=descan,
        oversample=oversample,
        dtype=dtype,
        workers=workers,
    )
    rows: Iterable[NDArray] = _rows(experiment, workers)
    if progress is not None:
        rows = progress(rows, total=len(experiment.places))
    data = np.empty(
        (*experiment.places.shape[:2], *detector_shape), np.float32 if dose is None else dtype
    )
    for index, row in enumerate(rows):
        data[index] = row
    step = experiment.acquisition.scan_step
    assert step is not None
    potential = potential_on_grid(atoms, data.shape[:2], step, scan_origin)
    return SimulatedScan(data, experiment.acquisition, potential)


def iter_simulate_scan(
    atoms: Atoms, acquisition: Acquisition, *, workers: int | None = None, **options: Any
) -> Iterator[NDArray]:
    """Simulate a 4D-STEM scan row by row, without keeping the patterns.

    Beside a few rows, memory holds the transmission functions of the area that the scan covers:
    8 bytes per pixel, slice and frozen-phonon configuration.

    Parameters
    ----------
    atoms, acquisition
        As in `simulate_scan`.
    workers
        Threads that compute rows ahead; by default one per CPU. Closing the iterator stops them.
    **options
        The other keyword arguments of `simulate_scan`, without `progress`.

    Returns
    -------
    iterator of ndarray, each of shape (scan_x, ky, kx)
        The rows of ``simulate_scan(...).data``, in order.

    Raises
    ------
    MissingCalibrationError, ValueError
        As in `simulate_scan`, before the first row.

    Examples
    --------
    >>> from stem_plugins.optics import Acquisition
    >>> from stem_plugins.simulation import graphene
    >>> acquisition = Acquisition(
    ...     beam_energy=80, convergence_angle=30, scan_step=0.4, diffraction_step=4
    ... )
    >>> rows = iter_simulate_scan(
    ...     graphene(), acquisition, scan_shape=(2, 3), detector_shape=(32, 32)
    ... )
    >>> [row.shape for row in rows]
    [(3, 32, 32), (3, 32, 32)]
    """
    return _rows(_prepare(atoms, acquisition, workers=workers, **options), workers)


def _rows(experiment: _Experiment, workers: int | None) -> Iterator[NDArray]:
    """Rows in order, computed by threads that run at most a few rows ahead."""
    count = workers or os.cpu_count() or 1
    waiting: collections.deque[Future[NDArray]] = collections.deque()
    with ThreadPoolExecutor(count) as pool:
        try:
            for index in range(len(experiment.places)):
                waiting.append(pool.submit(experiment.row, index))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _prepare(
    atoms: Atoms,
    acquisition: Acquisition,
    *,
    scan_shape: tuple[int, int],
    detector_shape: tuple[int, int],
    scan_origin: tuple[float, float] = (0.0, 0.0),
    slice_thickness: float | None = None,
    phonon_configurations: int = 0,
    phonons_per_position: int | None = None,
    dose: float | None = None,
    seed: int | None = None,
    descan: ArrayLike | None = None,
    oversample: int = 1,
    dtype: DTypeLike = np.uint16,
    workers: int | None = None,
) -> _Experiment:
    """Check everything and compute what all scan positions share."""
    acquisition.require("beam_energy", "convergence_angle", "scan_step", "diffraction_step")
    _check_shape("scan_shape", scan_shape)
    _check_shape("detector_shape", detector_shape)
    per_position = phonon_configurations if phonons_per_position is None else phonons_per_position
    if phonon_configurations < 0 or not (
        min(1, phonon_configurations) <= per_position <= phonon_configurations
    ):
        raise ValueError(
            f"{per_position} phonons per position cannot be drawn from "
            f"{phonon_configurations} configurations."
        )
    assert acquisition.scan_step is not None
    if min(acquisition.scan_step) < SMALLEST_STEP:
        raise ValueError(
            f"scan_step is in Å: {min(acquisition.scan_step):g} Å is finer than any scan "
            f"(the smallest accepted is {SMALLEST_STEP} Å)."
        )
    if oversample < 1:
        raise ValueError(f"oversample must be 1 or more, not {oversample!r}.")
    if not np.issubdtype(dtype, np.integer):
        raise ValueError(f"Counts need an integer dtype, not {np.dtype(dtype)}.")
    acquisition = _completed(acquisition, detector_shape, dose)
    step = acquisition.scan_step
    assert step is not None
    assert acquisition.beam_energy is not None
    assert acquisition.scan_rotation is not None
    frame = detector_frame(acquisition.scan_rotation, bool(acquisition.flip_y))
    index = np.moveaxis(np.indices(scan_shape), 0, -1)
    places = (np.array(scan_origin) + index * np.array(step)) @ frame.T
    shifts = _descan_shifts(descan, index)
    geometry = detector_geometry(
        acquisition,
        detector_shape,
        oversample=oversample,
        largest_shift=float(np.abs(shifts).max()),
    )
    entropy = np.random.SeedSequence(seed).entropy
    assert isinstance(entropy, int)
    windows = transmission_windows(
        atoms,
        frame=frame,
        places=places.reshape(-1, 2),
        box=np.array(geometry.box),
        window=geometry.window,
        beam_energy=acquisition.beam_energy,
        slice_thickness=slice_thickness,
        configurations=phonon_configurations,
        rng=np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(0,))),
        workers=workers,
    )
    return _Experiment(
        acquisition=acquisition,
        simulator=pattern_simulator(acquisition, geometry, windows, frame),
        places=places,
        shifts=shifts,
        configurations=phonon_configurations,
        phonons_per_position=max(1, per_position),
        electrons=None if dose is None else dose * step[0] * step[1],
        dtype=np.dtype(dtype),
        entropy=entropy,
    )


def _completed(
    acquisition: Acquisition, detector_shape: tuple[int, int], dose: float | None
) -> Acquisition:
    """The acquisition with everything that the simulation assumes written out."""
    middle = (0.5 * (detector_shape[0] - 1), 0.5 * (detector_shape[1] - 1))
    given_defocus = acquisition.defocus is not None or bool(
        {"C10", "defocus"} & set(acquisition.aberrations)
    )
    return acquisition.replace(
        center=acquisition.center or middle,
        scan_rotation=acquisition.scan_rotation or 0.0,
        flip_y=bool(acquisition.flip_y),
        defocus=acquisition.defocus if given_defocus else 0.0,
        dose=dose,
    )


def _descan_shifts(descan: ArrayLike | None, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Movement of the pattern at each scan index [px], zero in the middle of the scan."""
    if descan is None:
        return np.zeros(index.shape)
    matrix = np.asarray(descan, dtype=float)
    if matrix.shape != (2, 2) or not np.isfinite(matrix).all():
        raise ValueError(f"descan must be a finite 2×2 matrix [px per position], not {descan!r}.")
    return (index - 0.5 * index[-1, -1]) @ matrix.T


def _check_shape(name: str, shape: tuple[int, int]) -> None:
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"{name} must be two numbers above zero, (y, x), not {shape!r}.")
