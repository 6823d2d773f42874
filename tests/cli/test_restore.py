"""``stem-plugins restore``: files in, calibrated images out, and words for what is no image."""

import json
import signal
import sys
import time

import h5py
import numpy as np
import pytest
import tifffile
from command_runs import names, start
from PIL import Image
from rsciio.zspy import file_reader as read_zspy
from unusable_weights import damaged_weights, newer_weights

pytest.importorskip("torch")

from stem_plugins import restore, save_image
from stem_plugins.cli import image_inputs, main
from stem_plugins.io import image_files

FFT = ("--model", "fft", "--threads", 1)


def crystal(ny=48, nx=64):
    """Mean counts of a crystal of bright columns."""
    y, x = np.indices((ny, nx))
    return 9 + 6 * np.cos(0.8 * x) * np.cos(0.7 * y)


def counts(shape=(48, 64), seed=0):
    return np.random.default_rng(seed).poisson(crystal(*shape[-2:]), shape).astype("uint16")


@pytest.fixture
def image(tmp_path):
    """An image with different steps down and across."""
    path = tmp_path / "adf.tif"
    save_image(path, counts(), scan_step=(0.2, 0.25), title="ADF")
    return path


#: What the .tif of `image` holds.
PIXELS = counts().astype("float32")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def result(out, name, kind="restored"):
    return read_zspy(str(out / f"{name}_{kind}.zspy"))[0]


def test_results_are_those_of_the_function_with_the_calibration_of_the_file(works, image, out):
    text, warnings = works("restore", image, "-o", out, *FFT)
    assert warnings == ""
    assert text == f"{image}: adf_restored in {out}, as .tif .zspy\n"
    assert names(out) == ["adf_restored.tif", "adf_restored.zspy"]
    signal = result(out, "adf")
    expected = restore(PIXELS, model="fft")
    np.testing.assert_array_equal(signal["data"], expected)
    np.testing.assert_array_equal(tifffile.imread(out / "adf_restored.tif"), expected)
    assert [axis["units"] for axis in signal["axes"]] == ["nm", "nm"]
    assert [axis["scale"] for axis in signal["axes"]] == pytest.approx([0.02, 0.025], rel=1e-6)
    metadata = signal["metadata"]
    assert metadata["General"]["title"] == "Restored adf"
    assert metadata["Signal"]["signal_type"] == "stem_image"
    made = metadata["stem_plugins"]
    assert (made["method"], made["source"], made["parameters"]["model"]) == (
        *("restore", "adf.tif", "fft"),
    )
    with tifffile.TiffFile(out / "adf_restored.tif") as file:
        assert json.loads(file.pages[0].tags[65111].value)["parameters"]["scan_axis"] == "x"


def test_options_reach_the_function(works, image, out):
    words = ("--scan-axis", "y", "--scan-direction", -1, "--ensemble", "--format", "npy", "npy")
    works("restore", image, "-o", out, *FFT, *words)
    assert names(out) == ["adf_restored.npy"]
    expected = restore(PIXELS, model="fft", scan_axis=-2, scan_direction=-1, ensemble=True)
    np.testing.assert_array_equal(np.load(out / "adf_restored.npy"), expected)
    assert np.std(expected - restore(PIXELS, model="fft")) > 0.1


def test_evidence_pedestal_and_figure(works, tmp_path, out):
    data = counts((96, 128)) + 50
    np.save(tmp_path / "a.npy", data)
    words = ("--evidence", "--remove-pedestal", "--figure", "--pixel-size", 0.1, 0.2)
    works("restore", tmp_path / "a.npy", "-o", out, "--format", "zspy", *FFT, *words)
    assert names(out) == [
        *("a_consistency.zspy", "a_restored.png", "a_restored.zspy", "a_spread.zspy"),
        "a_unexplained.zspy",
    ]
    expected, evidence = restore(data, model="fft", return_evidence=True, remove_pedestal=True)
    assert restore(data, model="fft").mean() - expected.mean() == pytest.approx(50, abs=6)
    for kind, pixels in (
        ("restored", expected),
        ("consistency", evidence.consistency),
        ("unexplained", evidence.unexplained),
        ("spread", evidence.spread),
    ):
        signal = result(out, "a", kind)
        np.testing.assert_array_equal(signal["data"], pixels)
        assert [axis["scale"] for axis in signal["axes"]] == pytest.approx([0.01, 0.02])
    assert "noise" in result(out, "a", "consistency")["metadata"]["Signal"]["quantity"]
    with Image.open(out / "a_restored.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), float)
    # Five panels, of which three are in colour; the recorded image is not white beside the other.
    ink = pixels.mean(axis=2) < 200
    width = pixels.shape[1] // 5
    for panel in range(5):
        assert ink[:, panel * width : (panel + 1) * width].mean() > 0.1
    assert (np.ptp(pixels, axis=2)[:, : 2 * width] > 30).mean() < 0.001
    assert (np.ptp(pixels, axis=2)[:, 2 * width :] > 30).mean() > 0.1


@pytest.mark.parametrize("small_memory", [False, True])
def test_stacks_are_restored_image_by_image(works, tmp_path, out, monkeypatch, small_memory):
    stack = counts((3, 48, 64))
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        file["frames"] = stack
    if small_memory:
        monkeypatch.setattr(image_files, "LARGE_FILE", 0)
        monkeypatch.setattr(image_inputs, "IN_MEMORY", 0)
    works("restore", tmp_path / "stack.h5", "-o", out, *FFT)
    assert names(out) == ["stack_restored.tif", "stack_restored.zspy"]
    signal = result(out, "stack")
    np.testing.assert_array_equal(signal["data"], restore(stack, model="fft"))
    np.testing.assert_array_equal(signal["data"][1], restore(stack[1], model="fft"))
    assert [axis["navigate"] for axis in signal["axes"]] == [True, False, False]


def test_folders_results_beside_images_and_equal_names(works, tmp_path, image):
    """The results may lie beside the images, and are not restored again."""
    np.save(tmp_path / "adf.npy", counts(seed=1))
    (tmp_path / "notes.txt").write_text("not an image")
    works("restore", tmp_path, "-o", tmp_path, *FFT, "--format", "npy")
    made = ["adf_npy_restored.npy", "adf_tif_restored.npy"]
    assert names(tmp_path) == sorted(["adf.tif", "adf.npy", "notes.txt", *made])
    works("restore", tmp_path, "-o", tmp_path, *FFT, "--format", "npy", "--overwrite")
    assert names(tmp_path) == sorted(["adf.tif", "adf.npy", "notes.txt", *made])
    other = tmp_path / "other" / "adf.tif"
    other.parent.mkdir()
    save_image(other, counts(seed=2))
    out = tmp_path / "out"
    works("restore", image, other, "-o", out, *FFT, "--format", "npy")
    assert names(out) == ["other_adf_tif_restored.npy", f"{tmp_path.name}_adf_tif_restored.npy"]


def test_one_bad_file_does_not_stop_the_others(tmp_path, image, out, capsys):
    folder = tmp_path / "session"
    folder.mkdir()
    np.save(folder / "a.npy", counts())
    (folder / "b.dm4").write_bytes(b"not a DM4 file" * 10)
    np.save(folder / "c.npy", np.ones(100))
    tifffile.imwrite(folder / "d.tif", np.zeros((48, 64, 3), "uint8"), photometric="rgb")
    np.save(folder / "e.npy", np.minimum(counts() * 20, 255).astype("uint8"))
    words = ["restore", folder, image, "-o", out, *FFT, "--format", "npy"]
    assert main([str(word) for word in words]) == 1
    said = capsys.readouterr()
    assert names(out) == ["a_restored.npy", "adf_restored.npy", "e_restored.npy"]
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "b.dm4" in errors[0]
    assert errors[1] == "error: 1 of 6 files were not restored: b.dm4."
    # What is no image is left out of a folder, and said.
    warnings = [line for line in said.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 3
    assert "c.npy" in warnings[0]
    assert "d.tif" in warnings[1]
    assert "e.npy" in warnings[2]
    assert "saturated" in warnings[2]
    assert "Traceback" not in said.err


def test_several_images_in_one_file(works, fails, tmp_path, out):
    np.savez(tmp_path / "pair.npz", x=counts(), y=counts(seed=1))
    assert "--dataset NAME" in fails("restore", tmp_path / "pair.npz", "-o", out, *FFT)
    words = ("--dataset", "y", "--format", "npy")
    works("restore", tmp_path / "pair.npz", "-o", out, *FFT, *words)
    expected = restore(counts(seed=1), model="fft")
    np.testing.assert_array_equal(np.load(out / "pair_restored.npy"), expected)


def test_all_images_of_a_file_by_their_titles(works, fails, tmp_path, out):
    path, other = tmp_path / "both.hspy", tmp_path / "other.hspy"
    save_image(path, counts(), scan_step=0.2, title="HAADF")
    save_image(other, counts(seed=1), scan_step=0.2, title="BF")
    with h5py.File(path, "a") as file, h5py.File(other) as source:
        source.copy("Experiments/BF", file["Experiments"])
    other.unlink()
    works("restore", path, "-o", out, *FFT, "--format", "zspy")
    assert names(out) == ["both_BF_restored.zspy", "both_HAADF_restored.zspy"]
    expected = restore(counts(seed=1).astype("float32"), model="fft")
    np.testing.assert_allclose(result(out, "both_BF")["data"], expected, rtol=1e-5)
    works("restore", path, "-o", out, *FFT, "--format", "npy", "--dataset", "BF")
    np.testing.assert_allclose(np.load(out / "both_restored.npy"), expected, rtol=1e-5)
    line = fails("restore", path, "-o", out, *FFT, "--dataset", "DF")
    assert "no image 'DF'" in line
    assert "HAADF (48, 64)" in line


def test_which_files_of_a_folder_are_taken(tmp_path):
    listed = ("a.dm4", "b.EMD", "c_1.ser", "c.emi", "d.emi", "e_restored.tif", ".f.part.tif")
    for name in (*listed, "g.txt", "h.mib", "i.zspy"):
        (tmp_path / name).touch()
    (tmp_path / "j.zspy").mkdir()
    (tmp_path / "inside.tif").mkdir()
    found = image_inputs.image_inputs([tmp_path], tmp_path / "j.zspy")
    # TIA's .emi only points to the .ser beside it.
    taken = ["a.dm4", "b.EMD", "c_1.ser", "d.emi", "i.zspy"]
    assert [item.path.name for item in found] == taken
    assert [item.stem for item in found] == ["a", "b", "c_1", "d", "i"]
    assert all(item.found_in_folder for item in found)


def test_earlier_results_are_kept(works, fails, image, out):
    works("restore", image, "-o", out, *FFT)
    before = (out / "adf_restored.tif").stat().st_mtime_ns
    assert "--overwrite" in fails("restore", image, "-o", out, *FFT)
    assert (out / "adf_restored.tif").stat().st_mtime_ns == before
    works("restore", image, "-o", out, *FFT, "--overwrite")
    assert (out / "adf_restored.tif").stat().st_mtime_ns > before
    assert names(out) == ["adf_restored.tif", "adf_restored.zspy"]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((48, 64, 3), np.uint8), "colours are no intensities"),
        (np.ones(100), "no image (y, x)"),
        (np.ones((48, 64), complex), "amplitude or phase"),
        (np.full((48, 64), np.nan), "no finite pixel"),
        (np.ones((4, 5, 16, 16)), "scan of diffraction patterns"),
    ],
    ids=["colours", "1d", "complex", "nan", "4d"],
)
def test_what_cannot_be_restored(fails, tmp_path, out, array, words):
    np.save(tmp_path / "a.npy", array)
    assert words in fails("restore", tmp_path / "a.npy", "-o", out, *FFT)
    assert names(out) == []


def missing():
    image = counts().astype(float)
    image[3, 5] = np.nan
    return image


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (missing(), "1 of 3072 pixels are NaN"),
        (np.minimum(counts() * 20, 255).astype(np.uint8), "the image is saturated"),
        (counts((20, 12)), "20 × 12 px holds too little"),
    ],
    ids=["nan", "saturated", "tiny"],
)
def test_what_is_restored_with_a_word_of_warning(works, tmp_path, out, array, words):
    np.save(tmp_path / "a.npy", array)
    _, warnings = works("restore", tmp_path / "a.npy", "-o", out, *FFT, "--format", "npy")
    assert warnings.count("\n") == 1
    assert words in warnings
    restored = np.load(out / "a_restored.npy")
    np.testing.assert_array_equal(np.isnan(restored), np.isnan(array))


def test_a_constant_image_stays_as_it_is(works, tmp_path, out):
    np.save(tmp_path / "a.npy", np.full((48, 64), 7))
    _, warnings = works(
        *("restore", tmp_path / "a.npy", "-o", out, *FFT, "--format", "npy", "--figure"),
        *("--evidence", "--remove-pedestal"),
    )
    assert warnings == ""
    assert (np.load(out / "a_restored.npy") == 7).all()


def test_a_fault_of_many_images_is_said_once(works, tmp_path, out):
    stack = counts((4, 48, 64)).astype("float32")
    for index in range(4):
        stack[index, : index + 1, 0] = np.nan
    np.save(tmp_path / "stack.npy", stack)
    _, warnings = works("restore", tmp_path / "stack.npy", "-o", out, *FFT)
    assert warnings.count("\n") == 2
    assert "1 of 3072 pixels are NaN" in warnings
    assert "the same of 3 more images in this file" in warnings


@pytest.mark.parametrize(
    ("make", "words"), [(damaged_weights, "is damaged"), (newer_weights, "newer version")]
)
def test_weights_that_cannot_be_used(fails, image, tmp_path, out, make, words):
    weights = make(tmp_path / "mine.safetensors")
    line = fails("restore", image, "-o", out, "--model", weights)
    assert words in line
    assert str(weights) in line
    assert not out.exists()


def test_models_and_devices_that_are_not_there(fails, image, tmp_path, out, monkeypatch):
    monkeypatch.setenv("STEM_PLUGINS_DATA", str(tmp_path / "own"))
    assert "no model 'nothing'" in fails("restore", image, "-o", out, "--model", "nothing")
    line = fails("restore", image, "-o", out, "--model", "tk_r_em:hrstem")
    assert "stem-plugins weights import" in line
    assert "--device auto" in fails("restore", image, "-o", out, *FFT, "--device", "abacus")
    assert not out.exists()


def test_files_that_are_not_there(fails, tmp_path, image, out):
    assert "no none.tif" in fails("restore", image, tmp_path / "none.tif", "-o", out, *FFT)
    (tmp_path / "empty").mkdir()
    assert "holds no images" in fails("restore", tmp_path / "empty", "-o", out, *FFT)
    assert "is a file" in fails("restore", image, "-o", image, *FFT)
    assert not out.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--scan-axis", "z"],
        ["--scan-direction", "0"],
        ["--threads", "0"],
        ["--pixel-size", "-1"],
        ["--pixel-size", "a"],
        ["--format", "jpg"],
    ],
)
def test_wrong_usage_exits_with_2(image, out, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["restore", str(image), "-o", str(out), *words])
    assert stopped.value.code == 2
    assert words[0] in capsys.readouterr().err
    assert not out.exists()


def test_without_torch_it_is_said_how_to_get_it(fails, image, out, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "stem-plugins[torch]" in fails("restore", image, "-o", out)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_an_interrupted_run_leaves_finished_images_only(tmp_path, image, out):
    np.save(tmp_path / "large.npy", np.resize(counts((1024, 1024)), (6, 2048, 2048)))
    process = start("restore", image, tmp_path / "large.npy", "-o", out, *FFT)
    finished = out / "adf_restored.zspy"
    deadline = time.monotonic() + 120
    while not finished.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors == "error: interrupted; nothing half-written was left behind.\n"
    assert names(out) == ["adf_restored.tif", "adf_restored.zspy"]
