"""The virtual detectors of the browser, as form and canvas change them."""

from __future__ import annotations

import dataclasses

import numpy as np
from qtpy.QtCore import QObject, Signal

from stem_plugins.napari.browser_model import BeamDisc, DiffractionUnit, preset_detectors
from stem_plugins.napari.regions import Annulus, Rectangle, Region
from stem_plugins.napari.virtual_detectors import VirtualDetector
from stem_plugins.napari.widgets.detector_form import DetectorForm
from stem_plugins.napari.widgets.diffraction_canvas import DiffractionCanvas

__all__ = ["DetectorEditor"]

#: Of detectors, in turn; bright on dark patterns and told apart by colour-blind eyes.
COLORS = ("#39d5ff", "#ffb000", "#7dff6b", "#ff6fd8", "#ffffff", "#b79cff")


class DetectorEditor(QObject):
    """List of virtual detectors, one of them active; form and canvas show it and change it.

    Parameters
    ----------
    form, canvas
        Whose wishes are followed. Presets and new shapes need the beam, so `add_preset` and
        `add_shape` are called by somebody who knows it.
    """

    #: Another detector is active, or the active one is another region.
    changed = Signal()
    #: Something cannot be done: why. An empty message takes the last one back.
    said = Signal(str)

    def __init__(self, form: DetectorForm, canvas: DiffractionCanvas) -> None:
        super().__init__(form)
        self._form, self._canvas = form, canvas
        self.detectors: list[VirtualDetector] = []
        self.active_index = -1
        self.unit = DiffractionUnit("px", (1.0, 1.0))
        canvas.detector_chosen.connect(self.choose)
        canvas.region_dragged.connect(self.change_region)
        form.chosen.connect(self.choose)
        form.region_edited.connect(self.change_region)
        form.renamed.connect(self._rename)
        form.removed.connect(self.remove)
        form.refused.connect(self._refused)

    @property
    def active(self) -> VirtualDetector | None:
        """The detector whose image is shown."""
        if 0 <= self.active_index < len(self.detectors):
            return self.detectors[self.active_index]
        return None

    def clear(self) -> None:
        """Remove all detectors, without telling anybody."""
        self.detectors, self.active_index = [], -1

    def show(self, mask: np.ndarray | None) -> None:
        """Bring form and canvas up to date.

        Parameters
        ----------
        mask
            Pixels that the active detector covers, or ``None``.
        """
        self._canvas.show_detectors(self.detectors, self.active_index, mask)
        self._form.show_detectors(self.detectors, self.active_index, self.unit)

    def use_unit(self, unit: DiffractionUnit) -> None:
        """Give lengths in another unit; the detectors keep their pixels. Tells nobody.

        Parameters
        ----------
        unit
            The new unit.
        """
        self.unit = unit
        self.detectors = [
            dataclasses.replace(detector, region=detector.region.rescaled(unit.pixel_size))
            for detector in self.detectors
        ]

    def add_preset(self, name: str, beam: BeamDisc, detector_shape: tuple[int, int]) -> None:
        """Add a usual detector, or set it back to its place.

        Parameters
        ----------
        name
            ``"BF"``, ``"ABF"`` or ``"ADF"``.
        beam
            The undiffracted beam, radius in the unit of the editor.
        detector_shape
            (ky, kx) [px].
        """
        presets = preset_detectors(beam, detector_shape, self.unit)
        if name not in presets:
            self.said.emit("The beam fills the detector: no room for a dark-field detector.")
            return
        self._put(name, presets[name])
        if not beam.is_calibrated:
            self.said.emit(
                "Convergence angle unknown: α was measured in the patterns, "
                f"{beam.radius:.4g} {self.unit.symbol}."
            )

    def add_shape(self, kind: str, beam: BeamDisc) -> None:
        """Add a detector of a kind around the beam.

        Parameters
        ----------
        kind
            ``"Disc"``, ``"Annulus"`` or ``"Rectangle"``.
        beam
            The undiffracted beam, radius in the unit of the editor.
        """
        center = (round(beam.center[0], 2), round(beam.center[1], 2))
        half, one, more = (float(f"{factor * beam.radius:.4g}") for factor in (0.5, 1.0, 1.5))
        size = self.unit.pixel_size
        regions: dict[str, Region] = {
            "Disc": Annulus(center, 0.0, half, size),
            "Annulus": Annulus(center, one, more, size),
            "Rectangle": Rectangle(center, one, one, size),
        }
        names = {detector.name for detector in self.detectors}
        name, number = kind, 1
        while name in names:
            number += 1
            name = f"{kind} {number}"
        self._put(name, regions[kind])

    def _put(self, name: str, region: Region) -> None:
        self.said.emit("")
        names = [detector.name for detector in self.detectors]
        if name in names:
            self.active_index = names.index(name)
            self.change_region(self.active_index, region)
            return
        used = {detector.color for detector in self.detectors}
        free = [color for color in COLORS if color not in used]
        color = free[0] if free else COLORS[len(names) % len(COLORS)]
        self.detectors.append(VirtualDetector(name, region, color))
        self.active_index = len(names)
        self.changed.emit()

    def choose(self, index: int) -> None:
        """Make another detector the active one.

        Parameters
        ----------
        index
            Of `detectors`.
        """
        if index != self.active_index:
            self.active_index = index
            self.changed.emit()

    def change_region(self, index: int, region: Region) -> None:
        """Give a detector another region.

        Parameters
        ----------
        index
            Of `detectors`.
        region
            The new region.
        """
        self.said.emit("")
        self.detectors[index] = dataclasses.replace(self.detectors[index], region=region)
        self.changed.emit()

    def remove(self, index: int) -> None:
        """Remove a detector.

        Parameters
        ----------
        index
            Of `detectors`.
        """
        del self.detectors[index]
        self.active_index = min(self.active_index, len(self.detectors) - 1)
        self.changed.emit()

    def _rename(self, index: int, name: str) -> None:
        others = {d.name for i, d in enumerate(self.detectors) if i != index}
        if name and name not in others:
            self.detectors[index] = dataclasses.replace(self.detectors[index], name=name)
        else:
            self.said.emit(f"Each detector needs a name of its own, not {name!r}.")
        self.changed.emit()

    def _refused(self, message: str) -> None:
        self.changed.emit()  # shows the numbers as they were
        self.said.emit(message)
