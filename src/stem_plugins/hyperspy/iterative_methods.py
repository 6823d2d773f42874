"""Iterative ptychography of 4D-STEM signals: by pixels, and with deep generative priors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stem_plugins.hyperspy.iterative_reconstruction import reconstruct
from stem_plugins.hyperspy.ptychography_signals import PtychographySignals

if TYPE_CHECKING:
    from stem_plugins.ptychography import Progress, PtychographyResult, Regularization
    from stem_plugins.ptychography.vocabulary import (
        FirstGuess,
        Loss,
        ObjectType,
        Prior,
        ProbePrior,
    )

__all__ = ["IterativePtychographyMethods"]


class IterativePtychographyMethods:
    """Iterative ptychography of a scan; part of `STEM4D`."""

    def dgp(
        self: Any,
        *,
        probe_prior: ProbePrior | None = None,
        object_type: ObjectType = "phase",
        slices: int = 1,
        slice_thickness: float | None = None,
        probe_modes: int = 1,
        loss: Loss | None = None,
        first_guess: FirstGuess | PtychographySignals | PtychographyResult = "pixelated",
        refine: Sequence[str] = (),
        regularization: Regularization | None = None,
        iterations: int | None = None,
        polish: int = 0,
        held_out: float = 0.05,
        patience: int | None = None,
        filters: int | None = None,
        batch: int | None = None,
        mixed_precision: bool | None = None,
        blur: float = 0.0,
        snapshots: int = 0,
        seed: int = 0,
        mask: Any = None,
        scan_mask: Any = None,
        probe: Any = None,
        vacuum: Any = None,
        device: str = "auto",
        threads: int | None = None,
        callback: Callable[[Progress], bool | None] | None = None,
        resume: PtychographySignals | PtychographyResult | str | Path | None = None,
        checkpoint: str | Path | None = None,
        checkpoint_minutes: float = 10.0,
        show_progressbar: bool | None = None,
    ) -> PtychographySignals:
        """Phase of a specimen by ptychography with a deep generative prior.

        A network draws the object, which holds noise back and finds slow changes of the phase in
        few iterations. A calibrated scan needs no options.

        Parameters
        ----------
        probe_prior, object_type, slices, slice_thickness, probe_modes, loss, refine, \
regularization, iterations, held_out, patience, batch, blur, snapshots, seed, mask, scan_mask, \
probe, vacuum, device, threads, callback, resume, checkpoint, checkpoint_minutes, show_progressbar
            As for `ptychography`.
        first_guess
            The object to begin with: ``"pixelated"``, a few pixelated iterations; ``"direct"``,
            direct ptychography; ``"icom"``, the integrated centre of mass; ``"none"``, vacuum; or
            what an earlier call returned, whose object and probe other options then go on from.
        polish
            Pixelated iterations after those of the network.
        filters
            Width of the network; ``None``: 8 on a processor, 16 on a GPU.
        mixed_precision
            Whether the network computes in bfloat16; ``None``: on a GPU.

        Returns
        -------
        PtychographySignals
            As for `ptychography`.

        Raises
        ------
        MissingCalibrationError, ValueError
            As for `ptychography`.

        See Also
        --------
        stem_plugins.iterative_ptychography : The same with arrays; there is the method.

        Examples
        --------
        >>> import numpy as np
        >>> from stem_plugins.hyperspy import STEM4D
        >>> signal = STEM4D(np.random.default_rng(0).poisson(20, (16, 16, 16, 16)))
        >>> signal.set_acquisition(
        ...     beam_energy=300, convergence_angle=20, scan_step=1, diffraction_step=4,
        ...     scan_rotation=0, center=(8, 8),
        ... )
        >>> found = signal.dgp(iterations=1, first_guess="none", show_progressbar=False)
        >>> found.phase
        <STEMImage, title: Phase, dimensions: (|50, 50)>
        """
        return reconstruct(self, prior="dgp", **_arguments(locals()))

    def ptychography(
        self: Any,
        prior: Prior = "pixelated",
        *,
        probe_prior: ProbePrior | None = None,
        object_type: ObjectType = "phase",
        slices: int = 1,
        slice_thickness: float | None = None,
        probe_modes: int = 1,
        loss: Loss | None = None,
        first_guess: FirstGuess | PtychographySignals | PtychographyResult = "pixelated",
        refine: Sequence[str] = (),
        regularization: Regularization | None = None,
        iterations: int | None = None,
        polish: int = 0,
        held_out: float = 0.05,
        patience: int | None = None,
        filters: int | None = None,
        batch: int | None = None,
        mixed_precision: bool | None = None,
        blur: float = 0.0,
        snapshots: int = 0,
        seed: int = 0,
        mask: Any = None,
        scan_mask: Any = None,
        probe: Any = None,
        vacuum: Any = None,
        device: str = "auto",
        threads: int | None = None,
        callback: Callable[[Progress], bool | None] | None = None,
        resume: PtychographySignals | PtychographyResult | str | Path | None = None,
        checkpoint: str | Path | None = None,
        checkpoint_minutes: float = 10.0,
        show_progressbar: bool | None = None,
    ) -> PtychographySignals:
        """Phase of a specimen by iterative ptychography.

        Parameters
        ----------
        prior
            Who draws the object: ``"pixelated"``, every pixel for itself; ``"dgp"``, a network.
        probe_prior
            How the probe may change: ``"pixelated"``, ``"parametric"`` (its aberrations),
            ``"fixed"`` or ``"dgp"``; ``None``: by pixels where there are electrons enough.
        object_type
            ``"phase"``, ``"potential"`` (nowhere below zero) or ``"complex"`` (absorbs too).
        slices, slice_thickness
            Number of slices of a thick specimen, and their distance [Å].
        probe_modes
            Modes of a partially coherent probe.
        loss
            Statistics of the counts, ``"poisson"`` or ``"amplitude"``; ``None``: by the dose.
        first_guess, polish, filters, mixed_precision
            For ``prior="dgp"``, see `dgp`.
        refine
            Also refined: ``"positions"``; ``"background"``, even over the detector; ``"descan"``,
            a shift of the patterns linear in the scan; and of several slices ``"tilt"`` and
            ``"slice_thickness"``.
        regularization
            What else is asked of object and probe.
        iterations
            Passes over the patterns, at most; ``None``: 40 by pixels, 100 with a network.
        held_out
            Share of the positions that are not fitted but tell when to stop; 0 for none.
        patience
            Iterations without improvement of these after which it stops; ``None``: 5, or 15 for
            networks that begin far from the answer.
        batch
            Patterns computed at a time; ``None``: what memory allows.
        blur
            Point spread of the detector, standard deviation [px].
        snapshots
            Every so many iterations the phase is kept for the result; 0 for none.
        seed
            Of everything random.
        mask
            Detector pixels that count, as for `moments`, but without weights.
        scan_mask
            Scan positions that count, array or signal (scan_y, scan_x) of booleans.
        probe
            The probe to begin with, array or signal (ky, kx), complex, in the middle of its
            window; ``None``: that of aperture and aberrations.
        vacuum
            Or a pattern without specimen, array or signal (ky, kx), whose root takes the place of
            the ideal aperture.
        device
            ``"auto"``: a GPU if torch sees one; ``"cpu"``, ``"cuda"``.
        threads
            Processor threads; ``None``: as many as there are cores.
        callback
            Called with a `stem_plugins.ptychography.Progress` after every batch; it ends the
            reconstruction by returning True.
        resume
            Signals, a result, or its file to go on from, with its own options; `iterations` may be
            given anew.
        checkpoint
            File (``.h5``) that the state is written to every `checkpoint_minutes`, and at the end.
            One that exists is refused, unless it is the one to `resume`.
        checkpoint_minutes
            Between two writings.
        show_progressbar
            Stage, loss and held-out loss stand beside the bar; ``None``: as HyperSpy's
            preferences say.

        Returns
        -------
        PtychographySignals
            Phase, slices, object, probe and losses; Ctrl-C returns them as far as they came. Its
            ``result.settings["chosen"]`` says what was chosen and why.

        Raises
        ------
        MissingCalibrationError
            Beam energy, convergence angle, scan step or detector step is unknown.
        ValueError
            This is no scan of patterns, the calibration cannot be, an option cannot be used, or
            the result to resume is one of other data.

        Warns
        -----
        UserWarning
            The rotation from detector to scan is not known: it is estimated, and the message says
            what was taken. Or detector pixels are dead, saturated or negative.

        See Also
        --------
        stem_plugins.iterative_ptychography : The same with arrays; there is the method.

        Examples
        --------
        >>> import numpy as np
        >>> from stem_plugins.hyperspy import STEM4D
        >>> signal = STEM4D(np.random.default_rng(0).poisson(20, (8, 9, 16, 16)))
        >>> signal.set_acquisition(
        ...     beam_energy=300, convergence_angle=20, scan_step=1, diffraction_step=4,
        ...     scan_rotation=0, center=(8, 8),
        ... )
        >>> found = signal.ptychography(iterations=2, show_progressbar=False)
        >>> found.phase
        <STEMImage, title: Phase, dimensions: (|28, 24)>
        """
        return reconstruct(self, **_arguments(locals()))


def _arguments(names: dict[str, Any]) -> dict[str, Any]:
    """Everything that a method was given, but not whose method it is."""
    return {name: value for name, value in names.items() if name != "self"}
