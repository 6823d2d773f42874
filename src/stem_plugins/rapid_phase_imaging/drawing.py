"""The strips of a scan's image: its rows are reduced to cells, and drawn as soon as they can be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.ndimage
import torch
from numpy.typing import NDArray

from stem_plugins.lazy.processors import torch_threads
from stem_plugins.rapid_phase_imaging.consistency import pattern_consistency
from stem_plugins.rapid_phase_imaging.detector_cells import CELLS, SECTORS
from stem_plugins.rapid_phase_imaging.inputs import ScanInputs, scan_inputs
from stem_plugins.rapid_phase_imaging.planning import POINTS, Plan
from stem_plugins.rapid_phase_imaging.reduction import reduce_patterns
from stem_plugins.rapid_phase_imaging.tiles import MULTIPLE, Tile, strips

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Strip", "image_shape", "iter_strips", "lazy_strips"]

#: Bytes of patterns that are reduced at once.
BLOCK_BYTES = 16 * 2**20

#: Time that it takes to draw, and to compare, over that to read patterns of about 64 × 64 pixels.
DRAWING, COMPARING = 1.0, 8.0


@dataclasses.dataclass(frozen=True, eq=False)
class Strip:
    """What is drawn at once.

    Parameters
    ----------
    rows
        Of the image.
    phase
        Of these rows.
    boxes, consistency
        The same of the map of evidence; empty where it was not asked for.
    head, tail
        Mean phase of the positions that the strips before and after see, too: no strip knows the
        mean of the whole scan, but where two overlap they must agree.
    """

    rows: slice
    phase: NDArray[np.float32]
    boxes: slice
    consistency: NDArray[np.float32]
    head: float
    tail: float


def image_shape(data: np.ndarray | da.Array, plan: Plan) -> tuple[int, int]:
    """Pixels of the image (y, x); positions that fill no box of `repeat` are left out."""
    rows, columns = (size // plan.repeat * plan.repeat for size in data.shape[:2])
    return rows * plan.oversample, columns * plan.oversample


class _Watch:
    """Tell of the share that is done, in parts of the time that all will take.

    Parameters
    ----------
    plan
        Whether patterns are compared.
    rows
        Of the scan, or boxes of them.
    callback
        Is told.
    """

    def __init__(self, plan: Plan, rows: int, callback: Callable[[float], None] | None) -> None:
        self._compared = plan.comparison is not None
        self._total = rows * (1 + DRAWING + COMPARING * self._compared)
        self._callback = callback
        self._done = 0.0

    def read(self, rows: int) -> None:
        """Note that rows are reduced."""
        self._add(rows)

    def drawn(self, rows: float) -> None:
        """Note that rows are drawn."""
        self._add(rows * DRAWING)

    def compared(self) -> None:
        """Note that a row is compared."""
        self._add(COMPARING)

    def _add(self, cost: float) -> None:
        self._done += cost
        if self._callback is not None:
            self._callback(min(1.0, self._done / self._total))


def iter_strips(
    data: np.ndarray | da.Array, plan: Plan, callback: Callable[[float], None] | None = None
) -> Iterator[Strip]:
    """Read row by row, and draw each strip as soon as all that it sees is there.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx).
    plan
        How they are imaged.
    callback
        Called with the share that is done. What it raises ends the work.
    """
    rows = data.shape[0] // plan.repeat
    watch = _Watch(plan, rows, callback)
    source = _reduced_rows(data, plan)
    kept = np.empty((0, data.shape[1] // plan.repeat, CELLS + SECTORS), np.float32)
    top, offset, before = 0, 0.0, None
    for tile in strips(rows):
        kept, top = kept[tile.seen[0] - top :], tile.seen[0]
        waiting = [kept]
        while sum(map(len, waiting)) < tile.seen[1] - top:
            waiting.append(next(source))
            watch.read(len(waiting[-1]))
        kept = np.concatenate(waiting)
        strip = _draw_strip(kept[: tile.seen[1] - top], tile, plan, watch)
        if before is not None:
            offset += before.tail - strip.head
        before = strip
        yield dataclasses.replace(strip, phase=strip.phase + np.float32(offset))


def _reduced_rows(data: np.ndarray | da.Array, plan: Plan) -> Iterator[NDArray[np.float32]]:
    """Cells of the scan, some rows at a time, (rows, columns, cells + sectors)."""
    repeat = plan.repeat
    rows, columns = (size // repeat * repeat for size in data.shape[:2])
    row_bytes = int(np.prod(data.shape[1:])) * data.dtype.itemsize
    together = max(1, BLOCK_BYTES // (repeat * row_bytes)) * repeat
    for first in range(0, rows, together):
        block = np.asarray(data[first : min(first + together, rows), :columns])
        yield _summed(reduce_patterns(block, plan.reduction), repeat)


def _summed(cells: NDArray[np.float32], repeat: int) -> NDArray[np.float32]:
    """Sums over boxes of positions."""
    if repeat == 1:
        return cells
    rows, columns, _ = cells.shape
    boxes = cells.reshape(rows // repeat, repeat, columns // repeat, repeat, -1)
    return boxes.sum(axis=(1, 3))


def _draw_strip(cells: NDArray[np.float32], row_tile: Tile, plan: Plan, watch: _Watch) -> Strip:
    """Draw the rows of a strip, from the cells of the rows that it sees."""
    drawn = row_tile.drawn[1] - row_tile.drawn[0]
    parts: list[NDArray[np.float32]] = []
    tail = 0.0
    for tile in strips(cells.shape[1]):
        phase = _draw(np.moveaxis(cells[:, slice(*tile.seen)], -1, 0), plan)
        if tile.before:
            phase += np.float32(tail - phase[:, : POINTS * tile.before].mean())
        if tile.after:
            tail = float(phase[:, -POINTS * tile.after :].mean())
        first, last = (POINTS * (edge - tile.seen[0]) for edge in tile.drawn)
        parts.append(phase[:, first:last])
        watch.drawn(drawn * (tile.drawn[1] - tile.drawn[0]) / cells.shape[1])
    phase = np.concatenate(parts, axis=1)
    first, last = (edge - row_tile.seen[0] for edge in row_tile.drawn)
    consistency = np.empty((0, 0), np.float32)
    if plan.comparison is not None:
        consistency = pattern_consistency(
            phase, cells, (first, last), plan.comparison, watch.compared
        )
    return Strip(
        slice(*(edge * plan.oversample * plan.repeat for edge in row_tile.drawn)),
        _resampled(phase, (POINTS * first, POINTS * last), plan),
        slice(*row_tile.drawn),
        consistency,
        float(phase[: POINTS * row_tile.before].mean()) if row_tile.before else 0.0,
        float(phase[-POINTS * row_tile.after :].mean()) if row_tile.after else 0.0,
    )


def _resampled(
    phase: NDArray[np.float32], rows: tuple[int, int], plan: Plan
) -> NDArray[np.float32]:
    """Pixels as they are asked for, of the rows that are drawn."""
    wanted = plan.oversample * plan.repeat
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


def _draw(counts: NDArray[np.float32], plan: Plan) -> NDArray[np.float32]:
    total = float(counts.sum(axis=0).mean())
    _, rows, columns = counts.shape
    if not total > 0:
        return np.zeros((POINTS * rows, POINTS * columns), np.float32)
    inputs = _padded(scan_inputs(counts / total, plan.conditions))
    channels = torch.from_numpy(inputs.channels)[None].contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        found = plan.network(
            channels.to(plan.device),
            torch.from_numpy(inputs.conditions)[None].to(plan.device),
            torch.from_numpy(inputs.base)[None].to(plan.device),
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


def lazy_strips(data: da.Array, plan: Plan) -> tuple[da.Array, da.Array]:
    """Phase and consistency, with one task for each strip, which reads the rows that it sees.

    Parameters
    ----------
    data, plan
        As for `iter_strips`.
    """
    import dask
    import dask.array as da

    columns = data.shape[1] // plan.repeat
    wanted = plan.oversample * plan.repeat

    def strip(rows: np.ndarray, tile: Tile) -> tuple[Any, ...]:
        with torch_threads(1):
            cells = np.concatenate(list(_reduced_rows(rows, plan)))
            drawn = _draw_strip(cells, tile, plan, _Watch(plan, len(cells), None))
        return drawn.phase, drawn.consistency, drawn.head, drawn.tail

    phases, maps = [], []
    offset: Any = 0.0
    before: Any = None
    for tile in strips(data.shape[0] // plan.repeat):
        first, last = (edge * plan.repeat for edge in tile.seen)
        rows = tile.drawn[1] - tile.drawn[0]
        parts = dask.delayed(strip, pure=False, nout=4)(data[first:last], tile)
        phase, consistency, head, tail = parts
        if before is not None:
            offset = offset + before - head
        before = tail
        shifted = dask.delayed(_shifted, pure=True)(phase, offset)
        phases.append(da.from_delayed(shifted, (rows * wanted, columns * wanted), np.float32))
        maps.append(da.from_delayed(consistency, (rows, columns), np.float32))
    return da.concatenate(phases), da.concatenate(maps)


def _shifted(phase: NDArray[np.float32], offset: float) -> NDArray[np.float32]:
    return phase + np.float32(offset)
