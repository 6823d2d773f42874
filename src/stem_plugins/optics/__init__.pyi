from .acquisition import Acquisition, MissingCalibrationError

__all__ = [
    "Acquisition",
    "MissingCalibrationError",
]
