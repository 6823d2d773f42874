"""Virtual detectors as users name them in HyperSpy, turned into masks on the detector."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any, Literal

import hyperspy.api as hs
import numpy as np
from hyperspy.roi import BaseROI
from hyperspy.signal import BaseSignal

from stem_plugins.hyperspy.calibration import detector_axes, read_acquisition
from stem_plugins.imaging import annular_detector
from stem_plugins.io.units import is_reciprocal_length
from stem_plugins.optics.acquisition import MissingCalibrationError

__all__ = ["VirtualDetector", "annulus", "virtual_detector"]


@dataclasses.dataclass(frozen=True)
class VirtualDetector:
    """A mask on the detector, and how it was described.

    Parameters
    ----------
    mask
        (ky, kx), booleans or weights.
    parameters
        The description as metadata can hold it.
    """

    mask: np.ndarray
    parameters: Any


def virtual_detector(signal: BaseSignal, description: Any) -> VirtualDetector:
    """Return the detector that a description means.

    Parameters
    ----------
    signal
        4D data.
    description
        Radii (inner, outer) as for `annulus`; a HyperSpy ROI on the detector axes, in their
        units; an array or signal (ky, kx) of booleans or weights; or a `VirtualDetector`.

    Raises
    ------
    MissingCalibrationError
        As for `annulus`.
    ValueError
        It is none of these, or no pixel lies in it.
    """
    if isinstance(description, VirtualDetector):
        return description
    if isinstance(description, BaseROI):
        return VirtualDetector(_roi_mask(signal, description), str(description))
    if isinstance(description, BaseSignal):
        description = description.data
    if np.shape(description) == (2,):
        return annulus(signal, *description)
    mask = np.asarray(description)
    if mask.ndim != 2:
        raise ValueError(
            "A virtual detector is a pair of radii (inner, outer), a HyperSpy ROI, or a mask of "
            f"the detector's shape, not {description!r}."
        )
    return VirtualDetector(mask, mask)


def annulus(
    signal: BaseSignal,
    inner: float,
    outer: float,
    *,
    center: tuple[float, float] | None = None,
    units: Literal["mrad", "px"] | None = None,
) -> VirtualDetector:
    """Return an annular detector.

    Parameters
    ----------
    signal
        4D data.
    inner, outer
        Radii in `units`.
    center
        Centre [px], (ky, kx); ``None``: the calibrated one.
    units
        ``"mrad"`` or ``"px"``; ``None``: mrad where the detector is calibrated.

    Raises
    ------
    MissingCalibrationError
        The centre, or the detector step for radii in mrad, is not known.
    ValueError
        The radii are unusable, or no pixel lies between them.
    """
    if units not in (None, "mrad", "px"):
        raise ValueError(f"units must be 'mrad' or 'px', not {units!r}.")
    acquisition = read_acquisition(signal)
    axes = detector_axes(signal)
    if units != "px" and acquisition.diffraction_step is None:
        if any(is_reciprocal_length(axis.units) for axis in axes):
            # Radii meant in mrad must not be taken for px only because the energy is missing.
            raise MissingCalibrationError(("beam_energy",))
        if units == "mrad":
            raise MissingCalibrationError(("diffraction_step",))
        units = "px"
    if center is None:
        center = acquisition.require("center").center
    pixel_size = 1.0 if units == "px" else acquisition.diffraction_step
    shape = (axes[0].size, axes[1].size)
    return VirtualDetector(
        annular_detector(shape, inner, outer, center=center, pixel_size=pixel_size),
        {
            "inner": float(inner),
            "outer": float(outer),
            "units": units or "mrad",
            "center": [float(pixel) for pixel in center],
        },
    )


def _roi_mask(signal: BaseSignal, roi: BaseROI) -> np.ndarray:
    """Return the pixels that HyperSpy itself would keep."""
    axes = [{**axis.get_axis_dictionary(), "navigate": False} for axis in detector_axes(signal)]
    shape = tuple(axis["size"] for axis in axes)
    numbers = hs.signals.Signal2D(np.arange(np.prod(shape), dtype=float).reshape(shape), axes=axes)
    mask = np.zeros(shape, bool)
    with contextlib.suppress(ValueError):  # the whole ROI lies off the axes
        inside = np.asarray(roi(numbers).data)  # outside is cut off, or NaN
        mask.flat[inside[np.isfinite(inside)].astype(int)] = True
    if not mask.any():
        raise ValueError(
            f"No pixel of the detector lies in {roi}; its axes are in {axes[0]['units']}."
        )
    return mask
