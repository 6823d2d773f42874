"""Where the widgets of the panel Restore stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
)

from stem_plugins.napari.restoration import FAST_SCANS
from stem_plugins.napari.widgets.weights_choice import WeightsChoice
from stem_plugins.napari.widgets.words import Words

if TYPE_CHECKING:
    from stem_plugins.napari.widgets.restore import RestorePanel

__all__ = ["VIEWS", "lay_out"]

#: What the viewer can show, and what that is.
VIEWS = {
    "Measured": "The image as recorded",
    "Restored": "Without noise, row jitter and detector tail",
    "Divided": "Measured left of a line, restored right of it; drag the line, or the slider",
    "Consistency": "Measured minus restored, in units of the noise: more than noise where the "
    "scan displaced things, or the restoration is wrong",
    "Unexplained": "The same after rows were moved to where they fit best: beyond ±4, something "
    "was lost (red) or invented (blue)",
    "Spread": "How much other noise and jitter would have changed the restored image",
}


def lay_out(panel: RestorePanel) -> None:
    """Make the panel's widgets and put them in their places.

    Parameters
    ----------
    panel
        Gets the widgets as attributes.
    """
    column = QVBoxLayout(panel)
    column.setSpacing(6)
    column.addLayout(_choices(panel))
    column.addLayout(_run(panel))
    column.addWidget(_view(panel))
    column.addWidget(_correction(panel))
    panel.findings, panel.message = Words(), Words()
    column.addWidget(panel.findings)
    column.addWidget(panel.message)
    column.addStretch(1)
    column.addLayout(_output(panel))


def _choices(panel: RestorePanel) -> QFormLayout:
    panel.layers, panel.models, panel.fast_scan = QComboBox(), WeightsChoice(), QComboBox()
    panel.layers.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    panel.fast_scan.addItems(FAST_SCANS)
    panel.fast_scan.setToolTip(
        "The way the beam goes along a scan line, as you see the image here. It matters: jitter "
        "shifts scan lines, and the detector's tail points that way"
    )
    panel.ensemble = QCheckBox("Average with the mirrored image (twice the time)")
    panel.pedestal = QCheckBox("Remove the pedestal")
    panel.pedestal.setToolTip("Subtract the offset that the electronics adds, found by the noise")
    panel.evidence = QCheckBox("Evidence maps (about seven times the time)")
    panel.evidence.setToolTip("What speaks for and against the restored image, pixel by pixel")
    form = QFormLayout()
    form.addRow("Image", panel.layers)
    form.addRow("Model", panel.models)
    form.addRow("Fast scan", panel.fast_scan)
    for box in (panel.ensemble, panel.pedestal, panel.evidence):
        form.addRow("", box)
    return form


def _run(panel: RestorePanel) -> QHBoxLayout:
    row = QHBoxLayout()
    panel.run, panel.cancel = QPushButton("Restore"), QPushButton("Cancel")
    panel.progress = QProgressBar()
    panel.cancel.hide()
    panel.progress.hide()
    row.addWidget(panel.run)
    row.addWidget(panel.cancel)
    row.addWidget(panel.progress, 1)
    return row


def _view(panel: RestorePanel) -> QGroupBox:
    group = QGroupBox("Viewer shows")
    grid = QGridLayout(group)
    panel.views, panel.view_buttons = {}, QButtonGroup(panel)
    for index, (name, meaning) in enumerate(VIEWS.items()):
        button = QRadioButton(name)
        button.setToolTip(meaning)
        panel.views[name] = button
        panel.view_buttons.addButton(button)
        grid.addWidget(button, *divmod(index, 3))
    panel.divider = QSlider(Qt.Orientation.Horizontal)
    panel.divider.setRange(0, 1000)
    panel.divider.setValue(500)
    panel.divider.setToolTip("Measured left of here, restored right of it")
    grid.addWidget(panel.divider, 2, 0, 1, 3)
    return group


def _correction(panel: RestorePanel) -> QGroupBox:
    group = QGroupBox("Scan correction")
    row = QHBoxLayout(group)
    panel.targets = QComboBox()
    panel.targets.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    panel.targets.setToolTip("Images, stacks and 4D scans recorded in the same scan as the image")
    panel.correct = QPushButton("Apply shifts")
    panel.correct.setToolTip(
        "Find where each pixel of the image was recorded, by its restored image, and put this "
        "layer back there"
    )
    row.addWidget(panel.targets, 1)
    row.addWidget(panel.correct)
    return group


def _output(panel: RestorePanel) -> QHBoxLayout:
    row = QHBoxLayout()
    panel.copy, panel.save = QPushButton("Copy as Python"), QPushButton("Save…")
    row.addWidget(panel.copy)
    row.addWidget(panel.save)
    return row
