"""What a panel says of a scan's calibration before anything runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from stem_plugins.optics.acquisition import FIELDS, Acquisition

__all__ = ["Check", "words_of_unknown"]


@dataclasses.dataclass(frozen=True)
class Check:
    """What a calibration says before anything runs.

    Parameters
    ----------
    problem
        Why there can be no image; empty: there can.
    doubts
        What may spoil the image.
    size
        Probe, overlap and pixels in words.
    notes
        What is unknown, and taken as zero or estimated.
    """

    problem: str = ""
    doubts: str = ""
    size: str = ""
    notes: str = ""


def words_of_unknown(acquisition: Acquisition, needed: Iterable[str]) -> str:
    """Name the calibration values that are needed and unknown; nothing where there is none.

    Parameters
    ----------
    acquisition
        Of the scan.
    needed
        Its fields.

    Examples
    --------
    >>> words_of_unknown(Acquisition(scan_step=1), ("scan_step", "beam_energy"))
    'Unknown: beam energy [keV]. Enter it in the tab Calibration.'
    """
    missing = [FIELDS[name][0] for name in needed if getattr(acquisition, name) is None]
    return f"Unknown: {', '.join(missing)}. Enter it in the tab Calibration." if missing else ""
