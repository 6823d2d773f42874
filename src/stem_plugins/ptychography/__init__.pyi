from .choices import Choices
from .forward import diffraction_patterns
from .metrics import (
    BandTransfer,
    InformationLimit,
    RingCorrelation,
    cross_talk,
    fourier_ring_correlation,
    half_scans,
    information_limit,
    structural_similarity,
    subpixel_shift,
    transfer_by_band,
)
from .progress import Progress
from .reconstruct import iterate_ptychography, iterative_ptychography
from .regularizers import Regularization
from .result import PtychographyResult, load_ptychography

__all__ = [
    "BandTransfer",
    "Choices",
    "InformationLimit",
    "Progress",
    "PtychographyResult",
    "Regularization",
    "RingCorrelation",
    "cross_talk",
    "diffraction_patterns",
    "fourier_ring_correlation",
    "half_scans",
    "information_limit",
    "iterate_ptychography",
    "iterative_ptychography",
    "load_ptychography",
    "structural_similarity",
    "subpixel_shift",
    "transfer_by_band",
]
