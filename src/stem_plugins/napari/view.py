"""What a viewer has in view, and its scale bar and grid, in all versions of napari."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["camera_of", "fit_view", "grid_of", "scale_bar_of"]


def camera_of(viewer: ViewerModel) -> Any:
    """Camera of a viewer.

    Parameters
    ----------
    viewer
        napari moved the camera to the viewer's scene in version 0.9.
    """
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def grid_of(viewer: ViewerModel) -> Any:
    """Grid mode of a viewer, which shows its visible layers side by side.

    Parameters
    ----------
    viewer
        napari moved the grid to the viewer's canvas in version 0.9.
    """
    return viewer.canvas.grid if hasattr(viewer, "canvas") else viewer.grid


def scale_bar_of(viewer: ViewerModel) -> Any:
    """Scale bar of a viewer.

    Parameters
    ----------
    viewer
        napari moved the scale bar to the viewer's canvas in version 0.9.
    """
    return viewer.canvas.overlays.scale_bar if hasattr(viewer, "canvas") else viewer.scale_bar


def fit_view(viewer: ViewerModel) -> None:
    """Bring the layers that are shown into view, and those alone.

    Parameters
    ----------
    viewer
        By itself napari fits the view to hidden layers too: a small scan would be a speck beside a
        hidden large one. Versions that cannot leave them out fit it to all.
    """
    shown = [layer for layer in viewer.layers if layer.visible]
    if shown and "layers" in inspect.signature(viewer.reset_view).parameters:
        if all(layer.ndim < viewer.dims.ndim for layer in shown):
            # napari fails unless one of them has all of its axes; a stack covers the same field.
            shown += [layer for layer in viewer.layers if layer.ndim == viewer.dims.ndim][-1:]
        viewer.reset_view(layers=shown)
    else:
        viewer.reset_view()
    # napari places the bar by the length that it had one drawing ago, and so beyond the edge.
    bar = scale_bar_of(viewer)
    place = bar.position
    bar.position = "top_left" if str(place) != "top_left" else "bottom_left"
    bar.position = place
