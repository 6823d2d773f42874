"""Frames that a Merlin file lacks, or holds twice, as the numbers in their headers tell.

A detector that drops a frame goes on counting, so every scan position behind it is shifted.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stem_plugins.io.merlin_header import MerlinHeader

__all__ = ["frame_numbers", "numbering_faults", "warn_of_numbering"]

#: Bytes from the start of a header in which the frame's number is looked for: ``MQ1,000001,``.
NUMBER_BYTES = 16

#: About how many headers are read at first: 5 µs each, where the first pass over a frame takes 20.
HEADERS_AT_FIRST = 2048

#: Headers read between two looks at the clock, and how long [s] that may go on: on a slow disc,
#: opening a file must not mean reading a page of every frame.
HEADERS_TOGETHER = 256
LONGEST_CHECK = 0.25

#: So many faults are named one by one.
MOST_NAMED = 5


def frame_numbers(
    path: Path, header: MerlinHeader, frames: int, *, only_last: bool = False
) -> np.ndarray:
    """Find out the number of each frame, as its header has it.

    Parameters
    ----------
    path
        The ``.mib`` file.
    header
        Of the first frame; all frames are of one size.
    frames
        Complete frames in the file.
    only_last
        Whether to read the number of the last frame alone.

    Returns
    -------
    numpy.ndarray
        (frames,) int64, shorter where the disc is too slow to read all headers at once.
        -1 where there is no number. Of long files every so many headers are read, and all those
        between only where the numbers did not advance as the frames do: what is lost and doubled
        again within such a step stays unseen.
    """
    end = time.monotonic() + LONGEST_CHECK
    # Small reads: through a memory map, each would cost a page fault, three times as much.
    with open(path, "rb", buffering=0) as file:
        if only_last:
            return _read_numbers(file, header, [frames - 1], end)
        places = np.append(np.arange(0, frames - 1, max(1, frames // HEADERS_AT_FIRST)), frames - 1)
        found = _read_numbers(file, header, places, end)
        places = places[: found.size]
        steps = np.diff(places)
        regular = (np.diff(found) == steps) & (found[:-1] >= 0)
        numbers = np.repeat(found[-1], places[-1] + 1)
        segment = np.searchsorted(places[1:], np.arange(places[-1]), side="right")
        numbers[:-1] = found[segment] + np.arange(places[-1]) - places[segment]
        between = [
            np.arange(places[i] + 1, places[i + 1]) for i in np.flatnonzero(~regular & (steps > 1))
        ]
        if between:
            unsure = np.concatenate(between)
            read = _read_numbers(file, header, unsure, end)
            numbers[unsure[: read.size]] = read
            if read.size < unsure.size:
                numbers = numbers[: unsure[read.size]]
    return numbers


def _read_numbers(
    file: BinaryIO, header: MerlinHeader, places: Iterable[int], end: float
) -> np.ndarray:
    """Read the numbers of some frames, one at least, until a time on the clock."""
    starts, frame_bytes = [], header.frame_bytes
    for place in places:
        file.seek(int(place) * frame_bytes)
        starts.append(file.read(NUMBER_BYTES))
        if len(starts) % HEADERS_TOGETHER == 0 and time.monotonic() > end:
            break
    return _parse(np.frombuffer(b"".join(starts), np.uint8).reshape(-1, NUMBER_BYTES))


def _parse(starts: np.ndarray) -> np.ndarray:
    """Return the number behind ``MQ1,`` of many headers at once."""
    characters = np.ascontiguousarray(starts.T).astype(np.int64)
    digits = characters[4:] - ord("0")
    numbers = np.zeros(starts.shape[0], np.int64)
    inside = np.ones(starts.shape[0], bool)
    for digit in digits:
        inside &= (digit >= 0) & (digit <= 9)
        numbers = np.where(inside, 10 * numbers + digit, numbers)
    known = (characters[0] == ord("M")) & (digits[0] >= 0) & (digits[0] <= 9)
    return np.where(known, numbers, -1)


def numbering_faults(numbers: np.ndarray) -> tuple[list[tuple[int, int]], list[int]]:
    """Find gaps and repetitions in the numbers of consecutive frames.

    Parameters
    ----------
    numbers
        (frames,) whole numbers, -1 where unknown. That they start again, as at each trigger or
        after 999999, is no fault, and neither is a number that never changes.

    Returns
    -------
    missing : list of (int, int)
        First and last number of each gap.
    doubled : list of int
        Numbers that the next frame has again.

    Examples
    --------
    >>> numbering_faults(np.array([1, 2, 5, 6, 6, 7]))
    ([(3, 4)], [6])
    """
    before, after = numbers[:-1], numbers[1:]
    known = (before >= 0) & (after >= 0)
    gaps = np.flatnonzero(known & (after > before + 1))
    missing = [(int(before[i]) + 1, int(after[i]) - 1) for i in gaps]
    same = known & (after == before)
    doubled = [] if same.all() else numbers[:-1][same].tolist()
    return missing, doubled


def warn_of_numbering(path: Path, header: MerlinHeader, frames: int, *, stacklevel: int) -> None:
    """Warn of frames that were lost, or written twice.

    Parameters
    ----------
    path, header, frames
        As for `frame_numbers`.
    stacklevel
        As for `warnings.warn`, counted from the caller.

    Warns
    -----
    UserWarning
        There are such frames.
    """
    numbers = frame_numbers(path, header, frames)
    missing, doubled = numbering_faults(numbers)
    faults = []
    unseen = frames - numbers.size
    if unseen:
        last = frame_numbers(path, header, frames, only_last=True)
        lost = int(last[0] - numbers[-1]) - unseen
        faults += [f"{lost} missing (after {numbers[-1]})"] if lost > 0 else []
    if missing:
        lost = sum(last - first + 1 for first, last in missing)
        ranges = [f"{a}" if a == b else f"{a} to {b}" for a, b in missing]
        faults.append(f"{lost} missing ({_named(ranges)})")
    if doubled:
        faults.append(f"{len(doubled)} there twice ({_named(map(str, doubled))})")
    if faults:
        warnings.warn(
            f"{path.name}: the frames' numbers show faults: {', '.join(faults)}. "
            "All scan positions behind such a frame are shifted.",
            stacklevel=stacklevel + 1,
        )


def _named(items: Iterable[str]) -> str:
    names = list(items)
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
