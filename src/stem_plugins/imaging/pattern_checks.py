"""What the pass found out about the patterns, in words: saturated ones and empty ones.

Every face uses these words. They are warnings, since the rest of the scan is as good as ever.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from stem_plugins.imaging.moments import Moments

__all__ = ["largest_count_of", "warn_of_patterns", "warn_of_saturation"]

#: From this share of saturated patterns on, the detector rather than the beam is to blame.
HOT_SHARE = 0.9


def largest_count_of(dtype: np.dtype, largest_count: int | None = None) -> int | None:
    """Return the count at which a detector stops counting, or ``None`` where nobody knows.

    Parameters
    ----------
    dtype
        Type of the pixels.
    largest_count
        What the file says, such as 4095 for a 12-bit counter; ``None``: the most that integers
        of up to 16 bit can hold.

    Examples
    --------
    >>> largest_count_of(np.dtype("u2"), 4095), largest_count_of(np.dtype("u2"))
    (4095, 65535)
    """
    if largest_count is not None:
        return largest_count
    dtype = np.dtype(dtype)
    return int(np.iinfo(dtype).max) if dtype.kind in "iu" and dtype.itemsize <= 2 else None


def warn_of_patterns(result: Moments, *, largest_count: int | None = None) -> None:
    """Warn of patterns whose centre of mass is wrong or unknown: saturated or without counts.

    Parameters
    ----------
    result
        Of the pass, NumPy arrays.
    largest_count
        Of `largest_count_of`.

    Warns
    -----
    UserWarning
        Patterns are saturated, empty, or sum up to less than zero.

    Examples
    --------
    >>> import warnings
    >>> from stem_plugins.imaging import moments
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_of_patterns(moments(np.eye(4)[None, None] * [[[[1]], [[0]]]]))
    >>> str(caught[0].message)[:27]
    '1 of 2 patterns are empty, '
    """
    warn_of_saturation(result, largest_count=largest_count)
    total = np.asarray(result.total)
    _warn_where(total == 0, "empty", "Their centre of mass counts as zero.")
    _warn_where(
        total < 0,
        "below zero in sum, as after too much background was subtracted",
        "Their centre of mass counts as zero. Subtract less, or set negative pixels to zero.",
    )


def warn_of_saturation(result: Moments, *, largest_count: int | None = None) -> None:
    """Warn of patterns in which a pixel counted as far as it can.

    Parameters
    ----------
    result, largest_count
        As for `warn_of_patterns`. Pixels above the largest count show that the numbers are no
        longer those of the counter (binned, summed, scaled): then nothing is said.

    Warns
    -----
    UserWarning
        Patterns are saturated.
    """
    peak = np.asarray(result.peak)
    if largest_count is None or peak.max() != largest_count:
        return
    full = peak == largest_count
    advice = (
        "In nearly all patterns that is a hot pixel of the detector: leave it out with mask=."
        if full.mean() >= HOT_SHARE
        else "Measure with fewer electrons per pattern or with deeper counters."
    )
    _warn_where(
        full,
        "saturated",
        f"A pixel reaches {largest_count}, the most that it can count, so centre of mass and "
        f"virtual detectors are wrong there. {advice}",
    )


def _warn_where(chosen: np.ndarray[Any, Any], what: str, meaning: str) -> None:
    count = np.count_nonzero(chosen)
    if count:
        first = tuple(int(i) for i in np.argwhere(chosen)[0])
        warnings.warn(
            f"{count} of {chosen.size} patterns are {what}, the first at scan position {first}. "
            f"{meaning}",
            stacklevel=4,
        )
