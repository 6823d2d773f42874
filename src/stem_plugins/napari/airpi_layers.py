"""The layers that AIRPI gives in napari."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stem_plugins.napari.axes import ORIGIN
from stem_plugins.napari.layers import LayerData, image_layer
from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    from stem_plugins.rapid_phase_imaging.result import AirpiResult

__all__ = ["evidence_layers", "phase_layer"]


def phase_layer(result: AirpiResult, acquisition: Acquisition, name: str) -> LayerData:
    """Layer of the phase, as far as it is drawn.

    Parameters
    ----------
    result
        Of `stem_plugins.napari.airpi_model.image_scan`.
    acquisition
        Of the scan.
    name
        Of the scan.

    Returns
    -------
    tuple
        Layer data for `stem_plugins.napari.planes.on_scan_plane`, in nm; pixel (0, 0) is where
        `AirpiResult.origin` says.
    """
    return _layer(result.phase, result, result.sampling, acquisition, f"AIRPI phase of {name}")


def evidence_layers(
    result: AirpiResult, acquisition: Acquisition, name: str
) -> dict[str, LayerData]:
    """Hidden layers of what says how far the phase is to be trusted, by what they are.

    Parameters
    ----------
    result, acquisition, name
        As for `phase_layer`.
    """
    layers = {
        "coverage": _layer(
            result.coverage, result, result.sampling, acquisition, f"AIRPI coverage of {name}"
        )
    }
    if result.amplitude is not None:
        words = f"AIRPI amplitude of {name}"
        layers["amplitude"] = _layer(result.amplitude, result, result.sampling, acquisition, words)
    if result.consistency is not None:
        assert acquisition.scan_step is not None
        step_y, step_x = acquisition.scan_step
        layers["consistency"] = _layer(
            result.consistency,
            result,
            (result.repeat * step_y, result.repeat * step_x),
            acquisition,
            f"AIRPI consistency of {name}",
        )
    for _, options, _ in layers.values():
        options |= {"visible": False, "colormap": "inferno"}
        options["metadata"]["unit"] = ""
    return layers


def _layer(
    image: np.ndarray,
    result: AirpiResult,
    pixel: tuple[float, float],
    acquisition: Acquisition,
    name: str,
) -> LayerData:
    parameters = {
        "method": "AIRPI",
        **result.parameters,
        "notes": list(result.notes),
        "acquisition": acquisition.to_dict(),
    }
    made = image_layer(
        # The layer's array is written to.
        image.copy(),
        acquisition.replace(scan_step=pixel),
        name,
        "rad",
        parameters=parameters,
    )
    origin = tuple(place / step for place, step in zip(result.origin, pixel, strict=True))
    made[1]["metadata"][ORIGIN] = origin
    scale = made[1]["scale"]
    made[1]["translate"] = tuple(n * step for n, step in zip(origin, scale, strict=True))
    return made
