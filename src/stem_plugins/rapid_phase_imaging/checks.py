"""Whether a scan can be imaged by AIRPI: its calibration against its own mean pattern."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from stem_plugins.imaging.bright_field_disc import Disc, calibrated_radius, find_disc
from stem_plugins.imaging.moments import check_4d
from stem_plugins.optics.aberrations import aberration_coefficients
from stem_plugins.optics.acquisition import Acquisition, check_acquisition
from stem_plugins.optics.electrons import wavelength

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["NEEDED", "OVERLAP", "Survey", "check_calibration", "survey"]

#: Calibration without which nothing can be done.
NEEDED = ("beam_energy", "convergence_angle", "scan_step", "diffraction_step")

#: Positions along each axis that are looked at first.
LOOKED_AT = 24

#: Overlap of neighbouring probes below which false atoms appear, and below which nothing is seen.
OVERLAP, LEAST_OVERLAP = 3.0, 1.0

#: Diameter of the probe in λ/α, between its first zeros.
DIAMETER = 1.22

#: Ranges of the training: energies [keV], semi-angles [mrad], aberrations [rad].
ENERGIES, ANGLES, LARGEST_PHASE = (30.0, 300.0), (5.0, 30.0), 3.5

#: Relative differences of the disc's radius that are said, and that are refused.
RADIUS_SAID, RADIUS_REFUSED = 0.06, 0.3

#: Ratio of the disc's axes that is said.
ELLIPTICITY_SAID = 1.06

#: Distance [px] of the given centre from that of the disc that is said.
CENTER_SAID = 1.0

#: Part of the mean pattern's counts that may be missing in pixels below zero.
NEGATIVE_REFUSED = 0.2

OUTSIDE = "This is outside the range that the network was trained for"


@dataclasses.dataclass(frozen=True, eq=False)
class Survey:
    """What the first look at a scan has found.

    Parameters
    ----------
    acquisition
        The calibration, with the centre of the disc as it was measured.
    counts
        In a mean pattern.
    electrons
        The same; infinite where the data are no counts.
    overlap
        Diameter of the probe over the larger scan step.
    """

    acquisition: Acquisition
    counts: float
    electrons: float
    overlap: float


def survey(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    *,
    force: bool = False,
    stacklevel: int = 3,
) -> Survey:
    """Look at a scan before it is imaged.

    Parameters
    ----------
    data
        (scan_y, scan_x, ky, kx); some hundred patterns are read.
    acquisition
        Its calibration.
    force
        Whether to go on where it would be refused for want of overlap, or as too far outside the
        range of the training.
    stacklevel
        Of the warnings.

    Raises
    ------
    MissingCalibrationError
        Energy, angle, step or detector pixel are unknown.
    ValueError
        The data are not 4D, hold NaN, no counts or negative ones; the disc is cut off or
        contradicts the calibration; the step is too large; or the lens is far outside the range.
    """
    data = check_4d(data)
    overlap = check_calibration(acquisition, force=force, stacklevel=stacklevel + 1)
    every = tuple(slice(None, None, max(1, size // LOOKED_AT)) for size in data.shape[:2])
    sample = np.asarray(data[every])
    if sample.dtype.kind == "f" and not np.isfinite(sample).all():
        raise ValueError("Patterns hold NaN or infinite pixels; replace them first.")
    mean = sample.mean(axis=(0, 1), dtype=float)
    _check_negative(sample, mean, stacklevel + 1)
    if not mean.sum() > 0:
        raise ValueError("The patterns hold no counts: there is nothing to image.")
    disc = find_disc(mean)
    center = _check_disc(disc, acquisition, mean.shape, stacklevel + 1)
    counted = sample.dtype.kind in "uib" or np.array_equal(sample, np.rint(sample))
    counts = float(mean.sum())
    electrons = counts if counted else math.inf
    return Survey(acquisition.replace(center=center), counts, electrons, overlap)


def _check_negative(sample: np.ndarray, mean: np.ndarray, stacklevel: int) -> None:
    """Say that pixels are below zero, as noise about a background is; refuse what is no noise."""
    negative = int(np.count_nonzero(sample < 0)) if sample.dtype.kind not in "ub" else 0
    if not negative:
        return
    missing, present = -mean[mean < 0].sum(), mean[mean > 0].sum()
    if missing > NEGATIVE_REFUSED * present:
        raise ValueError(
            f"{np.mean(mean < 0):.0%} of the mean pattern's pixels are below zero, by "
            f"{missing:.3g} in all beside {present:.3g} above it: these are no electron counts. "
            "Give patterns from which nothing, or only the background, was subtracted; counts that "
            "were read with a sign need an unsigned type."
        )
    warnings.warn(
        f"{negative} of {sample.size} pixels that were looked at are below zero, which counts are "
        "not; they are taken as they are.",
        stacklevel=stacklevel,
    )


def check_calibration(
    acquisition: Acquisition, *, force: bool = False, stacklevel: int = 2
) -> float:
    """Look at a calibration alone; no pattern is needed.

    Parameters
    ----------
    acquisition, force, stacklevel
        As for `survey`.

    Returns
    -------
    float
        Diameter of the probe over the larger scan step.

    Raises
    ------
    MissingCalibrationError
        Energy, angle, step or detector pixel are unknown.
    ValueError
        The step is too large, or the lens far outside the range.

    Examples
    --------
    >>> fine = Acquisition(
    ...     beam_energy=300, convergence_angle=20, scan_step=0.3, diffraction_step=2.0
    ... )
    >>> round(check_calibration(fine), 1)
    4.0
    """
    check_acquisition(acquisition).require(*NEEDED)
    _check_range(acquisition, force, stacklevel + 1)
    return _check_step(acquisition, force, stacklevel + 1)


def _check_step(acquisition: Acquisition, force: bool, stacklevel: int) -> float:
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    assert acquisition.scan_step is not None
    unit = wavelength(acquisition.beam_energy) / (acquisition.convergence_angle * 1e-3)
    step = max(acquisition.scan_step)
    overlap = DIAMETER * unit / step
    said = (
        f"The scan step of {step:.3g} Å is {1 / overlap:.2g} times the diameter of the probe "
        f"({DIAMETER * unit:.3g} Å)"
    )
    if overlap < LEAST_OVERLAP and not force:
        raise ValueError(
            f"{said}: neighbouring patterns share too little to be imaged. Scan with a step of "
            f"{DIAMETER * unit / OVERLAP:.2g} Å or less; force=True images it nevertheless."
        )
    if overlap < OVERLAP:
        warnings.warn(
            f"{said}; above a third of it features that look like atoms may be none.",
            stacklevel=stacklevel,
        )
    return overlap


def _check_range(acquisition: Acquisition, force: bool, stacklevel: int) -> None:
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    reasons = []
    for value, (low, high), what, unit in (
        (acquisition.beam_energy, ENERGIES, "beam energy", "keV"),
        (acquisition.convergence_angle, ANGLES, "convergence semi-angle", "mrad"),
    ):
        if not low * 0.99 <= value <= high * 1.01:
            reasons.append(f"{what} {value:g} {unit} ({low:g} to {high:g})")
    largest = _largest_phase(acquisition)
    if largest > LARGEST_PHASE:
        reasons.append(
            f"aberrations of {largest:.3g} rad at the aperture's edge (up to {LARGEST_PHASE:g})"
        )
    if not reasons:
        return
    words = f"{OUTSIDE}: {'; '.join(reasons)}."
    if largest > 2 * LARGEST_PHASE and not force:
        raise ValueError(
            f"{words} Use direct or iterative ptychography; force=True images it nevertheless."
        )
    warnings.warn(f"{words} The image is not to be trusted.", stacklevel=stacklevel)


def _largest_phase(acquisition: Acquisition) -> float:
    """Sum of the sizes of all aberration phases at the aperture's edge [rad]."""
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    angle = acquisition.convergence_angle * 1e-3
    coefficients = aberration_coefficients(acquisition.aberrations, acquisition.defocus)
    return sum(
        2
        * math.pi
        / wavelength(acquisition.beam_energy)
        * abs(value)
        * angle ** (order + 1)
        / (order + 1)
        for name, value in coefficients.items()
        if name.startswith("C")
        for order in [int(name[1])]
    )


def _check_disc(
    disc: Disc, acquisition: Acquisition, shape: tuple[int, ...], stacklevel: int
) -> tuple[float, float]:
    """Compare disc and calibration; return the centre to be used."""
    assert acquisition.convergence_angle is not None
    assert acquisition.diffraction_step is not None
    pixel = math.sqrt(math.prod(acquisition.diffraction_step))
    expected = calibrated_radius(acquisition)
    if expected < 2:
        raise ValueError(
            f"The bright-field disc of {acquisition.convergence_angle:g} mrad has a radius of "
            f"{expected:.2g} detector pixels of {pixel:.3g} mrad; at least 2 are needed. Check "
            "convergence_angle and diffraction_step."
        )
    if disc.cut or 2 * expected > 1.05 * min(shape):
        y, x = disc.center
        raise ValueError(
            f"The bright-field disc (radius {expected:.3g} px by the calibration, "
            f"{disc.radius:.3g} px as measured, around ({y:.1f}, {x:.1f})) does not lie on the "
            f"detector of {shape[0]} × {shape[1]} pixels. Check convergence_angle and "
            "diffraction_step; a disc that is cut off cannot be imaged."
        )
    off = disc.radius / expected - 1
    said = (
        f"The bright-field disc has a radius of {disc.radius:.3g} px in the mean pattern, and of "
        f"{expected:.3g} px by convergence_angle / diffraction_step"
    )
    if abs(off) > RADIUS_REFUSED:
        raise ValueError(f"{said}. One of the two is wrong; correct it first.")
    if abs(off) > max(RADIUS_SAID, 1 / expected):
        warnings.warn(
            f"{said}; the phase suffers if the calibration is off.", stacklevel=stacklevel
        )
    if disc.axes_ratio > max(ELLIPTICITY_SAID, 1 + 1.5 / expected):
        warnings.warn(
            f"The bright-field disc is an ellipse, with axes of a ratio of {disc.axes_ratio:.2f}: "
            "the patterns are distorted, or a specimen's edge shades them. A distortion spoils the "
            "phase.",
            stacklevel=stacklevel,
        )
    given = acquisition.center
    if given is not None and math.dist(given, disc.center) > CENTER_SAID:
        warnings.warn(
            f"The centre was given as ({given[0]:.1f}, {given[1]:.1f}) px, but the bright-field "
            f"disc lies around ({disc.center[0]:.1f}, {disc.center[1]:.1f}) px, which is used.",
            stacklevel=stacklevel,
        )
    return disc.center
