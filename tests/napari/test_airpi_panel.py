"""The panel AIRPI in a real viewer that draws; images against the array function."""

import dataclasses
import sys
import threading
import time

import dask.array as da
import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtGui import QCloseEvent, QGuiApplication
from qtpy.QtWidgets import QApplication, QFileDialog

from stem_plugins import Acquisition
from stem_plugins.io import Scan, write_merlin
from stem_plugins.io.image_files import read_images
from stem_plugins.napari.airpi_model import AirpiSettings, check_scan, rows_drawn
from stem_plugins.napari.layers import acquisition_of, image_layer, scan_layer
from stem_plugins.napari.planes import add_image_over_scan, flat_image
from stem_plugins.napari.restoration import Progress
from stem_plugins.napari.view import grid_of
from stem_plugins.napari.widgets import airpi as airpi_widgets
from stem_plugins.napari.widgets.airpi import AirpiPanel
from stem_plugins.simulation import simulate_scan, single_atoms

pytest.importorskip("torch", reason="PyTorch is not installed")

from stem_plugins.rapid_phase_imaging import airpi, strips, tiles

ACQUISITION = Acquisition(
    beam_energy=300,
    convergence_angle=20,
    scan_step=(0.3, 0.25),
    diffraction_step=2.0,
    defocus=0,
    scan_rotation=0,
)
PLACE = (4.2, 2.0)


@pytest.fixture(scope="session")
def gold() -> Scan:
    """One gold atom, seen at 24 × 20 positions by 48 × 48 pixels."""
    atom = single_atoms([79], [PLACE], extent=(7.2, 5.0))
    made = simulate_scan(atom, ACQUISITION, scan_shape=(24, 20), detector_shape=(48, 48), dose=1e5)
    return Scan(np.asarray(made.data).astype(np.uint16), made.acquisition)


@pytest.fixture(scope="module")
def shared_panel(shared_viewer):
    panel = AirpiPanel(shared_viewer)
    shared_viewer.window.add_dock_widget(panel, name="AIRPI")
    yield panel
    panel.close_panel()


@pytest.fixture
def viewer(shared_viewer):
    yield shared_viewer
    grid_of(shared_viewer).enabled = False
    shared_viewer.layers.clear()


@pytest.fixture
def panel(viewer, shared_panel, monkeypatch):
    """The panel as it comes, which draws three strips of eight rows."""
    monkeypatch.setattr(tiles, "CORE", 8)
    shared_panel.form.show_settings(AirpiSettings())
    shared_panel.controls.setCurrentIndex(0)
    yield shared_panel
    shared_panel.stop()


def add(viewer, scan, name="scan"):
    return viewer.add_layer(Layer.create(*scan_layer(scan, name)))


def finish(panel, qtbot):
    qtbot.waitUntil(lambda: panel.worker is None, timeout=60_000)


def run(panel, qtbot):
    panel.start()
    finish(panel, qtbot)


def reference(scan, **options):
    return airpi(np.asarray(scan.data), scan.acquisition, threads=1, **options)


def image(viewer, what="phase", name="scan"):
    return viewer.layers[f"AIRPI {what} of {name}"]


def panel_save(panel, path, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    panel.save.click()


def test_a_run_shows_the_calibrated_phase_over_the_scan(viewer, panel, gold, qtbot):
    layer = add(viewer, gold)
    assert panel.problem.text() == ""
    assert panel.size_words.text() == "Probe 0.12 nm wide; steps of 0.03 nm are 0.25 of that."
    run(panel, qtbot)
    assert panel.message.text() == "Imaged; pixels of 0.015 × 0.013 nm."
    expected = reference(gold)
    phase = image(viewer)
    np.testing.assert_array_equal(flat_image(phase), expected.phase)
    np.testing.assert_allclose(phase.scale[:2], (0.015, 0.0125))
    assert [f"{unit:~}" for unit in phase.units] == ["nm", "nm", "mrad", "mrad"]
    assert phase.metadata["unit"] == "rad"
    assert phase.metadata["parameters"]["model"] == "default"
    assert acquisition_of(phase).scan_step == pytest.approx(expected.sampling)
    place = np.unravel_index(flat_image(phase).argmax(), flat_image(phase).shape)
    np.testing.assert_allclose(np.array(place) * phase.scale[:2] * 10, PLACE, atol=0.2)
    assert not layer.visible
    coverage = image(viewer, "coverage")
    np.testing.assert_array_equal(flat_image(coverage), expected.coverage)
    assert not coverage.visible
    assert len(viewer.layers) == 3
    assert viewer.layers.selection.active == phase
    assert panel.run.isVisible()
    assert not panel.progress.isVisible()


def test_the_published_design_shows_an_amplitude(viewer, panel, gold, qtbot):
    part = Scan(gold.data[10:18, 4:12], gold.acquisition)
    add(viewer, part)
    panel.form.show_settings(AirpiSettings(model="exit-wave"))
    assert panel.form.settings() == AirpiSettings(model="exit-wave")
    run(panel, qtbot)
    expected = reference(part, design="exit-wave")
    np.testing.assert_allclose(flat_image(image(viewer)), expected.phase, atol=1e-4)
    amplitude = image(viewer, "amplitude")
    np.testing.assert_allclose(flat_image(amplitude), expected.amplitude, atol=1e-4)
    assert not amplitude.visible
    assert image(viewer).metadata["parameters"]["design"] == "exit-wave"
    panel.copy_as_python()
    assert "model='exit-wave'" in QGuiApplication.clipboard().text()


def test_the_image_grows_while_the_scan_is_read(viewer, panel, gold, qtbot, monkeypatch):
    seen = []
    take = AirpiPanel._take

    def watched(self, drawn, layer, acquisition):
        take(self, drawn, layer, acquisition)
        rows = rows_drawn(drawn.result)
        if rows:
            shown = flat_image(image(viewer))
            assert np.isfinite(shown[:rows]).all()
            assert np.isnan(shown[rows:]).all()
        seen.append(rows)

    monkeypatch.setattr(AirpiPanel, "_take", watched)
    add(viewer, gold)
    run(panel, qtbot)
    assert seen == [0, 16, 32, 48]
    np.testing.assert_array_equal(flat_image(image(viewer)), reference(gold).phase)


def test_patterns_are_compared_where_that_is_asked_for(viewer, panel, gold, qtbot):
    add(viewer, gold)
    panel.form.evidence.setChecked(True)
    panel.form.oversample.setValue(3)
    run(panel, qtbot)
    expected = reference(gold, return_evidence=True, oversample=3)
    np.testing.assert_array_equal(flat_image(image(viewer)), expected.phase)
    consistency = image(viewer, "consistency")
    np.testing.assert_array_equal(flat_image(consistency), expected.consistency)
    np.testing.assert_allclose(consistency.scale[:2], (0.03, 0.025))
    assert not consistency.visible
    assert f"by {np.median(expected.consistency):.2g} times the noise" in panel.message.text()


def test_boxes_of_patterns_lie_in_their_middle_in_any_unit(viewer, panel, gold, counts, qtbot):
    add(viewer, gold)
    panel.form.repeat.setValue(2)
    panel.form.evidence.setChecked(True)
    run(panel, qtbot)
    assert panel.result.repeat == 2
    origin = np.array(panel.result.origin) / 10
    for what in ("phase", "consistency"):
        np.testing.assert_allclose(image(viewer, what).translate[:2], origin)
    np.testing.assert_allclose(image(viewer, "consistency").scale[:2], (0.06, 0.05))
    # Beside a scan without calibration all is in pixels, and comes back.
    phase = image(viewer)
    bare = add(viewer, Scan(counts, Acquisition()), "bare")
    add_image_over_scan(viewer, image_layer(np.ones((12, 14)), Acquisition(), "sum"), bare)
    assert f"{phase.units[0]:~}" == "pixel"
    np.testing.assert_allclose(phase.translate[:2], 1.0)
    viewer.layers.remove("sum")
    viewer.layers.remove("bare")
    np.testing.assert_allclose(phase.translate[:2], origin)


def test_a_run_again_hides_the_one_before(viewer, panel, gold, qtbot):
    add(viewer, gold)
    run(panel, qtbot)
    panel.form.oversample.setValue(1)
    run(panel, qtbot)
    names = [layer.name for layer in viewer.layers if "phase" in layer.name]
    assert names == ["AIRPI phase of scan", "AIRPI phase of scan [1]"]
    assert [viewer.layers[name].visible for name in names] == [False, True]
    assert flat_image(viewer.layers[names[1]]).shape == (24, 20)


@pytest.mark.parametrize("kind", ["lazy", "memory map"])
def test_lazy_and_mapped_scans_give_the_same(viewer, panel, gold, qtbot, tmp_path, kind):
    if kind == "lazy":
        data = da.from_array(gold.data, chunks=(5, 20, 48, 24))
    else:
        np.save(tmp_path / "scan.npy", gold.data)
        data = np.load(tmp_path / "scan.npy", mmap_mode="r")
    add(viewer, dataclasses.replace(gold, data=data))
    run(panel, qtbot)
    np.testing.assert_array_equal(flat_image(image(viewer)), reference(gold).phase)


def test_a_file_is_imaged_and_the_copied_code_does_the_same(
    viewer, panel, gold, qtbot, tmp_path, monkeypatch
):
    write_merlin(tmp_path / "gold.mib", gold.data, acquisition=gold.acquisition)
    viewer.open(str(tmp_path / "gold.mib"), plugin="stem-plugins")
    panel.form.oversample.setValue(1)
    run(panel, qtbot)
    panel.copy.click()
    code = QGuiApplication.clipboard().text()
    assert "read_scan(" in code
    assert "oversample=1" in code
    names = {}
    exec(code, names)
    (phase,) = (layer for layer in viewer.layers if "phase" in layer.name)
    np.testing.assert_allclose(np.asarray(names["phase"]), flat_image(phase), atol=1e-6)
    for suffix in (".tif", ".zspy", ".hspy"):
        panel_save(panel, tmp_path / f"out{suffix}", monkeypatch)
        assert panel.message.text() == f"Saved out_phase{suffix}, out_coverage{suffix}."
        (read,) = read_images(tmp_path / f"out_phase{suffix}")
        np.testing.assert_array_equal(read.data, flat_image(phase))
        assert read.pixel_size == pytest.approx((0.3, 0.25), rel=1e-5)
    panel_save(panel, tmp_path / "out.png", monkeypatch)
    assert (tmp_path / "out_phase.png").is_file()


def test_what_is_missing_is_named_and_can_be_entered(viewer, panel, gold, qtbot):
    layer = add(viewer, dataclasses.replace(gold, acquisition=Acquisition()))
    for words in ("beam energy", "convergence semi-angle", "scan step", "detector pixel"):
        assert words in panel.problem.text()
    panel.start()
    assert panel.worker is None
    assert panel.controls.currentIndex() == 1
    assert "Not started" in panel.message.text()
    form = panel.optics.calibration
    form.beam_energy.setValue(300)
    form.convergence_angle.setValue(20)
    form.scan_step[0].setValue(0.3)
    form.diffraction_step[0].setValue(2)
    assert panel.problem.text().startswith("The scan rotation is unknown and taken as zero")
    panel.optics.rotation.setValue(10)
    assert panel.problem.text() == ""
    assert "defocus is unknown and taken as zero" in panel.size_words.text()
    assert acquisition_of(layer).scan_step == (0.3, 0.3)
    # A scale given in napari, and a value entered in another panel, are taken over.
    layer.scale = (0.025, 0.025, 2, 2)
    qtbot.waitUntil(lambda: form.scan_step[0].value() == 0.25)
    layer.metadata["acquisition"] = acquisition_of(layer).replace(beam_energy=200)
    panel.hide()
    panel.show()
    assert form.beam_energy.value() == 200


@pytest.mark.parametrize(
    ("change", "problem", "doubt"),
    [
        ({"scan_step": 4}, "share too little", ""),
        ({"defocus": 3000}, "Use direct or iterative ptychography.", ""),
        ({"scan_step": 0.6}, "", "features that look like atoms may be none"),
        ({"beam_energy": 400}, "", "beam energy 400 keV (30 to 300)"),
    ],
)
def test_calibrations_are_checked_before_the_start(change, problem, doubt):
    check = check_scan((24, 20, 48, 48), ACQUISITION.replace(**change))
    assert problem in check.problem
    assert doubt in check.doubts
    assert bool(check.problem) == bool(problem)
    assert "force" not in check.problem


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"diffraction_step": 1.1}, "One of the two is wrong"),
        ({"diffraction_step": 15.0}, "Check convergence semi-angle and detector pixel"),
        ({"diffraction_step": 0.75}, "does not lie on"),
    ],
)
def test_a_calibration_that_cannot_be_is_said(viewer, panel, gold, qtbot, change, words):
    add(viewer, dataclasses.replace(gold, acquisition=ACQUISITION.replace(**change)))
    run(panel, qtbot)
    assert words in panel.message.text()
    assert "Traceback" not in panel.message.text()
    assert [layer.name for layer in viewer.layers] == ["scan"]
    assert panel.run.isVisible()


def test_doubts_are_said_once(viewer, panel, gold, qtbot):
    add(viewer, dataclasses.replace(gold, acquisition=ACQUISITION.replace(scan_step=0.6)))
    assert "features that look like atoms may be none" in panel.problem.text()
    run(panel, qtbot)
    assert panel.findings.text() == ""
    assert panel.message.text().startswith("Imaged")


def test_warnings_and_choices_are_said(viewer, panel, gold, qtbot):
    given = ACQUISITION.replace(scan_step=0.08, center=(20.0, 24.0))
    add(viewer, dataclasses.replace(gold, acquisition=given))
    run(panel, qtbot)
    assert "which is used" in panel.findings.text()
    assert "Chosen: repeat 2: steps of" in panel.findings.text()
    panel.form.repeat.setValue(9)
    run(panel, qtbot)
    assert "at least 36 in each direction with Repeat 9" in panel.message.text()
    panel.form.repeat.setValue(0)
    panel.form.evidence.setChecked(True)
    viewer.layers["scan"].data = gold.data + np.float32(0.25)
    run(panel, qtbot)
    assert "there is nothing to compare with" in panel.message.text()


def test_a_network_of_ones_own(viewer, panel, gold, qtbot, tmp_path, monkeypatch):
    from stem_plugins.models import save_weights
    from stem_plugins.rapid_phase_imaging.spatial_network import (
        DESIGN,
        DESIGN_VERSION,
        SpatialNetwork,
    )

    own = tmp_path / "own.safetensors"
    tensors = {name: value.numpy() for name, value in SpatialNetwork().state_dict().items()}
    save_weights(own, tensors, design=DESIGN, version=DESIGN_VERSION, details={})
    add(viewer, gold)
    box = panel.form.model
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(own), ""))
    box.setCurrentIndex(box.count() - 1)
    box.activated.emit(box.count() - 1)
    assert box.currentText() == "own.safetensors"
    run(panel, qtbot)
    np.testing.assert_array_equal(flat_image(image(viewer)), reference(gold, model=own).phase)
    own.write_bytes(b"nothing")
    run(panel, qtbot)
    assert "own.safetensors" in panel.message.text()
    own.unlink()
    box.activated.emit(box.currentIndex())
    assert "There is no file of weights" in panel.message.text()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    box.setCurrentIndex(box.count() - 1)
    box.activated.emit(box.count() - 1)
    assert panel.form.settings().model == "default"
    box.removeItem(box.findData(str(own)))


class Slow:
    """Reports that wait a moment, and a thread whose end is seen."""

    def __init__(self, monkeypatch):
        self.reports, self.ended = 0, threading.Event()
        report, work = Progress.report, airpi_widgets.image_scan

        def slowly(progress, share):
            self.reports += 1
            time.sleep(0.05)
            report(progress, share)

        def until_the_end(*arguments):
            try:
                yield from work(*arguments)
            finally:
                self.ended.set()

        monkeypatch.setattr(strips, "BLOCK_BYTES", 2**17)
        monkeypatch.setattr(Progress, "report", slowly)
        monkeypatch.setattr(airpi_widgets, "image_scan", until_the_end)


@pytest.fixture
def slow(panel, monkeypatch):
    """With patterns that are compared row by row."""
    panel.form.evidence.setChecked(True)
    return Slow(monkeypatch)


def test_a_run_can_be_cancelled_and_keeps_its_rows(viewer, panel, gold, slow, qtbot):
    add(viewer, gold)
    panel.start()
    assert panel.cancel.isVisible()
    assert not panel.run.isVisible()
    qtbot.waitUntil(lambda: 0 < panel.progress.value() < panel.progress.maximum(), timeout=20_000)
    qtbot.waitUntil(lambda: "AIRPI phase of scan" in viewer.layers, timeout=20_000)
    panel.cancel.click()
    said = panel.message.text()
    assert panel.run.isVisible()
    assert slow.ended.wait(5)
    qtbot.wait(50)
    shown = flat_image(image(viewer))
    # How many strips come before the click is heard depends on the machine.
    rows = int(np.isfinite(shown[:, 0]).sum())
    assert rows in (16, 32)
    assert (
        said == f"Stopped; the image shows the {100 * rows / 48:.0f} % of the rows that were drawn."
    )
    assert np.isfinite(shown[:rows]).all()
    assert np.isnan(shown[rows:]).all()
    assert len(viewer.layers) == 2
    panel.start()
    panel.cancel.click()
    assert panel.message.text() == "Stopped before the first rows were drawn."


def test_an_image_that_a_user_removes_stays_away(viewer, panel, gold, slow, qtbot):
    add(viewer, gold)
    panel.start()
    qtbot.waitUntil(lambda: "AIRPI phase of scan" in viewer.layers, timeout=20_000)
    viewer.layers.remove("AIRPI phase of scan")
    finish(panel, qtbot)
    assert "AIRPI phase of scan" not in viewer.layers
    assert "AIRPI coverage of scan" in viewer.layers


@pytest.mark.parametrize("how", ["other scan", "other data"])
def test_another_scan_ends_the_run(viewer, panel, gold, slow, qtbot, how):
    other = add(viewer, gold, "other")
    layer = add(viewer, gold)
    panel.scan.choice.choose(layer)
    panel.start()
    qtbot.waitUntil(lambda: "AIRPI phase of scan" in viewer.layers, timeout=20_000)
    if how == "other scan":
        panel.scans.setCurrentText("other")
        assert panel.scan_layer == other
    else:
        layer.data = gold.data[:20].copy()
    assert panel.message.text() == "Stopped: the scan is another one now."
    assert slow.ended.wait(5)
    qtbot.wait(50)
    assert np.isnan(flat_image(image(viewer))[-1]).all()
    assert panel.result is None


@pytest.mark.parametrize("how", ["window", "viewer", "layer", "panel"])
def test_closing_ends_the_run(own_viewer, gold, qtbot, monkeypatch, how):
    panel = AirpiPanel(own_viewer)
    own_viewer.window.add_dock_widget(panel, name="AIRPI")
    panel.form.evidence.setChecked(True)
    slow = Slow(monkeypatch)
    add(own_viewer, gold)
    panel.start()
    qtbot.waitUntil(lambda: slow.reports > 2, timeout=20_000)
    if how == "window":
        QApplication.sendEvent(panel.window(), QCloseEvent())
    elif how == "viewer":
        own_viewer.close()
    elif how == "layer":
        own_viewer.layers.clear()
    else:
        panel.close()
    assert slow.ended.wait(5)
    qtbot.wait(50)
    panel.close_panel()


def test_without_a_scan_nothing_can_be_started(viewer, panel):
    assert not panel.run.isEnabled()
    assert "Open a 4D-STEM scan" in panel.message.text()
    panel.start()
    assert panel.worker is None


def test_without_pytorch_the_panel_says_how_to_get_it(viewer, panel, gold, qtbot, monkeypatch):
    for module in ("reconstruct", "planning", "drawing", "spatial_network"):
        monkeypatch.delitem(sys.modules, f"stem_plugins.rapid_phase_imaging.{module}")
    monkeypatch.setitem(sys.modules, "torch", None)
    add(viewer, gold)
    run(panel, qtbot)
    assert "AIRPI needs PyTorch" in panel.message.text()
    assert "pip install 'stem-plugins[torch]'" in panel.message.text()


def test_patterns_that_are_no_numbers_are_said(viewer, panel, gold, qtbot):
    data = gold.data.astype(np.float32)
    data[13, 1, 25, 24] = np.nan
    add(viewer, dataclasses.replace(gold, data=data))
    run(panel, qtbot)
    assert "NaN" in panel.message.text()
    assert panel.run.isVisible()
