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
from stem_plugins.rapid_phase_imaging.strips import (
    Strip,
    Watch,
    read_rows,
    reduce_boxes,
    scan_shape,
)
from stem_plugins.rapid_phase_imaging.tiles import MULTIPLE, Tile, strips

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["iter_strips", "lazy_strips"]

#: Cells wait for their strip in half precision, in parts of this over the mean pattern.
FULL = 1024.0


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
    rows, columns = scan_shape(data, plan)
    watch = Watch(plan, rows, callback)
    source = _reduced_rows(data, plan, watch)
    tiles = list(strips(rows))
    most = max(tile.seen[1] - tile.seen[0] for tile in tiles)
    cells = np.empty((most, columns, CELLS + SECTORS), np.float16)
    there = (0, 0)  # first and last but one row that the cells hold
    offset, before = 0.0, None
    for tile in tiles:
        there = _fill(cells, there, tile.seen, source)
        strip = _draw_strip(cells[: there[1] - there[0]], tile, plan, watch)
        if before is not None:
            offset += before.tail - strip.head
        before = strip
        yield dataclasses.replace(strip, phase=strip.phase + np.float32(offset))


def _reduced_rows(
    data: np.ndarray | da.Array, plan: Plan, watch: Watch
) -> Iterator[NDArray[np.float16]]:
    """Cells of the scan row by row, (columns, cells + sectors)."""
    unit = np.float32(FULL / plan.counts)
    largest = np.finfo(np.float16).max
    for block in read_rows(data, plan):
        for row in reduce_boxes(block, plan.reduction, plan.repeat):
            row *= unit
            watch.read(1)
            yield np.clip(row, -largest, largest, out=row).astype(np.float16)


def _fill(
    cells: NDArray[np.float16],
    there: tuple[int, int],
    wanted: tuple[int, int],
    source: Iterator[NDArray[np.float16]],
) -> tuple[int, int]:
    """Bring the rows that are wanted to the front: those that are there, and then new ones."""
    kept = range(wanted[0], there[1])
    for number, row in enumerate(kept):
        cells[number] = cells[row - there[0]]
    for number in range(len(kept), wanted[1] - wanted[0]):
        cells[number] = next(source)
    return wanted


def _draw_strip(cells: NDArray[np.float16], row_tile: Tile, plan: Plan, watch: Watch) -> Strip:
    """Draw the rows of a strip, from the cells of the rows that it sees."""
    drawn = row_tile.drawn[1] - row_tile.drawn[0]
    parts: list[NDArray[np.float32]] = []
    tail = 0.0
    for tile in strips(cells.shape[1]):
        phase = _draw(cells[:, slice(*tile.seen)], plan)
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
            phase, cells, (first, last), plan.comparison, plan.counts / FULL, watch.compared
        )
    return Strip(
        slice(*(edge * plan.oversample * plan.repeat for edge in row_tile.drawn)),
        _resampled(phase, (POINTS * first, POINTS * last), plan),
        slice(*row_tile.drawn),
        consistency,
        head=float(phase[: POINTS * row_tile.before].mean()) if row_tile.before else 0.0,
        tail=float(phase[-POINTS * row_tile.after :].mean()) if row_tile.after else 0.0,
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


def _draw(cells: NDArray[np.float16], plan: Plan) -> NDArray[np.float32]:
    rows, columns, _ = cells.shape
    mean = float(cells.sum(axis=-1, dtype=np.float32).mean())
    if not mean > 0:
        return np.zeros((POINTS * rows, POINTS * columns), np.float32)
    inputs = _padded(scan_inputs(np.moveaxis(cells, -1, 0), plan.conditions, mean=mean))
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

    _, columns = scan_shape(data, plan)
    wanted = plan.oversample * plan.repeat

    def strip(rows: np.ndarray, tile: Tile) -> tuple[Any, ...]:
        with torch_threads(1):
            watch = Watch(plan, len(rows), None)
            cells = np.stack(list(_reduced_rows(rows, plan, watch)))
            drawn = _draw_strip(cells, tile, plan, watch)
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
