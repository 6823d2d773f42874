"""The likelihood of patterns, its gradients and its curvature."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import scipy.optimize
from atom_scans import ACQUISITION, scan_of_atoms

pytest.importorskip("torch")

import itertools

import torch

from stem_plugins.optics import probe
from stem_plugins.optics.electrons import wavelength
from stem_plugins.ptychography.curvature import curvature
from stem_plugins.ptychography.generators import Generator
from stem_plugins.ptychography.geometry import scan_geometry
from stem_plugins.ptychography.measurements import measurements
from stem_plugins.ptychography.minimizer import Minimizer
from stem_plugins.ptychography.objective import Objective, Value
from stem_plugins.ptychography.preconditioner import preconditioner


def objective(data, acquisition=None, **options):
    acquisition = dataclasses.replace(acquisition or ACQUISITION, center=(16, 16))
    measured = measurements(data, center=acquisition.center)
    geometry = scan_geometry(data.shape[:2], data.shape[2:], acquisition)
    return Objective(measured, geometry, acquisition, batch=7, **options)


def calibrated(task):
    wave = torch.from_numpy(task.calibrated_probe().astype(np.complex64))[None]
    return torch.view_as_real(wave).contiguous()


def parts_of(task, rng, *, slices=1, modes=1, channels=1):
    """Random object and refined parts around the calibrated probe."""
    wave = task.calibrated_probe()[None] * np.ones((modes, 1, 1)) / np.sqrt(modes)
    wave = wave + 1e-3 * rng.standard_normal((modes, 32, 32))
    return {
        "object": torch.from_numpy(
            (0.1 * rng.standard_normal((channels, slices, *task.geometry.shape))).astype(np.float32)
        ),
        "probe": torch.view_as_real(torch.from_numpy(wave.astype(np.complex64))).contiguous(),
        "positions": torch.from_numpy(rng.normal(0, 0.3, (169, 2)).astype(np.float32)),
        "aberrations": torch.from_numpy(rng.normal(0, 0.2, 8).astype(np.float32)),
        "background": torch.tensor([1e-4]),
    }


EVERY = np.ones(169, bool)

#: Lengths of a step that shows in single precision and along which the loss is nearly a parabola.
STEPS = {
    "object": 2e-2,
    "probe": 2e-3,
    "positions": 5e-2,
    "aberrations": 2e-2,
    "background": 2e-6,
    "tilt": 0.2,
}


@pytest.mark.parametrize("loss", ["poisson", "amplitude"])
@pytest.mark.parametrize(("object_type", "slices"), [("phase", 1), ("complex", 2)])
def test_gradients_are_those_of_finite_differences(atoms, rng, loss, object_type, slices):
    task = objective(
        atoms.data * 1e4,
        loss=loss,
        object_type=object_type,
        slice_thickness=20.0 if slices > 1 else None,
        blur=0.5,
    )
    parts = parts_of(
        task, rng, slices=slices, modes=2, channels=2 if object_type == "complex" else 1
    )
    if slices > 1:
        parts["tilt"] = torch.tensor([3.0, -2.0])
    value = task.evaluate(parts, EVERY, learn=tuple(parts))
    for name, gradient in value.gradients.items():
        direction = gradient / gradient.norm()
        step = STEPS[name]
        ahead, behind = (
            task.evaluate({**parts, name: parts[name] + sign * step * direction}, EVERY, learn=())
            for sign in (1, -1)
        )
        slope = (ahead.loss - behind.loss) / (2 * step)
        assert slope == pytest.approx(float(gradient.norm()), rel=0.03), name


def test_the_loss_of_the_truth_is_that_of_the_noise(atoms, rng):
    """With Poisson noise twice the loss is χ² over the electrons: one for every pixel."""
    task = objective(atoms.data * 1e7, loss="amplitude")
    vacuum = task.calibrated_probe()
    expected = np.abs(np.fft.fft2(vacuum, norm="ortho")) ** 2
    counts = rng.poisson(np.fft.fftshift(expected) * 1e7, (13, 13, 32, 32))
    noisy = objective(counts, loss="amplitude")
    parts = {"object": torch.zeros(1, 1, *task.geometry.shape), "probe": calibrated(noisy)}
    bright = np.count_nonzero(expected * 1e7 > 1)
    found = noisy.evaluate(parts, EVERY, learn=()).loss * noisy.mean_counts
    assert found == pytest.approx(0.5 * bright, rel=0.05)


def test_masked_frequencies_do_not_count(atoms):
    broken = np.array(atoms.data) * 1e4
    broken[..., 10, 12] = 1e6
    mask = np.ones((32, 32), bool)
    mask[10, 12] = False
    losses = []
    for data in (atoms.data * 1e4, broken):
        measured = measurements(data, center=(16, 16), mask=mask)
        geometry = scan_geometry((13, 13), (32, 32), atoms.acquisition)
        task = Objective(measured, geometry, atoms.acquisition)
        # The mean over all pixels is what the loss is divided by.
        same = dataclasses.replace(measured.survey, mean_counts=1e4)
        task = dataclasses.replace(
            task, measurements=dataclasses.replace(measured, survey=same), batch=50
        )
        parts = {"object": torch.zeros(1, 1, *geometry.shape), "probe": calibrated(task)}
        losses.append(task.evaluate(parts, EVERY, learn=()).loss)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("rotation", [0.0, 90.0, -30.0])
@pytest.mark.parametrize("flip", [False, True])
def test_astigmatism_turns_with_the_scan(rotation, flip):
    """Astigmatism has a direction: only the right one explains one atom in any orientation."""
    scan = scan_of_atoms(
        numbers=[6],
        places=[[6, 6]],
        aberrations={"C12": 40.0, "phi12": 0.4},
        scan_rotation=rotation,
        flip_y=flip,
        defocus=30.0,
    )
    losses = {}
    for azimuth in (0.4, 1.2):
        believed = dataclasses.replace(
            scan.acquisition, aberrations={"C12": 40.0, "phi12": azimuth}
        )
        task = objective(scan.data * 1e6, believed, loss="amplitude")
        parts = {"object": torch.zeros(1, 1, *task.geometry.shape), "probe": calibrated(task)}
        minimizer = Minimizer(
            parts, lambda point, task=task: task.evaluate(point, EVERY), preconditioner(task, parts)
        )
        first = task.evaluate(parts, EVERY, learn=()).loss
        for _ in range(8):
            value = minimizer.step()
        losses[azimuth] = value.loss / first
    assert losses[0.4] < 0.12
    assert losses[1.2] > 0.4


def test_a_tilt_of_the_slices_is_found_back(rng):
    """Patterns by NumPy, of slices that each lie further aside than the one before."""
    plain = scan_geometry((13, 13), (32, 32), ACQUISITION)
    # Positions on whole pixels.
    acquisition = dataclasses.replace(ACQUISITION, scan_step=3 * plain.sampling[0])
    vacuum = objective(np.ones((13, 13, 32, 32)), acquisition)
    geometry, distance, lean = vacuum.geometry, 20.0, np.array([0.4, -0.3])
    y, x = np.indices(geometry.shape)
    slab = np.zeros(geometry.shape)
    for place in rng.uniform(14, 42, (12, 2)):
        slab += 0.3 * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 8)
    aside = [scipy.ndimage.shift(slab, i * lean / geometry.sampling, mode="wrap") for i in range(3)]
    ky, kx = (np.fft.fftfreq(32, sampling) for sampling in geometry.sampling)
    space = np.exp(-1j * np.pi * wavelength(300) * distance * (ky[:, None] ** 2 + kx**2))
    data = np.empty((169, 32, 32))
    for number, (top, left) in enumerate(geometry.corners(geometry.positions)[0]):
        wave = vacuum.calibrated_probe()
        for index, layer in enumerate(aside):
            wave = np.fft.ifft2(np.fft.fft2(wave) * space) if index else wave
            wave = wave * np.exp(1j * layer[top : top + 32, left : left + 32])
        data[number] = np.abs(np.fft.fftshift(np.fft.fft2(wave, norm="ortho"))) ** 2
    task = objective(
        data.reshape(13, 13, 32, 32), acquisition, loss="amplitude", slice_thickness=distance
    )
    upright = torch.from_numpy(np.stack([slab] * 3)[None].astype(np.float32))
    parts = {"object": upright, "probe": calibrated(task), "tilt": torch.zeros(2)}
    minimizer = Minimizer(
        parts,
        lambda point: task.evaluate(point, EVERY, learn=("tilt",)),
        preconditioner(task, parts),
    )
    first = task.evaluate(parts, EVERY, learn=()).loss
    for _ in range(10):
        value = minimizer.step()
    np.testing.assert_allclose(minimizer.point["tilt"], 1e3 * lean / distance, atol=0.5)
    assert value.loss < 0.01 * first


def test_curvature_is_that_of_the_patterns(rng):
    """A weak wave of phase through the vacuum, and Σ (ΔI)² / I in the disc by plain NumPy."""
    pixels, sampling = 128, 0.25
    wave = probe((pixels, pixels), sampling, dataclasses.replace(ACQUISITION, defocus=100.0))
    expected = curvature(dataclasses.replace(ACQUISITION, defocus=100.0), 2.0)
    before = np.abs(np.fft.fft2(wave, norm="ortho")) ** 2
    bright = before > 0.5 * before.max()
    _y, x = np.indices((pixels, pixels))
    for cycles in (3, 8, 14, 25):
        change = 0.0
        for offset in np.arange(8) * np.pi / 4:
            phase = 1e-3 * np.cos(2 * np.pi * cycles * x / pixels + offset)
            after = np.abs(np.fft.fft2(wave * np.exp(1j * phase), norm="ortho")) ** 2
            inside = ((after - before)[bright] ** 2 / before[bright]).sum()
            outside = 4 * after[~bright & (before < 1e-9)].sum()
            change += (inside + outside) / 8
        # A wave of amplitude a has the mean square a²/2.
        found = np.interp(cycles / (pixels * sampling), expected.frequency, expected.phase)
        assert change / (0.5e-6) / 2 == pytest.approx(found, rel=0.35)


def test_the_minimiser_finds_what_scipy_finds(rng):
    start = torch.tensor([-1.2, 1.0, 0.5, 2.0], dtype=torch.float64)

    def evaluate(point):
        leaf = point["a"].detach().requires_grad_()
        value = scipy_rosenbrock(leaf)
        value.backward()
        return Value(value.item(), {"a": leaf.grad})

    minimizer = Minimizer({"a": start}, evaluate, lambda gradients: {"a": gradients["a"] / 200})
    values = [minimizer.step().loss for _ in range(80)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(values))
    expected = scipy.optimize.minimize(scipy.optimize.rosen, start.numpy(), method="L-BFGS-B")
    np.testing.assert_allclose(minimizer.point["a"].numpy(), expected.x, atol=1e-3)


def scipy_rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize("shape", [(1, 37, 50), (4, 20, 33)])
def test_a_generator_begins_with_the_guess_whatever_its_size(shape, rng):
    guess = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
    network = Generator(guess, filters=4)
    noise = torch.from_numpy(rng.standard_normal((1, *shape)).astype(np.float32))
    torch.testing.assert_close(network(noise), guess)
    network(noise).square().sum().backward()
    assert float(network.last.weight.grad.abs().max()) > 0


@pytest.mark.parametrize("seed", range(8))
def test_a_generator_of_a_single_filter_can_learn(seed, rng):
    # Every third one is born without anything that reaches its last layer.
    torch.manual_seed(seed)
    network = Generator(torch.from_numpy(rng.standard_normal((1, 20, 24))).float(), filters=1)
    network().sum().backward()
    assert float(network.last.weight.grad.abs().max()) > 0
