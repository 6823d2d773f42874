"""Check that LiberTEM reads the .mib files we write, and decodes raw frames as we do.

LiberTEM lives in an environment of its own. Give its Python, and a folder of real Merlin files::

    python benchmarks/check_libertem_reads_merlin.py /path/to/libertem/bin/python [FOLDER]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from stem_plugins.io import read_merlin, write_merlin

LIBERTEM_READS = """
import sys
import numpy as np
from libertem.api import Context
from libertem.io.dataset.base import BufferedBackend
from libertem.udf.raw import PickUDF
context = Context.make_with("inline")
for job in sys.argv[1:]:
    path, target, *shape = job.split("|")
    options = {"nav_shape": tuple(map(int, shape)), "disable_glob": True} if shape else {}
    try:
        dataset = context.load("mib", path=path, io_backend=BufferedBackend(), **options)
        frames = context.run_udf(
            dataset=dataset, udf=PickUDF(), roi=np.ones(dataset.shape.nav, bool)
        )
    except Exception as error:
        print(f"LiberTEM cannot read {path}: {error!r}", flush=True)
        continue
    np.save(target, np.asarray(frames["intensity"].raw_data).reshape(dataset.shape))
"""


def written_by_us(folder: Path) -> list[Path]:
    """Write a scan of each pixel type; LiberTEM finds its shape in the .hdr."""
    paths = []
    for dtype, largest in [("u1", 63), ("u2", 4095), ("u4", 2**24 - 1)]:
        path = folder / f"written_{dtype}.hdr"
        counts = np.random.default_rng(1).integers(0, largest + 1, (3, 4, 64, 48), dtype=dtype)
        write_merlin(path, counts)
        paths.append(path)
    return paths


def random_raw_frames(folder: Path) -> list[Path]:
    """Write frames of random raw bytes.

    Left out is a counter depth of 24 bit, which LiberTEM 0.16 decodes into 16 bit and for the
    first frame only.
    """
    paths = []
    for chips, depth in [(1, 1), (1, 6), (1, 12), (4, 1), (4, 6), (4, 12)]:
        layout = "2x2" if chips == 4 else "1x1"
        header = (
            f"MQ1,000001,00384,{chips:02d},{chips * 256:04d},0256,R64,   {layout},0F,2021-01-01,1"
        )
        header += f",0,0,0,MQ1A,2021-01-01T00:00:00Z,1000ns,{depth},"
        values = np.random.default_rng(2).integers(0, 4096, (6, chips * 256**2 * 2)).astype(">u2")
        size = chips * 256 * 256 * {1: 1, 6: 8, 12: 16}[depth] // 8
        payload = values.view("u1")[:, :size]
        path = folder / f"raw_{chips}_chips_{depth}_bit.mib"
        path.write_bytes(b"".join(header.encode().ljust(384, b"\0") + p.tobytes() for p in payload))
        paths.append(path)
    return paths


def main(python: str, real_files: Path | None) -> None:
    """Compare every pixel; print one line per file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = written_by_us(folder) + random_raw_frames(folder)
        paths += sorted(real_files.rglob("[!.]*.mib")) if real_files else []
        ours, jobs = [], []
        for number, path in enumerate(paths):
            if path.suffix == ".hdr":
                ours.append(read_merlin(path).data.compute())
                jobs.append(f"{path}|{folder}/{number}.npy")
                continue
            one = read_merlin(path, scan_shape=(1, 1), repeat=0)
            frames = one.metadata["frames"]
            ours.append(read_merlin(path, scan_shape=(1, frames), lazy=False).data)
            jobs.append(f"{path}|{folder}/{number}.npy|1|{frames}")
        subprocess.run([python, "-c", LIBERTEM_READS, *jobs], check=True)
        for number, (path, data) in enumerate(zip(paths, ours, strict=True)):
            if not (folder / f"{number}.npy").exists():
                continue
            theirs = np.load(folder / f"{number}.npy")
            equal = theirs.shape == data.shape and np.array_equal(theirs, data)
            print(f"{'equal' if equal else 'DIFFERENT':9s} {data.shape} {path.name}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None)
