"""What regularisers do to stacks of slices that are known."""

import dataclasses

import numpy as np
import pytest
from atom_scans import ACQUISITION

pytest.importorskip("torch")

import torch

from stem_plugins import Regularization
from stem_plugins.ptychography.geometry import scan_geometry
from stem_plugins.ptychography.measurements import measurements
from stem_plugins.ptychography.objective import Objective, Value

#: Slices and their distance [Å].
SLICES, THICKNESS = 8, 5.0


@pytest.fixture(scope="module")
def task():
    acquisition = dataclasses.replace(ACQUISITION, center=(16, 16))
    geometry = scan_geometry((6, 7), (32, 32), acquisition)
    data = measurements(np.ones((6, 7, 32, 32)), center=(16, 16))
    return Objective(data, geometry, acquisition, slice_thickness=THICKNESS)


def wave_of(task, cycles):
    """A wave through a stack, of so many cycles along z, y and x."""
    shape = (SLICES, *task.geometry.shape)
    angle = sum(
        2 * np.pi * count * place / size
        for count, place, size in zip(cycles, np.indices(shape), shape, strict=True)
    )
    return np.cos(angle)[None].astype(np.float32)


@pytest.mark.parametrize("cycles", [(0, 3, 2), (1, 3, 2), (2, 1, 0), (3, 0, 12), (1, 1, 1)])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_kz_filter_takes_depth_away_that_the_tilts_do_not_reach(task, cycles, strength):
    """Gain 1 - 2/π atan(β² kz² / k²), frequencies in 1/Å."""
    stack = wave_of(task, cycles)
    kz = cycles[0] / (SLICES * THICKNESS)
    ky, kx = (
        count / (size * sampling)
        for count, size, sampling in zip(
            cycles[1:], task.geometry.shape, task.geometry.sampling, strict=True
        )
    )
    gain = 1 - 2 / np.pi * np.arctan(strength**2 * kz**2 / (ky**2 + kx**2))
    parts = Regularization(kz_filter=strength).projected({"object": torch.from_numpy(stack)}, task)
    np.testing.assert_allclose(parts["object"].numpy(), gain * stack, atol=2e-5)
    assert gain == 1 if cycles[0] == 0 else 0.05 < gain < 0.999


def test_kz_filter_keeps_the_mean_phase_of_each_slice(task, rng):
    stack = rng.standard_normal((1, SLICES, *task.geometry.shape)).astype(np.float32)
    parts = Regularization(kz_filter=1.0).projected({"object": torch.from_numpy(stack)}, task)
    found = parts["object"].numpy()
    np.testing.assert_allclose(found.mean((2, 3)), stack.mean((2, 3)), atol=1e-5)
    assert np.abs(found - stack).max() > 0.1


def test_total_variation_in_depth_counts_steps_from_slice_to_slice(task, rng):
    """Against the sum of steps in NumPy, and its slope along a change."""
    flat = rng.standard_normal(task.geometry.shape).astype(np.float32)
    heights = np.array([0, 0, 0.3, 0.3, 0.3, -0.2, -0.2, -0.2], np.float32)
    stack = (flat + heights[:, None, None])[None]
    asked = Regularization(total_variation_depth=0.7)

    def penalty(values):
        parts = {"object": torch.from_numpy(values)}
        return asked.added(Value(1.0, {"object": torch.zeros_like(parts["object"])}), parts)

    value = penalty(stack)
    # Steps of 0.3 and 0.5 in every column, per pixel; small ones count as somewhat less.
    assert value.loss - 1 == pytest.approx(0.7 * (0.3 + 0.5) / SLICES, rel=0.03)
    change = 1e-2 * rng.standard_normal(stack.shape).astype(np.float32)
    slope = (penalty(stack + change).loss - penalty(stack - change).loss) / 2
    assert float((value.gradients["object"].numpy() * change).sum()) == pytest.approx(
        slope, rel=0.05
    )
    # What is the same in all slices costs nothing, however rough it is.
    assert penalty(np.repeat(stack[:, :1], SLICES, axis=1)).loss == pytest.approx(1, abs=1e-6)
