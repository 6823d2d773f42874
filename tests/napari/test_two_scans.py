"""Scans of other sizes and calibrations in one viewer: what is in view, in which units."""

import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.notifications import notification_manager

from stem_plugins import Acquisition
from stem_plugins.io import Scan, write_merlin
from stem_plugins.napari.layers import acquisition_of, image_layer, scan_layer
from stem_plugins.napari.planes import add_image_over_scan, show_images, show_patterns
from stem_plugins.napari.view import camera_of, fit_view, grid_of, scale_bar_of
from stem_plugins.napari.widgets.ricom import RicomPanel

#: Steps of 3.1 nm on an uncalibrated detector; steps of 0.02 nm, fully calibrated.
WIDE = Acquisition(scan_step=31)
CLOSE = Acquisition(scan_step=0.2, diffraction_step=1.5, beam_energy=200, convergence_angle=4)


@pytest.fixture
def viewer(shared_viewer):
    yield shared_viewer
    grid_of(shared_viewer).enabled = False
    shared_viewer.layers.clear()


@pytest.fixture
def panel(viewer, qtbot):
    panel = RicomPanel(viewer)
    dock = viewer.window.add_dock_widget(panel, name="riCOM")
    qtbot.waitExposed(panel)
    yield panel
    panel.side_by_side.setChecked(False)
    panel.close_panel()
    viewer.window.remove_dock_widget(dock)


@pytest.fixture
def told():
    """What napari pops up."""
    messages = []

    def take(notification):
        messages.append(str(notification.message))

    notification_manager.notification_ready.connect(take)
    yield messages
    notification_manager.notification_ready.disconnect(take)


def run(panel, qtbot):
    panel.start()
    qtbot.waitUntil(lambda: panel.worker is None, timeout=30_000)
    qtbot.wait(300)


def add(viewer, counts, acquisition, name="scan"):
    return viewer.add_layer(Layer.create(*scan_layer(Scan(counts, acquisition), name)))


def add_image(viewer, scan, name):
    image = np.ones(scan.data.shape[:2])
    return add_image_over_scan(viewer, image_layer(image, acquisition_of(scan), name), scan)


def units(viewer):
    return [str(unit) for unit in viewer.layers.units]


def share_of_view(viewer, layer):
    """Height of an image over the scan as a share of the canvas."""
    height = np.ptp(np.asarray(layer.extent.world)[:, 0]) + layer.scale[0]
    size = viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size
    return height * camera_of(viewer).zoom / min(size)


@pytest.mark.parametrize("order", [("wide", "close"), ("close", "wide")])
def test_the_image_of_another_scan_is_in_view_in_nanometres(
    viewer, panel, counts, tmp_path, qtbot, told, order
):
    write_merlin(tmp_path / "wide.mib", counts, acquisition=WIDE)
    write_merlin(tmp_path / "close.mib", counts[:9], acquisition=CLOSE)
    for name in order:
        viewer.open(str(tmp_path / f"{name}.mib"), plugin="stem-plugins")
        qtbot.wait(100)
        panel.scans.setCurrentIndex(panel.scans.findText(name))
        run(panel, qtbot)
        image = panel.images.results.layer("riCOM")
        assert 0.5 < share_of_view(viewer, image) < 1.01
        assert np.ptp(viewer.screenshot(flash=False)[..., 0].astype(int)) > 100
        assert units(viewer)[:2] == ["nanometer", "nanometer"]
    first, second = (viewer.layers[name] for name in ("riCOM", "riCOM [1]"))
    assert second.visible
    assert not first.visible  # it would surround the other, or lie below
    assert told == []
    expected = {"wide": WIDE, "close": CLOSE}
    for name in order:
        step = acquisition_of(viewer.layers[name]).diffraction_step
        assert step == expected[name].diffraction_step
    panel.patterns_view.click()
    unit = {"wide": "pixel", "close": "milliradian"}[order[1]]
    assert units(viewer)[2:] == [unit, unit]
    # The sliders stood on a position that this scan does not have.
    world = np.asarray(viewer.layers[order[1]].extent.world)
    assert (world[0, :2] <= viewer.dims.point[:2]).all()
    assert (viewer.dims.point[:2] <= world[1, :2]).all()
    assert told == []


def test_an_unknown_scan_step_is_shown_in_pixels_and_others_in_nanometres(
    viewer, counts, qtbot, told
):
    known = add(viewer, counts, CLOSE, "known")
    of_known = add_image(viewer, known, "of known")
    assert units(viewer)[:2] == ["nanometer", "nanometer"]
    show_patterns(viewer, known)
    unknown = add(viewer, counts[:9], Acquisition(), "unknown")
    of_unknown = add_image(viewer, unknown, "of unknown")
    qtbot.wait(100)
    assert units(viewer)[:2] == ["pixel", "pixel"]
    np.testing.assert_allclose(of_unknown.scale[:2], 1.0)
    assert 0.5 < share_of_view(viewer, of_unknown) < 1.01
    of_unknown.visible, of_known.visible = False, True
    qtbot.wait(100)
    assert units(viewer)[:2] == ["nanometer", "nanometer"]
    np.testing.assert_allclose(of_known.scale[:2], 0.02)
    assert 0.5 < share_of_view(viewer, of_known) < 1.01
    # None of this is a calibration.
    assert acquisition_of(unknown) == acquisition_of(of_unknown) == Acquisition()
    assert acquisition_of(known) == acquisition_of(of_known) == CLOSE
    # What a user types into napari is one.
    unknown.scale = (0.3, 0.3, *unknown.scale[2:])
    assert acquisition_of(unknown).scan_step == (3.0, 3.0)
    viewer.layers.remove(known)
    viewer.layers.remove(of_known)
    assert "Inconsistent" not in "".join(told[1:])  # layers added by hand are told of once


def test_calibrating_the_other_scan_ends_the_stand_in(viewer, panel, counts, qtbot, told):
    known = add(viewer, counts, CLOSE, "known")
    unknown = add(viewer, counts[:9], Acquisition(scan_step=4), "unknown")
    panel.scans.setCurrentIndex(panel.scans.findText("unknown"))
    run(panel, qtbot)
    del told[:]
    panel.calibration.diffraction_step[0].setValue(2.0)
    qtbot.wait(100)
    assert units(viewer)[2:] == ["milliradian", "milliradian"]
    np.testing.assert_allclose(unknown.scale[2:], 2.0)
    np.testing.assert_allclose(known.scale[2:], 1.5)
    assert acquisition_of(unknown).diffraction_step == (2.0, 2.0)
    assert told == []


def test_a_mirrored_scale_of_calibrated_scans_is_left_alone(viewer, counts):
    first = add(viewer, counts, CLOSE, "first")
    first.scale = (-0.02, 0.02, 1.5, 1.5)
    second = add(viewer, counts, CLOSE, "second")
    add_image(viewer, second, "image")
    np.testing.assert_allclose(first.scale, (-0.02, 0.02, 1.5, 1.5))


def test_the_view_of_a_detail_is_kept_when_another_image_of_the_scan_comes(viewer, counts):
    scan = add(viewer, counts, CLOSE)
    first = add_image(viewer, scan, "first")
    camera = camera_of(viewer)
    camera.zoom *= 3
    zoom, center = camera.zoom, tuple(camera.center)
    add_image(viewer, scan, "second")
    assert camera.zoom == pytest.approx(zoom)
    np.testing.assert_allclose(camera.center, center)
    assert first.visible
    camera.zoom /= 100  # a speck
    third = add_image(viewer, scan, "third")
    assert 0.5 < share_of_view(viewer, third) < 1.01
    camera.center = (0.0, 50.0, 50.0)
    add_image(viewer, scan, "fourth")
    assert camera.center[-1] < 1


def test_patterns_of_one_scan_are_fitted_whatever_else_is_hidden(viewer, counts):
    small = add(viewer, counts, CLOSE, "small")
    large = add(viewer, np.zeros((4, 4, 64, 64)), CLOSE.replace(diffraction_step=20), "large")
    show_images(viewer)
    show_patterns(viewer, small)
    assert not large.visible
    size = min(viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size)
    assert 16 * 1.5 * camera_of(viewer).zoom == pytest.approx(0.95 * size, rel=0.05)


def bar_ends(viewer):
    """Left and right end of the scale bar, and the width of the canvas [px]."""
    canvas = viewer.__wrapped__.window._qt_viewer.canvas
    (drawn,) = canvas._viewer_overlay_to_visual[scale_bar_of(viewer.__wrapped__)]
    left = drawn.node.transform.translate[0]
    return left, left + drawn.x_size, canvas.size[1]


@pytest.mark.parametrize("step", [0.2, 0.31, 31, 31.25, 70])
def test_the_scale_bar_stays_on_the_canvas(viewer, panel, counts, qtbot, step):
    add(viewer, counts, CLOSE.replace(scan_step=step))
    run(panel, qtbot)
    place = scale_bar_of(viewer).position
    left, right, width = bar_ends(viewer)
    assert 0 <= left < right <= width
    for box in panel.choice.boxes.values():
        box.setChecked(True)
    panel.side_by_side.setChecked(True)
    qtbot.wait(400)
    camera = camera_of(viewer)
    for zoom in np.geomspace(1, 3, 7) * camera.zoom:
        camera.zoom = zoom  # as the wheel does; nothing is drawn in between
        left, right, width = bar_ends(viewer)
        assert 0 <= left < right <= width
    panel.side_by_side.setChecked(False)
    qtbot.wait(300)
    assert scale_bar_of(viewer).position == place
    fit_view(viewer)
    left, right, width = bar_ends(viewer)
    assert 0 <= left < right <= width


def test_the_default_annulus_lies_on_the_detector(viewer, panel, counts, qtbot):
    add(viewer, counts, CLOSE)
    run(panel, qtbot)
    y, x = panel.kept.disc_center
    assert panel.settings.outer <= min(y + 0.5, 15.5 - y, x + 0.5, 15.5 - x)
    assert panel.settings.outer > panel.settings.inner
    panel.kernel_form.outer.setValue(12.0)
    chosen = panel.settings.outer
    assert chosen > 7
    run(panel, qtbot)
    assert panel.settings.outer == chosen
