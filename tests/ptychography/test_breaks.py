"""What ends an iteration in the middle, what is no number in it, and a GPU that is too small."""

import dataclasses
import weakref

import numpy as np
import pytest
from atom_scans import scan_of_atoms

pytest.importorskip("torch")

import torch

from stem_plugins import iterative_ptychography as reconstruct
from stem_plugins.ptychography import objective, preparation, stages
from stem_plugins.ptychography.objective import Objective
from stem_plugins.ptychography.reconstruct import iterate_ptychography

COMPARED = ("slices", "probe", "positions", "losses", "held_out_losses", "rates", "snapshots")


@pytest.fixture(scope="module")
def noisy():
    """A small scan of few electrons, of which a first guess learns the power spectrum."""
    scan = scan_of_atoms(positions=10)
    counts = np.random.default_rng(0).poisson(scan.data * 800)
    return dataclasses.replace(scan, data=counts)


def check_same(found, expected):
    for name in COMPARED:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert found.stopped == expected.stopped


def breaks_at(iteration, calls, error):
    """Return a callback that ends a run in an iteration, after some batches of it."""
    heard = []

    def callback(progress):
        if progress.iteration == iteration and progress.share < 1:
            heard.append(progress.share)
            if len(heard) == calls:
                raise error

    return callback


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "poisson", "prior": "dgp"},
        {"loss": "poisson", "prior": "dgp", "refine": ("positions",), "snapshots": 2},
        {"loss": "poisson", "prior": "dgp", "probe_prior": "dgp", "held_out": 0},
        {"loss": "poisson", "prior": "pixelated", "refine": ("positions",)},
        {"loss": "amplitude", "prior": "dgp", "refine": ("positions",)},
        {"loss": "amplitude", "prior": "pixelated", "probe_prior": "pixelated"},
    ],
)
def test_a_break_within_an_iteration_changes_nothing(noisy, options):
    """In the power spectrum's steps, where more is refined, and between batches of either."""
    given = {"iterations": 8 if options["prior"] == "pixelated" else 2, "seed": 3, "filters": 2}
    given |= {"batch": 24, "threads": 1, "patience": 20, **options}
    whole = reconstruct(noisy.data, noisy.acquisition, **given)
    for iteration, calls in ((2, 4), (5, 3), (7, 1), (len(whole.losses) - 1, 2)):
        callback = breaks_at(iteration, calls, KeyboardInterrupt)
        part = reconstruct(noisy.data, noisy.acquisition, callback=callback, **given)
        assert part.stopped == "stopped by Ctrl-C"
        assert len(part.losses) == iteration
        check_same(reconstruct(noisy.data, noisy.acquisition, resume=part, threads=1), whole)


@pytest.mark.parametrize("prior", ["pixelated", "dgp"])
def test_a_break_among_the_positions_that_are_held_out_changes_nothing(noisy, prior, monkeypatch):
    given = {"iterations": 7, "filters": 2, "threads": 1, "prior": prior, "first_guess": "none"}
    whole = reconstruct(noisy.data, noisy.acquisition, **given)
    evaluate = Objective.evaluate
    judged = []

    def ended(self, *arguments, **options):
        if options.get("learn") == ():
            judged.append(1)
            if len(judged) == 5:
                raise KeyboardInterrupt
        return evaluate(self, *arguments, **options)

    monkeypatch.setattr(Objective, "evaluate", ended)
    part = reconstruct(noisy.data, noisy.acquisition, **given)
    assert (len(part.losses), len(part.held_out_losses)) == (4, 4)
    check_same(reconstruct(noisy.data, noisy.acquisition, resume=part, threads=1), whole)


def test_whoever_watches_may_end_it_by_any_error(noisy):
    given = {"iterations": 3, "filters": 2, "batch": 24}
    whole = reconstruct(noisy.data, noisy.acquisition, threads=1, **given)
    watch = breaks_at(8, 2, OSError("The disk is full."))
    states = iterate_ptychography(noisy.data, noisy.acquisition, watch=watch, **given)
    seen = []
    with pytest.raises(OSError, match="disk"):
        seen.extend(states)
    before = seen[-1].result()
    assert len(before.losses) == 8
    check_same(reconstruct(noisy.data, noisy.acquisition, resume=before, threads=1), whole)


@pytest.mark.parametrize("spoilt", ["all", "gradients", "held out"])
@pytest.mark.parametrize("held_out", [0, 0.05])
@pytest.mark.parametrize("prior", ["pixelated", "dgp"])
def test_what_is_no_number_ends_it_with_the_last_state(atoms, monkeypatch, prior, held_out, spoilt):
    if spoilt == "held out" and not held_out:
        return
    evaluate = Objective.evaluate
    calls = []

    def lost(self, *arguments, **options):
        value = evaluate(self, *arguments, **options)
        calls.append(1)
        if len(calls) <= 12 or (spoilt == "held out" and options["learn"]):
            return value
        gradients = {name: float("nan") * one for name, one in value.gradients.items()}
        loss = value.loss if spoilt == "gradients" else float("nan")
        return dataclasses.replace(value, loss=loss, gradients=gradients)

    monkeypatch.setattr(Objective, "evaluate", lost)
    with pytest.warns(UserWarning, match="no number"):
        found = reconstruct(
            atoms.data,
            atoms.acquisition,
            prior=prior,
            first_guess="none",
            filters=4,
            iterations=40,
            threads=1,
            held_out=held_out,
        )
    assert "no number" in found.stopped
    assert 1 < len(found.losses) < 40
    assert np.isfinite(found.phase).all()
    assert np.isfinite(found.probe).all()
    assert np.isfinite(found.losses).all()
    assert np.isfinite(found.held_out_losses).all()
    assert len(found.held_out_losses) == (len(found.losses) if held_out else 0)


def too_large(*arguments, **options):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("where", ["anywhere", "where it is fitted", "where it is judged"])
@pytest.mark.parametrize("prior", ["pixelated", "dgp"])
def test_where_a_gpu_is_too_small_batches_are_halved_and_it_goes_on(
    atoms, prior, where, monkeypatch
):
    """The error that a GPU raises, from batches of more than 30 patterns."""
    given = {"prior": prior, "iterations": 3, "filters": 2, "batch": 50, "threads": 1}
    expected = reconstruct(atoms.data, atoms.acquisition, **{**given, "batch": 25})
    evaluate = Objective.evaluate

    def too_small(self, *arguments, **options):
        affected = {"anywhere": True, "where it is fitted": options["learn"]}
        if self.batch > 30 and affected.get(where, not options["learn"]):
            too_large()
        return evaluate(self, *arguments, **options)

    monkeypatch.setattr(Objective, "evaluate", too_small)
    with pytest.warns(UserWarning, match="too small; batches of 25 now"):
        found = reconstruct(atoms.data, atoms.acquisition, **given)
    # What one step has found in larger batches differs by rounding.
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)
    np.testing.assert_array_equal(found.phase, expected.phase)
    assert found.settings["batch"] == 25


@pytest.mark.parametrize("prior", ["pixelated", "dgp"])
def test_nothing_of_a_batch_that_was_too_large_takes_memory_from_the_next(
    atoms, prior, monkeypatch
):
    model = objective.diffraction_patterns
    failed, alive = [], []

    def too_small(probe, transmission, corners, *others):
        patterns = model(probe, transmission, corners, *others)
        if len(corners) > 30:
            failed.append(weakref.ref(patterns))
            too_large()
        alive.extend(one for one in failed if one() is not None)
        return patterns

    monkeypatch.setattr(objective, "diffraction_patterns", too_small)
    with pytest.warns(UserWarning, match="batches of 25 now"):
        reconstruct(
            atoms.data,
            atoms.acquisition,
            prior=prior,
            first_guess="none",
            iterations=1,
            filters=2,
            batch=50,
            threads=1,
        )
    assert len(failed) == 1
    assert not alive


def test_a_gpu_that_is_too_small_for_the_object_itself_is_said(atoms, monkeypatch):
    data = atoms.data, atoms.acquisition
    given = {"prior": "pixelated", "iterations": 1, "batch": 3, "threads": 1}
    begin = stages.PixelatedSolver
    tried = []

    def once(*arguments):
        tried.append(1)
        return begin(*arguments) if len(tried) > 1 else too_large()

    monkeypatch.setattr(stages, "PixelatedSolver", once)
    with pytest.warns(UserWarning, match="batches of 1 now"):
        assert len(reconstruct(*data, **given).losses) == 1
    monkeypatch.setattr(stages, "PixelatedSolver", too_large)
    with (
        pytest.warns(UserWarning, match="batches of 1 now"),
        pytest.raises(MemoryError, match="even for a single pattern"),
    ):
        reconstruct(*data, **given)
    monkeypatch.setattr(preparation, "empty_object", too_large)
    with pytest.raises(MemoryError, match="object and the probe, before any pattern"):
        reconstruct(*data, **given)
