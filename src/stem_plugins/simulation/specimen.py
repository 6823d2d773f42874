"""A specimen as a scan needs it: transmission functions in the detector's frame, cut per probe.

The simulation runs in the detector's frame: atoms and scan positions are turned (and mirrored)
into it, so that patterns come out as the camera stores them, without resampling.
"""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from stem_plugins.simulation.crystals import Atoms
from stem_plugins.simulation.multislice import transmission
from stem_plugins.simulation.potentials import projected_potential, slices

__all__ = [
    "TransmissionWindows",
    "atoms_within",
    "detector_frame",
    "potential_on_grid",
    "transmission_windows",
]

#: Reach of an atom's potential [Å]: atoms this far outside a region still count in it.
REACH = 5.0


def detector_frame(scan_rotation: float, flip_y: bool) -> NDArray[np.float64]:
    """Return the matrix M with ``v_detector = M v_scan`` for (y, x) vectors.

    Parameters
    ----------
    scan_rotation, flip_y
        As in `Acquisition`: detector vectors reach the scan frame by the flip ``y → -y`` and
        then ``x' = cos θ x - sin θ y``, ``y' = sin θ x + cos θ y``. M undoes that; it is
        orthogonal.

    Examples
    --------
    >>> (detector_frame(90.0, False) @ [1.0, 0.0]).round(12).tolist()
    [0.0, 1.0]
    """
    theta = np.deg2rad(scan_rotation)
    cos, sin = np.cos(theta), np.sin(theta)
    sign = -1.0 if flip_y else 1.0
    return np.array([[sign * cos, -sign * sin], [sin, cos]])


def atoms_within(
    atoms: Atoms, lower: NDArray[np.float64], upper: NDArray[np.float64], frame: NDArray[np.float64]
) -> Atoms:
    """Collect the atoms of a region, with the specimen repeated as often as the region asks.

    Parameters
    ----------
    atoms
        The specimen, in the scan frame.
    lower, upper
        Corners (y, x) of the region [Å], in the frame that `frame` leads to.
    frame
        Orthogonal matrix that turns (y, x) vectors of the scan frame.

    Returns
    -------
    Atoms
        The atoms inside the half-open region, with positions in the new frame relative to
        `lower`, not periodic.
    """
    cells = np.zeros((1, 2))
    if atoms.periodic:
        corners = np.array([[y, x] for y in (lower[0], upper[0]) for x in (lower[1], upper[1])])
        in_cells = corners @ frame / np.array(atoms.cell[1:])
        places = atoms.positions[:, 1:] / np.array(atoms.cell[1:])
        first = np.floor(in_cells.min(0) - places.max(0, initial=0.0)).astype(int)
        last = np.ceil(in_cells.max(0) - places.min(0, initial=0.0)).astype(int)
        count_y, count_x = (int(count) for count in last + 1 - first)
        cells = first + np.indices((count_y, count_x)).reshape(2, -1).T
    moved = (cells * np.array(atoms.cell[1:]))[:, None] + atoms.positions[:, 1:]
    turned = moved @ frame.T - lower
    # A site on the border belongs to the lower side, however its coordinates were rounded.
    inside = ((turned >= -1e-6) & (turned < upper - lower - 1e-6)).all(-1)
    cell_index, atom_index = np.nonzero(inside)
    part = atoms[atom_index]
    positions = np.column_stack([part.positions[:, 0], turned[cell_index, atom_index]])
    height, width = upper - lower
    cell = (atoms.cell[0], float(height), float(width))
    return Atoms(part.numbers, positions, cell, part.displacements, periodic=False)


@dataclasses.dataclass(frozen=True, eq=False)
class TransmissionWindows:
    """Transmission functions of a specimen, from which a window is cut around each probe.

    Parameters
    ----------
    arrays
        Complex transmission functions, shape (configurations, slices, ny, nx).
    origin
        Place of pixel (0, 0) [Å], in the detector's frame.
    pixel
        Pixel size [Å], (y, x).
    window
        Pixels of a window (y, x).
    slice_thickness
        Distance between slices [Å].
    periodic
        Whether one window is the whole specimen, which repeats exactly.
    """

    arrays: NDArray[np.complex64]
    origin: NDArray[np.float64]
    pixel: NDArray[np.float64]
    window: tuple[int, int]
    slice_thickness: float
    periodic: bool

    def corner(self, places: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the windows whose middle pixel is nearest to each probe.

        Parameters
        ----------
        places
            Probe positions [Å] in the detector's frame, shape (n, 2).

        Returns
        -------
        corners : ndarray of int, shape (n, 2)
            First pixel of each window.
        inside : ndarray, shape (n, 2)
            Place of the probe in its window [px]: the middle pixel and a fraction.
        """
        pixels = (places - self.origin) / self.pixel
        nearest = np.rint(pixels).astype(np.int64)
        middle = np.array(self.window) // 2
        corners = nearest - middle
        if self.periodic:
            corners %= np.array(self.window)
        return corners, pixels - nearest + middle

    def multiply(
        self,
        waves: NDArray[np.complex64],
        configurations: NDArray[np.int64],
        slice_index: int,
        corners: NDArray[np.int64],
    ) -> None:
        """Multiply each wave, in place, by its window of one slice.

        Parameters
        ----------
        waves
            Waves in real space, shape (n, window y, window x).
        configurations
            Frozen-phonon configuration of each wave, shape (n,).
        slice_index
            Which slice.
        corners
            First pixel of each window, shape (n, 2).
        """
        height, width = self.window
        for wave, configuration, (y, x) in zip(waves, configurations, corners, strict=True):
            wave *= self.arrays[configuration, slice_index, y : y + height, x : x + width]


def transmission_windows(
    atoms: Atoms,
    *,
    frame: NDArray[np.float64],
    places: NDArray[np.float64],
    box: NDArray[np.float64],
    window: tuple[int, int],
    beam_energy: float,
    slice_thickness: float | None,
    configurations: int,
    rng: np.random.Generator,
    workers: int | None = None,
) -> TransmissionWindows:
    """Compute the transmission functions of all that the probes of a scan can see.

    Parameters
    ----------
    atoms
        The specimen, in the scan frame.
    frame
        Matrix from scan to detector frame, from `detector_frame`.
    places
        Probe positions [Å] in the detector's frame, shape (n, 2).
    box
        Extent of a window [Å], (y, x).
    window
        Pixels of a window (y, x).
    beam_energy
        Energy of the electrons [keV].
    slice_thickness
        Wanted slice thickness [Å], or ``None`` for a single slice.
    configurations
        Number of frozen-phonon configurations; 0 smears the potential instead.
    rng
        Source of the frozen phonons.
    workers
        Threads; by default one per CPU.
    """
    pixel = box / np.array(window)
    periodic = _box_repeats(atoms, box, frame)
    if periodic:
        origin, shape = np.zeros(2), window
        part = atoms_within(atoms, origin, box, frame)
    else:
        origin = places.min(0) - box / 2 - pixel - REACH
        needed = places.max(0) + box / 2 + pixel + REACH - origin
        shape = tuple(scipy.fft.next_fast_len(int(np.ceil(n))) for n in needed / pixel)
        part = atoms_within(atoms, origin, origin + np.array(shape) * pixel, frame)
    variants = [part.displaced(rng) for _ in range(configurations)] or [part]
    step = (float(pixel[0]), float(pixel[1]))
    thickness = next(slices(part, slice_thickness)).cell[0]

    def transmissions(variant: Atoms) -> NDArray[np.complex64]:
        potentials = [
            projected_potential(one, shape, step, dtype=np.float32)
            for one in slices(variant, slice_thickness)
        ]
        return transmission(np.stack(potentials), beam_energy, step)

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        arrays = np.stack(list(pool.map(transmissions, variants)))
    if periodic:
        arrays = np.tile(arrays, (1, 1, 2, 2))
    return TransmissionWindows(arrays, origin, pixel, window, thickness, periodic)


def potential_on_grid(
    atoms: Atoms,
    shape: tuple[int, int],
    step: tuple[float, float],
    origin: tuple[float, float],
) -> NDArray[np.floating]:
    """Project the potential of a specimen onto a field of it, without wrapping at the edges.

    Parameters
    ----------
    atoms
        The specimen, in the scan frame.
    shape
        Points (y, x).
    step
        Distance of the points [Å], (y, x).
    origin
        Place of point (0, 0) [Å], (y, x).

    Returns
    -------
    ndarray, shape (ny, nx)
        Projected potential [V Å], band-limited to the points' frequencies.
    """
    margin = np.ceil(REACH / np.array(step)).astype(int)
    padded = np.array(shape) + 2 * margin
    lower = np.array(origin) - margin * np.array(step)
    part = atoms_within(atoms, lower, lower + padded * np.array(step), np.eye(2))
    potential = projected_potential(part, (int(padded[0]), int(padded[1])), step)
    return potential[margin[0] : -margin[0], margin[1] : -margin[1]]


def _box_repeats(atoms: Atoms, box: NDArray[np.float64], frame: NDArray[np.float64]) -> bool:
    """Whether the specimen repeats with the box, so that a window is exactly periodic."""
    quarter_turn = np.abs(frame).max(1).min() > 1 - 1e-9
    cells = np.abs(frame).T.round() @ box / np.array(atoms.cell[1:])
    whole = np.abs(cells - cells.round()).max() < 1e-5 and cells.min() > 0.5
    return bool(atoms.periodic and quarter_turn and whole)
