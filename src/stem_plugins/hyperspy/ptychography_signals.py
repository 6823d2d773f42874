"""What iterative ptychography gives, as calibrated signals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from hyperspy.signal import BaseSignal
from hyperspy.signals import Signal1D

from stem_plugins.hyperspy.calibration import scan_axes
from stem_plugins.hyperspy.results import finer_axis, image_result
from stem_plugins.io.images import plain_values
from stem_plugins.io.units import to_angstrom

if TYPE_CHECKING:
    from stem_plugins.hyperspy.stem_image import ComplexSTEMImage, STEMImage
    from stem_plugins.ptychography import PtychographyResult

__all__ = ["PtychographySignals", "ptychography_signals"]


@dataclasses.dataclass(frozen=True, eq=False)
class PtychographySignals:
    """Object and probe of a scan, and how they were found.

    Lengths are in the unit of the scan axes. Images of the object begin at the first scan
    position; the middle of the probe is zero.

    Parameters
    ----------
    phase
        Phase of all slices together [rad]; atoms are bright.
    slices
        Phase of each slice [rad]: a stack whose navigation axis is the depth.
    object
        Transmission of all slices together.
    probe
        Modes of the probe, the strongest first: a stack over modes, in the frame of the detector,
        with ``Σ|P|² = 1`` over all.
    losses
        Mean loss of the patterns that were fitted, over iterations.
    held_out_losses
        The same for patterns that were not; ``None`` where none were held out.
    snapshots
        Phases on the way [rad]: a stack whose navigation axis is the iteration; ``None`` where
        none were asked for.
    result
        All of it as arrays, with positions and what was refined; `save` keeps it, and ``resume=``
        goes on from it.
    """

    phase: STEMImage
    slices: STEMImage
    object: ComplexSTEMImage
    probe: ComplexSTEMImage
    losses: Signal1D
    held_out_losses: Signal1D | None
    snapshots: STEMImage | None
    result: PtychographyResult

    def __repr__(self) -> str:
        signals = (self.phase, self.slices, self.object, self.probe)
        lines = [f"  {signal}" for signal in signals]
        chosen = [f"  chosen: {words}" for words in self.result.settings["chosen"]]
        end = f"  {len(self.losses.data)} iterations, {self.result.stopped}"
        return "\n".join(["PtychographySignals", *lines, *chosen, end])


def ptychography_signals(
    source: BaseSignal, result: PtychographyResult, *, method: str
) -> PtychographySignals:
    """Return a reconstruction as signals calibrated like the scan that it was made from.

    Parameters
    ----------
    source
        The scan, 4D.
    result
        What was made from it.
    method
        The name of the method that made it.
    """
    parameters = _parameters(result)
    places = [
        finer_axis(axis, size, pixel)
        for axis, size, pixel in zip(
            scan_axes(source), result.phase.shape, result.sampling, strict=True
        )
    ]
    unit = places[0]["units"]

    def image(data: np.ndarray, title: str, quantity: str, *axes: dict[str, Any]) -> Any:
        made = image_result(
            source,
            data,
            title=title,
            quantity=quantity,
            method=method,
            parameters=parameters,
            axes=[dict(axis) for axis in axes],
        )
        _keep_calibration(made, result)
        return made

    losses = [result.losses]
    if len(result.held_out_losses):
        losses.append(result.held_out_losses)
    curves = [
        _curve(one, title, result, method, parameters)
        for one, title in zip(losses, ("Loss", "Held-out loss"), strict=False)
    ]
    return PtychographySignals(
        phase=image(result.phase, "Phase", "Phase (rad)", *places),
        slices=image(result.slices, "Slices", "Phase (rad)", _depth_axis(result, unit), *places),
        object=image(result.object, "Object", "Transmission", *places),
        probe=image(result.probe, "Probe", "Wave", *_probe_axes(result, unit)),
        losses=curves[0],
        held_out_losses=curves[1] if len(curves) > 1 else None,
        snapshots=image(
            result.snapshots, "Snapshots", "Phase (rad)", _snapshot_axis(result), *places
        )
        if len(result.snapshots)
        else None,
        result=result,
    )


def _parameters(result: PtychographyResult) -> dict[str, Any]:
    """Everything that was chosen, as every file format can hold it: without empty lists."""
    settings = plain_values({**result.settings, "stopped": result.stopped})
    return {name: value for name, value in settings.items() if value not in ([], {})}


def _depth_axis(result: PtychographyResult, unit: str) -> dict[str, Any]:
    axis = {"name": "depth", "size": len(result.slices), "offset": 0.0, "navigate": True}
    if result.slice_thickness is None:
        return {**axis, "scale": 1.0, "units": "slice"}
    return {**axis, "scale": result.slice_thickness / _unit(unit), "units": unit}


def _snapshot_axis(result: PtychographyResult) -> dict[str, Any]:
    every = int(result.settings["snapshots"])
    size = len(result.snapshots)
    place = {"size": size, "scale": every, "offset": every}
    return {"name": "iteration", **place, "units": "", "navigate": True}


def _probe_axes(result: PtychographyResult, unit: str) -> list[dict[str, Any]]:
    modes, *sides = result.probe.shape
    axes: list[dict[str, Any]] = [
        {"name": "mode", "size": modes, "scale": 1.0, "offset": 0.0, "units": "", "navigate": True}
    ]
    for name, size, pixel in zip(("y", "x"), sides, result.probe_sampling, strict=True):
        scale = pixel / _unit(unit)
        zero = 0.0 - (size // 2) * scale
        axes.append(
            {"name": name, "size": size, "scale": scale, "offset": zero, "units": unit}
            | {"navigate": False}
        )
    return axes


def _unit(name: object) -> float:
    size = to_angstrom(1, name)
    assert size is not None, "a scan without a known unit has no scan step"
    return size


def _keep_calibration(image: Any, result: PtychographyResult) -> None:
    """Store rotation and centre that were used, where the scan itself did not know them."""
    used, known = result.acquisition, image.acquisition
    found = {
        name: getattr(used, name)
        for name in ("center", "scan_rotation", "flip_y")
        if getattr(known, name) is None and getattr(used, name) is not None
    }
    if found:
        image.set_acquisition(**found)


def _curve(
    losses: np.ndarray,
    title: str,
    result: PtychographyResult,
    method: str,
    parameters: Mapping[str, Any],
) -> Signal1D:
    from stem_plugins import __version__

    axis = {"name": "iteration", "size": len(losses), "scale": 1.0, "offset": 1.0, "units": ""}
    made = {"method": method, "parameters": dict(parameters), "version": __version__}
    metadata = {
        "General": {"title": title},
        "Signal": {"quantity": f"Loss per pattern ({result.settings['loss']})"},
        "stem_plugins": made,
    }
    return Signal1D(np.asarray(losses), axes=[{**axis, "navigate": False}], metadata=metadata)
