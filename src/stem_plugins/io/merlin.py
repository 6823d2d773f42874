"""Read 4D-STEM scans from Merlin ``.mib`` files.

The file is never read as a whole. Each block of the lazy array opens a memory map of its own
part of the file when it is computed and views the frames in it, so nothing is copied or
byte-swapped, memory does not grow with the file, and blocks can be computed in other processes.

Notes
-----
The format is described in `stem_plugins.io.merlin_header`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize

from stem_plugins.io.merlin_frame_check import check_frames
from stem_plugins.io.merlin_header import (
    LARGEST_HEADER,
    MerlinAcquisitionHeader,
    MerlinHeader,
    parse_acquisition_header,
    parse_frame_header,
)
from stem_plugins.io.merlin_layout import ScanLayout, find_scan_layout
from stem_plugins.io.merlin_pixels import decode_raw_frames, view_frames
from stem_plugins.io.merlin_writer import ACQUISITION_LINE
from stem_plugins.io.scan import Scan
from stem_plugins.io.scan_date import parse_date
from stem_plugins.lazy.blocks import array_of_blocks
from stem_plugins.optics.acquisition import Acquisition

__all__ = ["read_merlin"]

#: Size of one block of the lazy array: large enough to hide the cost of scheduling.
BLOCK_BYTES = 64 * 2**20

#: A block is at least one scan line, unless the line alone is larger than this.
LARGEST_BLOCK_BYTES = 256 * 2**20


@dataclasses.dataclass(frozen=True)
class _MerlinFile:
    """All that a block needs to find and decode its frames, in this process or another."""

    path: str
    header: MerlinHeader
    layout: ScanLayout
    flip_y: bool

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        """Return scan rows and columns [start, stop) as (rows, columns, ky, kx)."""
        frame = self.header.frame_bytes
        line = self.layout.frames_per_line * frame
        count = (rows[1] - rows[0], columns[1] - columns[0])
        start = (self.layout.first_frame * frame) + rows[0] * line + columns[0] * frame
        length = (count[0] - 1) * line + count[1] * frame
        try:
            buffer = np.memmap(self.path, np.uint8, "r", offset=start, shape=(length,))
        except ValueError:
            raise OSError(
                f"{self.path} has become shorter since it was opened; its frames of scan rows "
                f"{rows[0]} to {rows[1] - 1} are no longer there."
            ) from None
        if self.header.is_raw:
            pixels = self._decode(buffer, count)
        else:
            pixels = view_frames(buffer, self.header, count, (line, frame))
        return pixels[:, :, ::-1] if self.flip_y else pixels

    def _decode(self, buffer: np.ndarray, count: tuple[int, int]) -> np.ndarray:
        frame = self.header.frame_bytes
        line = self.layout.frames_per_line * frame
        pixels = np.empty((*count, *self.header.detector_shape), self.header.dtype)
        for row in range(count[0]):
            frames = buffer[row * line : row * line + count[1] * frame].reshape(count[1], frame)
            pixels[row] = decode_raw_frames(frames[:, self.header.header_bytes :], self.header)
        return pixels


def read_merlin(
    path: str | PathLike[str],
    *,
    scan_shape: Sequence[int] | None = None,
    skip_rows: int = 0,
    skip_columns: int = 0,
    skip_frames: int = 0,
    repeat: int | None = None,
    flip_y: bool = False,
    lazy: bool = True,
) -> Scan:
    """Read a 4D-STEM scan from a Merlin ``.mib`` file.

    Parameters
    ----------
    path
        The ``.mib`` file or the ``.hdr`` file beside it (same name); the ``.hdr`` may be missing
        when ``scan_shape`` is given.
    scan_shape
        Scan positions (rows, columns) of the result, without flyback. By default from ScanX and
        ScanY of the ``.hdr``, else from its frames per trigger (one trigger per scan line); these
        count every recorded frame, so ``skip_rows`` and ``skip_columns`` are taken off them.
        It is never guessed from the time between frames.
    skip_rows
        Recorded lines after the last line of each scan that belong to the flyback.
    skip_columns
        Recorded frames after the last position of each line that belong to the flyback.
    skip_frames
        Frames at the start of the file that belong to no scan.
    repeat
        Which scan to read, from 0, where the file holds several of the same shape or more frames
        than one scan; the other frames are left out. By default the file must hold exactly one.
    flip_y
        Whether to turn the rows of the detector upside down (a view, nothing is copied). By
        default row 0 is the first row in the file, as in LiberTEM; RosettaSciIO and so
        ``hyperspy.api.load`` flip the rows.
    lazy
        Whether to return a dask array. Otherwise the array is a memory map of the file; only raw
        (R64) data are then decoded into memory.

    Returns
    -------
    Scan
        ``data[scan_y, scan_x, ky, kx]``: unsigned counts, big-endian views into the file except
        for raw data. ``acquisition`` is what `write_merlin` kept; from other files only
        ``dwell_time``, the exposure of one frame (without the gap between frames, which headers
        do not tell). ``metadata`` has
        the lines of the ``.hdr`` by name under ``"hdr"``, the first frame header under ``"mq1"``,
        ``"frames"``, the number of complete frames in the file, and, where it is known,
        ``"taken"``, when the first frame of the scan was taken (ISO 8601, with Z for UTC).
        ``largest_count`` is what the counters can hold.

    Raises
    ------
    FileNotFoundError
        There is no such ``.mib`` file.
    ValueError
        The file is no Merlin data, or damaged, or frames are of another size or type than the
        first, or their number does not go with the scan shape. The message says how to load what
        is there, for example the complete lines of an interrupted scan.

    Warns
    -----
    UserWarning
        The last frame is incomplete and left out; frames were lost while recording, are there
        twice, or were never filled (of more than 2048 frames a part is looked at, and on a slow
        disc only the first and the last); a scan line is missing; the scan may
        not be a single line; raw frames of a detector with a gap between its
        chips are shown without it.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from stem_plugins.io import read_merlin, write_merlin
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "scan.mib"
    >>> write_merlin(path, np.arange(6 * 16, dtype="uint16").reshape(2, 3, 4, 4))
    >>> scan = read_merlin(path)
    >>> scan.data.shape, scan.data.dtype.str, int(scan.data[1, 2, 3, 3].compute())
    ((2, 3, 4, 4), '>u2', 95)
    """
    mib, hdr = find_merlin_files(path)
    header, frames = _read_first_header(mib)
    acquisition_header = _read_hdr(hdr)
    if acquisition_header is not None:
        _check_same_detector(header, acquisition_header, mib.name, hdr.name)
    layout = find_scan_layout(
        frames,
        acquisition_header,
        scan_shape=scan_shape,
        skip_rows=skip_rows,
        skip_columns=skip_columns,
        skip_frames=skip_frames,
        repeat=repeat,
        source=mib.name,
    )
    if header.is_quad and header.layout.endswith("G"):
        warnings.warn(
            f"{mib.name}: raw frames leave out the gap between the four chips, so pixels on "
            "either side of it are shown as neighbours.",
            stacklevel=2,
        )
    file = _MerlinFile(str(mib.absolute()), header, layout, bool(flip_y))
    data = _lazy_array(file) if lazy else file.read((0, layout.shape[0]), (0, layout.shape[1]))
    acquisition = _acquisition(header, acquisition_header, flip_y=flip_y, source=hdr.name)
    metadata: dict[str, Any] = {
        "hdr": dict(acquisition_header.values) if acquisition_header else {},
        "mq1": dataclasses.asdict(header),
        "frames": frames,
    }
    timestamp = header.timestamp if not layout.first_frame else _timestamp(mib, header, layout)
    if parse_date(timestamp):
        metadata["taken"] = timestamp
    return Scan(data, acquisition, metadata, header.largest_count)


def _timestamp(mib: Path, header: MerlinHeader, layout: ScanLayout) -> str:
    """Return when the first frame of a scan was taken that is not the first of its file."""
    with open(mib, "rb") as file:
        file.seek(layout.first_frame * header.frame_bytes)
        try:
            return parse_frame_header(file.read(header.header_bytes), source=mib.name).timestamp
        except ValueError:
            return ""  # a frame that was not filled


def find_merlin_files(path: str | PathLike[str]) -> tuple[Path, Path]:
    """Return the paths of the ``.mib`` and the ``.hdr`` for either of them.

    Parameters
    ----------
    path
        One of the two.

    Raises
    ------
    FileNotFoundError
        The ``.mib`` is not there.
    ValueError
        The path is a folder, or has another suffix.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the .mib file in it.")
    if path.suffix.lower() == ".mib":
        hdr = path.with_suffix(".HDR" if path.suffix.isupper() else ".hdr")
        mib = path
    elif path.suffix.lower() == ".hdr":
        hdr = path
        mib = path.with_suffix(".MIB" if path.suffix.isupper() else ".mib")
    else:
        raise ValueError(f"{path} is neither a .mib nor a .hdr file.")
    if not mib.is_file():
        _refuse_parts(hdr)
        beside = f" beside {hdr.name}" if hdr.is_file() else ""
        raise FileNotFoundError(f"There is no {mib.name}{beside} in {mib.absolute().parent}.")
    return mib, hdr


def _refuse_parts(hdr: Path) -> None:
    """Say what to do with an acquisition whose frames lie in several numbered files."""
    if not hdr.is_file():
        return
    parts = []
    for file in hdr.parent.iterdir():
        if file.suffix.lower() == ".mib" and file.stem.startswith(hdr.stem):
            with open(file, "rb") as opened, contextlib.suppress(ValueError):
                header = parse_frame_header(opened.read(LARGEST_HEADER), source=file.name)
                parts.append((header.sequence, file.name))
    if parts:
        names = [name for _, name in sorted(parts)]
        raise ValueError(
            f"{hdr.name} has no .mib of its own name, but {len(names)} that begin so: "
            f"{', '.join(names)}. If they are parts of one acquisition, join them in the order of "
            f"their frames, for example by cat {names[0]} … {names[-1]} > {hdr.stem}.mib; else "
            "give one of them, with its scan shape."
        )


def _read_first_header(mib: Path) -> tuple[MerlinHeader, int]:
    """Return the first frame header, and how many complete frames the file holds."""
    size = mib.stat().st_size
    if size == 0:
        raise ValueError(f"{mib.name} is empty.")
    with open(mib, "rb") as file:
        header = parse_frame_header(file.read(LARGEST_HEADER), source=mib.name)
        frames, rest = divmod(size, header.frame_bytes)
        if frames == 0:
            raise ValueError(
                f"{mib.name} has {size} bytes, less than one frame of {header.frame_bytes} bytes."
            )
    if frames > 1:
        check_frames(mib, header, frames, stacklevel=3)
    if rest:
        warnings.warn(
            f"{mib.name}: the last frame is incomplete ({rest} of {header.frame_bytes} bytes) and "
            f"is left out; {frames} frames remain.",
            stacklevel=3,
        )
    return header, frames


def _check_same_detector(
    header: MerlinHeader, acquisition_header: MerlinAcquisitionHeader, mib: str, hdr: str
) -> None:
    """Refuse a .hdr that is about other frames, or frames whose header was damaged."""
    chips = acquisition_header.values.get("Assembly Size (NX1, 2X2)", "").lower()
    arrangement = header.layout.lower().removesuffix("g")
    for what, theirs, ours in (
        ("counters of {} bit", acquisition_header.counter_depth, header.counter_depth),
        ("chips arranged as {}", re.fullmatch(r"\d+x\d+", chips) and chips, arrangement),
    ):
        if theirs and theirs != ours:
            raise ValueError(
                f"{hdr} tells of {what.format(theirs)}, but the frames of {mib} have "
                f"{what.format(ours)}. One of the two is damaged or of another acquisition; a "
                ".hdr of another one can be moved away."
            )


def _read_hdr(hdr: Path) -> MerlinAcquisitionHeader | None:
    if not hdr.is_file():
        return None
    return parse_acquisition_header(hdr.read_bytes(), source=hdr.name)


def _acquisition(
    header: MerlinHeader,
    acquisition_header: MerlinAcquisitionHeader | None,
    *,
    flip_y: bool,
    source: str,
) -> Acquisition:
    """Return what the headers know, in the frame of the rows as they are returned."""
    exposure = header.exposure or None
    values = acquisition_header.values if acquisition_header else {}
    if ACQUISITION_LINE not in values:
        return Acquisition(dwell_time=exposure)
    try:
        acquisition = Acquisition.from_dict(json.loads(values[ACQUISITION_LINE]))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{source}: the line {ACQUISITION_LINE!r} is damaged ({error}). Correct or remove it."
        ) from None
    if flip_y and acquisition.center is not None:
        y, x = acquisition.center
        acquisition = acquisition.replace(center=(header.detector_shape[0] - 1 - y, x))
    if flip_y and acquisition.flip_y is not None:
        acquisition = acquisition.replace(flip_y=not acquisition.flip_y)
    return acquisition


def _lazy_array(file: _MerlinFile) -> da.Array:
    """Return a dask array whose blocks are views into memory maps of their own."""
    shape = (*file.layout.shape, *file.header.detector_shape)
    dtype = file.header.dtype
    status = os.stat(file.path)
    name = f"merlin-{tokenize(file, status.st_size, status.st_mtime_ns)}"
    return array_of_blocks(file.read, _block_sizes(shape, dtype.itemsize), dtype, name)


def _block_sizes(shape: tuple[int, int, int, int], itemsize: int) -> tuple[tuple[int, ...], ...]:
    """Return dask chunks: whole detector frames, whole scan lines where they fit."""
    line_bytes = shape[1] * shape[2] * shape[3] * itemsize
    if line_bytes > LARGEST_BLOCK_BYTES:
        rows, columns = 1, max(1, BLOCK_BYTES // (line_bytes // shape[1]))
    else:
        rows, columns = max(1, BLOCK_BYTES // line_bytes), shape[1]
    return da.core.normalize_chunks((rows, columns, -1, -1), shape)
