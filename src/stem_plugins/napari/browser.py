"""The 4D-STEM browser: patterns of a scan and images of virtual detectors, linked.

One pass over the data makes a binned copy in memory, from which images follow while a detector is
dragged; the exact image follows from the data as soon as the mouse lets go.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QWidget

from stem_plugins.io.scan import Scan
from stem_plugins.napari.binned_scan import iter_exact_image
from stem_plugins.napari.browser_code import python_code
from stem_plugins.napari.browser_model import (
    DiffractionUnit,
    PatternReader,
    beam_disc,
    diffraction_units,
    pattern_center_of_mass,
    preset_detectors,
    shown_intensity,
)
from stem_plugins.napari.layers import image_layer, image_limits, scan_from_layer
from stem_plugins.napari.planes import add_image_over_scan, scan_layers
from stem_plugins.napari.ricom_code import source_of
from stem_plugins.napari.virtual_detectors import Annulus, Rectangle, Region, VirtualDetector
from stem_plugins.napari.virtual_images import VirtualImages
from stem_plugins.napari.widgets.browser_layout import lay_out
from stem_plugins.napari.widgets.forms import quiet
from stem_plugins.napari.widgets.worker import is_alive, start_worker

__all__ = ["BrowserWidget"]

#: While a pass runs, the pictures follow at most this often [ms].
REDRAW = 100

#: How long after the last change the exact image is begun [ms].
SETTLED = 200

#: Of detectors, in turn; bright on dark patterns and told apart by colour-blind eyes.
COLORS = ("#39d5ff", "#ffb000", "#7dff6b", "#ff6fd8", "#ffffff", "#b79cff")


class BrowserWidget(QWidget):
    """Dock widget with two linked canvases, scan and diffraction.

    The `Acquisition` lives in the scan's layer, the images in `VirtualImages`; the widgets show
    them.

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
        self.detectors: list[VirtualDetector] = []
        self.active = -1
        self.probe = (0, 0)
        self.beam_unit = DiffractionUnit("px", (1.0, 1.0))
        self._reader: PatternReader | None = None
        self._sample: np.ndarray | None = None
        self._worker: Any = None
        self._exact_worker: Any = None
        self._exact_image: np.ndarray | None = None
        self._add_when_exact = False
        self._window: QObject | None = None
        lay_out(self)
        self._redraw = _once(self, self._show_progress)
        self._settle = _once(self, self._start_exact)
        self._recalibrate = _once(self, self._calibration_changed)
        self._connect()
        self._list_scans()

    # Connections

    def _connect(self) -> None:
        self.scans.currentIndexChanged.connect(lambda _: self._scan_chosen())
        self.cancel.clicked.connect(self.stop)
        self.resume.clicked.connect(self.read)
        self.scan_canvas.probe_dragged.connect(self.move_probe)
        for canvas in (self.scan_canvas, self.diffraction_canvas):
            canvas.stepped.connect(self._step)
        self.diffraction_canvas.detector_chosen.connect(self.choose)
        self.diffraction_canvas.region_dragged.connect(self.change_region)
        self.form.chosen.connect(self.choose)
        self.form.region_edited.connect(self.change_region)
        self.form.renamed.connect(self._rename)
        self.form.shape_wanted.connect(self.add_shape)
        self.form.preset_wanted.connect(self.add_preset)
        self.form.removed.connect(self.remove_detector)
        self.form.refused.connect(self._refused)
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
        self._layer_slots: list[tuple[Any, Any]] = []
        for emitter, slot in self._viewer_slots:
            emitter.connect(slot)

    def showEvent(self, event: Any) -> None:
        """Watch the window, whose closing must stop all work; called by Qt."""
        super().showEvent(event)
        if self.window() is not self._window:
            self._window = self.window()
            self._window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stop all work when the window closes; called by Qt."""
        if watched is self._window and event.type() == QEvent.Type.Close:
            self.stop()
        return super().eventFilter(watched, event)

    def closeEvent(self, event: Any) -> None:
        """Stop all work and let go of the viewer; called by Qt."""
        self.close_browser()
        super().closeEvent(event)

    def close_browser(self) -> None:
        """Stop all work and let go of the viewer; images added to it stay."""
        self.stop()
        for timer in (self._redraw, self._settle, self._recalibrate):
            timer.stop()
        for emitter, slot in self._viewer_slots + self._layer_slots:
            emitter.disconnect(slot)
        self._viewer_slots, self._layer_slots = [], []
        for canvas in (self.scan_canvas, self.diffraction_canvas):
            canvas.qt_viewer.close()

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
        active = self.viewer.layers.selection.active
        layers = scan_layers(self.viewer)
        if active in layers and active is not self.scan_layer:
            self._list_scans()
            self.scans.setCurrentIndex(layers.index(active))

    def _scan_chosen(self) -> None:
        layer = self.scans.currentData()
        if layer is not self.scan_layer or layer is None:
            self._open(layer)

    def _open(self, layer: Any) -> None:
        """Browse another scan, or none."""
        self.stop()
        for emitter, slot in self._layer_slots:
            emitter.disconnect(slot)
        self._layer_slots = []
        self.scan_layer, self.scan, self.images = layer, None, None
        self.detectors, self.active = [], -1
        for widget in (self.canvases, self.form, self.add, self.copy):
            widget.setEnabled(layer is not None)
        self.resume.hide()
        if layer is None:
            for canvas in (self.scan_canvas, self.diffraction_canvas):
                canvas.clear()
            self._show_labels()
            self.form.show_detectors([], -1, self.beam_unit)
            self.say("Open a 4D-STEM scan (.mib, .hspy, .zspy), or File > Open Sample.")
            return
        self.say("")
        self._layer_slots = [
            (layer.events.data, self._data_changed),
            (layer.events.scale, self._recalibrate_soon),
            (layer.events.translate, self._recalibrate_soon),
            (layer.events.units, self._recalibrate_soon),
        ]
        for emitter, slot in self._layer_slots:
            emitter.connect(slot)
        try:
            self.scan = scan_from_layer(layer)
            self._reader = PatternReader(self.scan.data)
            self._sample = self._reader.sample_mean()
            self.images = VirtualImages(self.scan.data)
        except (ValueError, OSError, MemoryError) as error:
            self.say(str(error) or type(error).__name__)
            return
        self.probe = (self.scan.data.shape[0] // 2, self.scan.data.shape[1] // 2)
        self._show_units()
        self._show_frames()
        self.add_preset("BF")
        self.read()

    def _data_changed(self, event: Any = None) -> None:
        # Changing a slider of the viewer makes this event too, with the same array.
        if self.scan is not None and self.scan_layer.data is not self.scan.data:
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
            self._show_all()

    # Passes over the data

    def read(self) -> None:
        """Go through the data in a thread; the images fill as it goes."""
        if self.images is None:
            return
        self.stop()
        binned = self.images.binned
        self.progress.setRange(0, binned.scan_shape[0])
        self.progress.setValue(binned.rows_done)
        self._show_running(True)
        worker = start_worker(
            self,
            binned.iter_fill,
            None,
            yielded=lambda _: worker is self._worker and self._redraw_soon(),
            failed=lambda error: worker is self._worker and self._failed(error),
            finished=lambda: worker is self._worker and self._read_to_the_end(),
        )
        self._worker = worker

    def stop(self) -> None:
        """Stop all work in threads; what was read so far stays."""
        self._stop_exact()
        self._redraw.stop()
        if self._worker is not None:
            self._worker.quit()
            self._worker = None
            self._show_running(False)
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

    def _failed(self, error: Exception) -> None:
        self.say(str(error) or type(error).__name__)

    def _read_to_the_end(self) -> None:
        self._worker = None
        self._redraw.stop()
        self._show_running(False)
        self._show_image()
        self._settle.start(0)
        if self.averaged.isChecked():
            self._show_pattern()

    def _show_running(self, running: bool) -> None:
        self.progress.setVisible(running)
        self.cancel.setVisible(running)
        self.resume.hide()

    def _start_exact(self) -> None:
        """Begin with the exact image of the active detector, unless it is known."""
        if self.images is None or not 0 <= self.active < len(self.detectors):
            return
        images, region = self.images, self.detectors[self.active].region
        try:
            shown = images.of(region)
        except ValueError:
            return
        if shown.is_exact or not images.binned.is_complete:
            self._finish_adding()
            return
        self._stop_exact(keep_adding=True)
        assert self.scan is not None
        self._exact_image = shown.image.copy()
        worker = start_worker(
            self,
            _exact_rows,
            lambda _: worker is self._exact_worker and self._exact_done(region),
            self.scan.data,
            shown.mask,
            yielded=lambda value: worker is self._exact_worker and self._take_exact(*value),
            failed=lambda error: worker is self._exact_worker and self._failed(error),
        )
        self._exact_worker = worker

    def _stop_exact(self, *, keep_adding: bool = False) -> None:
        self._settle.stop()
        self._add_when_exact = self._add_when_exact and keep_adding
        if self._exact_worker is not None:
            self._exact_worker.quit()
            self._exact_worker = None

    def _take_exact(self, rows: slice, image: np.ndarray) -> None:
        assert self._exact_image is not None
        self._exact_image[rows] = image
        self.scan_canvas.show_values(self._exact_image)

    def _exact_done(self, region: Region) -> None:
        self._exact_worker = None
        assert self.images is not None
        assert self._exact_image is not None
        self.images.keep(region, self._exact_image)
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
        if self.averaged.isChecked():
            with quiet(self.averaged):
                self.averaged.setChecked(False)
        self._show_probe()
        self._show_pattern()

    def _step(self, dy: int, dx: int) -> None:
        self.move_probe(self.probe[0] + dy, self.probe[1] + dx)

    def _show_probe(self) -> None:
        self.scan_canvas.show_probe(*self.probe)
        self._show_labels()

    def _show_pattern(self) -> None:
        """Show the pattern at the probe, or the mean of all patterns read so far."""
        if self.images is None or self._reader is None:
            return
        try:
            if not self.averaged.isChecked():
                pattern = self._reader.pattern(*self.probe)
            elif self.images.binned.rows_done:
                pattern = self.images.binned.mean_pattern()
            else:
                pattern = self._sample
        except (OSError, ValueError) as error:
            self._failed(error)
            return
        values = shown_intensity(pattern, self.intensity.currentText())
        self.diffraction_canvas.show_values(values, _pattern_limits(values))
        cross = pattern_center_of_mass(pattern) if self.com_cross.isChecked() else None
        self.diffraction_canvas.show_center_of_mass(cross)

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
        self._use_unit()

    def _use_unit(self) -> None:
        self.beam_unit = self.unit.currentData()
        self.detectors = [
            dataclasses.replace(d, region=d.region.rescaled(self.beam_unit.pixel_size))
            for d in self.detectors
        ]

    def _unit_chosen(self) -> None:
        self._use_unit()
        self._show_frames()
        self._show_all()

    def _show_frames(self) -> None:
        """Begin both canvases anew, with the axes of the calibration."""
        assert self.scan is not None
        shape = self.scan.data.shape
        self.scan_canvas.show_scan(shape[:2], self.scan.acquisition)
        center = self.scan.acquisition.center or tuple((n - 1) / 2 for n in shape[2:])
        self.diffraction_canvas.show_detector_frame(shape[2:], center, self.beam_unit)
        self._show_probe()
        self._show_pattern()

    # Virtual detectors

    def add_preset(self, name: str) -> None:
        """Add a usual detector, or set it back to its place.

        Parameters
        ----------
        name
            ``"BF"``, ``"ABF"`` or ``"ADF"``.
        """
        if self.scan is None or self.images is None:
            return
        # The convergence angle may have been entered meanwhile: ask the layer.
        acquisition = scan_from_layer(self.scan_layer).acquisition
        done = self.images.binned.rows_done
        pattern = self.images.binned.mean_pattern() if done else self._sample
        beam = beam_disc(pattern, acquisition, self.beam_unit)
        presets = preset_detectors(beam, self.images.binned.detector_shape, self.beam_unit)
        if name not in presets:
            self.say("The bright-field disc fills the detector: no room for a dark-field detector.")
            return
        self._put(name, presets[name])
        if not beam.is_calibrated:
            self.say(
                "Convergence angle unknown: α was measured in the patterns, "
                f"{beam.radius:.4g} {self.beam_unit.symbol}."
            )

    def add_shape(self, kind: str) -> None:
        """Add a detector of a kind around the beam.

        Parameters
        ----------
        kind
            ``"Disc"``, ``"Annulus"`` or ``"Rectangle"``.
        """
        if self.scan is None or self.images is None:
            return
        size = self.beam_unit.pixel_size
        beam = beam_disc(self._sample, self.scan.acquisition, self.beam_unit)
        radius = float(f"{beam.radius:.4g}")
        center = (round(beam.center[0], 2), round(beam.center[1], 2))
        regions: dict[str, Region] = {
            "Disc": Annulus(center, 0.0, float(f"{radius / 2:.4g}"), size),
            "Annulus": Annulus(center, radius, float(f"{radius * 1.5:.4g}"), size),
            "Rectangle": Rectangle(center, radius, radius, size),
        }
        names = {detector.name for detector in self.detectors}
        name, number = kind, 1
        while name in names:
            number += 1
            name = f"{kind} {number}"
        self._put(name, regions[kind])

    def _put(self, name: str, region: Region) -> None:
        self.say("")
        names = [detector.name for detector in self.detectors]
        if name in names:
            self.active = names.index(name)
            self.change_region(self.active, region)
            return
        used = {detector.color for detector in self.detectors}
        free = [color for color in COLORS if color not in used]
        color = free[0] if free else COLORS[len(names) % len(COLORS)]
        self.detectors.append(VirtualDetector(name, region, color))
        self.choose(len(self.detectors) - 1)

    def choose(self, index: int) -> None:
        """Show the image of another detector.

        Parameters
        ----------
        index
            Of `detectors`.
        """
        if index != self.active or self.form.list.count() != len(self.detectors):
            self._stop_exact()
            self.active = index
            self._show_all()

    def change_region(self, index: int, region: Region) -> None:
        """Give a detector another region; the image follows at once.

        Parameters
        ----------
        index
            Of `detectors`.
        region
            The new region.
        """
        self._stop_exact()
        self.detectors[index] = dataclasses.replace(self.detectors[index], region=region)
        self._show_all()

    def remove_detector(self, index: int) -> None:
        """Remove a detector.

        Parameters
        ----------
        index
            Of `detectors`.
        """
        self._stop_exact()
        del self.detectors[index]
        self.active = min(self.active, len(self.detectors) - 1)
        self._show_all()

    def _rename(self, index: int, name: str) -> None:
        others = {d.name for i, d in enumerate(self.detectors) if i != index}
        if name and name not in others:
            self.detectors[index] = dataclasses.replace(self.detectors[index], name=name)
        else:
            self.say(f"Each detector needs a name of its own, not {name!r}.")
        self._show_all()

    def _refused(self, message: str) -> None:
        self._show_all()
        self.say(message)

    # From state to widgets

    def _show_all(self) -> None:
        """Show the detectors, their numbers and the image of the active one."""
        mask = self._show_image()
        self.diffraction_canvas.show_detectors(self.detectors, self.active, mask)
        self.form.show_detectors(self.detectors, self.active, self.beam_unit)

    def _show_image(self) -> np.ndarray | None:
        """Show the image of the active detector; return its mask, if it covers any pixel."""
        if self.images is None or self.scan_canvas.image is None:
            return None
        if not 0 <= self.active < len(self.detectors):
            self.scan_canvas.show_values(np.zeros(self.images.binned.scan_shape))
            self._show_labels()
            return None
        try:
            shown = self.images.of(self.detectors[self.active].region)
        except ValueError as error:
            self.scan_canvas.show_values(np.zeros(self.images.binned.scan_shape))
            self._show_labels(" (empty)")
            self.say(str(error))
            return None
        done = self.images.binned.rows_done
        # Rows that are not there yet must not set the contrast.
        limits = image_limits(shown.image[:done]) if done else (0.0, 1.0)
        self.scan_canvas.show_values(shown.image.astype(np.float32), limits)
        factor = self.images.binned.factor
        self._show_labels("" if shown.is_exact else f" (patterns binned {factor} × {factor})")
        if self._exact_worker is None and not shown.is_exact and self._worker is None:
            self._settle.start(SETTLED)
        return shown.mask

    def _show_labels(self, quality: str = "") -> None:
        chosen = 0 <= self.active < len(self.detectors)
        name = self.detectors[self.active].name if chosen else ""
        self.scan_canvas.title.setText(f"Scan: {name} image{quality}" if chosen else "Scan")
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
        """Show a message; an empty one hides the line.

        Parameters
        ----------
        message
            Plain text.
        """
        self.message.setText(message)
        self.message.setVisible(bool(message))

    # Out of the browser

    def add_image_to_viewer(self) -> None:
        """Add the exact image of the active detector to the viewer, as soon as it is there."""
        if self.images is None or not 0 <= self.active < len(self.detectors):
            return
        if not self.images.binned.is_complete:
            self.say("Not the whole scan was read yet; wait, or press Continue.")
            return
        self._add_when_exact = True
        if self._exact_worker is None:
            self._start_exact()

    def _finish_adding(self) -> None:
        if not self._add_when_exact:
            return
        self._add_when_exact = False
        assert self.images is not None
        assert self.scan is not None
        detector = self.detectors[self.active]
        shown = self.images.of(detector.region)
        parameters = {
            "method": "virtual image",
            "detector": type(detector.region).__name__.lower(),
            **dataclasses.asdict(detector.region),
            "unit": self.beam_unit.symbol,
        }
        layer_data = image_layer(
            shown.image.copy(),
            self.scan.acquisition,
            detector.name,
            "counts",
            parameters=parameters,
        )
        add_image_over_scan(self.viewer, layer_data, self.scan_layer)

    def python_code(self) -> str:
        """Code that makes the images of all detectors that cover any pixel, without napari."""
        assert self.images is not None
        shape = self.images.binned.detector_shape
        usable = [detector for detector in self.detectors if _covers(detector.region, shape)]
        return python_code(source_of(self.scan_layer), usable, self.probe)

    def copy_as_python(self) -> None:
        """Put `python_code` on the clipboard."""
        if self.images is not None:
            QGuiApplication.clipboard().setText(self.python_code())
            self.say("Copied: Python code that makes these images.")


def _exact_rows(data: Any, mask: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    # A generator function of its own: napari asks the function, not its result, what it is.
    yield from iter_exact_image(data, mask)


def _once(parent: QWidget, slot: Any) -> QTimer:
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.timeout.connect(slot)
    return timer


def _pattern_limits(values: np.ndarray) -> tuple[float, float]:
    """From the darkest value to the brightest but for one pixel in a thousand: hot pixels."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(np.percentile(finite, 99.9))
    return (low, high) if high > low else (low, low + 1.0)


def _covers(region: Region, shape: tuple[int, int]) -> bool:
    try:
        region.mask(shape)
    except ValueError:
        return False
    return True
