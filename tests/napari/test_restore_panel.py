"""The panel Restore in a real viewer that draws; images against the functions of arrays."""

import threading
import time

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Layer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QCloseEvent, QGuiApplication
from qtpy.QtWidgets import QApplication

import stem_plugins
from stem_plugins.io import Scan
from stem_plugins.io.image_files import read_images
from stem_plugins.models import registry
from stem_plugins.napari.layers import acquisition_of, image_layer, scan_layer
from stem_plugins.napari.planes import add_image_over_scan, flat_image
from stem_plugins.napari.restoration import Progress, RestoreSettings, estimate_shifts
from stem_plugins.napari.widgets.restore import RestorePanel
from stem_plugins.napari.widgets.saving import save_results

pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="session")
def columns() -> np.ndarray:
    """Atomic columns with counting noise, (48, 64)."""
    y, x = np.indices((48, 64))
    clean = 20 + 15 * np.cos(0.8 * y) * np.cos(0.7 * x)
    return np.random.default_rng(0).poisson(clean).astype(np.uint16)


@pytest.fixture(scope="module")
def shared_panel(shared_viewer):
    panel = RestorePanel(shared_viewer)
    shared_viewer.window.add_dock_widget(panel, name="Restore")
    yield panel
    panel.close_panel()


@pytest.fixture
def viewer(shared_viewer):
    yield shared_viewer
    shared_viewer.layers.clear()


@pytest.fixture
def panel(viewer, shared_panel):
    """The panel as it comes, with the filter that needs no weights."""
    shared_panel.models.setCurrentIndex(shared_panel.models.findData("fft"))
    shared_panel.fast_scan.setCurrentIndex(0)
    shared_panel.divider.setValue(500)
    for box in (shared_panel.ensemble, shared_panel.pedestal, shared_panel.evidence):
        box.setChecked(False)
    yield shared_panel
    shared_panel.stop()


def add(viewer, image, name="ADF", **options):
    units = ("nm",) * image.ndim
    layer = Image(image, name=name, scale=(0.02,) * image.ndim, units=units, **options)
    return viewer.add_layer(layer)


def finish(panel, qtbot):
    qtbot.waitUntil(lambda: panel.worker is None, timeout=60_000)


def run(panel, qtbot):
    panel.start()
    finish(panel, qtbot)
    assert panel.message.text() == ""


def test_an_image_is_restored_as_the_panel_says(viewer, panel, columns, qtbot):
    layer = add(viewer, columns, translate=(1, 2))
    panel.fast_scan.setCurrentText("↑  upwards")
    panel.ensemble.setChecked(True)
    panel.pedestal.setChecked(True)
    panel.evidence.setChecked(True)
    run(panel, qtbot)
    expected, evidence = stem_plugins.restore(
        columns,
        model="fft",
        scan_axis=-2,
        scan_direction=-1,
        ensemble=True,
        remove_pedestal=True,
        return_evidence=True,
    )
    restored = viewer.layers["ADF restored"]
    np.testing.assert_array_equal(restored.data, expected)
    for name in ("consistency", "unexplained", "spread"):
        made = viewer.layers[f"ADF {name}"]
        np.testing.assert_array_equal(made.data, getattr(evidence, name))
        assert not made.visible
        np.testing.assert_array_equal(made.translate, layer.translate)
        if name != "spread":
            assert tuple(made.contrast_limits) == (-6, 6)
            assert made.colormap.name == "coolwarm"
        if hasattr(made, "colorbar"):
            assert made.colorbar.visible
    np.testing.assert_allclose(restored.scale, (0.02, 0.02))
    assert acquisition_of(restored).scan_step == pytest.approx((0.2, 0.2))
    parameters = restored.metadata["parameters"]
    assert parameters["model"] == "fft"
    assert parameters["scan_axis"] == -2
    panel.show_view("Consistency")
    shown = [layer.name for layer in viewer.layers if layer.visible]
    assert shown == ["ADF consistency"]


def test_the_mouse_divides_measured_and_restored(viewer, panel, columns, qtbot):
    add(viewer, columns)
    run(panel, qtbot)
    divided, restored = viewer.layers["ADF | restored"], viewer.layers["ADF restored"]

    def check(column):
        np.testing.assert_array_equal(divided.data[:, :column], columns[:, :column])
        np.testing.assert_array_equal(divided.data[:, column + 1 :], restored.data[:, column + 1 :])

    check(32)
    viewer.reset_view()
    qtbot.wait(100)
    native = panel.window()._qt_viewer.canvas.native
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera

    def at(column):
        x = (column * 0.02 - 0.01 - camera.center[-1]) * camera.zoom
        return QPoint(round(native.width() / 2 + x), native.height() // 2)

    qtbot.mousePress(native, Qt.MouseButton.LeftButton, pos=at(32))
    for column in (36, 48):
        qtbot.mouseMove(native, at(column))
        qtbot.wait(50)
    qtbot.mouseRelease(native, Qt.MouseButton.LeftButton, pos=at(48))
    check(48)
    assert panel.divider.value() == pytest.approx(750, abs=8)
    panel.divider.setValue(250)
    check(16)
    # Far from the line the mouse moves the view.
    center = camera.center
    qtbot.mousePress(native, Qt.MouseButton.LeftButton, pos=at(48))
    qtbot.mouseMove(native, at(52))
    qtbot.wait(50)
    qtbot.mouseRelease(native, Qt.MouseButton.LeftButton, pos=at(52))
    check(16)
    assert camera.center != center
    viewer.layers.remove("ADF restored")
    assert "ADF | restored" not in viewer.layers
    assert not panel.views["Divided"].isEnabled()


def test_of_a_lazy_stack_every_frame_is_restored(viewer, panel, columns, qtbot, tmp_path):
    stack = np.stack([columns, columns[::-1], 2 * columns])
    add(viewer, da.from_array(stack, chunks=(1, 48, 64)), "series")
    run(panel, qtbot)
    restored = viewer.layers["series restored"]
    np.testing.assert_array_equal(restored.data, stem_plugins.restore(stack, model="fft"))
    divided = viewer.layers["series | restored"]
    for frame in (2, 0):
        viewer.dims.set_current_step(0, frame)
        np.testing.assert_array_equal(divided.data[:, :32], stack[frame, :, :32])
        np.testing.assert_array_equal(divided.data[:, 33:], restored.data[frame, :, 33:])
    for suffix in (".tif", ".zspy", ".hspy"):
        (path,) = save_results(tmp_path / f"a{suffix}", panel.results.items())
        (read,) = read_images(path)
        np.testing.assert_array_equal(read.data, restored.data)
        assert read.pixel_size == pytest.approx((0.2, 0.2), rel=1e-5)
    panel.apply_shifts()
    assert "one image" in panel.message.text()


def test_a_scan_is_put_back_by_its_image(viewer, panel, columns, calibrated, qtbot):
    rng = np.random.default_rng(1)
    counts = rng.poisson(columns[:, :, None, None] * rng.random((4, 6)) / 4)
    data = da.from_array(counts, chunks=(16, 64, 4, 6))
    scan = viewer.add_layer(Layer.create(*scan_layer(Scan(data, calibrated), "scan")))
    image = counts.sum(axis=(2, 3)).astype(np.uint32)
    add_image_over_scan(viewer, image_layer(image, calibrated, "ADF", "counts"), scan)
    panel.choice.choose(viewer.layers["ADF"])
    run(panel, qtbot)
    restored = viewer.layers["ADF restored"]
    expected = stem_plugins.restore(image, model="fft")
    np.testing.assert_array_equal(flat_image(restored), expected)
    np.testing.assert_allclose(restored.scale[:2], (0.2, 0.25))
    assert [panel.targets.itemText(i) for i in range(panel.targets.count())] == ["scan", "ADF"]
    panel.apply_shifts()
    finish(panel, qtbot)
    corrected = viewer.layers["scan scan-corrected"]
    shifts = stem_plugins.scan_shifts(image, expected)
    assert isinstance(corrected.data, da.Array)
    np.testing.assert_allclose(
        corrected.data, stem_plugins.apply_scan_shifts(counts, shifts), rtol=1e-5
    )
    assert acquisition_of(corrected) == calibrated
    # To show it now, along the scan, would read all of it.
    assert not corrected.visible
    assert "rms applied" in panel.message.text()


def test_shifts_of_a_vertical_scan_are_found_along_it():
    y, x = np.indices((64, 64))
    clean = 0.1 + 0.05 * np.cos(0.8 * x) * np.cos(0.7 * y) + 0.05 * np.cos(0.5 * (x + y))
    true = np.random.default_rng(0).normal(0, 0.4, (64, 2))
    recorded = stem_plugins.distort(
        clean.T, pixel_size=0.2, dose=1e6, rng=np.random.default_rng(1), shifts=true
    ).T
    shifts = estimate_shifts(recorded, clean, RestoreSettings(scan_axis=-2), Progress())
    # Scan lines are columns here, and what the scan calls x is y.
    error = shifts.mean(axis=0)[:, ::-1] - true
    assert error.std() < 0.05


def test_only_images_of_real_numbers_are_offered(viewer, panel, scan, columns):
    viewer.add_layer(Image(np.zeros((8, 9, 3), np.uint8), rgb=True, name="colours"))
    viewer.add_layer(Layer.create(*scan_layer(scan, "scan")))
    assert panel.image_layer is None
    assert not panel.run.isEnabled()
    assert "Open an image" in panel.message.text()
    add(viewer, columns)
    assert panel.layers.currentText() == "ADF"
    assert panel.message.text() == ""


def test_what_cannot_be_restored_is_said(viewer, panel, columns, qtbot, monkeypatch, tmp_path):
    monkeypatch.setitem(registry.SHIPPED, "default", tmp_path / "none.safetensors")
    add(viewer, columns)
    panel.models.setCurrentIndex(panel.models.findData("default"))
    panel.models.activated.emit(panel.models.currentIndex())
    assert "missing from this installation" in panel.message.text()
    panel.start()
    finish(panel, qtbot)
    assert "missing from this installation" in panel.message.text()
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    panel.models.use_file(broken)
    panel.start()
    finish(panel, qtbot)
    assert "broken.safetensors" in panel.message.text()
    panel.models.removeItem(panel.models.findData(str(broken)))
    assert [layer.name for layer in viewer.layers] == ["ADF"]
    panel.apply_shifts()
    assert "Restore the image first" in panel.message.text()


def test_warnings_of_the_image_are_passed_on(viewer, panel, columns, qtbot):
    image = columns.astype(float)
    image[3, 4] = np.nan
    add(viewer, image)
    run(panel, qtbot)
    assert "NaN" in panel.findings.text()
    assert np.isnan(viewer.layers["ADF restored"].data[3, 4])


def test_without_pytorch_the_panel_says_how_to_get_it(viewer, panel, columns, qtbot, monkeypatch):
    def missing(*_, **__):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(stem_plugins, "restore", missing, raising=False)
    add(viewer, columns)
    panel.start()
    finish(panel, qtbot)
    assert "pip install 'stem-plugins[torch]'" in panel.message.text()


def test_the_copied_code_restores_the_same_image(viewer, panel, columns, qtbot):
    add(viewer, columns)
    panel.fast_scan.setCurrentIndex(1)
    run(panel, qtbot)
    panel.copy.click()
    names = {}
    exec(QGuiApplication.clipboard().text(), names)
    np.testing.assert_array_equal(names["restored"], viewer.layers["ADF restored"].data)


def test_results_stay_where_the_image_is_in_its_scale(viewer, panel, columns, qtbot):
    layer = add(viewer, columns)
    panel.evidence.setChecked(True)
    run(panel, qtbot)
    layer.scale, layer.translate = (0.05, 0.04), (1, 2)
    qtbot.waitUntil(lambda: tuple(viewer.layers["ADF restored"].scale) == (0.05, 0.04))
    layer.units = ("um", "um")
    qtbot.waitUntil(lambda: str(viewer.layers["ADF restored"].units[0]) == "micrometer")
    for other in viewer.layers:
        np.testing.assert_array_equal(other.scale, layer.scale)
        np.testing.assert_array_equal(other.translate, layer.translate)
        assert other.units == layer.units
    assert acquisition_of(viewer.layers["ADF restored"]).scan_step == pytest.approx((500, 400))


def test_new_data_in_the_layer_are_another_image(viewer, panel, columns, qtbot):
    layer = add(viewer, columns)
    run(panel, qtbot)
    layer.data = columns[:40, :50].copy()
    assert not panel.views["Divided"].isEnabled()
    assert [each.name for each in viewer.layers] == ["ADF", "ADF restored"]
    panel.divider.setValue(200)
    run(panel, qtbot)
    assert viewer.layers["ADF | restored"].data.shape == (40, 50)


class SlowRestore:
    """Restores nothing, and that slowly."""

    def __init__(self):
        self.reports = 0
        self.ended = threading.Event()

    def __call__(self, image, *, callback, **options):
        try:
            while True:
                self.reports += 1
                callback(0.25)
                time.sleep(0.02)
        finally:
            self.ended.set()


@pytest.fixture
def slow(monkeypatch):
    slow = SlowRestore()
    monkeypatch.setattr(stem_plugins, "restore", slow, raising=False)
    return slow


def test_restoring_shows_progress_and_can_be_cancelled(viewer, panel, slow, columns, qtbot):
    add(viewer, columns)
    panel.start()
    qtbot.waitUntil(lambda: panel.progress.value() == 250, timeout=10_000)
    assert panel.cancel.isVisible()
    panel.cancel.click()
    assert panel.message.text() == "Stopped."
    assert panel.run.isVisible()
    assert slow.ended.wait(5)
    qtbot.wait(50)
    assert [layer.name for layer in viewer.layers] == ["ADF"]


def test_new_data_stop_the_restoration_of_those_before(viewer, panel, slow, columns, qtbot):
    layer = add(viewer, columns)
    panel.start()
    qtbot.waitUntil(lambda: slow.reports > 2, timeout=10_000)
    layer.data = columns[:40, :50].copy()
    assert slow.ended.wait(5)
    assert panel.message.text() == "Stopped: the image is another one now."
    qtbot.wait(50)
    assert [each.name for each in viewer.layers] == ["ADF"]


@pytest.mark.parametrize("how", ["window", "viewer", "layer", "panel"])
def test_closing_stops_the_restoration(own_viewer, slow, columns, qtbot, how):
    panel = RestorePanel(own_viewer)
    own_viewer.window.add_dock_widget(panel, name="Restore")
    add(own_viewer, columns)
    panel.start()
    qtbot.waitUntil(lambda: slow.reports > 2, timeout=10_000)
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
