"""Which of a viewer's layers a panel is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QComboBox

from stem_plugins.napari.planes import scan_layers
from stem_plugins.napari.widgets.forms import quiet
from stem_plugins.napari.widgets.worker import is_alive, once

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["LayerChoice"]

#: What places a layer in the viewer's world, by the names of napari's events.
PLACE_EVENTS = ("scale", "translate", "rotate", "shear", "affine", "units")


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
    nothing
        Words of the choice of no layer, with which it then begins; ``None``: there is none.
    """

    #: Another layer, or other data in the same one, are to be shown; `None` where the viewer holds
    #: no layer that is offered.
    chosen = Signal(object)
    #: The chosen layer was given another scale, unit or place, all changes of a moment together.
    moved = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        box: QComboBox,
        offered: Callable[[ViewerModel], list[Any]] = scan_layers,
        nothing: str | None = None,
    ) -> None:
        super().__init__(box)
        self._viewer, self._box, self._offered = viewer, box, offered
        self._nothing = nothing
        self.layer: Any = None
        self._data: Any = None
        self._slots: list[tuple[Any, Callable[..., None]]] = []
        self._moved = once(self, self.moved.emit)
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
        self._forget_layer()

    def list_layers(self, event: Any = None) -> None:
        """Offer the layers of the viewer; choose one where the chosen one is gone."""
        if not is_alive(self):
            return
        layers = self._offered(self._viewer)
        with quiet(self._box):
            self._box.clear()
            if self._nothing is not None:
                self._box.addItem(self._nothing, None)
            for layer in layers:
                self._box.addItem(layer.name, layer)
            if self.layer in layers:
                self._box.setCurrentIndex(self._index(layers, self.layer))
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
            self._box.setCurrentIndex(self._index(layers, layer))

    def _index(self, layers: list[Any], layer: Any) -> int:
        return layers.index(layer) + (self._nothing is not None)

    def _take_chosen(self) -> None:
        layer = self._box.currentData()
        if layer != self.layer or (layer is None and self._nothing is None):
            self._watch(layer)
            self.chosen.emit(layer)

    def _watch(self, layer: Any) -> None:
        self._forget_layer()
        self.layer, self._data = layer, getattr(layer, "data", None)
        if layer is not None:
            places = [(getattr(layer.events, key), self._place_changed) for key in PLACE_EVENTS]
            self._slots = [(layer.events.data, self._data_changed), *places]
        for emitter, slot in self._slots:
            emitter.connect(slot)

    def _forget_layer(self) -> None:
        for emitter, slot in self._slots:
            emitter.disconnect(slot)
        self._slots = []
        if is_alive(self):
            self._moved.stop()

    def _place_changed(self, event: Any = None) -> None:
        # Scale, origin and unit change one after the other; only all of them make sense.
        if is_alive(self):
            self._moved.start(0)

    def _data_changed(self, event: Any = None) -> None:
        # napari tells of new data also where they are the same array.
        if not is_alive(self) or self.layer.data is self._data:
            return
        self._data = self.layer.data
        if self.layer in self._offered(self._viewer):
            self.chosen.emit(self.layer)
        else:
            self.list_layers()
