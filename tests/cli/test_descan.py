"""Descan is learnt where the user says."""

import numpy as np
import pytest
from command_runs import ACQUISITION, spot_patterns

from stem_plugins import write_merlin


@pytest.fixture
def edge_file(tmp_path):
    """Descan along x, and on the right half a specimen that deflects by a constant."""
    y, x = np.indices((16, 20))
    deflection = np.stack([0.0 * y, 0.05 * (x - 9.5) + 0.5 * (x >= 12)], axis=-1)
    write_merlin(
        tmp_path / "edge.mib",
        spot_patterns(deflection, ACQUISITION.center),
        acquisition=ACQUISITION.replace(scan_rotation=0, flip_y=False),
    )
    return tmp_path / "edge.mib"


def test_the_field_at_an_edge_is_kept(works, edge_file):
    words = ("ricom", edge_file, "-o", edge_file.parent / "out", "--com", "--format", "npy")
    works(*words, "--descan", "plane", "--descan-where", 0, 15, 0, 11)
    field = np.load(edge_file.parent / "out" / "edge_com-x.npy")
    left, right = field[:, :11].mean(), field[:, 13:].mean()
    assert abs(left) < 0.1 * abs(right)
    works(*words, "--descan", "plane", "--overwrite")
    biased = np.load(edge_file.parent / "out" / "edge_com-x.npy")
    assert abs(biased[:, 13:].mean() - biased[:, :11].mean()) < 0.7 * (right - left)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--descan-where", 0, 3, 0, 3), "needs --descan plane"),
        (("--descan", "plane", "--descan-where", 0, 16, 0, 3), "is no part of a scan of 16 rows"),
        (("--descan", "plane", "--descan-where", 5, 3, 0, 3), "is no part of a scan"),
        (("--descan", "plane", "--descan-where", 0, 0, 0, 9), "too few rows or columns"),
    ],
)
def test_places_that_do_not_do(fails, edge_file, words, reason):
    command = ("ricom", edge_file, "-o", edge_file.parent / "out", "--format", "npy", *words)
    assert reason in fails(*command)
