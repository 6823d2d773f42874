"""Where the widgets of the panel AIRPI stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from stem_plugins.napari.airpi_model import AirpiSettings
from stem_plugins.napari.widgets.layout import WIDTH, Scrolled, scan_row, view_row
from stem_plugins.napari.widgets.optics_form import OpticsForm
from stem_plugins.napari.widgets.weights_choice import WeightsChoice
from stem_plugins.napari.widgets.words import Words

if TYPE_CHECKING:
    from stem_plugins.napari.widgets.airpi import AirpiPanel

__all__ = ["AirpiForm", "lay_out"]

AUTOMATIC = "automatic"

#: What comes with the package.
MODELS = {"Default network": "default", "Exit waves (as published)": "exit-wave"}


class AirpiForm(QWidget):
    """What draws, and how finely."""

    def __init__(self) -> None:
        super().__init__()
        self.model = WeightsChoice()
        self.model.offer(MODELS, chosen="default", instead="default")
        self.model.setToolTip(
            "A network that comes with stem-plugins, or one of your own. The published design "
            "draws the wave behind each position; it is hundreds of times slower"
        )
        self.repeat, self.oversample = QSpinBox(), QSpinBox()
        self.repeat.setRange(0, 100)
        self.repeat.setSpecialValueText(AUTOMATIC)
        self.repeat.setToolTip(
            "Edge of the box of patterns that are summed into one; automatic: 1, or as many as "
            "bring the scan step into the range that the network knows. More may help where "
            "patterns have few electrons"
        )
        self.oversample.setRange(1, 16)
        self.oversample.setToolTip("Pixels of the image per scan step")
        for box in (self.repeat, self.oversample):
            box.setKeyboardTracking(False)
        self.evidence = QCheckBox("Compare with the patterns (several times the time)")
        self.evidence.setToolTip(
            "Predict every pattern from the image: how far it is from the recorded one, in units "
            "of the noise of counting, becomes a layer of its own"
        )
        form = QFormLayout(self)
        form.addRow("Network", self.model)
        form.addRow("Repeat", self.repeat)
        form.addRow("Pixels per step", self.oversample)
        form.addRow("", self.evidence)
        self.show_settings(AirpiSettings())

    def settings(self) -> AirpiSettings:
        """Return the choices as they stand in the form."""
        return AirpiSettings(
            model=self.model.model(),
            repeat=self.repeat.value() or None,
            oversample=self.oversample.value(),
            return_evidence=self.evidence.isChecked(),
        )

    def show_settings(self, settings: AirpiSettings) -> None:
        """Show choices.

        Parameters
        ----------
        settings
            What to show.
        """
        if settings.model in MODELS.values():
            self.model.choose(settings.model)
        else:
            self.model.use_file(settings.model)
        self.repeat.setValue(settings.repeat or 0)
        self.oversample.setValue(settings.oversample)
        self.evidence.setChecked(settings.return_evidence)


def lay_out(panel: AirpiPanel) -> None:
    """Make the panel's widgets and put them in their places.

    Parameters
    ----------
    panel
        Gets the widgets as attributes.
    """
    column = QVBoxLayout(panel)
    column.setSpacing(6)
    panel.setMinimumWidth(WIDTH)
    column.addLayout(scan_row(panel))
    panel.problem, panel.size_words = Words(), QLabel()
    panel.size_words.setWordWrap(True)
    column.addWidget(panel.problem)
    column.addWidget(panel.size_words)
    column.addLayout(_run(panel))
    column.addLayout(view_row(panel))
    panel.controls = QTabWidget()
    panel.form, panel.optics = AirpiForm(), OpticsForm()
    panel.controls.addTab(Scrolled(panel.form), "Image")
    panel.controls.addTab(Scrolled(panel.optics), "Calibration")
    column.addWidget(panel.controls, 1)
    panel.findings, panel.message = Words(), Words()
    column.addWidget(panel.findings)
    column.addWidget(panel.message)
    column.addLayout(_output(panel))


def _run(panel: AirpiPanel) -> QHBoxLayout:
    row = QHBoxLayout()
    panel.run, panel.cancel = QPushButton("Run"), QPushButton("Cancel")
    panel.run.setToolTip("Image the scan from the top; an image of a run before is hidden")
    panel.cancel.setToolTip("End it; the rows that are drawn stay")
    panel.progress = QProgressBar()
    for widget in (panel.run, panel.cancel):
        row.addWidget(widget)
    row.addWidget(panel.progress, 1)
    return row


def _output(panel: AirpiPanel) -> QHBoxLayout:
    row = QHBoxLayout()
    panel.copy, panel.save = QPushButton("Copy as Python"), QPushButton("Save…")
    row.addWidget(panel.copy)
    row.addWidget(panel.save)
    return row
