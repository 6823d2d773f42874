"""Specimens of the ptychography benchmarks, each with its own random structure.

The scan of the gold particle: 300 kV, 20 mrad, 100 Å underfocus, 24 × 24 positions of 1.6 Å,
64 × 64 detector pixels of 0.8 mrad; multislice with slices of 2 Å. None of these seeds was used to
choose defaults.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.spatial
import scipy.spatial.transform
from numpy.typing import NDArray

from stem_plugins import Acquisition
from stem_plugins.optics import interaction_constant, wavelength
from stem_plugins.simulation import Atoms, simulate_scan
from stem_plugins.simulation.specimen import potential_on_grid

CARBON, GOLD = 6, 79
GOLD_CELL = 4.078  # [Å]
CARBON_DENSITY = 0.1  # atoms per Å³: 2.0 g/cm³
CARBON_DISTANCE = 1.35  # of two atoms, at least [Å]
THERMAL = {CARBON: 0.07, GOLD: 0.085}  # [Å]
SIDE, STEP, DETECTOR = 24, 1.6, 64
#: Specimen beyond the outermost scan positions [Å].
MARGIN = 16.0

#: Of two thin layers, for depth [Å], and how many atoms each has.
LAYER_ATOMS = 60

ACQUISITION = Acquisition(
    beam_energy=300,
    convergence_angle=20,
    scan_step=STEP,
    diffraction_step=0.8,
    center=(DETECTOR // 2, DETECTOR // 2),
    defocus=100.0,
    scan_rotation=0.0,
    flip_y=False,
)


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Patterns, and the phase that a perfect reconstruction shows."""

    #: Expected parts of the beam, (scan_y, scan_x, ky, kx).
    data: NDArray[np.float32]
    acquisition: Acquisition
    atoms: Atoms
    origin: tuple[float, float]

    def counts(self, dose: float | None, seed: int = 0) -> NDArray[np.float32]:
        """Draw the counts of a dose [e/Å²]; ``None``: what is expected of 1e6 electrons."""
        if dose is None:
            return self.data * np.float32(1e6)
        step = self.acquisition.scan_step
        assert step is not None
        electrons = dose * step[0] * step[1]
        return np.random.default_rng(seed).poisson(self.data * electrons).astype(np.float32)

    def phase(
        self, shape: tuple[int, int], sampling: tuple[float, float], origin: tuple[float, float]
    ) -> NDArray[np.floating]:
        """Project the potential onto a grid of the scan frame [rad]."""
        assert self.acquisition.beam_energy is not None
        start = (self.origin[0] + origin[0], self.origin[1] + origin[1])
        potential = potential_on_grid(self.atoms, shape, sampling, start)
        return interaction_constant(self.acquisition.beam_energy) * potential


def object_sampling(acquisition: Acquisition, detector: int = DETECTOR) -> float:
    """Pixel of the object [Å]: the wavelength over what the detector covers."""
    assert acquisition.beam_energy is not None
    assert acquisition.diffraction_step is not None
    return wavelength(acquisition.beam_energy) / (detector * 1e-3 * acquisition.diffraction_step[0])


def gold_on_carbon(seed: int, *, diameter: float = 23.0, thickness: float = 12.0) -> Atoms:
    """A turned ball of gold on a film of amorphous carbon, in the middle of the scan."""
    rng = np.random.default_rng(seed)
    side = (SIDE - 1) * STEP + 2 * MARGIN
    film = hard_spheres(rng, (thickness, side, side))
    count = int(np.ceil(diameter / GOLD_CELL)) + 1
    corners = np.indices((2 * count, 2 * count, 2 * count)).reshape(3, -1).T - count
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    lattice = (corners[:, None] + basis).reshape(-1, 3) * GOLD_CELL + rng.uniform(0, 2, 3)
    turned = scipy.spatial.transform.Rotation.random(rng=rng).apply(
        lattice[np.linalg.norm(lattice, axis=1) < diameter / 2]
    )
    middle = np.array([thickness + 1.0 + diameter / 2, side / 2, side / 2])
    positions = np.concatenate([film, turned + middle])
    numbers = np.repeat([CARBON, GOLD], [len(film), len(turned)])
    return Atoms(
        numbers,
        positions,
        (thickness + diameter + 3.0, side, side),
        np.array([THERMAL[number] for number in numbers]),
        periodic=False,
    )


def hard_spheres(
    rng: np.random.Generator,
    box: tuple[float, float, float],
    *,
    density: float = CARBON_DENSITY,
    distance: float = CARBON_DISTANCE,
) -> NDArray[np.float64]:
    """Random places that keep their distance, (n, 3): (z, y, x) [Å]."""
    wanted = int(density * np.prod(box))
    places = np.empty((0, 3))
    while len(places) < wanted:
        new = rng.uniform(0, box, (wanted, 3))
        new = new[[index < 0 for index in _first_neighbour(new, distance)]]
        if len(places):
            new = new[scipy.spatial.cKDTree(places).query(new)[0] >= distance]
        places = np.concatenate([places, new])[:wanted]
    return places


def _first_neighbour(places: NDArray[np.float64], distance: float) -> NDArray[np.int64]:
    """Index of an earlier place that lies too close, or -1."""
    earlier = np.full(len(places), -1)
    pairs = scipy.spatial.cKDTree(places).query_pairs(distance, output_type="ndarray")
    earlier[pairs[:, 1]] = pairs[:, 0]
    return earlier


def gold_benchmark(seed: int = 2026) -> Benchmark:
    """Scan the gold particle; seconds on one core."""
    atoms = gold_on_carbon(seed)
    origin = (MARGIN, MARGIN)
    scan = simulate_scan(
        atoms,
        ACQUISITION,
        scan_shape=(SIDE, SIDE),
        detector_shape=(DETECTOR, DETECTOR),
        scan_origin=origin,
        slice_thickness=2.0,
        workers=1,
    )
    return Benchmark(scan.data, scan.acquisition, atoms, origin)


def two_layers(distance: float, seed: int = 2027) -> tuple[Benchmark, list[Atoms]]:
    """Scan two thin layers of separate gold atoms, 30 mrad, and return them one by one too."""
    rng = np.random.default_rng(seed)
    side = (SIDE - 1) * STEP / 2 + 2 * MARGIN
    layers = []
    for height in (2.0, 2.0 + distance):
        places = hard_spheres(rng, (1.0, side, side), density=LAYER_ATOMS / side**2, distance=2.5)
        places[:, 0] = height
        layers.append(
            Atoms(
                np.full(len(places), GOLD),
                places,
                (distance + 4.0, side, side),
                np.full(len(places), THERMAL[GOLD]),
                periodic=False,
            )
        )
    both = dataclasses.replace(
        layers[0],
        numbers=np.concatenate([one.numbers for one in layers]),
        positions=np.concatenate([one.positions for one in layers]),
        displacements=np.concatenate([one.displacements for one in layers]),
    )
    acquisition = dataclasses.replace(
        ACQUISITION,
        convergence_angle=30,
        diffraction_step=1.2,
        defocus=120.0,
        scan_step=STEP / 2,
    )
    scan = simulate_scan(
        both,
        acquisition,
        scan_shape=(SIDE, SIDE),
        detector_shape=(DETECTOR, DETECTOR),
        scan_origin=(MARGIN, MARGIN),
        slice_thickness=distance / 4,
        workers=1,
    )
    return Benchmark(scan.data, scan.acquisition, both, (MARGIN, MARGIN)), layers
