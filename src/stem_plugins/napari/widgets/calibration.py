"""A form for the calibration that a file does not know."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QHBoxLayout, QLabel, QWidget

from stem_plugins.optics.acquisition import Acquisition

__all__ = ["CalibrationForm", "OptionalNumber"]


class OptionalNumber(QDoubleSpinBox):
    """A number above zero with its unit, or nothing: ``unknown``.

    Parameters
    ----------
    unit
        Shown behind the number; may be empty.
    decimals
        Digits after the point.
    nothing
        What is shown for `None`.
    largest
        Upper limit.
    """

    def __init__(
        self, unit: str, *, decimals: int = 4, nothing: str = "unknown", largest: float = 1e7
    ) -> None:
        super().__init__()
        self.setDecimals(decimals)
        self.setRange(0, largest)
        self.setSuffix(f" {unit}" if unit else "")
        self.setSpecialValueText(nothing)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        self.setKeyboardTracking(False)
        self.setMinimumWidth(96)

    def number(self) -> float | None:
        """Return the number, or `None`."""
        return self.value() or None

    def set_number(self, number: float | None) -> None:
        """Show a number, or nothing, without telling anybody."""
        blocked = self.blockSignals(True)
        self.setValue(number or 0.0)
        self.blockSignals(blocked)


class CalibrationForm(QWidget):
    """Beam energy, convergence angle, scan step and detector pixel of an `Acquisition`.

    `changed` is emitted with the new `Acquisition` as soon as a value is entered. Fields that the
    form does not show keep their values.
    """

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._acquisition = Acquisition()
        self._shape: tuple[int, ...] | None = None
        self.beam_energy = OptionalNumber("keV", decimals=3)
        self.convergence_angle = OptionalNumber("mrad", decimals=3)
        self.scan_step = (OptionalNumber(""), OptionalNumber(""))
        self.diffraction_step = (
            OptionalNumber("", decimals=5),
            OptionalNumber("", decimals=5),
        )
        self.extent = QLabel()
        self.extent.setWordWrap(True)
        form = QFormLayout(self)
        form.addRow("Beam energy", self.beam_energy)
        form.addRow("Convergence semi-angle", self.convergence_angle)
        form.addRow("Scan step (y, x)", _side_by_side(*self.scan_step, QLabel("Å")))
        form.addRow("Detector pixel (y, x)", _side_by_side(*self.diffraction_step, QLabel("mrad")))
        form.addRow(self.extent)
        for box in (self.beam_energy, self.convergence_angle):
            box.valueChanged.connect(self._edited)
        for pair in (self.scan_step, self.diffraction_step):
            y, x = pair
            y.valueChanged.connect(lambda _, y=y, x=x: self._edit_y(y, x))
            x.valueChanged.connect(lambda _, y=y, x=x: self._edit_x(y, x))
        self._show_extent()

    def show_acquisition(self, acquisition: Acquisition, shape: tuple[int, ...] | None) -> None:
        """Show a calibration without emitting `changed`.

        Parameters
        ----------
        acquisition
            Where the values come from.
        shape
            (scan_y, scan_x, ky, kx), for the field of view; `None` without a scan.
        """
        self._acquisition, self._shape = acquisition, shape
        self.beam_energy.set_number(acquisition.beam_energy)
        self.convergence_angle.set_number(acquisition.convergence_angle)
        for boxes, values in (
            (self.scan_step, acquisition.scan_step),
            (self.diffraction_step, acquisition.diffraction_step),
        ):
            for box, value in zip(boxes, values or (None, None), strict=True):
                box.set_number(value)
        self._show_extent()

    def _edit_y(self, y: OptionalNumber, x: OptionalNumber) -> None:
        """Take over the height of a pixel; square pixels stay square."""
        before = self._acquisition.scan_step if y in self.scan_step else None
        if y in self.diffraction_step:
            before = self._acquisition.diffraction_step
        if before is None or before[0] == before[1] or y.number() is None:
            x.set_number(y.number())
        self._edited()

    def _edit_x(self, y: OptionalNumber, x: OptionalNumber) -> None:
        """Take over the width of a pixel; the height follows only into and out of `unknown`."""
        if y.number() is None or x.number() is None:
            y.set_number(x.number())
        self._edited()

    def _edited(self) -> None:
        self._acquisition = self._acquisition.replace(
            beam_energy=self.beam_energy.number(),
            convergence_angle=self.convergence_angle.number(),
            scan_step=_pair(self.scan_step),
            diffraction_step=_pair(self.diffraction_step),
        )
        self._show_extent()
        self.changed.emit(self._acquisition)

    def _show_extent(self) -> None:
        lines = []
        if self._shape is not None and self._acquisition.scan_step is not None:
            y, x = (
                n * step / 10
                for n, step in zip(self._shape[:2], self._acquisition.scan_step, strict=True)
            )
            lines.append(f"The scan covers {y:.4g} × {x:.4g} nm.")
        if self._shape is not None and self._acquisition.diffraction_step is not None:
            y, x = (
                n * step
                for n, step in zip(self._shape[2:], self._acquisition.diffraction_step, strict=True)
            )
            lines.append(f"The detector covers {y:.4g} × {x:.4g} mrad.")
        missing = [
            text
            for text, value in (
                ("scan step: scale bars are in scan positions", self._acquisition.scan_step),
                ("detector pixel: deflections are in pixels", self._acquisition.diffraction_step),
                ("beam energy: no phases in rad", self._acquisition.beam_energy),
            )
            if value is None
        ]
        lines += [f"Without {text}." for text in missing]
        self.extent.setText("\n".join(lines))


def _pair(boxes: tuple[OptionalNumber, OptionalNumber]) -> tuple[float, float] | None:
    y, x = (box.number() for box in boxes)
    return None if y is None or x is None else (y, x)


def _side_by_side(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return row
