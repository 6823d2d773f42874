"""What the main viewer shows of a scan: its images, also side by side, or its patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from stem_plugins.napari.planes import show_images, show_patterns, shows_images
from stem_plugins.napari.view import fit_view, grid_of, scale_bar_of
from stem_plugins.napari.widgets.worker import is_alive, once

if TYPE_CHECKING:
    from stem_plugins.napari.widgets.airpi import AirpiPanel
    from stem_plugins.napari.widgets.ptychography import PtychographyPanel
    from stem_plugins.napari.widgets.ricom import RicomPanel

__all__ = ["PlaneView"]

#: How long after a change of the grid the view is fitted to it [ms].
FIT = 150

#: Between images side by side [px].
GRID_SPACING = 8


class PlaneView(QObject):
    """Let the panel's buttons and the viewer follow each other.

    Parameters
    ----------
    panel
        With its viewer, its buttons and the images in its `ResultLayers`.
    """

    def __init__(self, panel: RicomPanel | PtychographyPanel | AirpiPanel) -> None:
        super().__init__(panel)
        self._panel, self._viewer = panel, panel.viewer
        self._fit = once(self, lambda: fit_view(self._viewer), FIT)
        self._bar_place: Any = None  # of the scale bar, while images are side by side
        panel.images_view.clicked.connect(self._show_images)
        panel.patterns_view.clicked.connect(self._show_patterns)
        panel.side_by_side.toggled.connect(self._set_grid)
        events = self._viewer.layers.events
        self._slots: tuple[tuple[Any, Any], ...] = (
            (events.inserted, self._layers_changed),
            (events.removed, self._layers_changed),
            (self._viewer.dims.events.order, self._show_plane),
        )
        for emitter, slot in self._slots:
            emitter.connect(slot)

    def close(self) -> None:
        """Let go of the viewer. Once is enough."""
        for emitter, slot in self._slots:
            emitter.disconnect(slot)
        self._slots = ()
        if is_alive(self):
            self._fit.stop()

    def fit(self) -> None:
        """Bring all of the images into view, once no further change has come for a moment."""
        self._fit.start()

    def _layers_changed(self, event: Any = None) -> None:
        if is_alive(self) and grid_of(self._viewer).enabled:
            self._fit.start()  # its parts have become smaller or larger

    def _show_plane(self, event: Any = None) -> None:
        if is_alive(self):
            images = shows_images(self._viewer)
            panel = self._panel
            (panel.images_view if images else panel.patterns_view).setChecked(True)

    def _show_patterns(self) -> None:
        grid_of(self._viewer).enabled = False
        self._place_scale_bar()
        show_patterns(self._viewer, self._panel.scan_layer)

    def _show_images(self) -> None:
        show_images(self._viewer)
        self._set_grid(self._panel.side_by_side.isChecked())

    def _set_grid(self, enabled: bool) -> None:
        """Show the images side by side, each with its name, or on top of each other."""
        grid = grid_of(self._viewer)
        grid.spacing = GRID_SPACING
        grid.enabled = enabled
        self._place_scale_bar()
        self._panel.images.results.show_names(enabled)
        # Only after the next drawing does the viewer know how large the parts of the grid are.
        self._fit.start()

    def _place_scale_bar(self) -> None:
        """Begin the scale bar at the left while images are side by side: on the right it runs off.

        Its length changes with every zoom, and by a factor of two; napari takes note of it too late
        to place its right end.
        """
        bar, enabled = scale_bar_of(self._viewer), grid_of(self._viewer).enabled
        if enabled and self._bar_place is None:
            self._bar_place, bar.position = bar.position, "bottom_left"
        elif not enabled and self._bar_place is not None:
            bar.position, self._bar_place = self._bar_place, None
