"""Scales, origins and units that a calibration gives to napari's axes.

Lengths are in nm, because scale bars want it; they are in Å everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping

from stem_plugins.optics.acquisition import Acquisition

__all__ = ["AXIS_LABELS", "ORIGIN", "behind", "covering_axes", "world_axes"]

AXIS_LABELS = ("scan y", "scan x", "ky", "kx")

ANGSTROM_PER_NM = 10.0

#: In the metadata of layers whose pixel (0, 0) is not at scan position (0, 0): how far it is from
#: there, (y, x), in their own pixels.
ORIGIN = "origin"


def world_axes(acquisition: Acquisition, detector_shape: tuple[int, int]) -> dict[str, tuple]:
    """Scale, translation and units of a 4D layer.

    Parameters
    ----------
    acquisition
        Uses `scan_step`, `diffraction_step` and `center`.
    detector_shape
        (ky, kx) [px]; its middle stands in for an unknown centre.

    Returns
    -------
    dict
        ``scale``, ``translate``, ``units`` and ``axis_labels`` for (scan_y, scan_x, ky, kx): nm and
        mrad where calibrated, pixels where not. Scan position (0, 0) is the origin of the scan.
        Calibrated angles count from the undiffracted beam; uncalibrated detector pixels from the
        corner, so that the cursor shows their index.

    Examples
    --------
    >>> axes = world_axes(Acquisition(scan_step=2, diffraction_step=0.5), (5, 5))
    >>> axes["scale"], axes["units"]
    ((0.2, 0.2, 0.5, 0.5), ('nm', 'nm', 'mrad', 'mrad'))
    >>> axes["translate"]
    (0.0, 0.0, -1.0, -1.0)
    """
    scan_scale, scan_unit = (1.0, 1.0), "pixel"
    if acquisition.scan_step is not None:
        scan_scale = tuple(step / ANGSTROM_PER_NM for step in acquisition.scan_step)
        scan_unit = "nm"
    angle_scale, angle_unit, origin = (1.0, 1.0), "pixel", (0.0, 0.0)
    if acquisition.diffraction_step is not None:
        angle_scale, angle_unit = acquisition.diffraction_step, "mrad"
        center = acquisition.center or tuple((n - 1) / 2 for n in detector_shape)
        origin = tuple(-c * step for c, step in zip(center, angle_scale, strict=True))
    return {
        "scale": (*scan_scale, *angle_scale),
        "translate": (0.0, 0.0, *origin),
        "units": (scan_unit, scan_unit, angle_unit, angle_unit),
        "axis_labels": AXIS_LABELS,
    }


def covering_axes(
    acquisition: Acquisition,
    detector_shape: tuple[int, int],
    origin: tuple[float, float] = (0.0, 0.0),
) -> dict[str, tuple]:
    """Scale, translation and units of an image over the scan, (scan_y, scan_x, 1, 1).

    Parameters
    ----------
    acquisition, detector_shape
        As for `world_axes`. The one detector pixel of the image covers the whole detector, so that
        the image is there whatever detector pixel the viewer's sliders stand on.
    origin
        Of the image, as `ORIGIN` says.

    Examples
    --------
    >>> axes = covering_axes(Acquisition(diffraction_step=0.5), (5, 7))
    >>> axes["scale"], axes["translate"]
    ((1.0, 1.0, 2.5, 3.5), (0.0, 0.0, 0.0, 0.0))
    """
    axes = world_axes(acquisition, detector_shape)
    steps, origins = axes["scale"][2:], axes["translate"][2:]
    sides = [step * n for step, n in zip(steps, detector_shape, strict=True)]
    middles = [
        origin + step * (n - 1) / 2
        for origin, step, n in zip(origins, steps, detector_shape, strict=True)
    ]
    axes["scale"] = (*axes["scale"][:2], *sides)
    places = [step * n for step, n in zip(axes["scale"][:2], origin, strict=True)]
    axes["translate"] = (*places, *middles)
    return axes


def behind(front: Mapping[str, tuple], axes: Mapping[str, tuple]) -> dict[str, tuple]:
    """Put axes behind those that a stack has in front of them, such as its depth.

    Parameters
    ----------
    front, axes
        ``scale``, ``translate``, ``units`` and ``axis_labels``, as from `world_axes`.

    Examples
    --------
    >>> behind({"scale": (0.5,)}, {"scale": (0.2, 0.2, 4.0, 4.0)})["scale"]
    (0.5, 0.2, 0.2, 4.0, 4.0)
    """
    return {key: (*front[key], *value) for key, value in axes.items()}
