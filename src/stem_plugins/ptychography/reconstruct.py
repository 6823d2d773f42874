"""Iterative ptychography: from patterns to the phase of the specimen and the probe.

Mixed-state multislice ptychography (P. Thibault, A. Menzel, Nature 494, 68 (2013); A. M. Maiden,
M. J. Humphry, J. M. Rodenburg, JOSA A 29, 1606 (2012)) whose object and probe are found pixel by
pixel or drawn by networks, as deep generative priors (A. McCray, S. Ribet, G. Varnavides,
C. Ophus, Microscopy and Microanalysis (2025)).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stem_plugins.lazy.processors import torch_device, torch_threads
from stem_plugins.optics.acquisition import Acquisition, check_acquisition
from stem_plugins.ptychography.checkpoint import Checkpoint, loaded
from stem_plugins.ptychography.history import History, provenance
from stem_plugins.ptychography.preparation import prepare
from stem_plugins.ptychography.processes import agree, process_count
from stem_plugins.ptychography.progress import Progress
from stem_plugins.ptychography.result import PtychographyResult

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Progress", "iterate_ptychography", "iterative_ptychography"]

Callback = Callable[[Progress], bool | None]


def iterative_ptychography(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    *,
    mask: np.ndarray | None = None,
    scan_mask: np.ndarray | None = None,
    probe: np.ndarray | None = None,
    vacuum: np.ndarray | None = None,
    largest_count: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    callback: Callback | None = None,
    resume: PtychographyResult | str | Path | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_minutes: float = 10.0,
    overwrite_checkpoint: bool = False,
    **options: Any,
) -> PtychographyResult:
    """Reconstruct the phase of a specimen and the probe from a scan of patterns.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), of any real type: NumPy, a memory map, dask, or what
        else can be sliced, such as arrays of zarr and h5py. They stay where they are and are read
        batch by batch.
    acquisition
        Needs `beam_energy`, `convergence_angle`, `scan_step` and `diffraction_step`. `defocus` and
        `aberrations` (at the first slice) are taken as none where unknown, `center` is that of the
        bright-field disc, and `scan_rotation` and `flip_y` are estimated from the scan.
    mask
        True where a detector pixel counts, (ky, kx). Dead pixels in the disc are found anyway.
    scan_mask
        True where a scan position counts, (scan_y, scan_x); `half_scans` makes two for a Fourier
        ring correlation. Patterns without counts are left out anyway.
    probe
        The probe to begin with, (ky, kx) complex in the middle of its window; ``None``: that of
        aperture and aberrations.
    vacuum
        Or a pattern without specimen, (ky, kx), whose root takes the place of the ideal aperture.
    largest_count
        That a detector pixel can record, such as 4095 of a 12-bit counter, for a warning where
        pixels are saturated; ``None``: the most that integers of up to 16 bit can hold.
    device
        ``"auto"``: a GPU if torch sees one, otherwise the processor.
    threads
        Processor threads of torch; ``None``: as many as there are cores.
    callback
        Called with a `Progress` after every batch and iteration; it ends the reconstruction by
        returning True. What it raises ends it with nothing.
    resume
        A result, or its file, to go on from, with its own options; `iterations` may be given anew,
        and one that has stopped early goes on, too.
    checkpoint
        File (``.h5``) that the state is written to on the way, and at the end. One that exists is
        refused, unless it is the one that is resumed.
    checkpoint_minutes
        Between two writings; it is written after the iteration in which they are over.
    overwrite_checkpoint
        Let it replace any file, which stays until the first checkpoint is complete.
    **options
        Fields of `stem_plugins.ptychography.choices.Choices`:

        prior : {"dgp", "pixelated"}
            Who draws the object: a network, or pixels.
        probe_prior : {"pixelated", "parametric", "fixed", "dgp"}
            How the probe may change: by pixels, by its aberrations, not at all, or by a network.
        object_type : {"phase", "potential", "complex"}
            ``potential`` is a phase that is nowhere below zero; ``complex`` absorbs too.
        slices, slice_thickness : int, float
            Number and distance [Å] of the slices.
        probe_modes : int
            Modes of a partially coherent probe.
        loss : {"poisson", "amplitude"}
            Statistics of the counts.
        first_guess : {"pixelated", "direct", "icom", "none"}
            The object to begin with: a few pixelated iterations, direct ptychography, the
            integrated centre of mass, or vacuum. Or an earlier `PtychographyResult` of the same
            scan and calibration, whose object and probe other options then go on from.
        refine : tuple of str
            Also refined: ``"positions"``; ``"background"``, even over the detector; ``"descan"``,
            a shift of the patterns linear in the scan; and of several slices ``"tilt"`` and
            ``"slice_thickness"``.
        regularization : Regularization
            What else is asked of object and probe; nothing by default.
        iterations : int
            Passes over the patterns, at most, without those of the first guess.
        polish : int
            Pixelated iterations after those of the network.
        held_out : float
            Share of the positions that are not fitted but tell when to stop; 0 for none.
        patience : int
            Iterations without improvement of these after which it stops: 5, or 15 for networks
            with another first guess than a pixelated one.
        filters, batch : int
            Width of the networks and patterns computed at a time.
        mixed_precision : bool
            Whether networks compute in bfloat16; by default on a GPU. Waves never do.
        blur : float
            Point spread of the detector, standard deviation [px].
        snapshots : int
            Every so many iterations the phase is kept for the result; 0 for none.
        seed : int
            Of everything random.

        What is left out is chosen from dose, size and device; the result's `settings` say what.

    Returns
    -------
    PtychographyResult
        Phase, slices, probe, positions and losses; Ctrl-C returns it as far as it came.

    Raises
    ------
    MissingCalibrationError
        A needed calibration value is unknown.
    ValueError
        Data, calibration or options cannot be used, what is to be resumed is one of other data or
        has done all that is asked for, or the checkpoint exists.
    TypeError
        An argument is of another type.
    MemoryError
        A GPU's memory does not hold object and probe, or not a single pattern's waves beside them.

    Warns
    -----
    UserWarning
        The rotation is not known, and what was taken; the loss became no number; detector pixels
        are dead, saturated or negative; neighbouring probes overlap too little; or a GPU's memory
        was too small for a batch.

    Notes
    -----
    The pixelated reconstruction is the preconditioned L-BFGS method on all patterns. With
    ``prior="dgp"`` a U-Net then corrects the first guess, one evaluation for as many patterns as
    take about its own time; a moving average of what it draws is the result.

    On a processor the same seed gives the same result bit for bit, with or without a stop and
    `resume` in between.

    Where the default group of ``torch.distributed`` is there, its processes share the positions
    and all return the same result; give each the device it is to use. Only the first writes the
    checkpoint, and a callback's wish to stop is heard after an iteration.

    Examples
    --------
    >>> from stem_plugins import Acquisition
    >>> from stem_plugins.simulation import simulate_scan, single_atoms
    >>> acquisition = Acquisition(
    ...     beam_energy=300, convergence_angle=20, scan_step=1.0, diffraction_step=2.0, defocus=60
    ... )
    >>> gold = single_atoms([79], [[6, 7]], extent=(13, 13))
    >>> scan = simulate_scan(gold, acquisition, scan_shape=(14, 14), detector_shape=(32, 32))
    >>> found = iterative_ptychography(scan.data, scan.acquisition, prior="pixelated", iterations=5)
    >>> y, x = np.unravel_index(found.phase.argmax(), found.phase.shape)
    >>> round(float(y * found.sampling[0])), round(float(x * found.sampling[1]))
    (6, 7)
    """
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of a Progress, not {callback!r}.")
    last: Progress | None = None
    stopped = ""
    wish = False

    def watch(progress: Progress) -> None:
        nonlocal wish
        wish = wish or bool(callback is not None and callback(progress))
        if wish and process_count() == 1:
            raise _StopAsked

    with torch_threads(threads):
        states = iterate_ptychography(
            data,
            acquisition,
            mask=mask,
            scan_mask=scan_mask,
            probe=probe,
            vacuum=vacuum,
            largest_count=largest_count,
            device=device,
            resume=resume,
            checkpoint=checkpoint,
            checkpoint_minutes=checkpoint_minutes,
            overwrite_checkpoint=overwrite_checkpoint,
            watch=watch,
            **options,
        )
        try:
            for last in states:
                watch(last)
                # Processes that work together end after the same iteration.
                if agree(wish):
                    raise _StopAsked
        except _StopAsked:
            stopped = "stopped by the callback"
        except KeyboardInterrupt:
            stopped = "stopped by Ctrl-C"
            if last is None:
                raise
        if last is None:
            raise ValueError("Stopped before the first iteration: there is nothing to return.")
        result = last.result()
        if stopped:
            result = dataclasses.replace(result, stopped=stopped)
            if checkpoint is not None:
                Checkpoint(Path(checkpoint), checkpoint_minutes).keep(result)
    return result


class _StopAsked(Exception):
    """The callback has seen enough."""


def iterate_ptychography(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    *,
    mask: np.ndarray | None = None,
    scan_mask: np.ndarray | None = None,
    probe: np.ndarray | None = None,
    vacuum: np.ndarray | None = None,
    largest_count: int | None = None,
    device: str = "auto",
    resume: PtychographyResult | str | Path | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_minutes: float = 10.0,
    overwrite_checkpoint: bool = False,
    watch: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Iterator[Progress]:
    """Reconstruct step by step, for those who show, pause or end it.

    Parameters
    ----------
    data, acquisition, mask, scan_mask, probe, vacuum, largest_count, device, resume
        As for `iterative_ptychography`, as are `checkpoint`, `checkpoint_minutes`,
        `overwrite_checkpoint` and the options.
    watch
        Called after every batch; what it raises ends the reconstruction.

    Yields
    ------
    Progress
        After every iteration.
    """
    check_acquisition(acquisition)
    kept = Checkpoint.checked(checkpoint, checkpoint_minutes)
    before = loaded(resume)
    if not overwrite_checkpoint:
        kept.check_nothing_is_lost(resume)
    made = provenance(vacuum=vacuum, probe=probe, mask=mask, scan_mask=scan_mask)
    try:
        run = prepare(
            data,
            acquisition,
            mask=mask,
            scan_mask=scan_mask,
            probe=probe,
            vacuum=vacuum,
            largest_count=largest_count,
            device=torch_device(device),
            before=before,
            options=options,
        )
    except torch.cuda.OutOfMemoryError as error:
        # Nothing of this depends on the batch.
        raise MemoryError(
            "The GPU's memory does not hold the object and the probe, before any pattern; fewer "
            "slices, or device='cpu', would fit."
        ) from error
    history = History(run, before, made if before is None else before.provenance)
    history.take_up(options)
    for progress in run.iterations(watch and (lambda now: watch(history.told(now)))):
        history.count(progress)
        yield history.told(progress)
        if kept.is_due():
            kept.keep(history.result())
    if kept.path is not None:
        kept.keep(history.result())
