"""The panel Restore: noise, row jitter and detector tail taken out of images, with evidence."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QWidget

from stem_plugins.models import find_weights, list_weights
from stem_plugins.napari.image_layers import image_layers, image_of, image_shape, put_in_place
from stem_plugins.napari.layers import LayerData
from stem_plugins.napari.planes import (
    is_over_scan,
    show_images,
    show_values,
    shows_images,
)
from stem_plugins.napari.restoration import (
    FAST_SCANS,
    Maps,
    Progress,
    RestoreSettings,
    StoppedError,
    correct,
    fits_grid,
    restore_images,
    result_layers,
)
from stem_plugins.napari.restoration_code import python_code
from stem_plugins.napari.view import scale_bar_of
from stem_plugins.napari.widgets.closing import StopWhenClosed
from stem_plugins.napari.widgets.divided_view import DividedView
from stem_plugins.napari.widgets.forms import quiet
from stem_plugins.napari.widgets.layer_choice import LayerChoice
from stem_plugins.napari.widgets.restore_layout import lay_out
from stem_plugins.napari.widgets.saving import ask_and_save
from stem_plugins.napari.widgets.words import words_of
from stem_plugins.napari.widgets.worker import is_alive, start_worker

__all__ = ["RestorePanel"]

#: How often the progress of the thread is looked at [ms].
LOOK = 100

#: Steps of the progress bar and of the divider.
STEPS = 1000

#: Models whose name says too little.
MODEL_NAMES = {"default": "Default network", "fft": "Fourier filter, without weights"}


class RestorePanel(QWidget):
    """Dock widget for the restoration of images and stacks, and for scan correction by it.

    Parameters
    ----------
    napari_viewer
        The viewer; napari passes it by the name of this parameter.
    """

    def __init__(self, napari_viewer) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.viewer = napari_viewer
        self.worker: Any = None
        self.results: dict[str, Any] = {}
        self.corrected: list[Any] = []
        self.restored_with = RestoreSettings()
        self._progress = Progress()
        self._shifts: np.ndarray | None = None
        lay_out(self)
        self.closing = StopWhenClosed(self, self.stop, self._let_go)
        self._list_models()
        self.divided = DividedView(napari_viewer, self)
        self.choice = LayerChoice(napari_viewer, self.layers, image_layers)
        self.target = LayerChoice(napari_viewer, self.targets, self._targets)
        self._look = QTimer(self)
        self._look.setInterval(LOOK)
        self._connect()
        self._open(self.choice.layer)
        self.choice.list_layers()

    # Connections

    def _connect(self) -> None:
        self.choice.chosen.connect(self._open)
        self.choice.moved.connect(self._follow_place)
        self.models.taken.connect(self._model_taken)
        self.run.clicked.connect(self.start)
        self.cancel.clicked.connect(self.stop)
        self.correct.clicked.connect(self.apply_shifts)
        self.copy.clicked.connect(self.copy_as_python)
        self.save.clicked.connect(self._save)
        self.divider.valueChanged.connect(self._divide)
        self.divided.moved.connect(self._show_divider)
        self._look.timeout.connect(self._show_progress)
        for name, button in self.views.items():
            button.clicked.connect(functools.partial(self.show_view, name))
        self.viewer.layers.events.removed.connect(self._layer_removed)

    def close_panel(self) -> None:
        """Stop all work and let go of the viewer; the images stay. Once is enough."""
        self.closing.close()

    def _let_go(self) -> None:
        self._progress.stopped = True
        self.viewer.layers.events.removed.disconnect(self._layer_removed)
        for part in (self.choice, self.target, self.divided):
            part.close()
        if is_alive(self):
            self.stop()

    # Choices

    def _list_models(self) -> None:
        found: dict[str, Any] = {"fft": True, **list_weights()}
        words = {}
        for name in sorted(found, key=lambda name: name not in MODEL_NAMES):
            label = MODEL_NAMES.get(name, name)
            words[label if found[name] else f"{label} (not there)"] = name
        chosen = "default" if found["default"] else "fft"
        self.models.offer(words, chosen=chosen, instead="fft")

    def _model_taken(self, name: str) -> None:
        self.say("")
        if name != "fft":
            try:
                find_weights(name)
            except (OSError, ValueError) as error:
                self.say(str(error))

    def settings(self) -> RestoreSettings:
        """Return the settings as they stand in the panel."""
        axis, direction = FAST_SCANS[self.fast_scan.currentText()]
        return RestoreSettings(
            model=self.models.model(),
            scan_axis=axis,
            scan_direction=direction,
            ensemble=self.ensemble.isChecked(),
            remove_pedestal=self.pedestal.isChecked(),
            return_evidence=self.evidence.isChecked(),
        )

    @property
    def image_layer(self) -> Any:
        """Layer of the measured image, or `None`."""
        return self.choice.layer

    def _open(self, layer: Any) -> None:
        """Turn to another image, or to none; results of the one before stay in the viewer."""
        was_running = self.worker is not None
        self.stop()
        self._forget_results()
        for widget in (self.run, self.copy, self.save, self.correct):
            widget.setEnabled(layer is not None)
        self.findings.say("")
        self.say("Stopped: the image is another one now." if was_running else "")
        if layer is None:
            self.say("Open an image, or a stack of images.")
        self.target.list_layers()

    def _targets(self, viewer: Any) -> list[Any]:
        """Layers recorded in the same scan, the others before the image itself."""
        image = self.choice.layer
        if image is None:
            return []
        shape = image_shape(image)
        others = [layer for layer in reversed(viewer.layers) if fits_grid(layer, shape)]
        made = [*self.results.values(), *self.corrected]
        return sorted(
            (layer for layer in others if layer not in made), key=lambda layer: layer == image
        )

    # Restoration

    def start(self) -> None:
        """Restore the image in a thread."""
        self.stop()
        settings, layer = self.settings(), self.image_layer
        if layer is None:
            return
        self._work(
            restore_images,
            image_of(layer),
            settings,
            done=lambda maps: self._restored(layer, maps, settings),
        )

    def _work(self, work: Any, *arguments: Any, done: Any) -> None:
        """Run a function in a thread; it gets its `Progress` behind all arguments."""
        self._progress = progress = Progress()
        self.say("")
        self.progress.setRange(0, STEPS)
        self.progress.setValue(0)
        self._show_running(True)

        def ended(call: Any, value: Any) -> None:
            if worker is self.worker:
                self.worker = None
                self._show_running(False)
                call(value)

        worker = self.worker = start_worker(
            self,
            work,
            lambda value: ended(done, value),
            *arguments,
            progress,
            failed=lambda error: ended(self._failed, error),
        )

    def stop(self) -> None:
        """Stop all work; nothing in the viewer changes."""
        self._progress.stopped = True
        if self.worker is not None:
            self.worker = None
            self._show_running(False)
            self.say("Stopped.")

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, StoppedError):
            self.say(words_of(error))

    def _restored(self, layer: Any, maps: Maps, settings: RestoreSettings) -> None:
        for before in self.results.values():
            before.visible = False
        self._forget_results()
        self.restored_with = settings
        for name, layer_data in result_layers(layer, maps, settings).items():
            self.results[name] = self._add(layer_data)
            if name != "restored":
                show_values(self.results[name])
        self.findings.say("\n".join(maps.warnings))
        scale_bar_of(self.viewer).visible = True
        self.show_view("Divided")

    def _add(self, layer_data: LayerData) -> Any:
        from napari.layers import Layer

        layer = Layer.create(*layer_data)
        self.viewer.add_layer(layer)
        return layer

    def _forget_results(self) -> None:
        self.results, self.corrected, self._shifts = {}, [], None
        self.divided.forget()
        self._show_views()

    def _follow_place(self) -> None:
        """Keep results where the image is that they are of: with its scale, in its unit."""
        for layer in (*self.results.values(), *self.corrected, self.divided.layer):
            if layer is not None:
                put_in_place(layer, self.image_layer)

    # Views

    def show_view(self, name: str, _: bool = True) -> None:
        """Show the measured image, a result, or both divided by a line.

        Parameters
        ----------
        name
            Of the view, as the buttons have it.
        """
        if name not in self._possible_views():
            return
        if is_over_scan(self.image_layer):
            show_images(self.viewer)
        shown = {"Measured": self.image_layer, "Restored": self.results.get("restored")}
        shown |= {key.capitalize(): layer for key, layer in self.results.items()}
        for view, layer in shown.items():
            layer.visible = view == name
        for layer in self.corrected:
            layer.visible = False
        if name == "Divided":
            self.divided.show(self.image_layer, self.results["restored"])
        elif self.divided.layer is not None:
            self.divided.layer.visible = False
        front = self.divided.layer if name == "Divided" else shown[name]
        self.viewer.layers.selection.active = front
        self.views[name].setChecked(True)
        self._show_views()

    def _possible_views(self) -> set[str]:
        if "restored" not in self.results:
            return set()
        return {"Measured", "Divided", *(name.capitalize() for name in self.results)}

    def _show_views(self) -> None:
        possible = self._possible_views()
        for name, button in self.views.items():
            button.setEnabled(name in possible)
        self.divider.setEnabled("Divided" in possible and self.views["Divided"].isChecked())

    def _divide(self, value: int) -> None:
        self.divided.divide(value / STEPS)

    def _show_divider(self, share: float) -> None:
        with quiet(self.divider):
            self.divider.setValue(round(share * STEPS))

    def _layer_removed(self, event: Any) -> None:
        if not is_alive(self):
            return
        for name, layer in list(self.results.items()):
            if layer == event.value:  # one of them may be a proxy, so never `is`
                del self.results[name]
        if "restored" not in self.results:
            self.divided.forget()
        self._show_views()

    # Scan correction

    def apply_shifts(self) -> None:
        """Put another layer of the same scan back where the restored image shows it."""
        self.target.list_layers()
        restored, target = self.results.get("restored"), self.target.layer
        if restored is None:
            self.say("Restore the image first: its shifts are seen in the restored image.")
            return
        if image_of(restored).ndim != 2:
            self.say("Shifts are those of one image; restore one image of the stack by itself.")
            return
        self.stop()
        self._work(
            correct,
            np.asarray(image_of(self.image_layer)),
            np.asarray(image_of(restored)),
            self._shifts,
            target,
            self.restored_with,
            {**self.restored_with.to_dict(), "by": self.image_layer.name},
            done=self._corrected,
        )

    def _corrected(self, made: tuple[np.ndarray, LayerData]) -> None:
        self._shifts, layer_data = made
        if len(layer_data[0].shape) == 4 and shows_images(self.viewer):
            layer_data[1]["visible"] = False  # to slice a scan along its rows is to read it all
        self.corrected.append(self._add(layer_data))
        y, x = np.sqrt(np.mean(np.square(self._shifts), axis=(0, 1)))
        self.say(f"Shifts of {y:.2g} px (y) and {x:.2g} px (x) rms applied.")

    # From state to widgets

    def _show_running(self, running: bool) -> None:
        self.run.setVisible(not running)
        self.correct.setEnabled(not running and self.image_layer is not None)
        for widget in (self.cancel, self.progress):
            widget.setVisible(running)
        (self._look.start if running else self._look.stop)()

    def _show_progress(self) -> None:
        if self._progress.share >= 1:
            self.progress.setRange(0, 0)  # busy with what tells nothing of itself
        else:
            self.progress.setValue(round(self._progress.share * STEPS))

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
        """Put code on the clipboard that restores the same image without napari."""
        code = python_code(self.image_layer, self.settings())
        QGuiApplication.clipboard().setText(code)
        self.say("Copied: Python code that restores this image.")

    def _save(self) -> None:
        self.say(ask_and_save(self, self.results.items(), self.image_layer.name))
