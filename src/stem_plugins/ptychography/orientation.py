"""The rotation from detector to scan frame where nobody knows it: found in the scan, and said."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from stem_plugins.imaging.detectors import dark_field_detector
from stem_plugins.imaging.direct_ptychography import disc_center
from stem_plugins.imaging.moments import moments
from stem_plugins.imaging.rotation import RotationEstimate, estimate_rotation
from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["estimated_rotation", "with_rotation"]

#: An estimate is taken above this confidence.
TRUSTED_CONFIDENCE = 0.5


def estimated_rotation(data: np.ndarray | da.Array, acquisition: Acquisition) -> RotationEstimate:
    """Estimate the rotation from centre of mass and dark field of one pass over the patterns.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx).
    acquisition
        Complete for ptychography.

    Raises
    ------
    ValueError
        The scan is too small.
    """
    center = acquisition.center or disc_center(data)
    detector = (data.shape[2], data.shape[3])
    dark_field = dark_field_detector(detector, acquisition, center=center)
    found = moments(
        data,
        center=center,
        detectors=() if dark_field is None else (dark_field,),
    ).compute()
    reference = None
    if dark_field is not None and np.ptp(found.images[0]) > 0:
        reference = found.images[0]
    step = acquisition.scan_step
    assert step is not None
    return estimate_rotation(found.com, scan_step=step, reference=reference)


def with_rotation(
    acquisition: Acquisition,
    estimate: Callable[[], RotationEstimate],
    *,
    keep: str,
    stacklevel: int,
) -> Acquisition:
    """Complete an unknown rotation by an estimate that can be trusted, or take it as none.

    Parameters
    ----------
    acquisition
        Returned as it is where its rotation is known.
    estimate
        Makes the estimate.
    keep
        How to set what was found, with two fields for rotation and mirroring, for the message.
    stacklevel
        From here to the user, as for `warnings.warn`.

    Warns
    -----
    UserWarning
        The rotation is not known; what was taken, and why.
    """
    if acquisition.scan_rotation is not None:
        return acquisition
    unknown = "The rotation from detector to scan frame is not known"
    unturned = acquisition.replace(scan_rotation=0.0, flip_y=bool(acquisition.flip_y))
    try:
        found = estimate()
    except ValueError as error:
        warnings.warn(
            f"{unknown}, and the scan does not show it: {error} It is taken as 0°, "
            f"{_mirrored(unturned.flip_y)}. Set it by {keep.format('...', '...')}.",
            stacklevel=stacklevel,
        )
        return unturned
    suggested = (
        f"{found.angle:.1f}° ± {found.angle_error:.1f}°, {_mirrored(found.flip_y)}, "
        f"confidence {found.confidence:.0%}"
    )
    contradicts = acquisition.flip_y is not None and acquisition.flip_y != found.flip_y
    if found.confidence <= TRUSTED_CONFIDENCE or contradicts:
        why = "contradicts flip_y" if contradicts else "is too uncertain"
        warnings.warn(
            f"{unknown}. What the scan suggests ({suggested}) {why}; it is taken as 0°, "
            f"{_mirrored(unturned.flip_y)}. Set it by {keep.format('...', '...')}.",
            stacklevel=stacklevel,
        )
        return unturned
    warnings.warn(
        f"{unknown}; taken is what the scan suggests: {suggested}. Keep it by "
        f"{keep.format(f'{found.angle:.1f}', found.flip_y)}, or set a calibrated one.",
        stacklevel=stacklevel,
    )
    return acquisition.replace(scan_rotation=found.angle, flip_y=found.flip_y)


def _mirrored(flip: bool | None) -> str:
    return "mirrored" if flip else "not mirrored"
