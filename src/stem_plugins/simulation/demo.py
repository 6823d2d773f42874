"""The specimen and the experiment of ``stem-plugins demo``."""

from __future__ import annotations

import numpy as np

from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.simulation.crystals import Atoms, strontium_titanate
from stem_plugins.simulation.scan import Progress, SimulatedScan, simulate_scan

__all__ = ["demo_scan", "demo_specimen"]

#: Unit cells of SrTiO3 along the beam.
THICKNESS_CELLS = 5

#: The demo's experiment, as a user would calibrate it.
ACQUISITION = Acquisition(
    beam_energy=200.0,
    convergence_angle=22.0,
    scan_step=(0.2, 0.2),
    diffraction_step=(4.0, 4.0),
    center=(24.2, 22.9),
    scan_rotation=15.0,
    flip_y=False,
    defocus=0.0,
)


def demo_specimen(extent: tuple[float, float]) -> Atoms:
    """Cut a crystal of SrTiO₃ [001] with an edge to vacuum.

    Parameters
    ----------
    extent
        Size of the field of view (y, x) [Å], which the crystal overfills on three sides.

    Returns
    -------
    Atoms
        The crystal, not periodic; a slanting edge leaves the field's lower right corner empty.

    Examples
    --------
    >>> demo_specimen((12.0, 12.0)).periodic
    False
    """
    cell = strontium_titanate(THICKNESS_CELLS)
    border = 3
    ny, nx = (int(np.ceil(length / cell.cell[1])) + 2 * border for length in extent)
    block = cell.repeat(1, ny, nx)
    positions = block.positions - np.array([0.0, 1.0, 1.0]) * border * cell.cell[1]
    # The edge follows (210) and (410) planes: 1 beyond them is vacuum.
    y, x = positions[:, 1] / extent[0], positions[:, 2] / extent[1]
    kept = (y + 0.5 * x < 1.18) & (0.25 * y + x < 1.05)
    return Atoms(
        block.numbers[kept],
        positions[kept],
        (cell.cell[0], *extent),
        block.displacements[kept],
        periodic=False,
    )


def demo_scan(
    scan_shape: tuple[int, int] = (128, 128),
    *,
    dose: float | None = 3e4,
    seed: int | None = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> SimulatedScan:
    """Simulate the demo's 4D-STEM scan.

    SrTiO₃ [001], 20 Å thick, with an edge to vacuum, seen by multislice with frozen phonons: heavy
    columns (Sr), lighter ones (Ti with O) and light ones (O alone, which an annular dark field
    misses). 200 kV, 22 mrad, 48×48 detector pixels of 4 mrad, rotated by 15°.

    Parameters
    ----------
    scan_shape
        Scan positions (y, x), 0.2 Å apart.
    dose
        Electrons per area [e/Å²]; ``None`` gives expected intensities.
    seed
        Makes the scan reproducible.
    workers
        Threads; by default one per CPU.
    progress
        Called as ``progress(rows, total=number_of_rows)``, like `tqdm.tqdm`.

    Returns
    -------
    SimulatedScan
        Counts ``data[scan_y, scan_x, 48, 48]``, their calibration, and the true potential.

    Examples
    --------
    >>> demo_scan((3, 4)).data.shape
    (3, 4, 48, 48)
    """
    step = ACQUISITION.scan_step
    assert step is not None
    return simulate_scan(
        demo_specimen((scan_shape[0] * step[0], scan_shape[1] * step[1])),
        ACQUISITION,
        scan_shape=scan_shape,
        detector_shape=(48, 48),
        slice_thickness=3.905,
        phonon_configurations=8,
        phonons_per_position=1,
        dose=dose,
        seed=seed,
        workers=workers,
        progress=progress,
    )
