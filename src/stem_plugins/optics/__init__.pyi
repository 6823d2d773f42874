from .aberrations import aberration_coefficients, aberration_function
from .acquisition import Acquisition, MissingCalibrationError
from .electrons import interaction_constant, lorentz_factor, wavelength
from .probe import (
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
