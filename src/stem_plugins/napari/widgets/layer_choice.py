"""Which of a viewer's layers a panel is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QComboBox

from stem_plugins.napari.planes import scan_layers
from stem_plugins.napari.widgets.forms import quiet
from stem_plugins.napari.widgets.worker import is_alive

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["LayerChoice"]


class LayerChoice(QObject):
    """Keep a box filled with the scans, or other layers, of a viewer; the chosen one stays chosen.

    Parameters
    ----------
    viewer
        Whose layers are watched, until `close`.
    box
        Offers the layers by name.
    offered
        Returns the layers of a viewer that are offered, the first of them the one to begin with.
    """

    #: Another layer is to be shown, or `None` where the viewer holds none that is offered.
    chosen = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        box: QComboBox,
        offered: Callable[[ViewerModel], list[Any]] = scan_layers,
    ) -> None:
        super().__init__(box)
        self._viewer, self._box, self._offered = viewer, box, offered
        self.layer: Any = None
        box.currentIndexChanged.connect(lambda _: self._take_chosen())
        events = viewer.layers.events
        self._emitters = (events.inserted, events.removed, events.renamed)
        for emitter in self._emitters:
            emitter.connect(self.list_layers)

    def close(self) -> None:
        """Let go of the viewer. Once is enough."""
        for emitter in self._emitters:
            emitter.disconnect(self.list_layers)
        self._emitters = ()

    def list_layers(self, event: Any = None) -> None:
        """Offer the layers of the viewer; choose one where the chosen one is gone."""
        if not is_alive(self):
            return
        layers = self._offered(self._viewer)
        with quiet(self._box):
            self._box.clear()
            for layer in layers:
                self._box.addItem(layer.name, layer)
            if self.layer in layers:
                self._box.setCurrentIndex(layers.index(self.layer))
        if self.layer is None or self.layer not in layers:
            self._take_chosen()

    def choose(self, layer: Any) -> None:
        """Choose a layer; one that is not offered changes nothing.

        Parameters
        ----------
        layer
            Of the viewer.
        """
        layers = self._offered(self._viewer)
        if layer in layers and layer != self.layer:
            self.list_layers()
            self._box.setCurrentIndex(layers.index(layer))

    def _take_chosen(self) -> None:
        layer = self._box.currentData()
        if layer is None or layer != self.layer:
            self.layer = layer
            self.chosen.emit(layer)
