"""Result images that follow the settings: those on screen at once, the others once all is quiet."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from stem_plugins.napari.kept_moments import KeptMoments
from stem_plugins.napari.planes import flat_image
from stem_plugins.napari.ricom_model import (
    RicomSettings,
    check_pass_band,
    compute_field,
    compute_image,
)
from stem_plugins.napari.widgets.result_layers import ResultLayers
from stem_plugins.napari.widgets.worker import is_alive, once
from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["LiveImages"]

#: Images on screen are made together, and drawn once, as long as it takes no longer [s].
TOGETHER = 0.03

#: How long settings must stand still before images that nobody sees, and thumbnails, follow [ms].
SETTLED = 250


class LiveImages(QObject):
    """Compute images from the kept moments and show them; nothing is computed twice.

    Parameters
    ----------
    viewer
        Where the images are shown.
    removed
        Called with the name of an image whose layer a user removed.
    front_changed
        Called with the name of the image in front after it was brought up to date.
    failed
        Called with the error when an image cannot be made.
    parent
        Qt's owner.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        removed: Callable[[str], None],
        front_changed: Callable[[str, np.ndarray], None],
        failed: Callable[[Exception], None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._removed, self._front_changed, self._failed = removed, front_changed, failed
        self.results = ResultLayers(viewer, self._layer_removed)
        self.scan_layer: Any = None
        self.kept: KeptMoments | None = None
        self._version = 0  # of what is kept
        self._settings, self._acquisition = RicomSettings(), Acquisition()
        self._field: tuple[Any, Any] = (None, None)
        self._made: dict[str, Any] = {}
        self._first: list[str] = []  # on screen
        self._later: list[str] = []
        self._next = once(self, self._make_next)

    def start(self, scan_layer: Any, kept: KeptMoments | None) -> None:
        """Turn to another scan, or begin with one anew.

        Parameters
        ----------
        scan_layer
            The 4D layer. Images of another one before stay in the viewer as they are.
        kept
            Its moments, `None` before a pass.
        """
        if scan_layer != self.scan_layer:
            self.results.forget()
        self.scan_layer, self.kept = scan_layer, kept
        self._made.clear()
        self._take_waiting()
        self._version += 1

    def moments_changed(self) -> None:
        """Note that the kept moments are others than before."""
        self._version += 1

    def close(self) -> None:
        """Change nothing any more; the images stay."""
        self._next.stop()
        self.results.close()

    def update(
        self, names: Sequence[str], settings: RicomSettings, acquisition: Acquisition
    ) -> None:
        """Bring images up to date: those on screen now, the others after a pause.

        Parameters
        ----------
        names
            Images to show; layers of others are removed.
        settings, acquisition
            What to make them with.
        """
        self._next.stop()
        self._take_waiting()
        self._settings, self._acquisition = settings, acquisition
        for name, _ in list(self.results):
            if name not in names:
                self.results.remove(name)
        if self.kept is None or not self.kept.seen.any():
            return
        new = [name for name in names if name not in self.results]
        first = dict.fromkeys([self.front(names), *self.results.on_screen(), *new])
        self._first = [name for name in first if name in names]
        self._later = [name for name in names if name not in first]
        self._make_first()

    @property
    def is_late(self) -> bool:
        """Whether an image on screen is not up to date yet."""
        return bool(self._first)

    def finish(self) -> None:
        """Bring all images that still wait, and thumbnails, up to date now."""
        self._next.stop()
        for name in self._take_waiting():
            self._make(name)
        self.results.show_thumbnails()

    def front(self, names: Sequence[str] | None = None) -> str | None:
        """Name of the image in front: the selected layer if it is seen, else the topmost.

        Parameters
        ----------
        names
            Where there is no layer yet, the first of these.
        """
        seen = {layer: name for name, layer in self.results if layer.visible}
        active = self._viewer.layers.selection.active
        if active in seen:
            return seen[active]
        for layer in reversed(self._viewer.layers):
            if layer in seen:
                return seen[layer]
        return names[0] if names else None

    def show_front(self) -> None:
        """Tell `front_changed` of the image that is in front now."""
        name = self.front()
        if name is not None and name in self.results:
            self._front_changed(name, flat_image(self.results.layer(name)))

    def _take_waiting(self) -> list[str]:
        waiting = self._first + self._later
        self._first, self._later = [], []
        return waiting

    def _make_first(self) -> None:
        """Make images on screen, several together, so that they are drawn at the same time."""
        end = time.monotonic() + TOGETHER
        while self._first:
            self._make(self._first.pop(0))
            if time.monotonic() > end:
                break
        self._next.start(0 if self._first else SETTLED)

    def _make_next(self) -> None:
        if self._first:
            self._make_first()
        elif self._later:
            self._make(self._later.pop(0))
            self._next.start(0)
        else:
            self.results.show_thumbnails()

    def _make(self, name: str) -> None:
        """Make an image and show it, unless it is there already."""
        settings, acquisition, kept = self._settings, self._acquisition, self.kept
        assert kept is not None
        of_field = (self._version, acquisition, settings.descan)
        made_of = {
            "riCOM": (of_field, settings.kernel_size, settings.low, settings.high),
            "Annular detector": (self._version, settings.inner, settings.outer),
        }.get(name, of_field)
        if self._made.get(name) == made_of and name in self.results:
            return
        is_new = name not in self.results
        try:
            if name == "riCOM":
                check_pass_band(settings, acquisition)
            if self._field[0] != of_field:
                self._field = (of_field, compute_field(kept, acquisition, settings.descan))
            image, unit = compute_image(name, kept, self._field[1], settings)
        except ValueError as error:
            self._failed(error)
            return
        parameters = {"method": name, **settings.to_dict(), "acquisition": acquisition.to_dict()}
        self.results.show(name, image, acquisition, unit, parameters, self.scan_layer)
        self._made[name] = made_of
        if is_new or name == self.front():
            self._front_changed(name, image)

    def _layer_removed(self, name: str) -> None:
        self._made.pop(name, None)
        if is_alive(self):
            self._removed(name)
