"""When a scan was taken, as the formats keep it: the time of its first frame.

HyperSpy has a place for it in ``metadata.General``: ``date``, ``time`` and ``time_zone``. A Merlin
file has it in the header of each frame, and therefore always some: `NO_DATE` where nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["NO_DATE", "general_date", "parse_date", "scan_date"]

#: What stands for an unknown date in headers that must have one; no electron was counted then.
NO_DATE = np.datetime64("1970-01-01T00:00:00", "ns")

#: How time zones that are the same as UTC are called.
UTC = ("UTC", "GMT", "Z", "+00:00")


def parse_date(text: str) -> tuple[np.datetime64, str] | None:
    """Read a date with its time.

    Parameters
    ----------
    text
        In the form of ISO 8601: UTC with a Z at its end, else in some local time.

    Returns
    -------
    (numpy.datetime64, str) or None
        The time [ns], and ``"Z"`` or nothing. ``None`` where the text is no date, or `NO_DATE` and
        up to a year more, as the later frames of a file without a date have.

    Examples
    --------
    >>> parse_date("2021-05-07T16:51:10.9Z")
    (np.datetime64('2021-05-07T16:51:10.900000000'), 'Z')
    >>> parse_date("1970-01-01T00:01:00Z") is None
    True
    """
    text = text.strip()
    zone = "Z" if text.endswith("Z") else ""
    try:
        date = np.datetime64(text.removesuffix("Z").replace(" ", "T"), "ns")
    except (ValueError, OverflowError):
        return None
    known = not np.isnat(date) and date >= NO_DATE + np.timedelta64(366, "D")
    return (date, zone) if known else None


def scan_date(metadata: Mapping[str, Any]) -> str | None:
    """Return when the first frame of a scan was taken.

    Parameters
    ----------
    metadata
        Of a `Scan`, from whatever format.

    Returns
    -------
    str or None
        In the form of ISO 8601, with a Z at its end where it is UTC; ``None`` where it is
        not known.

    Examples
    --------
    >>> scan_date({"General": {"date": "2021-05-07", "time": "16:51:10", "time_zone": "UTC"}})
    '2021-05-07T16:51:10Z'
    """
    text = str(metadata.get("taken") or "")
    general = metadata.get("General")
    if isinstance(general, Mapping) and general.get("date"):
        zone = "Z" if general.get("time_zone") in UTC else ""
        time = str(general.get("time") or "").strip()
        text = f"{general['date']}T{time}{zone}" if time else str(general["date"])
    return text if parse_date(text) else None


def general_date(taken: str | None) -> dict[str, str]:
    """Return what ``General`` of HyperSpy's metadata says of a date; nothing where it is unknown.

    Parameters
    ----------
    taken
        As `scan_date` returns it.

    Examples
    --------
    >>> general_date("2021-05-07T16:51:10Z")
    {'date': '2021-05-07', 'time': '16:51:10', 'time_zone': 'UTC'}
    """
    if taken is None:
        return {}
    day, _, time = taken.replace(" ", "T").partition("T")
    clock = {"time": time.removesuffix("Z")} if time else {}
    return {"date": day, **clock, **({"time_zone": "UTC"} if taken.endswith("Z") else {})}
