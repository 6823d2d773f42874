"""Take the screenshots of the napari widgets that the documentation shows.

    python docs/screenshots.py [--scan FILE] [PANEL ...]

Needs a display; without one, run it under ``xvfb-run -a -s "-screen 0 1600x1000x24"``. Without
``--scan`` the simulated scan is shown. Pictures go to ``docs/images``. Each panel is a function of
the viewer; add one to `PANELS` for each new widget.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parent / "images"


def wait(seconds: float = 0.5, until: Callable[[], bool] | None = None) -> None:
    """Let Qt work for a while, at most until something is so."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + (120 if until else seconds)
    while time.monotonic() < end and not (until and until()):
        QApplication.processEvents()
        time.sleep(0.01)


def save_screenshot(viewer: Any, name: str) -> None:
    """Write the whole window as a PNG of few colours, which keeps it small."""
    from PIL import Image

    wait()
    picture = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3])
    IMAGES.mkdir(exist_ok=True)
    # Of all methods this one keeps rare colours, such as that of a thin cross.
    palette = Image.Quantize.MAXCOVERAGE
    picture.quantize(256, palette).save(IMAGES / f"{name}.png", optimize=True)


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
    _, widget = viewer.window.add_plugin_dock_widget("stem-plugins", "4D-STEM browser")
    wait()
    wait(until=lambda: widget.detector_image.is_at_rest)
    widget.add_preset("ADF")
    rows, columns = widget.images.binned.scan_shape
    widget.move_probe(rows // 3, columns // 3)
    widget.com_cross.setChecked(True)
    widget.intensity.setCurrentText("square root")
    save_screenshot(viewer, f"{name}-browser")
    widget.add_shape("Rectangle")
    widget.intensity.setCurrentText("logarithmic")
    widget.averaged.setChecked(True)
    widget.unit.setCurrentText("1/nm")
    save_screenshot(viewer, f"{name}-browser-pacbed")


PANELS: dict[str, Callable[[Any, str], None]] = {"ricom": ricom_panel, "browser": browser}


def main() -> None:
    """Open a scan in a viewer for each panel and take its pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("panels", nargs="*", choices=[[], *PANELS], help="all, unless given")
    parser.add_argument("--scan", help="a .mib, .hspy or .zspy; the simulated scan without it")
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "xcb")
    import napari

    name = "measured" if arguments.scan else "simulated"
    for panel in arguments.panels or PANELS:
        viewer = napari.Viewer(show=True)
        viewer.window.resize(1400, 900)
        if arguments.scan:
            viewer.open(arguments.scan, plugin="stem-plugins")
        else:
            viewer.open_sample("stem-plugins", "demo")
        PANELS[panel](viewer, name)
        viewer.close()


if __name__ == "__main__":
    main()
