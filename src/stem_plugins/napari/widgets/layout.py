"""Where the riCOM panel's widgets stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from stem_plugins.napari.widgets.calibration import CalibrationForm
from stem_plugins.napari.widgets.forms import ImageChoice, KernelForm, OrientationForm, quiet
from stem_plugins.napari.widgets.plots import Plots
from stem_plugins.napari.widgets.words import Words

if TYPE_CHECKING:
    from stem_plugins.napari.widgets.airpi import AirpiPanel
    from stem_plugins.napari.widgets.ptychography import PtychographyPanel
    from stem_plugins.napari.widgets.ricom import RicomPanel

__all__ = ["WIDTH", "Scrolled", "lay_out", "scan_row", "view_row"]

#: Of the panel [px]: what its forms need; the rest of the window is for the images.
WIDTH = 420

#: Of a form in a low window [px]; the rest is scrolled.
LEAST_HEIGHT = 90


class Scrolled(QScrollArea):
    """A form that is as wide as it wants, and has a scroll bar where the window is low."""

    def __init__(self, form: QWidget) -> None:
        super().__init__()
        self.setWidget(form)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def minimumSizeHint(self) -> QSize:
        """Room for all of the width and for some lines; asked for by Qt."""
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(self.widget().minimumSizeHint().width() + bar, LEAST_HEIGHT)


def lay_out(panel: RicomPanel) -> None:
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
    column.addLayout(_shape(panel))
    column.addLayout(_run(panel))
    column.addLayout(view_row(panel))
    splitter = QSplitter(Qt.Orientation.Vertical)
    splitter.setChildrenCollapsible(False)
    splitter.addWidget(_controls(panel))
    panel.plots = Plots()
    splitter.addWidget(panel.plots)
    splitter.setStretchFactor(1, 1)
    column.addWidget(splitter, 1)
    panel.findings, panel.message = Words(), Words()
    column.addWidget(panel.findings)
    column.addWidget(panel.message)
    column.addLayout(_output(panel))


def scan_row(panel: RicomPanel | PtychographyPanel | AirpiPanel) -> QHBoxLayout:
    """Make the row that chooses the scan.

    Parameters
    ----------
    panel
        Gets the widgets as attributes.
    """
    row = QHBoxLayout()
    panel.scans = QComboBox()
    panel.scans.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    row.addWidget(QLabel("Scan"))
    row.addWidget(panel.scans, 1)
    return row


def _shape(panel: RicomPanel) -> QHBoxLayout:
    row = QHBoxLayout()
    panel.rows, panel.columns = QSpinBox(), QSpinBox()
    for box in (panel.rows, panel.columns):
        box.setRange(1, 10_000_000)
        box.setMinimumWidth(80)
    panel.set_shape = QPushButton("Set")
    panel.set_shape.setToolTip("Arrange the frames as a scan of so many rows and columns")
    panel.frames = QLabel()
    row.addWidget(QLabel("Scan shape"))
    row.addWidget(panel.rows)
    row.addWidget(QLabel("×"))
    row.addWidget(panel.columns)
    row.addWidget(panel.set_shape)
    row.addWidget(panel.frames, 1)

    def show_shape(shape: tuple[int, ...], dtype: np.dtype) -> None:
        with quiet(panel.rows, panel.columns):
            panel.rows.setValue(int(shape[0]))
            panel.columns.setValue(int(shape[1]))
        panel.frames.setText(f"{shape[2]} × {shape[3]} px")
        panel.frames.setToolTip(f"{shape[0] * shape[1]} frames of type {dtype.name}")

    panel.show_shape = show_shape
    return row


def _run(panel: RicomPanel) -> QHBoxLayout:
    row = QHBoxLayout()
    panel.run = QPushButton("Run")
    panel.run.setToolTip("Go through the data once; afterwards all controls act at once")
    panel.cancel = QPushButton("Cancel")
    panel.progress = QProgressBar()
    panel.progress.setFormat("%v of %m rows")
    panel.cancel.hide()
    panel.progress.hide()
    row.addWidget(panel.run)
    row.addWidget(panel.cancel)
    row.addWidget(panel.progress, 1)
    return row


def view_row(panel: RicomPanel | PtychographyPanel | AirpiPanel) -> QHBoxLayout:
    """Make the row that chooses what the viewer shows, for `PlaneView`.

    Parameters
    ----------
    panel
        Gets the widgets as attributes.
    """
    row = QHBoxLayout()
    panel.images_view, panel.patterns_view = QPushButton("Images"), QPushButton("Patterns")
    panel.view_buttons = QButtonGroup(panel)
    row.addWidget(QLabel("Viewer shows"))
    for button in (panel.images_view, panel.patterns_view):
        button.setCheckable(True)
        panel.view_buttons.addButton(button)
        row.addWidget(button)
    panel.patterns_view.setChecked(True)
    panel.side_by_side = QCheckBox("Side by side")
    row.addWidget(panel.side_by_side)
    row.addStretch(1)
    return row


def _controls(panel: RicomPanel) -> QTabWidget:
    panel.controls = QTabWidget()
    panel.choice, panel.kernel_form = ImageChoice(), KernelForm()
    images = QWidget()
    column = QVBoxLayout(images)
    column.addWidget(panel.choice)
    column.addWidget(panel.kernel_form)
    column.addStretch(1)
    panel.orientation, panel.calibration = OrientationForm(), CalibrationForm()
    panel.controls.addTab(Scrolled(images), "Images")
    panel.controls.addTab(Scrolled(panel.orientation), "Orientation and centre")
    panel.controls.addTab(Scrolled(panel.calibration), "Calibration")
    return panel.controls


def _output(panel: RicomPanel) -> QHBoxLayout:
    row = QHBoxLayout()
    panel.copy = QPushButton("Copy as Python")
    panel.save = QPushButton("Save…")
    row.addWidget(panel.copy)
    row.addWidget(panel.save)
    return row
