"""How fast the riCOM panel of napari follows its controls on a scan of 256 × 256 positions.

``handler`` is the time until the values of the images are new, ``drawn`` until they are on screen
as well, both in CPU-milliseconds, the least of some changes. Needs a display; without a graphics
card, as under ``xvfb-run``, the drawing is that of a software OpenGL, on whose speed ``drawn``
hangs.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

SCAN, DETECTOR = (256, 256), (8, 8)


def wait(seconds: float = 0.3, until: Callable[[], bool] | None = None) -> None:
    """Let Qt work for a while, or until something is so."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + (120 if until else seconds)
    while time.monotonic() < end and not (until and until()):
        QApplication.processEvents()
        time.sleep(0.002)


def open_panel() -> tuple[Any, Any]:
    """Viewer and riCOM panel after a run over a scan of Poisson counts."""
    import napari
    from napari.layers import Layer

    from stem_plugins import Acquisition
    from stem_plugins.io import Scan
    from stem_plugins.napari.layers import scan_layer

    counts = np.random.default_rng(0).poisson(2, (*SCAN, *DETECTOR)).astype(np.uint8)
    acquisition = Acquisition(scan_step=2, diffraction_step=1, beam_energy=200)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    viewer.add_layer(Layer.create(*scan_layer(Scan(counts, acquisition), "scan")))
    _, panel = viewer.window.add_plugin_dock_widget("stem-plugins", "riCOM")
    wait()
    panel.start()
    wait(until=lambda: panel.worker is None)
    return viewer, panel


def controls(panel: Any) -> Iterable[tuple[str, Callable[[Any], None], Iterable[Any]]]:
    """Yield the name of each control, what sets it, and the values it takes in turn."""
    form, orientation, calibration = panel.kernel_form, panel.orientation, panel.calibration
    yield "kernel size", form.kernel_size.setValue, range(25, 105, 8)
    yield "pass band", form.low.setValue, np.linspace(0.1, 0.5, 10)
    yield "rotation", orientation.rotation.setValue, range(10, 110, 10)
    yield "descan", orientation.descan.setCurrentIndex, (1, 2, 0, 1, 2, 0)
    orientation.mean_center.setChecked(False)
    yield "centre", orientation.center[0].setValue, np.linspace(3.1, 4, 10)
    yield "beam energy", calibration.beam_energy.setValue, np.linspace(60, 300, 10)
    yield "scan step", calibration.scan_step[0].setValue, np.linspace(2.1, 3, 10)


def measure(panel: Any, change: Callable[[Any], None], values: Iterable[Any]) -> tuple[float, ...]:
    """Least CPU-milliseconds of a change, until computed and until drawn."""
    from qtpy.QtWidgets import QApplication

    handler, drawn = [], []
    for value in values:
        start = time.process_time()
        change(value)
        handler.append(time.process_time() - start)
        while True:
            QApplication.processEvents()
            if not panel.images.is_late:
                break
        QApplication.processEvents()
        drawn.append(time.process_time() - start)
        wait(0.4)  # for what follows after a pause
    return 1e3 * min(handler), 1e3 * min(drawn)


def main() -> None:
    """Print a table for one image, and for seven side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="through all values of a control")
    rounds = parser.parse_args().rounds
    viewer, panel = open_panel()
    print(f"{SCAN[0]} × {SCAN[1]} positions; least CPU-ms of each change\n")
    print(f"{'images':<22}{'control':<14}{'handler':>8}{'drawn':>8}")
    for images in ("riCOM", "all 7, side by side"):
        if images != "riCOM":
            for box in panel.choice.boxes.values():
                box.setChecked(True)
            panel.side_by_side.setChecked(True)
            wait(1)
        for name, change, values in controls(panel):
            handler, drawn = measure(panel, change, list(values) * rounds)
            print(f"{images:<22}{name:<14}{handler:8.0f}{drawn:8.0f}")
    viewer.close()


if __name__ == "__main__":
    main()
