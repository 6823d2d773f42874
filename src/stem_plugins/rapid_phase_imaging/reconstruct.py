"""AIRPI: the phase of a thin specimen from a scan, strip by strip."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.ndimage
import torch
from numpy.typing import NDArray

from stem_plugins.lazy.blocks import is_lazy
from stem_plugins.lazy.processors import torch_device, torch_threads
from stem_plugins.models import check_tensors, find_weights, load_weights
from stem_plugins.models.registry import AIRPI_DEFAULT
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.rapid_phase_imaging.checks import Survey, survey
from stem_plugins.rapid_phase_imaging.consistency import (
    Comparison,
    pattern_consistency,
    plan_comparison,
)
from stem_plugins.rapid_phase_imaging.coverage import probe_coverage
from stem_plugins.rapid_phase_imaging.detector_cells import CELLS, SECTORS
from stem_plugins.rapid_phase_imaging.inputs import (
    ScanConditions,
    ScanInputs,
    conditions_of,
    scan_inputs,
)
from stem_plugins.rapid_phase_imaging.reduction import Reduction, plan_reduction, reduce_patterns
from stem_plugins.rapid_phase_imaging.result import AirpiResult
from stem_plugins.rapid_phase_imaging.spatial_network import DESIGN, DESIGN_VERSION, SpatialNetwork
from stem_plugins.rapid_phase_imaging.tiles import MULTIPLE, Tile, strips

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["airpi", "iter_airpi"]

#: Points of the image between two positions, as the network draws them.
POINTS = 2

#: Bytes of patterns that are reduced at once.
BLOCK_BYTES = 16 * 2**20

#: Smallest step, in λ/α, that the network was trained for: finer scans are summed in boxes.
FINEST_STEP = 0.097


@dataclasses.dataclass(frozen=True, eq=False)
class _Task:
    """All that the strips of one scan have in common."""

    reduction: Reduction
    conditions: ScanConditions
    network: torch.nn.Module
    device: str
    repeat: int
    oversample: int
    comparison: Comparison | None


@dataclasses.dataclass(frozen=True, eq=False)
class _Strip:
    """What is drawn at once: rows of the image, and of the map of evidence where it is wanted."""

    phase: NDArray[np.float32]
    consistency: NDArray[np.float32]


@functools.lru_cache(maxsize=2)
def _load(path: Path, stamp: int, device: str) -> SpatialNetwork:
    del stamp  # a file that was written anew is read anew
    weights = load_weights(path, designs={DESIGN: DESIGN_VERSION})
    network = SpatialNetwork()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    check_tensors(weights, shapes)
    tensors = {name: np.asarray(value, "f4") for name, value in weights.tensors.items()}
    network.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    network.to(device).eval()
    # Channels last is faster on processors.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def airpi(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    *,
    model: str | Path = "default",
    repeat: int | None = None,
    oversample: int = POINTS,
    device: str = "auto",
    threads: int | None = None,
    force: bool = False,
    return_evidence: bool = False,
    callback: Callable[[float], None] | None = None,
) -> AirpiResult:
    """Image a thin specimen by AI-assisted rapid phase imaging.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), of any real type, NumPy (memory maps included, read in
        place) or dask.
    acquisition
        Needs `beam_energy`, `convergence_angle`, `scan_step` and `diffraction_step`. `defocus` and
        `aberrations` (at half the height of the specimen), `scan_rotation` and `flip_y` are taken
        as none where unknown; the centre of the patterns is measured.
    model
        ``"default"``, or the path of a ``.safetensors`` file of ``stem-plugins train airpi``.
    repeat
        Edge of the box of patterns that are summed into one. ``None``: 1, or as many as bring the
        scan step into the range of the training; more may help where patterns have few electrons.
    oversample
        Pixels of the image per scan step.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``.
    threads
        Processor threads of the network; ``None``: as many as there are cores.
    force
        Image also where the step is too large, or the lens too far outside the range.
    return_evidence
        Compare the patterns with those that the image predicts, as `AirpiResult.consistency`, at
        several times the time.
    callback
        Called with the share that is done after every strip. What it raises ends the work.

    Returns
    -------
    AirpiResult
        With dask data the phase is a dask array, of which each strip is computed from the rows
        that it sees.

    Raises
    ------
    MissingCalibrationError
        A needed calibration value is unknown.
    ValueError
        Data or calibration do not allow an image; the message says why and what to do.

    Notes
    -----
    Another design than that of the published method: patterns are reduced to virtual detectors in
    units of the aperture, and a network over the scan corrects direct ptychography. It was taught
    thin specimens, up to about 30 Å, at 30 to 300 kV and 5 to 30 mrad. At few electrons the phase
    comes out too small, and what cannot be seen is left out.

    Examples
    --------
    >>> from stem_plugins.simulation import simulate_scan, single_atoms
    >>> acquisition = Acquisition(
    ...     beam_energy=300, convergence_angle=20, scan_step=0.3, diffraction_step=2.0
    ... )
    >>> gold = single_atoms([79], [[3.0, 3.6]], extent=(7.2, 7.2))
    >>> scan = simulate_scan(gold, acquisition, scan_shape=(24, 24), detector_shape=(48, 48))
    >>> image = airpi(scan.data, scan.acquisition, threads=1)
    >>> y, x = np.unravel_index(image.phase.argmax(), image.phase.shape)
    >>> round(float(y * image.sampling[0]), 1), round(float(x * image.sampling[1]), 1)
    (3.0, 3.6)
    """
    task, seen, notes = _plan(
        data, acquisition, model, repeat, oversample, device, force, return_evidence
    )
    phase: Any
    consistency: Any
    if is_lazy(data):
        phase, consistency = _lazy(data, task)
    else:
        drawn = []
        with torch_threads(threads):
            for part, strip in _iter(data, task):
                drawn.append(strip)
                if callback is not None:
                    callback(part.stop / (oversample * (len(data) // task.repeat * task.repeat)))
        phase = np.concatenate([strip.phase for strip in drawn])
        consistency = np.concatenate([strip.consistency for strip in drawn])
    return _result(
        phase, consistency if task.comparison else None, seen.acquisition, task, notes, model
    )


def iter_airpi(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    *,
    model: str | Path = "default",
    repeat: int | None = None,
    oversample: int = POINTS,
    device: str = "auto",
    threads: int | None = None,
    force: bool = False,
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Image a scan while its rows are read: `airpi`, strip by strip.

    Parameters
    ----------
    data, acquisition, model, repeat, oversample, device, threads, force
        As for `airpi`.

    Yields
    ------
    rows : slice
        Of the image.
    phase : ndarray
        Of these rows [rad], all columns. The mean is that of direct ptychography, strip by strip.
    """
    task, _, _ = _plan(data, acquisition, model, repeat, oversample, device, force, False)
    with torch_threads(threads):
        for rows, strip in _iter(data, task):
            yield rows, strip.phase


def _plan(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    model: str | Path,
    repeat: int | None,
    oversample: int,
    device: str,
    force: bool,
    return_evidence: bool,
) -> tuple[_Task, Survey, tuple[str, ...]]:
    for name, value in (("repeat", repeat), ("oversample", oversample)):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int) or value < 1
        ):
            raise ValueError(f"{name} must be a whole number from 1, not {value!r}.")
    seen = survey(data, acquisition, force=force, stacklevel=4)
    device = torch_device(device)
    path = find_weights(AIRPI_DEFAULT if str(model) == "default" else model)
    network = _load(path, path.stat().st_mtime_ns, device)
    alone = conditions_of(seen.acquisition, 1, seen.electrons)
    notes = []
    if repeat is None:
        repeat = max(1, math.ceil(FINEST_STEP / max(alone.scan_step)))
        if repeat > 1:
            notes.append(
                f"repeat {repeat}: steps of {min(alone.scan_step):.2g} λ/α are finer than the "
                f"network knows"
            )
    if min(data.shape[:2]) < 4 * repeat:
        raise ValueError(
            f"The scan has {data.shape[0]} × {data.shape[1]} positions; AIRPI needs at least "
            f"{4 * repeat} in each direction" + (f" with repeat={repeat}." if repeat > 1 else ".")
        )
    reduction = plan_reduction((data.shape[2], data.shape[3]), seen.acquisition)
    conditions = conditions_of(seen.acquisition, repeat, seen.electrons * repeat**2)
    comparison = None
    if return_evidence:
        if not math.isfinite(seen.electrons):
            raise ValueError(
                "The patterns are no whole counts, so that their noise is not known and "
                "return_evidence=True has nothing to compare with. Give electron counts."
            )
        comparison = _comparison(reduction, seen.acquisition, repeat)
    task = _Task(reduction, conditions, network, device, repeat, oversample, comparison)
    return task, seen, tuple(notes)


def _comparison(reduction: Reduction, acquisition: Acquisition, repeat: int) -> Comparison:
    assert acquisition.scan_step is not None
    assert acquisition.diffraction_step is not None
    assert acquisition.convergence_angle is not None
    step_y, step_x = acquisition.scan_step
    pixel_y, pixel_x = acquisition.diffraction_step
    angle = acquisition.convergence_angle
    return plan_comparison(
        acquisition,
        (step_y * repeat, step_x * repeat),
        POINTS,
        reduction,
        (pixel_y / angle, pixel_x / angle),
    )


def _iter(data: np.ndarray | da.Array, task: _Task) -> Iterator[tuple[slice, _Strip]]:
    """Read row by row, and draw each strip as soon as all that it sees is there."""
    source = _reduced_rows(data, task)
    kept = np.empty((0, data.shape[1] // task.repeat, CELLS + SECTORS), np.float32)
    top = 0
    for tile in strips(data.shape[0] // task.repeat):
        kept, top = kept[tile.seen[0] - top :], tile.seen[0]
        waiting = [kept]
        while sum(map(len, waiting)) < tile.seen[1] - top:
            waiting.append(next(source))
        kept = np.concatenate(waiting)
        rows = slice(*(edge * task.oversample * task.repeat for edge in tile.drawn))
        yield rows, _draw_strip(kept[: tile.seen[1] - top], tile, task)


def _reduced_rows(data: np.ndarray | da.Array, task: _Task) -> Iterator[NDArray[np.float32]]:
    """Cells of the scan, some rows at a time, (rows, columns, cells + sectors)."""
    repeat = task.repeat
    rows, columns = (size // repeat * repeat for size in data.shape[:2])
    row_bytes = int(np.prod(data.shape[1:])) * data.dtype.itemsize
    together = max(1, BLOCK_BYTES // (repeat * row_bytes)) * repeat
    for first in range(0, rows, together):
        block = np.asarray(data[first : min(first + together, rows), :columns])
        yield _summed(reduce_patterns(block, task.reduction), repeat)


def _summed(cells: NDArray[np.float32], repeat: int) -> NDArray[np.float32]:
    """Sums over boxes of positions."""
    if repeat == 1:
        return cells
    rows, columns, _ = cells.shape
    boxes = cells.reshape(rows // repeat, repeat, columns // repeat, repeat, -1)
    return boxes.sum(axis=(1, 3))


def _draw_strip(cells: NDArray[np.float32], row_tile: Tile, task: _Task) -> _Strip:
    """Draw the rows of a strip, from the cells of the rows that it sees."""
    parts = []
    for tile in strips(cells.shape[1]):
        phase = _draw(np.moveaxis(cells[:, slice(*tile.seen)], -1, 0), task)
        first, last = (POINTS * (edge - tile.seen[0]) for edge in tile.drawn)
        parts.append(phase[:, first:last])
    phase = np.concatenate(parts, axis=1)
    first, last = (edge - row_tile.seen[0] for edge in row_tile.drawn)
    consistency = np.empty((0, 0), np.float32)
    if task.comparison is not None:
        consistency = pattern_consistency(phase, cells, (first, last), task.comparison)
    return _Strip(_resampled(phase, (POINTS * first, POINTS * last), task), consistency)


def _resampled(
    phase: NDArray[np.float32], rows: tuple[int, int], task: _Task
) -> NDArray[np.float32]:
    """Pixels as they are asked for, of the rows that are drawn."""
    wanted = task.oversample * task.repeat
    if wanted == POINTS:
        return phase[slice(*rows)]
    count = (rows[1] - rows[0]) * wanted // POINTS
    y = rows[0] + np.arange(count) * (POINTS / wanted)
    x = np.arange(phase.shape[1] * wanted // POINTS) * (POINTS / wanted)
    spline = scipy.ndimage.spline_filter(phase, order=3, mode="nearest")
    grid = np.meshgrid(y, x, indexing="ij")
    found: NDArray[np.float32] = scipy.ndimage.map_coordinates(
        spline, grid, order=3, mode="nearest", prefilter=False, output=np.float32
    )
    return found


def _draw(counts: NDArray[np.float32], task: _Task) -> NDArray[np.float32]:
    total = float(counts.sum(axis=0).mean())
    _, rows, columns = counts.shape
    if not total > 0:
        return np.zeros((POINTS * rows, POINTS * columns), np.float32)
    inputs = _padded(scan_inputs(counts / total, task.conditions))
    channels = torch.from_numpy(inputs.channels)[None].contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        found = task.network(
            channels.to(task.device),
            torch.from_numpy(inputs.conditions)[None].to(task.device),
            torch.from_numpy(inputs.base)[None].to(task.device),
        )
    phase: NDArray[np.float32] = found[0].cpu().numpy() * np.float32(inputs.scale)
    return phase[: POINTS * rows, : POINTS * columns]


def _padded(inputs: ScanInputs) -> ScanInputs:
    """Repeat the last rows and columns up to sides that the network can halve twice."""
    _, rows, columns = inputs.channels.shape
    more = (-rows % MULTIPLE, -columns % MULTIPLE)
    if more == (0, 0):
        return inputs
    channels = np.pad(inputs.channels, ((0, 0), (0, more[0]), (0, more[1])), mode="edge")
    base = np.pad(inputs.base, ((0, POINTS * more[0]), (0, POINTS * more[1])), mode="edge")
    return dataclasses.replace(inputs, channels=channels, base=base)


def _lazy(data: da.Array, task: _Task) -> tuple[da.Array, da.Array]:
    """One task for each strip, which reads the rows that it sees."""
    import dask
    import dask.array as da

    columns = data.shape[1] // task.repeat
    wanted = task.oversample * task.repeat

    def strip(rows: np.ndarray, tile: Tile) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch_threads(1):
            cells = np.concatenate(list(_reduced_rows(rows, task)))
            drawn = _draw_strip(cells, tile, task)
        return drawn.phase, drawn.consistency

    phases, maps = [], []
    for tile in strips(data.shape[0] // task.repeat):
        first, last = (edge * task.repeat for edge in tile.seen)
        rows = tile.drawn[1] - tile.drawn[0]
        phase, consistency = dask.delayed(strip, pure=False, nout=2)(data[first:last], tile)
        phases.append(da.from_delayed(phase, (rows * wanted, columns * wanted), np.float32))
        maps.append(da.from_delayed(consistency, (rows, columns), np.float32))
    return da.concatenate(phases), da.concatenate(maps)


def _result(
    phase: Any,
    consistency: Any,
    acquisition: Acquisition,
    task: _Task,
    notes: tuple[str, ...],
    model: str | Path,
) -> AirpiResult:
    assert acquisition.scan_step is not None
    step_y, step_x = acquisition.scan_step
    phase = phase - phase.mean()
    # A box of patterns is as one pattern in its middle.
    middle = (task.repeat - 1) / 2
    parameters = {
        "model": str(model),
        "repeat": task.repeat,
        "oversample": task.oversample,
        "electrons_per_pattern": task.conditions.electrons,
    }
    return AirpiResult(
        phase,
        (step_y / task.oversample, step_x / task.oversample),
        (middle * step_y, middle * step_x),
        probe_coverage(phase.shape, acquisition, task.oversample),
        task.repeat,
        parameters,
        notes,
        consistency,
    )
