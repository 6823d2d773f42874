"""Where the browser's widgets stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from stem_plugins.napari.widgets.detector_form import DetectorForm
from stem_plugins.napari.widgets.diffraction_canvas import DiffractionCanvas
from stem_plugins.napari.widgets.scan_canvas import ScanCanvas
from stem_plugins.napari.widgets.words import NOTE_COLOR

if TYPE_CHECKING:
    from stem_plugins.napari.browser import BrowserWidget

__all__ = ["CanvasPair", "lay_out"]

INTENSITY_SCALES = ("linear", "square root", "logarithmic")


class CanvasPair(QSplitter):
    """Two canvases: beside each other where there is room, else below each other."""

    def resizeEvent(self, event) -> None:  # type: ignore[no-untyped-def]
        """Turn the splitter where the other direction fits better; called by Qt."""
        is_wide = self.width() >= 1.2 * self.height()
        orientation = Qt.Orientation.Horizontal if is_wide else Qt.Orientation.Vertical
        if orientation != self.orientation():
            self.setOrientation(orientation)
            self.setSizes([1000] * self.count())
        super().resizeEvent(event)

    def sizeHint(self) -> QSize:
        """Room for two canvases side by side."""
        return QSize(860, 470)


def lay_out(browser: BrowserWidget) -> None:
    """Make the browser's widgets and put them in their places.

    Parameters
    ----------
    browser
        Gets the widgets as attributes.
    """
    column = QVBoxLayout(browser)
    column.setContentsMargins(6, 4, 6, 6)
    column.setSpacing(5)
    column.addLayout(_scan(browser))
    browser.scan_canvas, browser.diffraction_canvas = ScanCanvas(), DiffractionCanvas()
    browser.canvases = CanvasPair()
    browser.canvases.setChildrenCollapsible(False)
    diffraction_side = _diffraction_side(browser)
    browser.canvases.addWidget(_scan_side(browser))
    browser.canvases.addWidget(diffraction_side)
    column.addWidget(browser.canvases, 1)
    browser.form = DetectorForm()
    column.addWidget(browser.form)
    column.addWidget(_message(browser))
    column.addLayout(_output(browser))


def _scan(browser: BrowserWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    browser.scans = QComboBox()
    browser.scans.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    browser.progress = QProgressBar()
    browser.progress.setFormat("%v of %m rows")
    browser.progress.setMaximumWidth(220)
    browser.cancel, browser.resume = QPushButton("Cancel"), QPushButton("Continue")
    browser.cancel.setToolTip("Stop reading; the images keep what was read so far")
    browser.resume.setToolTip("Read the rest of the scan")
    row.addWidget(QLabel("Scan"))
    row.addWidget(browser.scans, 1)
    for widget in (browser.progress, browser.cancel, browser.resume):
        row.addWidget(widget)
        widget.hide()
    return row


def _scan_side(browser: BrowserWidget) -> QWidget:
    browser.probe_label = QLabel()
    browser.probe_label.setToolTip(
        "Drag in the image, or press the arrow keys (Shift: by ten); Shift and drag moves the view"
    )
    browser.probe_label.setMinimumHeight(browser.unit.sizeHint().height())
    browser.over = QCheckBox()
    browser.over.setToolTip("Show this image of the field, or that of the virtual detector")
    browser.over.hide()
    below = QWidget()
    row = QHBoxLayout(below)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(browser.probe_label, 1)
    row.addWidget(browser.over)
    return _column(browser.scan_canvas, below)


def _diffraction_side(browser: BrowserWidget) -> QWidget:
    browser.intensity = QComboBox()
    browser.intensity.addItems(INTENSITY_SCALES)
    browser.intensity.setToolTip("Intensity scale of the pattern")
    browser.unit = QComboBox()
    browser.unit.setToolTip("Unit of lengths on the detector")
    browser.averaged = QCheckBox("PACBED")
    browser.averaged.setToolTip("Show the mean of all patterns (position-averaged pattern)")
    browser.com_cross = QCheckBox("COM")
    browser.com_cross.setToolTip("Mark the centre of mass of the pattern")
    row = QHBoxLayout()
    for widget in (browser.intensity, browser.unit, browser.averaged, browser.com_cross):
        row.addWidget(widget)
    row.addStretch(1)
    controls = QWidget()
    controls.setLayout(row)
    row.setContentsMargins(0, 0, 0, 0)
    return _column(browser.diffraction_canvas, controls)


def _column(canvas: QWidget, below: QWidget) -> QWidget:
    side = QWidget()
    column = QVBoxLayout(side)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(2)
    column.addWidget(canvas, 1)
    column.addWidget(below)
    return side


def _message(browser: BrowserWidget) -> QWidget:
    """Room for two lines, always: words that come and go must not make the canvases jump."""
    browser.message = QLabel()
    browser.message.setWordWrap(True)
    browser.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    browser.message.setStyleSheet(f"color: {NOTE_COLOR};")
    browser.message.setAlignment(Qt.AlignmentFlag.AlignTop)
    room = QScrollArea()  # where two lines are too few
    room.setWidget(browser.message)
    room.setWidgetResizable(True)
    room.setFrameShape(QScrollArea.Shape.NoFrame)
    room.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    room.setFixedHeight(2 * browser.message.fontMetrics().lineSpacing() + 2)
    return room


def _output(browser: BrowserWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    browser.add, browser.copy = QPushButton("Add image to viewer"), QPushButton("Copy as Python")
    browser.add.setToolTip("Add the exact image of the chosen detector as a calibrated layer")
    browser.copy.setToolTip("Put code that makes these images on the clipboard")
    row.addWidget(browser.add)
    row.addWidget(browser.copy)
    return row
