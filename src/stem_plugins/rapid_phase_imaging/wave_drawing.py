"""The exit-wave design on its way through a scan: rows of waves, stitched strip by strip."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.lazy.processors import torch_threads
from stem_plugins.rapid_phase_imaging.consistency import pattern_consistency
from stem_plugins.rapid_phase_imaging.exit_wave_inputs import exit_wave_inputs
from stem_plugins.rapid_phase_imaging.planning import POINTS, Plan
from stem_plugins.rapid_phase_imaging.stitching import (
    SPLINE_REACH,
    Stitcher,
    object_phase,
    probe_reach,
)
from stem_plugins.rapid_phase_imaging.strips import (
    Strip,
    Watch,
    read_rows,
    reduce_boxes,
    scan_shape,
)
from stem_plugins.rapid_phase_imaging.tiles import Tile, strips
from stem_plugins.rapid_phase_imaging.wave_grid import WINDOW, probe_wave

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["iter_wave_strips", "lazy_wave_strips"]

#: Rows that are drawn at once, at least, and in parts of those around that are needed for it.
CORE, CORE_OVER_MARGIN = 24, 3

#: Waves that are drawn at once on a processor, and on a GPU.
BATCH, BATCH_ON_GPU = 32, 512


class _Row(NamedTuple):
    """A row of positions.

    Parameters
    ----------
    number
        Of the row.
    patterns
        On the grid of the design: of the row before, itself, and the row after.
    cells
        For the map of evidence; empty where it was not asked for.
    """

    number: int
    patterns: NDArray[np.float32]
    cells: NDArray[np.float32]


class _OpenStrip:
    """A strip whose rows are coming.

    Parameters
    ----------
    tile
        Its rows.
    plan
        How the scan is imaged.
    columns
        Of positions.
    """

    def __init__(self, tile: Tile, plan: Plan, columns: int) -> None:
        self.tile = tile
        self._plan = plan
        probe = probe_wave(plan.conditions.aberrations)
        self._stitcher = Stitcher(probe, plan.conditions.scan_step, tile.seen, columns)
        self._cells: list[NDArray[np.float32]] = []

    def add(self, row: _Row, column: int, waves: NDArray[np.complexfloating]) -> None:
        """Add some waves of a row."""
        if self.tile.seen[0] <= row.number < self.tile.seen[1]:
            self._stitcher.add(row.number, column, waves)

    def end_row(self, row: _Row) -> bool:
        """Note that a row is complete, and tell whether the strip is."""
        if self._plan.comparison is not None and row.number >= self.tile.seen[0]:
            self._cells.append(row.cells)
        return row.number + 1 == self.tile.seen[1]

    def drawn(self, watch: Watch) -> Strip:
        """The image of the rows that are drawn."""
        pixels = self._plan.oversample * self._plan.repeat
        transmission, _ = self._stitcher.transmission(self.tile.drawn, pixels)
        return Strip(
            slice(*(edge * pixels for edge in self.tile.drawn)),
            object_phase(transmission),
            slice(*self.tile.drawn),
            self._consistency(watch),
            np.abs(transmission),
        )

    def _consistency(self, watch: Watch) -> NDArray[np.float32]:
        if self._plan.comparison is None:
            return np.empty((0, 0), np.float32)
        transmission, _ = self._stitcher.transmission(self.tile.seen, POINTS)
        first, last = (edge - self.tile.seen[0] for edge in self.tile.drawn)
        return pattern_consistency(
            object_phase(transmission),
            np.stack(self._cells),
            (first, last),
            self._plan.comparison,
            compared=watch.compared,
        )


def _tiles(rows: int, plan: Plan) -> list[Tile]:
    reach = probe_reach(probe_wave(plan.conditions.aberrations)) + SPLINE_REACH
    margin = math.ceil(reach / plan.conditions.scan_step[0]) + 1
    return list(strips(rows, core=max(CORE, CORE_OVER_MARGIN * margin), margin=margin))


def iter_wave_strips(
    data: np.ndarray | da.Array, plan: Plan, callback: Callable[[float], None] | None = None
) -> Iterator[Strip]:
    """Read row by row, and stitch each strip as soon as all rows that reach into it are there.

    Parameters
    ----------
    data, plan, callback
        As for `stem_plugins.rapid_phase_imaging.drawing.iter_strips`.
    """
    rows, columns = scan_shape(data, plan)
    watch = Watch(plan, rows, callback)
    yield from _stitched(_rows(data, plan, watch), _tiles(rows, plan), columns, plan, watch)


def _stitched(
    rows: Iterable[_Row], tiles: list[Tile], columns: int, plan: Plan, watch: Watch
) -> Iterator[Strip]:
    """Draw rows once, and stitch them into every strip that they reach into."""
    waiting = [_OpenStrip(tile, plan, columns) for tile in tiles[:1]]
    coming = list(tiles[1:])
    for row in rows:
        while coming and coming[0].seen[0] <= row.number:
            waiting.append(_OpenStrip(coming.pop(0), plan, columns))
        for column, waves in _waves(row.patterns, plan):
            for strip in waiting:
                strip.add(row, column, waves)
            watch.drawn(len(waves) / columns)
        complete = [strip for strip in waiting if strip.end_row(row)]
        waiting = [strip for strip in waiting if strip not in complete]
        yield from (strip.drawn(watch) for strip in complete)


def _rows(data: np.ndarray | da.Array, plan: Plan, watch: Watch, first: int = 0) -> Iterator[_Row]:
    """Rows with their neighbours; those at the edges stand for what is beyond.

    Parameters
    ----------
    data
        Patterns.
    plan
        How they are imaged.
    watch
        Is told of each row.
    first
        Number of the first row of the data.
    """
    before: NDArray[np.float32] | None = None
    here: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    number = first
    for after in _reduced(data, plan):
        watch.read(1)
        if here is not None:
            patterns, cells = here
            above = patterns if before is None else before
            yield _Row(number, np.stack([above, patterns, after[0]]), cells)
            before, number = patterns, number + 1
        here = after
    assert here is not None
    patterns, cells = here
    above = patterns if before is None else before
    yield _Row(number, np.stack([above, patterns, patterns]), cells)


def _reduced(
    data: np.ndarray | da.Array, plan: Plan
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Patterns on the grid of the design, and cells for the map of evidence, row by row."""
    assert plan.patterns is not None
    for block in read_rows(data, plan):
        patterns = reduce_boxes(block, plan.patterns, plan.repeat)
        grid = patterns.reshape(*patterns.shape[:2], WINDOW, WINDOW)
        cells = np.empty((len(grid), 0), np.float32)
        if plan.comparison is not None:
            cells = reduce_boxes(block, plan.reduction, plan.repeat)
        yield from zip(grid, cells, strict=True)


def _waves(
    patterns: NDArray[np.float32], plan: Plan
) -> Iterator[tuple[int, NDArray[np.complex64]]]:
    """Waves of a row, some columns at a time, with the number of the first."""
    columns = patterns.shape[1]
    probe = probe_wave(plan.conditions.aberrations)
    on_device = torch.from_numpy(probe).to(plan.device)
    batch = BATCH if plan.device == "cpu" else BATCH_ON_GPU
    for first in range(0, columns, batch):
        last = min(first + batch, columns)
        # With the neighbours on both sides, where there are any.
        left, right = max(0, first - 1), min(columns, last + 1)
        channels = exit_wave_inputs(patterns[:, left:right], plan.conditions.scan_step, probe)
        wanted = torch.from_numpy(channels[first - left : last - left])
        with torch.inference_mode():
            found = plan.network(wanted.to(plan.device), on_device)
        yield first, found.cpu().numpy()


def lazy_wave_strips(data: da.Array, plan: Plan) -> tuple[da.Array, da.Array, da.Array]:
    """Phase, amplitude and consistency, with one task for each strip and the rows around it.

    Parameters
    ----------
    data, plan
        As for `iter_wave_strips`.
    """
    import dask
    import dask.array as da

    rows, columns = scan_shape(data, plan)
    pixels = plan.oversample * plan.repeat

    def strip(block: np.ndarray, first: int, tile: Tile) -> tuple[np.ndarray, ...]:
        with torch_threads(1):
            watch = Watch(plan, rows, None)
            seen = (row for row in _rows(block, plan, watch, first) if _within(row, tile))
            (drawn,) = _stitched(seen, [tile], columns, plan, watch)
        assert drawn.amplitude is not None
        return drawn.phase, drawn.amplitude, drawn.consistency

    parts = []
    for tile in _tiles(rows, plan):
        # Each row needs its neighbours.
        first, last = max(0, tile.seen[0] - 1), min(rows, tile.seen[1] + 1)
        block = data[first * plan.repeat : last * plan.repeat]
        height = tile.drawn[1] - tile.drawn[0]
        fine, coarse = (height * pixels, columns * pixels), (height, columns)
        made = dask.delayed(strip, pure=False, nout=3)(block, first, tile)
        parts.append(
            [
                da.from_delayed(part, shape, np.float32)
                for part, shape in zip(made, (fine, fine, coarse), strict=True)
            ]
        )
    phase, amplitude, consistency = (da.concatenate(part) for part in zip(*parts, strict=True))
    return phase, amplitude, consistency


def _within(row: _Row, tile: Tile) -> bool:
    return tile.seen[0] <= row.number < tile.seen[1]
