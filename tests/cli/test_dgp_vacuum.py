"""The pattern without specimen of ``stem-plugins dgp``."""

import numpy as np
import pytest
import tifffile
from atom_scans import scan_of_atoms
from dgp_commands import QUICK

pytest.importorskip("torch")

from stem_plugins import load_ptychography
from stem_plugins.io import Scan, write_merlin, write_scan
from stem_plugins.io.signal_dictionary import signal_dictionary


def test_a_vacuum_scan_tells_the_aperture(works, fails, atoms, out, tmp_path):
    vacuum = tmp_path / "vacuum.mib"
    empty = scan_of_atoms(numbers=[1], places=[[200, 200]], side=3, dose=1e5)
    write_scan(vacuum, Scan(np.asarray(empty.data), empty.acquisition))
    words = ("dgp", atoms, "-o", out, *QUICK, "--probe-prior", "fixed", "--vacuum")
    works(*words, vacuum)
    found = np.abs(np.fft.fft2(load_ptychography(out / "atoms_dgp.h5").probe[0])) ** 2
    pattern = np.fft.fftshift(found / found.sum())
    expected = empty.data.mean((0, 1)) / empty.data.mean((0, 1)).sum()
    np.testing.assert_allclose(pattern, expected, atol=1e-5)
    assert "missing.mib" in fails(*words, tmp_path / "missing.mib", "--overwrite")
    write_scan(tmp_path / "small.mib", Scan(np.asarray(empty.data)[..., 1:], empty.acquisition))
    assert "as large as those of the scan" in fails(*words, tmp_path / "small.mib", "--overwrite")


def test_what_is_wrong_with_a_vacuum_scan_names_it(fails, atoms, out, tmp_path):
    words = ("dgp", atoms, "-o", out, *QUICK, "--vacuum")
    edge = np.zeros((3, 3, 32, 32))
    edge[..., 0, 0] = 9
    for name, data, problem in (
        ("dark", np.zeros((3, 3, 32, 32)), "no counts"),
        ("nan", np.full((3, 3, 32, 32), np.nan), "not finite numbers"),
        ("small", np.ones((3, 3, 32, 31)), "as large as those of the scan"),
        ("frames", np.zeros((9, 32, 32)), "no counts"),
        ("line", np.ones(32), "4 dimensions"),
    ):
        np.save(tmp_path / f"{name}.npy", data)
        line = fails(*words, tmp_path / f"{name}.npy")
        assert line.startswith(f"error: --vacuum {name}.npy: ")
        assert problem in line
    # A flat field is found to be none by the reconstruction.
    np.save(tmp_path / "flat.npy", np.ones((32, 32)))
    assert fails(*words, tmp_path / "flat.npy").startswith("error: --vacuum flat.npy: ")
    assert not out.exists()


def test_a_stack_of_frames_is_averaged(works, atoms, out, tmp_path):
    empty = scan_of_atoms(numbers=[1], places=[[200, 200]], side=3, dose=1e5)
    np.save(tmp_path / "frames.npy", np.asarray(empty.data).reshape(9, 32, 32))
    words = ("dgp", atoms, *QUICK, "--probe-prior", "fixed", "--vacuum")
    works(*words, tmp_path / "frames.npy", "-o", out)
    np.save(tmp_path / "mean.npy", empty.data.mean((0, 1)))
    works(*words, tmp_path / "mean.npy", "-o", tmp_path / "other")
    found, expected = (
        load_ptychography(folder / "atoms_dgp.h5").phase for folder in (out, tmp_path / "other")
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("suffix", ["tif", "hspy", "npy"])
def test_a_vacuum_pattern_may_be_the_only_one_of_its_file(works, atoms, out, tmp_path, suffix):
    from rsciio.hspy import file_writer

    empty = scan_of_atoms(numbers=[1], places=[[200, 200]], side=3, dose=1e5)
    pattern = np.asarray(empty.data).mean((0, 1)).astype(np.float32)
    path = tmp_path / f"vacuum.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, pattern)
    elif suffix == "npy":
        np.save(path, pattern)
    else:
        kind = "electron_diffraction"
        axis = {"size": 32, "scale": 2.0, "offset": 0.0, "units": "mrad", "navigate": False}
        axes = [{**axis, "name": name, "index_in_array": n} for n, name in enumerate("yx")]
        metadata = {"General": {"title": "Vacuum"}, "Signal": {"signal_type": kind}}
        file_writer(str(path), signal_dictionary(pattern, axes, metadata))
    works("dgp", atoms, "-o", out, *QUICK, "--probe-prior", "fixed", "--vacuum", path)
    found = np.abs(np.fft.fft2(load_ptychography(out / "atoms_dgp.h5").probe[0])) ** 2
    np.testing.assert_allclose(
        np.fft.fftshift(found / found.sum()), pattern / pattern.sum(), atol=1e-5
    )


def test_frames_of_vacuum_need_not_form_a_scan(works, atoms, out, tmp_path):
    empty = scan_of_atoms(numbers=[1], places=[[200, 200]], side=3, dose=1e5)
    frames = np.asarray(empty.data).reshape(9, 1, 32, 32)
    write_merlin(tmp_path / "vacuum.mib", frames)
    (tmp_path / "vacuum.hdr").unlink()
    vacuum = ("--probe-prior", "fixed", "--vacuum", tmp_path / "vacuum.mib")
    works("dgp", atoms, "-o", out, *QUICK, *vacuum)
    found = np.abs(np.fft.fft2(load_ptychography(out / "atoms_dgp.h5").probe[0])) ** 2
    expected = frames.mean((0, 1)) / frames.mean((0, 1)).sum()
    np.testing.assert_allclose(np.fft.fftshift(found / found.sum()), expected, atol=1e-5)
