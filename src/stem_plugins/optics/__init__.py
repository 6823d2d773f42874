"""Electron optics: wavelengths, aberrations, probes, and the calibration of an experiment."""

from stem_plugins.optics.aberrations import aberration_coefficients, aberration_function
from stem_plugins.optics.acquisition import Acquisition, MissingCalibrationError
from stem_plugins.optics.electrons import interaction_constant, lorentz_factor, wavelength
from stem_plugins.optics.probe import (
    aperture,
    probe,
    probe_radius,
    probe_spectrum,
    scattering_angles,
    spatial_frequencies,
)

__all__ = [
    "Acquisition",
    "MissingCalibrationError",
    "aberration_coefficients",
    "aberration_function",
    "aperture",
    "interaction_constant",
    "lorentz_factor",
    "probe",
    "probe_radius",
    "probe_spectrum",
    "scattering_angles",
    "spatial_frequencies",
    "wavelength",
]
