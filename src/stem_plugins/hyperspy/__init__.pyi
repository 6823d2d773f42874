from .interactive import InteractiveRicom
from .ptychography_signals import PtychographySignals
from .rapid_phase_methods import AirpiSignals
from .reader import load
from .scan_images import apply_scan_shifts, scan_shifts
from .scan_moments import ScanMoments
from .signals import STEM4D, ComplexSTEM4D, LazyComplexSTEM4D, LazySTEM4D
from .stem_image import ComplexSTEMImage, LazyComplexSTEMImage, LazySTEMImage, STEMImage
from .vector_maps import (
    divergence,
    electric_field,
    estimate_rotation,
    icom,
    ricom,
    vector_field,
)

__all__ = [
    "STEM4D",
    "AirpiSignals",
    "ComplexSTEM4D",
    "ComplexSTEMImage",
    "InteractiveRicom",
    "LazyComplexSTEM4D",
    "LazyComplexSTEMImage",
    "LazySTEM4D",
    "LazySTEMImage",
    "PtychographySignals",
    "STEMImage",
    "ScanMoments",
    "apply_scan_shifts",
    "divergence",
    "electric_field",
    "estimate_rotation",
    "icom",
    "load",
    "ricom",
    "scan_shifts",
    "vector_field",
]
