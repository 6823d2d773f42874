"""AIRPI: the phase of a thin specimen from a scan, strip by strip."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.airpi.inputs import ABERRATIONS, ScanConditions, ScanInputs, scan_inputs
from stem_plugins.airpi.reduction import Reduction, plan_reduction, reduce_patterns
from stem_plugins.airpi.tiles import MULTIPLE, Tile, strips
from stem_plugins.optics.aberrations import aberration_coefficients
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["conditions_of", "draw_tiles", "reduced_rows"]

#: Rows of the scan that are reduced at once.
ROWS = 16


def reduced_rows(
    data: np.ndarray | da.Array, reduction: Reduction, repeat: int
) -> Iterator[NDArray[np.float32]]:
    """Reduce a scan row by row.

    Parameters
    ----------
    data
        (scan_y, scan_x, ky, kx).
    reduction
        Of its detector.
    repeat
        Edge of the box of patterns that are summed into one.

    Yields
    ------
    ndarray
        (rows, columns, cells + sectors), as many rows as were read at once.
    """
    rows, columns = (size // repeat * repeat for size in data.shape[:2])
    together = max(1, ROWS // repeat) * repeat
    for first in range(0, rows, together):
        block = np.asarray(data[first : min(first + together, rows), :columns])
        found = reduce_patterns(block, reduction)
        if repeat > 1:
            boxes = found.reshape(len(found) // repeat, repeat, columns // repeat, repeat, -1)
            found = boxes.sum(axis=(1, 3))
        yield found


def conditions_of(acquisition: Acquisition, repeat: int, electrons: float) -> ScanConditions:
    """Turn a calibration into the units of the network.

    Parameters
    ----------
    acquisition
        Complete but for aberrations.
    repeat
        Edge of the boxes of patterns.
    electrons
        In a mean pattern of the scan.
    """
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    assert acquisition.scan_step is not None
    angle = acquisition.convergence_angle * 1e-3
    unit = wavelength(acquisition.beam_energy) / angle
    coefficients = aberration_coefficients(acquisition.aberrations, acquisition.defocus)
    aberrations = []
    for name, fold in ABERRATIONS.items():
        order = int(name[1]) + 1
        size = 2 * np.pi / unit * angle ** (order - 1) * coefficients.get(name, 0.0) / order
        # cos m(φ - φ_m) = Re[exp(i m φ_m) exp(-i m φ)], and ω* = r exp(-iφ).
        turn = fold * coefficients.get(f"phi{name[1:]}", 0.0)
        aberrations.append(complex(size * math.cos(turn), size * math.sin(turn)))
    step_y, step_x = (repeat * step / unit for step in acquisition.scan_step)
    return ScanConditions((step_y, step_x), electrons, unit, tuple(aberrations))


def draw_tiles(
    cells: NDArray[np.float32],
    row_tile: Tile,
    conditions: ScanConditions,
    network: torch.nn.Module,
    device: str,
) -> NDArray[np.float32]:
    """Draw a strip of the image.

    Parameters
    ----------
    cells
        Of the rows that the strip sees, (rows, columns, cells + sectors), counts.
    row_tile
        The strip.
    conditions
        Of the scan.
    network
        That draws.
    device
        Where.

    Returns
    -------
    ndarray
        Phase [rad] of the rows that are drawn, (2 rows, 2 columns).
    """
    parts = []
    for tile in strips(cells.shape[1]):
        seen = np.moveaxis(cells[:, slice(*tile.seen)], -1, 0)
        phase = _draw(seen, conditions, network, device)
        first, last = (2 * (edge - tile.seen[0]) for edge in tile.drawn)
        parts.append(phase[:, first:last])
    first, last = (2 * (edge - row_tile.seen[0]) for edge in row_tile.drawn)
    return np.concatenate(parts, axis=1)[first:last]


def _draw(
    counts: NDArray[np.float32],
    conditions: ScanConditions,
    network: torch.nn.Module,
    device: str,
) -> NDArray[np.float32]:
    total = float(counts.sum(axis=0).mean())
    _, rows, columns = counts.shape
    if total <= 0:
        return np.zeros((2 * rows, 2 * columns), np.float32)
    inputs = _padded(scan_inputs(counts / total, dataclasses.replace(conditions)))
    with torch.inference_mode():
        found = network(
            *(
                torch.from_numpy(part)[None].to(device)
                for part in (inputs.channels, inputs.conditions, inputs.base)
            )
        )
    phase: NDArray[np.float32] = found[0].cpu().numpy()
    return phase[: 2 * rows, : 2 * columns]


def _padded(inputs: ScanInputs) -> ScanInputs:
    """Repeat the last rows and columns up to sides that the network can halve twice."""
    _, rows, columns = inputs.channels.shape
    more = (-rows % MULTIPLE, -columns % MULTIPLE)
    if more == (0, 0):
        return inputs
    channels = np.pad(inputs.channels, ((0, 0), (0, more[0]), (0, more[1])), mode="edge")
    base = np.pad(inputs.base, ((0, 2 * more[0]), (0, 2 * more[1])), mode="edge")
    return ScanInputs(channels, inputs.conditions, base)


def whole_phase(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    network: torch.nn.Module,
    *,
    repeat: int = 1,
    electrons: float,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Draw all of a scan, (2 rows, 2 columns)."""
    reduction = plan_reduction((data.shape[2], data.shape[3]), acquisition)
    conditions = conditions_of(acquisition, repeat, electrons * repeat**2)
    source = reduced_rows(data, reduction, repeat)
    kept: NDArray[np.float32] | None = None
    top, found = 0, []
    for tile in strips(data.shape[0] // repeat):
        while kept is None or top + len(kept) < tile.seen[1]:
            new = next(source)
            kept = new if kept is None else np.concatenate([kept, new])
        kept, top = kept[tile.seen[0] - top :], tile.seen[0]
        seen = kept[: tile.seen[1] - tile.seen[0]]
        found.append(draw_tiles(seen, tile, conditions, network, device))
    return np.concatenate(found)
