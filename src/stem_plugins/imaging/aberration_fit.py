"""Aberrations and rotation from the overlaps of diffraction discs.

Where the lens is described rightly, all detector pixels that see a spatial frequency of the
specimen agree on its amplitude; where it is not, they contradict each other. The likelihood of a
description is therefore what the weighted sums of `stem_plugins.imaging.overlap_kernel` explain,
``Σ_Q |Σ_k Γ* G|² / Σ_k |Γ|²``, over the frequencies that the specimen shows best.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from stem_plugins.imaging.center_of_mass import scan_frame_matrix
from stem_plugins.imaging.direct_ptychography import DirectTask, plan, spectra_of_pixels
from stem_plugins.imaging.moments import check_4d
from stem_plugins.imaging.overlap_kernel import lens_of, overlap
from stem_plugins.optics.aberrations import aberration_coefficients
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["AberrationFit", "fit_aberrations"]

#: Frequencies of the specimen that are looked at.
FREQUENCIES = 120

#: Detector pixels that are looked at, evenly chosen: more take longer and tell little.
PIXELS = 250

#: Defoci that are tried first, in units of λ/α².
DEFOCI = np.arange(-24, 24.1, 0.5)

#: What can be fitted: order and multiplicity of each aberration.
ABERRATIONS = {
    "defocus": (1, 0),
    "astigmatism": (1, 2),
    "coma": (2, 1),
    "trefoil": (2, 3),
    "spherical": (3, 0),
}

#: Step of a fitted rotation [deg] that weighs as much as a radian of phase at the aperture's edge.
ROTATION_UNIT = 5.0

#: Largest change of a given rotation [deg]: a half turn of a mirrored lens looks the same.
LARGEST_TURN = 30.0


@dataclasses.dataclass(frozen=True)
class AberrationFit:
    """What the overlaps say about the lens.

    Parameters
    ----------
    acquisition
        The calibration with the fitted values.
    explained
        Part of the signal at the chosen frequencies, noise included, that it explains, 0 to 1.
    explained_before
        The same for the calibration that was given.
    """

    acquisition: Acquisition
    explained: float
    explained_before: float


def fit_aberrations(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    *,
    fit: Sequence[str] = ("defocus", "astigmatism"),
) -> AberrationFit:
    """Find low-order aberrations and the rotation that make the diffraction overlaps agree.

    Parameters
    ----------
    data, acquisition
        As for `stem_plugins.ssb`; dask data are read at once. Values that are fitted are where
        the search begins.
    fit
        What to fit: ``"defocus"``, ``"astigmatism"``, ``"coma"``, ``"trefoil"``,
        ``"spherical"``, ``"rotation"``.

    Returns
    -------
    AberrationFit

    Raises
    ------
    MissingCalibrationError
        As for `stem_plugins.ssb`.
    ValueError
        As for `stem_plugins.ssb`; nothing or something unknown is to be fitted; or the data show
        no frequency of the specimen above the noise.

    Notes
    -----
    Defoci within 24 λ/α² of the given one are searched (1200 Å at 300 keV and 20 mrad), rotations
    within 30° of the given one: a half turn with all aberrations reversed explains a scan as well
    and turns the contrast over, so the rotation must be known that far (`estimate_rotation`).
    Aberrations are those at half the height of the specimen.

    Examples
    --------
    >>> from stem_plugins import Acquisition
    >>> from stem_plugins.simulation import graphene, simulate_scan
    >>> true = Acquisition(
    ...     beam_energy=80, convergence_angle=30, scan_step=0.4, diffraction_step=4, defocus=60
    ... )
    >>> scan = simulate_scan(graphene(), true, scan_shape=(16, 16), detector_shape=(24, 24))
    >>> found = fit_aberrations(
    ...     scan.data, scan.acquisition.replace(defocus=0), fit=["defocus"]
    ... )
    >>> bool(abs(found.acquisition.defocus - 60) < 3)
    True
    """
    unknown = sorted(set(fit) - {*ABERRATIONS, "rotation"})
    if unknown or not fit:
        raise ValueError(
            f"fit must name some of {', '.join(ABERRATIONS)} and rotation, not {list(fit)!r}."
        )
    data = check_4d(data)
    task = plan(data, acquisition)
    measured = _strong_frequencies(*_spectra(data, task), task)
    names = [name for name in (*ABERRATIONS, "rotation") if name in fit]
    model = _Model(task.acquisition, names, measured)
    start = model.start()
    if "defocus" in names:
        place = model.slot("defocus")
        tries = [start + place * defocus for defocus in DEFOCI]
        start = max(tries, key=model.explained)
    best = scipy.optimize.minimize(
        lambda values: -model.explained(values),
        start,
        method="Nelder-Mead",
        options={
            "initial_simplex": _simplex(start),
            "xatol": 1e-3,
            "fatol": 1e-7,
            "maxfev": 400 * len(start),
        },
    )
    found = max((start, best.x), key=model.explained)
    return AberrationFit(
        model.acquisition(found),
        float(model.explained(found)),
        float(model.explained(model.start())),
    )


def _simplex(start: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.vstack([start, start + 0.3 * np.eye(len(start))])


@dataclasses.dataclass(frozen=True, eq=False)
class _Measured:
    """G at some frequencies, of some pixels."""

    spectra: NDArray[np.complex64]  # (frequencies, pixels)
    #: λQ [rad] in the scan frame, (frequencies, 2).
    frequencies: NDArray[np.float64]
    #: Of the pixels [rad], turned into the scan frame by the given rotation, (pixels, 2).
    angles: NDArray[np.float64]
    #: Width of the aperture's edge [rad].
    edge: float
    power: float


def _spectra(
    data: np.ndarray | da.Array, task: DirectTask
) -> tuple[NDArray[np.complex64], NDArray[np.float64]]:
    """G of as many pixels as memory is meant to hold, evenly chosen, and their angles."""
    first = next(task.groups())
    chosen = slice(None, None, -(-len(task.angles) // min(PIXELS, first.stop - first.start)))
    return spectra_of_pixels(data, task, chosen), task.angles[chosen]


def _strong_frequencies(
    spectra: NDArray[np.complex64], angles: NDArray[np.float64], task: DirectTask
) -> _Measured:
    power = np.sum(spectra.real**2 + spectra.imag**2, axis=0, dtype=float)
    frequency = np.stack(np.broadcast_arrays(task.frequencies[0][:, None], task.frequencies[1]), -1)
    size = np.hypot(*np.moveaxis(frequency, -1, 0))
    # Beyond that the discs do not overlap, and the very slow is the edge of the scan.
    semi_angle = task.lens.semi_angle
    useful = (size < 1.7 * semi_angle) & (size > 0)
    far = power[size > 2.2 * semi_angle]
    noise = np.median(far) if far.size >= 50 else np.median(power[useful]) if useful.any() else 0.0
    best = np.argsort(np.where(useful, power, -1).ravel())[::-1][:FREQUENCIES]
    # The noise of n pixels adds up to this much more than its mean in one case of a million.
    best = best[power.ravel()[best] > (1 + 5 / np.sqrt(len(spectra))) * noise]
    if not best.size or not useful.any():
        raise ValueError(
            "No spatial frequency of the specimen stands out from the noise within what the "
            "aperture transfers: the aberrations cannot be found in these data."
        )
    chosen = spectra.reshape(len(spectra), -1)[:, best].T
    return _Measured(
        np.ascontiguousarray(chosen),
        frequency.reshape(-1, 2)[best],
        angles,
        task.lens.edge,
        float(np.sum(np.abs(chosen) ** 2)),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Model:
    """The lens as numbers of about one, and how well it explains the measurements."""

    given: Acquisition
    names: list[str]
    measured: _Measured

    def _unit(self, name: str) -> float:
        """Å that make about a radian of phase at the edge of the aperture; degrees of rotation."""
        if name == "rotation":
            return ROTATION_UNIT
        assert self.given.beam_energy is not None
        assert self.given.convergence_angle is not None
        order = ABERRATIONS[name][0]
        return wavelength(self.given.beam_energy) / (self.given.convergence_angle * 1e-3) ** (
            order + 1
        )

    def _sizes(self) -> list[int]:
        return [2 if ABERRATIONS.get(name, (0, 0))[1] else 1 for name in self.names]

    def slot(self, name: str) -> NDArray[np.float64]:
        """Unit vector of a quantity that is one number."""
        place = sum(self._sizes()[: self.names.index(name)])
        return np.eye(sum(self._sizes()))[place]

    def start(self) -> NDArray[np.float64]:
        """The values that were given."""
        known = aberration_coefficients(self.given.aberrations, self.given.defocus)
        values: list[float] = []
        for name in self.names:
            if name == "rotation":
                values.append(0.0)
                continue
            n, m = ABERRATIONS[name]
            length = known.get(f"C{n}{m}", 0.0) / self._unit(name)
            turn = m * known.get(f"phi{n}{m}", 0.0)
            values += [length * np.cos(turn), length * np.sin(turn)] if m else [length]
        return np.array(values)

    def acquisition(self, values: NDArray[np.float64]) -> Acquisition:
        """Return the calibration that these numbers mean."""
        known = aberration_coefficients(self.given.aberrations, self.given.defocus)
        ends = list(itertools.accumulate(self._sizes()))
        changes: dict[str, Any] = {}
        for name, first, last in zip(self.names, [0, *ends], ends, strict=False):
            part = values[first:last] * self._unit(name)
            if name == "rotation":
                changes["scan_rotation"] = (self.given.scan_rotation or 0.0) + float(part[0])
                continue
            n, m = ABERRATIONS[name]
            known[f"C{n}{m}"] = float(part[0] if not m else np.hypot(*part))
            if m:
                known[f"phi{n}{m}"] = float(np.arctan2(part[1], part[0]) / m)
        defocus = -known.pop("C10") if "C10" in known else self.given.defocus
        return self.given.replace(defocus=defocus, aberrations=known, **changes)

    def explained(self, values: NDArray[np.float64]) -> float:
        """Part of the measured power that the lens explains."""
        acquisition, turn = self.acquisition(values), 0.0
        if "rotation" in self.names:
            turn = acquisition.scan_rotation - (self.given.scan_rotation or 0.0)  # type: ignore[operator]
            if abs(turn) > LARGEST_TURN:
                return 0.0
        angles = self.measured.angles @ scan_frame_matrix(turn, flip_y=False).T
        lens = lens_of(acquisition, angles, self.measured.edge)
        weights = overlap(angles, self.measured.frequencies, lens)
        signal = np.abs(np.sum(weights.conj() * self.measured.spectra, axis=1)) ** 2
        weight = np.sum(np.abs(weights) ** 2, axis=1)
        return float(np.sum(signal / np.maximum(weight, 1e-12)) / self.measured.power)
