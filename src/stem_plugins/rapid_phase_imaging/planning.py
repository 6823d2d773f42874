"""What the strips of a scan have in common: its checks, its conditions, and the network."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from stem_plugins.lazy.processors import torch_device
from stem_plugins.models.registry import find_airpi_weights
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.rapid_phase_imaging.checks import survey
from stem_plugins.rapid_phase_imaging.consistency import Comparison, plan_comparison
from stem_plugins.rapid_phase_imaging.inputs import ScanConditions, conditions_of
from stem_plugins.rapid_phase_imaging.networks import EXIT_WAVE, find_network, load_network
from stem_plugins.rapid_phase_imaging.reduction import Reduction, plan_reduction
from stem_plugins.rapid_phase_imaging.wave_grid import plan_patterns

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["POINTS", "Plan", "plan"]

#: Points of the image between two positions, as the network draws them.
POINTS = 2

#: Smallest step, in λ/α, that the network was trained for: finer scans are summed in boxes.
FINEST_STEP = 0.097


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """How a scan is imaged.

    Parameters
    ----------
    acquisition
        The calibration, with the centre as it was measured.
    reduction
        From patterns to cells.
    patterns
        From patterns to those of the exit-wave design; ``None``: it is the default design.
    counts
        Of a mean pattern, or box of patterns.
    conditions
        What the network is told.
    network, device
        That draws, and where.
    model
        What it was asked for by.
    repeat, oversample
        Edge of the boxes of patterns, and pixels per scan step.
    comparison
        With the patterns that the image predicts; ``None``: there is none.
    notes
        What was chosen, and why.
    """

    acquisition: Acquisition
    reduction: Reduction
    patterns: Reduction | None
    counts: float
    conditions: ScanConditions
    network: torch.nn.Module
    device: str
    model: str
    repeat: int
    oversample: int
    comparison: Comparison | None
    notes: tuple[str, ...]


def plan(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    *,
    model: str | Path,
    design: str | None,
    repeat: int | None,
    oversample: int,
    device: str,
    force: bool,
    return_evidence: bool,
    stacklevel: int,
) -> Plan:
    """Check a scan and its calibration, and choose what is not asked for.

    Parameters
    ----------
    data, acquisition, model, design, repeat, oversample, device, force, return_evidence
        As for `stem_plugins.airpi`.
    stacklevel
        Of the warnings, counted from here.

    Raises
    ------
    MissingCalibrationError, ValueError
        As `stem_plugins.airpi` raises them.
    """
    _check_counts(repeat=repeat, oversample=oversample)
    path, design = find_network(model, design)
    seen = survey(data, acquisition, force=force, stacklevel=stacklevel + 1)
    device = torch_device(device)
    network = load_network(path, path.stat().st_mtime_ns, device)
    alone = conditions_of(seen.acquisition, 1, seen.electrons)
    notes = []
    if repeat is None:
        repeat = max(1, math.ceil(FINEST_STEP / max(alone.scan_step)))
        if repeat > 1:
            notes.append(
                f"repeat {repeat}: steps of {min(alone.scan_step):.2g} λ/α are finer than the "
                f"network knows"
            )
    if design == EXIT_WAVE and path == find_airpi_weights(EXIT_WAVE):
        notes.append(
            "exit-wave design: its weights are at the beginning of their training, and phases come "
            "out several times too small"
        )
    if min(data.shape[:2]) < 4 * repeat:
        raise ValueError(
            f"The scan has {data.shape[0]} × {data.shape[1]} positions; AIRPI needs at least "
            f"{4 * repeat} in each direction" + (f" with repeat={repeat}." if repeat > 1 else ".")
        )
    detector = (data.shape[2], data.shape[3])
    reduction = plan_reduction(detector, seen.acquisition)
    conditions = conditions_of(seen.acquisition, repeat, seen.electrons * repeat**2)
    comparison = None
    if return_evidence:
        if not math.isfinite(seen.electrons):
            raise ValueError(
                "The patterns are no whole counts, so that their noise is not known and "
                "return_evidence=True has nothing to compare with. Give electron counts."
            )
        comparison = _comparison(reduction, seen.acquisition, repeat)
    return Plan(
        seen.acquisition,
        reduction,
        plan_patterns(detector, seen.acquisition) if design == EXIT_WAVE else None,
        seen.counts * repeat**2,
        conditions,
        network,
        device,
        str(model),
        repeat,
        oversample,
        comparison,
        tuple(notes),
    )


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int) or value < 1
        ):
            raise ValueError(f"{name} must be a whole number from 1, not {value!r}.")


def _comparison(reduction: Reduction, acquisition: Acquisition, repeat: int) -> Comparison:
    assert acquisition.scan_step is not None
    assert acquisition.diffraction_step is not None
    assert acquisition.convergence_angle is not None
    step_y, step_x = acquisition.scan_step
    pixel_y, pixel_x = acquisition.diffraction_step
    angle = acquisition.convergence_angle
    return plan_comparison(
        acquisition,
        (step_y * repeat, step_x * repeat),
        POINTS,
        reduction,
        (pixel_y / angle, pixel_x / angle),
    )
