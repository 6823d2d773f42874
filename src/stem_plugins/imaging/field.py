"""Fields from a vector map: calibrated deflections, electric field, divergence, colours."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np

from stem_plugins.imaging.center_of_mass import (
    as_pair,
    check_finite,
    check_vectors,
    linear_map,
    remove_descan,
    scan_frame_matrix,
)
from stem_plugins.lazy.blocks import map_whole
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import interaction_constant, wavelength

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["VectorField", "divergence", "electric_field", "field_colors", "vector_field"]


@dataclasses.dataclass(frozen=True)
class VectorField:
    """A vector map in the scan frame, in the best unit that the calibration allows.

    Parameters
    ----------
    vectors
        (scan_y, scan_x, 2), vectors (y, x), NumPy or dask.
    unit
        ``"rad/Å"`` (phase gradient), ``"mrad"`` (deflection), or ``"px"`` of the detector.
    scan_step
        Distance of scan positions (y, x), in `step_unit`.
    step_unit
        ``"Å"``, or ``"px"``: scan positions.
    """

    vectors: np.ndarray | da.Array
    unit: str
    scan_step: tuple[float, float]
    step_unit: str

    @property
    def image_unit(self) -> str:
        """Unit of an image integrated from this field, by riCOM or iCOM."""
        return (
            "rad"
            if (self.unit, self.step_unit) == ("rad/Å", "Å")
            else (f"{self.unit}·{self.step_unit}")
        )

    @property
    def divergence_unit(self) -> str:
        """Unit of the divergence of this field."""
        return (
            f"{self.unit}/{self.step_unit}"
            if self.unit != "rad/Å"
            else ("rad/Å²" if self.step_unit == "Å" else "rad/(Å·px)")
        )


def vector_field(
    com: np.ndarray | da.Array,
    acquisition: Acquisition,
    *,
    descan: Literal["plane", "parabola"] | None = None,
    descan_where: np.ndarray | None = None,
) -> VectorField:
    """Calibrate a centre-of-mass map: descan off, into the scan frame, into physical units.

    Parameters
    ----------
    com
        From `center_of_mass`, (scan_y, scan_x, 2) [px], detector frame, NumPy or dask.
    acquisition
        Uses `scan_rotation` and `flip_y` (unknown: none), `diffraction_step` and `beam_energy`
        (both: rad/Å; step alone: mrad; else px), and `scan_step` (unknown: scan positions).
    descan
        As the model of `remove_descan`; ``None``: nothing is removed.
    descan_where
        Scan positions from which the descan is learnt, as ``where`` of `remove_descan`.

    Returns
    -------
    VectorField

    Raises
    ------
    ValueError
        `com` is no vector map.

    Notes
    -----
    The mean deflection angle θ of a thin specimen is the gradient of its phase φ, smeared by the
    probe: ``∇φ = 2π θ / λ`` (thesis eq. 3.2).

    Examples
    --------
    >>> com = np.ones((2, 2, 2))
    >>> vector_field(com, Acquisition(diffraction_step=0.5)).vectors[0, 0]
    array([0.5, 0.5])
    >>> field = vector_field(com, Acquisition(diffraction_step=1, beam_energy=200, scan_step=0.2))
    >>> field.unit, field.image_unit, field.vectors[0, 0].round(3)
    ('rad/Å', 'rad', array([0.251, 0.251]))
    """
    com = check_vectors(com)
    if descan is not None:
        com = remove_descan(com, model=descan, where=descan_where)
    scale, unit = np.ones(2), "px"
    if acquisition.diffraction_step is not None:
        scale, unit = np.array(acquisition.diffraction_step), "mrad"
        if acquisition.beam_energy is not None:
            scale, unit = scale * 2e-3 * np.pi / wavelength(acquisition.beam_energy), "rad/Å"
    matrix = scan_frame_matrix(acquisition.scan_rotation or 0.0, bool(acquisition.flip_y)) * scale
    step, step_unit = (1.0, 1.0), "px"
    if acquisition.scan_step is not None:
        step, step_unit = acquisition.scan_step, "Å"
    return VectorField(linear_map(com, matrix), unit, step, step_unit)


def electric_field(vectors: np.ndarray | da.Array, *, beam_energy: float) -> np.ndarray | da.Array:
    """Projected electric field of a thin specimen, smeared by the probe.

    Electrons are drawn to where the potential is high, against the field: with σ the interaction
    constant and φ = σ V_z the phase, ``E_z = -∇V_z = -∇φ / σ``.

    Parameters
    ----------
    vectors
        Phase gradient [rad/Å], (scan_y, scan_x, 2), in the scan frame, as `vector_field` gives it
        for calibrated data. NumPy or dask.
    beam_energy
        [keV].

    Returns
    -------
    numpy.ndarray or dask.array.Array
        Field times thickness [V], same shape; it points away from atoms.

    Raises
    ------
    ValueError
        `vectors` is no vector map, or the energy is not above zero.

    Examples
    --------
    >>> electric_field(np.array([[[0.0, 0.01]]]), beam_energy=200).round(1)
    array([[[ -0. , -13.7]]])
    """
    vectors = check_vectors(vectors)
    return -vectors / interaction_constant(beam_energy)


def divergence(
    vectors: np.ndarray | da.Array, *, scan_step: float | tuple[float, float] = 1.0
) -> np.ndarray | da.Array:
    """Divergence of a vector map by central differences (dCOM, differentiated COM).

    Parameters
    ----------
    vectors
        (scan_y, scan_x, 2), vectors (y, x) in the scan frame, NumPy or dask.
    scan_step
        Distance of scan positions, one number or (y, x).

    Returns
    -------
    numpy.ndarray or dask.array.Array
        (scan_y, scan_x): ``∂v_y/∂y + ∂v_x/∂x``. For deflections it is negative at atoms and
        proportional to minus the projected charge density; for the electric field it is
        positive there.

    Raises
    ------
    ValueError
        `vectors` is no vector map, or the scan has fewer than two rows or columns.

    Examples
    --------
    >>> y, x = np.indices((3, 3))
    >>> divergence(np.stack([2 * y, 3 * x], axis=-1))[1, 1]
    np.float64(5.0)
    """
    vectors = check_vectors(vectors)
    if min(vectors.shape[:2]) < 2:
        raise ValueError(f"A divergence needs two rows and columns, not {vectors.shape[:2]}.")
    step = as_pair(scan_step, "scan_step")
    return map_whole(_divergence, vectors, shape=vectors.shape[:2], step=step)


def _divergence(vectors: np.ndarray, *, step: tuple[float, float]) -> np.ndarray:
    vectors = check_finite(vectors)
    along_y = np.gradient(vectors[..., 0], step[0], axis=0)
    return along_y + np.gradient(vectors[..., 1], step[1], axis=1)


def field_colors(vectors: np.ndarray | da.Array, *, percentile: float = 99.5) -> np.ndarray:
    """Picture of a vector map: direction as hue, length as brightness.

    Parameters
    ----------
    vectors
        (scan_y, scan_x, 2), vectors (y, x), y down.
    percentile
        Length that gets full brightness, as a percentile of all lengths.

    Returns
    -------
    numpy.ndarray
        (scan_y, scan_x, 3) uint8, RGB. On screen: right is red, up is green-yellow (90° of the
        colour wheel), left is cyan, down is violet.

    Raises
    ------
    ValueError
        `vectors` is no vector map or holds NaN.

    Examples
    --------
    >>> field_colors(np.array([[[0.0, 1.0], [0.0, -1.0]]]))
    array([[[255,   0,   0],
            [  0, 255, 255]]], dtype=uint8)
    """
    from matplotlib.colors import hsv_to_rgb

    vectors = check_vectors(vectors)
    vectors = check_finite(np.asarray(vectors))
    length = np.hypot(vectors[..., 0], vectors[..., 1])
    brightest = np.percentile(length, percentile) or 1.0
    hue = np.arctan2(-vectors[..., 0], vectors[..., 1]) / (2 * np.pi) % 1.0
    value = np.clip(length / brightest, 0, 1)
    colors = hsv_to_rgb(np.stack([hue, np.ones_like(hue), value], axis=-1))
    return np.round(colors * 255).astype(np.uint8)
