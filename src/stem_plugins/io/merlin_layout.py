"""Which frame of a Merlin file belongs to which scan position.

A Merlin detector counts frames and knows little of the scan. A file holds one or more scans one
after the other; each scan is recorded line by line, and while the beam flies back to the next
line, or to the start of the next scan, the detector may go on taking frames.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

from stem_plugins.io.merlin_header import MerlinAcquisitionHeader

__all__ = ["ScanLayout", "UnknownScanShapeError", "find_scan_layout"]


class UnknownScanShapeError(ValueError):
    """How the frames of a file form a scan is not known, and was not given.

    Parameters
    ----------
    message
        What to do about it.
    frames
        Frames that could form the scan.
    reason
        Why it is not known.
    """

    # Defaults, so that the same error can be raised again in other words.
    def __init__(self, message: str, *, frames: int = 1, reason: str = "") -> None:
        super().__init__(message)
        self.frames = frames
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class ScanLayout:
    """Where the frames of one scan lie in a file.

    Parameters
    ----------
    shape
        Scan positions (ny, nx).
    first_frame
        Frame of position (0, 0), counted from the start of the file.
    frames_per_line
        Frames from the start of one line to the start of the next; more than nx where the
        flyback was recorded.
    """

    shape: tuple[int, int]
    first_frame: int
    frames_per_line: int


def find_scan_layout(
    frames: int,
    header: MerlinAcquisitionHeader | None,
    *,
    scan_shape: Sequence[int] | None = None,
    skip_rows: int = 0,
    skip_columns: int = 0,
    skip_frames: int = 0,
    repeat: int | None = None,
    source: str = "file",
) -> ScanLayout:
    """Find the scan in a file of so many frames; see `read_merlin` for the meaning of each choice.

    Parameters
    ----------
    frames
        Complete frames in the file.
    header
        What the ``.hdr`` says, if there is one.
    scan_shape, skip_rows, skip_columns, skip_frames, repeat
        As in `stem_plugins.io.read_merlin`.
    source
        Name of the file for error messages.

    Returns
    -------
    ScanLayout
        Where its frames are.

    Raises
    ------
    UnknownScanShapeError
        The scan shape is unknown.
    ValueError
        The scan shape does not go with the number of frames.

    Examples
    --------
    >>> find_scan_layout(2 * 5, None, scan_shape=(2, 4), skip_columns=1)
    ScanLayout(shape=(2, 4), first_frame=0, frames_per_line=5)
    """
    for name, value in (
        ("skip_rows", skip_rows),
        ("skip_columns", skip_columns),
        ("skip_frames", skip_frames),
    ):
        _whole_number(name, value)
    available = frames - skip_frames
    if available < 1:
        raise ValueError(f"{source}: skip_frames={skip_frames} leaves none of its {frames} frames.")
    if scan_shape is None:
        recorded = _recorded_shape(available, header, skip_frames, source)
        shape = (recorded[0] - skip_rows, recorded[1] - skip_columns)
        if min(shape) < 1:
            raise ValueError(
                f"{source}: skip_rows={skip_rows} and skip_columns={skip_columns} leave nothing "
                f"of the {recorded[0]} lines of {recorded[1]} frames that were recorded."
            )
    else:
        shape = _checked_shape(scan_shape)
    per_line = shape[1] + skip_columns
    per_scan = (shape[0] + skip_rows) * per_line
    # The last scan may end at its last position, without the flyback after it.
    needed = (shape[0] - 1) * per_line + shape[1]
    first = _choose_repeat(available, shape, per_line, per_scan, needed, repeat, source)
    return ScanLayout(shape, skip_frames + first, per_line)


def _whole_number(name: str, value: int) -> None:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 0:
        raise ValueError(f"{name} must be a whole number, 0 or more, not {value!r}.")


def _checked_shape(scan_shape: Sequence[int]) -> tuple[int, int]:
    sizes = tuple(scan_shape) if isinstance(scan_shape, Sequence) else ()
    if len(sizes) != 2 or not all(hasattr(size, "__index__") and size > 0 for size in sizes):
        raise ValueError(
            f"scan_shape must be two whole numbers above zero, (rows, columns), not {scan_shape!r}."
        )
    return int(sizes[0]), int(sizes[1])


def _recorded_shape(
    frames: int, header: MerlinAcquisitionHeader | None, skipped: int, source: str
) -> tuple[int, int]:
    """Return lines and frames per line, flyback included, from the ``.hdr``."""
    if header is not None and header.scan_shape is not None:
        return header.scan_shape
    if frames == 1:
        return 1, 1
    per_trigger = header.frames_per_trigger if header is not None else None
    if header is None or per_trigger is None or per_trigger == 1:
        reason = (
            "there is no .hdr file beside it"
            if header is None
            else "its .hdr gives neither ScanX and ScanY nor the frames of one scan line"
        )
        raise UnknownScanShapeError(
            f"{source} holds {frames} frames, and how they form a scan is not known: {reason}. "
            f"Pass scan_shape=(rows, columns){_square_hint(frames)}.",
            frames=frames,
            reason=reason,
        )
    announced = frames + skipped if header.frames is None else header.frames
    lines, rest = divmod(frames, per_trigger)
    if rest:
        advice = f"If the scan was interrupted, scan_shape=({lines}, {per_trigger}) with repeat=0"
        reason = (
            f"they are not whole scan lines of {per_trigger} frames (the frames per trigger of its "
            f".hdr, which announces {announced})"
        )
        raise UnknownScanShapeError(
            f"{source} holds {frames} frames, which {reason.removeprefix('they ')}. {advice} loads "
            f"its {lines} complete lines.",
            frames=frames,
            reason=reason,
        )
    if lines == 1:
        warnings.warn(
            f"{source}: its .hdr gives all {frames} frames as those of one trigger, so it is read "
            f"as a single scan line. Pass scan_shape=(rows, columns){_square_hint(frames)} if it "
            "is a scan.",
            stacklevel=4,
        )
    elif frames + skipped < announced:
        warnings.warn(
            f"{source} holds {frames + skipped} of the {announced} frames that its .hdr announces; "
            f"the {lines} complete scan lines are read.",
            stacklevel=4,
        )
    return lines, per_trigger


def _square_hint(frames: int) -> str:
    side = round(frames**0.5)
    return f", for example ({side}, {side})" if side > 1 and side * side == frames else ""


def _choose_repeat(
    frames: int,
    shape: tuple[int, int],
    per_line: int,
    per_scan: int,
    needed: int,
    repeat: int | None,
    source: str,
) -> int:
    """Return the first frame of the chosen scan, after checking that it is all there."""
    scan = f"a scan of {shape[0]} × {shape[1]} positions"
    if needed != shape[0] * shape[1] or per_scan != needed:
        scan += f" with flyback ({per_line} frames per line, {per_scan} per scan)"
    if frames < needed:
        # Lines whose positions are all there; the flyback after the last may be missing.
        lines = (frames + per_line - shape[1]) // per_line
        advice = (
            f"If it was interrupted, scan_shape=({lines}, {shape[1]}) with repeat=0 loads its "
            f"{lines} complete lines."
            if lines
            else "Not even one line is complete."
        )
        raise ValueError(f"{source} holds {frames} frames, too few for {scan}. {advice}")
    scans = (frames - needed) // per_scan + 1
    rest = max(frames - scans * per_scan, 0)
    if repeat is None:
        if scans > 1 or rest:
            remaining = f" and {rest} more frames" if rest else ""
            raise ValueError(
                f"{source} holds {frames} frames: {scans} times {scan}{remaining}. "
                f"Pass repeat=0{f' to {scans - 1} to choose one' if scans > 1 else ''} (the other "
                "frames are then left out), or the right scan_shape, skip_rows, skip_columns or "
                "skip_frames."
            )
        return 0
    _whole_number("repeat", repeat)
    if repeat >= scans:
        raise ValueError(
            f"{source} holds {scans} times {scan}; repeat={repeat} is not among them "
            f"(0 to {scans - 1})."
        )
    return repeat * per_scan
