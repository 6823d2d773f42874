"""What both designs share on their way through a scan: rows to read, and strips of an image."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stem_plugins.lazy.blocks import file_reader, is_lazy
from stem_plugins.rapid_phase_imaging.planning import Plan
from stem_plugins.rapid_phase_imaging.reduction import Reduction, reduce_patterns

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Strip", "Watch", "image_shape", "read_rows", "reduce_boxes", "scan_shape"]

#: Bytes of patterns that are reduced at once.
BLOCK_BYTES = 16 * 2**20

#: Bytes of lazy data that are read at once where they are one chunk.
LARGEST_CHUNK = 256 * 2**20

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
    amplitude
        Of these rows; ``None``: the design knows none.
    head, tail
        Mean phase of the positions that the strips before and after see, too. The default design
        does not know the mean of the whole scan from a strip, but where two overlap they must
        agree.
    """

    rows: slice
    phase: NDArray[np.float32]
    boxes: slice
    consistency: NDArray[np.float32]
    amplitude: NDArray[np.float32] | None = None
    head: float = 0.0
    tail: float = 0.0


class Watch:
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


def scan_shape(data: np.ndarray | da.Array, plan: Plan) -> tuple[int, int]:
    """Rows and columns of positions, or of boxes of them; what fills no box is left out."""
    rows, columns = (size // plan.repeat for size in data.shape[:2])
    return rows, columns


def image_shape(data: np.ndarray | da.Array, plan: Plan) -> tuple[int, int]:
    """Pixels of the image (y, x)."""
    rows, columns = (size * plan.repeat * plan.oversample for size in scan_shape(data, plan))
    return rows, columns


def read_rows(data: np.ndarray | da.Array, plan: Plan) -> Iterator[np.ndarray]:
    """Read some rows of patterns at a time, whole boxes of them.

    Parameters
    ----------
    data
        (scan_y, scan_x, ky, kx).
    plan
        How they are imaged.
    """
    rows, columns = (size * plan.repeat for size in scan_shape(data, plan))
    row_bytes = int(np.prod(data.shape[1:])) * data.dtype.itemsize
    together = max(1, BLOCK_BYTES // (plan.repeat * row_bytes)) * plan.repeat
    chunks = data.chunks[0] if is_lazy(data) else ()
    if plan.repeat == 1 and 0 < max(chunks, default=0) * row_bytes <= LARGEST_CHUNK:
        edges = _edges_of_chunks(chunks, together)
    else:
        edges = [*range(0, rows, together), rows]
    in_file = file_reader(data) if is_lazy(data) else None
    for first, last in itertools.pairwise(edges):
        if in_file is not None:
            yield np.asarray(in_file((first, last), (0, columns)))
        else:
            yield np.asarray(data[first:last, :columns])


def _edges_of_chunks(chunks: tuple[int, ...], together: int) -> list[int]:
    """Rows between which whole chunks lie, small ones together: what is cut is copied."""
    edges = [0]
    for last in itertools.accumulate(chunks):
        if len(edges) > 1 and last - edges[-2] <= together:
            edges.pop()
        edges.append(last)
    return edges


def reduce_boxes(block: np.ndarray, reduction: Reduction, repeat: int) -> NDArray[np.float32]:
    """Reduce patterns, and sum them over boxes of positions.

    Parameters
    ----------
    block
        Of `read_rows`.
    reduction
        To what.
    repeat
        Edge of the boxes.
    """
    cells = reduce_patterns(block, reduction)
    if repeat == 1:
        return cells
    rows, columns, _ = cells.shape
    boxes = cells.reshape(rows // repeat, repeat, columns // repeat, repeat, -1)
    return boxes.sum(axis=(1, 3))
