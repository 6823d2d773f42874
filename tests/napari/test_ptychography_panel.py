"""The panel Ptychography in a real viewer that draws; results against the array functions."""

import dataclasses
import sys
import threading
import time

import dask.array as da
import h5py
import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtGui import QCloseEvent, QGuiApplication
from qtpy.QtWidgets import QApplication, QFileDialog
from scipy import ndimage

from stem_plugins import Acquisition
from stem_plugins.imaging.center_of_mass import scan_frame_matrix
from stem_plugins.io import Scan
from stem_plugins.io.image_files import read_images
from stem_plugins.napari import ptychography_model
from stem_plugins.napari.layers import acquisition_of, image_layer, scan_layer
from stem_plugins.napari.planes import add_image_over_scan, flat_image, show_images, show_patterns
from stem_plugins.napari.ptychography_layers import probe_layer
from stem_plugins.napari.ptychography_model import (
    PtychographySettings,
    Reconstruction,
    check_scan,
)
from stem_plugins.napari.restoration import StoppedError
from stem_plugins.napari.view import grid_of
from stem_plugins.napari.widgets.ptychography import PtychographyPanel
from stem_plugins.napari.widgets.ptychography_forms import ReconstructionForm
from stem_plugins.ptychography import vocabulary
from stem_plugins.simulation import simulate_scan, single_atoms

pytest.importorskip("torch", reason="PyTorch is not installed")

from stem_plugins.ptychography import iterative_ptychography, load_ptychography
from stem_plugins.ptychography.run import Run

ACQUISITION = Acquisition(
    beam_energy=300,
    convergence_angle=20,
    scan_step=1.0,
    diffraction_step=2.0,
    defocus=60,
    scan_rotation=0,
)


@pytest.fixture(scope="session")
def atom() -> Scan:
    """One gold atom, seen at 12 × 12 positions by 32 × 32 pixels."""
    gold = single_atoms([79], [[6, 7]], extent=(12, 12))
    made = simulate_scan(gold, ACQUISITION, scan_shape=(12, 12), detector_shape=(32, 32), dose=1e5)
    return Scan(made.data, made.acquisition)


@pytest.fixture(scope="module")
def shared_panel(shared_viewer):
    panel = PtychographyPanel(shared_viewer)
    shared_viewer.window.add_dock_widget(panel, name="Ptychography")
    yield panel
    panel.close_panel()


@pytest.fixture
def viewer(shared_viewer):
    yield shared_viewer
    grid_of(shared_viewer).enabled = False
    shared_viewer.layers.clear()


@pytest.fixture
def panel(viewer, shared_panel):
    """The panel as it comes, but for three pixelated iterations."""
    shared_panel.form.show_settings(PtychographySettings(prior="pixelated", iterations=3))
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
    return iterative_ptychography(scan.data, scan.acquisition, threads=1, **options)


def test_a_run_shows_the_calibrated_phase_over_the_scan(viewer, panel, atom, qtbot):
    layer = add(viewer, atom)
    assert panel.problem.text() == ""
    assert "Probe 0.36 nm wide in a window of 0.98 nm" in panel.size_words.text()
    run(panel, qtbot)
    assert panel.message.text() == "After 3 iterations: all iterations done."
    expected = reference(atom, prior="pixelated", iterations=3)
    phase = viewer.layers["Pixelated phase"]
    np.testing.assert_array_equal(flat_image(phase), expected.phase)
    np.testing.assert_allclose(phase.scale[:2], np.array(expected.sampling) / 10)
    assert [f"{unit:~}" for unit in phase.units] == ["nm", "nm", "mrad", "mrad"]
    assert phase.metadata["unit"] == "rad"
    assert acquisition_of(phase).scan_step == pytest.approx(expected.sampling)
    # The atom is where it was put, in nm, brighter than all else.
    place = np.unravel_index(flat_image(phase).argmax(), flat_image(phase).shape)
    np.testing.assert_allclose(np.array(place) * phase.scale[:2], (0.6, 0.7), atol=0.05)
    assert not layer.visible
    # The probe lies amid the phase, to be shown by its eye.
    probe = viewer.layers["Pixelated probe"]
    assert not probe.visible
    assert phase.visible
    np.testing.assert_allclose(flat_image(probe), np.abs(expected.probe[0]), atol=1e-5)
    np.testing.assert_allclose(probe.scale[:2], np.array(expected.probe_sampling) / 10)
    light = np.array(ndimage.center_of_mass(flat_image(probe) ** 2))
    middle = np.array(expected.phase.shape) / 2 * phase.scale[:2]
    np.testing.assert_allclose(
        light * probe.scale[:2] + probe.translate[:2], middle, atol=probe.scale[0]
    )
    assert panel.chosen.text().startswith("Chosen: loss ")
    assert panel.resume.isEnabled()


def test_a_detector_that_stopped_counting_below_its_type_is_said(viewer, panel, atom, qtbot):
    top = int(atom.data.max() // 2)
    data = np.minimum(atom.data, top).astype(np.uint16)
    add(viewer, dataclasses.replace(atom, data=data, largest_count=top))
    run(panel, qtbot)
    assert f"at the largest count, {top}" in panel.findings.text()


@pytest.mark.parametrize(
    ("rotation", "flip_y", "place"),
    [(0.0, False, (0, 5)), (90.0, False, (5, 0)), (0.0, True, (0, 5)), (-90.0, True, (-5, 0))],
)
def test_the_probe_is_turned_into_the_frame_of_the_scan(atom, rotation, flip_y, place):
    result = reference(atom, prior="pixelated", iterations=1)
    probe = np.zeros_like(result.probe)
    middle = np.array(probe.shape[1:]) // 2
    probe[0, middle[0], middle[1] + 5] = 1
    acquisition = result.acquisition.replace(scan_rotation=rotation, flip_y=flip_y)
    turned = dataclasses.replace(result, probe=probe, acquisition=acquisition)
    image, options, _ = probe_layer(turned, "probe")
    found = np.unravel_index(image.argmax(), image.shape)
    assert tuple(np.array(found) - middle) == place
    # As vectors from the detector to the scan are turned elsewhere.
    matrix = scan_frame_matrix(rotation, flip_y)
    np.testing.assert_allclose(matrix @ (0, 5), place, atol=1e-9)
    assert not options["visible"]


def test_slices_become_a_stack_with_depth(viewer, panel, atom, qtbot, tmp_path):
    add(viewer, atom)
    options = {"slices": 3, "slice_thickness": 8.0, "object_type": "complex", "probe_modes": 2}
    panel.form.show_settings(PtychographySettings(prior="pixelated", iterations=2, **options))
    run(panel, qtbot)
    expected = reference(atom, prior="pixelated", iterations=2, **options)
    stack = viewer.layers["Pixelated slices"]
    np.testing.assert_array_equal(flat_image(stack), expected.slices)
    assert stack.data.shape[3:] == (1, 1)
    assert stack.axis_labels[0] == "depth"
    np.testing.assert_allclose(stack.scale[:3], (0.8, *np.array(expected.sampling) / 10))
    assert {f"{unit:~}" for unit in stack.units[:3]} == {"nm"}
    absorption = flat_image(viewer.layers["Pixelated absorption"])
    np.testing.assert_array_equal(absorption, expected.absorption.sum(axis=0))
    assert viewer.dims.ndim == 5
    assert tuple(viewer.dims.displayed) == (1, 2)
    show_patterns(viewer)
    assert not stack.visible
    show_images(viewer)
    assert stack.visible
    assert "mode 1" in _drawn_probe(panel)
    for suffix in (".tif", ".zspy", ".hspy"):
        panel_save(panel, tmp_path / f"out{suffix}")
        (read,) = read_images(tmp_path / f"out_Pixelated-slices{suffix}")
        np.testing.assert_array_equal(read.data, expected.slices)
        assert read.pixel_size == pytest.approx(expected.sampling, rel=1e-5)
        (phase,) = read_images(tmp_path / f"out_Pixelated-phase{suffix}")
        assert phase.pixel_size == pytest.approx(expected.sampling, rel=1e-5)
    assert read.axes[0]["name"] == "depth"
    assert read.axes[0]["scale"] == pytest.approx(0.8)
    assert read.axes[0]["units"] == "nm"
    panel_save(panel, tmp_path / "out.png")
    assert "Not Pixelated slices" in panel.message.text()


def _drawn_probe(panel):
    panel.plots._draw_probe(panel.result)
    return panel.plots.probe.caption


def panel_save(panel, path):
    original = QFileDialog.getSaveFileName
    QFileDialog.getSaveFileName = lambda *_: (str(path), "")
    try:
        panel.save.click()
    finally:
        QFileDialog.getSaveFileName = original


def test_everything_is_saved_in_one_file(viewer, panel, atom, qtbot, tmp_path):
    add(viewer, atom)
    run(panel, qtbot)
    panel_save(panel, tmp_path / "all.h5")
    assert panel.message.text() == "Saved all.h5."
    back = load_ptychography(tmp_path / "all.h5")
    np.testing.assert_array_equal(back.slices, panel.result.slices)
    panel_save(panel, tmp_path / "missing" / "all.h5")
    assert "missing" in panel.message.text()


def test_a_run_goes_on_as_if_it_had_not_ended(viewer, panel, atom, qtbot):
    add(viewer, atom)
    run(panel, qtbot)
    panel.go_on()
    finish(panel, qtbot)
    assert "ask for at least 4" in panel.message.text()
    panel.form.iterations.setValue(6)
    panel.resume.click()
    finish(panel, qtbot)
    whole = reference(atom, prior="pixelated", iterations=6)
    np.testing.assert_array_equal(flat_image(viewer.layers["Pixelated phase"]), whole.phase)
    np.testing.assert_array_equal(panel.result.losses, whole.losses)
    assert len([layer for layer in viewer.layers if "phase" in layer.name]) == 1


def test_other_options_go_on_from_what_was_found(viewer, panel, atom, qtbot):
    add(viewer, atom)
    run(panel, qtbot)
    earlier = reference(atom, prior="pixelated", iterations=3)
    panel.form.probe_modes.setValue(2)
    assert "Continue begins with the object" in panel.message.text()
    panel.resume.click()
    finish(panel, qtbot)
    options = {"prior": "pixelated", "probe_modes": 2, "iterations": 3}
    expected = reference(atom, first_guess=earlier, **options)
    np.testing.assert_array_equal(panel.result.phase, expected.phase)
    assert len(panel.result.losses) == 3


def test_another_calibration_begins_anew_and_says_so(viewer, panel, atom, qtbot):
    add(viewer, atom)
    run(panel, qtbot)
    panel.form.probe_modes.setValue(2)
    panel.form.probe_modes.setValue(1)
    assert panel.message.text() == ""
    assert panel.resume.isEnabled()
    panel.optics.defocus.setValue(7)
    assert not panel.resume.isEnabled()
    assert "calibration" in panel.resume.toolTip()
    run(panel, qtbot)
    names = [layer.name for layer in viewer.layers if "phase" in layer.name]
    assert names == ["Pixelated phase", "Pixelated phase [1]"]
    assert [viewer.layers[name].visible for name in names] == [False, True]


def test_the_network_draws_and_a_polish_follows(viewer, panel, atom, qtbot):
    add(viewer, atom)
    panel.form.show_settings(PtychographySettings(iterations=2))
    run(panel, qtbot)
    expected = reference(atom, iterations=2)
    np.testing.assert_array_equal(flat_image(viewer.layers["DGP phase"]), expected.phase)
    panel.form.polish.setValue(2)
    assert panel.resume.isEnabled()
    panel.resume.click()
    finish(panel, qtbot)
    assert len(panel.result.losses) == len(expected.losses) + 2
    polished = reference(atom, iterations=2, polish=2)
    np.testing.assert_array_equal(panel.result.phase, polished.phase)


def test_what_is_missing_is_named_and_can_be_entered(viewer, panel, atom, qtbot):
    layer = add(viewer, dataclasses.replace(atom, acquisition=Acquisition(defocus=60)))
    for words in ("beam energy", "convergence semi-angle", "scan step", "detector pixel"):
        assert words in panel.problem.text()
    panel.start()
    assert panel.worker is None
    assert panel.controls.currentIndex() == 1
    assert "Not started" in panel.message.text()
    form = panel.optics.calibration
    form.beam_energy.setValue(300)
    form.convergence_angle.setValue(20)
    form.scan_step[0].setValue(1)
    form.diffraction_step[0].setValue(2)
    assert panel.problem.text() == ""
    assert "rotation is unknown and will be estimated" in panel.size_words.text()
    assert acquisition_of(layer) == ACQUISITION.replace(scan_rotation=None)
    np.testing.assert_allclose(layer.scale, (0.1, 0.1, 2, 2))
    # A scale given in napari, and a value entered in another panel, are taken over.
    layer.scale = (0.2, 0.2, 2, 2)
    qtbot.waitUntil(lambda: form.scan_step[0].value() == 2)
    layer.metadata["acquisition"] = acquisition_of(layer).replace(beam_energy=80)
    panel.hide()
    panel.show()
    assert form.beam_energy.value() == 80


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"defocus": 4000}, "leave a window"),
        ({"scan_step": 8}, "share too little"),
        ({"convergence_angle": 40}, "bright-field disc is 80 mrad wide"),
    ],
)
def test_a_probe_that_does_not_fit_is_told_before_the_start(change, words):
    check = check_scan((12, 12, 32, 32), ACQUISITION.replace(**change))
    assert words in check.problem
    assert check_scan((12, 12, 32, 32), ACQUISITION).problem == ""


def test_what_cannot_be_reconstructed_is_said(viewer, panel, atom, qtbot):
    layer = add(viewer, atom)
    panel.form.slices.setValue(2)
    run(panel, qtbot)
    assert "slice_thickness" not in panel.message.text()
    assert "2 slices need" in panel.message.text()
    panel.form.slices.setValue(1)
    layer.data = np.zeros_like(atom.data)
    run(panel, qtbot)
    assert "hold no counts" in panel.message.text()
    assert [each.name for each in viewer.layers] == ["scan"]
    assert panel.run.isVisible()


def test_an_unknown_rotation_is_estimated_and_said(viewer, panel, atom, qtbot):
    unknown = atom.acquisition.replace(scan_rotation=None, flip_y=None)
    add(viewer, dataclasses.replace(atom, acquisition=unknown))
    assert "will be estimated" in panel.size_words.text()
    run(panel, qtbot)
    assert "is not known" in panel.findings.text()
    assert "the tab Calibration" in panel.findings.text()
    assert panel.result.acquisition.scan_rotation is not None


def test_warnings_of_the_data_are_passed_on(viewer, panel, atom, qtbot):
    counts = np.array(atom.data)
    counts[:, :, 14, 15] = 0
    add(viewer, dataclasses.replace(atom, data=counts))
    run(panel, qtbot)
    assert "1 detector pixels in the bright-field disc are dead" in panel.findings.text()


def test_the_copied_code_makes_the_same_phase(viewer, panel, atom, qtbot):
    add(viewer, atom)
    panel.form.show_settings(
        PtychographySettings(iterations=2, probe_prior="pixelated", refine=("positions",))
    )
    run(panel, qtbot)
    panel.copy.click()
    names = {}
    exec(QGuiApplication.clipboard().text(), names)
    np.testing.assert_array_equal(names["phase"], flat_image(viewer.layers["DGP phase"]))


def test_the_browser_shows_the_phase_over_the_scan(viewer, panel, atom, qtbot):
    scan = add(viewer, atom)
    run(panel, qtbot)
    panel.send.click()
    _, browser = viewer.window.add_plugin_dock_widget("stem-plugins", "4D-STEM browser")
    canvas = browser.scan_canvas
    over = canvas.model.layers["Pixelated phase"]
    np.testing.assert_array_equal(over.data, panel.result.phase)
    np.testing.assert_allclose(over.scale, np.array(panel.result.sampling) / 10)
    assert canvas.title.text() == "Scan: Pixelated phase"
    assert not canvas.image.visible
    # The probe is set on the phase as on the image, and points at the phase's value.
    canvas._put((4.0, 5.0))
    assert browser.probe == (4, 5)
    nm = (0.4, 0.5)
    pixel = tuple(round(at / step) for at, step in zip(nm, over.scale, strict=True))
    assert canvas.describe((4.0, 5.0), nm).endswith(f"{over.data[pixel]:.6g}")
    browser.over.click()
    assert canvas.image.visible
    assert canvas.title.text().startswith("Scan: BF")
    browser.unit.setCurrentIndex(1)  # both canvases begin anew
    assert browser.over.text() == "Pixelated phase"
    scan.scale = (0.2, 0.2, 2, 2)
    qtbot.waitUntil(lambda: browser.over.text() == "")
    assert len(canvas.model.layers) == 2
    browser.close_browser()


def test_the_stack_follows_the_units_of_other_scans(viewer, panel, atom, counts, qtbot):
    add(viewer, atom)
    panel.form.show_settings(
        PtychographySettings(prior="pixelated", iterations=1, slices=2, slice_thickness=5)
    )
    run(panel, qtbot)
    stack = viewer.layers["Pixelated slices"]
    bare = add(viewer, Scan(counts, Acquisition()), "bare")
    add_image_over_scan(viewer, image_layer(np.ones((12, 14)), Acquisition(), "sum"), bare)
    assert f"{stack.units[0]:~}" == "nm"
    assert f"{stack.units[1]:~}" == "pixel"
    assert acquisition_of(stack).scan_step == pytest.approx(panel.result.sampling)
    viewer.layers.remove("sum")
    viewer.layers.remove("bare")
    assert f"{stack.units[1]:~}" == "nm"
    np.testing.assert_allclose(stack.scale[:3], (0.5, *np.array(panel.result.sampling) / 10))


class Slow:
    """A reconstruction that waits a moment wherever it could be held."""

    def __init__(self, monkeypatch, wait):
        self.holds, self.ended, self.results = 0, threading.Event(), []
        hold, result, work = Reconstruction.hold, Run.result, ptychography_model.reconstruct

        def slowly(control):
            self.holds += 1
            time.sleep(wait)
            hold(control)

        def counted(run):
            self.results.append(time.monotonic())
            return result(run)

        def until_the_end(*arguments):
            try:
                return work(*arguments)
            finally:
                self.ended.set()

        monkeypatch.setattr(Reconstruction, "hold", slowly)
        monkeypatch.setattr(Run, "result", counted)
        monkeypatch.setattr("stem_plugins.napari.widgets.ptychography.reconstruct", until_the_end)


@pytest.fixture
def slow(monkeypatch):
    return Slow(monkeypatch, 0.05)


def test_a_run_can_be_paused_cancelled_and_continued(viewer, panel, atom, slow, qtbot):
    add(viewer, atom)
    panel.form.iterations.setValue(500)
    panel.start()
    assert panel.pause.isVisible()
    assert not panel.run.isVisible()
    qtbot.waitUntil(lambda: panel.result is not None, timeout=20_000)
    assert "Pixelated phase" in viewer.layers  # while it runs
    panel.pause.click()
    assert panel.pause.text() == "Go on"
    qtbot.waitUntil(lambda: panel.progress.format().startswith("paused"), timeout=5_000)
    qtbot.wait(300)
    before = slow.holds
    qtbot.wait(300)
    assert slow.holds == before
    panel.pause.click()
    qtbot.waitUntil(lambda: slow.holds > before + 2, timeout=10_000)
    done = len(panel.result.losses)
    panel.cancel.click()
    finish(panel, qtbot)
    assert panel.message.text() == "Stopped; the images show what was found so far."
    assert slow.ended.wait(5)
    assert 1 <= len(panel.result.losses) < 500
    assert panel.result.stopped == "cancelled"
    panel.form.iterations.setValue(len(panel.result.losses) + 2)
    panel.resume.click()
    finish(panel, qtbot)
    assert len(panel.result.losses) >= done + 2
    # Results cost time: two a second while it runs, and one at each of the two ends.
    gaps = np.diff(slow.results)
    assert np.count_nonzero(gaps < ptychography_model.BETWEEN_RESULTS - 0.01) <= 3


def test_a_layer_that_a_user_removes_stays_away(viewer, panel, atom, slow, qtbot):
    add(viewer, atom)
    panel.form.iterations.setValue(500)
    panel.start()
    qtbot.waitUntil(lambda: "Pixelated phase" in viewer.layers, timeout=20_000)
    viewer.layers.remove("Pixelated phase")
    first = panel.result
    qtbot.waitUntil(lambda: panel.result is not first, timeout=10_000)
    assert "Pixelated phase" not in viewer.layers
    panel.cancel.click()
    finish(panel, qtbot)


def test_new_data_stop_the_run_of_those_before(viewer, panel, atom, slow, qtbot):
    layer = add(viewer, atom)
    panel.form.iterations.setValue(500)
    panel.start()
    qtbot.waitUntil(lambda: slow.holds > 1, timeout=10_000)
    layer.data = atom.data[:10].copy()
    assert panel.message.text() == "Stopped: the scan is another one now."
    assert slow.ended.wait(5)
    qtbot.wait(50)
    assert panel.result is None
    assert not panel.send.isEnabled()


def test_without_a_scan_nothing_can_be_started(viewer, panel):
    assert not panel.run.isEnabled()
    assert "Open a 4D-STEM scan" in panel.message.text()
    panel.start()
    assert panel.worker is None


def test_without_pytorch_the_panel_says_how_to_get_it(viewer, panel, atom, qtbot, monkeypatch):
    for module in ("reconstruct", "preparation", "run"):
        monkeypatch.delitem(sys.modules, f"stem_plugins.ptychography.{module}")
    monkeypatch.setitem(sys.modules, "torch", None)
    add(viewer, atom)
    run(panel, qtbot)
    assert "pip install 'stem-plugins[torch]'" in panel.message.text()


@pytest.mark.parametrize(
    ("how", "paused"), [("window", False), ("viewer", True), ("layer", True), ("panel", False)]
)
def test_closing_ends_the_run(own_viewer, atom, slow, qtbot, how, paused):
    panel = PtychographyPanel(own_viewer)
    own_viewer.window.add_dock_widget(panel, name="Ptychography")
    panel.form.show_settings(PtychographySettings(prior="pixelated", iterations=500))
    add(own_viewer, atom)
    panel.start()
    qtbot.waitUntil(lambda: slow.holds > 1, timeout=10_000)
    if paused:
        panel.pause.click()
        qtbot.wait(150)
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


def test_a_lazy_file_gives_the_same_as_its_numbers(viewer, panel, atom, qtbot, tmp_path):
    from stem_plugins.io import write_merlin

    counts = np.asarray(atom.data).astype(np.uint16)
    write_merlin(tmp_path / "atom.mib", counts, acquisition=atom.acquisition)
    viewer.open(str(tmp_path / "atom.mib"), plugin="stem-plugins")
    panel.optics.defocus.setValue(6)
    run(panel, qtbot)
    panel.copy.click()
    code = QGuiApplication.clipboard().text()
    assert "read_scan(" in code
    names = {}
    exec(code, names)
    np.testing.assert_array_equal(names["phase"], flat_image(viewer.layers["Pixelated phase"]))
    panel_save(panel, tmp_path / "all.h5")
    with h5py.File(tmp_path / "all.h5") as file:
        np.testing.assert_array_equal(file["slices"][0], names["phase"])


def test_what_is_refined_is_chosen_in_a_menu(qtbot):
    form = ReconstructionForm()
    qtbot.addWidget(form)
    assert form.refine.text() == "Nothing"
    with qtbot.waitSignal(form.changed):
        form.refine.menu().actions()[2].trigger()
    assert form.refine.text() == "Descan"
    assert form.settings().options() == {"prior": "dgp", "refine": ("descan",)}
    settings = PtychographySettings(
        first_guess="icom", refine=("positions", "slice_thickness"), slices=3, slice_thickness=20.0
    )
    form.show_settings(settings)
    assert form.refine.text() == "Scan positions, Slice thickness"
    assert form.settings() == settings
    assert form.settings().options()["first_guess"] == "icom"
    # Of a single slice there is neither thickness nor tilt.
    form.slices.setValue(1)
    assert form.settings().options()["refine"] == ("positions",)


def test_the_panel_offers_all_that_there_is():
    assert set(ptychography_model.PRIORS.values()) == set(vocabulary.PRIORS)
    assert set(ptychography_model.PROBE_PRIORS.values()) == {None, *vocabulary.PROBE_PRIORS}
    assert set(ptychography_model.OBJECT_TYPES.values()) == set(vocabulary.OBJECT_TYPES)
    assert set(ptychography_model.FIRST_GUESSES.values()) == set(vocabulary.FIRST_GUESSES)
    assert set(ptychography_model.REFINED.values()) == set(vocabulary.REFINABLE)


def _vacuum() -> np.ndarray:
    """Patterns of an aperture with an edge that is not sharp, at 3 × 4 positions."""
    angle = np.hypot(*(2.0 * (np.indices((32, 32)) - 16)))
    disc = 1 / (1 + np.exp((angle - 20) / 1.5))
    return np.random.default_rng(3).poisson(400 * disc, (3, 4, 32, 32)).astype(np.uint16)


@pytest.mark.parametrize("kind", ["scan", "lazy scan", "pattern"])
def test_a_layer_without_specimen_shows_the_aperture(viewer, panel, atom, qtbot, kind):
    vacuum = _vacuum()
    mean = vacuum.mean((0, 1))
    if kind == "pattern":
        viewer.add_image(mean, name="vacuum")
    else:
        lazy = da.from_array(vacuum, chunks=(2, 2, 32, 32))
        data = lazy if kind == "lazy scan" else vacuum
        add(viewer, Scan(data, atom.acquisition), "vacuum")
    viewer.add_image(np.eye(31), name="of another size")
    add(viewer, atom)
    panel.chosen_scan.choose(viewer.layers["scan"])
    offered = [panel.optics.vacuum.itemText(n) for n in range(panel.optics.vacuum.count())]
    assert offered == ["Even disc", "vacuum"]
    panel.form.show_settings(
        PtychographySettings(prior="pixelated", probe_prior="fixed", iterations=2)
    )
    run(panel, qtbot)
    even = panel.result.probe
    assert panel.resume.isEnabled()
    panel.optics.vacuum.setCurrentIndex(1)
    assert "Continue begins with the object" in panel.message.text()
    run(panel, qtbot)
    found = panel.result.probe
    options = {"prior": "pixelated", "probe_prior": "fixed", "iterations": 2}
    expected = reference(atom, vacuum=mean, **options).probe
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(found).max())
    shown, before = (np.fft.fftshift(np.abs(np.fft.fft2(one[0])) ** 2) for one in (found, even))
    assert np.corrcoef(shown.ravel(), mean.ravel())[0, 1] > 0.99
    assert np.corrcoef(before.ravel(), mean.ravel())[0, 1] < 0.98
    panel.copy.click()
    names = {}
    exec(QGuiApplication.clipboard().text(), names)
    np.testing.assert_allclose(names["result"].probe, found, atol=1e-6 * np.abs(found).max())
    viewer.layers.remove("vacuum")
    assert panel.optics.vacuum.currentText() == "Even disc"
    run(panel, qtbot)
    np.testing.assert_array_equal(panel.result.probe, even)


def test_a_scan_of_vacuum_can_be_left_in_the_middle(viewer, panel, atom, qtbot, monkeypatch):
    add(viewer, Scan(_vacuum(), atom.acquisition), "vacuum")
    add(viewer, atom)
    panel.chosen_scan.choose(viewer.layers["scan"])
    panel.optics.vacuum.setCurrentIndex(1)
    monkeypatch.setattr(Reconstruction, "hold", slow := SlowHold())
    panel.start()
    assert slow.reached.wait(20)
    panel.end()
    slow.go_on.set()
    finish(panel, qtbot)
    assert panel.message.text() == "Stopped before the first iteration."


class SlowHold:
    """Waits where a run can be ended, and then ends it."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.go_on.wait(20)
        raise StoppedError
