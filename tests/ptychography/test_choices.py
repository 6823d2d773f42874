"""Options of a reconstruction: what cannot be is refused in words before anything is computed."""

import dataclasses
import json
import math
import re
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from stem_plugins import Regularization, iterative_ptychography
from stem_plugins.lazy.processors import torch_device, torch_threads
from stem_plugins.ptychography import Choices

WHOLE = "must be a whole number from 1, not"
COUNT = "must be a whole number from 0, not"
SEED = f"must be a whole number from 0 to {2**63 - 1}, not"
LENGTH = "must be a length above zero, up to 10000 [Å], not"
SHARE = "must be a share from 0 to below 0.5, not"
SWITCH = "must be True, False or None, not"
NAMES = "must be a tuple of names out of 'positions', 'background', 'descan', 'tilt', "
WEIGHTS = "must be a Regularization, such as Regularization(kz_filter=0.5), not"

REFUSED = [
    *(("iterations", value, WHOLE) for value in ("abc", math.nan, math.inf, 0, 1.5, True, [3])),
    *(
        ("slices", value, "must be a whole number from 1 to 2000, not")
        for value in (None, "2", 2.5, 0, False, 2 + 0j, 10**6)
    ),
    *((name, "8", WHOLE) for name in ("patience", "batch")),
    ("probe_modes", 10**5, "must be a whole number from 1 to 100, not"),
    ("filters", "8", "must be a whole number from 1 to 512, not"),
    *(("polish", value, COUNT) for value in (1.5, -1, None, "2")),
    *(("snapshots", value, COUNT) for value in ("1", 1.5, math.nan, -1)),
    *(("seed", value, SEED) for value in (-1, 1.5, None, "0", 2**63)),
    *(("slice_thickness", value, LENGTH) for value in ("20", math.inf, math.nan, 0, -5, True)),
    *(("held_out", value, SHARE) for value in ("a", 0.5, -0.1, math.nan, None)),
    *(
        ("blur", value, "must be from 0 to 20 [px], not")
        for value in (math.inf, math.nan, -1, "1", 10**400)
    ),
    *(("mixed_precision", value, SWITCH) for value in ("yes", 1, 0)),
    *(("refine", value, NAMES) for value in (None, 5, [["tilt"]], ("descan", None))),
    *(("regularization", value, WEIGHTS) for value in ({"kz_filter": 0.5}, 5, None)),
    *(("prior", value, "must be one of 'dgp', 'pixelated', not") for value in (None, 3, ["dgp"])),
    ("loss", "normal", "must be one of 'poisson', 'amplitude', not"),
]


@pytest.mark.parametrize(("name", "value", "words"), REFUSED)
def test_what_cannot_be_is_named_with_what_is_expected(name, value, words):
    with pytest.raises((ValueError, TypeError)) as refused:
        Choices(**{name: value})
    said = str(refused.value)
    assert said.startswith(f"{name} {words}")
    assert said.endswith(f"not {value!r}.")


@pytest.mark.parametrize(("name", "value", "words"), REFUSED[::5])
def test_the_array_layer_says_the_same(atoms, name, value, words):
    with pytest.raises((ValueError, TypeError), match=re.escape(f"{name} {words}")):
        iterative_ptychography(atoms.data, atoms.acquisition, **{name: value})


def test_numbers_of_numpy_become_plain_ones_that_files_can_keep():
    chosen = Choices(
        slices=2.0,
        slice_thickness=np.float32(20),
        iterations=np.int64(3),
        polish=Fraction(4),
        seed=np.uint64(2**62),
        mixed_precision=np.True_,
        blur=1,
    )
    kept = json.loads(json.dumps(dataclasses.asdict(chosen)))
    assert (kept["slices"], kept["iterations"], kept["polish"]) == (2, 3, 4)
    assert (kept["slice_thickness"], kept["seed"]) == (20, 2**62)
    assert all(type(getattr(chosen, name)) is int for name in ("slices", "iterations", "polish"))
    assert chosen.mixed_precision is True
    assert Choices.from_settings(kept) == chosen


@pytest.mark.parametrize("refine", ["descan", ["descan"], ("descan",), np.array(["descan"])])
def test_a_single_name_is_a_tuple_of_one(refine):
    assert Choices(refine=refine).refine == ("descan",)


def test_the_thickness_of_a_single_slice_is_accepted_and_several_need_one():
    assert Choices(slice_thickness=20).slices == 1
    with pytest.raises(ValueError, match="3 slices need slice_thickness"):
        Choices(slices=3)


NUMBERS = [field.name for field in dataclasses.fields(Regularization) if field.name != "positivity"]


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_positivity_is_true_or_false(value):
    with pytest.raises(ValueError, match="positivity must be True or False"):
        Regularization(positivity=value)


def test_a_polish_needs_a_network_before():
    with pytest.raises(ValueError, match="after those of a network"):
        Choices(prior="pixelated", polish=5)


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", ["1", math.nan, math.inf, -1, True, [1], 10**400])
def test_weights_are_numbers_from_zero(field, value):
    with pytest.raises(ValueError, match=f"^{field} must be zero or above, not ") as refused:
        Regularization(**{field: value})
    assert str(refused.value).endswith(f"not {value!r}.")


@pytest.mark.parametrize("order", [0, 1.5])
def test_the_order_is_a_whole_number_from_one(order):
    with pytest.raises(ValueError, match="butterworth_order must be a whole number from 1"):
        Regularization(butterworth_order=order)


def test_zero_leaves_a_filter_out():
    assert Regularization(low_pass=0, probe_support=0.0) == Regularization()


def completed(device="cpu", **options):
    given = {"electrons": 1e3, "positions": 400, "disc_pixels": 300.0, "window": 64 * 64}
    return Choices(**options).completed(**given, device=device)


def test_all_that_is_chosen_is_said_with_its_number():
    chosen, words = completed()
    assert words == (
        "loss poisson: 3.33 electrons per pixel of the disc",
        "probe parametric: 667 electrons for each of its numbers",
        "iterations 100: at most",
        "filters 8: more are slow on a processor",
        f"batch {chosen.batch}: 64 MB of waves",
    )
    # Six arrays of waves, of two numbers of four bytes.
    assert chosen.batch == 64 * 2**20 // (6 * 8 * 64 * 64)
    assert completed(device="cuda:0")[1][-2:] == (
        "filters 16: a GPU draws with many in no time",
        "batch 1024: 192 MB of waves",
    )
    pixels = completed(prior="pixelated", slices=20, slice_thickness=5, iterations=3)
    assert [one.split()[0] for one in pixels[1]] == ["loss", "probe", "batch"]
    assert completed(**{**dataclasses.asdict(chosen), "regularization": Regularization()})[1] == ()


def test_a_resume_with_more_iterations_does_not_say_what_was_chosen_before(atoms):
    short = iterative_ptychography(
        atoms.data,
        atoms.acquisition,
        prior="pixelated",
        threads=1,
        callback=lambda now: now.iteration,
    )
    assert "iterations 40: at most" in short.settings["chosen"]
    longer = iterative_ptychography(
        atoms.data, atoms.acquisition, resume=short, iterations=2, threads=1
    )
    assert not any(one.startswith("iterations") for one in longer.settings["chosen"])
    assert set(longer.settings["chosen"]) < set(short.settings["chosen"])


@pytest.mark.parametrize("count", [0, -1, 1.5, 2.0, "2", True, 2**31])
def test_threads_are_a_whole_number(count):
    before = torch.get_num_threads()
    with (
        pytest.raises(ValueError, match="threads must be a whole number from 1, or None") as said,
        torch_threads(count),
    ):
        pass
    assert str(said.value).endswith(f"not {count!r}.")
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("count", [1, np.int64(1)])
def test_threads_are_set_for_a_while(count):
    before = torch.get_num_threads()
    with torch_threads(count):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("device", [None, 0, "gpu", "", "meta", "cuda:99"])
def test_a_device_that_cannot_be_is_said_without_the_list_of_torch(device):
    with pytest.raises((ValueError, TypeError)) as refused:
        torch_device(device)
    said = str(refused.value)
    assert said.startswith("device must be 'auto', 'cpu', 'cuda' or one of several GPUs")
    assert f"not {device!r}" in said
    assert "\n" not in said
    assert "mkldnn" not in said


def test_why_a_gpu_cannot_be_used_is_said_in_its_first_line(monkeypatch):
    def full(*_, **__):
        raise RuntimeError("CUDA out of memory.\nSome advice")

    monkeypatch.setattr(torch, "zeros", full)
    with pytest.raises(ValueError, match=r"used here: CUDA out of memory\. device='auto' takes"):
        torch_device("cuda:0")


def test_a_device_of_torch_is_its_name():
    assert torch_device(torch.device("cpu")) == "cpu"
