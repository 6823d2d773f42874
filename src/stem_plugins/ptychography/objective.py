"""How well an object and a probe explain the patterns, and in which direction they should change.

The loss is, for every pattern, the negative logarithm of the counts' likelihood over the mean
number of electrons of a pattern: with Poisson statistics ``Σ (I - c log I) / Ī``, or with the
square roots of the counts, whose noise is even, ``Σ 2 (√I - √c)² / Ī``. Constants are taken off,
so that a perfect fit without noise gives 0.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength
from stem_plugins.optics.probe import probe_spectrum
from stem_plugins.ptychography.curvature import curvature
from stem_plugins.ptychography.forward import diffraction_patterns
from stem_plugins.ptychography.geometry import ScanGeometry
from stem_plugins.ptychography.measurements import Measurements
from stem_plugins.ptychography.processes import add_up, own_share, process_count
from stem_plugins.ptychography.vocabulary import Loss, ObjectType

__all__ = ["Objective", "Parts", "Value"]

#: Real tensors by name: ``object`` (channels, slices, y, x), ``probe`` (modes, y, x, 2) in units of
#: the root of the mean counts, and what else is refined: ``positions`` [px], (positions, 2);
#: ``background``, in parts of the mean counts; ``tilt`` [mrad], (2,); ``slice_thickness``, the
#: logarithm of its ratio to the one that was given; ``descan`` [detector px], (2, 3), the shift of
#: patterns along y and x: a constant, and its changes from the scan's middle to its last row and
#: column; ``aberrations`` [rad at the aperture's edge].
Parts = dict[str, torch.Tensor]

#: Intensity below which a pixel is not believed to be dark, in parts of the mean in the disc.
FLOOR = 1e-2


@dataclasses.dataclass(frozen=True)
class Value:
    """The loss per pattern and its gradient for each part that is learnt."""

    loss: float
    gradients: Parts


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """Patterns, their place on the object, and the statistics of their counts.

    Parameters
    ----------
    measurements
        The patterns.
    geometry
        Where they lie.
    acquisition
        Complete for ptychography.
    loss
        ``"poisson"`` or ``"amplitude"``.
    object_type
        ``"phase"``, ``"potential"`` (a phase not below zero) or ``"complex"``.
    slice_thickness
        From slice to slice [Å].
    blur
        Standard deviation of the detector's point spread [px].
    device
        Of torch.
    batch
        Patterns that are computed at a time.
    """

    measurements: Measurements
    geometry: ScanGeometry
    acquisition: Acquisition
    loss: Loss = "poisson"
    object_type: ObjectType = "phase"
    slice_thickness: float | None = None
    blur: float = 0.0
    device: str = "cpu"
    batch: int = 64

    @property
    def mean_counts(self) -> float:
        """Sum of a mean pattern, in the unit of the data."""
        return self.measurements.survey.mean_counts

    @property
    def electrons(self) -> float:
        """Electrons of a mean pattern, or its sum where they are not known."""
        known = self.measurements.survey.electrons
        return known if np.isfinite(known) else self.mean_counts

    def frequencies(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Spatial frequencies of the pixels of a pattern [1/Å], (ny, 1) and (1, nx)."""
        ky, kx = (
            (np.fft.fftfreq(size) * size - fraction) / (size * sampling)
            for size, sampling, fraction in zip(
                self.geometry.window,
                self.geometry.sampling,
                self.measurements.fraction,
                strict=True,
            )
        )
        return ky[:, None], kx[None, :]

    def calibrated_probe(
        self, amplitude: NDArray[np.floating] | None = None
    ) -> NDArray[np.complex128]:
        """The probe of aperture and aberrations in the middle of its window, ``Σ|P|² = 1``.

        Parameters
        ----------
        amplitude
            Of a measured aperture, in the order of `frequencies`; ``None``: an ideal one.
        """
        ky, kx = self.frequencies()
        frame = self.geometry.frame
        assert self.acquisition.diffraction_step is not None
        spectrum = probe_spectrum(
            frame[0, 0] * ky + frame[1, 0] * kx,
            frame[0, 1] * ky + frame[1, 1] * kx,
            self.acquisition,
            edge=self.acquisition.diffraction_step,
            amplitude=amplitude,
        )
        middle = [
            size // 2 * sampling
            for size, sampling in zip(self.geometry.window, self.geometry.sampling, strict=True)
        ]
        spectrum *= np.exp(-2j * np.pi * ky * middle[0]) * np.exp(-2j * np.pi * kx * middle[1])
        return np.fft.ifft2(spectrum, norm="ortho")

    def transmission(self, channels: torch.Tensor) -> torch.Tensor:
        """What each slice multiplies a wave by, from (channels, slices, y, x)."""
        phase = channels[0]
        if self.object_type == "complex":
            return torch.polar(torch.exp(-channels[1]), phase)
        return torch.polar(torch.ones_like(phase), phase)

    def probe(self, parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the modes of the probe, (modes, y, x) complex, with their aberrations."""
        modes = torch.view_as_complex(parts["probe"])
        if "aberrations" not in parts:
            return modes
        phase = torch.tensordot(parts["aberrations"], self.aberration_basis, dims=1)
        lens = torch.polar(torch.ones_like(phase), -phase)
        return torch.fft.ifft2(torch.fft.fft2(modes) * lens)

    @functools.cached_property
    def aberration_basis(self) -> torch.Tensor:
        """Phases that aberrations add [rad], each of a unit at the aperture's edge, (n, y, x).

        Defocus, twofold astigmatism, coma and threefold astigmatism (two directions each) and
        spherical aberration, as polynomials of the angle over the semi-angle, in the detector's
        frame.
        """
        ky, kx = self.frequencies()
        angle = (kx + 1j * ky).astype(np.complex128) / self.aperture_radius
        square = np.abs(angle) ** 2
        shapes = [square]
        for term in (angle**2, angle * square, angle**3):
            shapes += [term.real, term.imag]
        # Beyond the aperture there is nothing to be shifted, and powers would only grow.
        inside = square < 1.5
        basis = np.stack([*shapes, square**2]) * inside
        return torch.from_numpy(basis.astype(np.float32)).to(self.device)

    def evaluate(
        self,
        parts: Mapping[str, torch.Tensor],
        chosen: NDArray[np.bool_],
        *,
        learn: tuple[str, ...] = ("object",),
        watch: Callable[[float], None] | None = None,
    ) -> Value:
        """Compute the mean loss of the chosen positions, and its gradients.

        Parameters
        ----------
        parts
            Object, probe and what else there is.
        chosen
            Which positions.
        learn
            For which parts gradients are wanted.
        watch
            Called after each batch with the share that is done.

        Notes
        -----
        The object's transmission is computed once for all positions, and its gradient goes back
        to the object once.
        """
        leaves = {
            name: value.detach().requires_grad_(name in learn) for name, value in parts.items()
        }
        with torch.set_grad_enabled(bool(learn)):
            whole = self.transmission(leaves["object"])
            probe = self.probe(leaves) * float(np.sqrt(self.mean_counts))
            propagator = self.propagator(leaves)
        # Batches write their gradients here, and not through all that comes before.
        held = {"object": whole, "probe": probe, "propagator": propagator}
        cut = {
            name: value.detach().requires_grad_(value.requires_grad)
            for name, value in held.items()
            if value is not None
        }
        count, total = int(np.count_nonzero(chosen)), 0.0
        done = 0
        share = own_share(chosen)
        own = max(1, int(np.count_nonzero(share)))
        for losses, size in self._batches(leaves, cut, share):
            if learn:
                losses.backward()  # type: ignore[no-untyped-call]
            total += losses.item()
            done += size
            if watch is not None:
                watch(done / own)
        if not done and process_count() == 1:
            raise ValueError(
                "None of the patterns can be used: all are without counts, or hold pixels that are "
                "not finite numbers."
            )
        for name, value in cut.items():
            if value.grad is not None:
                held[name].backward(value.grad)  # type: ignore[union-attr]
        gradients = {}
        for name in learn:
            found = leaves[name].grad
            gradients[name] = torch.zeros_like(leaves[name]) if found is None else found / count
        whole_loss = torch.tensor([total / count], dtype=torch.float64, device=self.device)
        add_up([whole_loss, *gradients.values()])
        return Value(whole_loss.item(), gradients)

    @functools.cached_property
    def _weights(self) -> torch.Tensor | None:
        """Which pixels count; ``None``: all."""
        weights = self.measurements.weights()
        return None if weights.all() else torch.from_numpy(weights).to(self.device)

    def _batches(
        self,
        leaves: Mapping[str, torch.Tensor],
        cut: Mapping[str, torch.Tensor],
        chosen: NDArray[np.bool_],
    ) -> Iterator[tuple[torch.Tensor, int]]:
        weights = self._weights
        places = self.geometry.positions
        for index, counts in self.measurements.batches(chosen, self.batch):
            base, fractions = self.geometry.corners(places[index])
            corners = torch.from_numpy(base).to(self.device)
            moved = torch.from_numpy(fractions.astype(np.float32)).to(self.device)
            if "positions" in leaves:
                moved = moved + leaves["positions"][torch.from_numpy(index).to(self.device)]
            patterns = diffraction_patterns(
                cut["probe"],
                cut["object"],
                corners,
                moved,
                cut.get("propagator"),
                self._descan(leaves["descan"], index) if "descan" in leaves else None,
            )
            if self.blur:
                patterns = _blurred(patterns, self.blur)
            if "background" in leaves:
                patterns = patterns + leaves["background"].clamp(min=0) * self.mean_counts
            measured = torch.from_numpy(counts).to(self.device, non_blocking=True)
            losses = self._losses(patterns, measured)
            yield (
                (losses if weights is None else losses * weights).sum() / self.mean_counts,
                len(index),
            )

    def _losses(self, patterns: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        floor = FLOOR * self.mean_counts / self.disc_pixels
        if self.loss == "amplitude":
            return 2 * ((patterns + 1e-12 * self.mean_counts).sqrt() - counts.sqrt()).square()
        # As if both had a known background: the best fit stays where it is, and single electrons
        # in pixels that the model has dark do not outweigh the disc.
        raised = counts + floor
        return patterns - counts - raised * ((patterns + floor) / raised).log()

    @property
    def aperture_radius(self) -> float:
        """Spatial frequency of the aperture's edge [1/Å]."""
        assert self.acquisition.beam_energy is not None
        assert self.acquisition.convergence_angle is not None
        return 1e-3 * self.acquisition.convergence_angle / wavelength(self.acquisition.beam_energy)

    @property
    def disc_pixels(self) -> float:
        """Detector pixels of the bright-field disc."""
        assert self.acquisition.convergence_angle is not None
        assert self.acquisition.diffraction_step is not None
        step_y, step_x = self.acquisition.diffraction_step
        return max(1.0, np.pi * self.acquisition.convergence_angle**2 / (step_y * step_x))

    def _descan(self, plane: torch.Tensor, index: NDArray[np.int64]) -> torch.Tensor:
        """How far the patterns of some positions are shifted on the detector [px]."""
        place = np.stack(np.divmod(index, self.geometry.scan_shape[1]), axis=1)
        half = np.maximum(0.5, (np.array(self.geometry.scan_shape) - 1) / 2)
        along = torch.from_numpy((place / half - 1).astype(np.float32)).to(self.device)
        return plane[:, 0] + along @ plane[:, 1:].T

    def thickness(self, parts: Mapping[str, torch.Tensor]) -> torch.Tensor | float | None:
        """From slice to slice [Å], refined or as it was given."""
        if self.slice_thickness is None or "slice_thickness" not in parts:
            return self.slice_thickness
        return self.slice_thickness * parts["slice_thickness"].exp()

    def propagator(self, parts: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """Free space from slice to slice; a tilt [mrad], (y, x), moves slices sideways."""
        distance = self.thickness(parts)
        if distance is None:
            return None
        tilt = parts.get("tilt")
        assert self.acquisition.beam_energy is not None
        ky, kx = (
            torch.from_numpy(axis.astype(np.float32)).to(self.device) for axis in self.frequencies()
        )
        phase = -torch.pi * wavelength(self.acquisition.beam_energy) * distance * (ky**2 + kx**2)
        if tilt is not None:
            shift = distance * 1e-3 * tilt
            phase = phase + 2 * torch.pi * (ky * shift[0] + kx * shift[1])
        return torch.polar(torch.ones_like(phase), phase)

    @functools.cached_property
    def expected_curvature(self) -> list[NDArray[np.float64]]:
        """Curvature of the mean loss over the object's frequencies, for each channel."""
        shape, sampling = self.geometry.shape, self.geometry.sampling
        largest = float(np.hypot(0.5 / sampling[0], 0.5 / sampling[1]))
        expected = curvature(self.acquisition, largest)
        # Positions that see a pixel, over all positions, which the mean loss divides by.
        share = np.prod(sampling) / np.prod(self.geometry.scan_step) / len(self.geometry.positions)
        kinds = [False, True] if self.object_type == "complex" else [False]
        return [
            share * expected.on_grid(shape, sampling, absorption=absorption) for absorption in kinds
        ]


def _blurred(patterns: torch.Tensor, blur: float) -> torch.Tensor:
    """Patterns convolved with the detector's point spread, a Gaussian."""
    frequencies = (torch.fft.fftfreq(size, device=patterns.device) for size in patterns.shape[-2:])
    y, x = (torch.exp(-2 * (torch.pi * blur * frequency) ** 2) for frequency in frequencies)
    spectrum = torch.fft.fft2(patterns) * y[:, None] * x
    return torch.fft.ifft2(spectrum).real.clamp(min=0)
