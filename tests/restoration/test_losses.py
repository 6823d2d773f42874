"""Each loss against its equation, written out in NumPy."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stem_plugins.restoration import (  # noqa: E402
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

RNG = np.random.default_rng(8)
#: Three images of different contrast, the last one flat.
TRUTH = RNG.normal(size=(3, 1, 18, 23)) * np.array([1.0, 0.2, 0.0])[:, None, None, None] + 3
RESTORED = TRUTH + RNG.normal(size=TRUTH.shape) * 0.3 + 0.1
SIGMA_MIN = 0.05
PIXEL_LOSSES = (l1_loss, l2_loss, local_whitening_loss, fourier_loss, mean_loss, std_loss)


def value(loss, *arguments, **options):
    return loss(*(torch.from_numpy(argument) for argument in arguments), **options).item()


def weight_by_hand():
    return np.array([1 / max(SIGMA_MIN, image.std()) for image in TRUTH])[:, None, None, None]


def test_contrast_weight():
    found = contrast_weight(torch.from_numpy(TRUTH), sigma_min=SIGMA_MIN).numpy()
    np.testing.assert_allclose(found, weight_by_hand())
    assert found[2] == 1 / SIGMA_MIN


def test_l1_and_l2():
    difference = np.abs(TRUTH - RESTORED)
    options = {"sigma_min": SIGMA_MIN}
    assert value(l1_loss, RESTORED, TRUTH, **options) == pytest.approx(
        (weight_by_hand() * difference).mean()
    )
    assert value(l2_loss, RESTORED, TRUTH, **options) == pytest.approx(
        (weight_by_hand() * difference**2).mean()
    )


@pytest.mark.parametrize("window", [2, 3, 4, 8, 16])
def test_local_whitening_pixel_by_pixel(window):
    expected = np.empty_like(TRUTH)
    before, after = window // 2, (window - 1) // 2
    for number, image in enumerate(TRUTH[:, 0]):
        padded = np.pad(image, (before, after), mode="reflect")
        for y, x in np.ndindex(image.shape):
            around = padded[y : y + window, x : x + window]
            expected[number, 0, y, x] = (image[y, x] - around.mean()) / max(SIGMA_MIN, around.std())
    found = local_whitening(torch.from_numpy(TRUTH), window, sigma_min=SIGMA_MIN).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_local_whitening_is_exact_on_a_large_background():
    image = torch.from_numpy(TRUTH[:2])
    expected = local_whitening(image, 4).float()
    found = local_whitening((image + 1000).float(), 4)
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=0)


def test_local_whitening_loss_is_the_mean_over_windows():
    truth, restored = (torch.from_numpy(array) for array in (TRUTH, RESTORED))
    each = [
        (local_whitening(truth, window) - local_whitening(restored, window)).abs().mean().item()
        for window in (2, 4, 8, 16)
    ]
    assert local_whitening_loss(restored, truth).item() == pytest.approx(np.mean(each))
    with pytest.raises(ValueError, match="too small for a window of 64"):
        local_whitening(truth, 64)


@pytest.mark.parametrize("columns", [22, 23])
@pytest.mark.parametrize("gamma", [0.125, 1.0])
def test_fourier_loss(columns, gamma):
    truth, restored = TRUTH[..., :columns], RESTORED[..., :columns]
    spectrum = np.fft.fft2(truth - restored, norm="ortho")
    assert value(fourier_loss, restored, truth, gamma=gamma) == pytest.approx(
        (np.abs(spectrum) ** gamma).mean()
    )


def test_fourier_loss_counts_weak_frequencies_nearly_as_strong_ones():
    wave = np.cos(2 * np.pi * 3 * np.arange(32) / 32) * np.ones((1, 1, 32, 1))
    zero = np.zeros_like(wave)
    weak, strong = (value(fourier_loss, a * wave, zero) for a in (0.01, 1.0))
    assert strong / weak == pytest.approx(100**0.125, rel=0.02)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_fourier_loss_of_half_precision(dtype):
    truth, restored = (torch.from_numpy(array).to(dtype) for array in (TRUTH, RESTORED))
    expected = fourier_loss(restored.double(), truth.double()).item()
    assert fourier_loss(restored, truth).item() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("gamma", [0.0, -1, 1.5, np.nan])
def test_fourier_exponent_must_be_sensible(gamma):
    with pytest.raises(ValueError, match="γ"):
        value(fourier_loss, RESTORED, TRUTH, gamma=gamma)


def test_mean_and_std_are_compared_image_by_image():
    moved = TRUTH + np.array([0.3, -0.3, 0.0])[:, None, None, None]
    assert value(mean_loss, moved, TRUTH) == pytest.approx(0.2)
    assert value(std_loss, moved, TRUTH) == pytest.approx(0, abs=1e-12)
    axes = (1, 2, 3)
    assert value(std_loss, RESTORED, TRUTH) == pytest.approx(
        np.abs(TRUTH.std(axis=axes) - RESTORED.std(axis=axes)).mean()
    )


@pytest.mark.parametrize("loss", PIXEL_LOSSES)
def test_a_perfect_image_costs_nothing_and_has_a_finite_slope(loss):
    truth = torch.from_numpy(TRUTH).float()
    restored = truth.clone().requires_grad_()
    cost = loss(restored, truth)
    cost.backward()
    assert cost.item() == 0
    assert torch.isfinite(restored.grad).all()


@pytest.mark.parametrize("loss", PIXEL_LOSSES)
def test_slopes_are_right_and_finite_for_a_constant_image(loss):
    truth = torch.from_numpy(TRUTH)
    restored = torch.from_numpy(RESTORED).requires_grad_()
    step = 1e-6 * torch.randn(restored.shape, dtype=torch.float64)
    cost = loss(restored, truth)
    cost.backward()
    change = (loss(restored + step, truth) - loss(restored - step, truth)).item() / 2
    assert change == pytest.approx((restored.grad * step).sum().item(), rel=1e-3, abs=1e-12)
    flat = torch.zeros_like(truth).requires_grad_()
    loss(flat, truth).backward()
    assert torch.isfinite(flat.grad).all()


@pytest.mark.parametrize("loss", PIXEL_LOSSES)
@pytest.mark.parametrize("shape", [(3, 1, 18, 1), (1, 1, 18, 23), (18, 23)])
def test_shapes_that_would_broadcast_are_refused(loss, shape):
    with pytest.raises(ValueError, match="both have the shape"):
        loss(torch.zeros(shape), torch.zeros(3, 1, 18, 23))


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def test_adversarial_losses_are_their_equations():
    real, fake = RNG.normal(size=(2, 4, 1, 5, 5)) * 2
    d_real, d_fake = sigmoid(real - fake.mean()), sigmoid(fake - real.mean())
    found = torch.sigmoid(relativistic_average(torch.from_numpy(real), torch.from_numpy(fake)))
    np.testing.assert_allclose(found.numpy(), d_real)
    assert value(adversarial_loss, real, fake) == pytest.approx(
        -np.log(1 - d_real).mean() - np.log(d_fake).mean()
    )
    assert value(discriminator_loss, real, fake) == pytest.approx(
        -np.log(d_real).mean() - np.log(1 - d_fake).mean()
    )


def test_scores_count_only_relative_to_each_other():
    real, fake = RNG.normal(size=(2, 4, 1, 5, 5))
    for loss in (adversarial_loss, discriminator_loss):
        assert value(loss, real + 7, fake + 7) == pytest.approx(value(loss, real, fake))
    assert value(adversarial_loss, real, real.copy()) >= 2 * np.log(2)
    assert value(discriminator_loss, real + 50, fake) < 1e-15


def test_large_scores_do_not_overflow():
    real = torch.full((1, 1, 2, 2), 1e4, requires_grad=True)
    cost = adversarial_loss(real, torch.zeros(1, 1, 2, 2))
    cost.backward()
    assert cost.item() == pytest.approx(2e4)
    assert torch.isfinite(real.grad).all()


def test_the_sum_is_weighted():
    truth, restored = (torch.from_numpy(array) for array in (TRUTH, RESTORED))
    factors = dict(zip(LossWeights.__dataclass_fields__, (1, 2, 3, 5, 7, 11), strict=False))
    expected = sum(
        factor * loss(restored, truth)
        for factor, loss in zip(factors.values(), PIXEL_LOSSES, strict=True)
    )
    weights = LossWeights(**factors, adversarial=13)
    assert pixel_loss(restored, truth, weights).item() == pytest.approx(expected.item())
    scores = {"score_truth": torch.randn(3, 1, 4, 4), "score_restored": torch.randn(3, 1, 4, 4)}
    total = generator_loss(restored, truth, weights, **scores)
    assert total.item() == pytest.approx(
        expected.item() + 13 * adversarial_loss(*scores.values()).item(), rel=1e-6
    )
    with pytest.raises(ValueError, match="score_restored"):
        generator_loss(restored, truth, weights, score_truth=scores["score_truth"])
    assert generator_loss(restored, truth, LossWeights()).item() == pytest.approx(
        l1_loss(restored, truth).item()
    )
