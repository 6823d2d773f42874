"""Files of reconstructions: complete, undamaged, never lost, and where a run goes on from."""

import dataclasses
import datetime
import json

import h5py
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

import stem_plugins
from stem_plugins import PtychographyResult
from stem_plugins import iterative_ptychography as reconstruct
from stem_plugins import load_ptychography as load
from stem_plugins.ptychography import result as result_file
from stem_plugins.ptychography.metrics import half_scans

PIXELATED = {"prior": "pixelated", "threads": 1}


def run(scan, **options):
    return reconstruct(scan.data, scan.acquisition, **{**PIXELATED, **options})


def assert_equal(one, other):
    """Every field, with types and shapes of arrays."""
    for field in dataclasses.fields(PtychographyResult):
        first, second = getattr(one, field.name), getattr(other, field.name)
        if field.name == "state":
            assert first.keys() == second.keys()
            pairs = [(first[name], second[name]) for name in first]
        elif isinstance(first, np.ndarray):
            pairs = [(first, second)]
        else:
            pairs = []
            if field.name == "settings":
                first, second = (json.loads(json.dumps(dict(value))) for value in (first, second))
            assert first == second, field.name
        for mine, yours in pairs:
            assert (mine.dtype, mine.shape) == (yours.dtype, yours.shape)
            np.testing.assert_array_equal(mine, yours)


def test_a_file_keeps_everything(atoms, tmp_path):
    result = run(atoms, iterations=3, object_type="complex", refine=("positions", "background"))
    back = load(result.save(tmp_path / "found.h5"))
    assert_equal(back, result)
    with pytest.raises(FileExistsError):
        result.save(tmp_path / "found.h5")
    with pytest.raises(ValueError, match=r"written as \.h5"):
        result.save(tmp_path / "found.npz")


def test_files_that_hold_no_reconstruction_are_named(tmp_path):
    (tmp_path / "text.h5").write_text("nothing")
    (tmp_path / "empty.h5").touch()
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    for name in ("text.h5", "empty.h5", "other.h5"):
        with pytest.raises(ValueError, match=f"{name} is damaged, or holds no reconstruction"):
            load(tmp_path / name)
    with pytest.raises(ValueError, match="is a folder"):
        load(tmp_path)


@pytest.mark.parametrize("missing", ["place", "fitted", "part.object", "solver.done"])
def test_a_state_without_a_part_is_refused(atoms, missing):
    found = run(atoms, iterations=2)
    state = {name: value for name, value in found.state.items() if name != missing}
    with pytest.raises(ValueError, match="damaged"):
        reconstruct(
            atoms.data,
            atoms.acquisition,
            resume=dataclasses.replace(found, state=state),
            iterations=4,
        )


@pytest.fixture(scope="module")
def saved(atoms, tmp_path_factory):
    """A small file with arrays and scalars of all kinds, and what it holds."""
    found = run(atoms, iterations=1, refine=("background",))
    # Large arrays would leave the bits of all else untried.
    found = dataclasses.replace(
        found,
        slices=found.slices[:, :6, :5],
        probe=found.probe[:, :4, :4],
        positions=found.positions[:2, :2],
        snapshots=found.snapshots[:, :2, :2],
        state={name: value for name, value in found.state.items() if np.size(value) < 300},
    )
    path = found.save(tmp_path_factory.mktemp("saved") / "found.h5")
    return path, load(path)


def test_no_flipped_bit_changes_what_is_read(saved, tmp_path):
    path, whole = saved
    content = path.read_bytes()
    assert len(content) < 40_000
    damaged = tmp_path / "damaged.h5"
    rng = np.random.default_rng(0)
    said = []
    for place, bit in zip(
        rng.integers(len(content), size=150), rng.integers(8, size=150), strict=True
    ):
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        damaged.write_bytes(changed)
        try:
            found = load(damaged)
        except ValueError as error:
            said.append(str(error))
        else:
            assert_equal(found, whole)
    assert len(said) > 20
    for words in ("damaged.h5 is damaged", "another copy", "reconstruct anew without resume"):
        assert all(words in one for one in said)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file["slices"].write_direct(file["slices"][()] + np.float32(1e-7)),
        lambda file: file["state/place"].__setitem__(0, 7),
        lambda file: file["state/waited"].__setitem__((), 7),
        lambda file: file.attrs.__setitem__(
            result_file.DESCRIPTION,
            file.attrs[result_file.DESCRIPTION].replace('"defocus": 60', '"defocus": 61'),
        ),
        lambda file: file.__delitem__("losses"),
        lambda file: file.move("state/held", "state/hold"),
        lambda file: file.create_dataset("state/more", data=1),
        lambda file: file.attrs.__delitem__(result_file.DIGEST),
    ],
)
def test_other_content_than_was_written_is_damage(saved, tmp_path, change):
    path = tmp_path / "changed.h5"
    path.write_bytes(saved[0].read_bytes())
    with h5py.File(path, "a") as file:
        before = file.attrs[result_file.DESCRIPTION]
        change(file)
        assert '"defocus": 60' in before
    with pytest.raises(ValueError, match=r"changed\.h5 is damaged"):
        load(path)


def test_files_of_other_versions_are_told_from_damage(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(result_file, "FORMAT", result_file.FORMAT + 1)
    newer = saved[1].save(tmp_path / "newer.h5")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="by a newer version of stem-plugins"):
        load(newer)
    with h5py.File(newer, "a") as file:
        file["losses"][0] = 3
    with pytest.raises(ValueError, match="is damaged"):
        load(newer)
    older = tmp_path / "older.h5"
    with h5py.File(older, "w") as file:
        file.attrs[result_file.DESCRIPTION] = json.dumps({"format": 1})
    with pytest.raises(ValueError, match=r"by an older version of stem-plugins.*anew without"):
        load(older)


def test_what_a_run_was_begun_with_is_kept_and_nothing_else_taken(atoms, tmp_path):
    half, other = half_scans((13, 13))
    pixels = np.ones((32, 32), bool)
    pixels[3] = False
    given = {"scan_mask": half, "mask": pixels, "held_out": 0.1}
    data, acquisition = atoms.data, atoms.acquisition
    path = tmp_path / "half.h5"
    straight = reconstruct(data, acquisition, **PIXELATED, **given, iterations=6)
    reconstruct(data, acquisition, **PIXELATED, **given, iterations=3, checkpoint=path)
    # Not given again, they are those of the run; given again, they must be the same.
    for again in ({}, {"scan_mask": half, "mask": pixels}):
        resumed = reconstruct(data, acquisition, resume=path, iterations=6, threads=1, **again)
        np.testing.assert_array_equal(resumed.phase, straight.phase)
    for wrong, words in (
        ({"scan_mask": other}, "another scan_mask"),
        ({"mask": np.ones((32, 32), bool)}, "another mask"),
        ({"probe": np.eye(32) + 0j}, "another probe"),
    ):
        with pytest.raises(ValueError, match=words):
            reconstruct(data, acquisition, resume=path, iterations=6, **wrong)
    # The same patterns at other places are another scan.
    with pytest.raises(ValueError, match="other data"):
        reconstruct(data[::-1], acquisition, resume=path, iterations=6)


def test_a_checkpoint_that_cannot_be_written_is_refused_at_once(atoms, tmp_path, monkeypatch):
    for path in (tmp_path / "found.txt", tmp_path / "missing" / "found.h5", tmp_path):
        with pytest.raises(ValueError, match="written"):
            run(atoms, checkpoint=path)
    with pytest.raises(ValueError, match="checkpoint_minutes"):
        run(atoms, checkpoint=tmp_path / "found.h5", checkpoint_minutes=-1)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PtychographyResult, "save", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        found = run(atoms, iterations=2, checkpoint=tmp_path / "found.h5")
    assert len(found.losses) == 2


def test_a_refused_resume_leaves_the_file_as_it_is(atoms, tmp_path):
    path = tmp_path / "rw.h5"
    run(atoms, iterations=3, checkpoint=path)
    before = path.read_bytes()
    for options in ({"iterations": 2}, {"iterations": 3}, {}, {"seed": 4}, {"polish": 0}):
        with pytest.raises(ValueError, match=r"ask for at least 4|cannot be given anew"):
            reconstruct(
                atoms.data, atoms.acquisition, resume=path, checkpoint=path, threads=1, **options
            )
        assert path.read_bytes() == before


def test_a_checkpoint_replaces_no_other_file(atoms, tmp_path, monkeypatch):
    path, other = tmp_path / "state.h5", tmp_path / "other.h5"
    found = run(atoms, iterations=2, checkpoint=path)
    other.write_text("of somebody else")
    again = {"iterations": 3, "threads": 1}
    data = atoms.data, atoms.acquisition
    with monkeypatch.context() as patched:
        patched.setattr(
            "stem_plugins.ptychography.reconstruct.prepare",
            lambda *_, **__: pytest.fail("something was computed"),
        )
        for options in (
            {**PIXELATED, "checkpoint": path},
            {**again, "resume": path, "checkpoint": other},
            {**again, "resume": found, "checkpoint": other},
        ):
            before = options["checkpoint"].read_bytes()
            with pytest.raises(
                ValueError, match=r"exists already.*resume.*remove it.*another name"
            ):
                reconstruct(*data, **options)
            assert options["checkpoint"].read_bytes() == before
    # The file that is resumed, under another of its names, or read before.
    beside = tmp_path / "folder"
    beside.mkdir()
    reconstruct(*data, **again, resume=path, checkpoint=beside / ".." / "state.h5")
    assert len(load(path).losses) == 3
    reconstruct(*data, resume=load(path), iterations=4, threads=1, checkpoint=path)
    assert len(load(path).losses) == 4
    with pytest.raises(ValueError, match="exists already"):
        # By now it holds more than this.
        reconstruct(*data, **again, resume=found, checkpoint=path)


def test_a_file_that_may_be_replaced_stays_until_the_first_checkpoint(atoms, tmp_path):
    path = tmp_path / "state.h5"
    path.write_text("what was there before")
    given = {"checkpoint": path, "overwrite_checkpoint": True}
    there = []

    def stop(progress):
        there.append(path.read_text())
        return True

    with pytest.raises(ValueError, match="Stopped before the first"):
        run(atoms, iterations=2, callback=stop, batch=60, **given)
    assert there == [path.read_text()] == ["what was there before"]
    run(atoms, iterations=2, **given)
    assert len(load(path).losses) == 2


def test_what_was_chosen_and_how_it_began_are_kept_over_a_resume(atoms, tmp_path):
    path = tmp_path / "found.h5"
    begun = datetime.datetime.now().astimezone().replace(microsecond=0)
    pixels = np.ones((32, 32), bool)
    first = run(atoms, iterations=1, mask=pixels, checkpoint=path)
    assert any("loss" in words for words in first.settings["chosen"])
    assert first.provenance["stem_plugins"] == stem_plugins.__version__
    assert first.provenance["torch"] == torch.__version__
    when = datetime.datetime.fromisoformat(first.provenance["begun"])
    assert begun <= when <= datetime.datetime.now().astimezone()
    given = {name: first.provenance[name] for name in ("vacuum", "probe", "mask", "scan_mask")}
    assert given == {"vacuum": False, "probe": False, "mask": True, "scan_mask": False}
    earlier = {**first.provenance, "begun": "2020-02-02T02:02:02+02:00"}
    dataclasses.replace(first, provenance=earlier).save(path, overwrite=True)
    seen = []
    second = reconstruct(
        *(atoms.data, atoms.acquisition),
        resume=path,
        iterations=2,
        threads=1,
        checkpoint=path,
        callback=lambda progress: seen.append(progress.result()),
    )
    for found in (second, load(path), seen[-1]):
        assert found.settings["chosen"] == first.settings["chosen"]
        assert found.provenance == earlier


def test_what_stopped_early_goes_on_and_says_how_far_it_is(atoms):
    options = {"filters": 4, "patience": 2, "held_out": 0.2, "seed": 1, "prior": "dgp"}
    data = atoms.data, atoms.acquisition
    early = run(atoms, iterations=40, **options)
    assert early.stopped == "held-out loss rose for 2 iterations"
    guess = 16
    done = len(early.losses) - guess
    assert done < 38
    with pytest.raises(ValueError, match=f"has done {done} of the 40 iterations") as refused:
        reconstruct(*data, resume=early, iterations=done, threads=1)
    for words in (
        f"now asked for {done}.",
        "without the 16 of the first guess",
        f"at least {done + 1}.",
        early.stopped,
    ):
        assert words in str(refused.value)
    more = reconstruct(*data, resume=early, iterations=done + 1, threads=1)
    assert len(more.losses) == guess + done + 1
    np.testing.assert_array_equal(more.losses[:-1], early.losses)
    # Who asks for a polish has had enough of the networks.
    polished = reconstruct(*data, resume=early, polish=1, threads=1)
    assert len(polished.losses) == guess + done + 1
    with pytest.raises(ValueError, match=r"done 1 of the 1 iterations.*polish counts.*at least 2"):
        reconstruct(*data, resume=polished, polish=0, threads=1)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"resume": 3}, TypeError, "resume must be a PtychographyResult"),
        ({"acquisition": None}, TypeError, "acquisition must be an Acquisition"),
        ({"acquisition": {"beam_energy": 300}}, TypeError, r"dict; Acquisition\.from_dict"),
        ({"callback": 3}, TypeError, "callback must be a function"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be the name of a file"),
        *(
            ({"checkpoint_minutes": wrong}, ValueError, "checkpoint_minutes must be a number above")
            for wrong in ("a", 0, -1, float("nan"), True, None)
        ),
    ],
)
def test_arguments_of_other_types_are_refused_at_once(atoms, monkeypatch, given, error, words):
    monkeypatch.setattr(
        "stem_plugins.ptychography.reconstruct.prepare",
        lambda *_, **__: pytest.fail("something was computed"),
    )
    known = {"acquisition": atoms.acquisition, **PIXELATED}
    with pytest.raises(error, match=words):
        reconstruct(atoms.data, **{**known, **given})
