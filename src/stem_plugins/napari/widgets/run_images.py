"""The images of one run after the other as layers of the main viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from stem_plugins.napari.widgets.result_layers import ResultLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["RunImages"]


class RunImages(QObject):
    """Keep the layers of a run apart from those of the run before.

    Parameters
    ----------
    viewer
        Where the images are shown.
    parent
        Qt's owner.

    Attributes
    ----------
    results : ResultLayers
        Of the present run.
    unwanted : set of str
        Names of the images whose layers a user has removed in this run.
    """

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self.unwanted: set[str] = set()
        self.results = ResultLayers(viewer, self.unwanted.add)

    def begin(self) -> None:
        """Begin with layers of their own; those of the run before are hidden."""
        for _, layer in self.results:
            layer.visible = False
        self.forget()

    def forget(self) -> None:
        """Leave the layers as they are; the next ones will be new."""
        self.results.forget()
        self.unwanted.clear()

    def close(self) -> None:
        """Change nothing any more; the images stay."""
        self.results.close()
