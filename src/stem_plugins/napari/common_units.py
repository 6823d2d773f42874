"""The same units on the same axis for all scans of a viewer, whether calibrated or not.

napari draws without units, and warns, as soon as one layer has pixels on an axis where another has
nanometres or milliradians. So where a viewer holds scans with and without calibration, what is on
screen decides: nanometres while all layers that are shown know their scan step, pixels as soon as
one of them does not; likewise milliradians. The others follow it, in pixels although they are
calibrated, or with a pixel that stands in for one nanometre or milliradian while nobody sees it.
The scale bar is therefore always true. `acquisition_of` a layer is not changed by any of this.
"""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.napari.axes import ORIGIN, behind, covering_axes, world_axes
from stem_plugins.napari.layers import (
    STAND_IN,
    LayerData,
    acquisition_of,
    is_scan_layer,
    place_layer,
    stand_ins,
)
from stem_plugins.napari.view import fit_view
from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["agree_on_units", "join", "keep_units_alike"]

#: What stands in for an unknown step: one nanometre [Å], one milliradian.
STAND_INS = {"scan_step": 10.0, "diffraction_step": 1.0}

#: Lists of layers whose units are kept alike.
_kept: weakref.WeakSet[Any] = weakref.WeakSet()

#: Those of which nothing was shown when the units on screen changed.
_unfitted: weakref.WeakSet[Any] = weakref.WeakSet()


def keep_units_alike(viewer: ViewerModel) -> None:
    """Let the scans of a viewer, and images over them, agree on units from now on.

    Parameters
    ----------
    viewer
        Any napari viewer; a second call changes nothing.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)  # plugins get a proxy
    if viewer.layers in _kept:
        return
    _kept.add(viewer.layers)
    agree = functools.partial(_agree, weakref.ref(viewer))

    def inserted(event: Any) -> None:
        event.value.events.visible.connect(agree)
        agree()

    for layer in viewer.layers:
        layer.events.visible.connect(agree)
    viewer.layers.events.inserted.connect(inserted, position="last")
    viewer.layers.events.removed.connect(agree, position="last")
    agree()


def _agree(viewer: weakref.ref[ViewerModel], event: Any = None) -> None:
    alive = viewer()
    if alive is not None:
        agree_on_units(alive)


def agree_on_units(viewer: ViewerModel) -> None:
    """Give the scans of a viewer, and images over them, the same units on the same axes.

    Parameters
    ----------
    viewer
        Where all of them are calibrated, or none is, nothing changes. The view is fitted anew
        where what it shows has changed its units.
    """
    _agree_with(viewer, [])


def join(viewer: ViewerModel, layer_data: LayerData) -> LayerData:
    """Let a layer and those of a viewer agree on units before it is added: napari warns at once.

    Parameters
    ----------
    viewer
        Any napari viewer, whose units are kept alike from now on.
    layer_data
        Of a scan, or of an image on its scan plane.

    Returns
    -------
    tuple
        Layer data to add to the viewer.
    """
    keep_units_alike(viewer)
    data, options, kind = layer_data
    calibration = options["metadata"]["acquisition"]
    (placed,) = _agree_with(viewer, [calibration])
    if placed == calibration:
        return layer_data
    covered = options["metadata"].get("detector_shape")
    axes = (
        world_axes(placed, tuple(data.shape[2:4]))
        if covered is None
        else covering_axes(placed, covered, options["metadata"].get(ORIGIN, (0.0, 0.0)))
    )
    axes = behind({key: tuple(options[key])[:-4] for key in axes}, axes)
    metadata = {**options["metadata"], STAND_IN: stand_ins(calibration, placed, axes)}
    return data, {**options, **axes, "metadata": metadata}, kind


def _agree_with(viewer: ViewerModel, joining: list[Acquisition]) -> list[Acquisition]:
    """Agree with layers that will be shown; return the calibrations that place those."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    layers = [layer for layer in viewer.layers if _is_ours(layer)]
    calibrations = [acquisition_of(layer) for layer in layers] + joining
    shown = [layer.visible for layer in layers] + [True] * len(joining)
    placed = list(calibrations)
    for field, stand_in in STAND_INS.items():
        known = [getattr(calibration, field) is not None for calibration in calibrations]
        # A layer that nobody sees has no say, unless nobody sees any.
        wanted = stand_in if all(k for k, s in zip(known, shown, strict=True) if s) else None
        if any(known):
            placed = [
                place if is_known == (wanted is not None) else place.replace(**{field: wanted})
                for place, is_known in zip(placed, known, strict=True)
            ]
    before = _scales_on_screen(viewer, layers)
    for layer, calibration, place in zip(layers, calibrations, placed, strict=False):
        # Others are where the user wants them, mirrored or moved.
        if place != calibration or STAND_IN in layer.metadata:
            place_layer(layer, calibration, place)
    if not np.allclose(before, _scales_on_screen(viewer, layers)):
        _unfitted.add(viewer.layers)
    if viewer.layers in _unfitted and any(layer.visible for layer in layers):
        _unfitted.discard(viewer.layers)
        fit_view(viewer)
    return placed[len(layers) :]


def _is_ours(layer: Any) -> bool:
    calibrated = isinstance(layer.metadata.get("acquisition"), Acquisition)
    return calibrated and (is_scan_layer(layer) or "detector_shape" in layer.metadata)


def _scales_on_screen(viewer: ViewerModel, layers: list[Any]) -> list[list[float]]:
    """Scales of layers along the axes that are on screen, which all are lined up from the right."""
    axes = [axis - viewer.dims.ndim for axis in viewer.dims.displayed]
    return [[float(layer.scale[a]) for a in axes if a >= -layer.ndim] for layer in layers]
