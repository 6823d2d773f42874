"""The layers that a ptychographic reconstruction gives in napari."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from stem_plugins.imaging.center_of_mass import scan_frame_matrix
from stem_plugins.napari.axes import AXIS_LABELS, ORIGIN
from stem_plugins.napari.contrast import image_limits
from stem_plugins.napari.image_layers import DEPTH
from stem_plugins.napari.layers import LayerData
from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    from stem_plugins.ptychography.result import PtychographyResult

__all__ = ["images_of", "layer_acquisition", "parameters_of", "probe_layer", "slices_layer"]

ANGSTROM_PER_NM = 10.0


def images_of(result: PtychographyResult) -> dict[str, tuple[np.ndarray, str]]:
    """Images over the scan that a result holds, by name, with the unit of their values.

    The most telling one comes last, so that it is the topmost layer.

    Parameters
    ----------
    result
        Of `stem_plugins.napari.ptychography_model.reconstruct`.
    """
    images = {}
    if result.absorption is not None:
        images["absorption"] = (result.absorption.sum(axis=0), "")
    return {**images, "phase": (result.phase, "rad")}


def layer_acquisition(result: PtychographyResult) -> Acquisition:
    """Calibration of the images of a result, whose pixels are finer than the scan's."""
    return result.acquisition.replace(scan_step=result.sampling)


def parameters_of(result: PtychographyResult) -> dict[str, Any]:
    """What made a result, for files."""
    return {
        "method": "iterative ptychography",
        **result.settings,
        "stopped": result.stopped,
        "acquisition": result.acquisition.to_dict(),
    }


def slices_layer(result: PtychographyResult, name: str) -> LayerData:
    """Layer of the slices of a result, one behind the other along the beam.

    Parameters
    ----------
    result
        With several slices.
    name
        Of the layer.

    Returns
    -------
    tuple
        Layer data for napari, (slice, y, x), in nm along all three axes.
    """
    assert result.slice_thickness is not None
    steps = (result.slice_thickness, *result.sampling)
    options = {
        "name": name,
        "scale": tuple(step / ANGSTROM_PER_NM for step in steps),
        "translate": (0.0, 0.0, 0.0),
        "units": ("nm",) * 3,
        "axis_labels": (DEPTH, *AXIS_LABELS[:2]),
        "contrast_limits": image_limits(result.slices),
        "metadata": {
            "acquisition": layer_acquisition(result),
            "unit": "rad",
            "parameters": parameters_of(result),
        },
    }
    return np.array(result.slices), options, "image"


def probe_layer(result: PtychographyResult, name: str) -> LayerData:
    """Layer of the probe's amplitude, turned into the frame of the scan, amid the phase.

    Parameters
    ----------
    result
        Whose modes are taken together.
    name
        Of the layer.

    Returns
    -------
    tuple
        Layer data for napari, (y, x), in nm; the layer is hidden at first.
    """
    amplitude = np.sqrt(np.sum(np.abs(result.probe) ** 2, axis=0))
    pixel = np.array(result.probe_sampling)
    known = result.acquisition
    turn = scan_frame_matrix(known.scan_rotation or 0.0, bool(known.flip_y))
    # From pixels of the layer back to those of the detector's frame.
    back = np.linalg.inv(turn) * pixel / pixel[:, None]
    middle = np.array(amplitude.shape) // 2
    image = ndimage.affine_transform(amplitude, back, middle - back @ middle, order=1)
    origin = np.array(result.phase.shape) / 2 * result.sampling / pixel - middle
    options = {
        "name": name,
        "scale": tuple(pixel / ANGSTROM_PER_NM),
        "translate": tuple(origin * pixel / ANGSTROM_PER_NM),
        "units": ("nm",) * 2,
        "axis_labels": AXIS_LABELS[:2],
        "contrast_limits": image_limits(image),
        "visible": False,
        "metadata": {
            "acquisition": known.replace(scan_step=result.probe_sampling),
            ORIGIN: tuple(origin),
            "unit": "",
            "parameters": parameters_of(result),
        },
    }
    return image.astype(np.float32), options, "image"
