"""What the panel Ptychography shows beside its images: losses, probe, Fourier transform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from qtpy.QtWidgets import QVBoxLayout, QWidget

from stem_plugins.napari.ricom_model import spectrum
from stem_plugins.napari.widgets.pictures import Circle, PictureView
from stem_plugins.napari.widgets.plots import DrawnWhenSeen, in_text_color
from stem_plugins.optics.electrons import wavelength

if TYPE_CHECKING:
    from stem_plugins.ptychography.result import PtychographyResult

__all__ = ["ReconstructionPlots"]

ANGSTROM_PER_NM = 10.0


class ReconstructionPlots(DrawnWhenSeen):
    """Three tabs: losses by iteration, intensity of the probe, FFT of the phase."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = LossPlot()
        self.probe = PictureView("The probe appears here.")
        self.fourier = PictureView("The Fourier transform of the phase appears here.")
        self.addTab(self.loss, "Loss")
        self.addTab(self.probe, "Probe")
        self.addTab(self.fourier, "FFT")
        self.setTabToolTip(1, "Intensity of the strongest mode")
        self.setTabToolTip(2, "Of the phase; the circle is twice the convergence angle")

    def clear(self) -> None:
        """Show nothing of a reconstruction that was seen before."""
        self._due.clear()
        self.loss.clear()
        self.probe.clear()
        self.fourier.clear()

    def show_result(self, result: PtychographyResult, stages: Mapping[str, int]) -> None:
        """Show another result.

        Parameters
        ----------
        result
            Losses, probe and phase.
        stages
            First iteration of each stage.
        """
        self._when_seen(self.loss, self.loss.show_losses, result, dict(stages))
        self._when_seen(self.probe, self._draw_probe, result)
        self._when_seen(self.fourier, self._draw_fourier, result)

    def _draw_probe(self, result: PtychographyResult) -> None:
        step = tuple(pixel / ANGSTROM_PER_NM for pixel in result.probe_sampling)
        intensity = np.square(np.abs(result.probe[0]))
        middle = (n // 2 for n in intensity.shape)
        share = f", mode 1 ({100 * result.powers[0]:.0f} %)" if len(result.probe) > 1 else ""
        self.probe.show_picture(
            intensity,
            step=step,
            origin=tuple(-m * s for m, s in zip(middle, step, strict=True)),
            unit="nm",
            caption=f"Probe{share}",
        )

    def _draw_fourier(self, result: PtychographyResult) -> None:
        phase, acquisition = result.phase, result.acquisition
        pixel = tuple(
            ANGSTROM_PER_NM / (n * step)
            for n, step in zip(phase.shape, result.sampling, strict=True)
        )
        assert acquisition.convergence_angle is not None
        assert acquisition.beam_energy is not None
        aperture = 1e-3 * acquisition.convergence_angle / wavelength(acquisition.beam_energy)
        self.fourier.show_picture(
            spectrum(phase),
            step=pixel,
            origin=tuple(-(n // 2) * p for n, p in zip(phase.shape, pixel, strict=True)),
            unit="nm⁻¹",
            caption="FFT of the phase",
            circles=(Circle(0, 0, 2 * aperture * ANGSTROM_PER_NM),),
        )


class LossPlot(QWidget):
    """Loss of the patterns that are fitted, and of those that are not, by iteration."""

    def __init__(self) -> None:
        super().__init__()
        self.figure = Figure(figsize=(3, 2), layout="constrained", facecolor="none")
        self.canvas = FigureCanvasQTAgg(self.figure)
        self.canvas.setMinimumSize(150, 120)
        self.canvas.setStyleSheet("background: transparent;")
        self.axes = self.figure.add_subplot()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.canvas)
        self.clear()

    def clear(self) -> None:
        """Show no losses."""
        self.axes.clear()
        self.axes.set_axis_off()
        self.canvas.draw_idle()

    def show_losses(self, result: PtychographyResult, stages: Mapping[str, int]) -> None:
        """Draw both curves, and where a stage begins.

        Parameters
        ----------
        result
            With its losses.
        stages
            First iteration of each stage, as far as it was seen.
        """
        self.axes.clear()
        self.axes.set_axis_on()
        iterations = np.arange(1, len(result.losses) + 1)
        few = "." if len(iterations) < 2 else ""
        self.axes.plot(iterations, result.losses, few or "-", label="loss")
        held = result.held_out_losses
        if len(held) == len(iterations):
            self.axes.plot(iterations, held, few or "--", label="held out")
        for name, first in stages.items():
            if 0 < first < len(iterations):
                self.axes.axvline(first + 0.5, color="grey", linewidth=0.7)
                self.axes.annotate(
                    name, (first + 0.5, 0.97), xycoords=("data", "axes fraction"), va="top",
                    xytext=(3, 0), textcoords="offset points", fontsize=7, color="grey",
                )  # fmt: skip
        self.axes.set(xlabel="iteration", ylabel="mean loss of a pattern", ylim=_range(result))
        self.axes.legend(fontsize=7, frameon=False, labelcolor="linecolor", loc="upper right")
        in_text_color(self, self.axes)
        self.canvas.draw_idle()


def _range(result: PtychographyResult) -> tuple[float | None, float | None]:
    """Limits that leave out how high the first iterations are, once there are some more."""
    shown = np.concatenate([result.losses, result.held_out_losses])
    late = np.concatenate([result.losses[2:], result.held_out_losses[2:]])
    if late.size < 4:
        return None, None
    low, high = float(shown.min()), float(late.max())
    margin = max((high - low) * 0.08, abs(high) * 1e-6)
    return low - margin, high + 2 * margin
