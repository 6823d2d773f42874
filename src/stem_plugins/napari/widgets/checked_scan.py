"""The scan of a panel: chosen in a box, calibrated in a form, and checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Signal

from stem_plugins.napari.common_units import agree_on_units, keep_units_alike
from stem_plugins.napari.layers import acquisition_of, set_acquisition
from stem_plugins.napari.scan_check import Check
from stem_plugins.napari.widgets.layer_choice import LayerChoice
from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    from stem_plugins.napari.widgets.airpi import AirpiPanel
    from stem_plugins.napari.widgets.ptychography import PtychographyPanel

__all__ = ["NO_SCAN", "CheckedScan"]

NO_SCAN = "Open a 4D-STEM scan (.mib, .hspy, .zspy), or File > Open Sample."


class CheckedScan(QObject):
    """Let the scan's layer, whose `Acquisition` it is, and the panel's form follow each other.

    Parameters
    ----------
    panel
        With its viewer, and its widgets for the scans, the optics and what the check says.
    check
        Looks at a shape and a calibration; no pattern is read.
    """

    #: Another layer, or other data in the same one; `None` where the viewer holds no scan.
    opened = Signal(object)
    #: A calibration was taken over, and checked.
    checked = Signal()

    def __init__(
        self,
        panel: PtychographyPanel | AirpiPanel,
        check: Callable[[tuple[int, ...], Acquisition], Check],
    ) -> None:
        super().__init__(panel)
        self._panel, self._check = panel, check
        self.shown = Acquisition()  # in the form
        self.found = Check()
        self.choice = LayerChoice(panel.viewer, panel.scans)
        self.choice.chosen.connect(self._open)
        self.choice.moved.connect(self.take_calibration)
        panel.optics.changed.connect(self.calibrate)
        panel.installEventFilter(self)
        keep_units_alike(panel.viewer)

    @property
    def layer(self) -> Any:
        """Layer of the scan, or `None`."""
        return self.choice.layer

    def acquisition(self) -> Acquisition:
        """Calibration of the scan; nothing is known without one."""
        return Acquisition() if self.layer is None else acquisition_of(self.layer)

    def calibrate(self, acquisition: Acquisition) -> None:
        """Give the scan another calibration.

        Parameters
        ----------
        acquisition
            From the form.
        """
        set_acquisition(self.layer, acquisition)
        agree_on_units(self._panel.viewer)
        self.take_calibration()

    def take_calibration(self) -> None:
        """Show the calibration of the layer, and what it allows."""
        panel, layer, self.shown = self._panel, self.layer, self.acquisition()
        shape = None if layer is None else layer.data.shape
        panel.optics.show_acquisition(self.shown, shape)
        found = self.found = Check() if shape is None else self._check(shape, self.shown)
        panel.problem.say(found.problem or found.doubts)
        panel.size_words.setText(" ".join(filter(None, (found.size, found.notes))))
        panel.size_words.setVisible(bool(found.size))
        self.checked.emit()

    def _open(self, layer: Any) -> None:
        self.opened.emit(layer)
        self.take_calibration()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take over a calibration that was entered elsewhere; called by Qt."""
        looked_at = event.type() in (QEvent.Type.Enter, QEvent.Type.Show)
        if looked_at and watched is self._panel and self.acquisition() != self.shown:
            self.take_calibration()
        return False

    def close(self) -> None:
        """Let go of the viewer. Once is enough."""
        self.choice.close()
