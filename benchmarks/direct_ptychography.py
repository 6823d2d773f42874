"""Direct ptychography against centre-of-mass images, on a twisted bilayer of MoS2.

300 kV, 20 mrad, in focus; 64 × 64 positions of 0.2 Å, 64 × 64 detector pixels to 60 mrad; frozen
phonons, six of 24 configurations for each position. Figures are the correlation of the image,
interpolated to 0.1 Å, with the projected phase there, and its slope against it (1: quantitative);
for finite doses means of five draws. CPU-seconds are of one thread, the smallest of five.

Beside our own rows stand the formulas written out in NumPy: the same Wiener estimate, and the
classical single side band, which takes the double overlaps on one side alone, summed, or divided
by what they transfer.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.fft

import stem_plugins as stem
from stem_plugins import Acquisition
from stem_plugins.optics import interaction_constant, wavelength
from stem_plugins.simulation import Atoms, molybdenum_disulfide, simulate_scan
from stem_plugins.simulation.specimen import potential_on_grid

SIDE, STEP, DETECTOR = 64, 0.2, 64
EXTENT = 40.0  # of the flake [Å]
TWIST = 9.0  # degrees
GAP = 6.2  # between the layers [Å]
DOSES = (None, 1e5, 1e4, 500.0)
DRAWS = 5

ACQUISITION = Acquisition(
    beam_energy=300,
    convergence_angle=20,
    scan_step=STEP,
    diffraction_step=120 / DETECTOR,
    center=((DETECTOR - 1) / 2,) * 2,
    scan_rotation=0,
    flip_y=False,
)


def bilayer() -> Atoms:
    """Two layers of MoS2, one turned against the other about the middle of the box."""
    cell = molybdenum_disulfide()
    count = int(np.ceil(1.6 * EXTENT / min(cell.cell[1:])))
    sheet = cell.repeat(1, count, count)
    flat = sheet.positions - np.array([0, *np.array(sheet.cell)[1:] / 2])
    layers = []
    for height, angle in ((0.0, 0.0), (GAP, np.deg2rad(TWIST))):
        cos, sin = np.cos(angle), np.sin(angle)
        layers.append(
            flat @ np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]) + np.array([height, 0, 0])
        )
    positions = np.concatenate(layers) + np.array([0.5, EXTENT / 2, EXTENT / 2])
    inside = (np.abs(positions[:, 1:] - EXTENT / 2) < EXTENT / 2).all(axis=1)
    positions[:, 0] -= positions[:, 0].min() - 0.5
    return Atoms(
        np.tile(sheet.numbers, 2)[inside],
        positions[inside],
        (positions[:, 0].max() + 0.5, EXTENT, EXTENT),
        np.tile(sheet.displacements, 2)[inside],
        periodic=False,
    )


def simulated(keep: Path | None) -> tuple[np.ndarray, Acquisition, np.ndarray]:
    """Expected patterns, their calibration, and the phase on a grid of half the step."""
    atoms, corner = bilayer(), (EXTENT - SIDE * STEP) / 2
    acquisition = ACQUISITION
    fine = potential_on_grid(atoms, (2 * SIDE,) * 2, (STEP / 2,) * 2, (corner, corner))
    if keep is not None and keep.exists():
        data = np.load(keep)
    else:
        data = simulate_scan(
            atoms,
            acquisition,
            scan_shape=(SIDE, SIDE),
            detector_shape=(DETECTOR, DETECTOR),
            scan_origin=(corner, corner),
            slice_thickness=2.0,
            phonon_configurations=24,
            phonons_per_position=6,
            oversample=2,
            seed=1,
        ).data
        if keep is not None:
            np.save(keep, data)
    return data, acquisition, interaction_constant(300) * fine


def methods(acquisition: Acquisition) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    def field(data: np.ndarray) -> np.ndarray:
        com = stem.center_of_mass(data, center=acquisition.center)
        return stem.vector_field(com, acquisition).vectors

    def direct(regularization: float | None) -> Callable[[np.ndarray], np.ndarray]:
        return lambda data: np.angle(stem.ssb(data, acquisition, regularization=regularization))

    return {
        "direct, from the noise": direct(None),
        "direct, ε = 0.001": direct(1e-3),
        "direct, ε = 0.1": direct(0.1),
        "direct, ε = 1": direct(1.0),
        "NumPy, ε = 0.1": lambda data: written_out(data, acquisition, "Wiener"),
        "NumPy, side band / weight": lambda data: written_out(data, acquisition, "normalised"),
        "NumPy, side band, sum": lambda data: written_out(data, acquisition, "sum"),
        "iCOM": lambda data: stem.icom(field(data), scan_step=STEP),
        "riCOM 21": lambda data: stem.ricom(field(data), 21, scan_step=STEP),
    }


def written_out(data: np.ndarray, acquisition: Acquisition, kind: str) -> np.ndarray:
    """Phase by the formulas of direct ptychography, for a lens without aberrations."""
    edge = acquisition.diffraction_step[0] * 1e-3
    angles = (np.moveaxis(np.indices(data.shape[2:]), 0, -1) - acquisition.center) * edge

    def disc(angle: np.ndarray) -> np.ndarray:
        inside = acquisition.convergence_angle * 1e-3 - np.hypot(angle[..., 0], angle[..., 1])
        return np.clip(inside / edge + 0.5, 0, 1)

    here = disc(angles)
    chosen = here > 0
    frequency = wavelength(300) * np.fft.fftfreq(SIDE, STEP)
    frequencies = np.stack(np.meshgrid(frequency, frequency, indexing="ij"), axis=-1)
    spectra = np.fft.fft2(np.moveaxis(data[:, :, chosen].astype(float), -1, 0))
    left, right = (
        here[chosen][:, None, None] * disc(angles[chosen][:, None, None] + sign * frequencies)
        for sign in (-1, 1)
    )
    if kind == "Wiener":
        signal = -1j * np.sum((left - right) * spectra, axis=0)
        weight = np.sum((left - right) ** 2, axis=0)
        weight += 0.1 * weight.max()
    else:
        single = np.where(right == 0, left, 0)
        signal, weight = -1j * np.sum(single * spectra, axis=0), np.sum(single**2, axis=0)
    signal[0, 0] = 0
    if kind != "sum":
        signal = np.divide(signal, weight, out=np.zeros_like(signal), where=weight > 0)
    return np.fft.ifft2(signal).real * np.sum(here**2) / (data.sum() / SIDE**2)


def likeness(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Correlation with the truth, and slope against it."""
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    padded = np.pad(spectrum, [(side // 2, side // 2) for side in image.shape])
    fine = 4 * scipy.fft.ifft2(np.fft.ifftshift(padded)).real
    fine, truth = fine - fine.mean(), truth - truth.mean()
    together = np.sum(fine * truth)
    return np.array(
        [together / np.sqrt(np.sum(fine**2) * np.sum(truth**2)), together / np.sum(truth**2)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="where the simulated patterns stay (.npy)")
    data, acquisition, truth = simulated(parser.parse_args().keep)
    rng = np.random.default_rng(0)
    doses = {
        dose: [data]
        if dose is None
        else [rng.poisson(data * dose * STEP**2).astype(np.uint16) for _ in range(DRAWS)]
        for dose in DOSES
    }
    heads = ["infinite" if dose is None else f"{dose:g} e/Å²" for dose in DOSES]
    print(f"{'correlation (slope)':26}" + "".join(f"{head:>15}" for head in heads) + "    CPU-s")
    for name, image in methods(acquisition).items():
        results = [
            np.mean([likeness(image(draw), truth) for draw in draws], axis=0)
            for draws in doses.values()
        ]
        seconds = []
        for _ in range(5):
            start = time.process_time()
            image(doses[500.0][0])
            seconds.append(time.process_time() - start)
        cells = "".join(f"{one:9.3f} ({slope:.2f})" for one, slope in results)
        print(f"{name:26}{cells}{min(seconds):9.2f}")


if __name__ == "__main__":
    main()
