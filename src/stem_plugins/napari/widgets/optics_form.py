"""A form for the optics that ptychography needs: calibration, defocus and orientation."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFormLayout, QVBoxLayout, QWidget

from stem_plugins.napari.widgets.calibration import CalibrationForm
from stem_plugins.napari.widgets.forms import quiet
from stem_plugins.optics.acquisition import Acquisition

__all__ = ["OpticsForm"]

ANGSTROM_PER_NM = 10.0


class OpticsForm(QWidget):
    """The calibration of riCOM's panel, and the defocus and orientation that a probe needs.

    `changed` is emitted with the new `Acquisition` as soon as a value is entered.
    """

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._acquisition = Acquisition()
        self._shape: tuple[int, ...] | None = None
        self.calibration = CalibrationForm()
        self.defocus = _number(1e5, " nm", 2)
        self.defocus.setToolTip("Positive is underfocus; unknown counts as zero")
        self.rotation = _number(180, "°", 2)
        self.rotation.setWrapping(True)
        self.rotation.setToolTip("From detector to scan; the riCOM panel estimates it")
        self.flip_y = QCheckBox("Detector mirrored (y axis reversed)")
        self.rows = form = QFormLayout()
        form.addRow("Defocus", self.defocus)
        form.addRow("Rotation", self.rotation)
        form.addRow("", self.flip_y)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.calibration)
        column.addLayout(form)
        column.addStretch(1)
        form.setContentsMargins(9, 0, 9, 9)
        self.calibration.changed.connect(self._take)
        self.defocus.valueChanged.connect(
            lambda nm: self._take(self._acquisition.replace(defocus=nm * ANGSTROM_PER_NM))
        )
        self.rotation.valueChanged.connect(
            lambda angle: self._take(self._acquisition.replace(scan_rotation=angle))
        )
        self.flip_y.toggled.connect(lambda flip: self._take(self._acquisition.replace(flip_y=flip)))

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
        self.calibration.show_acquisition(acquisition, shape)
        with quiet(self.defocus, self.rotation, self.flip_y):
            self.defocus.setValue((acquisition.defocus or 0.0) / ANGSTROM_PER_NM)
            self.rotation.setValue(acquisition.scan_rotation or 0.0)
            self.flip_y.setChecked(bool(acquisition.flip_y))

    def _take(self, acquisition: Acquisition) -> None:
        self.show_acquisition(acquisition, self._shape)
        self.changed.emit(acquisition)


def _number(largest: float, unit: str, decimals: int) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(-largest, largest)
    box.setDecimals(decimals)
    box.setSuffix(unit)
    box.setKeyboardTracking(False)
    return box
