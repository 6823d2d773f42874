from .cgrdn import ConcatenatedGroupedResidualDenseNetwork, cgrdn_from_weights
from .detector_response import (
    electron_spread,
    fast_scan_tail,
    noisy_detector,
    outliers,
    tail_weights,
)
from .discriminator import PatchDiscriminator
from .distortions import Distortions, distort, row_jitter
from .evidence import Evidence
from .local_fourier import local_fourier_filter
from .losses import (
    LossWeights,
    adversarial_loss,
    contrast_weight,
    discriminator_loss,
    fourier_loss,
    generator_loss,
    l1_loss,
    l2_loss,
    local_whitening,
    local_whitening_loss,
    mean_loss,
    pixel_loss,
    relativistic_average,
    std_loss,
)
from .low_pass import LowPass, apply_low_pass, estimate_low_pass, remove_low_pass
from .restore_images import restore
from .scan_correction import apply_scan_shifts, scan_shifts
from .scan_grid import resample_scan
from .tail_removal import Tail, estimate_tail, remove_tail

__all__ = [
    "ConcatenatedGroupedResidualDenseNetwork",
    "Distortions",
    "Evidence",
    "LossWeights",
    "LowPass",
    "PatchDiscriminator",
    "Tail",
    "adversarial_loss",
    "apply_low_pass",
    "apply_scan_shifts",
    "cgrdn_from_weights",
    "contrast_weight",
    "discriminator_loss",
    "distort",
    "electron_spread",
    "estimate_low_pass",
    "estimate_tail",
    "fast_scan_tail",
    "fourier_loss",
    "generator_loss",
    "l1_loss",
    "l2_loss",
    "local_fourier_filter",
    "local_whitening",
    "local_whitening_loss",
    "mean_loss",
    "noisy_detector",
    "outliers",
    "pixel_loss",
    "relativistic_average",
    "remove_low_pass",
    "remove_tail",
    "resample_scan",
    "restore",
    "row_jitter",
    "scan_shifts",
    "std_loss",
    "tail_weights",
]
