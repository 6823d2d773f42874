"""What the panel Ptychography does, without its widgets: settings, checks and thread.

The array functions yield their progress; between the thread that runs them and the panel stands a
`Reconstruction`, which the panel looks at, pauses and stops.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.napari.pytorch import needing_pytorch, spare_threads
from stem_plugins.napari.restoration import StoppedError, our_warnings
from stem_plugins.napari.scan_check import Check, words_of_unknown
from stem_plugins.napari.vacuum import mean_pattern
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength
from stem_plugins.optics.probe import probe_radius
from stem_plugins.ptychography.geometry import NEEDED, scan_geometry
from stem_plugins.ptychography.vocabulary import REFINABLE_OF_SLICES

if TYPE_CHECKING:
    from stem_plugins.ptychography.progress import Progress
    from stem_plugins.ptychography.result import PtychographyResult

__all__ = [
    "FIRST_GUESSES",
    "OBJECT_TYPES",
    "PRIORS",
    "PROBE_PRIORS",
    "REFINED",
    "PtychographySettings",
    "Reconstruction",
    "check_scan",
    "outcome_of",
    "reconstruct",
]

#: Choices as the panel words them, and as `stem_plugins.iterative_ptychography` does.
PRIORS = {"Deep generative prior": "dgp", "Pixelated": "pixelated"}
PROBE_PRIORS = {
    "Automatic": None,
    "Pixelated": "pixelated",
    "Parametric (aberrations)": "parametric",
    "Fixed": "fixed",
    "Deep generative prior": "dgp",
}
OBJECT_TYPES = {
    "Phase": "phase",
    "Potential (phase ≥ 0)": "potential",
    "Complex (absorbs too)": "complex",
}

FIRST_GUESSES = {
    "Pixelated": "pixelated",
    "Direct ptychography": "direct",
    "Integrated centre of mass": "icom",
    "None": "none",
}
REFINED = {
    "Scan positions": "positions",
    "Background": "background",
    "Descan": "descan",
    "Tilt of the slices": "tilt",
    "Slice thickness": "slice_thickness",
}

#: What results say of their end while it is to come.
UNFINISHED = "not finished"

#: Between two results that are shown while it runs, at least [s].
BETWEEN_RESULTS = 0.5

#: How often a thread that pauses looks whether it is to go on [s].
PAUSED = 0.1

ANGSTROM_PER_NM = 10.0

NOTHING_LEFT = "There is nothing left to do: raise Iterations to continue."


@dataclasses.dataclass(frozen=True)
class PtychographySettings:
    """Choices of the panel; parameters of `stem_plugins.iterative_ptychography`."""

    prior: str = "dgp"
    probe_prior: str | None = None
    object_type: str = "phase"
    slices: int = 1
    slice_thickness: float | None = None
    probe_modes: int = 1
    first_guess: str = "pixelated"
    refine: tuple[str, ...] = ()
    iterations: int | None = None
    polish: int = 0

    def options(self) -> dict[str, Any]:
        """Return what is not as by default; the thickness of a single slice says nothing."""
        found = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }
        if self.slices == 1:
            found.pop("slice_thickness", None)
            refine = tuple(name for name in self.refine if name not in REFINABLE_OF_SLICES)
            found.pop("refine", None)
            found |= {"refine": refine} if refine else {}
        if self.prior == "pixelated" and self.probe_prior != "dgp":
            found.pop("polish", None)
        return {"prior": self.prior, **found}

    def continued(self) -> dict[str, Any]:
        """Return the options that may change when a reconstruction goes on."""
        kept = self.options()
        return {name: kept[name] for name in ("iterations", "polish") if name in kept}

    def begins_anew(self, other: PtychographySettings) -> bool:
        """Whether other settings cannot go on where these came to."""
        same = {"iterations": self.iterations, "polish": self.polish}
        return self.options() != dataclasses.replace(other, **same).options()


def check_scan(shape: tuple[int, ...], acquisition: Acquisition) -> Check:
    """Look whether a scan can be reconstructed with a calibration; no pattern is read.

    Parameters
    ----------
    shape
        (scan_y, scan_x, ky, kx).
    acquisition
        Its calibration.

    Examples
    --------
    >>> print(check_scan((9, 9, 32, 32), Acquisition(scan_step=1, diffraction_step=2)).problem)
    Unknown: beam energy [keV], convergence semi-angle [mrad]. Enter it in the tab Calibration.
    >>> acquisition = Acquisition(
    ...     beam_energy=300, convergence_angle=20, scan_step=1.0, diffraction_step=2.0, defocus=60
    ... )
    >>> print(check_scan((9, 9, 32, 32), acquisition).size)
    Probe 0.36 nm wide in a window of 0.98 nm; steps of 0.1 nm overlap by 72 %. Pixel 0.031 nm.
    """
    if unknown := words_of_unknown(acquisition, NEEDED):
        return Check(unknown)
    try:
        geometry = scan_geometry((shape[0], shape[1]), (shape[2], shape[3]), acquisition)
    except ValueError as error:
        return Check(str(error))
    assert acquisition.beam_energy is not None
    assert acquisition.diffraction_step is not None
    diameter = 2 * probe_radius(acquisition) / ANGSTROM_PER_NM
    angle = max(acquisition.diffraction_step) * 1e-3
    window = wavelength(acquisition.beam_energy) / angle / ANGSTROM_PER_NM
    step = max(geometry.scan_step) / ANGSTROM_PER_NM
    size = (
        f"Probe {diameter:.2g} nm wide in a window of {window:.2g} nm; steps of {step:.2g} nm "
        f"overlap by {100 * (1 - step / diameter):.0f} %. "
        f"Pixel {min(geometry.scan_sampling) / ANGSTROM_PER_NM:.2g} nm."
    )
    notes = []
    if acquisition.defocus is None:
        notes.append("The defocus is unknown and taken as zero.")
    if acquisition.scan_rotation is None:
        notes.append("The scan rotation is unknown and will be estimated.")
    return Check(size=size, notes=" ".join(notes))


class Reconstruction:
    """Between the thread that reconstructs and the panel that looks.

    Attributes
    ----------
    now : Progress or None
        The last that the thread has told.
    shown : PtychographyResult or None
        The last result, a new one at most every half second.
    words : tuple of str
        What was warned of, each once.
    stages : dict
        First iteration of each stage, by its name.
    """

    def __init__(self) -> None:
        self.now: Progress | None = None
        self.shown: PtychographyResult | None = None
        self.words: tuple[str, ...] = ()
        self.stages: dict[str, int] = {}
        self._stopped, self._paused = threading.Event(), threading.Event()
        self._last: Progress | None = None
        self._shown_at = -np.inf

    @property
    def is_paused(self) -> bool:
        """Whether the thread waits, or will wait after the batch that it is at."""
        return self._paused.is_set()

    @property
    def is_stopped(self) -> bool:
        """Whether the thread ends after the batch that it is at."""
        return self._stopped.is_set()

    def pause(self, paused: bool = True) -> None:
        """Wait after the present batch, or go on."""
        (self._paused.set if paused else self._paused.clear)()

    def stop(self) -> None:
        """End after the present batch."""
        self._stopped.set()

    def watch(self, progress: Progress) -> None:
        """Take what the thread tells after every batch; hold it, or end it by `StoppedError`."""
        self.now = progress
        self.stages.setdefault(progress.stage, progress.iteration)
        self.hold()

    def hold(self) -> None:
        """Wait while the run is paused; end it where no more is wanted."""
        if self.is_paused:
            self._show(self._last)
        while self.is_paused and not self.is_stopped:
            time.sleep(PAUSED)
        if self.is_stopped:
            raise StoppedError

    def iterated(self, progress: Progress) -> None:
        """Take what the thread tells after every iteration; as `watch`."""
        self.now = self._last = progress
        self.stages.setdefault(progress.stage, progress.iteration - 1)
        # The very last state can be continued only as it is now, not after all has come to its end.
        self._show(progress, at_once=progress.iteration >= progress.iterations)
        self.hold()

    def finish(self) -> PtychographyResult | None:
        """Return the result after the last iteration; `None` before the first."""
        last = self._last
        if last is not None and last.iteration < last.iterations and not self.is_stopped:
            self.shown = last.result()  # which says why it has ended early
        self._show(last, at_once=True)
        return self.shown

    def _show(self, progress: Progress | None, *, at_once: bool = False) -> None:
        if progress is None or self._is_shown(progress):
            return
        if at_once or time.monotonic() - self._shown_at >= BETWEEN_RESULTS:
            self.shown = progress.result()
            self._shown_at = time.monotonic()

    def _is_shown(self, progress: Progress) -> bool:
        return self.shown is not None and len(self.shown.losses) == progress.iteration


def reconstruct(
    data: Any,
    acquisition: Acquisition,
    options: dict[str, Any],
    before: PtychographyResult | None,
    control: Reconstruction,
) -> PtychographyResult | None:
    """Reconstruct a scan, watched and held by a `Reconstruction`.

    Parameters
    ----------
    data, acquisition
        Of the scan.
    options
        From `PtychographySettings.options`, or `~PtychographySettings.continued`. ``vacuum`` may be
        a whole scan, which is averaged, and ``largest_count`` is that of the scan.
    before
        A result to go on from.
    control
        Hears of all that happens.

    Returns
    -------
    PtychographyResult or None
        As far as it came; ``None`` if there was no iteration.

    Raises
    ------
    ValueError, OSError, ImportError, MemoryError
        It cannot be done; the message says why.
    """
    with needing_pytorch("Ptychography"):
        from stem_plugins.lazy.processors import torch_threads
        from stem_plugins.ptychography.orientation import estimated_rotation, with_rotation
        from stem_plugins.ptychography.reconstruct import iterate_ptychography

    def iterate() -> Iterator[Progress]:
        known, given = acquisition, dict(options)
        if "vacuum" in given:
            given["vacuum"] = mean_pattern(given["vacuum"], control.hold)
        if before is None:
            known = with_rotation(
                acquisition,
                lambda: estimated_rotation(data, acquisition),
                keep="the tab Calibration (rotation {}°, mirrored: {})",
                stacklevel=2,
            )
        yield from iterate_ptychography(data, known, resume=before, watch=control.watch, **given)

    stopped = "all iterations done"
    with torch_threads(spare_threads()):
        states = iterate()
        try:
            progress = _first(states, control)
            while progress is not None:
                control.iterated(progress)
                progress = next(states, None)
        except StoppedError:
            stopped = "cancelled"
        result = control.finish()
    if result is None or result.stopped != UNFINISHED:
        return result
    return dataclasses.replace(result, stopped=stopped)


def _first(states: Iterator[Progress], control: Reconstruction) -> Progress | None:
    """First iteration, with the warnings of the look at the data."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            return next(states, None)
        finally:
            control.words = our_warnings(caught)


def outcome_of(result: PtychographyResult | None, control: Reconstruction) -> str:
    """What to say at the end of a run.

    Parameters
    ----------
    result
        Of `reconstruct`.
    control
        That watched it.
    """
    if control.is_stopped:
        found = "the images show what was found so far" if result else "before the first iteration"
        return f"Stopped; {found}." if result else f"Stopped {found}."
    if result is None:
        return NOTHING_LEFT
    return f"After {len(result.losses)} iterations: {result.stopped}."
