"""Images by the exit-wave design: true waves give the object, and cutting changes nothing."""

import dask.array as da
import numpy as np
import pytest
from atom_scans import peaks

pytest.importorskip("torch")

import torch

from stem_plugins.models import save_weights
from stem_plugins.rapid_phase_imaging import exit_wave_network, wave_drawing
from stem_plugins.rapid_phase_imaging.exit_wave_network import (
    EXIT_WAVE_DESIGN,
    EXIT_WAVE_VERSION,
    ExitWaveNetwork,
)
from stem_plugins.rapid_phase_imaging.inputs import conditions_of
from stem_plugins.rapid_phase_imaging.networks import find_network, load_network
from stem_plugins.rapid_phase_imaging.reconstruct import airpi, grow_airpi, iter_airpi
from stem_plugins.rapid_phase_imaging.stitching import object_phase
from stem_plugins.rapid_phase_imaging.wave_grid import PIXEL, WINDOW

from .conftest import PLACES, STEP, atom_scan


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random, so that whatever changes the input changes the image."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "waves.safetensors"
    tensors = {
        name: value.detach().numpy()
        for name, value in ExitWaveNetwork(4).state_dict().items()
        if value.is_floating_point()
    }
    save_weights(path, tensors, design=EXIT_WAVE_DESIGN, version=EXIT_WAVE_VERSION, details={})
    return path


@pytest.fixture(scope="module")
def small():
    return atom_scan(side=10, scan_step=0.39)


@pytest.fixture
def short_strips(monkeypatch):
    monkeypatch.setattr(wave_drawing, "CORE", 3)
    monkeypatch.setattr(wave_drawing, "CORE_OVER_MARGIN", 0)


def image(scan, weights, **options):
    return airpi(scan.data, scan.acquisition, model=weights, threads=1, **options)


def test_true_waves_give_the_object(monkeypatch, weights):
    """A network that draws the wave behind each position: the whole path around it is exact."""
    side = 20
    scan = atom_scan(side=side)
    unit = conditions_of(scan.acquisition, 1, 1.0).unit
    waves = []

    def phase(y, x):
        return sum(
            0.9 * np.exp(-((y - py) ** 2 + (x - px) ** 2) / 0.5) for py, px in PLACES[:2] - 1
        )

    def draw(self, channels, probe):
        """Positions come in the order of the scan."""
        line = (np.arange(WINDOW) - WINDOW // 2) * PIXEL * unit
        found = []
        for _ in channels:
            row, column = divmod(len(waves), side)
            y, x = line[:, None] + row * STEP, line + column * STEP
            found.append(np.exp(1j * phase(y, x)) * probe.numpy())
            waves.append(row)
        return torch.from_numpy(np.array(found, np.complex64))

    monkeypatch.setattr(exit_wave_network.ExitWaveNetwork, "forward", draw)
    found = image(scan, weights)
    assert len(waves) == side**2
    line = np.arange(2 * side) * STEP / 2
    expected = phase(line[:, None], line)
    np.testing.assert_allclose(found.phase, expected - expected.mean(), atol=0.03)
    np.testing.assert_allclose(found.amplitude, 1, atol=0.03)
    np.testing.assert_allclose(np.abs(found.transmission), found.amplitude, atol=1e-6)
    places = peaks(found.phase, found.sampling, count=2)
    np.testing.assert_allclose(places, sorted((PLACES[:2] - 1).tolist()), atol=0.1)


def test_phases_above_pi_are_not_wrapped():
    transmission = np.exp(1j * np.array([-1.5, 0.0, 3.0, 3.5, 4.6]))
    np.testing.assert_allclose(object_phase(transmission), [-1.5, 0, 3, 3.5, 4.6], atol=1e-5)


@pytest.mark.parametrize("chunks", [(5, 10, 50, 48), (10, 3, 25, 48)])
def test_lazy_data_and_strips_give_the_same(small, weights, short_strips, chunks):
    counts = (np.asarray(small.data) * 1e4).round().astype(np.uint16)
    options = {"model": weights, "return_evidence": True, "oversample": 3}
    expected = airpi(counts, small.acquisition, threads=1, **options)
    lazy = airpi(da.from_array(counts, chunks=chunks), small.acquisition, **options)
    assert isinstance(lazy.phase, da.Array)
    for name in ("phase", "amplitude", "consistency", "transmission"):
        found = getattr(lazy, name).compute()
        np.testing.assert_allclose(found, getattr(expected, name), atol=2e-5)
    parts = list(iter_airpi(counts, small.acquisition, model=weights, oversample=3, threads=1))
    assert len(parts) == 3
    whole = np.concatenate([part for _, part in parts])
    np.testing.assert_allclose(whole - whole.mean(), expected.phase, atol=1e-6)


def test_cutting_changes_nothing(small, weights, monkeypatch):
    whole = image(small, weights)
    monkeypatch.setattr(wave_drawing, "CORE", 3)
    monkeypatch.setattr(wave_drawing, "CORE_OVER_MARGIN", 0)
    monkeypatch.setattr(wave_drawing, "BATCH", 5)
    cut = image(small, weights)
    np.testing.assert_allclose(cut.phase, whole.phase, atol=1e-4)
    np.testing.assert_allclose(cut.amplitude, whole.amplitude, atol=1e-4)


def test_the_image_grows_and_tells_how_far_it_is(small, weights, short_strips):
    shares = []
    options = {"model": weights, "threads": 1, "repeat": 1}
    first, *growing = grow_airpi(small.data, small.acquisition, callback=shares.append, **options)
    assert np.isnan(first.phase).all()
    assert np.isnan(first.amplitude).all()
    rows = [int(np.isfinite(one.amplitude[:, 0]).sum()) for one in growing]
    assert rows == [6, 12, 20]
    np.testing.assert_array_equal(growing[-1].phase, image(small, weights).phase)
    assert np.all(np.diff(shares) > 0)
    assert shares[-1] == pytest.approx(1)

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        airpi(small.data, small.acquisition, callback=stop, **options)


def test_boxes_are_one_position(weights):
    fine = atom_scan(side=16, scan_step=0.19)
    found = image(fine, weights, repeat=2)
    boxes = np.asarray(fine.data).reshape(8, 2, 8, 2, 50, 48).sum(axis=(1, 3))
    summed = fine.acquisition.replace(scan_step=0.38)
    expected = airpi(boxes, summed, model=weights, oversample=4, threads=1)
    assert found.repeat == 2
    assert found.origin == pytest.approx((0.095, 0.095))
    np.testing.assert_allclose(found.phase, expected.phase, atol=1e-4)
    # Beyond the middle of the last box there is vacuum, and no hole.
    assert found.amplitude.min() > 0.5


def test_the_design_is_that_of_the_weights_or_the_one_asked_for(small, weights, untaught):
    assert image(small, weights).parameters["design"] == "exit-wave"
    assert image(small, untaught).parameters["design"] == "spatial"
    assert image(small, untaught).amplitude is None
    with pytest.raises(ValueError, match="holds weights of the exit-wave design, not of spatial"):
        image(small, weights, design="spatial")
    with pytest.raises(ValueError, match="design must be one of spatial, exit-wave, not 'waves'"):
        image(small, weights, design="waves")


def test_weights_of_any_width_are_read_and_damaged_ones_refused(tmp_path, weights):
    assert find_network(weights, None) == (weights, "exit-wave")
    network = load_network(weights, weights.stat().st_mtime_ns, "cpu")
    assert sum(one.numel() for one in network.parameters()) > 1e4
    path = tmp_path / "lacking.safetensors"
    save_weights(
        path,
        {"first.0.weight": np.zeros((4, 11, 3, 3), "f4")},
        design=EXIT_WAVE_DESIGN,
        version=EXIT_WAVE_VERSION,
        details={},
    )
    with pytest.raises(ValueError, match="the weights lack"):
        load_network(path, 0, "cpu")
