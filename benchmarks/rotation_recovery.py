"""How well the rotation between detector and scan is found, on scans of known geometry.

Twenty simulated scans of four specimens with random rotation, mirroring, descan and dose. The COM
signal-to-noise is the deviation of the noise-free COM, descan taken off, over that of the noise.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from stem_plugins import Acquisition, center_of_mass, estimate_rotation, remove_descan
from stem_plugins.simulation import (
    Atoms,
    gallium_nitride,
    molybdenum_disulfide,
    simulate_scan,
    single_atoms,
    strontium_titanate,
)

SCAN, STEP, DETECTOR = (96, 96), 0.25, (32, 32)
EXTENT = SCAN[0] * STEP
DOSES = (1e3, 3e3, 1e4, 3e4, 1e5)  # electrons per Å²


def specimen(name: str, rng: np.random.Generator) -> Atoms:
    if name == "scattered atoms":
        places = rng.uniform(0, EXTENT, (60, 2))
        return single_atoms(rng.choice([14, 32, 50], 60), places, extent=(EXTENT, EXTENT))
    crystal = {
        "SrTiO3": strontium_titanate,
        "MoS2": molybdenum_disulfide,
        "GaN": gallium_nitride,
    }[name]()
    repeats = np.ceil(EXTENT / np.array(crystal.cell[1:])).astype(int)
    return crystal.repeat(1, *map(int, repeats))


def main() -> None:
    rng = np.random.default_rng(2026)
    columns = ("specimen", "dose", "COM SNR", "true", "flip", "found", "flip", "error", "± said")
    print("{:16}{:>8}{:>9}{:>9}{:>7}{:>9}{:>7}{:>9}{:>8}{:>12}".format(*columns, "confidence"))
    rows = []
    for trial in range(20):
        name = ("SrTiO3", "MoS2", "GaN", "scattered atoms")[trial % 4]
        rows.append(one_scan(name, DOSES[trial % 5], rng))
    strong = [row for row in rows if row["snr"] > 1]
    right = [row for row in strong if row["right"]]
    wrong = [row["confidence"] for row in rows if not row["right"]]
    sure = [row["confidence"] for row in rows if row["right"]]
    print(f"\nCOM signal-to-noise above 1: {len(right)} of {len(strong)} right (asked: all),")
    print("right meaning the flip right and the angle within 1°.")
    print("The confidence is the probability of half that deviation.")
    if wrong:
        print(f"Confidence where wrong: at most {max(wrong):.2f}, median {np.median(wrong):.2f};")
    print(f"where right: median {np.median(sure):.2f};")
    least = min(row["confidence"] for row in strong)
    print(f"where right and COM signal-to-noise above 1: at least {least:.2f}.")


def one_scan(name: str, dose: float, rng: np.random.Generator) -> dict[str, float]:
    angle, flip_y = rng.uniform(-180, 180), bool(rng.integers(2))
    center = tuple((np.array(DETECTOR) - 1) / 2 + rng.uniform(-1, 1, 2))
    acquisition = Acquisition(
        beam_energy=200,
        convergence_angle=20,
        scan_step=(STEP, STEP),
        diffraction_step=(2.5, 2.5),
        scan_rotation=angle,
        flip_y=flip_y,
        center=center,
    )
    options = {
        "scan_shape": SCAN,
        "detector_shape": DETECTOR,
        "descan": rng.uniform(-0.01, 0.01, (2, 2)),
    }
    clean = simulate_scan(specimen(name, rng), acquisition, **options).data
    electrons = dose * STEP**2
    counts = rng.poisson(clean * electrons / clean.sum(axis=(2, 3), keepdims=True).mean())
    com, expected = center_of_mass(counts.astype(np.uint16)), center_of_mass(clean)
    snr = remove_descan(expected).std() / (com - expected).std()
    found = estimate_rotation(com)
    error = (found.angle - angle + 180) % 360 - 180
    right = found.flip_y == flip_y and abs(error) < 1
    print(
        f"{name:16}{dose:8.0f}{snr:9.2f}{angle:9.2f}{flip_y!s:>7}{found.angle:9.2f}"
        f"{found.flip_y!s:>7}{error:9.2f}{found.angle_error:8.2f}{found.confidence:12.3f}",
        flush=True,
    )
    return {"snr": snr, "right": right, "confidence": found.confidence}


if __name__ == "__main__":
    main()
