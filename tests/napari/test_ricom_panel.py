"""The riCOM panel in a real viewer that draws."""

import re
import threading
import time

import dask.array as da
import h5py
import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtGui import QGuiApplication
from rsciio.tiff import file_reader as read_tiff

from stem_plugins import Acquisition
from stem_plugins.imaging import field_colors, moments, ricom, vector_field
from stem_plugins.io import Scan, write_merlin
from stem_plugins.napari.layers import acquisition_of, scan_layer
from stem_plugins.napari.planes import flat_image
from stem_plugins.napari.reader import read_scan_layers
from stem_plugins.napari.ricom_model import IMAGE_NAMES
from stem_plugins.napari.sample_data import _simulate
from stem_plugins.napari.view import grid_of, scale_bar_of
from stem_plugins.napari.widgets.ricom import RicomPanel
from stem_plugins.napari.widgets.saving import save_results


@pytest.fixture(scope="module")
def shared_panel(shared_viewer):
    panel = RicomPanel(shared_viewer)
    shared_viewer.window.add_dock_widget(panel, name="riCOM")
    yield panel
    panel.close_panel()


@pytest.fixture
def viewer(shared_viewer):
    """The viewer of all tests but those that close it, without layers."""
    yield shared_viewer
    grid_of(shared_viewer).enabled = False
    shared_viewer.layers.clear()


@pytest.fixture
def panel(viewer, shared_panel):
    """The panel as it comes: riCOM chosen, every first tab in front."""
    yield shared_panel
    shared_panel.stop()
    shared_panel.side_by_side.setChecked(False)
    viewer.layers.clear()
    for name, box in shared_panel.choice.boxes.items():
        box.setChecked(name == "riCOM")
    for tabs in (shared_panel.controls, shared_panel.plots):
        tabs.setCurrentIndex(0)


def add(viewer, scan, name="scan"):
    return viewer.add_layer(Layer.create(*scan_layer(scan, name)))


def run(panel, qtbot):
    panel.start()
    qtbot.waitUntil(lambda: panel.worker is None, timeout=30_000)


class Gate:
    """Data whose blocks wait, so that something can happen while the pass runs."""

    def __init__(self, counts):
        self.open, self.closed = threading.Event(), False
        blocks = da.from_array(counts, chunks=(2, 14, 16, 16))
        self.data = blocks.map_blocks(
            self._wait, dtype=counts.dtype, meta=np.empty((0,) * 4, counts.dtype)
        )

    def _wait(self, block, block_info=None):
        row = block_info[0]["chunk-location"][0]
        if row >= 2 and self.closed:
            self.open.wait(20)
        return block

    def start(self, viewer, panel, qtbot):
        """Show the data, start the pass, and wait for the image of the first rows."""
        layer = add(viewer, Scan(self.data, Acquisition(center=(7.5, 7.2))))
        self.closed = True
        panel.start()
        qtbot.waitUntil(lambda: "riCOM" in panel.images.results, timeout=20_000)
        return layer


@pytest.fixture
def gate(counts):
    gate = Gate(counts)
    yield gate
    gate.open.set()


def shown(panel, name):
    return flat_image(panel.images.results.layer(name))


def test_a_run_shows_the_calibrated_image_on_the_scan_plane(viewer, panel, scan, qtbot):
    layer = add(viewer, scan)
    run(panel, qtbot)
    field = vector_field(moments(scan.data).com, scan.acquisition)
    expected = ricom(field.vectors, panel.settings.kernel_size, scan_step=field.scan_step)
    np.testing.assert_allclose(shown(panel, "riCOM"), expected, atol=1e-9)
    result = panel.images.results.layer("riCOM")
    assert result.metadata["unit"] == "rad"
    np.testing.assert_allclose(result.scale[:2], (0.2, 0.25))
    assert tuple(viewer.dims.displayed) == (0, 1)
    assert not layer.visible
    assert result.visible
    assert scale_bar_of(viewer).visible


def test_all_images_follow_all_controls(viewer, panel, scan, qtbot):
    add(viewer, scan)
    for box in panel.choice.boxes.values():
        box.setChecked(True)
    run(panel, qtbot)
    form, orientation = panel.kernel_form, panel.orientation
    changes = {
        "kernel": lambda: form.kernel_size.setValue(9),
        "even kernel": lambda: form.kernel_size.setValue(10),
        "low": lambda: form.low.setValue(0.2),
        "high": lambda: form.high.setValue(1.5),
        "rotation": lambda: orientation.rotation.setValue(70),
        "flip": lambda: orientation.flip_y.setChecked(True),
        "own centre": lambda: orientation.mean_center.setChecked(False),
        "centre": lambda: orientation.center[0].setValue(6.5),
        "descan": lambda: orientation.descan.setCurrentIndex(1),
        "detector": lambda: form.inner.setValue(3.0),
        "energy": lambda: panel.calibration.beam_energy.setValue(60),
        "scan step": lambda: panel.calibration.scan_step[1].setValue(3.0),
        "detector pixel": lambda: panel.calibration.diffraction_step[0].setValue(1.2),
    }
    for name, change in changes.items():
        change()
        panel.images.finish()
        names: dict = {}
        exec(panel.python_code(), names)
        for image in IMAGE_NAMES:
            np.testing.assert_allclose(
                shown(panel, image), names["images"][image], atol=1e-8, err_msg=f"{image}: {name}"
            )
    np.testing.assert_allclose(panel.images.results.layer("iCOM").scale[:2], (0.2, 0.3))
    assert panel.settings.kernel_size == 11


def test_copied_code_makes_the_image_from_the_file(viewer, panel, counts, tmp_path, qtbot):
    acquisition = Acquisition(scan_step=3.0, scan_rotation=12)
    write_merlin(tmp_path / "scan.mib", counts, acquisition=acquisition)
    viewer.open(str(tmp_path / "scan.mib"), plugin="stem-plugins")
    run(panel, qtbot)
    panel.copy.click()
    names: dict = {}
    exec(QGuiApplication.clipboard().text(), names)
    assert names["acquisition"].scan_step == (3.0, 3.0)
    np.testing.assert_allclose(names["images"]["riCOM"], shown(panel, "riCOM"), atol=1e-10)


def test_the_measured_scan_gives_the_image_of_the_array_functions(
    viewer, panel, data_dir, tmp_path, qtbot
):
    with h5py.File(data_dir / "fourd" / "ptychojl_64x64_bin4_48x48_u16.h5") as file:
        data = file["data"][()]
    acquisition = Acquisition(
        beam_energy=300,
        convergence_angle=1.03,
        scan_step=31.25,
        diffraction_step=4 * 1.03 / 60.6,  # binned by 4; the bright field has a radius of 60.6 px
        scan_rotation=-126,
    )
    write_merlin(tmp_path / "measured.mib", data, acquisition=acquisition)
    viewer.open(str(tmp_path / "measured.mib"), plugin="stem-plugins")
    run(panel, qtbot)
    field = vector_field(moments(data).com, acquisition)
    expected = ricom(field.vectors, 21, scan_step=31.25)
    np.testing.assert_allclose(shown(panel, "riCOM"), expected, atol=1e-10)
    np.testing.assert_allclose(panel.images.results.layer("riCOM").scale[:2], 3.125)


def test_the_image_fills_while_the_pass_runs_and_cancel_keeps_it(viewer, panel, gate, qtbot):
    gate.start(viewer, panel, qtbot)
    assert panel.worker is not None
    assert panel.kept.seen.tolist() == [True] * 4 + [False] * 8
    panel.kernel_form.kernel_size.setValue(5)  # also now
    part = shown(panel, "riCOM").copy()
    assert part[:4].any()
    np.testing.assert_allclose(part[7:], 0, atol=1e-12)  # out of the kernel's reach
    panel.cancel.click()
    gate.open.set()
    qtbot.wait(100)
    assert panel.worker is None
    assert panel.kept.seen.sum() == 4
    np.testing.assert_array_equal(shown(panel, "riCOM"), part)
    run(panel, qtbot)
    assert panel.kept.seen.all()


def test_removing_the_scan_during_a_run_stops_it(viewer, panel, gate, qtbot):
    layer = gate.start(viewer, panel, qtbot)
    viewer.layers.remove(layer)
    assert panel.worker is None
    assert not panel.run.isEnabled()
    assert "Open a 4D-STEM scan" in panel.message.text()
    gate.open.set()
    qtbot.wait(100)
    assert "riCOM" in viewer.layers  # belongs to the user


def test_removing_the_image_during_a_run_is_a_choice(viewer, panel, gate, qtbot):
    gate.start(viewer, panel, qtbot)
    viewer.layers.remove("riCOM")
    assert panel.choice.names() == []
    gate.open.set()
    qtbot.waitUntil(lambda: panel.worker is None, timeout=20_000)
    assert [layer.name for layer in viewer.layers] == ["scan"]
    panel.choice.boxes["iCOM"].setChecked(True)
    assert "iCOM" in viewer.layers


def test_missing_calibration_can_be_typed_in_and_shows_at_once(viewer, panel, counts, qtbot):
    layer = add(viewer, Scan(counts))
    run(panel, qtbot)
    result = panel.images.results.layer("riCOM")
    assert [str(unit) for unit in result.units[:2]] == ["pixel", "pixel"]
    assert result.metadata["unit"] == "px·px"
    assert "scale bars are in scan positions" in panel.calibration.extent.text()
    panel.calibration.scan_step[0].setValue(4.0)  # the other side follows
    assert [str(unit) for unit in result.units[:2]] == ["nanometer", "nanometer"]
    np.testing.assert_allclose(result.scale[:2], 0.4)
    np.testing.assert_allclose(layer.scale[:2], 0.4)
    panel.calibration.diffraction_step[1].setValue(2.0)
    panel.calibration.beam_energy.setValue(200)
    assert result.metadata["unit"] == "rad"
    assert acquisition_of(layer) == Acquisition(scan_step=4, diffraction_step=2, beam_energy=200)
    assert "covers 4.8 × 5.6 nm" in panel.calibration.extent.text()


def test_the_filter_is_shown_in_inverse_nanometres(viewer, panel, counts):
    add(viewer, Scan(counts))
    panel.kernel_form.low.setValue(0.1)
    assert panel.kernel_form.low.suffix() == " px⁻¹"
    panel.calibration.scan_step[0].setValue(2.0)
    assert panel.kernel_form.low.suffix() == " nm⁻¹"
    assert panel.kernel_form.low.value() == pytest.approx(0.5)  # 0.1 per 0.2 nm
    assert panel.settings.low == pytest.approx(0.05)  # per Å


def test_a_reversed_filter_is_explained_and_changes_nothing(viewer, panel, scan, qtbot):
    add(viewer, scan)
    run(panel, qtbot)
    panel.kernel_form.high.setValue(1.0)
    before = shown(panel, "riCOM").copy()
    panel.kernel_form.low.setValue(1.5)
    assert "reversed" in panel.message.text()
    np.testing.assert_array_equal(shown(panel, "riCOM"), before)
    panel.kernel_form.low.setValue(0.5)
    assert not panel.message.text()


def test_nan_is_explained(viewer, panel, counts, qtbot):
    data = counts.astype(np.float32)
    data[2, 3, 4, 5] = np.nan
    add(viewer, Scan(data))
    run(panel, qtbot)
    assert "(2, 3) holds NaN" in panel.message.text()
    assert "riCOM" not in viewer.layers


def test_the_estimate_finds_a_known_rotation(viewer, panel, qtbot):
    (layer_data,) = _simulate((40, 40))
    viewer.add_layer(Layer.create(*layer_data))
    panel.estimate()
    assert "Run first" in panel.message.text()
    run(panel, qtbot)
    panel.orientation.rotation.setValue(-80)
    panel.orientation.estimate.click()
    assert acquisition_of(panel.scan_layer).scan_rotation == pytest.approx(15, abs=1.5)
    assert "% sure" in panel.orientation.estimated.text()


def test_an_unsure_estimate_is_shown_but_not_used(viewer, panel, qtbot):
    noise = np.random.default_rng(1).poisson(5, (16, 16, 8, 8)).astype(np.uint8)
    add(viewer, Scan(noise, Acquisition(scan_rotation=42)))
    run(panel, qtbot)
    panel.orientation.estimate.click()
    assert acquisition_of(panel.scan_layer).scan_rotation == 42
    assert "too little" in panel.orientation.estimated.text()
    panel.orientation.use_anyway.click()
    assert acquisition_of(panel.scan_layer).scan_rotation != 42


def test_results_are_saved_and_nothing_is_overwritten(viewer, panel, scan, tmp_path, qtbot):
    add(viewer, scan)
    panel.choice.boxes["Annular detector"].setChecked(True)
    run(panel, qtbot)
    written = save_results(tmp_path / "a.tif", panel.images.results)
    assert [path.name for path in written] == ["a_riCOM.tif", "a_Annular-detector.tif"]
    (signal,) = read_tiff(written[0])
    np.testing.assert_allclose(signal["data"], shown(panel, "riCOM"), rtol=1e-6)
    np.testing.assert_allclose([axis["scale"] for axis in signal["axes"]], (0.2, 0.25), rtol=1e-6)
    written[1].unlink()
    with pytest.raises(FileExistsError, match=r"a_riCOM\.tif exist already"):
        save_results(tmp_path / "a.tif", panel.images.results)
    assert not written[1].exists()


def test_the_scan_shape_can_be_set(viewer, panel, counts, tmp_path, qtbot):
    write_merlin(tmp_path / "scan.mib", counts)
    (tmp_path / "scan.hdr").unlink()
    with pytest.warns(UserWarning, match="one line of 168 frames"):
        (layer_data,) = read_scan_layers(str(tmp_path / "scan.mib"))
    viewer.add_layer(Layer.create(*layer_data))
    panel.rows.setValue(12)
    panel.columns.setValue(15)
    panel.set_shape.click()
    assert "180 frames; the layer holds 168" in panel.message.text()
    panel.columns.setValue(14)
    panel.set_shape.click()
    assert not panel.message.text()
    run(panel, qtbot)
    assert shown(panel, "riCOM").shape == (12, 14)


def test_patterns_and_images_take_turns(viewer, panel, scan, qtbot):
    layer = add(viewer, scan)
    panel.choice.boxes["iCOM"].setChecked(True)
    run(panel, qtbot)
    panel.side_by_side.setChecked(True)
    results = [panel.images.results.layer(name) for name in ("riCOM", "iCOM")]
    results[1].visible = False
    panel.patterns_view.click()
    assert tuple(viewer.dims.displayed) == (2, 3)
    assert layer.visible
    assert not any(result.visible for result in results)
    assert not grid_of(viewer).enabled
    panel.images_view.click()
    assert tuple(viewer.dims.displayed) == (0, 1)
    assert not layer.visible
    assert [result.visible for result in results] == [True, False]
    assert grid_of(viewer).enabled


def test_another_scan_starts_anew(viewer, panel, scan, counts, qtbot):
    add(viewer, scan)
    run(panel, qtbot)
    second = add(viewer, Scan(counts[:9], Acquisition(scan_step=7)), "second")
    panel.scans.setCurrentIndex(panel.scans.findText("second"))
    assert panel.scan_layer == second
    assert panel.kept is None
    run(panel, qtbot)
    assert [layer.name for layer in viewer.layers] == ["scan", "riCOM", "second", "riCOM [1]"]
    np.testing.assert_allclose(viewer.layers["riCOM"].scale[:2], (0.2, 0.25))
    np.testing.assert_allclose(viewer.layers["riCOM [1]"].scale[:2], 0.7)


def test_own_contrast_is_kept(viewer, panel, scan, qtbot):
    add(viewer, scan)
    run(panel, qtbot)
    result = panel.images.results.layer("riCOM")
    automatic = tuple(result.contrast_limits)
    panel.kernel_form.kernel_size.setValue(5)
    assert tuple(result.contrast_limits) != automatic
    result.contrast_limits = (-0.5, 0.25)
    panel.kernel_form.kernel_size.setValue(7)
    assert tuple(result.contrast_limits) == (-0.5, 0.25)


def test_plots_follow(viewer, panel, scan, qtbot):
    add(viewer, scan)
    run(panel, qtbot)
    assert panel.plots.fourier.caption == "FFT of riCOM"
    panel.choice.boxes["iCOM"].setChecked(True)
    panel.images.finish()
    viewer.layers.selection.active = panel.images.results.layer("iCOM")
    assert panel.plots.fourier.caption == "FFT of iCOM"
    panel.plots.setCurrentWidget(panel.plots.kernel)
    qtbot.waitUntil(lambda: bool(panel.plots.kernel.axes.lines), timeout=10_000)
    assert panel.plots.kernel.axes.get_xlabel() == "frequency [nm⁻¹]"


def test_changes_act_within_50_ms_on_a_large_scan(viewer, panel, qtbot):
    data = np.random.default_rng(0).poisson(2, (256, 256, 8, 8)).astype(np.uint8)
    add(viewer, Scan(data, Acquisition(scan_step=2, diffraction_step=1, beam_energy=200)))
    run(panel, qtbot)
    form, orientation = panel.kernel_form, panel.orientation
    for name, change, values in (
        ("kernel", form.kernel_size.setValue, range(25, 105, 8)),
        ("filter", form.low.setValue, np.linspace(0.1, 0.5, 8)),
        ("rotation", orientation.rotation.setValue, range(10, 90, 10)),
        ("descan", orientation.descan.setCurrentIndex, (1, 2, 0, 1, 2, 0)),
    ):
        seconds = []
        for value in values:
            before = shown(panel, "riCOM").copy()
            start = time.process_time()  # which other work on the machine leaves alone
            change(value)
            seconds.append(time.process_time() - start)
            assert not np.array_equal(shown(panel, "riCOM"), before), name
            qtbot.wait(1)
        assert min(seconds) < 0.05, name


def test_removing_everything_leaves_no_trace_of_the_scan(viewer, panel, scan, counts, qtbot):
    add(viewer, scan)
    run(panel, qtbot)
    panel.orientation.estimate.click()
    assert "%" in panel.orientation.estimated.text()
    viewer.layers.clear()
    add(viewer, Scan(counts[:9]), "second")
    assert panel.plots.fourier.caption == ""
    assert panel.orientation.estimated.text().startswith("Run first")
    assert not panel.orientation.use_anyway.isVisible()
    # Its image went with the scan; a run without any image would look like a failure.
    assert panel.choice.names() == []
    run(panel, qtbot)
    assert "riCOM" in viewer.layers


def test_the_colour_wheel_shows_the_directions_of_the_field(panel):
    wheel = panel.choice.boxes["Electric field"].icon().pixmap(64, 64).toImage()
    edge = wheel.width() - 1
    middle = edge // 2

    def color(y, x):
        return wheel.pixelColor(x, y).getRgb()[:3]

    places = {(0, 1): (middle, edge - 1), (-1, 0): (1, middle), (0, -1): (middle, 1)}
    for vector, place in places.items():
        expected = field_colors(np.array([[vector]], float))[0, 0]
        np.testing.assert_allclose(color(*place), expected, atol=16)
    assert wheel.pixelColor(0, 0).alpha() == 0


def test_new_data_in_the_layer_are_another_scan(viewer, panel, scan, counts, qtbot):
    layer = add(viewer, scan)
    run(panel, qtbot)
    layer.data = counts[:9, :10].copy()
    assert (panel.rows.value(), panel.columns.value()) == (9, 10)
    assert panel.kept is None
    run(panel, qtbot)
    assert panel.message.text() == ""
    assert shown(panel, "riCOM").shape == (9, 10)


def test_a_scale_given_in_napari_is_that_of_panel_and_images(viewer, panel, scan, qtbot):
    layer = add(viewer, scan)
    run(panel, qtbot)
    panel.kernel_form.low.setValue(0.5)
    before = shown(panel, "riCOM").copy()
    layer.scale = (0.5, 0.5, 1.5, 1.5)
    qtbot.waitUntil(lambda: panel.calibration.scan_step[0].value() == 5.0)
    result = panel.images.results.layer("riCOM")
    np.testing.assert_allclose(result.scale[:2], 0.5)
    assert acquisition_of(layer).scan_step == (5.0, 5.0)
    # The same cycles per scan position, whose mean step was 2.236 Å.
    assert panel.kernel_form.low.value() == pytest.approx(0.5 * np.sqrt(5.0) / 5, rel=1e-3)
    panel.images.finish()
    assert np.corrcoef(shown(panel, "riCOM").ravel(), before.ravel())[0, 1] > 0.9


def test_beside_a_series_of_scans_the_images_are_shown_too(viewer, panel, scan, qtbot):
    viewer.add_image(np.zeros((2, *scan.data.shape), np.uint8), name="series")
    add(viewer, scan)
    run(panel, qtbot)
    assert tuple(viewer.dims.displayed) == (1, 2)
    assert panel.images_view.isChecked()
    panel.patterns_view.click()
    assert tuple(viewer.dims.displayed) == (3, 4)


def test_infinite_pixels_are_explained(viewer, panel, qtbot):
    add(viewer, Scan(np.full((4, 4, 8, 8), np.inf, np.float32)))
    run(panel, qtbot)
    assert "(0, 0) holds NaN or infinite pixels" in panel.message.text()


def test_a_hot_pixel_is_left_out_as_the_panel_says(viewer, panel, counts, qtbot):
    hot = counts.copy()
    hot[..., 4, 5] = 255
    layer = add(viewer, Scan(hot, largest_count=255))
    run(panel, qtbot)
    words = panel.findings.text()
    assert "168 of 168 patterns are saturated" in words
    assert "mask=" not in words
    assert "Mean of all patterns" in words
    assert panel.orientation.mean_center.text() == "Mean of all patterns"
    advised = re.search(r"in the console, and run again: (.*)\.$", words).group(1)
    exec(advised, {"viewer": viewer, "NAME": "scan", "ky": 4, "kx": 5})
    assert (hot[..., 4, 5] == 255).all()
    run(panel, qtbot)
    assert panel.findings.text() == ""
    expected = counts.copy()
    expected[..., 4, 5] = 0
    np.testing.assert_allclose(panel.kept.com, moments(expected, center=(0, 0)).com)
    assert layer.data is not hot


def test_nan_is_replaced_as_the_panel_says(viewer, panel, counts, qtbot):
    data = counts.astype(np.float32)
    data[2, 3, 4, 5] = np.nan
    add(viewer, Scan(data))
    run(panel, qtbot)
    advised = re.search(r"in the console: (.*)\.$", panel.message.text()).group(1)
    exec(advised, {"viewer": viewer, "NAME": "scan", "numpy": np})
    run(panel, qtbot)
    assert panel.message.text() == ""
    assert "riCOM" in viewer.layers


def test_unusable_patterns_are_told_of_until_the_next_run(viewer, panel, counts, qtbot):
    data = counts.copy()
    data[2, 3, 4, 5] = data[6, 7, 8, 9] = 255
    data[1, 1] = 0
    layer = add(viewer, Scan(data, largest_count=255))
    run(panel, qtbot)
    saturated, empty = panel.findings.text().splitlines()
    assert saturated.startswith(
        "2 of 168 patterns are saturated, the first at scan position (2, 3)"
    )
    assert empty.startswith("1 of 168 patterns are empty, the first at scan position (1, 1)")
    assert panel.findings.isVisible()
    panel.kernel_form.kernel_size.setValue(5)
    assert panel.findings.isVisible()
    layer.data = counts
    run(panel, qtbot)
    assert not panel.findings.isVisible()
    add(viewer, Scan(counts - 2.0 * counts.mean()), "below zero")
    panel.scans.setCurrentIndex(panel.scans.findText("below zero"))
    run(panel, qtbot)
    assert "168 of 168 patterns are below zero in sum" in panel.findings.text()


def test_one_impossible_image_leaves_the_others(viewer, panel, counts, qtbot):
    add(viewer, Scan(counts[:1]))
    for box in panel.choice.boxes.values():
        box.setChecked(True)
    run(panel, qtbot)
    assert "divergence needs two rows" in panel.message.text()
    assert {layer.name for layer in viewer.layers} == {"scan", *IMAGE_NAMES} - {"Divergence"}


def test_images_nobody_sees_and_thumbnails_follow_after_a_pause(viewer, panel, scan, qtbot):
    add(viewer, scan)
    panel.choice.boxes["iCOM"].setChecked(True)
    run(panel, qtbot)
    hidden, front = (panel.images.results.layer(name) for name in ("riCOM", "iCOM"))
    before = [np.array(layer.data) for layer in (hidden, front)]
    thumbnail = np.array(front.thumbnail)
    panel.orientation.rotation.setValue(80)
    assert not np.array_equal(front.data, before[1])
    np.testing.assert_array_equal(hidden.data, before[0])
    qtbot.waitUntil(lambda: not np.array_equal(hidden.data, before[0]), timeout=5_000)
    qtbot.waitUntil(lambda: not np.array_equal(front.thumbnail, thumbnail), timeout=5_000)
    # Side by side both are seen.
    panel.side_by_side.setChecked(True)
    assert panel.images.results.on_screen() == ["iCOM", "riCOM"]


def test_a_filter_beyond_the_scan_is_explained_in_the_unit_of_the_form(viewer, panel, scan, qtbot):
    add(viewer, scan)
    run(panel, qtbot)
    panel.kernel_form.low.setValue(19.0)
    # Steps of 0.2 and 0.25 nm: √(2.5² + 2²) per nm.
    assert "low=19.0 lies beyond the highest frequency of this scan, 3.202" in panel.message.text()
    assert "in nm⁻¹" in panel.message.text()


def test_a_corrected_height_of_a_pixel_takes_its_width_along(viewer, panel, counts):
    layer = add(viewer, Scan(counts))
    y, x = panel.calibration.scan_step
    y.setValue(80.0)
    y.setValue(8.0)
    assert acquisition_of(layer).scan_step == (8.0, 8.0)
    x.setValue(9.0)
    y.setValue(7.0)
    assert acquisition_of(layer).scan_step == (7.0, 9.0)


def test_a_new_scale_comes_into_view(viewer, panel, scan, qtbot):
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    add(viewer, scan)
    run(panel, qtbot)
    zoom = camera.zoom
    panel.calibration.scan_step[1].setValue(25.0)
    panel.calibration.scan_step[0].setValue(20.0)
    qtbot.waitUntil(lambda: camera.zoom == pytest.approx(zoom / 10, rel=0.05), timeout=5_000)


def test_the_panel_fits_a_low_window_and_scrolls(viewer, panel, scan):
    add(viewer, scan)
    assert panel.minimumSizeHint().height() < 520
    area = panel.controls.currentWidget()
    assert area.minimumSizeHint().width() >= area.widget().minimumSizeHint().width()


def test_colours_that_a_format_cannot_hold_do_not_stop_the_others(
    viewer, panel, scan, tmp_path, qtbot
):
    add(viewer, scan)
    panel.choice.boxes["Electric field"].setChecked(True)
    run(panel, qtbot)
    written = save_results(tmp_path / "a.zspy", panel.images.results)
    assert [path.name for path in written] == ["a_riCOM.zspy"]
    panel.choice.boxes["riCOM"].setChecked(False)
    with pytest.raises(ValueError, match=r"\.tif and \.png"):
        save_results(tmp_path / "b.npy", panel.images.results)


def test_a_file_that_went_away_is_named(viewer, panel, scan, tmp_path, qtbot):
    path = tmp_path / "gone.mib"
    write_merlin(path, scan.data)
    viewer.add_layer(Layer.create(*read_scan_layers(str(path))[0]))
    path.unlink()
    panel.start()
    qtbot.waitUntil(lambda: panel.worker is None, timeout=20_000)
    assert "gone.mib is no longer there" in panel.message.text()
