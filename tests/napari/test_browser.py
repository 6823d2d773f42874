"""The 4D-STEM browser in a real viewer that draws, with a real mouse."""

import itertools

import numpy as np
import pytest
from napari.layers import Image, Layer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QGuiApplication

from stem_plugins import Acquisition
from stem_plugins.io import Scan, write_merlin
from stem_plugins.napari.binned_scan import BinnedScan
from stem_plugins.napari.browser import BrowserWidget
from stem_plugins.napari.layers import acquisition_of, scan_layer, set_acquisition
from stem_plugins.napari.planes import flat_image
from stem_plugins.napari.regions import Annulus, Rectangle
from stem_plugins.napari.view import scale_bar_of


@pytest.fixture(scope="module")
def shared_browser(shared_viewer):
    browser = BrowserWidget(shared_viewer)
    shared_viewer.window.add_dock_widget(browser, name="4D-STEM browser")
    yield browser
    browser.close_browser()


@pytest.fixture
def viewer(shared_viewer):
    """The viewer of all tests but those that close it, without layers."""
    shared_viewer.layers.clear()
    return shared_viewer


def set_back(browser):
    """Let the browser show what it shows at first of the scan that it has, if it has one."""
    browser.stop()
    browser.intensity.setCurrentIndex(0)
    browser.unit.setCurrentIndex(0)
    for box in (browser.averaged, browser.com_cross):
        box.setChecked(False)
    if browser.scan is not None:
        browser.editor.clear()
        browser.add_preset("BF")
        browser.move_probe(*(n // 2 for n in browser.scan.data.shape[:2]))


@pytest.fixture
def browser(viewer, shared_browser, qtbot):
    """The browser as it comes, without a scan."""
    qtbot.waitExposed(shared_browser)
    set_back(shared_browser)
    return shared_browser


def add(viewer, scan, name="scan"):
    return viewer.add_layer(Layer.create(*scan_layer(scan, name)))


def rest(browser, qtbot):
    """Wait until everything is read and the image is exact."""
    qtbot.waitUntil(lambda: browser.detector_image.is_at_rest, timeout=20_000)


@pytest.fixture
def opened(shared_viewer, shared_browser, scan, qtbot):
    """The browser with a scan that was read, by this test or by one before."""
    layer = shared_browser.scan_layer
    as_before = (
        [layer] == list(shared_viewer.layers)
        and layer.data is scan.data
        and acquisition_of(layer) == scan.acquisition
        and shared_browser.images.binned.is_complete
    )
    if not as_before:
        shared_viewer.layers.clear()
        add(shared_viewer, scan)
    set_back(shared_browser)
    rest(shared_browser, qtbot)
    return shared_browser


def shown_image(browser):
    return np.asarray(browser.scan_canvas.image.data)


def shown_pattern(browser):
    return np.asarray(browser.diffraction_canvas.image.data)


def sum_over(counts, mask):
    return (counts * mask).sum(axis=(2, 3))


def at(canvas, point):
    """Place on screen of a place on a canvas's image [px]."""
    world = np.array(canvas.image.data_to_world(point))
    center = np.array(canvas.camera.center[-2:])
    y, x = (world - center) * canvas.camera.zoom
    native = canvas.qt_viewer.canvas.native
    return QPoint(round(native.width() / 2 + x), round(native.height() / 2 + y))


def drag(qtbot, canvas, *points, modifier=Qt.KeyboardModifier.NoModifier):
    """Press at the first point [px], move over the others, let go at the last."""
    native = canvas.qt_viewer.canvas.native
    qtbot.mousePress(native, Qt.MouseButton.LeftButton, modifier, at(canvas, points[0]))
    places = [at(canvas, point) for point in points]
    for before, place in itertools.pairwise(places):
        cursor = tuple(canvas.model.cursor.position)
        qtbot.mouseMove(native, place)
        if place != before:  # a busy machine passes the mouse on late
            qtbot.waitUntil(lambda c=cursor: tuple(canvas.model.cursor.position) != c)
        qtbot.wait(20)
        yield place
    qtbot.mouseRelease(native, Qt.MouseButton.LeftButton, pos=places[-1])


def finish(steps):
    for _ in steps:
        pass


# The two canvases


def test_a_calibrated_scan_is_shown_with_its_bright_field(shared_viewer, opened, counts):
    image, pattern = opened.scan_canvas.image, opened.diffraction_canvas.image
    np.testing.assert_allclose(image.scale, (0.2, 0.25))
    assert [f"{unit:~}" for unit in image.units] == ["nm", "nm"]
    np.testing.assert_allclose(pattern.scale, (1.5, 1.5))
    assert [f"{unit:~}" for unit in pattern.units] == ["mrad", "mrad"]
    for canvas in (opened.scan_canvas, opened.diffraction_canvas):
        assert scale_bar_of(canvas.model).visible
    opened.unit.setCurrentText("1/nm")
    pattern = opened.diffraction_canvas.image
    # 200 kV: 1.5 mrad are 0.5981 1/nm.
    np.testing.assert_allclose(pattern.scale, (0.5981, 0.5981), rtol=1e-3)
    assert [f"{unit:~}" for unit in pattern.units] == ["1 / nm", "1 / nm"]

    assert [layer.name for layer in shared_viewer.layers] == ["scan"]
    assert shared_viewer.dims.ndim == 4

    opened.unit.setCurrentText("mrad")
    # 4 mrad at 1.5 mrad per pixel.
    (bright_field,) = opened.editor.detectors
    assert bright_field.name == "BF"
    assert bright_field.region.outer == 4.0
    y, x = np.indices((16, 16))
    center = bright_field.region.center
    mask = np.hypot(y - center[0], x - center[1]) < 4 / 1.5
    np.testing.assert_array_equal(shown_image(opened), sum_over(counts, mask))
    assert opened.scan_canvas.title.text() == "Scan: BF"


def test_a_scan_without_calibration_is_shown_in_pixels(viewer, browser, counts, qtbot):
    add(viewer, Scan(counts))
    rest(browser, qtbot)
    assert browser.unit.currentText() == "px"
    np.testing.assert_array_equal(browser.scan_canvas.image.scale, (1, 1))
    np.testing.assert_array_equal(browser.diffraction_canvas.image.translate, (0, 0))
    assert not browser.form.lengths[0].isVisible()
    assert "α was measured" in browser.message.text()
    (bright_field,) = browser.editor.detectors
    assert bright_field.region.outer == pytest.approx(3, abs=0.8)


def test_patterns_on_every_intensity_scale_and_what_is_on_screen(opened, counts, qtbot):
    qtbot.wait(100)
    for canvas, color in (
        (opened.scan_canvas, (255, 59, 48)),
        (opened.diffraction_canvas, (57, 213, 255)),
    ):
        picture = canvas.qt_viewer.canvas.screenshot()
        picture = picture.convertToFormat(picture.Format.Format_RGB888)
        rows = np.frombuffer(picture.constBits(), np.uint8).reshape(picture.height(), -1)
        pixels = rows[:, : 3 * picture.width()].reshape(picture.height(), picture.width(), 3)
        distance = abs(pixels.astype(int) - color).max(axis=2)
        # No grey is as near as that.
        assert (distance < 90).sum() > 20, canvas.title.text()
        assert len(np.unique(pixels)) > 20

    opened.move_probe(3, 4)
    opened.intensity.setCurrentText("logarithmic")
    np.testing.assert_allclose(shown_pattern(opened), np.log10(1 + counts[3, 4]), rtol=1e-5)
    opened.intensity.setCurrentText("linear")
    opened.com_cross.setChecked(True)
    opened.averaged.setChecked(True)
    np.testing.assert_allclose(shown_pattern(opened), counts.mean(axis=(0, 1)), rtol=1e-6)
    arms = opened.diffraction_canvas.model.layers["centre of mass"].data[:, 0]
    mean = counts.mean(axis=(0, 1))
    expected = [(mean * place).sum() / mean.sum() for place in np.indices((16, 16))]
    np.testing.assert_allclose(arms.mean(axis=0), expected, atol=1e-5)
    opened.move_probe(3, 4)
    assert not opened.averaged.isChecked()
    np.testing.assert_array_equal(shown_pattern(opened), counts[3, 4])


# The probe


def test_mouse_and_arrow_keys_move_the_probe_inside_the_scan(opened, counts, qtbot):
    for point in drag(qtbot, opened.scan_canvas, (2, 3), (5, 6), (9.2, 11.4)):
        np.testing.assert_array_equal(shown_pattern(opened), counts[opened.probe])
        assert point is not None
    assert opened.probe == (9, 11)
    assert "y 9, x 11  (1.8, 2.75 nm)" in opened.probe_label.text()

    finish(drag(qtbot, opened.scan_canvas, (2, 3), (-30, 40)))
    assert opened.probe == (0, 13)

    # With Shift the view moves instead, by 4 × 0.2 and 3 × 0.25 nm.
    before, center = opened.probe, np.array(opened.scan_canvas.camera.center)
    shift = Qt.KeyboardModifier.ShiftModifier
    finish(drag(qtbot, opened.scan_canvas, (2, 3), (4, 4), (6, 6), modifier=shift))
    assert opened.probe == before
    moved = center - opened.scan_canvas.camera.center
    np.testing.assert_allclose(moved[-2:], (0.8, 0.75), atol=0.03)

    opened.move_probe(5, 5)
    native = opened.scan_canvas.qt_viewer.canvas.native
    key = Qt.Key
    for pressed, probe in ((key.Key_Right, (5, 6)), (key.Key_Up, (4, 6)), (key.Key_Left, (4, 5))):
        qtbot.keyClick(native, pressed)
        assert opened.probe == probe
    qtbot.keyClick(native, key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    assert opened.probe == (11, 5)
    np.testing.assert_array_equal(shown_pattern(opened), counts[11, 5])


# Patterns


# Virtual detectors


def test_dragging_a_detector_changes_the_image_at_every_step(opened, counts, qtbot):
    opened.editor.change_region(0, Annulus((7.0, 7.0), 0.0, 4.5, (1.5, 1.5)))
    seen = set()
    for _ in drag(qtbot, opened.diffraction_canvas, (7, 7), (8, 8), (9, 10), (10, 10.5)):
        region = opened.editor.detectors[0].region
        seen.add(region.center)
        mask = region.mask((16, 16))
        np.testing.assert_array_equal(shown_image(opened), sum_over(counts, mask))
        np.testing.assert_array_equal(
            opened.diffraction_canvas.model.layers["covered pixels"].data, mask
        )
    assert len(seen) == 3
    np.testing.assert_allclose(opened.editor.detectors[0].region.center, (10, 10.5), atol=0.1)
    assert opened.form.center[0].value() == opened.editor.detectors[0].region.center[0]

    opened.editor.change_region(0, Annulus((7.0, 7.0), 0.0, 4.5, (1.5, 1.5)))
    finish(drag(qtbot, opened.diffraction_canvas, (7, 10), (7, 11), (7, 12)))
    region = opened.editor.detectors[0].region
    assert region.outer == pytest.approx(7.5, abs=0.15)
    assert opened.form.lengths[1].value() == pytest.approx(region.outer, abs=0.006)
    assert opened.form.lengths_in_px[1].value() == pytest.approx(region.outer / 1.5, abs=0.01)
    np.testing.assert_array_equal(shown_image(opened), sum_over(counts, region.mask((16, 16))))

    opened.add_shape("Rectangle")
    opened.editor.change_region(1, Rectangle((7.0, 7.0), 6.0, 9.0, (1.5, 1.5)))
    finish(drag(qtbot, opened.diffraction_canvas, (9, 10), (10, 11), (12, 12)))
    np.testing.assert_allclose(opened.editor.detectors[1].region.bounds(), (5, 4, 12, 12), atol=0.1)


def test_pressing_another_detector_chooses_it(opened, qtbot):
    opened.add_preset("ADF")
    assert opened.editor.active.name == "ADF"
    finish(drag(qtbot, opened.diffraction_canvas, (7.5, 7.5), (7.5, 7.5)))
    assert opened.editor.active.name == "BF"
    assert opened.form.list.currentRow() == 0
    assert opened.scan_canvas.title.text() == "Scan: BF"


def test_numbers_can_be_edited_and_impossible_ones_are_refused(opened, counts):
    opened.add_shape("Annulus")
    form = opened.form
    form.lengths[1].setValue(9.0)
    form.lengths_in_px[0].setValue(2.0)
    form.center[0].setValue(6.5)
    form.center[1].setValue(8.5)
    region = opened.editor.active.region
    assert region == Annulus((6.5, 8.5), 3.0, 9.0, (1.5, 1.5))
    y, x = np.indices((16, 16))
    distance = np.hypot(y - 6.5, x - 8.5)
    mask = (distance >= 2) & (distance < 6)
    np.testing.assert_array_equal(shown_image(opened), sum_over(counts, mask))

    opened.add_shape("Annulus")
    before = opened.editor.active.region
    opened.form.lengths[0].setValue(before.outer + 5)
    assert opened.editor.active.region == before
    assert "0 <= inner < outer" in opened.message.text()
    assert opened.form.lengths[0].value() == before.inner


def test_a_detector_outside_the_frame_is_a_message_and_no_picture(opened, counts, qtbot):
    opened.editor.change_region(0, Annulus((7.0, 7.0), 0.0, 4.5, (1.5, 1.5)))
    far = drag(qtbot, opened.diffraction_canvas, (7, 7), (20, -25), (7, 9))
    next(far)
    assert "No pixel" in opened.message.text()
    assert not shown_image(opened).any()
    assert not opened.diffraction_canvas.model.layers["covered pixels"].visible
    next(far)
    assert opened.message.text() == ""
    mask = opened.editor.detectors[0].region.mask((16, 16))
    np.testing.assert_array_equal(shown_image(opened), sum_over(counts, mask))
    finish(far)


def test_detectors_have_names_of_their_own_and_can_go(opened):
    opened.add_shape("Disc")
    opened.add_shape("Disc")
    names = [detector.name for detector in opened.editor.detectors]
    assert names == ["BF", "Disc", "Disc 2"]
    assert len({detector.color for detector in opened.editor.detectors}) == 3
    opened.form.list.item(1).setText("BF")
    assert "name of its own" in opened.message.text()
    opened.form.list.item(1).setText("left")
    assert [detector.name for detector in opened.editor.detectors] == ["BF", "left", "Disc 2"]
    for _ in range(3):
        opened.form.remove.click()
    assert opened.editor.active is None
    assert not shown_image(opened).any()
    assert not opened.form.remove.isEnabled()
    opened.form.presets["BF"].click()
    assert shown_image(opened).any()


def test_oblong_pixels_give_detectors_round_in_angle(viewer, browser, counts, qtbot):
    add(viewer, Scan(counts, Acquisition(diffraction_step=(2, 1), convergence_angle=5)))
    rest(browser, qtbot)
    y, x = np.indices((16, 16))
    center = browser.editor.active.region.center
    mask = np.hypot((y - center[0]) * 2, x - center[1]) < 5
    np.testing.assert_array_equal(shown_image(browser), sum_over(counts, mask))


# Large scans


@pytest.fixture
def binned(viewer, browser, scan, qtbot, monkeypatch):
    """The browser with a scan that it takes for too large to keep whole."""
    monkeypatch.setattr("stem_plugins.napari.binned_scan.binning_factor", lambda shape, dtype: 4)
    add(viewer, scan)
    rest(browser, qtbot)
    assert browser.images.binned.factor == 4
    return browser


def test_the_exact_image_follows_the_preview_and_is_what_is_added(viewer, binned, counts, qtbot):
    for region in (
        Annulus((7.0, 7.3), 0.0, 5.0, (1.5, 1.5)),
        Annulus((9, 5), 2.0, 6.0, (1.5, 1.5)),
    ):
        binned.editor.change_region(0, region)
        exact = sum_over(counts, region.mask((16, 16)))
        assert "binned 4 × 4" in binned.scan_canvas.title.text()
        assert np.corrcoef(shown_image(binned).ravel(), exact.ravel())[0, 1] > 0.5
        assert not np.array_equal(shown_image(binned), exact)
        rest(binned, qtbot)
        np.testing.assert_array_equal(shown_image(binned), exact)
        assert binned.scan_canvas.title.text() == "Scan: BF"

    # A detector seen before comes back exact at once.
    binned.editor.change_region(0, Annulus((7.0, 7.3), 0.0, 5.0, (1.5, 1.5)))
    assert binned.scan_canvas.title.text() == "Scan: BF"

    binned.editor.change_region(0, Annulus((6.0, 7.3), 0.0, 5.0, (1.5, 1.5)))
    binned.detector_image.refine()
    assert binned.detector_image.passes.is_refining
    last = Annulus((9, 6), 2.0, 6.0, (1.5, 1.5))
    binned.editor.change_region(0, last)
    assert not binned.detector_image.passes.is_refining
    rest(binned, qtbot)
    np.testing.assert_array_equal(shown_image(binned), sum_over(counts, last.mask((16, 16))))

    region = Annulus((8.0, 7.3), 0.0, 5.0, (1.5, 1.5))
    binned.editor.change_region(0, region)
    binned.add.click()
    qtbot.waitUntil(lambda: "BF" in viewer.layers, timeout=10_000)
    np.testing.assert_array_equal(
        flat_image(viewer.layers["BF"]), sum_over(counts, region.mask((16, 16)))
    )


# Out of the browser


def test_an_added_image_stands_on_the_scan_plane_with_its_calibration(
    shared_viewer, opened, counts
):
    opened.add_preset("ADF")
    opened.add.click()
    layer = shared_viewer.layers["ADF"]
    mask = opened.editor.active.region.mask((16, 16))
    np.testing.assert_array_equal(flat_image(layer), sum_over(counts, mask))
    np.testing.assert_allclose(layer.scale[:2], (0.2, 0.25))
    assert tuple(shared_viewer.dims.displayed) == (0, 1)
    parameters = layer.metadata["parameters"]
    assert parameters["detector"] == "annulus"
    assert parameters["inner"] == pytest.approx(4.4)
    assert parameters["unit"] == "mrad"
    # It keeps its values when the detector moves on.
    opened.editor.change_region(1, Annulus((7, 7), 0.0, 3.0, (1.5, 1.5)))
    np.testing.assert_array_equal(flat_image(layer), sum_over(counts, mask))


def test_copied_code_makes_the_same_images(viewer, browser, scan, tmp_path, qtbot):
    path = tmp_path / "scan.mib"
    write_merlin(path, scan.data, acquisition=scan.acquisition)
    viewer.open(path, plugin="stem-plugins")
    rest(browser, qtbot)
    browser.add_preset("ADF")
    browser.add_shape("Rectangle")
    browser.editor.add_shape("Disc", browser._beam())
    browser.editor.change_region(3, Annulus((-90.0, 0.0), 0.0, 3.0))  # covers nothing
    browser.editor.choose(2)
    browser.move_probe(4, 5)
    browser.copy.click()
    made = {}
    exec(QGuiApplication.clipboard().text(), made)
    assert list(made["images"]) == ["BF", "ADF", "Rectangle"]
    np.testing.assert_array_equal(made["images"]["Rectangle"], shown_image(browser))
    np.testing.assert_array_equal(made["pattern"], shown_pattern(browser))


# Layers come and go


def test_without_a_scan_the_browser_says_what_to_do(viewer, browser):
    viewer.add_image(np.ones((8, 8)), name="flat")
    viewer.add_image(np.ones((2, 3, 4, 5), complex).real[..., None].repeat(3, -1), rgb=True)
    assert "Open a 4D-STEM scan" in browser.message.text()
    assert browser.scans.count() == 0
    assert not browser.add.isEnabled()
    browser.move_probe(1, 1)
    browser.add_preset("BF")
    browser.add_image_to_viewer()
    browser.copy_as_python()
    browser.detector_image.read()


def test_the_browser_follows_the_selected_scan(shared_viewer, opened, counts, qtbot):
    second = add(shared_viewer, Scan(counts[:5, :6] * 2), "second")
    rest(opened, qtbot)
    assert opened.scan_layer == second
    assert shown_image(opened).shape == (5, 6)
    shared_viewer.layers.selection.active = shared_viewer.layers["scan"]
    rest(opened, qtbot)
    assert shown_image(opened).shape == (12, 14)
    shared_viewer.layers["scan"].name = "renamed"
    assert opened.scans.currentText() == "renamed"


def test_a_removed_scan_makes_room_for_the_next_or_for_none(shared_viewer, opened, counts, qtbot):
    add(shared_viewer, Scan(counts[:5, :6]), "second")
    rest(opened, qtbot)
    shared_viewer.layers.remove("second")
    assert opened.scans.currentText() == "scan"
    rest(opened, qtbot)
    assert shown_image(opened).shape == (12, 14)
    shared_viewer.layers.remove("scan")
    assert opened.scan_canvas.image is None
    assert opened.diffraction_canvas.image is None
    assert "Open a 4D-STEM scan" in opened.message.text()
    opened.move_probe(1, 1)


def test_a_new_calibration_is_taken_over_and_the_detectors_keep_their_pixels(
    shared_viewer, opened, calibrated, qtbot
):
    mask = opened.editor.active.region.mask((16, 16))
    layer = shared_viewer.layers["scan"]
    set_acquisition(layer, calibrated.replace(scan_step=5, diffraction_step=3))
    qtbot.waitUntil(lambda: opened.scan.acquisition.scan_step == (5.0, 5.0))
    np.testing.assert_allclose(opened.scan_canvas.image.scale, (0.5, 0.5))
    np.testing.assert_allclose(opened.diffraction_canvas.image.scale, (3, 3))
    region = opened.editor.active.region
    np.testing.assert_array_equal(region.mask((16, 16)), mask)
    assert region.outer == 8.0
    set_acquisition(layer, Acquisition())
    qtbot.waitUntil(lambda: opened.unit.currentText() == "px")
    assert opened.editor.active.region.outer == pytest.approx(8 / 3, rel=1e-3)


def test_a_scale_given_in_napari_is_that_of_the_scale_bar(shared_viewer, opened, qtbot):
    layer = shared_viewer.layers["scan"]
    before = acquisition_of(layer)
    layer.scale = (-0.5, 0.5, 3.0, 3.0)  # mirrored on screen
    qtbot.waitUntil(lambda: opened.scan.acquisition.scan_step == (5.0, 5.0))
    np.testing.assert_allclose(opened.scan_canvas.image.scale, (0.5, 0.5))
    np.testing.assert_allclose(opened.diffraction_canvas.image.scale, (3, 3))
    set_acquisition(layer, before)
    qtbot.waitUntil(lambda: opened.scan.acquisition == before)


def test_a_file_that_is_gone_is_told_of_in_plain_words(viewer, browser, scan, tmp_path, qtbot):
    path = tmp_path / "scan.mib"
    write_merlin(path, scan.data)
    viewer.open(path, plugin="stem-plugins")
    rest(browser, qtbot)
    layer = browser.scan_layer
    path.unlink()
    layer.data = layer.data.rechunk((3, 14, 16, 16))
    assert "no longer there" in browser.message.text()


def test_new_data_in_the_layer_are_read_again(shared_viewer, opened, counts, qtbot):
    shared_viewer.layers["scan"].data = counts.reshape(14, 12, 16, 16)
    rest(opened, qtbot)
    assert shown_image(opened).shape == (14, 12)


# Long work


def wait_for_rows(browser, qtbot, rows):
    qtbot.waitUntil(lambda: browser.images.binned.rows_done >= rows, timeout=20_000)


def test_the_image_fills_while_the_scan_is_read(viewer, browser, slow_rows, counts, qtbot):
    add(viewer, Scan(slow_rows.data))
    wait_for_rows(browser, qtbot, 3)
    qtbot.waitUntil(lambda: browser.progress.value() == 3)
    assert browser.cancel.isVisible()
    browser.editor.change_region(0, Annulus((8.0, 8.0), 0.0, 6.0))
    mask = browser.editor.active.region.mask((16, 16))
    expected = sum_over(counts, mask)
    expected[3:] = 0
    np.testing.assert_array_equal(shown_image(browser), expected)
    assert "3 of 12 rows" in browser.scan_canvas.title.text()
    browser.add.click()
    assert "Not the whole scan" in browser.message.text()
    slow_rows.open.set()
    rest(browser, qtbot)
    np.testing.assert_array_equal(shown_image(browser), sum_over(counts, mask))
    assert not browser.progress.isVisible()


def test_reading_can_be_cancelled_and_continued(viewer, browser, slow_rows, counts, qtbot):
    add(viewer, Scan(slow_rows.data))
    wait_for_rows(browser, qtbot, 3)
    browser.cancel.click()
    assert not browser.detector_image.passes.is_reading
    assert browser.resume.isVisible()
    slow_rows.open.set()
    qtbot.wait(300)
    assert not browser.images.binned.is_complete
    browser.resume.click()
    rest(browser, qtbot)
    mask = browser.editor.active.region.mask((16, 16))
    np.testing.assert_array_equal(shown_image(browser), sum_over(counts, mask))
    assert len(slow_rows.computed) < 20


def test_another_scan_stops_the_pass_over_the_one_before(viewer, browser, slow_rows, scan, qtbot):
    add(viewer, Scan(slow_rows.data), "slow")
    wait_for_rows(browser, qtbot, 3)
    slow = browser.images.binned
    add(viewer, scan, "fast")
    rest(browser, qtbot)
    assert browser.scans.currentText() == "fast"
    np.testing.assert_array_equal(
        shown_image(browser), sum_over(scan.data, browser.editor.active.region.mask((16, 16)))
    )
    slow_rows.open.set()
    qtbot.wait(200)
    assert not slow.is_complete


def test_unusable_pixels_are_a_message_and_empty_patterns_an_empty_image(
    viewer, browser, counts, qtbot
):
    data = counts.astype(np.float32)
    data[3, 4, 5, 6] = np.nan
    add(viewer, Scan(data))
    qtbot.waitUntil(lambda: "(3, 4) holds NaN" in browser.message.text(), timeout=10_000)
    browser.move_probe(3, 4)
    np.testing.assert_array_equal(shown_pattern(browser), data[3, 4])
    assert not browser.detector_image.passes.is_reading

    add(viewer, Scan(np.zeros((3, 4, 8, 8), np.uint16)))
    rest(browser, qtbot)
    assert not shown_image(browser).any()
    browser.com_cross.setChecked(True)
    browser.averaged.setChecked(True)
    assert not shown_pattern(browser).any()


def test_a_scan_too_large_for_the_memory_is_a_message(viewer, browser, scan, monkeypatch):
    def no_memory(self, data, factor=None):
        raise MemoryError

    monkeypatch.setattr(BinnedScan, "__init__", no_memory)
    layer = add(viewer, scan)
    assert "not enough memory" in browser.message.text()
    assert not browser.add.isEnabled()
    viewer.layers.remove(layer)
    assert isinstance(viewer.add_image(np.ones((4, 4))), Image)
