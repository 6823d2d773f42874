"""How good the image can be that is stitched from exit waves, if these were known exactly.

    OMP_NUM_THREADS=1 python benchmarks/airpi_ceiling.py

True waves behind the five specimens of airpi_specimens.py, by multislice, go through the stitching
of the exit-wave design; figures are the correlation of the argument with the projected phase, and
its slope. "Lower face": waves and probe are referred to where the beam leaves the specimen, as in
the thesis; "half height": to its middle, as here. "Moving": another frozen-phonon configuration at
each position, of 32; the average of the images of so few moments is not the smeared phase. Phases
of gold exceed π: they are known from -π/2 to 3π/2, and compared by their cosine and sine as well.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from airpi import compared
from airpi_specimens import MATERIALS
from numpy.typing import NDArray

from stem_plugins.optics import interaction_constant
from stem_plugins.rapid_phase_imaging.stitching import Stitcher, object_phase
from stem_plugins.rapid_phase_imaging.wave_grid import angles, probe_wave
from stem_plugins.simulation import Atoms
from stem_plugins.simulation.batched_scan import PIXEL, WINDOW, free_flight
from stem_plugins.simulation.specimen import potential_on_grid
from stem_plugins.training.airpi_scans import Conditions
from stem_plugins.training.exit_wave_examples import simulated_waves

SIDE = 64

#: Steps of 0.19 Å: fourteen eighths of a pixel.
CONDITIONS = Conditions(300, 20, 14, (0j,) * 5, (0.0, 0.0), 32)


def stitched(waves: NDArray, probe: NDArray) -> NDArray[np.complex64]:
    step = (CONDITIONS.scan_step, CONDITIONS.scan_step)
    stitcher = Stitcher(probe, step, (0, SIDE), SIDE)
    for row in range(SIDE):
        stitcher.add(row, 0, waves[row])
    return stitcher.transmission((0, SIDE), 2)[0]


def flown(waves: NDArray, distance: float) -> NDArray[np.complex128]:
    """Waves sent through free space [Å]."""
    y, x = angles()
    flight = free_flight(300, distance, 20)
    spectra = np.fft.fft2(np.fft.ifftshift(waves, axes=(-2, -1)))
    spectra *= np.fft.ifftshift(np.exp(-1j * np.pi * flight * (y**2 + x**2)))
    return np.fft.fftshift(np.fft.ifft2(spectra), axes=(-2, -1))


def judged(image: NDArray, truth: NDArray) -> str:
    inside = slice(8, -8)
    phase, slope = compared(object_phase(image)[inside, inside], truth[inside, inside])
    wave = np.exp(1j * (truth - truth.mean()))[inside, inside]
    both = image[inside, inside]
    # Whatever the phase of the whole is.
    fit = abs(np.vdot(wave, both)) / np.linalg.norm(wave) / np.linalg.norm(both)
    return f"{phase:.3f} ({slope:.2f}) {fit:.3f}"


def row(atoms: Atoms) -> list[str]:
    step = CONDITIONS.scan_step * CONDITIONS.unit
    first = (WINDOW // 2 + 1) * PIXEL * CONDITIONS.unit
    truth = interaction_constant(300) * potential_on_grid(
        atoms, (2 * SIDE, 2 * SIDE), (step / 2, step / 2), (first, first)
    )
    probe = probe_wave(CONDITIONS.aberrations)
    found = []
    for at_rest in (True, False):
        waves = simulated_waves(
            CONDITIONS, np.random.default_rng(0), atoms=atoms, side=SIDE, at_rest=at_rest
        )
        if at_rest:
            below = atoms.cell[0] / 2
            lower = stitched(flown(waves, below), flown(probe, below))
            found.append(judged(lower, truth))
        found.append(judged(stitched(waves, probe), truth))
    return found


def main() -> None:
    torch.set_num_threads(1)
    print("stitching of true waves, 300 kV, 20 mrad, 0.19 Å: correlation (slope), that of exp(iφ)")
    heads = ("at rest, lower face", "at rest, half height", "moving, half height")
    print(" " * 24 + "".join(f"{head:>24}" for head in heads))
    for name, make in MATERIALS.items():
        print(f"{name:24}" + "".join(f"{one:>24}" for one in row(make())), flush=True)


if __name__ == "__main__":
    main()
