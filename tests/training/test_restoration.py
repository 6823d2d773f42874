"""Training data are what they claim to be, and runs add up."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from stem_plugins.models import load_weights
from stem_plugins.restoration import restore
from stem_plugins.restoration.row_aware_network import RestorationNetwork, Restored, straighten
from stem_plugins.restoration.training_range import dominant_wavelength
from stem_plugins.training.restoration import (
    RestorationTraining,
    _batches,
    restoration_loss,
    train_restoration,
    validate,
)
from stem_plugins.training.restoration_images import CONTENTS, clean_image
from stem_plugins.training.restoration_pairs import TRAINED_ON, draw_batch, draw_pair

SMALL = RestorationTraining(patch=48, batch=1)


@pytest.mark.parametrize("content", list(CONTENTS))
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_clean_images_are_images(content, seed):
    image = clean_image(48, np.random.default_rng(seed), content=content)
    assert image.shape == (48, 48)
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() == pytest.approx(1)


def test_half_of_the_images_are_no_columns():
    with pytest.raises(ValueError, match="content must be one of columns"):
        clean_image(48, np.random.default_rng(0), content="cats")
    assert len(CONTENTS) > 8


def test_pairs_are_reproducible_and_standardised():
    first, again = (draw_pair(64, np.random.default_rng(3)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert first.distorted.mean() == pytest.approx(0, abs=0.02)
    assert first.clean.mean() == pytest.approx(0, abs=0.3)


def test_shifts_of_a_pair_are_those_of_its_rows():
    """Straightened by its shifts, a patch of many electrons comes closer to the clean one."""
    better = []
    for seed in range(24):
        pair = draw_pair(96, np.random.default_rng(seed), content="columns")
        distorted, shifts = torch.from_numpy(pair.distorted), torch.from_numpy(pair.shifts)
        if np.std(pair.distorted - pair.clean) > 0.4 or pair.shifts.std() < 0.3:
            continue
        straight = straighten(distorted[None], shifts[None])[0].numpy()
        inside = (slice(6, -6), slice(6, -6))
        errors = [np.std((im - pair.clean)[inside]) for im in (pair.distorted, straight)]
        better.append(errors[1] < errors[0])
    assert len(better) >= 4
    assert np.mean(better) > 0.7


def test_the_stated_range_of_training_holds():
    waves = [
        dominant_wavelength(draw_pair(96, np.random.default_rng((5, seed))).clean)
        for seed in range(40)
    ]
    low, high = TRAINED_ON.wavelength
    assert np.mean([low <= wave <= high for wave in waves]) > 0.9


def test_the_loss_is_least_for_the_truth():
    batch = draw_batch(2, 48, np.random.default_rng(0))
    perfect = restoration_loss(Restored(batch.clean, batch.shifts), batch)
    filtered = RestorationNetwork()(batch.distorted)
    assert perfect < restoration_loss(filtered, batch) - 1


def test_runs_add_up_and_export(tmp_path):
    first = list(train_restoration(tmp_path / "run", minutes=0.02, settings=SMALL))[-1]
    second = list(train_restoration(tmp_path / "run", minutes=0.02, settings=SMALL))[-1]
    assert second.step > first.step > 0
    assert second.seconds > first.seconds
    assert set(first.validation) == {"raw", "fft", "columns", "others"}
    weights = load_weights(tmp_path / "run" / "restore.safetensors")
    assert weights.details["steps"] == second.step
    assert weights.details["trained_on"]["electrons"] == [0.1, 5000]
    assert (tmp_path / "run" / "restore.safetensors").stat().st_size < 8e6
    assert restore(np.eye(64), model=tmp_path / "run" / "restore.safetensors").shape == (64, 64)
    go_on = train_restoration(
        tmp_path / "other",
        minutes=0.01,
        settings=SMALL,
        start_from=tmp_path / "run" / "restore.safetensors",
    )
    assert list(go_on)[-1].step > second.step


def test_a_stopped_run_keeps_what_it_has(tmp_path):
    run = train_restoration(tmp_path, minutes=10, settings=SMALL)
    progress = next(run)
    run.close()
    assert load_weights(tmp_path / "restore.safetensors").details["steps"] >= progress.step


def test_other_processes_draw_the_same_batches():
    alone, together = (_batches(7, replace(SMALL, workers=count)) for count in (0, 2))
    for _ in range(3):
        for one, other in zip(next(alone), next(together), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    together.close()


def test_a_damaged_checkpoint_is_told(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 and nothing behind it")
    with pytest.raises(ValueError, match="cannot be resumed"):
        next(train_restoration(tmp_path, minutes=1, settings=SMALL))


def test_training_learns_what_one_patch_teaches():
    """Thirty steps on one batch bring its loss down by far."""
    torch.manual_seed(0)
    network, batch = RestorationNetwork(), draw_batch(1, 48, np.random.default_rng(4))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(30):
        loss = restoration_loss(network(batch.distorted), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.5


def test_time_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="minutes must be above zero"):
        next(train_restoration(tmp_path, minutes=0))


def test_validation_tells_filter_from_raw():
    found = validate(RestorationNetwork(), count=2, size=96)
    assert found["fft"] > found["raw"] + 3
