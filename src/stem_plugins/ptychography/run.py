"""One reconstruction from its first guess to its result, stage by stage."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.optics.probe import probe_radius
from stem_plugins.ptychography.choices import Choices
from stem_plugins.ptychography.generative_solver import GenerativeSolver, GeneratorSettings
from stem_plugins.ptychography.objective import Objective, Parts
from stem_plugins.ptychography.pixelated_solver import PixelatedSolver
from stem_plugins.ptychography.probes import orthogonal_modes
from stem_plugins.ptychography.processes import process_count
from stem_plugins.ptychography.progress import Progress
from stem_plugins.ptychography.result import PtychographyResult
from stem_plugins.ptychography.solvers import Solver

__all__ = ["Run"]

#: Steps of the first guess where counts are high, and where they are low.
STEPS, STEPS_WITH_SPECTRUM = 16, 14

#: What a result says of what was refined beside object, probe and positions.
REFINED: tuple[str, ...] = ("background", "tilt", "descan", "aberrations")

#: Radii of the probe around the scan within which networks draw the object.
REACH = 1.5

#: Iteration from which positions, tilt and background are refined: they need an object first.
LATE = 5

#: Relative fall of the loss per step below which a pixelated reconstruction has arrived.
ARRIVED = 1e-5

#: Learning rate of networks whose guess is near the answer, and of those whose guess is not, which
#: also take so many times more steps, all of the same rate: from iCOM at infinite dose a rate that
#: falls ended at a similarity of 0.59 where one that stays reached 0.68.
NEAR_RATE, FAR_RATE, FAR_STEPS = 3e-3, 5e-3, 4

#: How often the rate falls while nothing improves, where the guess is near the answer.
DECAYS = 2

#: Pixels of patterns whose model takes as long as one pixel of a network with 8 filters.
PATTERN_PIXELS_PER_PIXEL = 70.0


@dataclasses.dataclass(frozen=True)
class _Stage:
    name: str
    iterations: int
    #: Whether object and probe are drawn by networks.
    drawn: bool = False
    #: Whether the expected spectrum of the object is asked for.
    expected: bool = False


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

    def stages(self) -> list[_Stage]:
        """Return what is done in turn."""
        choices = self.choices
        assert choices.iterations is not None
        if choices.prior == "pixelated" and choices.probe_prior != "dgp":
            return [_Stage("pixelated", choices.iterations)]
        found = [_Stage("dgp", choices.iterations, drawn=True)]
        if choices.first_guess == "pixelated":
            few = choices.loss == "poisson"
            steps = STEPS_WITH_SPECTRUM if few else STEPS
            found = [_Stage("first guess", steps, expected=few), *found]
        if choices.polish:
            found.append(_Stage("polish", choices.polish))
        return found

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
            stage, begun = stages[number], self.place[1]
            if begun == 0:
                self._begin(stage)
            while self.place[1] < stage.iterations:
                solver = self.solver
                assert solver is not None
                if isinstance(solver, PixelatedSolver) and self.place[1] == LATE:
                    solver.also_learn(*self.choices.refine)
                    if self.choices.refine:
                        # What was best without it is not to be gone back to.
                        self.best, self.best_loss, self.waited = {}, math.inf, 0
                loss = self._iterate(stage, watch)
                if not math.isfinite(loss):
                    self._lost()
                    yield self._progress(stage, 1.0)
                    return
                self.place = (number, self.place[1] + 1)
                if self._has_arrived(stage, loss):
                    self.place = (number, stage.iterations)
                yield self._progress(stage, 1.0)
            # The last stage stays where it is, for more iterations of it.
            if number + 1 < len(stages):
                self.parts = self._shown()
                self.place = (number + 1, 0)
        if self.stopped == "not finished":
            self.stopped = "all iterations done"

    def _begin(self, stage: _Stage) -> None:
        """Make the solver of a stage from what the one before has found."""
        self.best, self.best_loss, self.waited = {}, math.inf, 0
        self.solver = self._solver(stage)

    def _solver(self, stage: _Stage) -> Solver:
        choices = self.choices
        learn = ["object"]
        if choices.probe_prior in ("pixelated", "dgp"):
            learn.append("probe")
        if choices.probe_prior in ("pixelated", "parametric"):
            learn.append("aberrations")
        if not stage.drawn:
            return PixelatedSolver(
                self.objective,
                self.parts,
                self.fitted,
                tuple(learn),
                choices.regularization,
                stage.expected,
            )
        drawn = [
            name
            for name, prior in (("object", choices.prior), ("probe", choices.probe_prior))
            if prior == "dgp"
        ]
        return GenerativeSolver(
            self.objective,
            self.parts,
            self.fitted,
            (*learn, *choices.refine),
            tuple(drawn),
            self._generator_settings(),
            self._field(),
            choices.regularization,
            choices.seed,
        )

    def _generator_settings(self) -> GeneratorSettings:
        """As many positions per step as take about the time of the network."""
        filters = self.choices.filters or 8
        field = np.prod([part.stop - part.start for part in self._field()])
        balanced = PATTERN_PIXELS_PER_PIXEL * (filters / 8) ** 1.5 * field
        per_step = balanced / np.prod(self.objective.geometry.window)
        far = self.choices.is_far
        return GeneratorSettings(
            filters=filters,
            rate=FAR_RATE if far else NEAR_RATE,
            decays=0 if far else DECAYS,
            positions_per_step=int(np.clip(per_step / (FAR_STEPS if far else 1), 32, 16384)),
            mixed_precision=bool(self.choices.mixed_precision),
        )

    def _field(self) -> tuple[slice, slice]:
        """Rows and columns of the object that the probe lights."""
        geometry = self.objective.geometry
        reach = REACH * probe_radius(self.objective.acquisition)
        parts = []
        for axis in (0, 1):
            places, pixels = geometry.positions[:, axis], reach / geometry.sampling[axis]
            first = max(0, math.floor(places.min() - pixels))
            last = min(geometry.shape[axis], math.ceil(places.max() + pixels) + 1)
            parts.append(slice(first, last))
        return parts[0], parts[1]

    def _iterate(self, stage: _Stage, watch: Callable[[Progress], None] | None) -> float:
        def after_batch(share: float) -> None:
            # The end of an iteration is told when all of it is done.
            if watch is not None:
                watch(self._progress(stage, min(share, 0.999)))

        assert self.solver is not None
        try:
            loss = self.solver.iterate(after_batch)
        except torch.cuda.OutOfMemoryError:
            self._use_smaller_batches()
            return self._iterate(stage, watch)
        if not math.isfinite(loss):
            return loss
        self.losses.append(loss)
        self.rates.append(self.solver.rate)
        shown = self.solver.parts()
        held = loss
        if self.held.any():
            held = self.objective.evaluate(shown, self.held, learn=()).loss
            self.held_losses.append(held)
        if held < self.best_loss:
            self.best, self.best_loss, self.waited = dict(shown), held, 0
        else:
            self.waited += 1
            if isinstance(self.solver, GenerativeSolver) and self.choices.patience is not None:
                self.solver.wait(self.waited, self.choices.patience)
        if self.choices.snapshots and len(self.losses) % self.choices.snapshots == 0:
            self.snapshots.append(self._channels(shown)[0].sum(axis=0))
        return loss

    def _has_arrived(self, stage: _Stage, loss: float) -> bool:
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
        assert self.solver is not None
        batch = self.objective.batch // 2
        if process_count() > 1:
            # The others are in the middle of the same iteration and cannot begin it again.
            raise MemoryError(f"A GPU's memory was too small; begin again with batch={batch}.")
        if batch < 1:
            raise MemoryError(
                "The GPU's memory does not hold a single pattern's waves; use device='cpu'."
            )
        warnings.warn(f"The GPU's memory was too small; batches of {batch} now.", stacklevel=2)
        torch.cuda.empty_cache()
        self.objective = dataclasses.replace(self.objective, batch=batch)
        self.solver.objective = self.objective  # type: ignore[attr-defined]

    def _shown(self) -> Parts:
        """The best parts by the patterns that were held out, or the last ones."""
        if self.best and self.held.any():
            return self.best
        return self.solver.parts() if self.solver is not None else self.parts

    def _progress(self, stage: _Stage, share: float) -> Progress:
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
        self.solver = self._solver(stages[stage])
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
