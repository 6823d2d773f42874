"""What may be asked of an object or a probe beyond the data; everything is off by default."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

import torch

from stem_plugins.ptychography.geometry import ScanGeometry
from stem_plugins.ptychography.objective import Objective, Parts, Value

__all__ = ["Regularization", "is_number"]

#: Differences below this [rad] count as none in the total variation, which is smooth there.
SMALLEST_STEP = 1e-2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regularization:
    """Weights of the regularisers; 0 or ``None`` leaves one out.

    Parameters
    ----------
    total_variation
        Weight of the sum of in-plane differences of neighbouring pixels, per pixel [1/rad]: flat
        regions with sharp edges.
    total_variation_depth
        The same for neighbouring slices.
    kz_filter
        Strength β of ``1 - 2/π atan(β² kz² / k²)`` on the stack of slices: takes away depth
        frequencies that the tilts in the probe do not reach. 0.5 to 1 is usual.
    low_pass
        Butterworth low-pass of the object [1/Å].
    butterworth_order
        Its steepness.
    probe_support
        Radius beyond which the probe is zero [Å].
    positivity
        Whether the phase is nowhere below zero, as with ``object_type="potential"``.

    Raises
    ------
    ValueError
        A value is negative or no finite number, or the order is no whole one.
    """

    total_variation: float = 0.0
    total_variation_depth: float = 0.0
    kz_filter: float = 0.0
    low_pass: float | None = None
    butterworth_order: int = 4
    probe_support: float | None = None
    positivity: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.positivity, bool):
            raise ValueError(f"positivity must be True or False, not {self.positivity!r}.")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "positivity":
                continue
            if value is None and field.name != "butterworth_order":
                continue
            if not (is_number(value) and value >= 0):
                raise ValueError(f"{field.name} must be zero or above, not {value!r}.")
        order = self.butterworth_order
        if order < 1 or order != int(order):
            raise ValueError(
                f"butterworth_order must be a whole number from 1, not {order!r}: it is how "
                "steep low_pass is."
            )
        # Zero leaves one out; a filter that lets nothing pass is none.
        for name in ("low_pass", "probe_support"):
            object.__setattr__(self, name, getattr(self, name) or None)

    def added(self, value: Value, parts: Parts) -> Value:
        """Add the penalties of an object to a value and its gradients."""
        axes = [
            (-2, self.total_variation),
            (-1, self.total_variation),
            (-3, self.total_variation_depth),
        ]
        axes = [
            (axis, weight) for axis, weight in axes if weight and parts["object"].shape[axis] > 1
        ]
        if not axes or "object" not in value.gradients:
            return value
        leaf = parts["object"].detach().requires_grad_()
        penalty = leaf.new_zeros(())
        for axis, weight in axes:
            steps = torch.diff(leaf, dim=axis)
            soft = (steps.square() + SMALLEST_STEP**2).sqrt() - SMALLEST_STEP
            penalty = penalty + weight * soft.sum() / leaf[0].numel()
        (gradient,) = torch.autograd.grad(penalty, leaf)
        gradients = dict(value.gradients, object=value.gradients["object"] + gradient)
        return Value(value.loss + penalty.item(), gradients)

    def projected(self, parts: Parts, objective: Objective) -> Parts:
        """Bring object and probe back to what is allowed."""
        geometry, thickness = objective.geometry, objective.slice_thickness
        found = dict(parts)
        stack = found["object"]
        if self.low_pass is not None or (self.kz_filter and stack.shape[1] > 1):
            stack = self._filtered(stack, geometry, thickness)
        if self.positivity or objective.object_type == "potential":
            # The first channel is the phase; absorption has a sign of its own.
            stack = torch.cat([stack[:1].clamp(min=0), stack[1:]])
        found["object"] = stack
        if self.probe_support is not None and "probe" in found:
            y, x = (
                (torch.arange(size, device=stack.device) - size // 2) * sampling
                for size, sampling in zip(geometry.window, geometry.sampling, strict=True)
            )
            inside = torch.hypot(y[:, None], x[None, :]) <= self.probe_support
            found["probe"] = found["probe"] * inside[..., None]
        return found

    def _filtered(
        self, stack: torch.Tensor, geometry: ScanGeometry, thickness: float | None
    ) -> torch.Tensor:
        ky, kx = (
            torch.fft.fftfreq(size, sampling, device=stack.device)
            for size, sampling in zip(geometry.shape, geometry.sampling, strict=True)
        )
        radial = ky[:, None] ** 2 + kx[None, :] ** 2
        gain = torch.ones_like(radial)[None]
        if self.low_pass is not None:
            gain = gain / (1 + (radial / self.low_pass**2) ** self.butterworth_order)
        if self.kz_filter and stack.shape[1] > 1:
            assert thickness is not None
            kz = torch.fft.fftfreq(stack.shape[1], thickness, device=stack.device)
            ratio = kz[:, None, None] ** 2 / radial.clamp(min=1e-12)
            gain = gain * (1 - 2 / torch.pi * torch.atan(self.kz_filter**2 * ratio))
            # The mean phase of each slice has no direction; it stays.
            gain[:, 0, 0] = 1
        return torch.fft.ifftn(torch.fft.fftn(stack, dim=(1, 2, 3)) * gain, dim=(1, 2, 3)).real


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; True and False are none."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        # A whole number that no float can hold.
        return False
