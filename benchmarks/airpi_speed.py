"""How fast AIRPI is, and how much memory it takes.

    OMP_NUM_THREADS=1 python benchmarks/airpi_speed.py --folder FOLDER

Positions per CPU-second of one thread: from an array in memory of 64 × 64 detector pixels (uint16),
and from a Merlin file of 256 × 256 (16 bit, written into FOLDER, 1.2 GB). What others take for the
same array: direct ptychography, the centre of mass. Memory: the most that a process of its own held
beside file pages and libraries, for scans of 64² to 512² positions of 64 × 64 pixels (8 bit, mapped
from FOLDER, up to 1.1 GB), less the image itself.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import stem_plugins as stem
from stem_plugins.io import read_merlin, write_merlin
from stem_plugins.simulation import simulate_scan, strontium_titanate

#: Edges of scans whose memory is measured.
SIDES = (64, 128, 256, 512)

MEMORY = """
import sys, threading, time
import numpy as np
import stem_plugins as stem
from stem_plugins.optics import Acquisition

def anonymous():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024

path, side, acquisition = sys.argv[1], int(sys.argv[2]), Acquisition.from_toml(sys.argv[3])
stem.airpi(np.load(path, mmap_mode="r")[:32, :32], acquisition, threads=1, device="cpu")
before, most, done = anonymous(), [0.0], threading.Event()

def watch():
    while not done.is_set():
        most[0] = max(most[0], anonymous())
        time.sleep(0.005)

thread = threading.Thread(target=watch)
thread.start()
found = stem.airpi(np.load(path, mmap_mode="r")[:side, :side], acquisition, threads=1, device="cpu")
done.set()
thread.join()
image = (found.phase.nbytes + found.coverage.nbytes) / 2**20
print(before, most[0] - before - image, image)
"""


def scan_of(side: int, detector: int) -> tuple[np.ndarray, stem.Acquisition]:
    """A small simulated scan, again and again."""
    acquisition = stem.Acquisition(
        beam_energy=300,
        convergence_angle=20,
        scan_step=0.2,
        diffraction_step=120 / detector,
        scan_rotation=0,
    )
    scan = simulate_scan(
        strontium_titanate(4),
        acquisition,
        scan_shape=(20, 20),
        detector_shape=(detector, detector),
        dose=1e4,
        seed=1,
    )
    repeats = -(-side // 20)
    return np.tile(scan.data, (repeats, repeats, 1, 1))[:side, :side], scan.acquisition


def positions_per_second(work: Callable[[], object], positions: int, rounds: int = 5) -> float:
    work()
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return positions / min(spent)


def print_speed(folder: Path) -> None:
    data, acquisition = scan_of(192, 64)
    count = data.shape[0] * data.shape[1]
    rows = {
        "AIRPI, 64 × 64 pixels in memory": lambda: stem.airpi(
            data, acquisition, threads=1, device="cpu"
        ),
        "direct ptychography": lambda: stem.ssb(data, acquisition),
        "centre of mass": lambda: stem.center_of_mass(data, center=acquisition.center),
    }
    for name, work in rows.items():
        print(f"{name:40}{positions_per_second(work, count):10.0f} positions per CPU-s", flush=True)
    large, acquisition = scan_of(96, 256)
    path = folder / "airpi.mib"
    # Counters of 12 bits are kept in 16.
    write_merlin(
        path,
        large.astype(np.uint16),
        acquisition=acquisition,
        counter_depth=12,
        overwrite=True,
    )
    scan = read_merlin(path)
    assert scan.data.dtype == np.dtype(">u2")

    def from_file() -> object:
        return stem.airpi(scan.data, scan.acquisition, threads=1, device="cpu", lazy_output=False)

    found = positions_per_second(from_file, 96**2, rounds=3)
    print(f"{'AIRPI, 256 × 256 pixels (U16) of a .mib':40}{found:10.0f} positions per CPU-s")
    path.unlink()


def print_memory(folder: Path) -> None:
    data, acquisition = scan_of(SIDES[-1], 64)
    path, calibration = folder / "airpi.npy", folder / "airpi.toml"
    np.save(path, np.minimum(data, 255).astype(np.uint8))
    words = [f"{name} = {value}" for name, value in acquisition.to_dict().items() if name != "dose"]
    calibration.write_text(
        "\n".join(words).replace("(", "[").replace(")", "]").replace("False", "false")
    )
    print("\nmemory beside the image, MiB")
    for side in SIDES:
        command = [sys.executable, "-c", MEMORY, str(path), str(side), str(calibration)]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        before, more, image = map(float, run.stdout.split())
        print(
            f"{side:4d} × {side:<4d} positions: {more:6.0f} more than the {before:.0f} of a small "
            f"scan; the image has {image:.0f}",
            flush=True,
        )
    path.unlink()
    calibration.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="with 2.5 GB of room")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    print_speed(folder)
    print_memory(folder)


if __name__ == "__main__":
    main()
