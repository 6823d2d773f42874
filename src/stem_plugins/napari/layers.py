"""Translate between scans with their `Acquisition` and napari layers; the only place for it.

napari knows scales, units and axis labels; lengths are in nm there, because scale bars want it, and
in Å everywhere else. The `Acquisition` itself travels in ``layer.metadata["acquisition"]``. Steps
that a user gave to the layer since, by its scale and units, win over those in there: the image, the
scale bar and the numbers must never disagree.

Layers come as napari's layer-data tuples ``(data, options, "image")``, so that nothing here needs a
viewer: ``napari.layers.Layer.create(*layer_data)`` makes a layer of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.io.scan import Scan
from stem_plugins.io.units import to_angstrom, to_milliradian
from stem_plugins.napari.axes import AXIS_LABELS, ORIGIN, behind, covering_axes, world_axes
from stem_plugins.napari.contrast import image_limits, pattern_limits
from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = [
    "STAND_IN",
    "LayerData",
    "acquisition_of",
    "image_layer",
    "is_scan_layer",
    "pattern_layer",
    "place_layer",
    "scan_from_layer",
    "scan_layer",
    "set_acquisition",
    "stand_ins",
]

#: What napari's readers and sample data return for one layer.
LayerData = tuple[Any, dict[str, Any], str]

#: In the metadata of layers whose axes are not those of their calibration, see `place_layer`: the
#: steps that something stands in for.
STAND_IN = "stand-in steps"

#: Units as napari names them.
UNIT_NAMES = {"nm": "nanometer", "mrad": "milliradian", "pixel": "pixel"}


def scan_layer(scan: Scan, name: str) -> LayerData:
    """Layer of a 4D-STEM scan: nothing is computed but one pattern, for the contrast.

    Parameters
    ----------
    scan
        ``scan.data[scan_y, scan_x, ky, kx]``, NumPy or dask, which stays lazy.
    name
        Name of the layer.

    Returns
    -------
    tuple
        Layer data for napari. ``metadata["acquisition"]`` is the `Acquisition`,
        ``metadata["largest_count"]`` where a pixel is saturated, ``metadata["file"]`` what else
        the file says.

    Raises
    ------
    ValueError
        The data have not four dimensions.

    Examples
    --------
    >>> layer_data = scan_layer(Scan(np.ones((2, 3, 4, 4)), Acquisition(scan_step=1)), "scan")
    >>> layer_data[1]["contrast_limits"], layer_data[1]["scale"]
    ((0.0, 1.0), (0.1, 0.1, 1.0, 1.0))
    """
    data = scan.data
    if data.ndim != 4:
        raise ValueError(
            f"A scan has four dimensions (scan_y, scan_x, ky, kx); this has shape {data.shape}."
        )
    middle = np.asarray(data[data.shape[0] // 2, data.shape[1] // 2], dtype=float)
    options = {
        "name": name,
        "contrast_limits": pattern_limits(middle, darkest=0.0),
        "metadata": {
            "acquisition": scan.acquisition,
            "file": dict(scan.metadata),
            "largest_count": scan.largest_count,
        },
        **world_axes(scan.acquisition, data.shape[2:]),
    }
    return data, options, "image"


def image_layer(
    image: np.ndarray,
    acquisition: Acquisition,
    name: str,
    unit: str = "",
    *,
    parameters: Mapping[str, Any] | None = None,
    colormap: str = "gray",
    contrast_limits: tuple[float, float] | None = None,
) -> LayerData:
    """Layer of an image over the scan, calibrated in nm.

    Parameters
    ----------
    image
        (scan_y, scan_x), or (scan_y, scan_x, 3) uint8 for colours.
    acquisition
        Of the scan; `scan_step` gives the scale, unknown: pixels.
    name
        Name of the layer.
    unit
        Unit of the values, such as ``"rad"``; kept in ``metadata["unit"]``.
    parameters
        What made the image; kept in ``metadata["parameters"]`` and written to files.
    colormap
        Of napari.
    contrast_limits
        Values shown darkest and brightest; ``None``: the 0.5 and 99.5 percentiles.

    Returns
    -------
    tuple
        Layer data for napari, two-dimensional. In a viewer that also holds a 4D layer it belongs on
        the scan axes: see `stem_plugins.napari.planes.on_scan_plane`.

    Raises
    ------
    ValueError
        The image has another shape, or is complex.

    Examples
    --------
    >>> layer_data = image_layer(np.eye(3), Acquisition(scan_step=2), "riCOM", "rad")
    >>> layer_data[1]["scale"], layer_data[1]["units"], layer_data[1]["metadata"]["unit"]
    ((0.2, 0.2), ('nm', 'nm'), 'rad')
    """
    image = np.asarray(image)
    is_color = image.ndim == 3 and image.shape[2] == 3
    if not (image.ndim == 2 or is_color):
        raise ValueError(f"An image over the scan has the shape (ny, nx), not {image.shape}.")
    if image.dtype.kind == "c":
        raise ValueError("napari shows no complex images; take numpy.abs and numpy.angle.")
    axes = world_axes(acquisition, (1, 1))
    options: dict[str, Any] = {
        "name": name,
        "metadata": {
            "acquisition": acquisition,
            "unit": unit,
            "parameters": dict(parameters or {}),
        },
        "scale": axes["scale"][:2],
        "units": axes["units"][:2],
        "axis_labels": AXIS_LABELS[:2],
        "rgb": is_color,
    }
    if not is_color:
        options["colormap"] = colormap
        options["contrast_limits"] = contrast_limits or image_limits(image)
    return image, options, "image"


def pattern_layer(
    pattern: np.ndarray,
    acquisition: Acquisition,
    name: str,
    *,
    contrast_limits: tuple[float, float] | None = None,
) -> LayerData:
    """Layer of one pattern, or of the mean pattern, calibrated in mrad.

    Parameters
    ----------
    pattern
        (ky, kx).
    acquisition
        Of the scan; `diffraction_step` and `center` give scale and origin, unknown: pixels.
    name
        Name of the layer.
    contrast_limits
        Values shown darkest and brightest; ``None``: the 0.5 and 99.5 percentiles.

    Returns
    -------
    tuple
        Layer data for napari.

    Examples
    --------
    >>> options = pattern_layer(np.eye(3), Acquisition(diffraction_step=2), "PACBED")[1]
    >>> options["units"], options["translate"]
    (('mrad', 'mrad'), (-2.0, -2.0))
    """
    pattern = np.asarray(pattern)
    axes = world_axes(acquisition, pattern.shape)
    options = {key: value[2:] for key, value in axes.items()}
    options |= {
        "name": name,
        "contrast_limits": contrast_limits or image_limits(pattern),
        "metadata": {"acquisition": acquisition},
    }
    return pattern, options, "image"


def is_scan_layer(layer: Any) -> bool:
    """Whether a layer holds a 4D-STEM scan that `scan_from_layer` accepts.

    Parameters
    ----------
    layer
        Any napari layer.
    """
    from napari.layers import Image

    return (
        isinstance(layer, Image)
        and not layer.rgb
        and not layer.multiscale
        and layer.ndim == 4
        and layer.data.dtype.kind in "buif"
        # A result that stands on the scan axes of a 4D viewer has one detector pixel.
        and tuple(layer.data.shape[2:]) != (1, 1)
    )


def scan_from_layer(layer: Image) -> Scan:
    """Scan with its calibration, from a 4D image layer.

    Parameters
    ----------
    layer
        Image layer with the axes (scan_y, scan_x, ky, kx), from our reader or any other.

    Returns
    -------
    Scan
        The layer's own data, not copied, and `acquisition_of` the layer.

    Raises
    ------
    ValueError
        The layer holds no 4D-STEM scan.
    """
    if not is_scan_layer(layer):
        shape = getattr(getattr(layer, "data", None), "shape", "no array")
        raise ValueError(
            f"Layer {layer.name!r} is no 4D-STEM scan: an image layer with the axes (scan_y, "
            f"scan_x, ky, kx) is needed; this is a {type(layer).__name__} of shape {shape}."
        )
    return Scan(
        layer.data,
        acquisition_of(layer),
        dict(layer.metadata.get("file", {})),
        layer.metadata.get("largest_count"),
    )


def acquisition_of(layer: Image) -> Acquisition:
    """Calibration of a layer: from its metadata, with the steps of its scale and units.

    Parameters
    ----------
    layer
        Image layer of a scan (4D) or over a scan (2D). Negative scales, which mirror the picture,
        count by their size.

    Returns
    -------
    Acquisition
        With the fields that the layer knows.
    """
    steps, acquisition = _steps_of(layer), layer.metadata.get("acquisition")
    if not isinstance(acquisition, Acquisition):
        return Acquisition(**steps)
    changed = {
        name: step
        for name, step in steps.items()
        # What we have set ourselves differs by rounding alone.
        if getattr(acquisition, name) is None
        or not np.allclose(getattr(acquisition, name), step, rtol=1e-6, atol=0)
    }
    return acquisition.replace(**changed) if changed else acquisition


def _steps_of(layer: Image) -> dict[str, list[float]]:
    """Scan step [Å] and detector step [mrad], as far as scale and units of a layer give them."""
    # A stack over the scan has its own axis in front of the four.
    symbols = [f"{unit:~}" for unit in layer.units[-4:]]
    scales = [abs(float(scale)) for scale in layer.scale[-4:]]
    known: dict[str, Any] = {}
    standing_in = layer.metadata.get(STAND_IN, {})
    step = [to_angstrom(*pair) for pair in zip(scales[:2], symbols[:2], strict=True)]
    # What stands in for a step is none, until a user changes it.
    if None not in step and not np.allclose(scales[:2], standing_in.get("scan_step", np.inf)):
        known["scan_step"] = step
    # The one detector pixel of an image over the scan is as large as the detector.
    if layer.ndim == 4 and "detector_shape" not in layer.metadata:
        angle = [_angle(*pair) for pair in zip(scales[2:], symbols[2:], strict=True)]
        stand_in = standing_in.get("diffraction_step", np.inf)
        if None not in angle and not np.allclose(scales[2:], stand_in):
            known["diffraction_step"] = angle
    return known


def _angle(scale: float, unit: str) -> float | None:
    """Angle [mrad] of a scale, where its unit is an angle; inverse lengths need a beam energy."""
    try:
        return to_milliradian(scale, unit)
    except ValueError:
        return None


def set_acquisition(layer: Image, acquisition: Acquisition) -> None:
    """Give a layer a new calibration: metadata, scale and units change at once.

    Parameters
    ----------
    layer
        Layer from `scan_layer`, `image_layer` or `pattern_layer`, or any image layer with the axes
        of one.
    acquisition
        The new calibration.
    """
    place_layer(layer, acquisition, acquisition)


def place_layer(layer: Image, acquisition: Acquisition, placed: Acquisition) -> None:
    """Give a layer a calibration, and the axes of another one.

    Parameters
    ----------
    layer
        As for `set_acquisition`.
    acquisition
        Its calibration, which `acquisition_of` goes on to return.
    placed
        Gives scale, translation and units: without a step that `acquisition` has, in pixels; with
        one that it has not, in nm or mrad. The latter stands in for the unknown one until a user
        gives the layer another scale.
    """
    layer.metadata["acquisition"] = acquisition
    axes = _axes_of(layer, placed)
    if placed == acquisition:
        layer.metadata.pop(STAND_IN, None)
    else:
        layer.metadata[STAND_IN] = stand_ins(acquisition, placed, axes)
    for name, value in axes.items():
        # Each of them makes the viewer lay out everything anew.
        if name != "axis_labels" and not _same(getattr(layer, name), value):
            setattr(layer, name, value)


def stand_ins(
    acquisition: Acquisition, placed: Acquisition, axes: Mapping[str, tuple]
) -> dict[str, tuple[float, float]]:
    """Scales that stand in for unknown steps, for ``metadata[STAND_IN]``.

    Parameters
    ----------
    acquisition, placed
        As for `place_layer`.
    axes
        Of `placed`, as from `stem_plugins.napari.axes.world_axes`.
    """
    parts = {"scan_step": slice(0, 2), "diffraction_step": slice(2, 4)}
    return {
        name: axes["scale"][-4:][part]
        for name, part in parts.items()
        if getattr(acquisition, name) is None and getattr(placed, name) is not None
    }


def _axes_of(layer: Image, acquisition: Acquisition) -> dict[str, tuple]:
    """Scale, translation and units that a calibration gives to a layer."""
    covered = layer.metadata.get("detector_shape")
    if covered is not None:
        axes = covering_axes(acquisition, covered, layer.metadata.get(ORIGIN, (0.0, 0.0)))
        front = {key: tuple(getattr(layer, key))[:-4] for key in axes}
        return behind({**front, "units": tuple(map(str, front["units"]))}, axes)
    if layer.ndim == 4:
        return world_axes(acquisition, tuple(layer.data.shape[2:4]))
    is_pattern = tuple(layer.axis_labels) == AXIS_LABELS[2:]
    part = slice(2, 4) if is_pattern else slice(0, 2)
    shape = tuple(layer.data.shape[:2]) if is_pattern else (1, 1)
    return {key: value[part] for key, value in world_axes(acquisition, shape).items()}


def _same(before: Any, after: tuple) -> bool:
    if isinstance(after[0], str):
        return tuple(map(str, before)) == tuple(UNIT_NAMES.get(unit, unit) for unit in after)
    return np.allclose(before, after, rtol=1e-12, atol=0)
