"""``stem-plugins demo``: a small one, from simulation to figure."""

import importlib.util
import sys

import numpy as np
import pytest
from command_runs import names
from PIL import Image
from rsciio.zspy import file_reader as read_zspy
from scipy.ndimage import gaussian_filter

from stem_plugins.cli import demo
from stem_plugins.io import read_merlin
from stem_plugins.simulation import demo_scan


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One quick demo for all tests."""
    from stem_plugins.cli import main

    folder = tmp_path_factory.mktemp("demo") / "results"
    assert main(["demo", "--quick", "-o", str(folder)]) == 0
    return folder


def image(folder, name):
    return read_zspy(str(folder / f"srtio3_{name}.zspy"))[0]


def test_writes_a_real_merlin_file(folder):
    scan = read_merlin(folder / "srtio3.mib")
    assert scan.data.shape == (40, 40, 48, 48)
    assert scan.acquisition.beam_energy == 200
    assert scan.acquisition.scan_step == (0.2, 0.2)


def test_every_image_is_calibrated(folder):
    found = {path.stem.removeprefix("srtio3_") for path in folder.glob("*.zspy")}
    assert found == {
        *("pacbed", "adf", "adf-restored", "com-y", "com-x"),
        *("ricom-7", "ricom-15", "ricom-41", "icom", "airpi"),
    }
    for name in found - {"pacbed"}:
        axes = image(folder, name)["axes"]
        assert [(axis["scale"], axis["units"]) for axis in axes] == [
            (pytest.approx(0.02), "nm")
        ] * 2


def test_phase_images_resemble_the_true_phase(folder):
    truth = demo_scan((40, 40)).phase
    # The probe of 22 mrad blurs by about 0.3 Å, 1.5 scan positions.
    blurred = gaussian_filter(truth, 1.5)
    for name, least in (("icom", 0.95), ("ricom-41", 0.75), ("ricom-15", 0.75)):
        pixels = image(folder, name)["data"]
        assert np.corrcoef(pixels.ravel(), blurred.ravel())[0, 1] > least
        assert abs(np.corrcoef(np.roll(pixels, 5, 0).ravel(), blurred.ravel())[0, 1]) < 0.5


def test_airpi_is_the_true_phase_without_the_blur_of_the_probe(folder):
    truth, pixels = demo_scan((40, 40)).phase.ravel(), image(folder, "airpi")["data"].ravel()
    icom = image(folder, "icom")["data"].ravel()
    likeness = np.corrcoef(pixels, truth)[0, 1]
    assert likeness > 0.95
    assert likeness > np.corrcoef(icom, truth)[0, 1] + 0.05
    # Its size is right, too.
    assert np.polyfit(truth, pixels, 1)[0] == pytest.approx(1, abs=0.15)


def test_restored_dark_field_resembles_the_true_one_more_than_the_counted_one(folder):
    truth = demo_scan((40, 40)).phase
    blurred = gaussian_filter(truth, 1.5).ravel()
    counted, restored = (image(folder, name)["data"].ravel() for name in ("adf", "adf-restored"))
    assert np.corrcoef(restored, blurred)[0, 1] > np.corrcoef(counted, blurred)[0, 1] + 0.02
    assert restored.mean() == pytest.approx(counted.mean(), rel=0.1)
    assert image(folder, "adf-restored")["metadata"]["Signal"]["quantity"] == (
        "ADF, restored (counts)"
    )


def test_without_torch_there_are_no_images_by_networks(tmp_path, works, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "torch" else find(name)
    )
    works("demo", "--quick", "-o", tmp_path / "out")
    for name in ("adf-restored", "airpi"):
        assert not (tmp_path / "out" / f"srtio3_{name}.zspy").exists()
    assert (tmp_path / "out" / "srtio3_adf.zspy").exists()


def test_vacuum_is_darker_than_the_crystal(folder):
    pixels = image(folder, "icom")["data"]
    assert pixels[30:, 30:].mean() < pixels[:20, :20].mean()


def test_figure_is_a_picture_fit_for_the_readme(folder):
    path = folder / "demo.png"
    assert path.stat().st_size < 500_000
    with Image.open(path) as picture:
        assert picture.width > 1200
        pixels = np.asarray(picture.convert("RGB"), float)
    # Panels, ticks of white paper between them, and colours of the centre of mass.
    assert 0.3 < (pixels.mean(axis=2) < 200).mean() < 0.95
    assert (np.ptp(pixels, axis=2) > 100).mean() > 0.01


def test_an_earlier_demo_is_kept(folder, fails, monkeypatch):
    def never(*_, **__):
        raise AssertionError("the simulation has started")

    monkeypatch.setattr(demo, "_simulate", never)
    before = names(folder)
    assert "--overwrite" in fails("demo", "--quick", "-o", folder)
    assert names(folder) == before


def test_an_earlier_demo_is_replaced_when_asked_and_other_files_are_not(folder, works):
    (folder / "notes.txt").write_text("precious")
    before = names(folder)
    (folder / "demo.png").write_text("old")
    text, _ = works("demo", "--quick", "-o", folder, "--overwrite")
    assert "demo.png" in text
    assert (folder / "demo.png").stat().st_size > 10_000
    assert (folder / "notes.txt").read_text() == "precious"
    assert names(folder) == before


def test_napari_is_asked_for_before_the_simulation(fails, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "napari", None)
    assert "stem-plugins[napari]" in fails("demo", "-o", tmp_path / "out", "--napari")
    assert names(tmp_path) == []


def test_napari_gets_the_scan_and_its_images(tmp_path, works, monkeypatch):
    napari = pytest.importorskip("napari")
    from napari.components import ViewerModel

    viewers = []

    def viewer_without_window(title):
        viewers.append(ViewerModel(title=title))
        return viewers[-1]

    monkeypatch.setattr(napari, "Viewer", viewer_without_window)
    monkeypatch.setattr(napari, "run", lambda: None)
    works("demo", "--quick", "-o", tmp_path / "out", "--napari")
    layers = viewers[0].layers
    assert layers[0].data.shape == (40, 40, 48, 48)
    assert [layer.name for layer in layers][1:4] == ["ADF, 50–92 mrad", "ADF, restored", "COM"]
    assert layers["iCOM"].scale[:2] == pytest.approx([0.02, 0.02])
