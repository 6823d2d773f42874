"""One pass over a scan for all images, with progress, and what is found out on the way.

Before the pass: where the beam is, if nobody knows. After it: empty and saturated patterns, and
the rotation between detector and scan, if nobody knows.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stem_plugins.cli.messages import bar_style
from stem_plugins.imaging.detectors import dark_field_detector
from stem_plugins.imaging.field import vector_field
from stem_plugins.imaging.moments import Moments, moments
from stem_plugins.imaging.pattern_checks import largest_count_of, warn_of_patterns
from stem_plugins.imaging.rotation import RotationEstimate, estimate_rotation

if TYPE_CHECKING:
    import dask.array as da

    from stem_plugins.io.scan import Scan
    from stem_plugins.optics.acquisition import Acquisition

__all__ = [
    "beam_center",
    "check_center",
    "check_patterns",
    "needs_dark_field",
    "rotation_of_scan",
    "scan_moments",
    "settle_rotation",
]

#: About how many patterns are looked at to find the beam before the pass.
PATTERNS_FOR_CENTER = 512

#: Below this confidence a user is told not to trust an estimated rotation unseen.
TRUSTED_CONFIDENCE = 0.5


def beam_center(data: da.Array) -> tuple[float, float]:
    """Find the undiffracted beam as the mean centre of mass of some patterns of the scan.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), lazy.

    Returns
    -------
    (float, float)
        (ky, kx) [px].

    Raises
    ------
    ValueError
        All these patterns are empty.
    """
    rows = np.unique(np.linspace(0, data.shape[0] - 1, 8).astype(int))
    every = max(1, data.shape[1] * rows.size // PATTERNS_FOR_CENTER)
    sample = moments(data[rows][:, ::every]).compute()
    if not (sample.total > 0).any():
        raise ValueError(
            "The beam cannot be found: the patterns looked at are empty. Give --center Y X."
        )
    return float(sample.center[0]), float(sample.center[1])


def scan_moments(
    scan: Scan,
    *,
    detectors: Sequence[np.ndarray],
    center: tuple[float, float] | None,
    pattern: bool,
) -> Moments:
    """Read the scan once, with a progress bar, and check its patterns.

    Parameters
    ----------
    scan
        With lazy data.
    detectors, center, pattern
        As for `stem_plugins.imaging.moments.moments`.

    Returns
    -------
    Moments
        NumPy arrays.

    Raises
    ------
    ValueError
        A pattern holds NaN, or all patterns are empty.

    Warns
    -----
    UserWarning
        Some patterns are empty or saturated.
    """
    from tqdm.dask import TqdmCallback

    lazy = moments(scan.data, detectors=detectors, center=center, pattern=pattern)
    with TqdmCallback(**bar_style("reading")):
        result = lazy.compute()
    check_patterns(result, largest_count_of(scan.data.dtype, scan.largest_count))
    return result


def check_patterns(result: Moments, largest_count: int | None = None) -> None:
    """Refuse a scan of nothing, and warn of patterns without counts or with saturated pixels.

    Parameters
    ----------
    result
        Of the pass.
    largest_count
        Most that a pixel can count, where it is known.
    """
    if not (result.total > 0).any():
        raise ValueError(
            "All patterns are empty, their sums not above zero: there is nothing to image."
        )
    warn_of_patterns(result, largest_count=largest_count)


def check_center(center: tuple[float, float] | None, shape: tuple[int, ...]) -> None:
    """Refuse a beam beside the detector: a deflection common to all patterns swamps the images.

    Parameters
    ----------
    center
        Of the undiffracted beam [px], (ky, kx), where it is given.
    shape
        Of the detector.
    """
    if center is not None and not all(
        -0.5 <= pixel <= size - 0.5 for pixel, size in zip(center, shape, strict=True)
    ):
        raise ValueError(
            f"The centre {center[0]:g} {center[1]:g} px is not on the detector of {shape[0]} × "
            f"{shape[1]} px. Give another by --center Y X, or --center auto."
        )


def needs_dark_field(acquisition: Acquisition, *, estimate: bool) -> bool:
    """Whether a rotation is to be estimated, and a dark field known that settles its sign.

    Parameters
    ----------
    acquisition
        What is known.
    estimate
        Whether to estimate the rotation although it is known.
    """
    known = not estimate and acquisition.scan_rotation is not None
    calibrated = acquisition.convergence_angle is not None
    return not known and calibrated and acquisition.diffraction_step is not None


def settle_rotation(
    com: np.ndarray,
    acquisition: Acquisition,
    *,
    estimate: bool,
    reference: np.ndarray | None = None,
    take_trusted: bool = False,
) -> tuple[Acquisition, str]:
    """Complete the rotation and mirroring between detector and scan.

    Parameters
    ----------
    com
        Centre-of-mass map, (scan_y, scan_x, 2), detector frame.
    acquisition
        What is known.
    estimate
        Whether to estimate the rotation although it is known.
    reference
        Dark-field image, as for `estimate_rotation`; one without counts is left aside.
    take_trusted
        Whether to take the estimate of an unknown rotation too, if it is to be trusted.

    Returns
    -------
    acquisition : Acquisition
        With `scan_rotation` and `flip_y`.
    note : str
        Where they are from, for the user.

    Raises
    ------
    ValueError
        An estimate was asked for, and the scan allows none.

    Warns
    -----
    UserWarning
        The estimate is not to be trusted, or there is none and the rotation counts as 0.
    """
    if acquisition.scan_rotation is not None and not estimate:
        flip = bool(acquisition.flip_y)
        assumed = ", which is assumed" if acquisition.flip_y is None else ""
        note = f"rotation {acquisition.scan_rotation:g}° as given, {_mirrored(flip)}{assumed}"
        return acquisition.replace(flip_y=flip), note
    try:
        found = _estimate(com, acquisition, reference)
    except ValueError as error:
        if estimate:
            raise
        return _unturned(acquisition, f"{error} Give it by --rotation DEG.")
    if not estimate and not (take_trusted and found.confidence > TRUSTED_CONFIDENCE):
        return _unturned(
            acquisition,
            f"The scan itself suggests {found.angle:.1f}° ± {found.angle_error:.1f}°, "
            f"{_mirrored(found.flip_y)}, confidence {found.confidence:.0%}: --rotation auto takes "
            "that, --rotation DEG a calibrated angle.",
        )
    _warn_if_uncertain(found)
    note = (
        f"rotation {found.angle:.1f}° ± {found.angle_error:.1f}°, {_mirrored(found.flip_y)}: "
        f"estimated from the scan, confidence {found.confidence:.0%}"
    )
    return acquisition.replace(scan_rotation=found.angle, flip_y=found.flip_y), note


def rotation_of_scan(
    scan: Scan, acquisition: Acquisition, *, estimate: bool
) -> tuple[Acquisition, list[str]]:
    """Find the rotation where it is unknown, or asked for, in a pass over the scan.

    Parameters
    ----------
    scan
        With lazy data.
    acquisition
        What is known of it.
    estimate
        Whether to find it even where it is known.

    Returns
    -------
    tuple
        The calibration with a rotation, and what the user is told.
    """
    if not needs_dark_field(acquisition, estimate=estimate):
        return acquisition, []
    detector = tuple(scan.data.shape[2:])
    place = acquisition.center or beam_center(scan.data)
    dark_field = dark_field_detector(detector, acquisition, center=place)
    moments = scan_moments(
        scan,
        detectors=[] if dark_field is None else [dark_field],
        center=acquisition.center,
        pattern=False,
    )
    acquisition, note = settle_rotation(
        moments.com,
        acquisition,
        estimate=estimate,
        reference=None if dark_field is None else moments.images[-1],
        take_trusted=True,
    )
    return acquisition, [note]


def _estimate(
    com: np.ndarray, acquisition: Acquisition, reference: np.ndarray | None
) -> RotationEstimate:
    field = vector_field(com, acquisition.replace(scan_rotation=None, flip_y=None))
    return estimate_rotation(
        field.vectors,
        flip_y=acquisition.flip_y,
        scan_step=field.scan_step,
        reference=reference if reference is not None and np.ptp(reference) > 0 else None,
    )


def _unturned(acquisition: Acquisition, advice: str) -> tuple[Acquisition, str]:
    """Take an unknown rotation as 0, as HyperSpy and napari do, and say so."""
    warnings.warn(
        f"The rotation between detector and scan is not known and taken as 0: {advice}",
        stacklevel=3,
    )
    return acquisition.replace(scan_rotation=0.0, flip_y=bool(acquisition.flip_y)), (
        "rotation 0°, because it is not known"
    )


def _mirrored(flip: bool) -> str:
    return "mirrored" if flip else "not mirrored"


def _warn_if_uncertain(found: RotationEstimate) -> None:
    if found.confidence < TRUSTED_CONFIDENCE:
        warnings.warn(
            f"The estimated rotation of {found.angle:.1f}° ({_mirrored(found.flip_y)}) is "
            f"uncertain, confidence {found.confidence:.0%}: contrast may be weak, smeared or "
            "inverted. Calibrate it on a specimen of strong contrast and give it by "
            "--rotation DEG [--flip-y].",
            stacklevel=3,
        )
