"""The forward model against plain sums and the simulation's multislice, and its gradient."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from stem_plugins.ptychography.forward import diffraction_patterns
from stem_plugins.simulation import multislice, propagator

SIDE, WHOLE = (8, 10), (17, 15)


def complex_noise(rng, *shape):
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def model(rng, modes=2, slices=3, positions=4):
    """Everything that the forward model takes, as NumPy arrays of double precision."""
    return {
        "probe": complex_noise(rng, modes, *SIDE),
        "transmission": complex_noise(rng, slices, *WHOLE),
        "corners": rng.integers(0, 40, (positions, 2)),
        "fractions": rng.uniform(-1, 1, (positions, 2)),
        "propagator": propagator(SIDE, 0.3, 12.0, 200),
        "shifts": rng.uniform(-1, 1, (positions, 2)),
    }


def tensors(arrays, *learnt):
    return {
        name: torch.from_numpy(np.array(array)).requires_grad_(name in learnt)
        for name, array in arrays.items()
    }


def moved(wave, y, x):
    """A window moved by a fraction of a pixel: its Fourier series, evaluated elsewhere."""
    ky, kx = (np.fft.fftfreq(size)[:, None] for size in wave.shape)
    spectrum = np.fft.fft2(wave)
    rows = np.exp(2j * np.pi * ky.T * (np.arange(wave.shape[0])[:, None] - y))
    columns = np.exp(2j * np.pi * kx * (np.arange(wave.shape[1]) - x))
    return rows @ spectrum @ columns / wave.size


def shifting(y, x):
    """A tilt of the wave in the window, whose pattern lies that many pixels further."""
    rows, columns = (np.arange(size) / size for size in SIDE)
    return np.exp(2j * np.pi * (y * rows[:, None] + x * columns))


def test_patterns_are_those_of_the_simulation(rng):
    arrays = model(rng)
    found = diffraction_patterns(**tensors(arrays)).numpy()
    for index, (corner, fraction) in enumerate(
        zip(arrays["corners"], arrays["fractions"], strict=True)
    ):
        rows, columns = (
            (np.arange(size) + first) % whole
            for size, first, whole in zip(SIDE, corner, WHOLE, strict=True)
        )
        patches = arrays["transmission"][:, rows[:, None], columns]
        expected = np.zeros(SIDE)
        for mode in arrays["probe"]:
            wave = multislice(moved(mode, *fraction), patches[:-1], arrays["propagator"])
            wave = wave * patches[-1] * shifting(*arrays["shifts"][index])
            expected += np.abs(np.fft.fft2(wave, norm="ortho")) ** 2
        np.testing.assert_allclose(found[index], expected, rtol=1e-9)


@pytest.mark.parametrize(("modes", "slices"), [(1, 1), (3, 1), (1, 3), (2, 2)])
def test_gradients_are_those_of_finite_differences(rng, modes, slices):
    arrays = model(rng, modes, slices)
    given = tensors(arrays, "probe", "transmission", "fractions", "propagator", "shifts")
    if slices == 1:
        del given["propagator"]
    names = list(given)
    assert torch.autograd.gradcheck(
        lambda *values: diffraction_patterns(**dict(zip(names, values, strict=True))),
        tuple(given.values()),
    )


@pytest.mark.parametrize("learnt", ["probe", "transmission", "fractions", "shifts"])
def test_each_gradient_can_be_asked_for_alone(rng, learnt):
    arrays = model(rng)
    weights = torch.from_numpy(rng.standard_normal((4, *SIDE)))
    together = tensors(arrays, "probe", "transmission", "fractions", "shifts")
    (diffraction_patterns(**together) * weights).sum().backward()
    alone = tensors(arrays, learnt)
    (diffraction_patterns(**alone) * weights).sum().backward()
    torch.testing.assert_close(alone[learnt].grad, together[learnt].grad)


def test_a_shift_by_whole_pixels_moves_the_pattern(rng):
    given = tensors(model(rng))
    there = torch.tensor([[2.0, -3.0]] * 4, dtype=torch.float64)
    unmoved = diffraction_patterns(**{**given, "shifts": None})
    moved = diffraction_patterns(**{**given, "shifts": there})
    torch.testing.assert_close(moved, torch.roll(unmoved, (2, -3), dims=(1, 2)))


def test_the_object_is_periodic(rng):
    arrays = model(rng)
    around = dict(arrays, corners=arrays["corners"] + np.array(WHOLE))
    torch.testing.assert_close(
        diffraction_patterns(**tensors(arrays)), diffraction_patterns(**tensors(around))
    )


def test_phases_keep_the_electrons(rng):
    arrays = model(rng, slices=2)
    arrays["transmission"] /= np.abs(arrays["transmission"])
    ky, kx = np.meshgrid(*(np.fft.fftfreq(size) for size in SIDE), indexing="ij")
    arrays["propagator"] = np.exp(-1j * 9 * (ky**2 + kx**2))
    sums = diffraction_patterns(**tensors(arrays)).sum(dim=(1, 2)).numpy()
    np.testing.assert_allclose(sums, np.sum(np.abs(arrays["probe"]) ** 2))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("probe", np.ones((2, *SIDE)), "probe must be complex"),
        ("transmission", np.ones(WHOLE, complex), "transmission must be complex"),
        ("fractions", np.zeros((3, 2)), "positions, 2"),
        ("transmission", np.ones((3, 5, 40), complex), "enlarge the object"),
        ("propagator", np.ones((3, 3), complex), "propagator"),
    ],
)
def test_shapes_that_do_not_fit_are_named(rng, name, value, message):
    arrays = model(rng)
    arrays[name] = value
    with pytest.raises(ValueError, match=message):
        diffraction_patterns(**tensors(arrays))
    with pytest.raises(ValueError, match="propagator"):
        diffraction_patterns(**(tensors(model(rng)) | {"propagator": None}))
