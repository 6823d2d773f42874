"""One look at the headers of all frames of a Merlin file, or of enough of them.

Each frame has a header of its own, and any of them may be damaged, lack, or tell of another frame
than the first. Reading all of a long file would take as long as a pass over its patterns, so that
every so many are read, and all those between only where something is not as it should be.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stem_plugins.io.merlin_header import MerlinHeader

__all__ = ["EMPTY", "LIKE_FIRST", "OTHER", "FrameStarts", "look_at_frames"]

#: Bytes from the start of a header that are read: the fields up to the arrangement of the chips.
START_BYTES = 64

#: About how many headers are read at first: 5 µs each, where the first pass over a frame takes 20.
HEADERS_AT_FIRST = 2048

#: Headers read between two looks at the clock, and how long [s] that may go on: on a slow disc,
#: opening a file must not mean reading a page of every frame.
HEADERS_TOGETHER = 256
LONGEST_CHECK = 0.25

#: What a header can be: as the first one, nothing but zeros, or something else.
LIKE_FIRST, EMPTY, OTHER = 0, 1, 2

#: Fields behind the frame's number that all frames must have as the first one has them: header
#: size, width, height and pixel type.
SAME_FIELDS = (0, 2, 3, 4)


@dataclasses.dataclass(frozen=True)
class FrameStarts:
    """What the headers of a file's frames say, one after the other.

    Parameters
    ----------
    numbers
        (frames seen,) int64: number of each frame as its header has it; -1 where there is none.
        Fewer than all frames where the disc is too slow to read all headers at once.
    kinds
        (frames seen,) `LIKE_FIRST`, `EMPTY` or `OTHER`.
    last_number, last_kind
        The same of the last frame of the file, which is always looked at.
    """

    numbers: np.ndarray
    kinds: np.ndarray
    last_number: int
    last_kind: int


def look_at_frames(path: Path, header: MerlinHeader, frames: int) -> FrameStarts:
    """Find out the number of each frame, and whether its header is like the first.

    Parameters
    ----------
    path
        The ``.mib`` file.
    header
        Of the first frame; all frames are of one size.
    frames
        Complete frames in the file.

    Returns
    -------
    FrameStarts
        Of files up to `HEADERS_AT_FIRST` frames every header is read. Of longer ones every so
        many are read, and all those between two only where these are not alike, or their numbers
        did not advance as the frames do: what goes wrong and right again within such a step stays
        unseen.
    """
    end = time.monotonic() + LONGEST_CHECK
    # Small reads: through a memory map, each would cost a page fault, three times as much.
    with open(path, "rb", buffering=0) as file:
        first = _first_fields(file)
        places = np.append(np.arange(0, frames - 1, max(1, frames // HEADERS_AT_FIRST)), frames - 1)
        found, kinds_found = _parse(_read_starts(file, header, places, end), first)
        places = places[: found.size]
        steps = np.diff(places)
        alike = kinds_found[1:] == kinds_found[:-1]
        advancing = (np.diff(found) == steps) & (found[:-1] >= 0)
        regular = alike & np.where(kinds_found[:-1] == EMPTY, True, advancing)
        segment = np.searchsorted(places[1:], np.arange(places[-1]), side="right")
        numbers = np.repeat(found[-1], places[-1] + 1)
        kinds = np.repeat(kinds_found[-1], places[-1] + 1)
        numbers[:-1] = found[segment] + np.arange(places[-1]) - places[segment]
        kinds[:-1] = kinds_found[segment]
        between = [
            np.arange(places[i] + 1, places[i + 1]) for i in np.flatnonzero(~regular & (steps > 1))
        ]
        if between:
            unsure = np.concatenate(between)
            read, kinds_read = _parse(_read_starts(file, header, unsure, end), first)
            numbers[unsure[: read.size]] = read
            kinds[unsure[: read.size]] = kinds_read
            if read.size < unsure.size:
                numbers, kinds = numbers[: unsure[read.size]], kinds[: unsure[read.size]]
        numbers[kinds == EMPTY] = -1
        last, last_kind = _parse(_read_starts(file, header, [frames - 1], end), first)
    return FrameStarts(numbers, kinds, int(last[0]), int(last_kind[0]))


def _read_starts(
    file: BinaryIO, header: MerlinHeader, places: Iterable[int], end: float
) -> np.ndarray:
    """Read the first bytes of some headers, one at least, until a time on the clock."""
    starts, frame_bytes = [], header.frame_bytes
    for place in places:
        file.seek(int(place) * frame_bytes)
        # Frames of a few pixels behind a short header may end before.
        starts.append(file.read(START_BYTES).ljust(START_BYTES, b"\0"))
        if len(starts) % HEADERS_TOGETHER == 0 and time.monotonic() > end:
            break
    return np.frombuffer(b"".join(starts), np.uint8).reshape(-1, START_BYTES)


def _first_fields(file: BinaryIO) -> bytes:
    """Return the text behind the number of the first frame, up to its pixel type."""
    file.seek(0)
    fields = file.read(START_BYTES).split(b",")
    return b",".join([b"", *fields[2:7], b""])


def _parse(starts: np.ndarray, first: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return the number behind ``MQ1,`` and the kind of many headers at once."""
    characters = np.ascontiguousarray(starts.T).astype(np.int64)
    digits = characters[4:16] - ord("0")
    numbers = np.zeros(starts.shape[0], np.int64)
    inside = np.ones(starts.shape[0], bool)
    length = np.zeros(starts.shape[0], np.int64)
    for digit in digits:
        inside &= (digit >= 0) & (digit <= 9)
        numbers = np.where(inside, 10 * numbers + digit, numbers)
        length += inside
    marked = np.all(starts[:, :4] == np.frombuffer(b"MQ1,", np.uint8), axis=1)
    numbers = np.where(marked & (length > 0), numbers, -1)
    kinds = np.full(starts.shape[0], OTHER, np.int8)
    kinds[~starts.any(axis=1)] = EMPTY
    wanted = np.frombuffer(first, np.uint8)
    for digits_here in np.unique(length[marked]):
        behind = starts[:, 4 + digits_here :][:, : wanted.size]
        same = marked & (length == digits_here)
        if behind.shape[1] == wanted.size:
            same &= np.all(behind == wanted, axis=1)
            kinds[same] = LIKE_FIRST
    for odd in np.flatnonzero(marked & (kinds == OTHER)):
        if _same_frame(starts[odd].tobytes().split(b",")[2:7], first.split(b",")[1:6]):
            kinds[odd] = LIKE_FIRST
    return numbers, kinds


def _same_frame(fields: list[bytes], first: list[bytes]) -> bool:
    """Whether fields tell of the same frame, however they are written."""
    return len(fields) == len(first) and all(
        fields[i].strip().lstrip(b"0") == first[i].strip().lstrip(b"0") for i in SAME_FIELDS
    )
