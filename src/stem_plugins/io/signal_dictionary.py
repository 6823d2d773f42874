"""The signal dictionaries of RosettaSciIO and HyperSpy: from and to an `Acquisition`.

HyperSpy keeps the calibration of a scan in its axes (scan step, detector step and centre) and in
``metadata.Acquisition_instrument.TEM``. What has no place there is kept, with everything else, in
``metadata.stem_plugins.acquisition``. When both know a value, axes and instrument win, because
they follow what a user does in HyperSpy (crop, rebin, calibrate).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, MutableMapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stem_plugins.io.scan_date import general_date
from stem_plugins.io.units import is_reciprocal_length, to_angstrom, to_milliradian
from stem_plugins.optics.acquisition import Acquisition

__all__ = [
    "acquisition_from_signal",
    "image_axes",
    "largest_count_from_signal",
    "mirrored",
    "scan_axes",
    "scan_metadata",
    "signal_dictionary",
    "zspy_store",
]


def acquisition_from_signal(
    axes: Sequence[Mapping[str, Any]],
    metadata: Mapping[str, Any],
    *,
    beam_energy: float | None = None,
) -> Acquisition:
    """Read the calibration of a 4D signal.

    Parameters
    ----------
    axes
        Dictionaries of the four axes in array order (scan_y, scan_x, ky, kx), each with
        ``scale``, ``offset``, ``units`` and ``size``. Scan axes are read in any unit of length,
        detector axes in any unit of angle or, with the beam energy, of inverse length.
    metadata
        The signal's metadata as nested dictionaries.
    beam_energy
        Energy of the electrons [keV], where the metadata do not know it or are wrong.

    Returns
    -------
    Acquisition
        What is known. The centre is where the calibrated detector axes are zero, if that is on
        the detector and the axes have an offset. Rotation, flip and azimuths are those of the
        array: see `mirrored`.

    Warns
    -----
    UserWarning
        The detector is calibrated in inverse length, but the beam energy is not known.

    Examples
    --------
    >>> step = {"scale": 0.02, "offset": 0.0, "units": "nm", "size": 64}
    >>> angle = {"scale": 1.0, "offset": -31.5, "units": "mrad", "size": 64}
    >>> acquisition_from_signal([step, step, angle, angle], {}).to_dict()
    {'scan_step': [0.2, 0.2], 'diffraction_step': [1.0, 1.0], 'center': [31.5, 31.5]}
    """
    stored = Acquisition.from_dict(_branch(metadata, "stem_plugins", "acquisition"))
    instrument = _branch(metadata, "Acquisition_instrument")
    microscope = _branch(instrument, "TEM")
    energy = beam_energy or _positive(microscope.get("beam_energy"))
    known: dict[str, Any] = {
        "beam_energy": energy,
        "convergence_angle": _positive(microscope.get("convergence_angle")),
        "dwell_time": _positive(instrument.get("dwell_time")),
        "scan_step": _scan_step(axes[:2]),
        "diffraction_step": _diffraction_step(axes[2:], energy or stored.beam_energy),
    }
    changes = {
        name: value
        for name, value in known.items()
        if value is not None and not _same(value, getattr(stored, name))
    }
    center = _center(axes[2:], stored.center)
    if center is None or not _same(center, stored.center):
        # Axes that were cropped away from the beam forget it; the stored one is another pixel.
        changes["center"] = center
    return mirrored(stored.replace(**changes), axes)


def mirrored(acquisition: Acquisition, axes: Sequence[Mapping[str, Any]]) -> Acquisition:
    """Turn a calibration of axes that all run forwards into that of the array, and back.

    ``signal.inav[::-1]`` and ``signal.isig[::-1]`` mirror the data and give an axis a negative
    scale. What is stored keeps its meaning; rotation, flip and azimuths between the mirrored
    detector and the mirrored scan are others. Done twice it changes nothing.

    Parameters
    ----------
    acquisition
        Any.
    axes
        Dictionaries of the axes (scan_y, scan_x, ky, kx), empty where there is none.

    Examples
    --------
    >>> forwards, backwards = {"scale": 0.1}, {"scale": -0.1}
    >>> acquisition = Acquisition(scan_rotation=30, flip_y=False)
    >>> seen = mirrored(acquisition, [forwards, backwards, forwards, forwards])
    >>> seen.scan_rotation, seen.flip_y
    (150.0, True)
    """
    scan_y, scan_x, detector_y, detector_x = (axis.get("scale", 1) < 0 for axis in axes)
    if not (scan_y or scan_x or detector_y or detector_x):
        return acquisition
    changes: dict[str, Any] = {}
    aberrations = dict(acquisition.aberrations)
    for name in aberrations:
        if name.startswith("phi") or name.endswith("_angle"):
            for backwards, zero in ((scan_y, 0.0), (scan_x, math.pi)):
                aberrations[name] = zero - aberrations[name] if backwards else aberrations[name]
            changes["aberrations"] = aberrations
    if acquisition.scan_rotation is not None:
        # A mirror turns the sense of rotation round; one along x is one along y and half a turn.
        turn = acquisition.scan_rotation + 180 * detector_x
        turn = (-turn if scan_y != scan_x else turn) + 180 * scan_x
        changes["scan_rotation"] = (turn + 180) % 360 - 180
    if acquisition.scan_rotation is not None or acquisition.flip_y is not None:
        odd = (scan_y + scan_x + detector_y + detector_x) % 2 == 1
        changes["flip_y"] = bool(acquisition.flip_y) != odd
    return acquisition.replace(**changes)


def largest_count_from_signal(metadata: Mapping[str, Any]) -> int | None:
    """Read the most that a pixel of the detector can count, as `scan_metadata` writes it.

    Parameters
    ----------
    metadata
        The signal's metadata as nested dictionaries.
    """
    number = _positive(_branch(metadata, "stem_plugins").get("largest_count"))
    return None if number is None else int(number)


def _branch(metadata: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        metadata = metadata.get(name) or {}
        if not isinstance(metadata, Mapping):
            return {}
    return metadata


def _positive(value: Any) -> float | None:
    """Return a usable number; programs write 0 for unknown."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _scale(axis: Mapping[str, Any]) -> float | None:
    """Return the step of an axis; ``None`` for axes that are not uniform."""
    return _positive(abs(axis["scale"])) if "scale" in axis else None


def _scan_step(axes: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    steps = [
        None if _scale(axis) is None else to_angstrom(_scale(axis) or 0, axis.get("units"))
        for axis in axes
    ]
    return None if None in steps else (steps[0] or 0, steps[1] or 0)


def _diffraction_step(
    axes: Sequence[Mapping[str, Any]], beam_energy: float | None
) -> tuple[float, float] | None:
    steps = []
    for axis in axes:
        scale = _scale(axis)
        if scale is None:
            return None
        if is_reciprocal_length(axis.get("units")) and beam_energy is None:
            warnings.warn(
                f"The detector is calibrated in {axis['units']}, which becomes an angle only with "
                "the beam energy; without it the detector step stays unknown. Pass beam_energy.",
                stacklevel=4,
            )
            return None
        step = to_milliradian(scale, axis.get("units"), beam_energy)
        if step is None:
            return None
        steps.append(step)
    return steps[0], steps[1]


def _center(
    axes: Sequence[Mapping[str, Any]], stored: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Return the pixel (ky, kx) at which the axes are zero, if somebody has calibrated that.

    Where there are no uniform axes, as in images, it is the stored one.
    """
    center = []
    for index, axis in enumerate(axes):
        offset = axis.get("offset") or 0.0
        if not _scale(axis):
            return stored
        pixel = -offset / axis["scale"]
        units = axis.get("units")
        if not (is_reciprocal_length(units) or to_milliradian(1, units, 300) is not None):
            # Not calibrated. A negative offset puts zero at the centre, as pyxem does; another one
            # tells how much was cropped, and the scale how much was binned.
            if offset >= 0:
                if stored is None:
                    return None
                pixel = (stored[index] - offset) / axis["scale"]
        elif offset == 0:
            if stored is None:
                return None
            pixel = stored[index]
        if not -0.5 <= pixel <= axis["size"] - 0.5:
            return None
        center.append(pixel)
    return center[0], center[1]


def _same(value: Any, stored: Any) -> bool:
    """Whether two values differ by no more than the rounding of an axis."""
    if stored is None:
        return False
    pairs = zip(value, stored, strict=True) if isinstance(value, tuple) else [(value, stored)]
    return all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) for a, b in pairs)


def scan_axes(shape: Sequence[int], acquisition: Acquisition) -> list[dict[str, Any]]:
    """Return the axes of a 4D signal: scan in nm, detector in mrad around the centre.

    Parameters
    ----------
    shape
        (scan_y, scan_x, ky, kx).
    acquisition
        The calibration; axes that it does not know are in ``px``.

    Returns
    -------
    list of dict
        Axes in array order, named y, x, ky, kx. Zero of the detector axes is the centre.
    """
    calibrations = [*_lengths(acquisition.scan_step), *_angles(acquisition)]
    return [
        _axis(index, name, shape[index], *calibration, navigate=index < 2)
        for index, (name, calibration) in enumerate(
            zip(("y", "x", "ky", "kx"), calibrations, strict=True)
        )
    ]


def pattern_axes(shape: Sequence[int], acquisition: Acquisition) -> list[dict[str, Any]]:
    """Return the axes of a diffraction pattern in mrad around the centre, or in px.

    Parameters
    ----------
    shape
        (ky, kx).
    acquisition
        Uses `diffraction_step` and `center`.
    """
    return [
        _axis(index, name, shape[index], *calibration, navigate=False)
        for index, (name, calibration) in enumerate(
            zip(("ky", "kx"), _angles(acquisition), strict=True)
        )
    ]


def image_axes(shape: Sequence[int], scan_step: tuple[float, float] | None) -> list[dict[str, Any]]:
    """Return the axes of an image in nm, or in px where the scan step is not known.

    Parameters
    ----------
    shape
        (y, x), possibly with more axes behind, which are left out.
    scan_step
        Å per pixel, (y, x).
    """
    return [
        _axis(index, name, shape[index], *calibration, navigate=False)
        for index, (name, calibration) in enumerate(
            zip(("y", "x"), _lengths(scan_step), strict=True)
        )
    ]


def _angles(acquisition: Acquisition) -> list[tuple[float, float, str]]:
    if acquisition.diffraction_step is None:
        return [(1.0, 0.0, "px")] * 2
    center = acquisition.center or (0.0, 0.0)
    return [
        # 0.0 - x, so that an unknown centre does not become an offset of -0.0.
        (step, 0.0 - step * pixel, "mrad")
        for step, pixel in zip(acquisition.diffraction_step, center, strict=True)
    ]


def _lengths(step: tuple[float, float] | None) -> list[tuple[float, float, str]]:
    if step is None:
        return [(1.0, 0.0, "px")] * 2
    return [(size / 10, 0.0, "nm") for size in step]


def _axis(
    index: int, name: str, size: int, scale: float, offset: float, units: str, *, navigate: bool
) -> dict[str, Any]:
    return {
        "_type": "UniformDataAxis",
        "name": name,
        "size": int(size),
        "scale": float(scale),
        "offset": float(offset),
        "units": units,
        "navigate": navigate,
        "index_in_array": index,
    }


def scan_metadata(
    acquisition: Acquisition,
    title: str = "",
    *,
    largest_count: int | None = None,
    taken: str | None = None,
) -> dict[str, Any]:
    """Return HyperSpy metadata of a 4D scan (``signal_type="4d_stem"``).

    Parameters
    ----------
    acquisition
        The calibration.
    title
        Title of the signal.
    largest_count
        Most that a pixel can count, where it is known.
    taken
        When the first frame was taken, as from `stem_plugins.io.scan_date.scan_date`.
    """
    metadata: dict[str, Any] = {
        "General": {"title": title, **general_date(taken)},
        "Signal": {"signal_type": "4d_stem"},
    }
    microscope = {
        name: value
        for name in ("beam_energy", "convergence_angle")
        if (value := getattr(acquisition, name)) is not None
    }
    instrument: dict[str, Any] = {"TEM": microscope} if microscope else {}
    if acquisition.dwell_time is not None:
        instrument["dwell_time"] = acquisition.dwell_time
    if instrument:
        metadata["Acquisition_instrument"] = instrument
    if acquisition.diffraction_step is not None:
        # Calibrated detector axes know the centre, and keep knowing it when they are cropped.
        acquisition = acquisition.replace(center=None)
    ours: dict[str, Any] = {"acquisition": acquisition.to_dict(), "largest_count": largest_count}
    if any(ours.values()):
        metadata["stem_plugins"] = {name: value for name, value in ours.items() if value}
    return metadata


def signal_dictionary(
    data: Any, axes: list[dict[str, Any]], metadata: dict[str, Any]
) -> dict[str, Any]:
    """Return what the writers of RosettaSciIO want for a signal.

    Parameters
    ----------
    data
        NumPy or dask array.
    axes
        One dictionary per dimension.
    metadata
        HyperSpy metadata.
    """
    try:
        package_version = version("stem-plugins")
    except PackageNotFoundError:
        package_version = ""
    return {
        "data": data,
        "axes": axes,
        "metadata": metadata,
        "original_metadata": {},
        "attributes": {"_lazy": hasattr(data, "dask")},
        "package_info": {"package": "stem_plugins", "package_version": package_version},
        "learning_results": {},
        "models": {},
        "tmp_parameters": {},
    }


def zspy_store(path: Path) -> MutableMapping[str, bytes]:
    """Return the zarr store of a ``.zspy`` folder.

    RosettaSciIO makes the same one by a class that warns of its own end.

    Parameters
    ----------
    path
        The folder, which need not exist.
    """
    from zarr.storage import DirectoryStore

    return DirectoryStore(str(path), dimension_separator="/")
