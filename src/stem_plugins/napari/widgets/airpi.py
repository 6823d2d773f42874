"""The panel AIRPI: the phase of a thin specimen, drawn strip by strip while the scan is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QWidget

from stem_plugins.models.registry import find_airpi_weights
from stem_plugins.napari.airpi_code import python_code
from stem_plugins.napari.airpi_layers import evidence_layers, phase_layer
from stem_plugins.napari.airpi_model import (
    Drawn,
    check_scan,
    image_scan,
    outcome_of,
    rows_drawn,
)
from stem_plugins.napari.layers import scan_from_layer
from stem_plugins.napari.planes import show_values
from stem_plugins.napari.restoration import Progress
from stem_plugins.napari.ricom_code import source_of
from stem_plugins.napari.view import scale_bar_of
from stem_plugins.napari.widgets.airpi_layout import lay_out
from stem_plugins.napari.widgets.checked_scan import NO_SCAN, CheckedScan
from stem_plugins.napari.widgets.closing import StopWhenClosed
from stem_plugins.napari.widgets.layout import WIDTH
from stem_plugins.napari.widgets.plane_view import PlaneView
from stem_plugins.napari.widgets.run_images import RunImages
from stem_plugins.napari.widgets.saving import ask_and_save
from stem_plugins.napari.widgets.words import words_of
from stem_plugins.napari.widgets.worker import is_alive, start_worker
from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    from stem_plugins.rapid_phase_imaging.result import AirpiResult

__all__ = ["AirpiPanel"]

#: How often the progress of the thread is looked at [ms].
LOOK = 100

#: Steps of the progress bar.
STEPS = 1000


class AirpiPanel(QWidget):
    """Dock widget for AI-assisted rapid phase imaging of a scan.

    Parameters
    ----------
    napari_viewer
        The viewer; napari passes it by the name of this parameter.
    """

    def __init__(self, napari_viewer) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.viewer = napari_viewer
        self.worker: Any = None
        self.result: AirpiResult | None = None  # of the present run, as far as it has come
        self._progress = Progress()
        lay_out(self)
        self.closing = StopWhenClosed(self, self.stop, self._let_go)
        self.scan = CheckedScan(self, check_scan)
        self.images = RunImages(napari_viewer, self)
        self.plane_view = PlaneView(self)
        self._look = QTimer(self)
        self._look.setInterval(LOOK)
        self._connect()
        self._show_running()
        self._open(self.scan_layer)
        self.scan.choice.list_layers()

    def sizeHint(self) -> QSize:
        """Size that the dock asks for; called by Qt."""
        return QSize(WIDTH, 560)

    # Connections

    def _connect(self) -> None:
        self.scan.opened.connect(self._open)
        self.form.model.taken.connect(self._model_taken)
        self.run.clicked.connect(self.start)
        self.cancel.clicked.connect(self.stop)
        self.copy.clicked.connect(self.copy_as_python)
        self.save.clicked.connect(self._save)
        self._look.timeout.connect(self._show_progress)

    def close_panel(self) -> None:
        """End the work and let go of the viewer; the images stay. Once is enough."""
        self.closing.close()

    def _let_go(self) -> None:
        self._progress.stopped = True
        self.scan.close()
        self.plane_view.close()
        if is_alive(self):
            self.stop()
            self.images.close()

    @property
    def scan_layer(self) -> Any:
        """Layer of the scan, or `None`."""
        return self.scan.layer

    def _open(self, layer: Any) -> None:
        """Turn to another scan, or to none; the images of the one before stay."""
        was_running = self.worker is not None
        self.stop()
        self.result = None
        self.images.forget()
        self.findings.say("")
        for widget in (self.run, self.controls, self.copy, self.save):
            widget.setEnabled(layer is not None)
        self.say("Stopped: the scan is another one now." if was_running else "")
        if layer is None:
            self.say(NO_SCAN)

    def _model_taken(self, name: str) -> None:
        self.say("")
        if name != "default":
            try:
                find_airpi_weights(name)
            except (OSError, ValueError) as error:
                self.say(words_of(error))

    # The image

    def start(self) -> None:
        """Image the scan in a thread; the image grows in its layer."""
        self.stop()
        if self.scan_layer is None:
            return
        self.scan.take_calibration()
        if self.scan.found.problem:
            self.controls.setCurrentWidget(self.controls.widget(1))
            self.say("Not started: see above.")
            return
        layer, acquisition = self.scan_layer, self.scan.shown
        self.result, self._progress = None, Progress()
        self.findings.say("")
        self.say("")
        worker = start_worker(
            self,
            image_scan,
            None,
            scan_from_layer(layer).data,
            acquisition,
            self.form.settings(),
            self._progress,
            yielded=lambda drawn: worker is self.worker and self._take(drawn, layer, acquisition),
            failed=lambda error: worker is self.worker and self._failed(error),
            finished=lambda: worker is self.worker and self._finished(layer, acquisition),
        )
        self.worker = worker
        self._show_running()

    def _take(self, drawn: Drawn, layer: Any, acquisition: Acquisition) -> None:
        """Show the rows that are new."""
        is_first = self.result is None or not rows_drawn(self.result)
        self.result = drawn.result
        # Of the calibration alone it was said before the start.
        new = [words for words in drawn.words if words not in self.problem.text()]
        self.findings.say("\n".join(new))
        if not rows_drawn(drawn.result):
            return
        if is_first:
            self.images.begin()
        self._show("phase", phase_layer(drawn.result, acquisition, layer.name), layer)
        scale_bar_of(self.viewer).visible = True

    def _show(self, name: str, layer_data: Any, layer: Any) -> None:
        if name not in self.images.unwanted:
            self.images.results.show_layer(name, layer_data, layer)

    def _failed(self, error: Exception) -> None:
        self._ended()
        self.say(words_of(error))

    def _finished(self, layer: Any, acquisition: Acquisition) -> None:
        assert self.result is not None
        self._ended()
        for name, layer_data in evidence_layers(self.result, acquisition, layer.name).items():
            self._show(name, layer_data, layer)
            if name in self.images.results:
                show_values(self.images.results.layer(name))
        if "phase" in self.images.results:
            self.viewer.layers.selection.active = self.images.results.layer("phase")
        self.say(outcome_of(self.result))

    def _ended(self) -> None:
        self.worker = None
        self._show_running()
        self.images.results.show_thumbnails()

    def stop(self) -> None:
        """End the work and wait for nothing; the rows that are drawn stay."""
        self._progress.stopped = True
        if self.worker is None:
            return
        self.worker.quit()
        self._ended()
        rows = 0 if self.result is None else rows_drawn(self.result)
        if not rows:
            self.say("Stopped before the first rows were drawn.")
            return
        assert self.result is not None
        share = rows / len(self.result.phase)
        self.say(f"Stopped; the image shows the {100 * share:.0f} % of the rows that were drawn.")

    # From state to widgets

    def _show_running(self) -> None:
        running = self.worker is not None
        self.run.setVisible(not running)
        self.cancel.setVisible(running)
        self.progress.setVisible(running)
        (self._look.start if running else self._look.stop)()
        if running:
            self._show_progress()

    def _show_progress(self) -> None:
        share = self._progress.share
        self.progress.setRange(0, STEPS if share else 0)  # busy with the look at the data
        self.progress.setValue(round(STEPS * share))

    def say(self, message: str) -> None:
        """Show a message; an empty one hides the line.

        Parameters
        ----------
        message
            Plain text.
        """
        self.message.say(message)

    # Out of the panel

    def copy_as_python(self) -> None:
        """Put code on the clipboard that makes the same image without napari."""
        code = python_code(
            source_of(self.scan_layer), self.form.settings(), self.scan.acquisition()
        )
        QGuiApplication.clipboard().setText(code)
        self.say("Copied: Python code that makes this image.")

    def _save(self) -> None:
        self.say(ask_and_save(self, self.images.results, f"{self.scan_layer.name}_AIRPI"))
