"""The riCOM panel: one pass over a scan, then every image follows every control at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QSize
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QWidget

from stem_plugins.imaging.moments import Moments
from stem_plugins.imaging.pattern_checks import largest_count_of
from stem_plugins.napari.common_units import agree_on_units, keep_units_alike
from stem_plugins.napari.kept_moments import (
    KeptMoments,
    guess_center,
    inscribed_radius,
    iter_fill,
    ring_radii,
    warnings_of,
)
from stem_plugins.napari.layers import acquisition_of, scan_from_layer, set_acquisition
from stem_plugins.napari.ricom_code import python_code, source_of
from stem_plugins.napari.ricom_model import RicomSettings, default_settings, rotation_from, snapped
from stem_plugins.napari.scan_shape import set_scan_shape
from stem_plugins.napari.view import scale_bar_of
from stem_plugins.napari.widgets.closing import StopWhenClosed
from stem_plugins.napari.widgets.layer_choice import LayerChoice
from stem_plugins.napari.widgets.layout import WIDTH, lay_out
from stem_plugins.napari.widgets.live_images import LiveImages
from stem_plugins.napari.widgets.plane_view import PlaneView
from stem_plugins.napari.widgets.saving import ask_and_save
from stem_plugins.napari.widgets.words import words_of
from stem_plugins.napari.widgets.worker import is_alive, once, start_worker
from stem_plugins.optics.acquisition import Acquisition

__all__ = ["RicomPanel"]

#: While a pass runs, the images follow at most this often [ms].
REDRAW = 150

#: How long the centre must stand still before the axes of the layers follow [ms].
SETTLED = 300


class RicomPanel(QWidget):
    """Dock widget for riCOM, iCOM, centre of mass, field, divergence and an annular detector.

    The `Acquisition` lives in the scan's layer, the moments in `KeptMoments`, the rest of the
    choices in `RicomSettings`; the widgets show them.

    Parameters
    ----------
    napari_viewer
        The viewer; napari passes it by the name of this parameter.
    """

    def __init__(self, napari_viewer) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.viewer = napari_viewer
        self.settings = RicomSettings()
        self.worker: Any = None
        self._shown = Acquisition()  # in the forms
        self._proposed = (0.0, 0.0)  # radii of the annular detector
        lay_out(self)
        self.closing = StopWhenClosed(self, self.stop, self._let_go)
        self.chosen_scan = LayerChoice(napari_viewer, self.scans)
        self.images = LiveImages(
            napari_viewer,
            removed=self.choice.leave_out,
            front_changed=self._show_spectrum,
            failed=self._failed,
            parent=self,
        )
        self._redraw = once(self, self.refresh, REDRAW)
        self._settled = once(self, self._place_layers, SETTLED)
        self.plane_view = PlaneView(self)
        self._connect()
        keep_units_alike(napari_viewer)
        self.chosen_scan.list_layers()

    def sizeHint(self) -> QSize:
        """Size that the dock asks for; called by Qt."""
        return QSize(WIDTH, 820)

    # Connections

    def _connect(self) -> None:
        self.chosen_scan.chosen.connect(self._open)
        self.chosen_scan.moved.connect(self._take_scale)
        self.set_shape.clicked.connect(self.apply_scan_shape)
        self.run.clicked.connect(self.start)
        self.cancel.clicked.connect(self.stop)
        self.choice.changed.connect(self.refresh)
        self.kernel_form.changed.connect(self._settings_edited)
        self.orientation.changed.connect(self._orientation_edited)
        self.orientation.estimate_asked.connect(self.estimate)
        self.calibration.changed.connect(self.calibrate)
        self.copy.clicked.connect(self.copy_as_python)
        self.save.clicked.connect(self._save)
        self.viewer.layers.selection.events.active.connect(self._selected)

    def close_panel(self) -> None:
        """Stop the pass and let go of the viewer; the images stay. Once is enough."""
        self.closing.close()

    def _let_go(self) -> None:
        self.chosen_scan.close()
        self.plane_view.close()
        self.viewer.layers.selection.events.active.disconnect(self._selected)
        if is_alive(self):
            self.stop()
            for timer in (self._redraw, self._settled):
                timer.stop()
            self.images.close()

    @property
    def scan_layer(self) -> Any:
        """Layer of the scan, or `None`."""
        return self.chosen_scan.layer

    @property
    def kept(self) -> KeptMoments | None:
        """Moments of the scan, as far as they were seen; `None` before a run."""
        return self.images.kept

    # The scan

    def _open(self, layer: Any) -> None:
        """Turn to another scan, or to none."""
        self.stop()
        self.images.start(layer, None)
        self._forget_findings()
        for widget in (self.run, self.set_shape, self.controls, self.copy, self.save):
            widget.setEnabled(layer is not None)
        if layer is None:
            self.say("Open a 4D-STEM scan (.mib, .hspy, .zspy), or File > Open Sample.")
            return
        self.say("")
        self.settings = self._default_settings(acquisition_of(layer))
        self.show_shape(layer.data.shape, layer.data.dtype)
        self._show_values()

    def _radii(self) -> np.ndarray:
        """Radii that the annular detector can have [px]."""
        return ring_radii(self.scan_layer.data.shape, self._detector_center())

    def _detector_center(self) -> tuple[float, float]:
        """Centre of the annular detector [px], as far as it is known yet."""
        if self.kept is not None:
            return self.kept.disc_center
        y, x = self.scan_layer.data.shape[2:]
        return acquisition_of(self.scan_layer).center or ((y - 1) / 2, (x - 1) / 2)

    def _default_settings(self, acquisition: Acquisition) -> RicomSettings:
        shape = self.scan_layer.data.shape
        reach = inscribed_radius(shape[2:], self._detector_center())
        settings = default_settings(shape[:2], self._radii(), acquisition, reach)
        self._proposed = (settings.inner, settings.outer)
        return settings

    def apply_scan_shape(self) -> None:
        """Give the frames of the layer the scan shape of the form."""
        layer, shape = self.scan_layer, (self.rows.value(), self.columns.value())
        self.stop()
        try:
            set_scan_shape(layer, shape)
        except (ValueError, OSError) as error:
            self.say(words_of(error))

    # The pass over the data

    def start(self) -> None:
        """Go through the data in a thread; the images fill as it goes."""
        self.stop()
        if self.scan_layer is None:
            return
        try:
            scan = scan_from_layer(self.scan_layer)
        except ValueError as error:
            self.say(str(error))
            return
        self.images.start(self.scan_layer, None)
        self._forget_findings()
        if not self.choice.names():
            self.choice.choose("riCOM")  # a run without any image looks as if it had failed
        self.progress.setRange(0, scan.data.shape[0])
        self.progress.setValue(0)
        self._show_running(True)
        worker = start_worker(
            self,
            iter_fill,
            None,
            scan.data,
            scan.acquisition.center,
            yielded=lambda value: worker is self.worker and self._take(value),
            failed=lambda error: worker is self.worker and self._failed(error),
            finished=lambda: worker is self.worker and self._finished(),
        )
        self.worker = worker

    def stop(self) -> None:
        """Stop the pass; what was seen so far stays."""
        if self.worker is not None:
            self.worker.quit()
            self.worker = None
            self._show_running(False)
            self._show_findings()
            self.say("Stopped; the images show what was seen so far." if self.kept else "")

    def _take(self, value: KeptMoments | tuple[slice, Moments]) -> None:
        if isinstance(value, KeptMoments):
            self.images.start(self.scan_layer, value)
            if (self.settings.inner, self.settings.outer) == self._proposed:
                # Nobody has chosen another annulus: propose it for the centre known by now.
                now = self._default_settings(acquisition_of(self.scan_layer))
                self.settings = self.settings.replace(inner=now.inner, outer=now.outer)
            self.settings = snapped(self.settings, value.radii)
            self._show_values()
            return
        assert self.kept is not None
        self.kept.add(*value)
        self.images.moments_changed()
        self.progress.setValue(int(np.count_nonzero(self.kept.seen)))
        if not self._redraw.isActive():
            self._redraw.start()

    def _failed(self, error: Exception) -> None:
        self.say(words_of(error))

    def _finished(self) -> None:
        self.worker = None
        self._show_running(False)
        self._redraw.stop()
        self.refresh()
        self.images.finish()
        self._show_findings()
        if self.kept is not None:
            self.orientation.show_center(self.kept.center(acquisition_of(self.scan_layer)))

    def _forget_findings(self) -> None:
        """Show nothing that was found in a scan, or in a pass, before."""
        self.plots.clear_scan()
        self.orientation.forget_estimate()
        self._show_findings()

    def _show_findings(self) -> None:
        """Say which patterns are saturated or empty, as far as the pass has come."""
        found: list[str] = []
        if self.kept is not None:
            scan = scan_from_layer(self.images.scan_layer)
            limit = largest_count_of(scan.data.dtype, scan.largest_count)
            found = warnings_of(self.kept, limit)
        self.findings.say("\n".join(found))

    def _show_running(self, running: bool) -> None:
        self.run.setVisible(not running)
        self.cancel.setVisible(running)
        self.progress.setVisible(running)
        if running:
            self.say("")

    # From controls to images

    def _settings_edited(self) -> None:
        self.say("")
        self.settings = snapped(self.kernel_form.settings(), self._radii())
        self._show_kernel_form()
        self.refresh()

    def _orientation_edited(self) -> None:
        self.say("")
        self.settings = self.settings.replace(descan=self.orientation.descan.currentData())
        self.calibrate(self.orientation.acquisition(acquisition_of(self.scan_layer)))

    def calibrate(self, acquisition: Acquisition) -> None:
        """Give the scan and its images another calibration.

        Parameters
        ----------
        acquisition
            From one of the forms.
        """
        before = self._shown
        self.settings = self.settings.with_scan_step(before, acquisition)
        if (before.scan_step, before.diffraction_step) == (
            acquisition.scan_step,
            acquisition.diffraction_step,
        ):
            # At most the origin of the detector axes moves, which no image shows.
            self.scan_layer.metadata["acquisition"] = acquisition
            self._settled.start()
        else:
            self._place_layers(acquisition)
            self.plane_view.fit()
        self._show_values()
        self.refresh()

    def _take_scale(self) -> None:
        """Take over a scale that a user gave to the layer in napari."""
        if self.scan_layer is not None and acquisition_of(self.scan_layer) != self._shown:
            self.calibrate(acquisition_of(self.scan_layer))

    def _place_layers(self, acquisition: Acquisition | None = None) -> None:
        """Give the scan and its images the axes of a calibration; by default their own."""
        if self.scan_layer is not None:
            acquisition = acquisition or acquisition_of(self.scan_layer)
            set_acquisition(self.scan_layer, acquisition)
            self.images.results.calibrate(acquisition)
            agree_on_units(self.viewer)

    def estimate(self) -> None:
        """Estimate rotation and mirroring from what was seen so far."""
        if self.kept is None or not self.kept.seen.any():
            self.say("Run first: the estimate needs the centres of mass.")
            return
        try:
            estimate = rotation_from(self.kept, acquisition_of(self.scan_layer))
        except ValueError as error:
            self.say(str(error))
            return
        self.orientation.show_estimate(estimate)

    def refresh(self) -> None:
        """Bring all chosen images up to date; what has not changed is not computed again."""
        acquisition = self._acquisition()
        self.plots.kernel.show_kernel(self.settings, acquisition)
        self.images.update(self.choice.names(), self.settings, acquisition)
        if self.kept is not None and self.kept.seen.any():
            self.plots.show_pattern(self.kept, self.settings, acquisition)
            scale_bar_of(self.viewer).visible = True

    # From state to widgets

    def _acquisition(self) -> Acquisition:
        return Acquisition() if self.scan_layer is None else acquisition_of(self.scan_layer)

    def _show_values(self) -> None:
        """Show settings and calibration in all forms."""
        acquisition, shape = self._acquisition(), self.scan_layer.data.shape
        self._shown = acquisition
        middle = ((shape[2] - 1) / 2, (shape[3] - 1) / 2)
        center = self.kept.center(acquisition) if self.kept is not None else middle
        self._show_kernel_form()
        self.orientation.show_acquisition(acquisition, self.settings.descan, center)
        self.calibration.show_acquisition(acquisition, shape)
        self.plots.kernel.show_kernel(self.settings, acquisition)

    def _show_kernel_form(self) -> None:
        radii = self._radii()
        self.kernel_form.show_settings(
            self.settings,
            self._acquisition(),
            self.scan_layer.data.shape[:2],
            float(radii[0]),
            float(radii[-1]),
        )

    def _show_spectrum(self, name: str, image: np.ndarray) -> None:
        self.plots.show_image(name, image, self.settings, self._acquisition())

    def _selected(self, event: Any = None) -> None:
        if is_alive(self):
            self.images.show_front()

    def say(self, message: str) -> None:
        """Show a message above the plots; an empty one hides the line.

        Parameters
        ----------
        message
            Plain text.
        """
        self.message.say(message)

    # Out of the panel

    def python_code(self) -> str:
        """Code that makes the chosen images without napari."""
        center = self.kept.disc_center if self.kept is not None else None
        return python_code(
            source_of(self.scan_layer),
            self.settings,
            self._acquisition(),
            self.choice.names(),
            detector_center=center or guess_center(self.scan_layer.data),
        )

    def copy_as_python(self) -> None:
        """Put `python_code` on the clipboard."""
        QGuiApplication.clipboard().setText(self.python_code())
        self.say("Copied: Python code that makes these images.")

    def _save(self) -> None:
        self.images.finish()
        self.say(ask_and_save(self, self.images.results, self.scan_layer.name))
