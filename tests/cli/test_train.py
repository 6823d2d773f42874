"""``stem-plugins train restore``: runs that add up, stop at any time, and give usable weights."""

import csv
import signal
import sys
import time

import numpy as np
import pytest
from command_runs import names, start

pytest.importorskip("torch")

from stem_plugins import restore
from stem_plugins.cli import main
from stem_plugins.models import load_weights

#: The smallest steps there are.
SMALL = ("--patch", 32, "--batch", 1)
KEPT = ["checkpoint.pt", "log.csv", "restore.safetensors"]


@pytest.fixture
def quick_validation(monkeypatch):
    """Validation, which takes ten seconds, answers at once."""
    values = {"raw": 16.0, "fft": 25.5, "columns": 28.25, "others": 26.0}
    monkeypatch.setattr("stem_plugins.training.restoration.validate", lambda _: values)


def steps(folder):
    with (folder / "log.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


@pytest.mark.usefixtures("quick_validation")
def test_runs_add_up_and_give_weights_that_restore(works, tmp_path):
    folder = tmp_path / "training"
    text, warnings = works("train", "restore", folder, "--minutes", 0.02, *SMALL)
    assert warnings == ""
    assert "raw 16.00, fft 25.50, columns 28.25, others 26.00 dB" in text
    assert "are kept" in text
    assert names(folder) == KEPT
    first = steps(folder)[-1]
    assert first >= 1
    assert load_weights(folder / "restore.safetensors").details["patch"] == 32

    text, _ = works("train", "restore", folder, "--minutes", 0.02, *SMALL)
    assert "going on from" in text
    assert steps(folder)[-1] > first
    assert names(folder) == KEPT

    image = np.random.default_rng(0).poisson(9, (64, 64))
    restored = restore(image, model=folder / "restore.safetensors")
    assert np.isfinite(restored).all()
    # Weights can be a beginning, too.
    other = tmp_path / "other"
    words = ("--start-from", folder / "restore.safetensors", "--minutes", 0.01)
    works("train", "restore", other, *words, *SMALL)
    assert steps(other)[0] > steps(folder)[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_keeps_the_checkpoint_and_the_weights(tmp_path):
    folder = tmp_path / "training"
    process = start("train", "restore", folder, "--minutes", 60, *SMALL)
    deadline = time.monotonic() + 120
    while not (folder / "log.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "are kept" in said
    assert "Traceback" not in errors
    assert names(folder) == KEPT
    weights = load_weights(folder / "restore.safetensors")
    assert weights.details["steps"] >= steps(folder)[-1] > 0


def test_what_cannot_be_trained(fails, tmp_path, monkeypatch):
    folder = tmp_path / "training"
    run = ("train", "restore", folder, "--minutes", 1)
    assert "a multiple of 8" in fails(*run, "--patch", 60)
    assert "cannot be used here" in fails(*run, "--device", "abacus")
    assert "no file of weights" in fails(*run, "--start-from", tmp_path / "none.safetensors")
    (tmp_path / "file").touch()
    assert "is a file" in fails("train", "restore", tmp_path / "file", "--minutes", 1)
    assert names(tmp_path) == ["file", "training"]
    assert names(folder) == []
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "stem-plugins[torch]" in fails(*run)


@pytest.mark.parametrize(
    "words",
    [
        ["train"],
        ["train", "restore", "folder"],
        *(["train", "restore", "folder", "--minutes", text] for text in ("0", "nan", "inf", "a")),
        ["train", "restore", "folder", "--minutes", "1", "--batch", "0"],
    ],
)
def test_wrong_usage_exits_with_2(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "stem-plugins train" in capsys.readouterr().err
    assert names(tmp_path) == []
