"""How close the first pass over a Merlin file comes to merely reading it.

128 × 128 positions of 256 × 256 16-bit pixels, a 2.1 GB ``.mib`` in the page cache, one thread,
CPU-seconds. The yardstick is NumPy's sum over a fresh memory map of the same file, taken over
64-bit words: the fastest sum NumPy has, and twice as fast as the sum of the pixels themselves.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

SCAN, DETECTOR = (128, 128), (256, 256)
FRAMES = SCAN[0] * SCAN[1]
KERNEL = 61
PYXEM_ROWS = 16  # pyxem takes a second for them; its rate does not depend on how many


def write_scan(path: Path, rows: int) -> Path:
    """Write a scan of Poisson counts, or keep the one that is there."""
    import dask.array as da

    from stem_plugins import Acquisition, write_merlin

    if path.exists():
        return path
    frames = np.random.default_rng(0).poisson(5, (1, SCAN[1], *DETECTOR)).astype(np.uint16)
    data = da.concatenate([da.from_array(frames, chunks=-1)] * rows)
    acquisition = Acquisition(
        beam_energy=200,
        scan_step=0.2,
        diffraction_step=0.5,
        convergence_angle=20,
        scan_rotation=0,
        flip_y=False,
    )
    write_merlin(path, data, acquisition=acquisition, counter_depth=12)
    return path


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU-seconds of one call, what calls before it left to collect not counted."""
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


def wall_seconds(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(
    contenders: dict[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[Callable[[], object]], float] = cpu_seconds,
) -> dict[str, np.ndarray]:
    """Seconds of every contender in every round: A B C, C B A, A B C, ...

    What else the processor does, and how fast it runs, changes within seconds; figures of one
    round can be compared, those of different rounds cannot. Turning the order round cancels what
    drifts. The first call of each, which imports and compiles, does not count.
    """
    for work in contenders.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(contenders)[:: 1 if number % 2 == 0 else -1]:
            seconds[name].append(clock(contenders[name]))
    return {name: np.array(values) for name, values in seconds.items()}


def quartiles(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)


@dataclasses.dataclass(frozen=True)
class ProcessorTime:
    """Seconds that the processors we may run on have worked so far, as Linux counts them."""

    ours: float
    busy: float
    stolen: float
    wall: float

    @classmethod
    def now(cls) -> ProcessorTime:
        kinds = ("user", "nice", "system", "idle", "wait", "irq", "softirq", "steal")
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
        allowed = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        ticks = dict.fromkeys(kinds, 0.0)
        for name, *counts in lines:
            for kind, count in zip(kinds, counts if name in allowed else (), strict=False):
                ticks[kind] += int(count) / os.sysconf("SC_CLK_TCK")
        busy = sum(ticks[kind] for kind in ("user", "nice", "system", "irq", "softirq"))
        # Of this process and of those that it waited for.
        return cls(sum(os.times()[:4]), busy, ticks["steal"], time.monotonic())

    def describe_since(self, start: ProcessorTime) -> str:
        """Say who else ran; 1.00 is one processor kept busy all the time."""
        wall = self.wall - start.wall
        ours = (self.ours - start.ours) / wall
        others = max(0.0, (self.busy - start.busy) / wall - ours)
        stolen = (self.stolen - start.stolen) / wall
        return (
            f"Of {len(os.sched_getaffinity(0))} processors this benchmark kept {ours:.2f} busy, "
            f"other programs {others:.2f}; {stolen:.2f} were stolen by the machine's host"
        )


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
    parser.add_argument("--rounds", type=int, default=15, help="times that all take turns")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        large = write_scan(folder / "speed_128x128.mib", SCAN[0])
        small = write_scan(folder / "speed_32x128.mib", SCAN[0] // 4)
        for part in (one_thread, two_threads):
            start = ProcessorTime.now()
            part(large, arguments.rounds)
            print(f"{ProcessorTime.now().describe_since(start)}.\n", flush=True)
        memory(small, large)


def numpy_sum(path: Path, dtype: type, parts: int = 1) -> Callable[[], object]:
    """NumPy's sum over a fresh memory map of the whole file, by one or more threads."""

    def work() -> object:
        words = np.memmap(
            path, dtype, "r", shape=(path.stat().st_size // np.dtype(dtype).itemsize,)
        )
        if parts == 1:
            return words.sum()
        with ThreadPoolExecutor(parts) as pool:
            return list(pool.map(np.sum, np.array_split(words, parts)))

    return work


def one_thread(path: Path, rounds: int) -> None:
    """Frames per CPU-second of all contenders, and each against the sum of the same round."""
    yardstick, plain, peer = "NumPy sum, 64-bit words", "COM + riCOM 61×61", "pyxem COM, in memory"
    asked = {
        yardstick: None,
        "NumPy sum, 16-bit pixels": None,
        plain: 0.65,
        "  with three annular detectors": 0.40,
        "hs.load + .ricom(), lazy": 0.55,
        peer: None,
    }
    works = (
        numpy_sum(path, np.uint64),
        numpy_sum(path, np.uint16),
        lambda: from_memory_map(path, []),
        lambda: from_memory_map(path, rings()),
        lambda: through_hyperspy(path),
        pyxem_center_of_mass(path, PYXEM_ROWS),
    )
    seconds = in_turns(dict(zip(asked, works, strict=True)), rounds)
    seconds[peer] *= SCAN[0] / PYXEM_ROWS
    print(f"One thread, {rounds} rounds; the ratio to NumPy's sum is taken within each round.\n")
    print(f"{'':34}{'frames per CPU-second':^24}{'of the sum':^22}{'asked':>6}")
    print(f"{'':34}{'quarter  median quarter':^24}{'quarter median quarter':^22}")
    for name, goal in asked.items():
        rates = "{:8.0f}{:8.0f}{:8.0f}".format(*quartiles(FRAMES / seconds[name]))
        ratios = "{:8.3f}{:7.3f}{:7.3f}".format(*quartiles(seconds[yardstick] / seconds[name]))
        print(f"{name:34}{rates}{ratios}{'' if goal is None else f'{goal:.2f}':>6}")
    times = "{:.0f}, median {:.0f}, {:.0f}".format(*quartiles(seconds[peer] / seconds[plain]))
    print(f"\n{plain} against {peer.strip()}: {times} × faster (asked 20)")


def two_threads(path: Path, rounds: int) -> None:
    """Wall time of one thread over that of two, beside what the machine gives NumPy's sum."""
    print(f"Two threads against one, wall time, {rounds} rounds; quarter, median, quarter")
    pairs = {
        "COM + riCOM 61×61 (asked 1.6, idle machine)": [
            partial(from_memory_map, path, [], workers) for workers in (1, 2)
        ],
        "  with three annular detectors": [
            partial(from_memory_map, path, rings(), workers) for workers in (1, 2)
        ],
        "NumPy sum, 64-bit words": [numpy_sum(path, np.uint64, parts) for parts in (1, 2)],
        "NumPy sum, 16-bit pixels": [numpy_sum(path, np.uint16, parts) for parts in (1, 2)],
    }
    works = {(name, n): work for name, both in pairs.items() for n, work in enumerate(both)}
    seconds = in_turns(works, rounds, wall_seconds)
    for name in pairs:
        ratio = quartiles(seconds[name, 0] / seconds[name, 1])
        print("{:46}{:8.2f}{:8.2f}{:8.2f}".format(name, *ratio))


def memory(small: Path, large: Path) -> None:
    sizes = [path.stat().st_size / 1e9 for path in (small, large)]
    peaks = [np.median([peak_memory(path) for _ in range(3)]) for path in (small, large)]
    print(
        f"Peak memory, lazy, two threads: {peaks[0]:.0f} MiB for {sizes[0]:.1f} GB, {peaks[1]:.0f} "
        f"MiB for {sizes[1]:.1f} GB: {100 * (peaks[1] / peaks[0] - 1):+.1f} % (asked < 10 %)"
    )


if __name__ == "__main__":
    main()
