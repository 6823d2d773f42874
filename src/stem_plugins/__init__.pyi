from .optics import Acquisition, MissingCalibrationError

__all__ = [
    "Acquisition",
    "MissingCalibrationError",
]
