"""The panel Ptychography's controls: what is reconstructed, and the optics that it needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QWidget,
)

from stem_plugins.napari.ptychography_model import (
    FIRST_GUESSES,
    OBJECT_TYPES,
    PRIORS,
    PROBE_PRIORS,
    REFINED,
    PtychographySettings,
)
from stem_plugins.napari.widgets.calibration import OptionalNumber
from stem_plugins.napari.widgets.forms import quiet
from stem_plugins.napari.widgets.optics_form import OpticsForm

__all__ = ["ProbeForm", "ReconstructionForm"]

#: What an empty number of iterations is shown as.
AUTOMATIC = "automatic"


class ReconstructionForm(QWidget):
    """Who draws object and probe, and for how long; `changed` says that a choice is another."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.prior, self.probe_prior = _choice(PRIORS), _choice(PROBE_PRIORS)
        self.object_type, self.first_guess = _choice(OBJECT_TYPES), _choice(FIRST_GUESSES)
        self.refine = CheckedMenu(REFINED)
        self.slices, self.probe_modes = _counter(1, 200), _counter(1, 32)
        self.slice_thickness = OptionalNumber("Å", decimals=2, nothing="–", largest=1e5)
        self.iterations, self.polish = _counter(0, 100_000), _counter(0, 10_000)
        self.iterations.setSpecialValueText(AUTOMATIC)
        self.polish.setSpecialValueText("none")
        self._explain()
        form = QFormLayout(self)
        form.addRow("Object drawn by", self.prior)
        form.addRow("Probe", self.probe_prior)
        form.addRow("Object", self.object_type)
        form.addRow("Slices", _row(self.slices, QLabel("thickness"), self.slice_thickness))
        form.addRow("Probe modes", self.probe_modes)
        form.addRow("Also refine", self.refine)
        form.addRow("First guess", self.first_guess)
        form.addRow("Iterations", _row(self.iterations, QLabel("polish"), self.polish))
        for box in (self.prior, self.probe_prior, self.object_type, self.first_guess):
            box.currentIndexChanged.connect(self._edited)
        for box in (self.slices, self.slice_thickness, self.probe_modes):
            box.valueChanged.connect(self._edited)
        for box in (self.iterations, self.polish):
            box.valueChanged.connect(self._edited)
        self.refine.changed.connect(self._edited)
        self._show_possible()

    def _explain(self) -> None:
        self.prior.setToolTip(
            "Deep generative prior: a network draws the object and corrects a pixelated first "
            "guess; best where electrons are few. Pixelated: every pixel by itself; faster"
        )
        self.probe_prior.setToolTip(
            "How the probe may change; automatic: by the electrons that there are for it"
        )
        self.slices.setToolTip("Slices of the specimen along the beam, and the thickness of each")
        self.probe_modes.setToolTip("Modes of a probe that is not fully coherent")
        self.refine.setToolTip(
            "What else may be other than the calibration says. Descan: patterns move over the "
            "detector as the probe scans; tilt and thickness need several slices"
        )
        self.first_guess.setToolTip(
            "The object to begin with, which a network corrects; pixels need none"
        )
        self.iterations.setToolTip(
            "Passes over the patterns, at most; it ends by itself when patterns that are not "
            "fitted say so. Raise it to continue"
        )
        self.polish.setToolTip("Pixelated iterations after those of the network")

    def settings(self) -> PtychographySettings:
        """Return the choices as they stand in the form."""
        several = self.slices.value() > 1
        return PtychographySettings(
            prior=self.prior.currentData(),
            probe_prior=self.probe_prior.currentData(),
            object_type=self.object_type.currentData(),
            slices=self.slices.value(),
            slice_thickness=self.slice_thickness.number() if several else None,
            probe_modes=self.probe_modes.value(),
            first_guess=self.first_guess.currentData(),
            refine=self.refine.chosen(),
            iterations=self.iterations.value() or None,
            polish=self.polish.value(),
        )

    def show_settings(self, settings: PtychographySettings) -> None:
        """Show choices; `changed` is emitted once.

        Parameters
        ----------
        settings
            What to show.
        """
        widgets = self.findChildren(QWidget)
        with quiet(*widgets):
            for box, value in (
                (self.prior, settings.prior),
                (self.probe_prior, settings.probe_prior),
                (self.object_type, settings.object_type),
                (self.first_guess, settings.first_guess),
            ):
                box.setCurrentIndex(box.findData(value))
            self.slices.setValue(settings.slices)
            self.slice_thickness.set_number(settings.slice_thickness)
            self.probe_modes.setValue(settings.probe_modes)
            self.refine.choose(settings.refine)
            self.iterations.setValue(settings.iterations or 0)
            self.polish.setValue(settings.polish)
        self._edited()

    def _edited(self, _: Any = None) -> None:
        self._show_possible()
        self.changed.emit()

    def _show_possible(self) -> None:
        self.slice_thickness.setEnabled(self.slices.value() > 1)
        drawn = "dgp" in (self.prior.currentData(), self.probe_prior.currentData())
        self.polish.setEnabled(drawn)


class CheckedMenu(QToolButton):
    """A button that says what is checked in its menu; `changed` says that it is something else.

    Parameters
    ----------
    words
        Values by the words that the menu shows.
    """

    changed = Signal()

    def __init__(self, words: Mapping[str, str]) -> None:
        super().__init__()
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMenu(QMenu(self))
        self._actions: dict[str, QAction] = {}
        for word, value in words.items():
            action = self.menu().addAction(word)
            action.setCheckable(True)
            action.toggled.connect(self._toggled)
            self._actions[value] = action
        self._say()

    def chosen(self) -> tuple[str, ...]:
        """Return what is checked."""
        return tuple(value for value, action in self._actions.items() if action.isChecked())

    def choose(self, values: Collection[str]) -> None:
        """Check these and nothing else.

        Parameters
        ----------
        values
            Some of the values.
        """
        for value, action in self._actions.items():
            action.setChecked(value in values)

    def _toggled(self) -> None:
        self._say()
        self.changed.emit()

    def _say(self) -> None:
        words = [action.text() for action in self._actions.values() if action.isChecked()]
        self.setText(", ".join(words) or "Nothing")


class ProbeForm(OpticsForm):
    """The optics, and what the aperture looks like; `vacuum` is filled by the panel."""

    def __init__(self) -> None:
        super().__init__()
        self.vacuum = QComboBox()
        self.vacuum.setToolTip(
            "How bright each part of the aperture is: even, up to the convergence angle, or as in "
            "a layer with patterns without specimen, a scan or a single pattern"
        )
        self.rows.insertRow(0, "Aperture", self.vacuum)


def _choice(words: Mapping[str, str | None]) -> QComboBox:
    box = QComboBox()
    for word, value in words.items():
        box.addItem(word, value)
    return box


def _counter(least: int, most: int) -> QSpinBox:
    box = QSpinBox()
    box.setRange(least, most)
    box.setKeyboardTracking(False)
    box.setMinimumWidth(96)
    return box


def _row(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget, 0 if isinstance(widget, QLabel) else 1)
    return row
