"""Reconstruct a scan of 16 GB from disk, shortened, and measure the memory that it takes.

    OMP_NUM_THREADS=1 python benchmarks/ptychography_large.py FOLDER

Writes a zarr of 362 × 362 patterns of 256 × 256 pixels (uint16, 17 GB uncompressed) into FOLDER,
patterns of a small simulated scan again and again, and reads every fiftieth of them in two
pixelated iterations and one of the network, and fewer in the first guess and two iterations as
`dgp` does by itself. The memory is the largest resident set of the process so far: give one
`--part` at a time to have it of each.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import resource
import time
from pathlib import Path

import dask.array as da
import numpy as np

import stem_plugins as stem
from stem_plugins.simulation import simulate_scan, strontium_titanate

SIDE, DETECTOR, CELL = 362, 256, 20

#: Share of the patterns, and options. The last is what `dgp` does by itself, first guess included.
PARTS = {
    "pixelated": (0.02, {"prior": "pixelated", "iterations": 2, "held_out": 0}),
    "dgp": (0.02, {"first_guess": "none", "iterations": 1, "held_out": 0}),
    "dgp with its first guess": (0.003, {"iterations": 2}),
}


def write(target: Path) -> None:
    """Fill the disk with a scan that repeats."""
    acquisition = stem.Acquisition(
        beam_energy=300, convergence_angle=20, scan_step=0.781, diffraction_step=0.4, defocus=50
    )
    scan = simulate_scan(
        strontium_titanate(),
        acquisition,
        scan_shape=(CELL, CELL),
        detector_shape=(DETECTOR, DETECTOR),
        dose=1e5,
        seed=0,
        workers=1,
    )
    repeats = -(-SIDE // CELL)
    whole = da.tile(da.from_array(scan.data, chunks=(CELL, CELL, -1, -1)), (repeats, repeats, 1, 1))
    whole[:SIDE, :SIDE].rechunk((10, 10, -1, -1)).to_zarr(str(target), overwrite=True)


def main() -> None:
    """Write where needed, reconstruct and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=PARTS, action="append", help="all, unless given")
    arguments = parser.parse_args()
    target = arguments.folder / "large.zarr"
    if not target.exists():
        write(target)
    data = da.from_zarr(str(target))
    acquisition = stem.Acquisition(
        beam_energy=300,
        convergence_angle=20,
        scan_step=0.781,
        diffraction_step=0.4,
        defocus=50,
        center=(127.5, 127.5),
        scan_rotation=0,
        flip_y=False,
    )
    share = np.random.default_rng(0).random((SIDE, SIDE))
    for name in arguments.part or PARTS:
        part, options = PARTS[name]
        start, wall = time.process_time(), time.monotonic()
        result = stem.iterative_ptychography(
            data, acquisition, scan_mask=share < part, threads=1, **options
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{name}, {part:.1%} of the patterns: {data.nbytes / 1e9:.1f} GB, "
            f"object {result.phase.shape}, "
            f"{time.process_time() - start:.0f} CPU-s, {time.monotonic() - wall:.0f} s, "
            f"peak {peak:.2f} GB",
            flush=True,
        )


if __name__ == "__main__":
    main()
