"""Training of the exit-wave network: the loss is zero for the truth, and steps make it fall."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from stem_plugins.models import load_weights
from stem_plugins.rapid_phase_imaging.exit_wave_network import EXIT_WAVE_DESIGN
from stem_plugins.rapid_phase_imaging.wave_grid import WINDOW, probe_wave
from stem_plugins.training import exit_wave
from stem_plugins.training.exit_wave import ExitWaveTraining, exit_wave_loss, train_exit_wave


def test_the_loss_is_least_for_the_true_wave():
    rng = np.random.default_rng(0)
    probe = probe_wave((0j,) * 5)
    smooth = np.fft.fft2(rng.normal(size=(2, WINDOW, WINDOW)))
    smooth[:, 6:-6] = smooth[:, :, 6:-6] = 0
    phase = np.fft.ifft2(smooth).real * 3
    probes = torch.from_numpy(np.stack([probe, probe]))
    waves = probes * torch.polar(torch.ones(phase.shape), torch.from_numpy(phase).float())
    half = probes * torch.polar(torch.ones(phase.shape), torch.from_numpy(phase / 2).float())
    exact, near, far = (exit_wave_loss(one, waves, probes) for one in (waves, half, probes))
    assert float(exact) == pytest.approx(0, abs=1e-4)
    assert exact < near < far
    # Nobody sees the phase of the whole wave in the intensities, but the object has it.
    assert exit_wave_loss(waves * np.exp(0.3j), waves, probes) > exact


def test_runs_add_up_and_learn(tmp_path, monkeypatch):
    monkeypatch.setattr(exit_wave, "validate", lambda *_: {"network": 1.0, "probe": 2.0})
    monkeypatch.setattr(exit_wave, "MIXED", 1)
    settings = ExitWaveTraining(batch=2, filters=4)
    first = list(train_exit_wave(tmp_path, minutes=0.05, settings=settings))[-1]
    second = list(train_exit_wave(tmp_path, minutes=0.03, settings=settings))[-1]
    assert second.step > first.step > 0
    weights = load_weights(tmp_path / "exit_wave.safetensors")
    assert weights.design == EXIT_WAVE_DESIGN
    assert weights.details["filters"] == 4
    # What batch normalisation has seen is kept, too.
    seen = weights.tensors["first.1.running_mean"]
    assert np.abs(seen).max() > 0
    with pytest.raises(ValueError, match="above zero"):
        next(train_exit_wave(tmp_path, minutes=0))


def test_validation_knows_what_the_probe_alone_is_worth():
    network = exit_wave.ExitWaveNetwork(4)
    with torch.no_grad():
        network.scales.zero_()
    found = exit_wave.validate(network, ExitWaveTraining(), scans=1, each=2)
    assert found["network"] == pytest.approx(found["probe"], rel=1e-3)
