"""The exit-wave design: waves of known objects, and what is stitched of them."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from stem_plugins.optics import Acquisition, interaction_constant
from stem_plugins.rapid_phase_imaging.exit_wave_inputs import exit_wave_inputs, neighbour_weights
from stem_plugins.rapid_phase_imaging.exit_wave_network import ExitWaveNetwork
from stem_plugins.rapid_phase_imaging.reduction import reduce_patterns
from stem_plugins.rapid_phase_imaging.stitching import Stitcher, probe_reach
from stem_plugins.rapid_phase_imaging.wave_grid import (
    ANGLE,
    PIXEL,
    WINDOW,
    plan_patterns,
    probe_wave,
)
from stem_plugins.simulation import Atoms, batched_scan, simulate_scan
from stem_plugins.simulation.specimen import potential_on_grid
from stem_plugins.training.airpi_scans import Conditions
from stem_plugins.training.exit_wave_examples import noisy_examples, simulated_waves

ABERRATIONS = (0.8 + 0j, 0.3 + 0.2j, 0j, 0j, 0.2 + 0j)
FOCUSED = (0j,) * 5


def waves_of(phase, probe, step, shape):
    """Waves behind a phase object, each around its probe."""
    line = (np.arange(WINDOW) - WINDOW // 2) * PIXEL
    return np.array(
        [
            [
                np.exp(1j * phase((line + row * step[0])[:, None], line + column * step[1])) * probe
                for column in range(shape[1])
            ]
            for row in range(shape[0])
        ]
    )


@pytest.fixture
def gratings():
    """A phase of some waves, all of them below the limit."""
    rng = np.random.default_rng(0)
    parts = list(
        zip(
            rng.uniform(-1.2, 1.2, (12, 2)),
            rng.normal(0, 0.15, 12),
            rng.uniform(0, 6, 12),
            strict=True,
        )
    )
    return lambda y, x: sum(
        height * np.cos(2 * np.pi * (k[0] * y + k[1] * x) + turn) for k, height, turn in parts
    )


@pytest.mark.parametrize("aberrations", [FOCUSED, ABERRATIONS])
def test_true_waves_give_a_phase_object_back(gratings, aberrations):
    step, shape = (0.23, 0.19), (12, 15)
    probe = probe_wave(aberrations)
    stitcher = Stitcher(probe, step, (0, shape[0]), shape[1])
    for row, waves in enumerate(waves_of(gratings, probe, step, shape)):
        stitcher.add(row, 0, waves)
    found, light = stitcher.transmission((0, shape[0]), 2)
    y, x = (np.arange(2 * size) * edge / 2 for size, edge in zip(shape, step, strict=True))
    true = np.exp(1j * gratings(y[:, None], x))
    assert light.min() > 0
    np.testing.assert_allclose(found, true, atol=0.02)
    # Rows by themselves are those of the whole.
    part, _ = stitcher.transmission((3, 7), 2)
    np.testing.assert_allclose(part, found[6:14], atol=1e-5)


def test_light_reaches_as_far_as_is_said():
    probe = probe_wave(FOCUSED)
    # An Airy disc falls to a tenth of its height at 0.43 λ/α.
    assert 0.4 < probe_reach(probe) < 0.6


def conditions(step=14, aberrations=FOCUSED, configurations=4):
    return Conditions(300, 20, step, aberrations, (0.0, 0.0), configurations)


@pytest.mark.parametrize(("height", "place"), [(1.0, -12.0), (13.0, 0.0), (25.0, 12.0)])
def test_waves_know_at_which_height_a_sheet_of_atoms_lies(height, place):
    """They are of half the height of the box, 13 Å; sent to the sheet, they show its phase."""
    told, side = conditions(), 12
    pixels = 8 * np.ceil((batched_scan.WINDOW + 2 + side * told.step / 8) / 8)
    extent = pixels * batched_scan.PIXEL * told.unit
    rng = np.random.default_rng(2)
    positions = np.column_stack([np.full(60, height), rng.uniform(0, extent, (60, 2))])
    atoms = Atoms(np.full(60, 50), positions, (26.0, extent, extent), 0.07, periodic=False)
    waves = simulated_waves(told, rng, atoms=atoms, side=side, at_rest=True)
    np.testing.assert_allclose((np.abs(waves) ** 2).sum(axis=(2, 3)), 1, atol=0.03)
    step = told.scan_step * told.unit
    first = (batched_scan.WINDOW // 2 + 1) * batched_scan.PIXEL * told.unit
    truth = interaction_constant(300) * potential_on_grid(
        atoms, (2 * side, 2 * side), (step / 2, step / 2), (first, first)
    )
    uneven, alike = {}, {}
    for focus in (-12.0, 0.0, 12.0):
        # Probe and wave are sent to another height together.
        turn = np.pi * batched_scan.free_flight(300, focus, 20)
        probe = probe_wave((turn + 0j, 0j, 0j, 0j, 0j))
        stitcher = Stitcher(probe, (told.scan_step,) * 2, (0, side), side)
        for row in range(side):
            stitcher.add(row, 0, flown(waves[row], turn))
        found = stitcher.transmission((0, side), 2)[0][4:-4, 4:-4]
        # Where the sheet is it changes the phase alone.
        uneven[focus] = np.abs(found).std()
        alike[focus] = np.corrcoef(np.angle(found).ravel(), truth[4:-4, 4:-4].ravel())[0, 1]
    assert min(uneven, key=uneven.get) == place
    assert alike[place] > 0.99


def flown(waves, turn):
    """Waves sent through free space that turns the aperture's edge by so much."""
    line = np.fft.fftfreq(WINDOW, PIXEL)
    flight = np.exp(-1j * turn * (line[:, None] ** 2 + line**2))
    spectra = np.fft.fft2(np.fft.ifftshift(waves, axes=(1, 2))) * flight
    return np.fft.fftshift(np.fft.ifft2(spectra), axes=(1, 2))


def test_patterns_of_a_camera_come_onto_the_grid_of_the_training():
    told = conditions(configurations=0)
    pixels = 8 * np.ceil((batched_scan.WINDOW + 2 + 6 * told.step / 8) / 8)
    extent = pixels * batched_scan.PIXEL * told.unit
    rng = np.random.default_rng(3)
    places = np.column_stack([np.ones(80), rng.uniform(0, extent, (80, 2))])
    atoms = Atoms(np.full(80, 14), places, (2.0, extent, extent), 0.07, periodic=False)
    waves = simulated_waves(told, rng, atoms=atoms, side=6)
    spectra = np.fft.fft2(np.fft.ifftshift(waves, axes=(2, 3)), norm="ortho")
    expected = np.fft.fftshift(np.abs(spectra) ** 2, axes=(2, 3))
    first = (batched_scan.WINDOW // 2 + 1) * batched_scan.PIXEL * told.unit
    step = told.scan_step * told.unit
    acquisition = Acquisition(
        beam_energy=300,
        convergence_angle=20,
        scan_step=step,
        diffraction_step=20 * ANGLE / 2,
        scan_rotation=90,
        flip_y=True,
        center=(79.5, 80.5),
    )
    recorded = simulate_scan(
        atoms,
        acquisition,
        scan_shape=(6, 6),
        detector_shape=(160, 162),
        scan_origin=(first, first),
        oversample=2,
    )
    found = reduce_patterns(
        np.asarray(recorded.data, np.float32), plan_patterns((160, 162), acquisition)
    ).reshape(expected.shape)
    inside = np.s_[:, :, 22:43, 22:43]
    parts = [(one - one.mean(axis=(0, 1)))[inside].ravel() for one in (found, expected)]
    assert np.corrcoef(*parts)[0, 1] > 0.99


def test_the_network_has_as_many_weights_as_the_published_one():
    assert sum(one.numel() for one in ExitWaveNetwork().parameters()) == 2_138_788


def test_a_network_that_has_learned_nothing_draws_about_the_probe():
    torch.manual_seed(0)
    network = ExitWaveNetwork(4).eval()
    with torch.no_grad():
        network.scales.zero_()
        probe = torch.from_numpy(probe_wave(ABERRATIONS))
        waves = network(torch.randn(2, 11, WINDOW, WINDOW), probe)
    np.testing.assert_allclose(waves, np.stack([probe, probe]), atol=1e-5)


def test_inputs_are_nine_patterns_in_order_and_know_no_gain():
    rng = np.random.default_rng(1)
    rows = rng.random((3, 4, WINDOW, WINDOW)).astype(np.float32)
    probe = probe_wave(FOCUSED)
    found = exit_wave_inputs(rows, (0.2, 0.3), probe)
    assert found.shape == (4, 11, WINDOW, WINDOW)
    np.testing.assert_allclose(exit_wave_inputs(7 * rows, (0.2, 0.3), probe), found, atol=1e-3)
    # The left neighbour of the third position is the second; at the edge it is itself.
    apart = (np.sqrt(rows[1, 1]) - np.sqrt(rows[1, 2])).ravel()
    assert np.corrcoef(found[2, 3].ravel(), apart)[0, 1] > 0.999
    assert not found[0, 3].any()
    above = (np.sqrt(rows[0, 1]) - np.sqrt(rows[1, 1])).ravel()
    assert np.corrcoef(found[1, 1].ravel(), above)[0, 1] > 0.999
    # Larger steps show as larger differences.
    far = exit_wave_inputs(rows, (0.4, 0.6), probe)
    np.testing.assert_allclose(far[:, [0, 1, 3, 8]], 2 * found[:, [0, 1, 3, 8]], rtol=0.05)
    weights = neighbour_weights((0.2, 0.3))
    assert weights[0, 0] > weights[1, 0] > weights[0, 1]


def test_patterns_of_vacuum_and_empty_ones_say_nothing():
    probe = probe_wave(ABERRATIONS)
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(probe), norm="ortho"))
    rows = np.broadcast_to(500 * np.abs(spectrum) ** 2, (3, 5, WINDOW, WINDOW))
    found = exit_wave_inputs(rows, (0.2, 0.2), probe)
    np.testing.assert_allclose(found[:, :9], 0, atol=0.01)
    lit = np.abs(spectrum) > 0.5 * np.abs(spectrum).max()
    np.testing.assert_allclose(found[2, 10][lit], np.angle(spectrum)[lit], atol=1e-5)
    assert np.isfinite(exit_wave_inputs(0 * rows, (0.2, 0.2), probe)).all()


def test_examples_hold_the_electrons_that_they_say():
    told = conditions(configurations=0)
    rng = np.random.default_rng(0)
    waves = simulated_waves(told, rng, side=4)
    few, many = (noisy_examples(waves, told, dose, rng) for dose in (5.0, np.inf))
    assert few.channels.shape == many.channels.shape == (4, 11, WINDOW, WINDOW)
    assert few.waves.shape == (4, WINDOW, WINDOW)
    np.testing.assert_array_equal(few.waves, waves[1:-1, 1:-1].reshape(few.waves.shape))
    # Of five electrons nearly all pixels of a pattern have none.
    levels = [np.unique(one.channels[0, 4].round(3)).size for one in (few, many)]
    assert levels[0] < levels[1]
