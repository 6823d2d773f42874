"""The 4D-STEM browser: patterns of a scan and images of virtual detectors, linked.

One pass over the data makes a binned copy in memory, from which images follow while a detector is
dragged; the exact image follows from the data as soon as the mouse rests.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QWidget

from stem_plugins.io.scan import Scan
from stem_plugins.napari.browser_code import python_code
from stem_plugins.napari.browser_model import (
    BeamDisc,
    PatternReader,
    beam_disc,
    diffraction_units,
    pattern_center_of_mass,
    shown_intensity,
)
from stem_plugins.napari.contrast import image_limits, pattern_limits
from stem_plugins.napari.layers import image_layer, scan_from_layer
from stem_plugins.napari.planes import add_image_over_scan, scan_layers
from stem_plugins.napari.regions import Region
from stem_plugins.napari.ricom_code import source_of
from stem_plugins.napari.virtual_images import VirtualImages
from stem_plugins.napari.widgets.browser_layout import lay_out
from stem_plugins.napari.widgets.detector_editor import DetectorEditor
from stem_plugins.napari.widgets.forms import quiet
from stem_plugins.napari.widgets.passes import Passes
from stem_plugins.napari.widgets.worker import is_alive

__all__ = ["BrowserWidget"]

#: While a pass runs, the pictures follow at most this often [ms].
REDRAW = 100

#: How long after the last change the exact image is begun [ms].
SETTLED = 200


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
        self.scan_layer: Any = None
        self.scan: Scan | None = None
        self.images: VirtualImages | None = None
        self.probe = (0, 0)
        self._reader: PatternReader | None = None
        self._sample: np.ndarray | None = None
        self._add_when_exact = self._is_closed = False
        lay_out(self)
        self.editor = DetectorEditor(self.form, self.diffraction_canvas)
        self.passes = Passes(self)
        self._redraw = _once(self, self._show_progress)
        self._settle = _once(self, self._refine)
        self._recalibrate = _once(self, self._calibration_changed)
        self._layer_slots: list[tuple[Any, Any]] = []
        self._connect()
        self._list_scans()

    # Connections

    def _connect(self) -> None:
        self.scans.currentIndexChanged.connect(lambda _: self._scan_chosen())
        self.cancel.clicked.connect(self.stop)
        self.resume.clicked.connect(self.read)
        self.passes.progressed.connect(self._redraw_soon)
        self.passes.ended.connect(self._read_ended)
        self.passes.refined.connect(self.scan_canvas.show_values)
        self.passes.exact.connect(self._image_is_exact)
        self.passes.failed.connect(self.say)
        self.editor.changed.connect(self._detector_changed)
        self.editor.said.connect(self.say)
        self.form.shape_wanted.connect(self.add_shape)
        self.form.preset_wanted.connect(self.add_preset)
        self.scan_canvas.probe_dragged.connect(self.move_probe)
        for canvas in (self.scan_canvas, self.diffraction_canvas):
            canvas.stepped.connect(self._step)
        self.intensity.currentIndexChanged.connect(lambda _: self._show_pattern())
        self.unit.currentIndexChanged.connect(lambda _: self._unit_chosen())
        self.averaged.toggled.connect(lambda _: self._show_pattern())
        self.com_cross.toggled.connect(lambda _: self._show_pattern())
        self.add.clicked.connect(self.add_image_to_viewer)
        self.copy.clicked.connect(self.copy_as_python)
        layers = self.viewer.layers
        self._viewer_slots = [
            (layers.events.inserted, self._list_scans),
            (layers.events.removed, self._list_scans),
            (layers.events.renamed, self._list_scans),
            (layers.selection.events.active, self._follow_selection),
        ]
        for emitter, slot in self._viewer_slots:
            emitter.connect(slot)

    def showEvent(self, event: Any) -> None:
        """Watch the window, whose closing must stop all work; called by Qt."""
        super().showEvent(event)
        # Asked for again wherever it is needed: a reference would keep the window alive.
        self.window().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stop all work when the window closes; called by Qt."""
        if event.type() == QEvent.Type.Close and watched is self.window():
            self.stop()
        return super().eventFilter(watched, event)

    def closeEvent(self, event: Any) -> None:
        """Stop all work and let go of the viewer; called by Qt."""
        self.close_browser()
        super().closeEvent(event)

    def close_browser(self) -> None:
        """Stop all work and let go of the viewer; images added to it stay. Once is enough."""
        if self._is_closed:
            return
        self._is_closed = True
        if is_alive(self):
            self.stop()
            for timer in (self._redraw, self._settle, self._recalibrate):
                timer.stop()
        for emitter, slot in self._viewer_slots + self._layer_slots:
            emitter.disconnect(slot)
        self._viewer_slots, self._layer_slots = [], []
        for canvas in (self.scan_canvas, self.diffraction_canvas):
            canvas.close_viewer()

    # The scan

    def _list_scans(self, event: Any = None) -> None:
        """Offer the scans of the viewer; the chosen one stays chosen."""
        if not is_alive(self):
            return
        layers = scan_layers(self.viewer)
        with quiet(self.scans):
            self.scans.clear()
            for layer in layers:
                self.scans.addItem(layer.name, layer)
            if self.scan_layer in layers:
                self.scans.setCurrentIndex(layers.index(self.scan_layer))
        if self.scan_layer not in layers or self.scan_layer is None:
            self._scan_chosen()

    def _follow_selection(self, event: Any = None) -> None:
        """Browse the scan that is selected in the viewer."""
        if not is_alive(self):
            return
        active, layers = self.viewer.layers.selection.active, scan_layers(self.viewer)
        if active in layers and active != self.scan_layer:
            self._list_scans()
            self.scans.setCurrentIndex(layers.index(active))

    def _scan_chosen(self) -> None:
        layer = self.scans.currentData()
        if layer is None or layer != self.scan_layer:
            self._open(layer)

    def _open(self, layer: Any) -> None:
        """Browse another scan, or none."""
        self._close_scan()
        self.scan_layer = layer
        if layer is None:
            self.say("Open a 4D-STEM scan (.mib, .hspy, .zspy), or File > Open Sample.")
            return
        events = layer.events
        self._layer_slots = [(events.data, self._data_changed)] + [
            (emitter, self._recalibrate_soon)
            for emitter in (events.scale, events.translate, events.units)
        ]
        for emitter, slot in self._layer_slots:
            emitter.connect(slot)
        try:
            scan = scan_from_layer(layer)
            self._reader = PatternReader(scan.data)
            self._sample = self._reader.sample_mean()
            self.images = VirtualImages(scan.data)
        except (ValueError, OSError, MemoryError) as error:
            self.say(str(error) or "There is not enough memory for a scan of so many positions.")
            return
        self.scan = scan
        self.probe = (scan.data.shape[0] // 2, scan.data.shape[1] // 2)
        for widget in self._of_a_scan():
            widget.setEnabled(True)
        self._show_units()
        self._show_frames()
        self.add_preset("BF")
        self.read()

    def _close_scan(self) -> None:
        self.stop()
        for emitter, slot in self._layer_slots:
            emitter.disconnect(slot)
        self._layer_slots = []
        self.scan = self.images = self._reader = self._sample = None
        self.editor.clear()
        self.editor.show(None)
        for canvas in (self.scan_canvas, self.diffraction_canvas):
            canvas.clear()
        for widget in self._of_a_scan():
            widget.setEnabled(False)
        self.resume.hide()
        self._show_labels()
        self.say("")

    def _of_a_scan(self) -> tuple[QWidget, ...]:
        """Widgets that are of no use without a scan."""
        return self.canvases, self.form, self.add, self.copy

    def _data_changed(self, event: Any = None) -> None:
        # napari tells of new data also where they are the same array.
        if is_alive(self) and (self.scan is None or self.scan_layer.data is not self.scan.data):
            self._open(self.scan_layer)

    def _recalibrate_soon(self, event: Any = None) -> None:
        # Scale, origin and unit change one after the other; only all three make sense.
        if is_alive(self):
            self._recalibrate.start(0)

    def _calibration_changed(self) -> None:
        if self.scan is None:
            return
        acquisition = scan_from_layer(self.scan_layer).acquisition
        if acquisition != self.scan.acquisition:
            self.scan = dataclasses.replace(self.scan, acquisition=acquisition)
            self._show_units()
            self._show_frames()
            self._show_detectors()

    # Passes over the data

    def read(self) -> None:
        """Go through the data in a thread; the images fill as it goes."""
        if self.images is None:
            return
        self.progress.setRange(0, self.images.binned.scan_shape[0])
        self.progress.setValue(self.images.binned.rows_done)
        self._show_reading(True)
        self.passes.read(self.images)

    def stop(self) -> None:
        """Stop all work in threads; what was read so far stays."""
        self._settle.stop()
        self._redraw.stop()
        self._add_when_exact = False
        if self.passes.stop():
            self._show_reading(False)
            self.resume.show()
            self._show_image()

    def _redraw_soon(self) -> None:
        if not self._redraw.isActive():
            self._redraw.start(REDRAW)

    def _show_progress(self) -> None:
        if self.images is None:
            return
        self.progress.setValue(self.images.binned.rows_done)
        self._show_image()
        if self.averaged.isChecked():
            self._show_pattern()

    def _read_ended(self) -> None:
        self._redraw.stop()
        self._show_reading(False)
        self._show_progress()
        self._settle.start(0)

    def _show_reading(self, reading: bool) -> None:
        self.progress.setVisible(reading)
        self.cancel.setVisible(reading)
        self.resume.hide()

    def _refine(self) -> None:
        """Begin with the exact image of the active detector, unless it is known."""
        if self.images is None or self.scan is None or self.editor.active is None:
            return
        if not self.images.binned.is_complete:
            return
        region = self.editor.active.region
        try:
            shown = self.images.of(region)
        except ValueError:
            return
        if shown.is_exact:
            self._finish_adding()
        else:
            self.passes.refine(self.scan.data, self.images, region, shown.image, shown.mask)

    def _image_is_exact(self) -> None:
        self._show_image()
        self._finish_adding()

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
        with quiet(self.averaged):
            self.averaged.setChecked(False)
        self.scan_canvas.show_probe(*self.probe)
        self._show_probe_label()
        self._show_pattern()

    def _step(self, dy: int, dx: int) -> None:
        self.move_probe(self.probe[0] + dy, self.probe[1] + dx)

    def _show_pattern(self) -> None:
        """Show the pattern at the probe, or the mean of all patterns read so far."""
        if self.images is None or self._reader is None:
            return
        averaged = self.averaged.isChecked()
        try:
            pattern = self._mean_pattern() if averaged else self._reader.pattern(*self.probe)
        except (OSError, ValueError) as error:
            self.say(str(error))
            return
        values = shown_intensity(pattern, self.intensity.currentText())
        self.diffraction_canvas.show_values(values, pattern_limits(values))
        cross = pattern_center_of_mass(pattern) if self.com_cross.isChecked() else None
        self.diffraction_canvas.show_center_of_mass(cross)
        title = "mean of all patterns" if averaged else "pattern at the probe"
        self.diffraction_canvas.title.setText(f"Diffraction: {title}")

    def _mean_pattern(self) -> np.ndarray:
        assert self.images is not None
        assert self._sample is not None
        binned = self.images.binned
        return binned.mean_pattern() if binned.rows_done else self._sample

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
        self._show_pattern()

    # Virtual detectors

    def _beam(self) -> BeamDisc:
        # The convergence angle may have been entered elsewhere meanwhile: ask the layer.
        acquisition = scan_from_layer(self.scan_layer).acquisition
        return beam_disc(self._mean_pattern(), acquisition, self.editor.unit)

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
        self._settle.stop()
        self._add_when_exact = False
        self.passes.stop_refining()
        self._show_detectors()

    # From state to widgets

    def _show_detectors(self) -> None:
        """Show the detectors, their numbers and the image of the active one."""
        self.editor.show(self._show_image())

    def _show_image(self) -> np.ndarray | None:
        """Show the image of the active detector; return its mask, if it covers any pixel."""
        self._show_labels()
        if self.images is None or self.scan_canvas.image is None:
            return None
        binned, detector = self.images.binned, self.editor.active
        if detector is None:
            self.scan_canvas.show_values(np.zeros(binned.scan_shape))
            return None
        try:
            shown = self.images.of(detector.region)
        except ValueError as error:
            self.scan_canvas.show_values(np.zeros(binned.scan_shape))
            self.say(str(error))
            return None
        # Rows that are not there yet must not set the contrast.
        limits = image_limits(shown.image[: binned.rows_done or None])
        self.scan_canvas.show_values(shown.image, limits)
        self._show_labels(shown.is_exact)
        if binned.is_complete and not shown.is_exact and not self.passes.is_refining:
            self._settle.start(SETTLED)
        return shown.mask

    def _show_labels(self, is_exact: bool = True) -> None:
        detector = self.editor.active
        if self.images is None or detector is None:
            self.scan_canvas.title.setText("Scan")
        else:
            binned = self.images.binned
            quality = f" (patterns binned {binned.factor} × {binned.factor})"
            if not binned.is_complete:
                quality = f" ({binned.rows_done} of {binned.scan_shape[0]} rows)"
            self.scan_canvas.title.setText(f"Scan: {detector.name}{'' if is_exact else quality}")
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
        if not self.passes.is_refining:
            self._refine()

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


def _once(parent: QWidget, slot: Any) -> QTimer:
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.timeout.connect(slot)
    return timer


def _covers(region: Region, shape: tuple[int, int]) -> bool:
    try:
        region.mask(shape)
    except ValueError:
        return False
    return True
