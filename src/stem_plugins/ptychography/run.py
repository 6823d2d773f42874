"""One reconstruction from its first guess to its result, stage by stage."""

from __future__ import annotations

import dataclasses
import functools
import gc
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.ptychography.choices import Choices
from stem_plugins.ptychography.generative_solver import GenerativeSolver
from stem_plugins.ptychography.objective import Objective, Parts
from stem_plugins.ptychography.pixelated_solver import PixelatedSolver
from stem_plugins.ptychography.probes import orthogonal_modes
from stem_plugins.ptychography.processes import process_count
from stem_plugins.ptychography.progress import Progress
from stem_plugins.ptychography.result import PtychographyResult
from stem_plugins.ptychography.solvers import Solver
from stem_plugins.ptychography.stages import Stage, solver_of, stages_of

__all__ = ["Run"]

#: What a result says of what was refined beside object, probe and positions.
REFINED: tuple[str, ...] = ("background", "tilt", "descan", "aberrations")

#: Iteration from which positions, tilt and background are refined: they need an object first.
LATE = 5

#: Relative fall of the loss per step below which a pixelated reconstruction has arrived.
ARRIVED = 1e-5

#: Of a run, what an iteration changes.
ITERATED = (
    "place",
    "losses",
    "held_losses",
    "rates",
    "snapshots",
    "best",
    "best_loss",
    "waited",
    "stopped",
)


class _NoNumberError(Exception):
    """Loss, object or probe are no finite numbers."""


@dataclasses.dataclass(eq=False)
class Run:
    """What a reconstruction works on, and how far it is."""

    objective: Objective
    choices: Choices
    words: tuple[str, ...]
    parts: Parts
    fitted: NDArray[np.bool_]
    held: NDArray[np.bool_]
    #: Of what it was begun with, so that it is gone on with the same.
    given: Mapping[str, NDArray]
    place: tuple[int, int] = (0, 0)
    losses: list[float] = dataclasses.field(default_factory=list)
    held_losses: list[float] = dataclasses.field(default_factory=list)
    rates: list[float] = dataclasses.field(default_factory=list)
    snapshots: list[NDArray[np.float32]] = dataclasses.field(default_factory=list)
    best: Parts = dataclasses.field(default_factory=dict)
    best_loss: float = math.inf
    waited: int = 0
    stopped: str = "not finished"
    solver: Solver | None = None

    def stages(self) -> list[Stage]:
        """Return what is done in turn."""
        return stages_of(self.choices)

    def iterations(self, watch: Callable[[Progress], None] | None = None) -> Iterator[Progress]:
        """Go on to the end.

        Parameters
        ----------
        watch
            Called after every batch.

        Yields
        ------
        Progress
            After every iteration.
        """
        stages = self.stages()
        for number in range(self.place[0], len(stages)):
            stage = stages[number]
            if self.place[1] == 0:
                self._wholly(functools.partial(self._begin, stage))
            while self.place[1] < stage.iterations:
                if not self._wholly(functools.partial(self._iterate, number, stage, watch)):
                    self._lost()
                    yield self._progress(stage, 1.0)
                    return
                yield self._progress(stage, 1.0)
            # The last stage stays where it is, for more iterations of it.
            if number + 1 < len(stages):
                self.parts = self._shown()
                self.place = (number + 1, 0)
        if self.stopped == "not finished":
            self.stopped = "all iterations done"

    def _wholly(self, work: Callable[[], None]) -> bool:
        """Do a piece of work as a whole or not at all; ``False``: it led to what is no number.

        What ends it in the middle leaves the state of before, so that a run which goes on from
        there does the same as one that was not ended. Where a GPU's memory is too small, it is
        done again in smaller batches.
        """
        while True:
            undo = self._undo()
            try:
                work()
            except torch.cuda.OutOfMemoryError:
                # Nothing is done in here: the error that is handled holds the failed waves.
                pass
            except _NoNumberError:
                undo()
                return False
            except BaseException:
                undo()
                raise
            else:
                return True
            undo()
            self._use_smaller_batches()

    def _undo(self) -> Callable[[], None]:
        """Return what brings the present state back."""
        kept = {name: getattr(self, name) for name in ITERATED}
        kept = {name: list(one) if isinstance(one, list) else one for name, one in kept.items()}
        solver = self.solver
        solver_undo = None if solver is None else solver.keep()

        def undo() -> None:
            for name, value in kept.items():
                setattr(self, name, value)
            self.solver = solver
            if solver_undo is not None:
                solver_undo()

        return undo

    def _begin(self, stage: Stage) -> None:
        """Make the solver of a stage from what the one before has found."""
        self.solver = solver_of(stage, self.choices, self.objective, self.parts, self.fitted)
        self._forget_best()

    def _forget_best(self) -> None:
        self.best, self.best_loss, self.waited = {}, math.inf, 0

    def _iterate(self, number: int, stage: Stage, watch: Callable[[Progress], None] | None) -> None:
        def after_batch(share: float) -> None:
            # The end of an iteration is told when all of it is done.
            if watch is not None:
                watch(self._progress(stage, min(share, 0.999)))

        solver = self.solver
        assert solver is not None
        if isinstance(solver, PixelatedSolver) and self.place[1] == LATE:
            solver.also_learn(*self.choices.refine)
            if self.choices.refine:
                # What was best without it is not to be gone back to.
                self._forget_best()
        loss = solver.iterate(after_batch)
        shown = solver.parts()
        if not (math.isfinite(loss) and all(one.isfinite().all() for one in shown.values())):
            raise _NoNumberError
        self.losses.append(loss)
        self.rates.append(solver.rate)
        self._judge(shown, loss)
        if self.choices.snapshots and len(self.losses) % self.choices.snapshots == 0:
            self.snapshots.append(self._channels(shown)[0].sum(axis=0))
        self.place = (number, self.place[1] + 1)
        if self._has_arrived(stage, loss):
            self.place = (number, stage.iterations)

    def _judge(self, shown: Parts, loss: float) -> None:
        """Keep the best parts, by the patterns that are not fitted where there are some."""
        held = loss
        if self.held.any():
            held = self.objective.evaluate(shown, self.held, learn=()).loss
            if not math.isfinite(held):
                raise _NoNumberError
            self.held_losses.append(held)
        if held < self.best_loss:
            self.best, self.best_loss, self.waited = dict(shown), held, 0
            return
        self.waited += 1
        if isinstance(self.solver, GenerativeSolver) and self.choices.patience is not None:
            self.solver.wait(self.waited, self.choices.patience)

    def _has_arrived(self, stage: Stage, loss: float) -> bool:
        waits = not stage.drawn and bool(self.choices.refine) and self.place[1] <= LATE
        if stage.name == "first guess" or stage.expected or waits:
            return False
        assert self.choices.patience is not None
        if self.held.any() and self.waited >= self.choices.patience:
            self.stopped = f"held-out loss rose for {self.waited} iterations"
            return True
        if not stage.drawn and len(self.losses) > 1:
            last = self.losses[-2]
            if 0 <= last - loss < ARRIVED * abs(loss):
                self.stopped = "the loss no longer falls"
                return True
        return False

    def _lost(self) -> None:
        if not self.losses:
            raise ValueError(
                "The very first loss is no number: patterns, calibration or options hold values "
                "that are no finite numbers or far too large."
            )
        self.stopped = "the loss became no number; this is the last state before"
        warnings.warn(
            "The loss became no number, and the reconstruction ended with the last state before. "
            "Check the calibration; a first guess nearer to the truth or fewer refined parts help.",
            stacklevel=2,
        )

    def _use_smaller_batches(self) -> None:
        batch = self.objective.batch // 2
        if process_count() > 1:
            # The others are in the middle of the same iteration and cannot begin it again.
            raise MemoryError(f"A GPU's memory was too small; begin again with batch={batch}.")
        if batch < 1:
            raise MemoryError(
                "The GPU's memory is too small even for a single pattern at a time; fewer slices, "
                "probe modes or filters, or device='cpu', would fit."
            )
        warnings.warn(f"The GPU's memory was too small; batches of {batch} now.", stacklevel=2)
        gc.collect()
        torch.cuda.empty_cache()
        self.objective = dataclasses.replace(self.objective, batch=batch)
        # A run that goes on from here begins with what fits.
        self.choices = dataclasses.replace(self.choices, batch=batch)
        words = f"batch {batch}: more did not fit into the GPU's memory"
        self.words = (*(one for one in self.words if not one.startswith("batch ")), words)
        if self.solver is not None:
            self.solver.objective = self.objective

    def _shown(self) -> Parts:
        """The best parts by the patterns that were held out, or the last ones."""
        if self.best and self.held.any():
            return self.best
        return self.solver.parts() if self.solver is not None else self.parts

    def _progress(self, stage: Stage, share: float) -> Progress:
        return Progress(
            stage.name,
            len(self.losses),
            sum(one.iterations for one in self.stages()),
            share,
            self.losses[-1] if self.losses else math.nan,
            self.held_losses[-1] if self.held_losses else math.nan,
            self.result,
        )

    def result(self) -> PtychographyResult:
        """Return object and probe as they are now, in the frame of the scan."""
        geometry, parts = self.objective.geometry, self._shown()
        channels = self._channels(parts)
        modes = orthogonal_modes(self.objective.probe(parts).cpu().numpy())
        offsets = parts.get("positions")
        places = geometry.positions - geometry.positions[0]
        if offsets is not None:
            places = places + offsets.cpu().numpy()
        places = (places * np.array(geometry.sampling)) @ geometry.frame
        refined = {
            name: np.ravel(parts[name].cpu().numpy()).tolist() for name in REFINED if name in parts
        }
        thickness = self.objective.thickness(parts)
        settings = dataclasses.asdict(self.choices)
        settings |= {"chosen": list(self.words), "device": self.objective.device}
        return PtychographyResult(
            slices=channels[0],
            absorption=channels[1] if len(channels) > 1 else None,
            probe=modes,
            positions=places.reshape(*geometry.scan_shape, 2),
            losses=np.array(self.losses),
            held_out_losses=np.array(self.held_losses),
            rates=np.array(self.rates),
            snapshots=np.array(self.snapshots, np.float32).reshape(-1, *channels.shape[-2:]),
            sampling=geometry.scan_sampling,
            probe_sampling=geometry.sampling,
            slice_thickness=None if thickness is None else float(thickness),
            acquisition=self.objective.acquisition,
            settings=settings,
            stopped=self.stopped,
            refined=refined,
            state=self._state(),
        )

    def _channels(self, parts: Parts) -> NDArray[np.float32]:
        """Phase and absorption of the slices in the frame of the scan."""
        return self.objective.geometry.in_scan_frame(parts["object"].cpu().numpy())

    def _state(self) -> dict[str, NDArray]:
        state: dict[str, Any] = {
            "place": torch.tensor(self.place),
            "best_loss": torch.tensor(self.best_loss, dtype=torch.float64),
            "waited": torch.tensor(self.waited),
            "fitted": self.fitted,
            "held": self.held,
            **self.given,
        }
        state |= {f"part.{name}": value for name, value in self.parts.items()}
        state |= {f"best.{name}": value for name, value in self.best.items()}
        # From which another reconstruction can begin.
        state |= {f"shown.{name}": value for name, value in self._shown().items()}
        if self.solver is not None:
            state |= {f"solver.{name}": value for name, value in self.solver.state().items()}
        return {
            name: value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
            for name, value in state.items()
        }

    def load(self, before: PtychographyResult) -> None:
        """Take up a run where its result was taken."""
        device = self.objective.device
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in before.state.items()}

        def under(prefix: str) -> dict[str, torch.Tensor]:
            return {
                name.removeprefix(prefix): value if "random" in name else value.to(device)
                for name, value in tensors.items()
                if name.startswith(prefix)
            }

        for name, value in self.parts.items():
            kept = tensors.get(f"part.{name}")
            if kept is None or kept.shape != value.shape:
                raise ValueError(f"The reconstruction to resume is damaged: {name} is missing.")
        stage, done = (int(one) for one in before.state["place"])
        self.place = (stage, done)
        self.losses = before.losses.tolist()
        self.held_losses = before.held_out_losses.tolist()
        self.rates, self.snapshots = before.rates.tolist(), list(before.snapshots)
        self.parts, self.best = under("part."), under("best.")
        self.best_loss, self.waited = float(tensors["best_loss"]), int(tensors["waited"])
        assert self.choices.patience is not None
        again = self.waited >= self.choices.patience
        if again:
            # It had stopped by itself; who asks for more gets as much patience again.
            self.waited = 0
        stages = self.stages()
        if stage >= len(stages) or not done:
            return
        self.solver = solver_of(
            stages[stage], self.choices, self.objective, self.parts, self.fitted
        )
        if isinstance(self.solver, PixelatedSolver) and done > LATE:
            self.solver.also_learn(*self.choices.refine)
        try:
            self.solver.load(under("solver."))
        except (KeyError, RuntimeError) as error:
            raise ValueError(
                "The reconstruction to resume is damaged or of another version: a part of the "
                "solver's state is missing. Start anew without resume."
            ) from error
        if again and isinstance(self.solver, GenerativeSolver):
            self.solver.begin_anew()
