"""The object that a reconstruction begins with, and what is expected of its spectrum."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.imaging.center_of_mass import center_of_mass
from stem_plugins.imaging.direct_ptychography import ssb
from stem_plugins.imaging.field import vector_field
from stem_plugins.imaging.icom import icom
from stem_plugins.ptychography.image_spectra import fourier_rings
from stem_plugins.ptychography.objective import Objective, Parts

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
