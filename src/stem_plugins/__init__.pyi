from stem_plugins.optics import Acquisition, MissingCalibrationError

__all__ = [
    "Acquisition",
    "MissingCalibrationError",
]
