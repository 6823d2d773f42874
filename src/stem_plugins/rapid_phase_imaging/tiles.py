"""Where a scan is cut so that its image can be made piece by piece, whatever its size.

The cuts follow from the scan's shape alone, so that chunks of lazy data, rows that arrive and whole
arrays all give the same image.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

__all__ = ["MARGIN", "MULTIPLE", "Tile", "strips"]

#: Positions around a tile that are looked at, but not drawn.
MARGIN = 16

#: Positions of a tile along an edge that are drawn.
CORE = 96

#: Sides can be divided by this.
MULTIPLE = 4


@dataclasses.dataclass(frozen=True)
class Tile:
    """Positions that are looked at, and those of them that are drawn.

    Parameters
    ----------
    seen, drawn
        First and last but one row or column, of the scan.
    before, after
        How many of the positions that are seen the tiles before and after see, too.
    """

    seen: tuple[int, int]
    drawn: tuple[int, int]
    before: int
    after: int


def strips(size: int, *, core: int | None = None, margin: int | None = None) -> Iterator[Tile]:
    """Cut an axis of a scan into tiles.

    Parameters
    ----------
    size
        Positions along the axis.
    core, margin
        Positions of a tile that are drawn, about, and those around that are looked at; ``None``:
        `CORE`, `MARGIN`.

    Examples
    --------
    >>> [(tile.seen, tile.drawn, tile.before, tile.after) for tile in strips(150)]
    [((0, 91), (0, 75), 0, 32), ((59, 150), (75, 150), 32, 0)]
    """
    core, margin = CORE if core is None else core, MARGIN if margin is None else margin
    count = max(1, round(size / core))
    edges = [size * index // count for index in range(count + 1)]
    seen = [
        (max(0, first - margin), min(size, last + margin))
        for first, last in itertools.pairwise(edges)
    ]
    for number, drawn in enumerate(itertools.pairwise(edges)):
        first, last = seen[number]
        before = seen[number - 1][1] - first if number else 0
        after = last - seen[number + 1][0] if number + 1 < count else 0
        yield Tile((first, last), drawn, before, after)
