from stem_plugins.optics.acquisition import Acquisition, MissingCalibrationError

__all__ = [
    "Acquisition",
    "MissingCalibrationError",
]
