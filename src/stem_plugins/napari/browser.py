"""The 4D-STEM browser: patterns of a scan and images of virtual detectors, linked.

The pattern is shown by `PatternView`, the image by `DetectorImage`; the browser opens scans,
follows their calibration, and links the two by the probe and the virtual detectors.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QWidget

from stem_plugins.io.scan import Scan
from stem_plugins.napari.browser_code import python_code
from stem_plugins.napari.browser_model import (
    BeamDisc,
    PatternReader,
    beam_disc,
    diffraction_units,
)
from stem_plugins.napari.layers import image_layer, scan_from_layer
from stem_plugins.napari.planes import add_image_over_scan
from stem_plugins.napari.regions import Region
from stem_plugins.napari.ricom_code import source_of
from stem_plugins.napari.virtual_images import VirtualImages
from stem_plugins.napari.widgets.browser_layout import lay_out
from stem_plugins.napari.widgets.closing import StopWhenClosed
from stem_plugins.napari.widgets.detector_editor import DetectorEditor
from stem_plugins.napari.widgets.detector_image import DetectorImage
from stem_plugins.napari.widgets.forms import quiet
from stem_plugins.napari.widgets.layer_choice import LayerChoice
from stem_plugins.napari.widgets.pattern_view import PatternView
from stem_plugins.napari.widgets.words import words_of
from stem_plugins.napari.widgets.worker import is_alive

__all__ = ["BrowserWidget"]


class BrowserWidget(QWidget):
    """Dock widget with two linked canvases, scan and diffraction.

    The `Acquisition` lives in the scan's layer, the images in `VirtualImages`, the detectors in
    `DetectorEditor`; the widgets show them.

    Parameters
    ----------
    napari_viewer
        The viewer; napari passes it by the name of this parameter.
    """

    def __init__(self, napari_viewer) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.viewer = napari_viewer
        self.scan: Scan | None = None
        self.probe = (0, 0)
        self._add_when_exact = False
        lay_out(self)
        self.closing = StopWhenClosed(self, self.stop, self._let_go)
        self.choice = LayerChoice(napari_viewer, self.scans)
        self.patterns = PatternView(
            self.diffraction_canvas, self.intensity, self.averaged, self.com_cross
        )
        self.editor = DetectorEditor(self.form, self.diffraction_canvas)
        self.detector_image = DetectorImage(
            self.scan_canvas, self.editor, self.progress, self.cancel, self.resume
        )
        self._connect()
        self.choice.list_layers()

    @property
    def scan_layer(self) -> Any:
        """Layer of the scan, or `None`."""
        return self.choice.layer

    @property
    def images(self) -> VirtualImages | None:
        """Images of the scan's virtual detectors; `None` without a scan."""
        return self.detector_image.images

    # Connections

    def _connect(self) -> None:
        self.choice.chosen.connect(self._open)
        self.choice.moved.connect(self._calibration_changed)
        self.viewer.layers.selection.events.active.connect(self._follow_selection)
        self.patterns.failed.connect(self.say)
        self.detector_image.progressed.connect(self.patterns.mean_may_have_changed)
        self.detector_image.exact.connect(self._finish_adding)
        self.detector_image.failed.connect(self.say)
        self.editor.changed.connect(self._detector_changed)
        self.editor.said.connect(self.say)
        self.form.shape_wanted.connect(self.add_shape)
        self.form.preset_wanted.connect(self.add_preset)
        self.scan_canvas.probe_dragged.connect(self.move_probe)
        for canvas in (self.scan_canvas, self.diffraction_canvas):
            canvas.stepped.connect(self._step)
        self.unit.currentIndexChanged.connect(lambda _: self._unit_chosen())
        self.over.toggled.connect(self.scan_canvas.show_over)
        self.add.clicked.connect(self.add_image_to_viewer)
        self.copy.clicked.connect(self.copy_as_python)

    def close_browser(self) -> None:
        """Stop all work and let go of the viewer; images added to it stay. Once is enough."""
        self.closing.close()

    def _let_go(self) -> None:
        if is_alive(self):
            self.stop()
        self.choice.close()
        self.viewer.layers.selection.events.active.disconnect(self._follow_selection)
        for canvas in (self.scan_canvas, self.diffraction_canvas):
            canvas.close_viewer()

    # The scan

    def _follow_selection(self, event: Any = None) -> None:
        """Browse the scan that is selected in the viewer."""
        if is_alive(self):
            self.choice.choose(self.viewer.layers.selection.active)

    def _open(self, layer: Any) -> None:
        """Browse another scan, or none."""
        self._close_scan()
        if layer is None:
            self._clear_canvases()
            self.say("Open a 4D-STEM scan (.mib, .hspy, .zspy), or File > Open Sample.")
            return
        try:
            scan = scan_from_layer(layer)
            self.detector_image.open(scan.data)
            probe = (scan.data.shape[0] // 2, scan.data.shape[1] // 2)
            self.patterns.open(PatternReader(scan.data), self.images.binned, probe)
        except (ValueError, OSError, MemoryError) as error:
            self._clear_canvases()
            self.say(words_of(error))
            return
        self.scan, self.probe = scan, probe
        for widget in self._of_a_scan():
            widget.setEnabled(True)
        self._show_units()
        self._show_frames()
        self.add_preset("BF")
        self.detector_image.read()

    def _close_scan(self) -> None:
        self.stop()
        self.scan = None
        self.scan_canvas.forget_over()
        self._offer_over()
        self.patterns.close()
        self.editor.clear()
        self.editor.show(None)
        self.detector_image.close()
        for widget in self._of_a_scan():
            widget.setEnabled(False)
        self._show_probe_label()
        self.say("")

    def _clear_canvases(self) -> None:
        for canvas in (self.scan_canvas, self.diffraction_canvas):
            canvas.clear()

    def _of_a_scan(self) -> tuple[QWidget, ...]:
        """Widgets that are of no use without a scan."""
        return self.canvases, self.form, self.add, self.copy

    def _calibration_changed(self) -> None:
        if self.scan is None:
            return
        acquisition = scan_from_layer(self.scan_layer).acquisition
        if acquisition != self.scan.acquisition:
            self.scan = dataclasses.replace(self.scan, acquisition=acquisition)
            self._show_units()
            self._show_frames()
            self._show_detectors()

    def stop(self) -> None:
        """Stop all work in threads; what was read so far stays."""
        self._add_when_exact = False
        self.detector_image.stop()

    # The probe

    def move_probe(self, y: int, x: int) -> None:
        """Put the probe at a scan position and show its pattern.

        Parameters
        ----------
        y, x
            Scan position; places outside the scan become the nearest inside.
        """
        if self.scan is None:
            return
        rows, columns = self.scan.data.shape[:2]
        self.probe = (min(max(y, 0), rows - 1), min(max(x, 0), columns - 1))
        self.scan_canvas.show_probe(*self.probe)
        self._show_probe_label()
        self.patterns.move_to(*self.probe)

    def _step(self, dy: int, dx: int) -> None:
        self.move_probe(self.probe[0] + dy, self.probe[1] + dx)

    # Units

    def _show_units(self) -> None:
        """Offer the units that the calibration allows; the chosen one stays chosen."""
        assert self.scan is not None
        chosen = self.unit.currentText()
        with quiet(self.unit):
            self.unit.clear()
            for unit in diffraction_units(self.scan.acquisition):
                self.unit.addItem(unit.symbol, unit)
            # px gives way to a better unit as soon as there is one.
            kept = self.unit.findText(chosen) if chosen != "px" else 0
            self.unit.setCurrentIndex(max(0, kept))
        self.editor.use_unit(self.unit.currentData())

    def _unit_chosen(self) -> None:
        self.editor.use_unit(self.unit.currentData())
        self._show_frames()
        self._show_detectors()

    def _show_frames(self) -> None:
        """Begin both canvases anew, with the axes of the calibration."""
        assert self.scan is not None
        shape, acquisition = self.scan.data.shape, self.scan.acquisition
        self.scan_canvas.show_scan(shape[:2], acquisition)
        center = acquisition.center or tuple((n - 1) / 2 for n in shape[2:])
        self.diffraction_canvas.show_detector_frame(shape[2:], center, self.editor.unit)
        self.scan_canvas.show_probe(*self.probe)
        self._offer_over()
        self.patterns.show()

    # Images from elsewhere

    def show_over_scan(
        self, layer: Any, name: str, image: np.ndarray, sampling: tuple[float, float]
    ) -> None:
        """Show an image of the scanned field in place of that of the virtual detector.

        Parameters
        ----------
        layer
            Of the scan.
        name, image
            What it shows, (y, x) real, of pixels of any size.
        sampling
            Its pixel [Å], (y, x); pixel (0, 0) is scan position (0, 0).
        """
        self.choice.choose(layer)
        if self.scan is not None and self.scan.acquisition.scan_step is not None:
            self.scan_canvas.put_over(name, image, sampling)
            self._offer_over()

    def _offer_over(self) -> None:
        """Let the user choose between that image and the virtual detector's, while there is one."""
        name = self.scan_canvas.over_name
        self.over.setText(name)
        self.over.setVisible(bool(name))
        with quiet(self.over):
            self.over.setChecked(self.scan_canvas.is_over_shown)

    # Virtual detectors

    def _beam(self) -> BeamDisc:
        # The convergence angle may have been entered elsewhere meanwhile: ask the layer.
        acquisition = scan_from_layer(self.scan_layer).acquisition
        return beam_disc(self.patterns.mean(), acquisition, self.editor.unit)

    def add_preset(self, name: str) -> None:
        """Add a usual detector, or set it back to its place.

        Parameters
        ----------
        name
            ``"BF"``, ``"ABF"`` or ``"ADF"``.
        """
        if self.images is not None:
            self.editor.add_preset(name, self._beam(), self.images.binned.detector_shape)

    def add_shape(self, kind: str) -> None:
        """Add a detector of a kind around the beam.

        Parameters
        ----------
        kind
            ``"Disc"``, ``"Annulus"`` or ``"Rectangle"``.
        """
        if self.images is not None:
            self.editor.add_shape(kind, self._beam())

    def _detector_changed(self) -> None:
        self._add_when_exact = False
        self.detector_image.detector_changed()
        self._show_detectors()

    # From state to widgets

    def _show_detectors(self) -> None:
        """Show the detectors, their numbers and the image of the active one."""
        self.editor.show(self.detector_image.show())
        self._show_probe_label()

    def _show_probe_label(self) -> None:
        if self.scan is None:
            self.probe_label.setText("")
            return
        y, x = self.probe
        text = f"Probe y {y}, x {x}"
        if self.scan.acquisition.scan_step is not None:
            step_y, step_x = self.scan.acquisition.scan_step
            text += f"  ({y * step_y / 10:.4g}, {x * step_x / 10:.4g} nm)"
        self.probe_label.setText(text)

    def say(self, message: str) -> None:
        """Show a message below the numbers.

        Parameters
        ----------
        message
            Plain text; empty: nothing.
        """
        self.message.setText(message)

    # Out of the browser

    def add_image_to_viewer(self) -> None:
        """Add the exact image of the active detector to the viewer, as soon as it is there."""
        if self.images is None or self.editor.active is None:
            return
        if not self.images.binned.is_complete:
            self.say("Not the whole scan was read yet; wait, or press Continue.")
            return
        self._add_when_exact = True
        self.detector_image.refine()

    def _finish_adding(self) -> None:
        detector = self.editor.active
        if not self._add_when_exact or self.images is None or detector is None:
            return
        self._add_when_exact = False
        assert self.scan is not None
        region = detector.region
        parameters = {
            "method": "virtual image",
            "detector": type(region).__name__.lower(),
            **dataclasses.asdict(region),
            "unit": self.editor.unit.symbol,
        }
        image = self.images.of(region).image.copy()
        acquisition = self.scan.acquisition
        layer_data = image_layer(image, acquisition, detector.name, "counts", parameters=parameters)
        add_image_over_scan(self.viewer, layer_data, self.scan_layer)

    def python_code(self) -> str:
        """Code that makes the images of all detectors that cover any pixel, without napari."""
        assert self.images is not None
        shape = self.images.binned.detector_shape
        usable = [d for d in self.editor.detectors if _covers(d.region, shape)]
        return python_code(source_of(self.scan_layer), usable, self.probe)

    def copy_as_python(self) -> None:
        """Put `python_code` on the clipboard."""
        if self.images is not None:
            QGuiApplication.clipboard().setText(self.python_code())
            self.say("Copied: Python code that makes these images.")


def _covers(region: Region, shape: tuple[int, int]) -> bool:
    try:
        region.mask(shape)
    except ValueError:
        return False
    return True
