from .cgrdn import ConcatenatedGroupedResidualDenseNetwork, cgrdn_from_weights
from .discriminator import PatchDiscriminator
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

__all__ = [
    "ConcatenatedGroupedResidualDenseNetwork",
    "LossWeights",
    "PatchDiscriminator",
    "adversarial_loss",
    "cgrdn_from_weights",
    "contrast_weight",
    "discriminator_loss",
    "fourier_loss",
    "generator_loss",
    "l1_loss",
    "l2_loss",
    "local_whitening",
    "local_whitening_loss",
    "mean_loss",
    "pixel_loss",
    "relativistic_average",
    "std_loss",
]
