"""Frames that a Merlin file lacks, or holds twice, as the numbers in their headers tell.

A detector that drops a frame goes on counting, so every scan position behind it is shifted; unless
something, such as a copy of the frame before, was written in its place.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Iterator

import numpy as np

from stem_plugins.io.merlin_sampling import FrameStarts

__all__ = ["NumberingFaults", "in_words", "named", "numbering_faults", "warn_of_numbering"]

#: So many faults, or stretches of frames, are named one by one.
MOST_NAMED = 5


@dataclasses.dataclass(frozen=True)
class NumberingFaults:
    """Gaps and repetitions in the numbers of consecutive frames.

    Parameters
    ----------
    missing
        First and last number of each gap.
    doubled
        Numbers that the next frame has again.
    replaced
        Numbers whose frames hold a copy of the one before, and its number. They are in none of
        the other two.
    shifts
        Place in the file, from 0, of each frame behind a gap or repetition, and by how many
        scan positions frames are shifted from there on: too early above zero.
    """

    missing: list[tuple[int, int]]
    doubled: list[int]
    replaced: list[int]
    shifts: list[tuple[int, int]]


def numbering_faults(numbers: np.ndarray) -> NumberingFaults:
    """Find gaps and repetitions in the numbers of consecutive frames.

    Parameters
    ----------
    numbers
        (frames,) whole numbers, -1 where unknown. That they start again, as at each trigger or
        after 999999, is no fault, and neither is a number that never changes.

    Returns
    -------
    NumberingFaults
        What was found.

    Examples
    --------
    >>> faults = numbering_faults(np.array([1, 2, 5, 6, 6, 7, 8, 8, 10]))
    >>> faults.missing, faults.doubled, faults.replaced, faults.shifts
    ([(3, 4)], [6], [9], [(2, 2), (4, 1)])
    """
    before, after = numbers[:-1], numbers[1:]
    change = np.where((before >= 0) & (after >= before), after - before - 1, 0)
    if (change == -1).all():
        change[:] = 0
    found = NumberingFaults([], [], [], [])
    shift = 0
    for place, copies, lost in _faults(change):
        number = int(numbers[place])
        if copies == lost:
            found.replaced.extend(range(number + 1, number + 1 + copies))
            continue
        shift += lost - copies
        found.shifts.append((place + 1, shift))
        if lost:
            found.missing.append((number + 1, number + lost))
        found.doubled.extend([number] * copies)
    return found


def _faults(change: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Place before each fault, copies there, and numbers lost.

    Only where as many are lost right behind some copies are both above zero: a replacement.
    """
    places = np.flatnonzero(change).tolist()
    i = 0
    while i < len(places):
        place, copies = places[i], 0
        while i + copies < len(places) and places[i + copies] == place + copies:
            if change[place + copies] != -1:
                break
            copies += 1
        if not copies:
            yield place, 0, int(change[place])
            i += 1
        elif place + copies < change.size and change[place + copies] == copies:
            yield place, copies, copies
            i += copies + 1
        else:
            yield place, copies, 0
            i += copies


def warn_of_numbering(name: str, starts: FrameStarts, frames: int, *, stacklevel: int) -> None:
    """Warn of frames that were lost, or written twice.

    Parameters
    ----------
    name
        Of the file.
    starts
        What the headers say.
    frames
        Complete frames in the file.
    stacklevel
        As for `warnings.warn`, counted from the caller.

    Warns
    -----
    UserWarning
        There are such frames.
    """
    numbers = starts.numbers
    found = numbering_faults(numbers)
    faults = []
    unseen = frames - numbers.size
    lost_unseen = 0
    if unseen and starts.last_number >= 0 and numbers[-1] >= 0:
        lost_unseen = max(0, starts.last_number - int(numbers[-1]) - unseen)
    if lost_unseen:
        faults.append(f"{lost_unseen} missing (after {numbers[-1]})")
    if found.missing:
        lost = sum(last - first + 1 for first, last in found.missing)
        faults.append(f"{lost} missing ({named(in_words(found.missing))})")
    if found.doubled:
        faults.append(f"{len(found.doubled)} there twice ({named(map(str, found.doubled))})")
    if found.replaced:
        faults.append(
            f"{len(found.replaced)} replaced by a copy of the frame before "
            f"({named(map(str, found.replaced))})"
        )
    if faults:
        warnings.warn(
            f"{name}: the frames' numbers show faults: {', '.join(faults)}. "
            f"{_consequence(found, lost_unseen=lost_unseen)}",
            stacklevel=stacklevel + 1,
        )


def _consequence(found: NumberingFaults, *, lost_unseen: int) -> str:
    """Say which scan positions hold the patterns of others."""
    if not found.shifts and not lost_unseen:
        return "Those positions show the pattern before; no other scan position is shifted."
    final = found.shifts[-1][1] if found.shifts else 0
    if final or lost_unseen:
        behind = "behind a missing or doubled frame" if found.replaced else "behind such a frame"
        return f"All scan positions {behind} are shifted."
    return (
        f"The scan positions of frames {found.shifts[0][0] + 1} to {found.shifts[-1][0]} of the "
        "file are shifted; those behind are in place again."
    )


def in_words(ranges: Iterable[tuple[int, int]]) -> list[str]:
    """Return ``"3"`` or ``"3 to 5"`` for the first and last number of each range.

    Parameters
    ----------
    ranges
        Pairs of numbers.
    """
    return [f"{first}" if first == last else f"{first} to {last}" for first, last in ranges]


def named(items: Iterable[str], more: str = "more") -> str:
    """Return the first few of some names, and how many more there are.

    Parameters
    ----------
    items
        The names.
    more
        What those are called that are not named.
    """
    names = list(items)
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} {more}" if rest > 0 else "")
