"""Images from one pass over the data: moments, virtual detectors, riCOM and iCOM."""

from stem_plugins.imaging.aberration_fit import AberrationFit, fit_aberrations
from stem_plugins.imaging.center_of_mass import center_of_mass, remove_descan, to_scan_frame
from stem_plugins.imaging.detectors import (
    annular_detector,
    dark_field_detector,
    rectangular_detector,
)
from stem_plugins.imaging.direct_ptychography import ssb
from stem_plugins.imaging.field import (
    VectorField,
    divergence,
    electric_field,
    field_colors,
    vector_field,
)
from stem_plugins.imaging.icom import icom
from stem_plugins.imaging.moments import Moments, iter_moments, moments, virtual_image
from stem_plugins.imaging.pattern_checks import (
    largest_count_of,
    warn_of_patterns,
    warn_of_saturation,
)
from stem_plugins.imaging.ricom import (
    KernelTransfer,
    kernel_transfer,
    ricom,
    ricom_add,
    ricom_kernel,
)
from stem_plugins.imaging.rotation import RotationEstimate, estimate_rotation

__all__ = [
    "AberrationFit",
    "KernelTransfer",
    "Moments",
    "RotationEstimate",
    "VectorField",
    "annular_detector",
    "center_of_mass",
    "dark_field_detector",
    "divergence",
    "electric_field",
    "estimate_rotation",
    "field_colors",
    "fit_aberrations",
    "icom",
    "iter_moments",
    "kernel_transfer",
    "largest_count_of",
    "moments",
    "rectangular_detector",
    "remove_descan",
    "ricom",
    "ricom_add",
    "ricom_kernel",
    "ssb",
    "to_scan_frame",
    "vector_field",
    "virtual_image",
    "warn_of_patterns",
    "warn_of_saturation",
]
