"""Write 4D-STEM scans as Merlin ``.mib`` and ``.hdr`` files.

The files can be read by this package, RosettaSciIO (HyperSpy) and LiberTEM. The calibration that
Merlin software has no place for is kept in one more line of the ``.hdr``.
"""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from stem_plugins.io.output_files import check_output, complete_or_nothing
from stem_plugins.io.scan_blocks import check_scan_data, compute_block, scan_blocks
from stem_plugins.io.scan_date import NO_DATE, parse_date
from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    import dask.array

__all__ = ["ACQUISITION_LINE", "iter_write_merlin", "write_merlin"]

#: Name of the line of a ``.hdr`` in which our own calibration is kept, as JSON.
ACQUISITION_LINE = "Acquisition (stem-plugins)"

#: Pixel type that holds each counter depth [bit].
PIXEL_TYPES = {1: "U08", 6: "U08", 12: "U16", 24: "U32"}

HEADER_BYTES = 384
HDR_BYTES = 2048


def write_merlin(
    path: str | PathLike[str],
    data: np.ndarray | dask.array.Array,
    *,
    acquisition: Acquisition | None = None,
    counter_depth: int | None = None,
    largest_count: int | None = None,
    taken: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a scan as a Merlin ``.mib`` file with its ``.hdr``.

    The data are written block by block, so a lazy scan may be larger than the memory. Both files
    appear when they are complete.

    Parameters
    ----------
    path
        The ``.mib`` (or ``.hdr``) file to write; the other gets the same name.
    data
        Counts, ``data[scan_y, scan_x, ky, kx]``: any integer type, booleans, or floating-point
        numbers that are whole.
    acquisition
        Calibration. The dwell time becomes the exposure of the frames; everything is kept in a
        line of the ``.hdr`` that `read_merlin` understands and others ignore.
    counter_depth
        Bits per count: 1 or 6 (one byte per pixel), 12 (two) or 24 (four). By default the
        smallest of 6, 12 and 24 whose largest number lies above all counts, so that none looks
        saturated, for which all data are looked through once before (1 for booleans).
    largest_count
        Most that a pixel of the detector could count, where it is known. Patterns that reach it
        are then known as saturated in the new file too.
    taken
        When the first frame was taken, such as ``"2021-05-07T16:51:10Z"`` (UTC; without the Z some
        local time). Each later frame is one dwell time later in its header, where that is known.
        A Merlin header must have a date: 1970-01-01 stands for an unknown one, and `read_merlin`
        knows that.
    overwrite
        Whether existing files may be replaced.

    Raises
    ------
    FileExistsError
        A file exists and ``overwrite`` is False.
    ValueError
        The data are not four-dimensional, or a count is negative, not whole, not finite, or too
        large for the counter depth; or ``taken`` is no date.

    See Also
    --------
    iter_write_merlin : The same with progress, and with a way to cancel.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scan.mib"
    >>> write_merlin(path, np.full((2, 3, 8, 8), 100), acquisition=Acquisition(scan_step=0.2))
    >>> from stem_plugins.io import read_merlin
    >>> read_merlin(path).acquisition.scan_step
    (0.2, 0.2)
    """
    deque(
        iter_write_merlin(
            path,
            data,
            acquisition=acquisition,
            counter_depth=counter_depth,
            largest_count=largest_count,
            taken=taken,
            overwrite=overwrite,
        ),
        maxlen=0,
    )


def iter_write_merlin(
    path: str | PathLike[str],
    data: np.ndarray | dask.array.Array,
    *,
    acquisition: Acquisition | None = None,
    counter_depth: int | None = None,
    largest_count: int | None = None,
    taken: str | None = None,
    overwrite: bool = False,
) -> Iterator[tuple[int, int]]:
    """Write a scan as `write_merlin` does, step by step.

    Parameters
    ----------
    path, data, acquisition, counter_depth, largest_count, taken, overwrite
        As in `write_merlin`; they are checked when this function is called.

    Yields
    ------
    (int, int)
        Steps done and steps in all, after each block. Closing the generator before its end
        removes what was written.
    """
    check_scan_data(data)
    if counter_depth not in (None, *PIXEL_TYPES):
        raise ValueError(f"counter_depth must be 1, 6, 12 or 24 bit, not {counter_depth!r}.")
    path = Path(path)
    if path.suffix.lower() not in (".mib", ".hdr"):
        raise ValueError(f"A Merlin file is named .mib; {path.name!r} is not.")
    mib, hdr = path.with_suffix(".mib"), path.with_suffix(".hdr")
    for file in (mib, hdr):
        check_output(file, overwrite=overwrite)
    if counter_depth is None and data.dtype.kind == "b":
        counter_depth = 1
    date = (NO_DATE, "Z") if taken is None else parse_date(taken)
    if date is None:
        raise ValueError(
            f"taken must be a date such as '2021-05-07T16:51:10Z', after 1970, not {taken!r}."
        )
    acquisition = acquisition or Acquisition()
    exposure = round((acquisition.dwell_time or 0) * 1e9)
    headers = _Headers(data.shape, exposure, *date)
    return _write(mib, hdr, data, acquisition, headers, counter_depth, largest_count, overwrite)


@dataclasses.dataclass(frozen=True)
class _Headers:
    """Makes the ``MQ1`` headers of a scan.

    Parameters
    ----------
    shape
        (scan_y, scan_x, ky, kx).
    exposure
        Of each frame [ns]; 0 where it is unknown.
    start
        When the first frame was taken [ns].
    zone
        ``"Z"`` where that is UTC, else nothing.
    """

    shape: tuple[int, ...]
    exposure: int
    start: np.datetime64
    zone: str

    def texts(self, first: int, count: int, counter_depth: int) -> list[bytes]:
        """Return the headers of consecutive frames."""
        times = self.start + np.arange(first, first + count) * np.timedelta64(self.exposure, "ns")
        size = f"{self.shape[3]:04d},{self.shape[2]:04d},{PIXEL_TYPES[counter_depth]}"
        frame = f"{HEADER_BYTES:05d},01,{size},   1x1,01"
        thresholds = ",".join(["0.000000E+0"] * 8)
        settings = "3RX," + ",".join(["000"] * 27)
        exposure = f"{self.exposure * 1e-9:.6f}"
        return [
            (
                f"MQ1,{first + i + 1:06d},{frame},{time[:26].replace('T', ' ')},{exposure},"
                f"0,0,0,{thresholds},{settings},MQ1A,{time}{self.zone},{self.exposure}ns,"
                f"{counter_depth},"
            ).encode("ascii")
            for i, time in enumerate(np.datetime_as_string(times).tolist())
        ]


def _write(
    mib: Path,
    hdr: Path,
    data: np.ndarray | dask.array.Array,
    acquisition: Acquisition,
    headers: _Headers,
    counter_depth: int | None,
    largest_count: int | None,
    overwrite: bool,
) -> Iterator[tuple[int, int]]:
    blocks = scan_blocks(data)
    total = len(blocks) * (1 if counter_depth else 2)
    done = 0
    if counter_depth is None:
        largest = 0
        for block in blocks:
            largest = max(largest, _largest_count(compute_block(data, block)))
            done += 1
            yield done, total
        counter_depth = _smallest_depth(largest, largest_count)
    with complete_or_nothing(hdr, mib, overwrite=overwrite) as (hdr_part, mib_part):
        hdr_part.write_bytes(_hdr_text(acquisition, headers, counter_depth))
        with open(mib_part, "wb") as file:
            for block in blocks:
                counts = compute_block(data, block)
                if _largest_count(counts) >= 2**counter_depth:
                    raise ValueError(
                        f"A count of {counts.max()} does not fit a counter depth of "
                        f"{counter_depth} bit (largest {2**counter_depth - 1})."
                    )
                _write_block(file, counts, block, headers, counter_depth)
                done += 1
                if done < total:
                    yield done, total
    # Only now, when the files have their names, is the last step done.
    yield total, total


def _largest_count(counts: np.ndarray) -> int:
    """Return the largest count, after checking that all are whole and not negative."""
    smallest, largest = counts.min(), counts.max()
    if counts.dtype.kind == "f":
        if not (np.isfinite(smallest) and np.isfinite(largest)):
            raise ValueError("Merlin files hold counts; the data contain NaN or infinity.")
        if not np.array_equal(counts, np.rint(counts)):
            raise ValueError(
                "Merlin files hold whole counts; the data contain fractions. Scale and round "
                "them, or write .zspy or .hspy."
            )
    if smallest < 0:
        raise ValueError(f"Merlin files hold counts; the data contain {smallest}, below zero.")
    return int(largest)


def _smallest_depth(largest: int, largest_count: int | None) -> int:
    for depth in (6, 12, 24):
        # Full counters are saturated, so that counts end below, unless they are full already.
        if largest < 2**depth - 1 or largest == 2**depth - 1 in (largest_count, 2**24 - 1):
            return depth
    raise ValueError(f"A count of {largest} is too large for a Merlin file (at most {2**24 - 1}).")


def _write_block(
    file: BinaryIO,
    counts: np.ndarray,
    block: tuple[slice, slice],
    headers: _Headers,
    counter_depth: int,
) -> None:
    """Write each scan row of a block to its place in the file."""
    pixel_bytes = int(PIXEL_TYPES[counter_depth][1:]) // 8
    dtype = np.dtype(
        [("header", f"S{HEADER_BYTES}"), ("pixels", f">u{pixel_bytes}", headers.shape[2:])]
    )
    frames = np.empty(counts.shape[1], dtype)
    rows, columns = block
    for row, row_counts in zip(range(rows.start, rows.stop), counts, strict=True):
        first = row * headers.shape[1] + columns.start
        frames["header"] = headers.texts(first, len(frames), counter_depth)
        frames["pixels"] = row_counts
        file.seek(first * dtype.itemsize)
        file.write(frames.view(np.uint8).data)


def _hdr_text(acquisition: Acquisition, headers: _Headers, counter_depth: int) -> bytes:
    """Return the ``.hdr`` text, padded as the Merlin software does."""
    shape = headers.shape
    values: dict[str, object] = {}
    if headers.start != NO_DATE:
        day, time = str(headers.start)[:19].split("T")
        date = "/".join(reversed(day.split("-"))) + " " + time
        values["Time and Date Stamp (day, mnth, yr, hr, min, s)"] = date
    values |= {
        "Assembly Size (NX1, 2X2)": "   1x1",
        "Counter Depth (number)": counter_depth,
        "Acquisition Type (Normal, Th_scan, Config)": "Normal",
        "Frames in Acquisition (Number)": shape[0] * shape[1],
        "Frames per Trigger (Number)": shape[1],
        "Readout System": "stem-plugins",
        "ScanX": shape[1],
        "ScanY": shape[0],
    }
    if acquisition.to_dict():
        values[ACQUISITION_LINE] = json.dumps(acquisition.to_dict())
    lines = ["HDR,\t", *(f"{name}:\t{value}" for name, value in values.items()), "End\t"]
    text = "\r\n".join(lines).encode("ascii")
    return text.ljust(-(-len(text) // HDR_BYTES) * HDR_BYTES)
