"""The published restoration networks without TensorFlow: same images, and what they cost.

Imports the six models of tk_r_em 1.0.4 from its source archive, restores the images that the same
archive carries with PyTorch and with TensorFlow (in a process and environment of its own), and
compares results and CPU-seconds of one thread in turns. Needs: h5py, 1 GB of memory, the archive
(`pip download --no-deps --no-binary :all: tk-r-em==1.0.4`) and a Python that has TensorFlow.

Both get images standardised per image with sums in float64, z = (x - mean)/std in float32. The
published graph standardises once more by max(std, 0.1), which changes nothing on z.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import torch

from stem_plugins.models import import_published_restoration, load_weights
from stem_plugins.restoration import cgrdn_from_weights

MODELS = ("hrstem", "lrstem", "hrtem", "lrtem", "hrsem", "lrsem")
EXPECTED = {"hrstem": 27.5, "lrstem": 29.9}  # dB, mean over the 8 published pairs
EDGE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="tk_r_em-1.0.4.tar.gz")
    parser.add_argument("--tensorflow-python", type=Path, required=True, metavar="PATH")
    parser.add_argument(
        "--images", type=int, default=2, help="of each model for TEM and SEM (2); of STEM always 8"
    )
    parser.add_argument("--repeats", type=int, default=3, help="of each timing (3)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = Path(name)
        os.environ["STEM_PLUGINS_DATA"] = name
        begin = time.process_time()
        import_published_restoration(arguments.archive)
        print(f"Import of six models: {time.process_time() - begin:.1f} CPU-seconds\n", flush=True)
        pairs = unpack(arguments.archive, folder)
        start = starter(arguments.tensorflow_python, folder)
        agreement(pairs, start, arguments.images)
        cost(pairs["hrstem"][0][:1], start, arguments.repeats)


def unpack(archive: Path, folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Unpack the models for TensorFlow; return each model's images, standardised, and the truth."""
    images = {}
    with tarfile.open(archive, "r|*") as members:
        for member in members:
            place = member.name.partition("/tk_r_em/")[2]
            if place.startswith("models/sfr_"):
                members.extract(member, folder, filter="data")
            elif place.startswith("test_data/sfr_"):
                contents = members.extractfile(member).read()
                images[place[14:].removesuffix(".h5")] = read_pairs(contents)
    return images


def read_pairs(contents: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Read images (n, y, x), distorted and true; one file holds larger ones, without truth."""
    with h5py.File(io.BytesIO(contents)) as file:
        if "y" not in file:
            return np.asarray(file["x"][:EDGE, :EDGE], np.float64).transpose(2, 1, 0), None
        # As the package reads its files: (n, 1, x, y).
        x, y = (np.asarray(file[key], np.float64)[:, 0].transpose(0, 2, 1) for key in "xy")
        return x, y


def standardised(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean = images.mean(axis=(1, 2), keepdims=True)
    std = images.std(axis=(1, 2), keepdims=True)
    return ((images - mean) / std).astype(np.float32), mean, std


def starter(python: Path, folder: Path) -> Callable:
    """Return what starts TensorFlow with one model, and gives a function that restores images."""

    @contextmanager
    def start(model: str) -> Iterator[Callable]:
        (where,) = folder.glob(f"*/tk_r_em/models/sfr_{model}")
        script = Path(__file__).with_name("published_restoration_tensorflow.py")
        process = subprocess.Popen(
            [python, script, where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        ready = process.stdout.readline().split()
        if ready[:1] != ["ready"]:
            sys.exit("TensorFlow did not start; run published_restoration_tensorflow.py alone.")
        source, target = folder / "in.npy", folder / "out.npy"

        def restore(images: np.ndarray) -> tuple[np.ndarray, float]:
            np.save(source, images)
            process.stdin.write(f"{source} {target}\n")
            process.stdin.flush()
            seconds = float(process.stdout.readline())
            return np.load(target), seconds

        restore.version = ready[1]
        try:
            yield restore
        finally:
            process.stdin.close()
            process.wait()

    return start


def ours(model: str, dtype: torch.dtype = torch.float32) -> Callable:
    network = cgrdn_from_weights(load_weights(f"tk_r_em:{model}"))
    network = network.to(memory_format=torch.channels_last)

    def restore(images: np.ndarray) -> tuple[np.ndarray, float]:
        begin = time.process_time()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            restored = network(torch.from_numpy(images)[:, None])
        seconds = time.process_time() - begin
        return restored[:, 0].float().numpy(), seconds

    return restore


def agreement(pairs: dict, start: Callable, count: int) -> None:
    print(f"Images of {EDGE} × {EDGE} px; PSNR against the range of the truth, mean over images.")
    head = ("model", "images", "raw dB", "ours dB", "TF dB", "asked dB", "max |ours - TF| / std")
    print("{:8}{:>8}{:>9}{:>9}{:>9}{:>10}{:>24}".format(*head))
    worst = 0.0
    for model in MODELS:
        images, truth = pairs[model]
        if model not in EXPECTED:
            images, truth = images[:count], None if truth is None else truth[:count]
        z, mean, std = standardised(images)
        own = ours(model)
        with start(model) as tensorflow:
            answers = [(own(one[None])[0], tensorflow(one[None])[0]) for one in z]
        found, reference = (np.concatenate(part) for part in zip(*answers, strict=True))
        deviation = np.abs(found - reference).max(axis=(1, 2)) / reference.std(axis=(1, 2))
        worst = max(worst, deviation.max())
        decibels = "".join(
            f"{'-' if truth is None else format(psnr(each, truth), '.2f'):>9}"
            for each in (images, found * std + mean, reference * std + mean)
        )
        asked = EXPECTED.get(model, "-")
        print(f"{model:8}{len(images):8}{decibels}{asked:>10}{deviation.max():24.1e}", flush=True)
    print(f"\nLargest difference: {worst:.1e} of the output's std (asked: at most 1e-4).\n")


def psnr(images: np.ndarray, truth: np.ndarray) -> float:
    squared = ((images - truth) ** 2).mean(axis=(1, 2))
    return float((10 * np.log10(np.ptp(truth, axis=(1, 2)) ** 2 / squared)).mean())


def cost(images: np.ndarray, start: Callable, repeats: int) -> None:
    z = standardised(images)[0]
    single, half = ours("hrstem"), ours("hrstem", torch.bfloat16)
    in_hardware = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    seconds: dict[str, list[float]] = {"TensorFlow": [], "float32": [], "bf16 autocast": []}
    with start("hrstem") as tensorflow:
        for turn in range(repeats):
            exact, spent = tensorflow(z)
            seconds["TensorFlow"].append(spent)
            seconds["float32"].append(single(z)[1])
            if in_hardware or turn == 0:  # emulated, it takes ten times as long
                rounded, spent = half(z)
                seconds["bf16 autocast"].append(spent)
        version = tensorflow.version
    best = {name: min(values) for name, values in seconds.items()}
    print(f"One thread, one image, least of {repeats} turns; TensorFlow {version} as it starts by")
    instructions = torch.backends.cpu.get_cpu_capability()
    print(f"default, PyTorch {torch.__version__}, instructions {instructions}.")
    print("{:16}{:>14}{:>14}{:>16}".format("", "CPU-seconds", "per Mpx", "of TensorFlow"))
    for name, value in best.items():
        share = value / best["TensorFlow"]
        print(f"{name:16}{value:14.2f}{value * 1e6 / z.size:14.1f}{share:16.2f}")
    print("Asked: float32 at most 1.15, bf16 at most 0.6 of TensorFlow.")
    print(f"bf16 differs by {(rounded - exact).std() / exact.std():.2%} rms.")
    if not in_hardware:
        print("This processor has no bf16 arithmetic; it was emulated.")


if __name__ == "__main__":
    main()
