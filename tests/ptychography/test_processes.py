"""Processes that share a scan find together what one finds alone."""

import json
import subprocess
import sys

import numpy as np
import pytest
from atom_scans import scan_of_atoms

pytest.importorskip("torch")

from torch import distributed

from stem_plugins import iterative_ptychography, load_ptychography

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()),
    reason="this build of torch has no gloo, by which processes would talk",
)

#: One of two processes, as a script that torchrun starts; the second wishes to stop.
SCRIPT = """
import json
import sys
import numpy as np
from torch import distributed
from stem_plugins import iterative_ptychography
from stem_plugins.optics import Acquisition

folder, rank, prior, stop = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)

def callback(progress):
    return rank == 1 and 0 < stop <= progress.iteration

iterative_ptychography(
    np.load(f"{folder}/scan.npy"),
    Acquisition.from_dict(json.load(open(f"{folder}/scan.json"))),
    prior=prior,
    filters=2,
    iterations=6,
    threads=1,
    batch=20,
    callback=callback,
    checkpoint=f"{folder}/together.h5",
).save(f"{folder}/{rank}.h5")
distributed.destroy_process_group()
"""


def together(folder, prior, stop=0):
    """Results of two processes, and the checkpoint that the first has written."""
    scan = scan_of_atoms()
    np.save(folder / "scan.npy", scan.data)
    (folder / "scan.json").write_text(json.dumps(scan.acquisition.to_dict()))
    script = folder / "script.py"
    script.write_text(SCRIPT)
    started = [
        subprocess.Popen([sys.executable, str(script), str(folder), rank, prior, str(stop)])
        for rank in "01"
    ]
    for process in started:
        assert process.wait(timeout=120) == 0
    return scan, [load_ptychography(folder / f"{name}.h5") for name in ("0", "1", "together")]


@pytest.mark.parametrize("prior", ["pixelated", "dgp"])
def test_two_find_what_one_finds(tmp_path, prior):
    scan, (first, second, kept) = together(tmp_path, prior)
    alone = iterative_ptychography(
        scan.data, scan.acquisition, prior=prior, filters=2, iterations=6, threads=1, batch=20
    )
    np.testing.assert_array_equal(first.phase, second.phase)
    np.testing.assert_array_equal(first.phase, kept.phase)
    # Sums in another order.
    np.testing.assert_allclose(first.losses, alone.losses, rtol=1e-3)
    np.testing.assert_allclose(first.phase, alone.phase, atol=0.01 * np.ptp(alone.phase))


def test_the_wish_of_one_stops_all_after_the_same_iteration(tmp_path):
    _, (first, second, kept) = together(tmp_path, "pixelated", stop=2)
    assert len(first.losses) == len(second.losses) == 2
    assert first.stopped == second.stopped == kept.stopped == "stopped by the callback"
