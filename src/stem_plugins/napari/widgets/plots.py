"""What the riCOM panel shows beside its images: Fourier transform, mean pattern, kernel."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QTabWidget, QWidget

from stem_plugins.imaging.ricom import KernelTransfer, kernel_transfer, ricom_kernel
from stem_plugins.napari.kept_moments import KeptMoments
from stem_plugins.napari.ricom_model import RicomSettings, spectrum
from stem_plugins.napari.widgets.pictures import Circle, PictureView
from stem_plugins.napari.widgets.worker import start_worker
from stem_plugins.optics.acquisition import Acquisition

__all__ = ["DrawnWhenSeen", "Plots", "in_text_color"]

ANGSTROM_PER_NM = 10.0

#: How long the kernel must stand still before its plot follows [ms].
KERNEL_PAUSE = 150

#: Part of the brightest pixel that is shown black in the mean pattern.
FAINTEST = 1e-4


class DrawnWhenSeen(QTabWidget):
    """Tabs with plots that are drawn as soon as somebody looks at them, and no sooner."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumHeight(170)
        self._due: dict[QWidget, Callable[[], None]] = {}
        self.currentChanged.connect(lambda _: self._draw_seen())

    def showEvent(self, event: Any) -> None:
        """Make up for what was asked while nobody looked; called by Qt."""
        super().showEvent(event)
        self._draw_seen()

    def _when_seen(self, view: QWidget, draw: Callable[..., None], *values: Any) -> None:
        """Draw now, or as soon as somebody looks at the tab."""
        self._due[view] = functools.partial(draw, *values)
        self._draw_seen()

    def _draw_seen(self) -> None:
        if self.isVisible() and self.currentWidget() in self._due:
            self._due.pop(self.currentWidget())()


def in_text_color(widget: QWidget, axes: Any) -> None:
    """Draw axes of matplotlib in the colour of a widget's text, on its own background.

    Parameters
    ----------
    widget
        That the axes are in.
    axes
        Of matplotlib.
    """
    color = widget.palette().text().color().name()
    axes.set_facecolor("none")
    axes.tick_params(colors=color, labelsize=7)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=color, fontsize=8)
    for spine in axes.spines.values():
        spine.set_color(color)


class Plots(DrawnWhenSeen):
    """Three tabs: FFT of the result, mean pattern with the detector, kernel with its transfer."""

    def __init__(self) -> None:
        super().__init__()
        self.fourier = PictureView("The Fourier transform of the image appears here.")
        self.pattern = PictureView("The mean pattern appears here after a run.")
        self.kernel = KernelPlot()
        self.addTab(self.fourier, "FFT")
        self.addTab(self.pattern, "Mean pattern")
        self.addTab(self.kernel, "Kernel")

    def clear_scan(self) -> None:
        """Show nothing of a scan that was seen before."""
        self._due.clear()
        self.fourier.clear()
        self.pattern.clear()

    def show_image(
        self, name: str, image: np.ndarray, settings: RicomSettings, acquisition: Acquisition
    ) -> None:
        """Show the Fourier transform of an image, and the pass band of riCOM over it.

        Parameters
        ----------
        name, image
            Of the result.
        settings, acquisition
            Pass band and scan step.
        """
        self._when_seen(self.fourier, self._draw_fourier, name, image, settings, acquisition)

    def _draw_fourier(
        self, name: str, image: np.ndarray, settings: RicomSettings, acquisition: Acquisition
    ) -> None:
        step, unit, cycles = (1.0, 1.0), "px⁻¹", 1.0
        if acquisition.scan_step is not None:
            step, unit = tuple(s / ANGSTROM_PER_NM for s in acquisition.scan_step), "nm⁻¹"
            cycles = ANGSTROM_PER_NM
        pixel = tuple(1 / (n * s) for n, s in zip(image.shape[:2], step, strict=True))
        band = (settings.low, settings.high) if name == "riCOM" else (None, None)
        self.fourier.show_picture(
            spectrum(image),
            step=pixel,
            origin=tuple(-(n // 2) * p for n, p in zip(image.shape[:2], pixel, strict=True)),
            unit=unit,
            caption=f"FFT of {name}",
            circles=tuple(Circle(0, 0, limit * cycles) for limit in band if limit is not None),
        )

    def show_pattern(
        self, kept: KeptMoments, settings: RicomSettings, acquisition: Acquisition
    ) -> None:
        """Show the mean pattern (its logarithm), the centre and the annular detector.

        Parameters
        ----------
        kept
            From the pass.
        settings, acquisition
            Radii, centre and detector pixel.
        """
        self._when_seen(self.pattern, self._draw_pattern, kept, settings, acquisition)

    def _draw_pattern(
        self, kept: KeptMoments, settings: RicomSettings, acquisition: Acquisition
    ) -> None:
        center = kept.center(acquisition)
        step, unit = acquisition.diffraction_step or (1.0, 1.0), "px"
        mean_step = float(np.sqrt(step[0] * step[1]))
        if acquisition.diffraction_step is not None:
            unit = "mrad"
        disc = [(c - m) * s for c, m, s in zip(kept.disc_center, center, step, strict=True)]
        circles = [Circle(0, 0, 0, "red")]
        circles += [
            Circle(*disc, radius * mean_step, "orange")
            for radius in (settings.inner, settings.outer)
            if radius > 0
        ]
        if acquisition.convergence_angle is not None and unit == "mrad":
            circles.append(Circle(0, 0, acquisition.convergence_angle, "deepskyblue"))
        self.pattern.show_picture(
            np.log10(np.maximum(kept.pattern / (kept.pattern.max() or 1.0), FAINTEST)),
            step=step,
            origin=tuple(-c * s for c, s in zip(center, step, strict=True)),
            unit=unit,
            caption="Mean pattern (log)",
            circles=tuple(circles),
        )


class KernelPlot(QWidget):
    """The kernel's x component, and how strongly it passes each frequency."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = PictureView("The kernel appears here.")
        self.figure = Figure(figsize=(2, 2), layout="constrained", facecolor="none")
        self.canvas = FigureCanvasQTAgg(self.figure)
        self.canvas.setMinimumSize(150, 120)
        self.canvas.setStyleSheet("background: transparent;")
        self.axes = self.figure.add_subplot()
        self.axes.set_axis_off()  # until there is a kernel
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.picture, 2)
        row.addWidget(self.canvas, 3)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(KERNEL_PAUSE)
        self._pause.timeout.connect(self._compute)
        self._wanted: tuple[RicomSettings, Acquisition] | None = None
        self._shown: tuple[RicomSettings, Acquisition] | None = None

    def show_kernel(self, settings: RicomSettings, acquisition: Acquisition) -> None:
        """Show another kernel, once no further one has come for a moment.

        Parameters
        ----------
        settings, acquisition
            Kernel, pass band, scan step.
        """
        self._wanted = (settings, acquisition)
        if self.isVisible():
            self._pause.start()

    def showEvent(self, event: object) -> None:
        """Make up for what was asked while the tab was hidden; called by Qt."""
        super().showEvent(event)
        self._pause.start()

    def _compute(self) -> None:
        if self._wanted is not None and self._wanted != self._shown:
            start_worker(
                self, _kernel_and_transfer, self._show, *self._wanted, failed=self._show_nothing
            )

    def _show_nothing(self, error: Exception) -> None:
        """Show neither kernel nor transfer of an impossible filter."""
        self._shown = None
        self.picture.clear()
        self.axes.clear()
        self.axes.set_axis_off()
        self.canvas.draw_idle()

    def _show(
        self,
        result: tuple[RicomSettings, Acquisition, np.ndarray, KernelTransfer],
    ) -> None:
        settings, acquisition, kernel, transfer = result
        if (settings, acquisition) != self._wanted:
            return
        self._shown = self._wanted
        step, per, unit = (1.0, 1.0), 1.0, "px"
        if acquisition.scan_step is not None:
            step = tuple(s / ANGSTROM_PER_NM for s in acquisition.scan_step)
            per, unit = ANGSTROM_PER_NM, "nm"
        half = settings.kernel_size // 2
        self.picture.show_picture(
            kernel[1],
            step=step,
            origin=(-half * step[0], -half * step[1]),
            unit=unit,
            caption="Kernel, x",
            diverging=True,
        )
        self.axes.clear()
        weight = 2 * np.pi * transfer.frequency
        self.axes.plot(transfer.frequency * per, weight * transfer.kernel, label="kernel")
        self.axes.plot(
            transfer.frequency * per,
            weight * transfer.line_integration,
            "--",
            label="line integration",
            linewidth=0.7,
            alpha=0.6,
        )
        self.axes.set(xlabel=f"frequency [{unit}⁻¹]", ylabel="transfer", xlim=(0, None))
        self.axes.legend(
            fontsize=7,
            frameon=False,
            labelcolor="linecolor",
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=2,
        )
        in_text_color(self, self.axes)
        self.canvas.draw_idle()


def _kernel_and_transfer(
    settings: RicomSettings, acquisition: Acquisition
) -> tuple[RicomSettings, Acquisition, np.ndarray, KernelTransfer]:
    y, x = acquisition.scan_step or (1.0, 1.0)
    kernel = ricom_kernel(
        settings.kernel_size, low=settings.low, high=settings.high, scan_step=(y, x)
    )
    transfer = kernel_transfer(
        settings.kernel_size,
        low=settings.low,
        high=settings.high,
        scan_step=float(np.sqrt(y * x)),
        points=96,
    )
    return settings, acquisition, kernel, transfer
