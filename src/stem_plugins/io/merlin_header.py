"""The two headers of Merlin data: ``MQ1`` before every frame, ``HDR`` before an acquisition.

A Merlin detector (Quantum Detectors) writes the same bytes to a file and to its socket: one text
header for the acquisition (the ``.hdr`` file, or the first message), then frames, each an ``MQ1``
header padded with NUL to a fixed size and followed by the pixels. The functions here only parse
bytes, so that the file reader and a live source share them.

An ``MQ1`` header is a list of comma-separated fields: 0 ``MQ1``, 1 frame number, 2 header size
[bytes], 3 number of chips, 4 width, 5 height, 6 pixel type (``U08``, ``U16``, ``U32``, or
``R64`` for the raw counters), 7 layout of the chips (``1x1``, ``2x2``, with ``G`` where the image
includes the gap between the chips), 8 chip mask, 9 local time stamp, 10 exposure [s], three zeros,
the thresholds [keV], the settings of each chip, and at the end ``MQ1A``, the UTC time stamp, the
exposure in ns and the counter depth.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

__all__ = [
    "MerlinAcquisitionHeader",
    "MerlinHeader",
    "parse_acquisition_header",
    "parse_frame_header",
]

#: Rows and columns of one Medipix3 chip.
CHIP_SIZE = 256

#: No known header is longer; a larger size field is a damaged header.
LARGEST_HEADER = 65536

#: Bytes per pixel of the processed pixel types.
PIXEL_BYTES = MappingProxyType({"U08": 1, "U16": 2, "U32": 4})

#: Bits that one pixel takes in a raw (R64) frame, by counter depth. 6-bit counters are padded to
#: bytes, 12-bit ones to two bytes, and 24-bit ones are two planes of 12-bit ones.
RAW_BITS = MappingProxyType({1: 1, 6: 8, 12: 16, 24: 32})


@dataclasses.dataclass(frozen=True)
class MerlinHeader:
    """What an ``MQ1`` header says about the frame that follows it.

    Parameters
    ----------
    sequence
        Number of the frame, from 1.
    header_bytes
        Length of the header [bytes]; the pixels start there.
    chips
        Number of chips that were read.
    width, height
        Columns and rows as the header gives them. They hold the region of interest and, except in
        raw data, the arrangement of the chips.
    pixel_type
        ``U08``, ``U16``, ``U32`` or ``R64``.
    layout
        Arrangement of the chips, such as ``2x2`` or ``2x2G`` (with the gap between them).
    chip_mask
        Which chips were read, hexadecimal.
    timestamp
        When the frame was taken, as written: UTC where the header knows it, else local time.
    exposure
        Exposure of the frame [s]; 0 when the header does not say.
    thresholds
        Energy thresholds [keV].
    counter_depth
        Bits per counter: 1, 6, 12 or 24.
    """

    sequence: int
    header_bytes: int
    chips: int
    width: int
    height: int
    pixel_type: str
    layout: str
    chip_mask: str
    timestamp: str
    exposure: float
    thresholds: tuple[float, ...]
    counter_depth: int

    @property
    def is_raw(self) -> bool:
        """Whether the pixels are raw counters (``R64``), which must be decoded."""
        return self.pixel_type == "R64"

    @property
    def is_quad(self) -> bool:
        """Whether raw rows hold four chips that belong into a square."""
        return self.is_raw and self.chips == 4

    @property
    def detector_shape(self) -> tuple[int, int]:
        """Shape (ky, kx) of the decoded frame."""
        if self.is_quad:
            return 2 * self.height, 2 * CHIP_SIZE
        if self.is_raw:
            return self.height, CHIP_SIZE
        return self.height, self.width

    @property
    def dtype(self) -> np.dtype:
        """Type of the decoded pixels; big-endian, as stored, unless they are raw."""
        if self.is_raw:
            return np.dtype({1: "u1", 6: "u1", 12: "u2", 24: "u4"}[self.counter_depth])
        return np.dtype(f">u{PIXEL_BYTES[self.pixel_type]}")

    @property
    def largest_count(self) -> int | None:
        """Most that a pixel can count; ``None`` for one bit, where every hit pixel is full."""
        return 2**self.counter_depth - 1 if self.counter_depth > 1 else None

    @property
    def payload_bytes(self) -> int:
        """Length of the pixels of one frame [bytes]."""
        pixels = self.detector_shape[0] * self.detector_shape[1]
        if self.is_raw:
            return pixels * RAW_BITS[self.counter_depth] // 8
        return pixels * PIXEL_BYTES[self.pixel_type]

    @property
    def frame_bytes(self) -> int:
        """Length of one frame with its header [bytes]."""
        return self.header_bytes + self.payload_bytes


def parse_frame_header(
    data: bytes | bytearray | memoryview, *, source: str = "data"
) -> MerlinHeader:
    """Parse the ``MQ1`` header at the start of some bytes.

    Parameters
    ----------
    data
        At least the whole header; whatever follows it is not looked at.
    source
        What to call the data in an error message, such as the file's name.

    Returns
    -------
    MerlinHeader
        The header.

    Raises
    ------
    ValueError
        The bytes are no ``MQ1`` header, it is incomplete, or it describes no known frame.

    Examples
    --------
    >>> text = b"MQ1,000001,00384,01,0256,0128,U16,   1x1,01,2024-07-02 13:46:44.0,0.001,0,0,0"
    >>> text += b",1.2E+1,MQ1A,2024-07-02T11:46:44.0Z,1000000ns,12,"
    >>> header = parse_frame_header(text.ljust(384, bytes(1)))
    >>> header.detector_shape, header.dtype.str, header.exposure, header.counter_depth
    ((128, 256), '>u2', 0.001, 12)
    """
    start = bytes(data[:32])
    if not start.startswith(b"MQ1,"):
        raise ValueError(f"{source} is no Merlin data: {_what_it_is(start)}")
    size = _integer(start.split(b",")[2:3], "header size", source)
    if not 32 <= size <= LARGEST_HEADER:
        raise ValueError(f"{source}: the Merlin header gives its own size as {size} bytes.")
    if len(data) < size:
        raise ValueError(
            f"{source}: the Merlin header should have {size} bytes, but only {len(data)} are there."
        )
    text = bytes(data[:size]).split(b"\0", 1)[0]
    fields = text.decode("ascii", "replace").strip().rstrip(",").split(",")
    if len(fields) < 11:
        raise ValueError(f"{source}: the Merlin header has only {len(fields)} fields: {text!r}.")
    if size < len(text):
        raise ValueError(f"{source}: the Merlin header is longer than its size of {size} bytes.")
    timestamp, exposure = _time_and_exposure(fields)
    header = MerlinHeader(
        sequence=_integer(fields[1:2], "frame number", source),
        header_bytes=size,
        chips=_integer(fields[3:4], "number of chips", source),
        width=_integer(fields[4:5], "width", source),
        height=_integer(fields[5:6], "height", source),
        pixel_type=fields[6].strip(),
        layout=fields[7].strip(),
        chip_mask=fields[8].strip(),
        timestamp=timestamp,
        exposure=exposure,
        thresholds=_thresholds(fields),
        counter_depth=_counter_depth(fields, source),
    )
    _check(header, source)
    return header


def _what_it_is(start: bytes) -> str:
    if start.startswith(b"\x00\x05\x16\x07"):
        return (
            "it is a macOS resource file (AppleDouble), a companion of the file with the same "
            "name without the leading '._'."
        )
    if start.startswith(b"HDR"):
        return "it starts like a .hdr file; give the .mib file as the .mib."
    return f"it should start with b'MQ1,', but starts with {start[:8]!r}."


def _integer(field: list[bytes] | list[str], meaning: str, source: str) -> int:
    try:
        return int(field[0])
    except (IndexError, ValueError):
        found = field[0] if field else "nothing"
        raise ValueError(
            f"{source}: the {meaning} in the Merlin header is {found!r}, not a whole number."
        ) from None


def _time_and_exposure(fields: list[str]) -> tuple[str, float]:
    """Return the UTC time stamp and exposure of the ``MQ1A`` part, else the older local ones."""
    if "MQ1A" in fields:
        extension = fields[fields.index("MQ1A") + 1 :]
        match = re.fullmatch(r"(\d+)ns", extension[1].strip()) if len(extension) > 1 else None
        if match:
            return extension[0].strip(), int(match[1]) * 1e-9
    try:
        exposure = float(fields[10])
    except ValueError:
        exposure = 0.0
    return fields[9].strip(), exposure if np.isfinite(exposure) and exposure > 0 else 0.0


def _thresholds(fields: list[str]) -> tuple[float, ...]:
    thresholds = []
    for field in fields[14:22]:
        try:
            thresholds.append(float(field))
        except ValueError:
            break
    return tuple(thresholds)


def _counter_depth(fields: list[str], source: str) -> int:
    """Return the counter depth, which old headers without the ``MQ1A`` part leave out."""
    if "MQ1A" in fields:
        return _integer(fields[-1:], "counter depth", source)
    if fields[6].strip() in PIXEL_BYTES:
        return {"U08": 6, "U16": 12, "U32": 24}[fields[6].strip()]
    raise ValueError(f"{source}: the Merlin header of raw data lacks the counter depth.")


def _check(header: MerlinHeader, source: str) -> None:
    """Refuse what cannot be decoded, before anybody computes with it."""
    if header.pixel_type not in (*PIXEL_BYTES, "R64"):
        raise ValueError(
            f"{source}: unknown pixel type {header.pixel_type!r}; known are U08, U16, U32 and R64."
        )
    if header.counter_depth not in RAW_BITS:
        raise ValueError(
            f"{source}: unknown counter depth of {header.counter_depth} bit; "
            "known are 1, 6, 12 and 24."
        )
    if header.width < 1 or header.height < 1 or header.chips < 1:
        raise ValueError(
            f"{source}: the Merlin header describes an empty frame: {header.chips} chips, "
            f"{header.height} rows, {header.width} columns."
        )
    if header.is_raw:
        _check_raw(header, source)
    else:
        _check_fits_chips(header, source)


def _check_fits_chips(header: MerlinHeader, source: str) -> None:
    """Refuse an image that sticks out of its chips, as swapped rows and columns do.

    Images of a single chip are let pass, because `write_merlin` calls every detector so.
    """
    match = re.match(r"(\d+)x(\d+)", header.layout.lower())
    across, down = (int(match[1]), int(match[2])) if match else (1, 1)
    # Between two chips there may be a gap of a few pixels.
    width, height = ((CHIP_SIZE + 16) * number for number in (across, down))
    if across * down > 1 and (header.width > width or header.height > height):
        raise ValueError(
            f"{source}: {header.width} columns × {header.height} rows do not fit on chips of "
            f"{CHIP_SIZE} × {CHIP_SIZE} arranged as {header.layout}. The header is wrong."
        )


def _check_raw(header: MerlinHeader, source: str) -> None:
    if header.chips not in (1, 4) or (header.chips == 4 and not header.layout.startswith("2x2")):
        raise ValueError(
            f"{source}: raw data of {header.chips} chips arranged as {header.layout!r} are not "
            "supported, only 1 chip or 4 as 2x2. Let the Merlin software write processed "
            "(not raw) files."
        )
    widths = [header.chips * CHIP_SIZE]
    if header.counter_depth == 24:
        # The header counts the columns of both 12-bit planes.
        widths.append(2 * widths[0])
    if header.width not in widths:
        raise ValueError(
            f"{source}: raw rows of {header.width} pixels do not fit {header.chips} chip(s) of "
            f"{CHIP_SIZE} columns."
        )


@dataclasses.dataclass(frozen=True)
class MerlinAcquisitionHeader:
    """What a ``.hdr`` text says about the whole acquisition.

    Parameters
    ----------
    values
        Every line, value by the file's own name.
    frames
        Frames in the acquisition; ``None`` when unknown or endless (0).
    frames_per_trigger
        Frames per trigger; ``None`` when unknown.
    counter_depth
        Bits per counter; ``None`` when unknown.
    scan_shape
        Recorded scan positions (ScanY, ScanX); ``None`` when the software did not write them.
    """

    values: Mapping[str, str]
    frames: int | None
    frames_per_trigger: int | None
    counter_depth: int | None
    scan_shape: tuple[int, int] | None


def parse_acquisition_header(
    text: bytes | str, *, source: str = "header"
) -> MerlinAcquisitionHeader:
    """Parse the text of a ``.hdr`` file or of the first message of a live acquisition.

    Parameters
    ----------
    text
        From ``HDR,`` to ``End``; bytes are read as UTF-8 with a fall-back to Latin-1.
    source
        What to call it in an error message, such as the file's name.

    Returns
    -------
    MerlinAcquisitionHeader
        The values by name, and the ones that matter as numbers.

    Raises
    ------
    ValueError
        The text does not start with ``HDR``.

    Examples
    --------
    >>> header = parse_acquisition_header("HDR,\\r\\nScanX:\\t4\\r\\nScanY:\\t2\\r\\nEnd")
    >>> header.scan_shape, header.values["ScanX"], header.frames
    ((2, 4), '4', None)
    """
    if isinstance(text, (bytes, bytearray, memoryview)):
        raw = bytes(text)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
    if not text.startswith("HDR"):
        raise ValueError(f"{source} is no Merlin .hdr: it starts with {text[:8]!r}, not 'HDR'.")
    values: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        if line.startswith("End"):
            break
        name, tab, value = line.partition("\t")
        if tab:
            values[name.strip().removesuffix(":")] = value.strip()
    scan_y, scan_x = _count(values, "ScanY"), _count(values, "ScanX")
    return MerlinAcquisitionHeader(
        values=MappingProxyType(values),
        frames=_count(values, "Frames in Acquisition (Number)"),
        frames_per_trigger=_count(values, "Frames per Trigger (Number)"),
        counter_depth=_count(values, "Counter Depth (number)"),
        scan_shape=(scan_y, scan_x) if scan_y and scan_x else None,
    )


def _count(values: Mapping[str, str], name: str) -> int | None:
    """Return a positive whole number, or ``None`` for 0, nothing, or something else."""
    text = values.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None
