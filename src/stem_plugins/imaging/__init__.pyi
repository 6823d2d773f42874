from .detectors import annular_detector, rectangular_detector
from .moments import Moments, iter_moments, moments, virtual_image

__all__ = [
    "Moments",
    "annular_detector",
    "iter_moments",
    "moments",
    "rectangular_detector",
    "virtual_image",
]
