"""The forward model of ptychography and its gradient: what a detector records of some positions.

A scan position r, in pixels of the object, is an integer part, which selects the patch of the
object that the probe meets, and a fraction, by which the probe is moved in Fourier space:
``P_m(r) = IFFT(FFT(P_m) exp(-2πi k·f))``. Slices multiply the wave by their transmission, with
Fresnel propagation between them, and the detector adds up the intensities of all modes of the
probe, ``I = Σ_m |FFT ψ_m|²`` (unitary transform, zero frequency at index (0, 0)).

The gradient is written out: the adjoint of every step is known, and nothing but the waves before
each slice and at the end needs to be kept for it.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["diffraction_patterns"]


def diffraction_patterns(
    probe: torch.Tensor,
    transmission: torch.Tensor,
    corners: torch.Tensor,
    fractions: torch.Tensor,
    propagator: torch.Tensor | None = None,
    shifts: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute the patterns of some scan positions, with gradients for all that can be refined.

    Parameters
    ----------
    probe
        Modes of the probe in real space, (modes, ny, nx) complex, in a periodic window.
    transmission
        What each slice multiplies a wave by, (slices, height, width) complex; periodic.
    corners
        First row and column of each window on the object, (positions, 2) integer.
    fractions
        How far the probe is moved beyond that [px], (positions, 2), vectors (y, x).
    propagator
        From slice to slice, in Fourier space, (ny, nx) complex; needed for more than one slice.
    shifts
        How far the patterns are shifted on the detector [px], (positions, 2), vectors (y, x);
        ``None``: not at all.

    Returns
    -------
    torch.Tensor
        Intensities, (positions, ny, nx), zero frequency at index (0, 0). Their sum over a pattern
        is that of ``|probe|²`` where slices only shift phases and the propagator cuts nothing.

    Raises
    ------
    ValueError
        Shapes do not fit each other, or several slices come without a propagator.

    Examples
    --------
    >>> probe = torch.zeros(1, 8, 8, dtype=torch.complex64)
    >>> probe[0, 0, 0] = 1
    >>> vacuum = torch.ones(1, 12, 12, dtype=torch.complex64)
    >>> places = torch.tensor([[0, 0], [3, 7]])
    >>> patterns = diffraction_patterns(probe, vacuum, places, torch.zeros(2, 2))
    >>> patterns.shape, bool(torch.allclose(patterns.sum((1, 2)), torch.ones(2)))
    (torch.Size([2, 8, 8]), True)
    """
    _check(probe, transmission, corners, fractions, propagator, shifts)
    intensities: torch.Tensor = _Diffraction.apply(
        probe, transmission, fractions, corners, propagator, shifts
    )
    return intensities


def _check(
    probe: torch.Tensor,
    transmission: torch.Tensor,
    corners: torch.Tensor,
    fractions: torch.Tensor,
    propagator: torch.Tensor | None,
    shifts: torch.Tensor | None,
) -> None:
    for name, array, axes in (
        ("probe", probe, "(modes, ny, nx)"),
        ("transmission", transmission, "(slices, height, width)"),
    ):
        if array.ndim != 3 or not array.is_complex():
            raise ValueError(
                f"The {name} must be complex, {axes}, not {array.dtype} {tuple(array.shape)}."
            )
    if corners.ndim != 2 or corners.shape[1] != 2 or corners.shape != fractions.shape:
        raise ValueError(
            "corners and fractions must be (positions, 2) both, not "
            f"{tuple(corners.shape)} and {tuple(fractions.shape)}."
        )
    if shifts is not None and shifts.shape != fractions.shape:
        raise ValueError(f"shifts must be (positions, 2) too, not {tuple(shifts.shape)}.")
    if any(
        window > whole
        for window, whole in zip(probe.shape[1:], transmission.shape[1:], strict=True)
    ):
        raise ValueError(
            f"A probe of {tuple(probe.shape[1:])} pixels does not fit into an object of "
            f"{tuple(transmission.shape[1:])}: enlarge the object."
        )
    if len(transmission) > 1 and (propagator is None or propagator.shape != probe.shape[1:]):
        raise ValueError(
            f"{len(transmission)} slices need a propagator of the probe's shape, "
            f"{tuple(probe.shape[1:])}."
        )


class _Diffraction(torch.autograd.Function):
    """Shift the probe, send it through the slices, and add up intensities; and the way back."""

    @staticmethod
    def forward(
        context: Any,
        probe: torch.Tensor,
        transmission: torch.Tensor,
        fractions: torch.Tensor,
        corners: torch.Tensor,
        propagator: torch.Tensor | None,
        shifts: torch.Tensor | None,
    ) -> torch.Tensor:
        shape = (probe.shape[1], probe.shape[2])
        ramps = _ramps(fractions, shape)
        # (positions, modes, ny, nx)
        spectrum = torch.fft.fft2(probe) * ramps[:, None]
        wave = torch.fft.ifft2(spectrum)
        places = _places(corners, shape, (transmission.shape[1], transmission.shape[2]))
        incoming, patches, between = [], [], []
        for index, one in enumerate(transmission):
            if index:
                assert propagator is not None
                wave = torch.fft.fft2(wave)
                if propagator.requires_grad:
                    between.append(wave)
                wave = torch.fft.ifft2(wave * propagator)
            patch = one.reshape(-1).take(places)[:, None]
            incoming.append(wave)
            patches.append(patch)
            wave = wave * patch
        turned = None if shifts is None else _turning(shifts, shape)
        if turned is not None:
            wave = wave * turned[:, None]
            if context.needs_input_grad[5]:
                between.append(wave)
        wave = torch.fft.fft2(wave, norm="ortho")
        context.places, context.propagator, context.ramps = places, propagator, ramps
        context.object_shape, context.turned = transmission.shape, turned
        context.save_for_backward(spectrum, wave, *incoming, *patches, *between)
        return torch.view_as_real(wave).square().sum(dim=(1, -1))

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        spectrum, wave, *kept = context.saved_tensors
        slices = context.object_shape[0]
        incoming, patches, between = (
            kept[:slices],
            kept[slices : 2 * slices],
            kept[2 * slices :],
        )
        for_probe, for_object, for_fractions, _, for_propagator, for_shifts = (
            context.needs_input_grad
        )
        back = torch.fft.ifft2(_times_real(wave, 2 * gradient[:, None]), norm="ortho")
        of_object = of_propagator = of_shifts = None
        if context.turned is not None:
            if for_shifts:
                of_shifts = _shift_gradient(back, between[-1])
            back = back * context.turned[:, None].conj()
        if for_object:
            of_object = back.new_zeros(context.object_shape)
        for index in range(slices - 1, -1, -1):
            if of_object is not None:
                parts = (back * incoming[index].conj()).sum(dim=1)
                flat = of_object[index].reshape(-1)
                flat.index_add_(0, context.places.reshape(-1), parts.reshape(-1))
            if not (index or for_probe or for_fractions):
                break
            back = back * patches[index].conj()
            if index:
                back = torch.fft.fft2(back)
                if for_propagator:
                    # Adjoint of the inverse transform, whose norm is 1/n.
                    part = (back * between[index - 1].conj()).sum(dim=(0, 1)) / back[0, 0].numel()
                    of_propagator = part if of_propagator is None else of_propagator + part
                back = torch.fft.ifft2(back * context.propagator.conj())
        of_probe = of_fractions = None
        if for_probe or for_fractions:
            # Adjoint of the inverse transform, whose norm is 1/n.
            back = torch.fft.fft2(back, norm="forward")
            if for_fractions:
                of_fractions = _fraction_gradient(back, spectrum)
            if for_probe:
                summed = (back * context.ramps[:, None].conj()).sum(dim=0)
                # Adjoint of the forward transform, which has no norm.
                of_probe = torch.fft.ifft2(summed, norm="forward")
        return of_probe, of_object, of_fractions, None, of_propagator, of_shifts


def _times_real(wave: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Multiply complex by real numbers, which torch would make complex first."""
    return torch.view_as_complex(torch.view_as_real(wave) * factor[..., None])


def _ramps(fractions: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Phase ramps that move a window by these fractions of a pixel, (positions, ny, nx)."""
    lines = []
    for axis, size in enumerate(shape):
        frequency = torch.fft.fftfreq(size, device=fractions.device, dtype=fractions.dtype)
        phase = -2 * torch.pi * fractions[:, axis, None] * frequency
        lines.append(torch.polar(torch.ones_like(phase), phase))
    return lines[0][:, :, None] * lines[1][:, None, :]


def _turning(shifts: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Phase ramps over the window that shift patterns by these pixels, (positions, ny, nx)."""
    lines = []
    for axis, size in enumerate(shape):
        phase = 2 * torch.pi * shifts[:, axis, None] * _across(size, shifts)
        lines.append(torch.polar(torch.ones_like(phase), phase))
    return lines[0][:, :, None] * lines[1][:, None, :]


def _across(size: int, like: torch.Tensor) -> torch.Tensor:
    """Places in the window in parts of its side, zero where the middle of the probe is."""
    dtype = torch.float64 if like.dtype in (torch.float64, torch.complex128) else torch.float32
    return torch.arange(size, device=like.device, dtype=dtype) / size - size // 2 / size


def _shift_gradient(back: torch.Tensor, turned_wave: torch.Tensor) -> torch.Tensor:
    """Gradient for the shifts from that for the wave that they have turned, (positions, 2)."""
    # d/ds exp(2πi s·r) = 2πi r exp(...), and Re(conj(g) i w) = -Im(conj(g) w).
    product = (back.conj() * turned_wave).imag.sum(dim=1)
    columns = []
    for axis, size in ((1, product.shape[1]), (2, product.shape[2])):
        line = product.sum(dim=3 - axis)
        columns.append(-2 * torch.pi * (line * _across(size, line)).sum(dim=1))
    return torch.stack(columns, dim=1)


def _places(corners: torch.Tensor, shape: tuple[int, int], whole: tuple[int, int]) -> torch.Tensor:
    """Flat index of every pixel of every patch in the periodic object, (positions, ny, nx)."""
    rows, columns = (
        (corners[:, axis, None] + torch.arange(shape[axis], device=corners.device)) % whole[axis]
        for axis in (0, 1)
    )
    return rows[:, :, None] * whole[1] + columns[:, None, :]


def _fraction_gradient(back: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
    """Gradient for the fractions from that for the moved spectrum, (positions, 2)."""
    # d/df exp(-2πi k·f) = -2πi k exp(...), and Re(conj(g) (-i) s) = Im(conj(g) s).
    product = (back.conj() * spectrum).imag.sum(dim=1)
    columns = []
    for axis, size in ((1, product.shape[1]), (2, product.shape[2])):
        frequency = torch.fft.fftfreq(size, device=product.device, dtype=product.dtype)
        line = product.sum(dim=3 - axis)
        columns.append(2 * torch.pi * (line * frequency).sum(dim=1))
    return torch.stack(columns, dim=1)
