"""The riCOM panel's controls for kernel and filter, for the detector's orientation, for images."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from stem_plugins.imaging.field import field_colors
from stem_plugins.imaging.ricom import largest_kernel
from stem_plugins.imaging.rotation import RotationEstimate
from stem_plugins.napari.ricom_model import IMAGE_NAMES, RicomSettings
from stem_plugins.napari.widgets.calibration import OptionalNumber
from stem_plugins.optics.acquisition import Acquisition

__all__ = ["ImageChoice", "KernelForm", "OrientationForm", "quiet"]

#: Below this confidence an estimated rotation is shown but not used by itself.
SURE_ENOUGH = 0.5

ANGSTROM_PER_NM = 10.0


class quiet:
    """Keep widgets from telling anybody about changes made inside the block."""

    def __init__(self, *widgets: QWidget) -> None:
        self._widgets = widgets

    def __enter__(self) -> None:
        self._before = [widget.blockSignals(True) for widget in self._widgets]

    def __exit__(self, *_: object) -> None:
        for widget, before in zip(self._widgets, self._before, strict=True):
            widget.blockSignals(before)


class ImageChoice(QWidget):
    """Check boxes for the images of the panel; `changed` says that the choice is another."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        self.boxes = {name: QCheckBox(name) for name in IMAGE_NAMES}
        for index, box in enumerate(self.boxes.values()):
            grid.addWidget(box, *divmod(index, 2))
            box.toggled.connect(self.changed)
        field = self.boxes["Electric field"]
        field.setIcon(_color_wheel())
        field.setIconSize(QSize(22, 22))
        field.setToolTip("The hue is the direction in which the field points, as the wheel shows")
        with quiet(self.boxes["riCOM"]):
            self.boxes["riCOM"].setChecked(True)

    def names(self) -> list[str]:
        """Names of the chosen images."""
        return [name for name, box in self.boxes.items() if box.isChecked()]

    def choose(self, name: str) -> None:
        """Check an image without emitting `changed`."""
        with quiet(self.boxes[name]):
            self.boxes[name].setChecked(True)

    def leave_out(self, name: str) -> None:
        """Uncheck an image without emitting `changed`."""
        with quiet(self.boxes[name]):
            self.boxes[name].setChecked(False)


def _color_wheel(size: int = 64) -> QIcon:
    """Legend of the electric field: the colour in which each direction is drawn."""
    vectors = np.stack(np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j], axis=-1)
    inside = np.hypot(*np.moveaxis(vectors, -1, 0)) <= 1
    colors = field_colors(vectors * inside[..., None], percentile=100)
    wheel = np.dstack([colors, np.where(inside, 255, 0).astype(np.uint8)])
    image = QImage(wheel.tobytes(), size, size, 4 * size, QImage.Format.Format_RGBA8888)
    return QIcon(QPixmap.fromImage(image))


class KernelForm(QWidget):
    """Kernel size, pass band and annular detector; `changed` says that a value is another."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._settings = RicomSettings()
        self._acquisition = Acquisition()
        self._cycles = 1.0  # what a frequency of 1 on screen is in the settings
        self._angle = 1.0  # what a detector radius of 1 px is on screen
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.kernel_size = QSpinBox()
        self.kernel_size.setSingleStep(2)
        self.kernel_size.setKeyboardTracking(False)
        self.reach = QLabel()
        self.low, self.high = (
            OptionalNumber("", nothing="off", decimals=4, largest=1e4) for _ in range(2)
        )
        self.inner, self.outer = QDoubleSpinBox(), QDoubleSpinBox()
        for radius in (self.inner, self.outer):
            radius.setKeyboardTracking(False)
            radius.setDecimals(3)
            radius.setMinimumWidth(104)
        form = QFormLayout(self)
        size = QHBoxLayout()
        size.addWidget(self.slider, 1)
        size.addWidget(self.kernel_size)
        form.addRow("Kernel size", size)
        form.addRow("", self.reach)
        band = QHBoxLayout()
        band.addWidget(self.low, 1)
        band.addWidget(QLabel("to"))
        band.addWidget(self.high, 1)
        form.addRow("Pass band", band)
        radii = QHBoxLayout()
        radii.addWidget(self.inner, 1)
        radii.addWidget(QLabel("to"))
        radii.addWidget(self.outer, 1)
        form.addRow("Annular detector", radii)
        self.slider.valueChanged.connect(lambda half: self.kernel_size.setValue(2 * half + 1))
        self.kernel_size.valueChanged.connect(self._sized)
        for box in (self.low, self.high, self.inner, self.outer):
            box.valueChanged.connect(self._edited)

    def show_settings(
        self,
        settings: RicomSettings,
        acquisition: Acquisition,
        scan_shape: tuple[int, int],
        ring_width: float,
        largest_radius: float,
    ) -> None:
        """Show settings in the units of a calibration, without emitting `changed`.

        Parameters
        ----------
        settings
            What to show.
        acquisition
            Scan step and detector pixel.
        scan_shape
            Scan positions (y, x), which limit the kernel.
        ring_width, largest_radius
            Step and limit of the detector radii [px].
        """
        self._settings, self._acquisition = settings, acquisition
        unit = "px⁻¹"
        self._cycles = 1.0
        if acquisition.scan_step is not None:
            unit, self._cycles = "nm⁻¹", 1 / ANGSTROM_PER_NM
        for box, limit in ((self.low, settings.low), (self.high, settings.high)):
            box.setSuffix(f" {unit}")
            box.set_number(None if limit is None else limit / self._cycles)
        self._show_radii(settings, acquisition, ring_width, largest_radius)
        largest = largest_kernel(scan_shape)
        with quiet(self.slider, self.kernel_size):
            self.slider.setRange(1, largest // 2)
            self.slider.setValue(settings.kernel_size // 2)
            self.kernel_size.setRange(3, largest)
            self.kernel_size.setValue(settings.kernel_size)
        self._show_reach()

    def _show_radii(
        self,
        settings: RicomSettings,
        acquisition: Acquisition,
        ring_width: float,
        largest_radius: float,
    ) -> None:
        self._angle, unit = 1.0, "px"
        if acquisition.diffraction_step is not None:
            y, x = acquisition.diffraction_step
            self._angle, unit = (y * x) ** 0.5, "mrad"
        for box, radius in ((self.inner, settings.inner), (self.outer, settings.outer)):
            with quiet(box):
                box.setSuffix(f" {unit}")
                box.setSingleStep(ring_width * self._angle)
                box.setRange(0, largest_radius * self._angle)
                box.setValue(radius * self._angle)

    def settings(self) -> RicomSettings:
        """Return the settings as they stand in the form."""
        low, high = (
            None if box.number() is None else box.number() * self._cycles
            for box in (self.low, self.high)
        )
        return self._settings.replace(
            kernel_size=self.kernel_size.value() | 1,
            low=low,
            high=high,
            inner=self.inner.value() / self._angle,
            outer=self.outer.value() / self._angle,
        )

    def _sized(self, size: int) -> None:
        with quiet(self.slider, self.kernel_size):
            self.kernel_size.setValue(size | 1)
            self.slider.setValue(size // 2)
        self._show_reach()
        self.changed.emit()

    def _edited(self) -> None:
        self.changed.emit()

    def _show_reach(self) -> None:
        size, step = self.kernel_size.value(), self._acquisition.scan_step
        text = f"{size} × {size} scan positions"
        if step is not None:
            text += f" = {size * step[0] / 10:.3g} × {size * step[1] / 10:.3g} nm"
        self.reach.setText(text)


class OrientationForm(QWidget):
    """Rotation, mirroring, centre and descan correction; `changed` says that one is another."""

    changed = Signal()
    estimate_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._estimate: RotationEstimate | None = None
        self.rotation = QDoubleSpinBox()
        self.rotation.setRange(-180, 180)
        self.rotation.setDecimals(2)
        self.rotation.setWrapping(True)
        self.rotation.setSuffix("°")
        self.rotation.setKeyboardTracking(False)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(-180, 180)
        self.flip_y = QCheckBox("Detector mirrored (y axis reversed)")
        self.estimate = QPushButton("Estimate")
        self.estimate.setToolTip("Rotation and mirroring with the least curl, atoms bright")
        self.use_anyway = QPushButton("Use it")
        self.estimated = QLabel()
        self.estimated.setWordWrap(True)
        self.mean_center = QCheckBox("Mean of all patterns")
        self.center = (QDoubleSpinBox(), QDoubleSpinBox())
        for box in self.center:
            box.setRange(-1e5, 1e5)
            box.setDecimals(2)
            box.setSuffix(" px")
            box.setKeyboardTracking(False)
        self.descan = QComboBox()
        for label, model in (("none", None), ("plane", "plane"), ("parabola", "parabola")):
            self.descan.addItem(label, model)
        self._lay_out()
        self.forget_estimate()
        self.slider.valueChanged.connect(lambda angle: self.rotation.setValue(angle))
        self.rotation.valueChanged.connect(self._turned)
        self.flip_y.toggled.connect(self.changed)
        self.mean_center.toggled.connect(self._center_chosen)
        for box in self.center:
            box.valueChanged.connect(self.changed)
        self.descan.currentIndexChanged.connect(self.changed)
        self.estimate.clicked.connect(self.estimate_asked)
        self.use_anyway.clicked.connect(self._use_estimate)

    def _lay_out(self) -> None:
        form = QFormLayout()
        turn = QHBoxLayout()
        turn.addWidget(self.slider, 1)
        turn.addWidget(self.rotation)
        form.addRow("Rotation", turn)
        form.addRow("", self.flip_y)
        row = QHBoxLayout()
        row.addWidget(self.estimate)
        row.addWidget(self.use_anyway)
        row.addStretch(1)
        form.addRow("", row)
        form.addRow(self.estimated)
        form.addRow("Centre", self.mean_center)
        center = QHBoxLayout()
        for label, box in zip(("y", "x"), self.center, strict=True):
            center.addWidget(QLabel(label))
            center.addWidget(box, 1)
        form.addRow("", center)
        form.addRow("Descan", self.descan)
        QVBoxLayout(self).addLayout(form)

    def show_acquisition(
        self, acquisition: Acquisition, descan: str | None, center: tuple[float, float]
    ) -> None:
        """Show values without emitting `changed`.

        Parameters
        ----------
        acquisition
            Rotation, mirroring and, where known, centre.
        descan
            Model of the descan correction.
        center
            Shown for an unknown centre: the mean [px].
        """
        angle = acquisition.scan_rotation or 0.0
        with quiet(self.rotation, self.slider, self.flip_y, self.mean_center, self.descan):
            self.rotation.setValue(angle)
            self.slider.setValue(round(angle))
            self.flip_y.setChecked(bool(acquisition.flip_y))
            self.mean_center.setChecked(acquisition.center is None)
            self.descan.setCurrentIndex(self.descan.findData(descan))
        self.show_center(acquisition.center or center)

    def show_center(self, center: tuple[float, float]) -> None:
        """Show a centre [px] without emitting `changed`."""
        for box, value in zip(self.center, center, strict=True):
            with quiet(box):
                box.setValue(value)
            box.setEnabled(not self.mean_center.isChecked())

    def acquisition(self, acquisition: Acquisition) -> Acquisition:
        """Return a calibration with rotation, mirroring and centre as they stand in the form."""
        center = None if self.mean_center.isChecked() else tuple(b.value() for b in self.center)
        return acquisition.replace(
            scan_rotation=self.rotation.value(), flip_y=self.flip_y.isChecked(), center=center
        )

    def forget_estimate(self) -> None:
        """Show no estimate; that of another scan must not be used."""
        self._estimate = None
        self.estimated.setText("Run first, then estimate rotation and mirroring.")
        self.use_anyway.hide()

    def show_estimate(self, estimate: RotationEstimate) -> None:
        """Show an estimated rotation, and use it where it is sure enough."""
        self._estimate = estimate
        sure = estimate.confidence >= SURE_ENOUGH
        text = (
            f"{estimate.angle:.1f}° ± {estimate.angle_error:.1g}°, "
            f"{'mirrored' if estimate.flip_y else 'not mirrored'}; "
            f"{100 * estimate.confidence:.0f} % sure"
        )
        self.estimated.setText(text if sure else f"{text}: too little to use it unseen.")
        self.use_anyway.setVisible(not sure)
        if sure:
            self._use_estimate()

    def _use_estimate(self) -> None:
        assert self._estimate is not None
        with quiet(self.rotation, self.slider, self.flip_y):
            self.rotation.setValue(self._estimate.angle)
            self.slider.setValue(round(self._estimate.angle))
            self.flip_y.setChecked(self._estimate.flip_y)
        self.use_anyway.hide()
        self.changed.emit()

    def _turned(self, angle: float) -> None:
        with quiet(self.slider):
            self.slider.setValue(round(angle))
        self.changed.emit()

    def _center_chosen(self, mean: bool) -> None:
        for box in self.center:
            box.setEnabled(not mean)
        self.changed.emit()
