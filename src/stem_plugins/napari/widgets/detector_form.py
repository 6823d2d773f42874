"""The browser's list of virtual detectors, with the numbers of the active one."""

from __future__ import annotations

import dataclasses
import math

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from stem_plugins.napari.browser_model import DiffractionUnit
from stem_plugins.napari.regions import Annulus, Rectangle, Region
from stem_plugins.napari.virtual_detectors import VirtualDetector
from stem_plugins.napari.widgets.forms import quiet

__all__ = ["DetectorForm"]

PRESETS = {
    "BF": "Bright field: a disc of the convergence angle α",
    "ABF": "Annular bright field: from α/2 to α",
    "ADF": "Annular dark field: from 1.1 α to the edge of the detector",
}
SHAPES = ("Disc", "Annulus", "Rectangle")


class DetectorForm(QWidget):
    """List, buttons and numbers; it shows detectors and says what the user wants of them."""

    #: Another detector was chosen: its index.
    chosen = Signal(int)
    #: Its numbers were edited: index, new region.
    region_edited = Signal(int, object)
    #: It was given another name: index, name.
    renamed = Signal(int, str)
    #: A new detector is wanted: one of `SHAPES`, or of `PRESETS`.
    shape_wanted = Signal(str)
    preset_wanted = Signal(str)
    #: The detector is to go: its index.
    removed = Signal(int)
    #: The numbers are no detector: why.
    refused = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.list = QListWidget()
        self.list.setMaximumHeight(124)
        self.list.setMinimumWidth(96)
        self.list.setToolTip("Virtual detectors; double-click to rename")
        self.list.currentRowChanged.connect(self.chosen)
        self.list.itemChanged.connect(self._item_changed)
        self.presets = {name: _button(name, tip) for name, tip in PRESETS.items()}
        self.shapes = {name: _button(f"+ {name}", f"Add a new {name.lower()}") for name in SHAPES}
        self.remove = _button("Remove", "Remove the chosen detector")
        for name, button in self.presets.items():
            button.clicked.connect(lambda _=False, name=name: self.preset_wanted.emit(name))
        for name, button in self.shapes.items():
            button.clicked.connect(lambda _=False, name=name: self.shape_wanted.emit(name))
        self.remove.clicked.connect(lambda: self.removed.emit(self.list.currentRow()))
        self._region: Region | None = None
        self._make_numbers()
        self._lay_out()
        self.show_detectors([], -1, DiffractionUnit("px", (1.0, 1.0)))

    def _make_numbers(self) -> None:
        # Two lengths, in the unit and in px, then the centre in px.
        self.length_labels = (QLabel("Inner"), QLabel("Outer"))
        self.lengths = (_number(), _number())
        self.lengths_in_px = (_number("px"), _number("px"))
        self.center = (_number("px", lowest=-1e6), _number("px", lowest=-1e6))
        for index in (0, 1):
            self.lengths[index].valueChanged.connect(lambda value, i=index: self._edit(i, value))
            self.lengths_in_px[index].valueChanged.connect(
                lambda value, i=index: self._edit(i, value * self._unit_per_px(i))
            )
            self.center[index].valueChanged.connect(lambda value, i=index: self._move(i, value))

    def _lay_out(self) -> None:
        buttons = QGridLayout()
        buttons.setSpacing(3)
        for column, button in enumerate(self.presets.values()):
            buttons.addWidget(button, 0, column)
        for row, button in enumerate(self.shapes.values()):
            place = (1, 0, 1, 1) if row == 0 else (1, row, 1, 1)
            buttons.addWidget(button, *place)
        buttons.addWidget(self.remove, 2, 0, 1, 3)
        left = QVBoxLayout()
        left.setSpacing(3)
        left.addLayout(buttons)
        left.addStretch(1)
        numbers = QGridLayout()
        numbers.setSpacing(3)
        for column in (1, 2):
            # Not of the boxes themselves: napari's style sheet has its own idea of their width.
            numbers.setColumnMinimumWidth(column, 122)
        for row in (0, 1):
            numbers.addWidget(self.length_labels[row], row, 0)
            numbers.addWidget(self.lengths[row], row, 1)
            numbers.addWidget(self.lengths_in_px[row], row, 2)
        numbers.addWidget(QLabel("Centre (ky, kx)"), 2, 0)
        for column, box in enumerate(self.center):
            numbers.addWidget(box, 2, 1 + column)
        numbers.setRowStretch(3, 1)
        row_of_parts = QHBoxLayout(self)
        row_of_parts.setContentsMargins(0, 0, 0, 0)
        row_of_parts.addWidget(self.list, 1)
        row_of_parts.addLayout(left)
        row_of_parts.addLayout(numbers, 2)

    def show_detectors(
        self, detectors: list[VirtualDetector], active: int, unit: DiffractionUnit
    ) -> None:
        """Show detectors and the numbers of the active one, without emitting anything.

        Parameters
        ----------
        detectors
            All, in the order of the list.
        active
            Index of the one whose numbers are shown; -1: none.
        unit
            Of the lengths, beside px.
        """
        with quiet(self.list):
            if [d.name for d in detectors] != self._names():
                self.list.clear()
                for detector in detectors:
                    item = QListWidgetItem(_icon(detector.color), detector.name)
                    item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
                    self.list.addItem(item)
            self.list.setCurrentRow(active)
        region = detectors[active].region if 0 <= active < len(detectors) else None
        self.remove.setEnabled(region is not None)
        self._show_region(region, unit)

    def _names(self) -> list[str]:
        return [self.list.item(row).text() for row in range(self.list.count())]

    def _show_region(self, region: Region | None, unit: DiffractionUnit) -> None:
        self._region = region
        boxes = (*self.lengths, *self.lengths_in_px, *self.center)
        for box in boxes:
            box.setEnabled(region is not None)
        for box in self.lengths:
            box.setVisible(unit.symbol != "px")
        if region is None:
            return
        round_ = isinstance(region, Annulus)
        for label, text in zip(
            self.length_labels, ("Inner", "Outer") if round_ else ("Height", "Width"), strict=True
        ):
            label.setText(text)
        with quiet(*boxes):
            for index, length in enumerate(_lengths(region)):
                per_px = self._unit_per_px(index)
                box, box_in_px = self.lengths[index], self.lengths_in_px[index]
                box.setSuffix(f" {unit.symbol}")
                box.setDecimals(max(1, 2 - math.floor(math.log10(per_px))))
                box.setSingleStep(per_px)
                box.setValue(length)
                box_in_px.setValue(length / per_px)
            for box, value in zip(self.center, region.center, strict=True):
                box.setValue(value)

    def _unit_per_px(self, index: int) -> float:
        """Unit per pixel of a length: along its own axis, and for radii the mean of both."""
        assert self._region is not None
        size_y, size_x = self._region.pixel_size
        if isinstance(self._region, Annulus):
            return math.sqrt(size_y * size_x)
        return (size_y, size_x)[index]

    def _edit(self, index: int, value: float) -> None:
        assert self._region is not None
        names = ("inner", "outer") if isinstance(self._region, Annulus) else ("height", "width")
        self._emit(**{names[index]: float(value)})

    def _move(self, index: int, value: float) -> None:
        assert self._region is not None
        center = list(self._region.center)
        center[index] = float(value)
        self._emit(center=tuple(center))

    def _emit(self, **changes: object) -> None:
        assert self._region is not None
        try:
            region = dataclasses.replace(self._region, **changes)  # type: ignore[arg-type]
        except ValueError as error:
            self.refused.emit(str(error))
            return
        self.region_edited.emit(self.list.currentRow(), region)

    def _item_changed(self, item: QListWidgetItem) -> None:
        self.renamed.emit(self.list.row(item), item.text())


def _lengths(region: Region) -> tuple[float, float]:
    if isinstance(region, Rectangle):
        return region.height, region.width
    return region.inner, region.outer


def _number(suffix: str = "", lowest: float = 0.0) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(lowest, 1e6)
    box.setDecimals(2)
    box.setSuffix(f" {suffix}" if suffix else "")
    # Only finished numbers count: half-typed ones would jump through wrong pictures.
    box.setKeyboardTracking(False)
    return box


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _icon(color: str) -> QIcon:
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor(color))
    return QIcon(pixmap)
