"""How close the first pass over a Merlin file comes to merely reading it.

128 × 128 positions of 256 × 256 16-bit pixels, a 2.1 GB ``.mib`` in the page cache, one thread,
CPU-seconds. The yardstick is NumPy's sum over a fresh memory map of the same file, taken over
64-bit words: the fastest sum NumPy has, and twice as fast as the sum of the pixels themselves.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

SCAN, DETECTOR = (128, 128), (256, 256)
FRAMES = SCAN[0] * SCAN[1]
KERNEL = 61


def write_scan(path: Path, rows: int) -> Path:
    """Write a scan of Poisson counts, or keep the one that is there."""
    import dask.array as da

    from stem_plugins import Acquisition, write_merlin

    if path.exists():
        return path
    frames = np.random.default_rng(0).poisson(5, (1, SCAN[1], *DETECTOR)).astype(np.uint16)
    data = da.concatenate([da.from_array(frames, chunks=-1)] * rows)
    acquisition = Acquisition(
        beam_energy=200, scan_step=0.2, diffraction_step=0.5, convergence_angle=20
    )
    write_merlin(path, data, acquisition=acquisition, counter_depth=12)
    return path


def rate(work: Callable[[], object], frames: int = FRAMES, repeats: int = 3) -> float:
    """Frames per CPU-second, the median of some repeats after a first one that compiles."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return frames / float(np.median(seconds))


def wall(work: Callable[[], object], repeats: int = 5) -> float:
    """Shortest wall time [s]."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def rings() -> list[np.ndarray]:
    from stem_plugins import annular_detector

    limits = ((30, 60), (60, 90), (90, 126))
    return [annular_detector(DETECTOR, *ring, center=(127.5, 127.5)) for ring in limits]


def from_memory_map(path: Path, detectors: list[np.ndarray], workers: int = 1) -> np.ndarray:
    from stem_plugins import moments, read_merlin, ricom

    data = read_merlin(path, lazy=False).data
    return ricom(moments(data, detectors=detectors, workers=workers).com, KERNEL)


def through_hyperspy(path: Path) -> np.ndarray:
    import dask
    import hyperspy.api as hs

    import stem_plugins.hyperspy.reader as reader

    with dask.config.set(scheduler="single-threaded"):
        signal = hs.load(path, file_format=reader, lazy=True, signal_type="4d_stem")
        image = signal.ricom(KERNEL)
        image.compute(show_progressbar=False)
        return image.data


def pyxem_center_of_mass(path: Path, rows: int) -> Callable[[], object]:
    """pyxem's centre of mass of some rows, in memory, which is its fastest case."""
    from pyxem.signals import ElectronDiffraction2D

    from stem_plugins import read_merlin

    data = np.ascontiguousarray(read_merlin(path, lazy=False).data[:rows]).astype("<u2")
    signal = ElectronDiffraction2D(data)

    def work() -> object:
        return signal.get_direct_beam_position(method="center_of_mass", num_workers=1)

    return work


def peak_memory(path: Path) -> int:
    """Peak resident memory [MiB] of a process that makes a riCOM image of a file lazily.

    As Linux counts it, pages of the mapped file included.
    """
    code = (
        "import re, sys, dask, stem_plugins as sp\n"
        "data = sp.read_merlin(sys.argv[1]).data\n"
        "with dask.config.set(scheduler='threads', num_workers=2):\n"
        "    image = sp.ricom(sp.center_of_mass(data), 61).compute()\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read()).group(1))\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the 2.7 GB of test files go and stay")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        large = write_scan(folder / "speed_128x128.mib", SCAN[0])
        small = write_scan(folder / "speed_32x128.mib", SCAN[0] // 4)
        report(large, small)


def report(large: Path, small: Path) -> None:
    words = large.stat().st_size // 8
    yardstick = rate(lambda: np.memmap(large, np.uint64, "r", shape=(words,)).sum())
    print(f"{'':44}{'frames/CPU-s':>14}{'of the sum':>12}{'asked':>8}")

    def line(name: str, value: float, asked: str = "") -> None:
        print(f"{name:44}{value:14.0f}{value / yardstick:12.2f}{asked:>8}", flush=True)

    line("NumPy sum of a fresh memory map, 64-bit", yardstick)
    halves = large.stat().st_size // 2
    line(
        "  the same over its 16-bit pixels",
        rate(lambda: np.memmap(large, np.uint16, "r", shape=(halves,)).sum()),
    )
    line(f"COM + riCOM {KERNEL}×{KERNEL}", rate(lambda: from_memory_map(large, [])), "0.65")
    line("  with three annular detectors", rate(lambda: from_memory_map(large, rings())), "0.40")
    hyperspy_rate = rate(lambda: through_hyperspy(large))
    line("hs.load + .ricom(), lazy", hyperspy_rate, "0.55")
    again = rate(lambda: np.memmap(large, np.uint64, "r", shape=(words,)).sum())
    line("NumPy sum again, at the end", again)
    rows = 16
    pyxem = rate(pyxem_center_of_mass(large, rows), rows * SCAN[1], repeats=1)
    line(f"pyxem centre of mass ({rows} rows, in memory)", pyxem)
    com = rate(lambda: from_memory_map(large, []))
    print(f"\nours against pyxem, same run: {com / pyxem:.0f} × faster (asked 20)")
    one, two = (wall(lambda n=n: from_memory_map(large, [], workers=n)) for n in (1, 2))
    print(f"two threads against one, wall time: {one / two:.2f} × faster (asked 1.6, idle machine)")
    memory = peak_memory(small), peak_memory(large)
    growth = 100 * (memory[1] / memory[0] - 1)
    print(
        f"peak memory, lazy, two threads: {memory[0]} MiB for {small.stat().st_size / 1e9:.1f} GB, "
        f"{memory[1]} MiB for {large.stat().st_size / 1e9:.1f} GB: {growth:+.1f} % (asked < 10 %)"
    )


if __name__ == "__main__":
    main()
