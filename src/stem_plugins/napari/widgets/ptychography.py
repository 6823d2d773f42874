"""The panel Ptychography: phase and probe from a scan, watched while they are found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QWidget

from stem_plugins.napari.layers import scan_from_layer
from stem_plugins.napari.ptychography_code import python_code
from stem_plugins.napari.ptychography_model import (
    PtychographySettings,
    Reconstruction,
    check_scan,
    outcome_of,
    reconstruct,
)
from stem_plugins.napari.pytorch import spare_threads
from stem_plugins.napari.ricom_code import source_of
from stem_plugins.napari.vacuum import vacuum_code, vacuum_layers
from stem_plugins.napari.view import scale_bar_of
from stem_plugins.napari.widgets.checked_scan import NO_SCAN, CheckedScan
from stem_plugins.napari.widgets.closing import StopWhenClosed
from stem_plugins.napari.widgets.layer_choice import LayerChoice
from stem_plugins.napari.widgets.layout import WIDTH
from stem_plugins.napari.widgets.plane_view import PlaneView
from stem_plugins.napari.widgets.ptychography_images import ReconstructionImages, title_of
from stem_plugins.napari.widgets.ptychography_layout import lay_out
from stem_plugins.napari.widgets.saving import ask_and_save
from stem_plugins.napari.widgets.words import words_of
from stem_plugins.napari.widgets.worker import is_alive, start_worker
from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    from stem_plugins.ptychography.result import PtychographyResult

__all__ = ["PtychographyPanel"]

#: How often the thread is looked at [ms].
LOOK = 100

#: Steps of the progress bar.
STEPS = 1000

EVEN = "Even disc"
OTHERS = (
    "Continue begins with the object and the probe that were found, and takes these options; Start "
    "begins anew."
)
OTHER_CALIBRATION = (
    "The calibration is another one than that of the result: Start begins anew with it."
)


class PtychographyPanel(QWidget):
    """Dock widget for iterative ptychography of a scan.

    The `Acquisition` lives in the scan's layer; a `Reconstruction` stands between the thread that
    works and the widgets that show what it finds.

    Parameters
    ----------
    napari_viewer
        The viewer; napari passes it by the name of this parameter.
    """

    def __init__(self, napari_viewer) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.viewer = napari_viewer
        self.worker: Any = None
        self.control = Reconstruction()
        self.result: PtychographyResult | None = None
        self._made_with: tuple[PtychographySettings, Acquisition, Any]
        self._made_with = (PtychographySettings(), Acquisition(), None)
        lay_out(self)
        self.closing = StopWhenClosed(self, self.stop, self._let_go)
        self.scan = CheckedScan(self, check_scan)
        self.chosen_scan = self.scan.choice
        self.chosen_vacuum = LayerChoice(
            napari_viewer,
            self.optics.vacuum,
            lambda viewer: vacuum_layers(viewer, self.scan_layer),
            nothing=EVEN,
        )
        self.images = ReconstructionImages(napari_viewer, self)
        self.plane_view = PlaneView(self)
        self._look = QTimer(self)
        self._look.setInterval(LOOK)
        self._connect()
        self._show_running()
        self._open(self.scan_layer)
        self.chosen_scan.list_layers()

    def sizeHint(self) -> QSize:
        """Size that the dock asks for; called by Qt."""
        return QSize(WIDTH, 820)

    # Connections

    def _connect(self) -> None:
        self.scan.opened.connect(self._open)
        self.scan.checked.connect(self._show_possible)
        self.chosen_vacuum.chosen.connect(self._options_changed)
        self.run.clicked.connect(self.start)
        self.resume.clicked.connect(self.go_on)
        self.pause.toggled.connect(self._pause)
        self.cancel.clicked.connect(self.end)
        self.form.changed.connect(self._options_changed)
        self._look.timeout.connect(self._look_at_thread)
        self.send.clicked.connect(self.send_to_browser)
        self.copy.clicked.connect(self.copy_as_python)
        self.save.clicked.connect(self._save)

    def close_panel(self) -> None:
        """End the work and let go of the viewer; the images stay. Once is enough."""
        self.closing.close()

    def _let_go(self) -> None:
        self.control.stop()
        self.scan.close()
        self.chosen_vacuum.close()
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
        self.plots.clear()
        for words in (self.chosen, self.findings):
            words.setText("")
            words.hide()
        for widget in (self.run, self.controls, self.copy, self.save):
            widget.setEnabled(layer is not None)
        self.say("Stopped: the scan is another one now." if was_running else "")
        self.chosen_vacuum.list_layers()
        if layer is None:
            self.say(NO_SCAN)

    # The reconstruction

    def start(self) -> None:
        """Reconstruct anew, in a thread; the images follow."""
        self.stop()
        if self.scan_layer is None:
            return
        self.scan.take_calibration()
        if self.scan.found.problem:
            self.controls.setCurrentWidget(self.controls.widget(1))
            self.say("Not started: see above.")
            return
        settings = self.form.settings()
        self._work(settings, self.scan.shown, settings.options() | self._vacuum(), None)

    def go_on(self) -> None:
        """Go on where the last run came to, or from its object and probe with other options."""
        settings = self.form.settings()
        if self.result is None or not self._can_continue():
            return
        if self._has_other_options():
            options = settings.options() | self._vacuum() | {"first_guess": self.result}
            self._work(settings, self.result.acquisition, options, None)
        else:
            self._work(settings, self.result.acquisition, settings.continued(), self.result)

    def _vacuum(self) -> dict[str, Any]:
        layer = self.chosen_vacuum.layer
        return {} if layer is None else {"vacuum": layer.data}

    def _work(
        self,
        settings: PtychographySettings,
        acquisition: Acquisition,
        options: dict[str, Any],
        before: PtychographyResult | None,
    ) -> None:
        control = self.control = Reconstruction()
        made_with = (settings, self.scan.shown, self.chosen_vacuum.layer)
        is_new = before is None

        def take(result: PtychographyResult | None) -> None:
            nonlocal is_new
            if result is not None and result is not self.result:
                if is_new:
                    self.images.begin()
                    is_new = False
                self._made_with = made_with
                self._show(result)

        def ended(result: PtychographyResult | None) -> None:
            if worker is self.worker:
                self._ended()
                take(result)
                self.findings.say("\n".join(control.words))
                self.say(outcome_of(result, control))

        def failed(error: Exception) -> None:
            if worker is self.worker:
                self._ended()
                self.say(words_of(error))

        self._take = take
        scan = scan_from_layer(self.scan_layer)
        given = options | {"largest_count": scan.largest_count}
        worker = self.worker = start_worker(
            self, reconstruct, ended, scan.data, acquisition, given, before, control, failed=failed
        )
        self.say("")
        self.findings.say("")
        self._show_running()
        self._look_at_thread()

    def _ended(self) -> None:
        self.worker = None
        self._show_running()

    def _pause(self, paused: bool) -> None:
        self.control.pause(paused)
        self.pause.setText("Go on" if paused else "Pause")

    def end(self) -> None:
        """End the run after the patterns that it is at; what it has found is shown."""
        if self.worker is not None:
            self.control.stop()
            self.cancel.setEnabled(False)
            self.say("Ending after the patterns that it is at…")

    def stop(self) -> None:
        """End all work and wait for nothing; the images stay."""
        self.control.stop()
        if self.worker is not None:
            self._ended()
            self.say("Stopped; the images show what was found so far." if self.result else "")

    def _look_at_thread(self) -> None:
        """Show progress, and a result that is new."""
        now = self.control.now
        if now is None:
            self.progress.setRange(0, 0)  # busy with the look at the data
            return
        done = min(now.iteration + (now.share if now.share < 1 else 0), now.iterations)
        self.progress.setRange(0, STEPS)
        self.progress.setValue(round(STEPS * done / now.iterations))
        at = "paused" if self.control.is_paused else now.stage
        self.progress.setFormat(f"{at}: {now.iteration} of {now.iterations}")
        self._take(self.control.shown)

    # From state to widgets

    def _show(self, result: PtychographyResult) -> None:
        self.result = result
        self.images.show(result, self.scan_layer)
        self.plots.show_result(result, self.control.stages)
        self.chosen.setText(f"Chosen: {'; '.join(result.settings['chosen'])}.")
        self.chosen.setVisible(bool(result.settings["chosen"]))
        scale_bar_of(self.viewer).visible = True
        self._show_possible()

    def _options_changed(self, _: Any = None) -> None:
        if self.scan_layer is None:
            return
        self.say("")
        self._show_possible()
        if self.result is not None and self.worker is None:
            self.say(self._why_anew() or (OTHERS if self._has_other_options() else ""))

    def _why_anew(self) -> str:
        """Why nothing can begin with the result; empty: something can."""
        return OTHER_CALIBRATION if self._made_with[1] != self.scan.shown else ""

    def _has_other_options(self) -> bool:
        """Whether the run of the result cannot be gone on with as it was."""
        settings, _, vacuum = self._made_with
        others = settings.begins_anew(self.form.settings())
        return others or vacuum is not self.chosen_vacuum.layer

    def _can_continue(self) -> bool:
        return self.result is not None and self.worker is None and not self._why_anew()

    def _show_possible(self) -> None:
        can_continue = self._can_continue()
        self.resume.setEnabled(can_continue)
        self.resume.setToolTip(
            "Go on where the last run came to, or from there with other options"
            if can_continue or self.result is None
            else self._why_anew()
        )
        self.send.setEnabled(self.result is not None)

    def _show_running(self) -> None:
        running = self.worker is not None
        for widget in (self.run, self.resume):
            widget.setVisible(not running)
        for widget in (self.pause, self.cancel, self.progress):
            widget.setVisible(running)
        self.cancel.setEnabled(True)
        self.pause.setChecked(False)
        (self._look.start if running else self._look.stop)()
        if not running:
            self._show_possible()
            self.images.results.show_thumbnails()

    def say(self, message: str) -> None:
        """Show a message; an empty one hides the line.

        Parameters
        ----------
        message
            Plain text.
        """
        self.message.say(message)

    # Out of the panel

    def send_to_browser(self) -> None:
        """Show the phase in the 4D-STEM browser, which opens if it is not there yet."""
        if self.result is None:
            return
        _, browser = self.viewer.window.add_plugin_dock_widget("stem-plugins", "4D-STEM browser")
        name = title_of(self.result, "phase")
        browser.show_over_scan(self.scan_layer, name, self.result.phase, self.result.sampling)
        self.say("The 4D-STEM browser shows the phase; patterns follow its cross.")

    def copy_as_python(self) -> None:
        """Put code on the clipboard that makes the same reconstruction without napari."""
        vacuum = self.chosen_vacuum.layer
        code = python_code(
            source_of(self.scan_layer),
            self.form.settings(),
            self.scan.acquisition(),
            threads=spare_threads(),
            vacuum=None if vacuum is None else vacuum_code(vacuum),
        )
        QGuiApplication.clipboard().setText(code)
        self.say("Copied: Python code that makes this reconstruction.")

    def _save(self) -> None:
        whole = None if self.result is None else {".h5": self.save_result}
        self.say(ask_and_save(self, self.images.results, self.scan_layer.name, whole=whole))

    def save_result(self, path: Path, overwrite: bool = False) -> Path:
        """Save everything that was found in one file, from which it can go on.

        Parameters
        ----------
        path
            Ends in ``.h5``.
        overwrite
            Replace an existing file.
        """
        assert self.result is not None
        return self.result.save(path, overwrite=overwrite)
