"""The object that a reconstruction begins with, and what is expected of its spectrum."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.imaging.center_of_mass import center_of_mass
from stem_plugins.imaging.direct_ptychography import ssb
from stem_plugins.imaging.field import vector_field
from stem_plugins.imaging.icom import icom
from stem_plugins.ptychography.choices import Choices
from stem_plugins.ptychography.image_spectra import fourier_rings
from stem_plugins.ptychography.objective import Objective, Parts
from stem_plugins.ptychography.probes import probe_modes
from stem_plugins.ptychography.result import PtychographyResult

__all__ = ["direct_object", "empty_object", "expected_power", "integrated_object"]

#: Illumination, in parts of the largest, from which on a pixel of the object is known.
LIT = 0.3


def empty_object(objective: Objective, slices: int) -> torch.Tensor:
    """Vacuum, (channels, slices, y, x)."""
    channels = 2 if objective.object_type == "complex" else 1
    return torch.zeros(channels, slices, *objective.geometry.shape, device=objective.device)


def direct_object(objective: Objective, slices: int) -> torch.Tensor:
    """The phase of direct ptychography, shared out among the slices; zero outside the scan."""
    image = np.asarray(ssb(objective.measurements.data, objective.acquisition))
    return _placed(objective, np.angle(image), slices)


def integrated_object(objective: Objective, slices: int) -> torch.Tensor:
    """The phase of the integrated centre of mass, shared out in the same way.

    It is smeared by the probe, but needs neither its aberrations nor a thin specimen, and its slow
    changes are right.
    """
    measured = objective.measurements
    mask = measured.survey.weights > 0
    com = center_of_mass(measured.data, mask=mask, center=measured.center)
    # An error of the centre, and descan, would be a slope and a bowl of the phase.
    field = vector_field(com, objective.acquisition, descan="plane")
    image = np.asarray(icom(field.vectors, scan_step=field.scan_step))
    return _placed(objective, image, slices)


def earlier_parts(
    objective: Objective, choices: Choices, earlier: PtychographyResult, *, keep_probe: bool
) -> Parts:
    """Object and probe of an earlier result, and what else it refined that still is.

    Parameters
    ----------
    objective
        Of the reconstruction that begins.
    choices
        Its options; slices share the earlier phase evenly where there are more or less of them.
    earlier
        A result of the same scan and calibration.
    keep_probe
        Whether no other probe was given.

    Raises
    ------
    ValueError
        The result is that of another scan or calibration, or holds no state.
    """
    shown = {
        name.removeprefix("shown."): torch.from_numpy(np.array(value)).to(objective.device)
        for name, value in earlier.state.items()
        if name.startswith("shown.")
    }
    if "object" not in shown:
        raise ValueError(
            "The result that is to be the first guess was saved without its state; give another."
        )
    shape, step = objective.geometry.shape, objective.acquisition.scan_step
    if tuple(shown["object"].shape[-2:]) != tuple(shape) or earlier.acquisition.scan_step != step:
        raise ValueError(
            "The result that is to be the first guess is one of another scan or calibration: its "
            f"object has {tuple(shown['object'].shape[-2:])} pixels, and here it has {shape}."
        )
    found: Parts = {"object": _with_slices(shown["object"], objective, choices.slices)}
    if keep_probe:
        modes = _with_modes(earlier.probe, choices.probe_modes)
        wave = torch.from_numpy(modes).to(objective.device)
        found["probe"] = torch.view_as_real(wave).contiguous()
    for name in choices.refine:
        if name in shown:
            found[name] = shown[name]
    return found


def _with_slices(earlier: torch.Tensor, objective: Objective, slices: int) -> torch.Tensor:
    found = empty_object(objective, slices)
    channels = min(len(found), len(earlier))
    if earlier.shape[1] != slices:
        earlier = earlier.sum(dim=1, keepdim=True) / slices
    found[:channels] = earlier[:channels]
    return found


def _with_modes(earlier: NDArray[np.complex64], count: int) -> NDArray[np.complex64]:
    """As many modes as are asked for, with ``Σ|P|² = 1``."""
    modes = earlier[:count] if count <= len(earlier) else probe_modes(earlier[0], count)
    return (modes / np.linalg.norm(modes)).astype(np.complex64)


def _placed(objective: Objective, phase: NDArray[np.floating], slices: int) -> torch.Tensor:
    """A phase [rad] with one pixel per position, on the object's grid."""
    found = empty_object(objective, slices)
    placed = objective.geometry.from_scan(phase.astype(np.float32)) / slices
    found[0] = torch.from_numpy(placed).to(objective.device)
    return found


def expected_power(
    objective: Objective, parts: Parts, before: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Estimate how strong the object is at each spatial frequency, from an estimate of it.

    One step of the expectation–maximisation algorithm for a Gaussian object whose power depends
    on |k| only: the mean over all directions of the estimate's power, and of what the estimate
    leaves uncertain, which follows from the electrons and the curvature of the likelihood
    (A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Stat. Soc. B 39, 1 (1977)).

    Parameters
    ----------
    objective
        Of the estimate.
    parts
        The estimate.
    before
        The power that it was made with; ``None``: it was made without.

    Returns
    -------
    ndarray, shape (channels, y, x)
        Mean ``|FFT|²`` with unit norm, over the frequencies of the object.
    """
    geometry = objective.geometry
    images = parts["object"].sum(dim=1).cpu().numpy().astype(float)
    intensity = parts["probe"].square().sum(dim=(0, -1)).cpu().numpy()
    light = geometry.illumination(intensity)
    # Unlit, the object is not known and shows no power.
    lit = float(np.mean(light > LIT * light.max()))
    power = np.abs(np.fft.fft2(images, norm="ortho")) ** 2 / lit
    if before is not None:
        electrons = objective.electrons * len(geometry.positions)
        known = np.stack([electrons * one for one in objective.expected_curvature])
        power += 1 / (known + 1 / before)
    rings = fourier_rings(geometry.shape, geometry.sampling)
    return np.stack([rings.averaged(one) for one in power])
