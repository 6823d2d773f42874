"""A scan of known content in a real file, and ways to run commands."""

import numpy as np
import pytest
from atom_scans import scan_of_atoms
from command_runs import ACQUISITION, spot_patterns
from vector_fields import atom_field, detector_frame

from stem_plugins.cli import main
from stem_plugins.io import Scan, write_merlin, write_scan


@pytest.fixture(scope="session")
def counts():
    """Patterns of a specimen with two heavy and two light atoms."""
    atoms = [(8, 9, 6.0), (20, 7, 3.0), (13, 22, 6.0), (23, 25, 3.0)]
    gradient, _ = atom_field((30, 34), atoms)
    recorded = detector_frame(gradient, ACQUISITION.scan_rotation, ACQUISITION.flip_y)
    return spot_patterns(recorded, ACQUISITION.center)


@pytest.fixture
def scan_file(tmp_path, counts):
    """The patterns as a .mib that knows its whole calibration."""
    path = tmp_path / "scan.mib"
    write_merlin(path, counts, acquisition=ACQUISITION)
    return path


@pytest.fixture
def bare_file(tmp_path, counts):
    """The patterns as a .mib that knows its shape only."""
    path = tmp_path / "bare.mib"
    write_merlin(path, counts)
    return path


@pytest.fixture(scope="session")
def atom_scan():
    """Atoms of known places, without files."""
    return scan_of_atoms(dose=1e5)


@pytest.fixture
def atoms(tmp_path, atom_scan):
    """That scan in a file that knows its whole calibration."""
    path = tmp_path / "atoms.hspy"
    write_scan(path, Scan(np.asarray(atom_scan.data), atom_scan.acquisition))
    return path


@pytest.fixture
def bare(tmp_path, atom_scan):
    """That scan in a file that knows nothing."""
    np.save(tmp_path / "bare.npy", np.asarray(atom_scan.data))
    return tmp_path / "bare.npy"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def fails(capsys):
    """Run a command that must fail with one readable line; returns that line."""

    def run(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if not line.startswith("warning: ")]
        assert code == 1
        assert len(lines) == 1, captured.err
        assert lines[0].startswith("error: ")
        assert "Traceback" not in captured.err
        return lines[0]

    return run


@pytest.fixture
def works(capsys):
    """Run a command that must succeed; returns its output and its warnings."""

    def run(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out, captured.err

    return run
