"""The losses of the published restoration networks, as pure functions.

Eq. 2.30 to 2.43 of the thesis (also I. Lobato, T. Friedrich, S. Van Aert, arXiv:2303.17025). Here
y is the true image, `truth`, and y_g the generated one, `restored`: both of the shape
(batch, 1, y, x). C is the output of the discriminator. The weights λ of the sum were not published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "LossWeights",
    "adversarial_loss",
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

#: Below this standard deviation an image counts as flat (σ_min); images are near unit deviation.
SIGMA_MIN = 1e-2


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """The factors λ of eq. 2.41 and 2.42.

    Their published values are unknown, so only the first loss counts unless others are given.

    Attributes
    ----------
    l1, l2, local_whitening, fourier, mean, std
        Of the losses between two images.
    adversarial
        Of the loss that comes from the discriminator.
    """

    l1: float = 1.0
    l2: float = 0.0
    local_whitening: float = 0.0
    fourier: float = 0.0
    mean: float = 0.0
    std: float = 0.0
    adversarial: float = 0.0


def contrast_weight(truth: Tensor, *, sigma_min: float = SIGMA_MIN) -> Tensor:
    """Return ``w_y = 1/max(σ_min, Std y)`` of each image (eq. 2.33), as (batch, 1, 1, 1)."""
    return 1 / _std(truth, keepdim=True).clamp_min(sigma_min)


def l1_loss(restored: Tensor, truth: Tensor, *, sigma_min: float = SIGMA_MIN) -> Tensor:
    """Return ``E{w_y |y - y_g|}`` (eq. 2.32): faithful on average, and sharper than squares."""
    _check_shapes(restored, truth)
    return (contrast_weight(truth, sigma_min=sigma_min) * (truth - restored).abs()).mean()


def l2_loss(restored: Tensor, truth: Tensor, *, sigma_min: float = SIGMA_MIN) -> Tensor:
    """Return ``E{w_y |y - y_g|²}`` (eq. 2.34): for outliers like X-ray hits and dead pixels.

    As printed, with ``w_y`` and not its square: it has the unit of the images.
    """
    _check_shapes(restored, truth)
    return (contrast_weight(truth, sigma_min=sigma_min) * (truth - restored).square()).mean()


def local_whitening(image: Tensor, window: int, *, sigma_min: float = SIGMA_MIN) -> Tensor:
    """Take off the mean around each pixel and divide by the deviation there (eq. 2.35).

    Parameters
    ----------
    image
        Shape (batch, 1, y, x).
    window
        Edge S of the square neighbourhood in pixels; where it is even, the pixel is the one
        right of and below its middle. Edges of the image are reflected.
    sigma_min
        Smallest deviation to divide by.

    Returns
    -------
    torch.Tensor
        Of the same shape, without unit.

    Raises
    ------
    ValueError
        The image is smaller than the window needs.
    """
    before, after = window // 2, (window - 1) // 2
    if min(image.shape[-2:]) <= before:
        raise ValueError(
            f"Images of {tuple(image.shape[-2:])} px are too small for a window of {window} px."
        )
    # Variances below are differences of squares, which a large common mean would drown.
    image = image - image.mean(dim=(-2, -1), keepdim=True)
    padded = functional.pad(image, (before, after, before, after), mode="reflect")
    mean = functional.avg_pool2d(padded, window, stride=1)
    variance = functional.avg_pool2d(padded.square(), window, stride=1) - mean.square()
    # The limit stands under the root, whose slope is infinite at zero.
    return (image - mean) / variance.clamp_min(sigma_min**2).sqrt()


def local_whitening_loss(
    restored: Tensor,
    truth: Tensor,
    *,
    windows: Sequence[int] = (2, 4, 8, 16),
    sigma_min: float = SIGMA_MIN,
) -> Tensor:
    """Return the mean over windows of ``E|y^S - y_g^S|`` (eq. 2.36): detail at any contrast."""
    _check_shapes(restored, truth)
    each = [
        (
            local_whitening(truth, window, sigma_min=sigma_min)
            - local_whitening(restored, window, sigma_min=sigma_min)
        )
        .abs()
        .mean()
        for window in windows
    ]
    return torch.stack(each).mean()


def fourier_loss(
    restored: Tensor, truth: Tensor, *, gamma: float = 0.125, floor: float = 1e-4
) -> Tensor:
    """Return ``E{|F(y - y_g)|^γ}`` (eq. 2.37): weak frequencies count nearly as strong ones.

    Parameters
    ----------
    restored, truth
        Shape (batch, 1, y, x).
    gamma
        Exponent γ, 0 < γ <= 1.
    floor
        Amplitude below which the power is replaced by a straight line to zero, because its slope
        is infinite there.

    Returns
    -------
    torch.Tensor
        Scalar. F is the unitary Fourier transform, so the loss does not grow with the image.

    Raises
    ------
    ValueError
        The shapes differ, or γ lies outside its range.
    """
    _check_shapes(restored, truth)
    if not 0 < gamma <= 1:
        raise ValueError(f"The exponent γ must be above 0 and at most 1, not {gamma}.")
    difference = truth - restored
    # The transform knows no half precision.
    difference = difference.to(torch.promote_types(difference.dtype, torch.float32))
    amplitude = torch.fft.rfft2(difference, norm="ortho").abs()
    power = amplitude.clamp_min(floor) ** gamma
    linear = amplitude * floor ** (gamma - 1)
    each = torch.where(amplitude > floor, power, linear)
    return _mean_over_whole_spectrum(each, truth.shape[-1])


def mean_loss(restored: Tensor, truth: Tensor) -> Tensor:
    """Return ``|E y - E y_g|``, averaged over the batch (eq. 2.38): intensities are kept."""
    _check_shapes(restored, truth)
    return (truth.mean(dim=(1, 2, 3)) - restored.mean(dim=(1, 2, 3))).abs().mean()


def std_loss(restored: Tensor, truth: Tensor) -> Tensor:
    """Return ``|Std y - Std y_g|``, averaged over the batch (eq. 2.39): contrast is kept."""
    _check_shapes(restored, truth)
    return (_std(truth) - _std(restored)).abs().mean()


def relativistic_average(score: Tensor, other: Tensor) -> Tensor:
    """Return the logit of D_Rap: how much more real one kind is than the other on average.

    Parameters
    ----------
    score
        C of the images in question, (batch, 1, y, x).
    other
        C of images of the other kind.

    Returns
    -------
    torch.Tensor
        ``C(a) - E_b C(b)``, like `score`. Its sigmoid is ``D_Rap(a, b)`` of eq. 2.30 and 2.31:
        relative to the *average* over all images and patches of the other kind
        (A. Jolicoeur-Martineau, arXiv:1807.00734).
    """
    return score - other.mean()


def adversarial_loss(score_truth: Tensor, score_restored: Tensor) -> Tensor:
    """Return what the generator pays where the discriminator sees through it (eq. 2.40).

    Parameters
    ----------
    score_truth, score_restored
        C(y) and C(y_g). The first matters too: restored images are to become more real than
        the average real one.

    Returns
    -------
    torch.Tensor
        ``-E log(1 - D_Rap(y, y_g)) - E log D_Rap(y_g, y)``, as a scalar.
    """
    # -log(1 - sigmoid(t)) = softplus(t) and -log(sigmoid(t)) = softplus(-t), without overflow.
    truth = functional.softplus(relativistic_average(score_truth, score_restored))
    restored = functional.softplus(-relativistic_average(score_restored, score_truth))
    return truth.mean() + restored.mean()


def discriminator_loss(score_truth: Tensor, score_restored: Tensor) -> Tensor:
    """Return what the discriminator pays for taking one kind for the other (eq. 2.43).

    Parameters
    ----------
    score_truth, score_restored
        C(y) and C(y_g), computed from detached restored images; in the conditional form C also
        saw the distorted image.

    Returns
    -------
    torch.Tensor
        ``-E log D_Rap(y, y_g) - E log(1 - D_Rap(y_g, y))``, as a scalar: the mirror image of
        `adversarial_loss`.
    """
    return adversarial_loss(score_restored, score_truth)


def pixel_loss(restored: Tensor, truth: Tensor, weights: LossWeights) -> Tensor:
    """Return the weighted sum of the losses between two images (eq. 2.42).

    Parameters
    ----------
    restored, truth
        Shape (batch, 1, y, x).
    weights
        The factors λ; what has the factor 0 is not computed.

    Returns
    -------
    torch.Tensor
        Scalar.
    """
    terms = (
        (weights.l1, l1_loss),
        (weights.l2, l2_loss),
        (weights.local_whitening, local_whitening_loss),
        (weights.fourier, fourier_loss),
        (weights.mean, mean_loss),
        (weights.std, std_loss),
    )
    total = restored.new_zeros(())
    for factor, loss in terms:
        if factor:
            total = total + factor * loss(restored, truth)
    return total


def generator_loss(
    restored: Tensor,
    truth: Tensor,
    weights: LossWeights,
    *,
    score_truth: Tensor | None = None,
    score_restored: Tensor | None = None,
) -> Tensor:
    """Return all that the generator is trained on (eq. 2.41).

    Parameters
    ----------
    restored, truth
        Shape (batch, 1, y, x).
    weights
        The factors λ.
    score_truth, score_restored
        C(y) and C(y_g), needed where ``weights.adversarial`` is not 0.

    Returns
    -------
    torch.Tensor
        Scalar.

    Raises
    ------
    ValueError
        The shapes differ, or scores are needed and missing.
    """
    total = pixel_loss(restored, truth, weights)
    if not weights.adversarial:
        return total
    if score_truth is None or score_restored is None:
        raise ValueError(
            "The adversarial loss needs the discriminator's scores of both images: pass "
            "score_truth and score_restored, or set the weight adversarial to 0."
        )
    return total + weights.adversarial * adversarial_loss(score_truth, score_restored)


def _std(image: Tensor, *, keepdim: bool = False) -> Tensor:
    """Deviation of each image, with a finite slope where the image is constant."""
    variance = image.var(dim=(1, 2, 3), correction=0, keepdim=keepdim)
    return variance.clamp_min(torch.finfo(image.dtype).tiny).sqrt()


def _mean_over_whole_spectrum(half: Tensor, columns: int) -> Tensor:
    """Mean over all frequencies of what a real transform gives for half of them."""
    weight = torch.full((half.shape[-1],), 2.0, device=half.device)
    weight[0] = 1
    if columns % 2 == 0:
        weight[-1] = 1
    return (half * weight).sum() / (half[..., 0].numel() * columns)


def _check_shapes(restored: Tensor, truth: Tensor) -> None:
    if restored.shape != truth.shape or restored.ndim != 4:
        raise ValueError(
            "Restored and true images must both have the shape (batch, 1, y, x); got "
            f"{tuple(restored.shape)} and {tuple(truth.shape)}."
        )
