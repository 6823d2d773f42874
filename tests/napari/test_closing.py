"""Closing viewers, panels and windows during a pass, each test in a viewer of its own."""

import threading
import time

import pytest
from napari.layers import Layer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication

from stem_plugins import Acquisition
from stem_plugins.io import Scan
from stem_plugins.napari.browser import BrowserWidget
from stem_plugins.napari.layers import scan_layer
from stem_plugins.napari.widgets.ricom import RicomPanel


@pytest.fixture
def browser(own_viewer, slow_rows, qtbot):
    """A browser that reads slow rows, three of which are done."""
    browser = BrowserWidget(own_viewer)
    own_viewer.window.add_dock_widget(browser, name="4D-STEM browser")
    qtbot.waitExposed(browser)
    own_viewer.add_layer(Layer.create(*scan_layer(Scan(slow_rows.data), "scan")))
    qtbot.waitUntil(lambda: browser.images.binned.rows_done >= 3, timeout=20_000)
    yield browser
    browser.close_browser()


@pytest.mark.parametrize("how", ["window", "viewer", "dock", "layer"])
def test_closing_stops_the_browser(own_viewer, browser, slow_rows, qtbot, how):
    binned = browser.images.binned
    if how == "window":
        # What a click on the window's cross sends; Qt would delete the window afterwards.
        QApplication.sendEvent(browser.window(), QCloseEvent())
    elif how == "viewer":
        own_viewer.close()
    elif how == "dock":
        own_viewer.window.remove_dock_widget(browser)
        browser.close()
    else:
        own_viewer.layers.clear()
    assert not browser.detector_image.passes.is_reading
    slow_rows.open.set()
    qtbot.wait(300)
    assert not binned.is_complete


@pytest.fixture
def panel(own_viewer, slow_rows, qtbot):
    """A riCOM panel that reads slow rows and shows the first."""
    panel = RicomPanel(own_viewer)
    own_viewer.window.add_dock_widget(panel, name="riCOM")
    scan = Scan(slow_rows.data, Acquisition(center=(7.5, 7.2)))
    own_viewer.add_layer(Layer.create(*scan_layer(scan, "scan")))
    panel.start()
    qtbot.waitUntil(lambda: "riCOM" in panel.images.results, timeout=20_000)
    yield panel
    panel.close_panel()


def test_closing_the_viewer_neither_hangs_nor_crashes(own_viewer, panel, slow_rows, qtbot):
    start = time.monotonic()
    own_viewer.close()
    slow_rows.open.set()
    qtbot.wait(200)
    assert time.monotonic() - start < 10


def test_closing_the_window_stops_the_pass(own_viewer, panel, slow_rows, qtbot):
    QApplication.sendEvent(panel.window(), QCloseEvent())
    assert panel.worker is None
    done = panel.kept.seen.sum()
    slow_rows.open.set()
    qtbot.wait(200)
    assert panel.kept.seen.sum() == done < 12


def test_closing_the_panel_leaves_the_images(own_viewer, panel, slow_rows, qtbot):
    panel.close()
    slow_rows.open.set()
    qtbot.wait(100)
    assert panel.worker is None
    own_viewer.layers.remove("riCOM")  # nobody minds any more


def test_a_stopped_pass_ends_its_threads(own_viewer, panel, slow_rows, qtbot):
    panel.stop()
    slow_rows.open.set()
    qtbot.wait(300)
    before = threading.active_count()
    for _ in range(4):
        panel.start()
        qtbot.waitUntil(lambda: panel.kept is not None and panel.kept.seen.any(), timeout=20_000)
        slow_rows.open.clear()
        panel.stop()
        slow_rows.open.set()
        qtbot.wait(300)
    # Those of the last pass may wait for more to do; those of all would be eight.
    assert threading.active_count() <= before + 4
