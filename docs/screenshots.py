"""Take the screenshots of the napari widgets that the documentation shows.

    python docs/screenshots.py [--scan FILE] [--image FILE] [PANEL ...]

Needs a display; without one, run it under ``xvfb-run -a -s "-screen 0 1600x1000x24"``. Without
``--scan`` the simulated scan is shown, and without ``--image`` its dark field is restored. Pictures
go to ``docs/images``. Each panel is a function of the viewer; add one to `PANELS` for each new
widget.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parent / "images"

#: Scan positions along each axis that are reconstructed, so that it takes a minute.
PTYCHOGRAPHY_PART = 64

#: After so long nothing is waited for any more [s].
LONGEST = 3600


def wait(seconds: float = 0.5, until: Callable[[], bool] | None = None) -> None:
    """Let Qt work for a while, or until something is so."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + (LONGEST if until else seconds)
    while not (until and until()):
        if time.monotonic() > end:
            if until:
                raise TimeoutError(f"Not done after {LONGEST} s; no picture was taken.")
            return
        QApplication.processEvents()
        time.sleep(0.01)


def save_screenshot(viewer: Any, name: str) -> None:
    """Write the whole window as a PNG, in all of its colours."""
    from PIL import Image

    wait()
    picture = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3])
    IMAGES.mkdir(exist_ok=True)
    picture.save(IMAGES / f"{name}.png", optimize=True)


def ricom_panel(viewer: Any, name: str) -> None:
    """riCOM panel after a run: the image, then several side by side, then the calibration."""
    _, panel = viewer.window.add_plugin_dock_widget("stem-plugins", "riCOM")
    wait()
    panel.start()
    wait(until=lambda: panel.worker is None)
    panel.kernel_form.kernel_size.setValue(31)
    save_screenshot(viewer, f"{name}-ricom")
    panel.plots.setCurrentIndex(2)
    panel.controls.setCurrentIndex(1)
    for image in ("iCOM", "Electric field", "Annular detector"):
        panel.choice.boxes[image].setChecked(True)
    panel.side_by_side.setChecked(True)
    panel.estimate()
    wait(1.5)
    save_screenshot(viewer, f"{name}-ricom-images")
    panel.plots.setCurrentIndex(1)
    panel.controls.setCurrentIndex(2)
    panel.patterns_view.click()
    save_screenshot(viewer, f"{name}-ricom-calibration")


def browser(viewer: Any, name: str) -> None:
    """4D-STEM browser: a pattern with virtual detectors, then the mean pattern in 1/nm."""
    from stem_plugins.napari.view import scale_bar_of

    _, widget = viewer.window.add_plugin_dock_widget("stem-plugins", "4D-STEM browser")
    wait()
    wait(until=lambda: widget.detector_image.is_at_rest)
    widget.add_preset("ADF")
    rows, columns = widget.images.binned.scan_shape
    widget.move_probe(rows // 3, columns // 3)
    widget.com_cross.setChecked(True)
    widget.intensity.setCurrentText("square root")
    viewer.reset_view()  # the browser has taken most of the room
    scale_bar_of(viewer).visible = True
    save_screenshot(viewer, f"{name}-browser")
    widget.add_shape("Rectangle")
    widget.intensity.setCurrentText("logarithmic")
    widget.averaged.setChecked(True)
    widget.unit.setCurrentText("1/nm")
    save_screenshot(viewer, f"{name}-browser-pacbed")


def restore(viewer: Any, name: str) -> None:
    """Panel Restore: an image divided into measured and restored, then what is unexplained."""
    from stem_plugins.napari.image_layers import image_layers

    if not image_layers(viewer):
        add_dark_field(viewer)
    _, panel = viewer.window.add_plugin_dock_widget("stem-plugins", "Restore")
    wait()
    if panel.settings().model != "default":
        raise SystemExit("The weights of the default network are not installed.")
    panel.evidence.setChecked(True)
    panel.start()
    wait(until=lambda: panel.worker is None)
    if "restored" not in panel.results:
        raise SystemExit(panel.message.text())
    look_closer(viewer)
    save_screenshot(viewer, f"{name}-restore")
    panel.show_view("Consistency")
    save_screenshot(viewer, f"{name}-restore-consistency")


def ptychography(viewer: Any, name: str) -> None:
    """Panel Ptychography: the phase after some iterations, in a part of the scan for its speed."""
    from stem_plugins.napari.ptychography_model import PtychographySettings

    layer = viewer.layers[0]
    rows, columns = (min(n, PTYCHOGRAPHY_PART) for n in layer.data.shape[:2])
    layer.data = layer.data[:rows, :columns]
    _, panel = viewer.window.add_plugin_dock_widget("stem-plugins", "Ptychography")
    wait()
    panel.form.show_settings(PtychographySettings(iterations=12))
    panel.start()
    wait(until=lambda: panel.worker is None)
    if panel.result is None:
        raise SystemExit(panel.message.text())
    panel.say("")
    save_screenshot(viewer, f"{name}-ptychography")


def airpi(viewer: Any, name: str) -> None:
    """Panel AIRPI: the phase after a run that compares the patterns."""
    _, panel = viewer.window.add_plugin_dock_widget("stem-plugins", "AIRPI")
    wait()
    panel.form.evidence.setChecked(True)
    panel.start()
    wait(until=lambda: panel.worker is None)
    if panel.result is None:
        raise SystemExit(panel.message.text())
    save_screenshot(viewer, f"{name}-airpi")


def add_dark_field(viewer: Any) -> None:
    """Add the dark-field image of the scan in the viewer."""
    from stem_plugins import annular_detector, virtual_image
    from stem_plugins.napari.layers import image_layer, scan_from_layer
    from stem_plugins.napari.planes import add_image_over_scan

    scan = scan_from_layer(viewer.layers[0])
    shape = scan.data.shape[2:]
    center = tuple((n - 1) / 2 for n in shape)
    mask = annular_detector(shape, min(shape) / 4, max(shape), center=center)
    image = virtual_image(scan.data, mask)
    add_image_over_scan(viewer, image_layer(image, scan.acquisition, "ADF", "counts"))


def look_closer(viewer: Any) -> None:
    """Show the middle of a large image so that its pixels can be told apart."""
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    if max(viewer.layers[0].data.shape[:2]) > 512:
        camera.zoom *= 2.5


PANELS: dict[str, Callable[[Any, str], None]] = {
    "ricom": ricom_panel,
    "browser": browser,
    "restore": restore,
    "ptychography": ptychography,
    "airpi": airpi,
}


def main() -> None:
    """Open a scan in a viewer for each panel and take its pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("panels", nargs="*", choices=[[], *PANELS], help="all, unless given")
    parser.add_argument("--scan", help="a .mib, .hspy or .zspy; the simulated scan without it")
    parser.add_argument("--image", help="of a microscope, for the panel restore")
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "xcb")
    import napari

    for panel in arguments.panels or PANELS:
        file = arguments.image if panel == "restore" else arguments.scan
        name = "measured" if file else "simulated"
        viewer = napari.Viewer(show=True)
        viewer.window.resize(1400, 900)
        if file:
            viewer.open(file, plugin="stem-plugins")
        else:
            viewer.open_sample("stem-plugins", "demo")
        PANELS[panel](viewer, name)
        viewer.close()


if __name__ == "__main__":
    main()
