"""Headers in the middle of a Merlin file that are damaged, lacking, or of other frames."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stem_plugins.io.merlin_header import MerlinHeader, parse_frame_header
from stem_plugins.io.merlin_numbering import in_words, named, warn_of_numbering
from stem_plugins.io.merlin_sampling import EMPTY, LIKE_FIRST, OTHER, FrameStarts, look_at_frames

__all__ = ["check_frames"]


def check_frames(path: Path, header: MerlinHeader, frames: int, *, stacklevel: int) -> None:
    """Check that all frames are like the first: their places, headers and numbers.

    Parameters
    ----------
    path
        The ``.mib`` file.
    header
        Of the first frame.
    frames
        Complete frames in the file, two at least.
    stacklevel
        As for `warnings.warn`, counted from the caller.

    Raises
    ------
    ValueError
        Frames do not start where they should, have no header, or are of another size or type.

    Warns
    -----
    UserWarning
        Frames were not filled, lost, or written twice.
    """
    with open(path, "rb") as file:
        _check_places(file, header, frames, path.name)
    starts = look_at_frames(path, header, frames)
    if starts.last_kind == OTHER or (starts.kinds == OTHER).any():
        with open(path, "rb") as file:
            raise ValueError(_of_other_frames(file, header, frames, starts, path.name))
    unfilled = _stretches(starts, EMPTY, frames)
    if unfilled:
        if not (starts.kinds[1:] == LIKE_FIRST).any() and starts.last_kind != LIKE_FIRST:
            # Nothing confirms the size of a frame, and zeros may be pixels as well.
            raise ValueError(_no_start(path.name, header, frames, 2))
        warnings.warn(
            f"{path.name}: {_named(unfilled)} of {frames} {_are(unfilled)} empty of headers, the "
            "file was not filled there. Their patterns are read as they are, zeros as a rule.",
            stacklevel=stacklevel + 1,
        )
    warn_of_numbering(path.name, starts, frames, stacklevel=stacklevel + 1)


def _check_places(file: BinaryIO, header: MerlinHeader, frames: int, name: str) -> None:
    """Check that frames start where they should: a wrong size in the header would shear all."""
    for number in (2, frames):
        file.seek((number - 1) * header.frame_bytes)
        start = file.read(header.header_bytes)
        if not any(start):
            if number == 2 and _has_another_marker(file, header):
                raise ValueError(_no_start(name, header, frames, number))
            continue
        found = parse_frame_header(start, source=name) if start.startswith(b"MQ1,") else None
        if found is None or found.frame_bytes != header.frame_bytes:
            raise ValueError(_no_start(name, header, frames, number))


def _has_another_marker(file: BinaryIO, header: MerlinHeader) -> bool:
    """Whether the second frame starts elsewhere than the first header says."""
    file.seek(4)
    return b"MQ1," in file.read(2 * header.frame_bytes - 4)


def _no_start(name: str, header: MerlinHeader, frames: int, number: int) -> str:
    return (
        f"{name}: frame {number} of {frames} does not start at byte "
        f"{(number - 1) * header.frame_bytes}, where the first header ({header.header_bytes} bytes "
        f"of header, {header.payload_bytes} bytes of pixels) says it should. The header is wrong "
        "or the file is damaged."
    )


def _of_other_frames(
    file: BinaryIO, header: MerlinHeader, frames: int, starts: FrameStarts, name: str
) -> str:
    """Say which frames are not like the first, and what the first of them is."""
    odd = np.flatnonzero(starts.kinds == OTHER)
    place = int(odd[0]) if odd.size else frames - 1
    file.seek(place * header.frame_bytes)
    start = file.read(header.header_bytes)
    stretches = _stretches(starts, OTHER, frames)
    which, verb = _named(stretches), _are(stretches)
    if start.startswith(b"MQ1,"):
        try:
            found = parse_frame_header(start, source=f"frame {place + 1}")
            theirs = _size_and_type(found)
        except ValueError as error:
            theirs = f"a damaged header ({error})"
        what = (
            f"{which} of {frames} {verb} not like the first: frame {place + 1} has {theirs}, the "
            f"first {_size_and_type(header)}"
        )
    else:
        what = (
            f"{which} of {frames} {verb} without the marker 'MQ1' (frame {place + 1} begins with "
            f"{start[:8]!r}), so that the size and type of their pixels are not known"
        )
    return (
        f"{name}: {what}. The file is damaged, or of several acquisitions. The frames before can "
        f"be read from a copy, for example by head -c {place * header.frame_bytes} {name} > "
        "part.mib"
    )


def _size_and_type(header: MerlinHeader) -> str:
    return (
        f"{header.height} rows × {header.width} columns of {header.pixel_type} behind "
        f"{header.header_bytes} bytes of header"
    )


def _stretches(starts: FrameStarts, kind: int, frames: int) -> list[tuple[int, int]]:
    """Return the first and last frame, counted from 1, of each stretch of one kind."""
    places = np.flatnonzero(starts.kinds == kind)
    if starts.kinds.size < frames and starts.last_kind == kind:
        places = np.append(places, frames - 1)
    ends = np.flatnonzero(np.diff(places) > 1)
    first = places[np.append(0, ends + 1)] if places.size else places
    last = places[np.append(ends, places.size - 1)] if places.size else places
    return [(int(a) + 1, int(b) + 1) for a, b in zip(first, last, strict=True)]


def _named(stretches: list[tuple[int, int]]) -> str:
    plural = "s" if _are(stretches) == "are" else ""
    return f"frame{plural} {named(in_words(stretches), 'more stretches')}"


def _are(stretches: list[tuple[int, int]]) -> str:
    return "is" if len(stretches) == 1 and stretches[0][0] == stretches[0][1] else "are"
