"""Where the widgets of the panel Ptychography stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
)

from stem_plugins.napari.widgets.layout import WIDTH, Scrolled, scan_row, view_row
from stem_plugins.napari.widgets.ptychography_forms import ProbeForm, ReconstructionForm
from stem_plugins.napari.widgets.ptychography_plots import ReconstructionPlots
from stem_plugins.napari.widgets.words import Words

if TYPE_CHECKING:
    from stem_plugins.napari.widgets.ptychography import PtychographyPanel

__all__ = ["lay_out"]


def lay_out(panel: PtychographyPanel) -> None:
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
    column.addLayout(_progress(panel))
    column.addLayout(view_row(panel))
    splitter = QSplitter(Qt.Orientation.Vertical)
    splitter.setChildrenCollapsible(False)
    splitter.addWidget(_controls(panel))
    panel.plots = ReconstructionPlots()
    splitter.addWidget(panel.plots)
    splitter.setStretchFactor(1, 1)
    column.addWidget(splitter, 1)
    panel.chosen = QLabel()
    panel.chosen.setWordWrap(True)
    panel.chosen.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    panel.chosen.hide()
    panel.findings, panel.message = Words(), Words()
    for words in (panel.chosen, panel.findings, panel.message):
        column.addWidget(words)
    column.addLayout(_output(panel))


def _run(panel: PtychographyPanel) -> QHBoxLayout:
    row = QHBoxLayout()
    panel.run, panel.resume = QPushButton("Start"), QPushButton("Continue")
    panel.pause, panel.cancel = QPushButton("Pause"), QPushButton("Cancel")
    panel.run.setToolTip("Reconstruct anew; images of a run before stay in the viewer, hidden")
    panel.resume.setToolTip("Go on where the last run came to, or from there with other options")
    panel.pause.setCheckable(True)
    panel.pause.setToolTip("Wait after the patterns that it is at; the images show what there is")
    panel.cancel.setToolTip("End it; the images stay, and it can be continued")
    for button in (panel.run, panel.resume, panel.pause, panel.cancel):
        row.addWidget(button)
    return row


def _progress(panel: PtychographyPanel) -> QHBoxLayout:
    row = QHBoxLayout()
    panel.progress = QProgressBar()
    panel.progress.hide()
    row.addWidget(panel.progress, 1)
    return row


def _controls(panel: PtychographyPanel) -> QTabWidget:
    panel.controls = QTabWidget()
    panel.form, panel.optics = ReconstructionForm(), ProbeForm()
    panel.controls.addTab(Scrolled(panel.form), "Reconstruction")
    panel.controls.addTab(Scrolled(panel.optics), "Calibration")
    return panel.controls


def _output(panel: PtychographyPanel) -> QHBoxLayout:
    row = QHBoxLayout()
    panel.send = QPushButton("Send to browser")
    panel.send.setToolTip("Show the phase in the 4D-STEM browser, beside the patterns")
    panel.copy, panel.save = QPushButton("Copy as Python"), QPushButton("Save…")
    for button in (panel.send, panel.copy, panel.save):
        row.addWidget(button)
    return row
