"""What comes before the first iteration: checks, choices, and the first guess."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.imaging.bright_field_disc import calibrated_radius, find_disc
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.probe import probe_radius
from stem_plugins.ptychography.choices import Choices
from stem_plugins.ptychography.first_guess import (
    direct_object,
    earlier_parts,
    empty_object,
    integrated_object,
)
from stem_plugins.ptychography.geometry import NEEDED, scan_geometry
from stem_plugins.ptychography.measurements import Measurements, measurements
from stem_plugins.ptychography.objective import Objective, Parts
from stem_plugins.ptychography.orientation import estimated_rotation, with_rotation
from stem_plugins.ptychography.probes import given_probe, probe_modes, vacuum_probe
from stem_plugins.ptychography.result import PtychographyResult
from stem_plugins.ptychography.run import Run
from stem_plugins.ptychography.vocabulary import EARLIER

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["prepare"]

#: Radius of a disc from which on it is compared with the calibration [px], and the difference that
#: is said, in parts of it.
SMALLEST_RADIUS, RADIUS_SAID = 3.0, 0.12

#: Distance of the centre that is said [px], and what it may be more in a large disc.
CENTER_SAID, CENTER_SAID_OF_RADIUS = 0.6, 0.02

#: Ratio of the probe's diameter to the scan step below which a warning is given.
WANTED_OVERLAP = 2.0

#: Positions along either side of a scan that are the least.
SMALLEST_SCAN = 3

#: What a result must hold to be gone on with, whatever its stage.
KEPT = ("place", "best_loss", "waited", "fingerprint", "pixels", "first_probe", "fitted", "held")


def prepare(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    *,
    mask: np.ndarray | None,
    scan_mask: np.ndarray | None,
    probe: np.ndarray | None,
    vacuum: np.ndarray | None,
    largest_count: int | None,
    device: str,
    before: PtychographyResult | None,
    options: Mapping[str, Any],
) -> Run:
    """Check everything, choose what was left open, and return a run that can begin.

    Parameters
    ----------
    data, acquisition, mask, scan_mask, probe, vacuum, largest_count
        As for `iterative_ptychography`.
    device
        Of torch.
    before
        A result to go on from.
    options
        Fields of `Choices`.
    """
    acquisition.require(*NEEDED)
    options, earlier = _without_earlier(options)
    if before is not None:
        _check_state(before)
        mask = _same_pixels(mask, before)
    electrons = None
    if acquisition.dose is not None and acquisition.scan_step is not None:
        electrons = acquisition.dose * math.prod(acquisition.scan_step)
    measured = measurements(
        data,
        center=acquisition.center,
        mask=mask,
        electrons=electrons,
        largest_count=largest_count,
    )
    acquisition = dataclasses.replace(acquisition, center=measured.center)
    if before is not None and acquisition.scan_rotation is None:
        used = before.acquisition
        acquisition = acquisition.replace(scan_rotation=used.scan_rotation, flip_y=used.flip_y)
    acquisition = _with_rotation(measured.data, acquisition)
    detector = (data.shape[2], data.shape[3])
    geometry = scan_geometry(measured.scan_shape, detector, acquisition)
    if before is None:
        _compare_disc(measured, acquisition)
        _check_overlap(acquisition)
    fingerprint = _fingerprint(measured)
    if min(measured.scan_shape) < SMALLEST_SCAN:
        raise ValueError(
            f"A scan of {measured.scan_shape[0]} × {measured.scan_shape[1]} positions is too small "
            f"for ptychography; {SMALLEST_SCAN} along each side are the least."
        )
    asked = _choices(options, before, fingerprint)
    objective = Objective(measured, geometry, acquisition, device=device)
    choices, words = asked.completed(
        electrons=measured.survey.electrons,
        positions=len(geometry.positions),
        disc_pixels=objective.disc_pixels,
        window=int(np.prod(detector)),
        device=device,
    )
    assert choices.loss is not None
    assert choices.batch is not None
    objective = dataclasses.replace(
        objective,
        loss=choices.loss,
        object_type=choices.object_type,
        slice_thickness=choices.slice_thickness if choices.slices > 1 else None,
        blur=choices.blur,
        batch=choices.batch,
    )
    if before is None:
        fitted, held = _positions(scan_mask, measured.scan_shape, choices)
    else:
        fitted, held = _same_positions(scan_mask, before)
        _check_calibration(before.acquisition, acquisition)
    # A run that goes on has its object; its shapes are all that is wanted here.
    guess = choices if before is None else dataclasses.replace(choices, first_guess="none")
    wave = _first_probe(objective, probe, vacuum)
    if before is not None and not (probe is None and vacuum is None):
        _check_probe(wave, before)
    start = _start(objective, guess, wave)
    if earlier is not None:
        start |= earlier_parts(objective, choices, earlier, keep_probe=probe is vacuum is None)
    given = {
        "fingerprint": np.frombuffer(bytes.fromhex(fingerprint), np.uint8),
        "pixels": np.ones(detector, bool) if mask is None else np.asarray(mask),
        "first_probe": wave.astype(np.complex64),
    }
    if before is not None:
        given["first_probe"] = before.state["first_probe"]
    run = Run(objective, choices, words, start, fitted, held, given)
    if before is not None:
        run.load(before)
    return run


def _without_earlier(
    options: Mapping[str, Any],
) -> tuple[Mapping[str, Any], PtychographyResult | None]:
    """Take an earlier result, which may be the first guess, out of the options."""
    earlier = options.get("first_guess")
    if not isinstance(earlier, PtychographyResult):
        if earlier == EARLIER:
            raise ValueError("Give the earlier PtychographyResult itself as first_guess.")
        return options, None
    return {**options, "first_guess": EARLIER}, earlier


def _compare_disc(measured: Measurements, acquisition: Acquisition) -> None:
    """Warn where the bright-field disc in the patterns is not that of the calibration."""
    expected = calibrated_radius(acquisition)
    disc = find_disc(measured.survey.mean_pattern)
    if disc.cut or expected < SMALLEST_RADIUS:
        return
    if abs(disc.radius / expected - 1) > RADIUS_SAID + 0.5 / expected:
        warnings.warn(
            f"The bright-field disc has a radius of {disc.radius:.3g} px in the mean pattern, and "
            f"of {expected:.3g} px by convergence_angle / diffraction_step. Where that is not the "
            "specimen's doing, the image is wrong: correct the calibration.",
            stacklevel=5,
        )
    apart = math.dist(disc.center, measured.center)
    if apart > CENTER_SAID + CENTER_SAID_OF_RADIUS * expected:
        given, found = (f"({y:.1f}, {x:.1f})" for y, x in (measured.center, disc.center))
        warnings.warn(
            f"The centre was given as {given} px, but the bright-field disc of the mean pattern "
            f"lies around {found} px. Leave center out, and it is found.",
            stacklevel=5,
        )


def _check_overlap(acquisition: Acquisition) -> None:
    """Warn where neighbouring probes overlap, but less than gives a sure answer."""
    assert acquisition.scan_step is not None
    diameter, step = 2 * probe_radius(acquisition), max(acquisition.scan_step)
    if diameter < WANTED_OVERLAP * step:
        warnings.warn(
            f"The probe is {diameter:.3g} Å wide and the scan step {step:.3g} Å: neighbouring "
            f"positions overlap by {100 * (1 - step / diameter):.0f} %, and below "
            f"{100 * (1 - 1 / WANTED_OVERLAP):.0f} % specimen and probe are hard to tell apart. "
            "Measure with a finer scan or more defocus; of what is measured, keep the probe "
            "(probe_prior='fixed') and look at the held-out loss.",
            stacklevel=5,
        )


def _with_rotation(data: np.ndarray | da.Array, acquisition: Acquisition) -> Acquisition:
    return with_rotation(
        acquisition,
        lambda: estimated_rotation(data, acquisition),
        keep="acquisition.replace(scan_rotation={}, flip_y={})",
        stacklevel=6,
    )


def _fingerprint(measured: Measurements) -> str:
    """Number of the data: their shape, type, and the mean and the sums of some patterns."""
    text = f"{measured.data.shape} {measured.data.dtype.name}"
    found = hashlib.sha256(text.encode())
    for array in (measured.survey.mean_pattern, measured.survey.totals):
        # Sums in another order differ by rounding.
        found.update(np.ascontiguousarray(array.astype("<f4")).tobytes())
    return found.hexdigest()


def _check_state(before: PtychographyResult) -> None:
    """Refuse a result that nothing can go on from."""
    if not before.state:
        raise ValueError(
            "This result was saved without what is needed to go on; start anew without resume."
        )
    missing = [name for name in KEPT if name not in before.state]
    if missing:
        raise ValueError(
            f"The reconstruction to resume is damaged or of another version: {missing[0]} is "
            "missing. Start anew without resume."
        )


def _same_pixels(mask: np.ndarray | None, before: PtychographyResult) -> np.ndarray:
    """Detector pixels of the run to go on with; others are refused."""
    kept: NDArray[np.bool_] = before.state["pixels"].astype(bool)
    if mask is not None and not np.array_equal(mask, kept):
        raise ValueError("The reconstruction to resume was made with another mask; leave it out.")
    return kept


def _same_positions(
    scan_mask: np.ndarray | None, before: PtychographyResult
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Positions of the run to go on with; others are refused."""
    fitted, held = (before.state[name].astype(bool) for name in ("fitted", "held"))
    if scan_mask is not None and not np.array_equal(np.ravel(scan_mask), fitted | held):
        raise ValueError(
            "The reconstruction to resume was made with another scan_mask; leave it out."
        )
    return fitted, held


def _check_probe(wave: NDArray[np.complexfloating], before: PtychographyResult) -> None:
    if not np.allclose(wave, before.state["first_probe"], rtol=0, atol=1e-5):
        raise ValueError(
            "The reconstruction to resume began with another probe or vacuum pattern; leave it out."
        )


def _choices(
    options: Mapping[str, Any], before: PtychographyResult | None, fingerprint: str
) -> Choices:
    known = {field.name for field in dataclasses.fields(Choices)}
    unknown = sorted(set(options) - known)
    if unknown:
        raise TypeError(
            f"iterative_ptychography() has no option {unknown[0]!r}; known are {sorted(known)}."
        )
    if before is None:
        return Choices(**options)
    if bytes(before.state["fingerprint"]).hex() != fingerprint:
        raise ValueError(
            "The reconstruction to resume is one of other data: shape, type or patterns differ. "
            "Give the scan that it was made from."
        )
    changed = sorted(set(options) - {"iterations", "polish"})
    if changed:
        raise ValueError(
            f"A resumed reconstruction keeps its options; {changed[0]} cannot be given anew. "
            "Only iterations and polish can."
        )
    return dataclasses.replace(Choices.from_settings(before.settings), **options)


def _check_calibration(before: Acquisition, now: Acquisition) -> None:
    """Refuse to go on with another calibration than a run began with."""
    one, other = before.to_dict(), now.to_dict()
    for name in sorted(set(one) | set(other)):
        if one.get(name) != other.get(name):
            raise ValueError(
                f"The reconstruction to resume was made with {name} {one.get(name)!r}, and now it "
                f"is {other.get(name)!r}. Give the same calibration, or start anew without resume."
            )


def _positions(
    scan_mask: np.ndarray | None, scan_shape: tuple[int, int], choices: Choices
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Positions that are fitted, and others, spread at random, that only tell how well."""
    if scan_mask is None:
        wanted = np.ones(scan_shape, bool)
    else:
        wanted = np.asarray(scan_mask)
        if wanted.shape != scan_shape or wanted.dtype != bool or not wanted.any():
            raise ValueError(
                f"scan_mask must be True or False for every scan position, {scan_shape}, and True "
                f"somewhere, not {wanted.dtype} {wanted.shape}."
            )
    places = np.flatnonzero(wanted)
    number = round(choices.held_out * len(places))
    held = np.zeros(wanted.size, bool)
    if number:
        held[np.random.default_rng(choices.seed).choice(places, number, replace=False)] = True
    return wanted.ravel() & ~held, held


def _first_probe(
    objective: Objective, probe: np.ndarray | None, vacuum: np.ndarray | None
) -> NDArray[np.complexfloating]:
    if probe is not None and vacuum is not None:
        raise ValueError("Give a probe or a vacuum pattern to make it of, not both.")
    if probe is not None:
        return given_probe(objective, probe)
    if vacuum is not None:
        return vacuum_probe(objective, vacuum)
    return objective.calibrated_probe()


def _start(objective: Objective, choices: Choices, wave: NDArray[np.complexfloating]) -> Parts:
    """Object, probe and what else is refined, as they are before the first iteration."""
    modes = torch.from_numpy(probe_modes(wave, choices.probe_modes)).to(objective.device)
    parts: Parts = {"probe": torch.view_as_real(modes).contiguous()}
    guesses = {"direct": direct_object, "icom": integrated_object}
    parts["object"] = guesses.get(choices.first_guess, empty_object)(objective, choices.slices)
    sizes = {
        "positions": (len(objective.geometry.positions), 2),
        "background": (1,),
        "tilt": (2,),
        "slice_thickness": (1,),
        "descan": (2, 3),
    }
    for name in choices.refine:
        parts[name] = torch.zeros(sizes[name], device=objective.device)
    if choices.probe_prior in ("pixelated", "parametric"):
        # Also beside pixels: all of them would have to move together for a change of defocus.
        count = len(objective.aberration_basis)
        parts["aberrations"] = torch.zeros(count, device=objective.device)
    return parts
