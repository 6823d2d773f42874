"""Scans written for HyperSpy and Merlin, and converted between them."""

import dask.array as da
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rsciio import hspy

from stem_plugins import Acquisition
from stem_plugins.io import (
    Scan,
    convert,
    iter_convert,
    iter_write_scan,
    read_scan,
    scan_axes,
    scan_writer,
    write_scan,
)
from stem_plugins.io.signal_dictionary import signal_dictionary

CALIBRATED = Acquisition(
    beam_energy=300,
    convergence_angle=1.03,
    scan_step=(31.25, 30.0),
    diffraction_step=(0.05, 0.06),
    center=(3.25, 2.5),
    scan_rotation=-126,
    flip_y=False,
    defocus=135000,
    aberrations={"C30": 1e7},
    dwell_time=1e-3,
    dose=12.5,
)
COUNTS = np.random.default_rng(0).poisson(3, (5, 7, 8, 6)).astype("u2")


@pytest.mark.parametrize("suffix", [".hspy", ".zspy", ".mib"])
@pytest.mark.parametrize("lazy", [True, False])
def test_round_trip(tmp_path, suffix, lazy):
    path = tmp_path / f"scan{suffix}"
    data = da.from_array(COUNTS, (2, 3, 4, 3)) if lazy else COUNTS
    write_scan(path, Scan(data, CALIBRATED), title="a/b")
    for read_lazy in (True, False):
        scan = read_scan(path, lazy=read_lazy)
        np.testing.assert_array_equal(np.asarray(scan.data), COUNTS)
        assert scan.acquisition == CALIBRATED
    assert not any(".part" in file.name for file in tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".hspy", ".zspy"])
@settings(
    deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    hnp.arrays(
        st.sampled_from(["u1", ">u2", "i4", "f4", ">f8", "?"]),
        hnp.array_shapes(min_dims=4, max_dims=4, max_side=5),
    )
)
def test_every_real_type_is_kept_in_native_order(tmp_path, suffix, data):
    path = tmp_path / f"scan{suffix}"
    write_scan(path, Scan(data), overwrite=True)
    scan = read_scan(path, lazy=False)
    assert scan.data.dtype == data.dtype.newbyteorder("=")
    np.testing.assert_array_equal(scan.data, data)
    assert scan.acquisition == Acquisition()


@pytest.mark.filterwarnings("ignore")  # pyxem and HyperSpy warn about each other when imported
@pytest.mark.parametrize("suffix", [".hspy", ".zspy"])
@pytest.mark.parametrize("lazy", [True, False])
def test_hyperspy_loads_calibrated_axes(tmp_path, suffix, lazy):
    hs = pytest.importorskip("hyperspy.api")
    path = tmp_path / f"scan{suffix}"
    write_scan(path, Scan(COUNTS, CALIBRATED), title="virus")
    signal = hs.load(path, lazy=lazy)
    axes = {item.name: (item.scale, item.offset, item.units) for item in signal.axes_manager._axes}
    assert axes["y"] == (3.125, 0, "nm")
    assert axes["x"] == (3.0, 0, "nm")
    assert axes["ky"] == pytest.approx((0.05, -3.25 * 0.05, "mrad"))
    assert axes["kx"] == pytest.approx((0.06, -2.5 * 0.06, "mrad"))
    assert signal.axes_manager.navigation_shape == (7, 5)
    assert signal.axes_manager.signal_shape == (6, 8)
    assert signal._lazy is lazy
    assert signal.metadata.Signal.signal_type == "4d_stem"
    assert signal.metadata.General.title == "virus"
    assert signal.metadata.Acquisition_instrument.TEM.beam_energy == 300
    np.testing.assert_array_equal(signal.data, COUNTS)


@pytest.mark.parametrize("suffix", [".hspy", ".zspy"])
def test_chunks_in_the_file_are_even_and_never_cut_the_detector(tmp_path, suffix, monkeypatch):
    monkeypatch.setitem(scan_writer.CHUNK_BYTES, suffix, 20 * 8 * 6 * 2)
    data = da.ones((12, 18, 8, 6), chunks=(6, 18, 4, 6), dtype="u2")
    write_scan(tmp_path / f"scan{suffix}", Scan(data))
    assert read_scan(tmp_path / f"scan{suffix}").data.chunksize == (3, 3, 8, 6)


def test_chunks_of_sizes_that_do_not_divide(tmp_path, monkeypatch):
    monkeypatch.setitem(scan_writer.CHUNK_BYTES, ".zspy", 16 * 4)
    write_scan(tmp_path / "scan.zspy", Scan(np.ones((13, 7, 2, 2), "u1")))
    assert read_scan(tmp_path / "scan.zspy").data.chunks[:2] == ((4, 4, 4, 1), (4, 3))


@pytest.mark.parametrize("suffix", [".hspy", ".zspy", ".mib"])
def test_no_more_than_a_few_blocks_are_computed_at_once(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr("stem_plugins.io.scan_blocks.BLOCK_BYTES", 1)
    held = []

    def make(block_info):
        held.append(block_info[None]["chunk-location"])
        return np.ones(block_info[None]["chunk-shape"], "u1")

    data = da.map_blocks(
        make, chunks=((2, 2, 2), (4, 4), (3,), (3,)), dtype="u1", meta=np.empty((0,) * 4, "u1")
    )
    monkeypatch.setattr(
        scan_writer,
        "scan_blocks",
        lambda data: [
            (slice(i, i + 2), slice(j, j + 4)) for i in range(0, 6, 2) for j in range(0, 8, 4)
        ],
    )
    steps = iter_write_scan(
        tmp_path / f"scan{suffix}", Scan(data), counter_depth=1 if suffix == ".mib" else None
    )
    next(steps)
    if suffix != ".mib":
        assert len(held) == 1
    for _ in steps:
        pass
    assert len(held) == len(set(held)) == 6


@pytest.mark.parametrize("suffix", [".hspy", ".zspy", ".mib"])
def test_existing_files_are_not_overwritten(tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    write_scan(path, Scan(COUNTS, CALIBRATED))
    with pytest.raises(FileExistsError, match="exists already"):
        write_scan(path, Scan(COUNTS + 1))
    np.testing.assert_array_equal(np.asarray(read_scan(path).data), COUNTS)
    write_scan(path, Scan(COUNTS + 1), overwrite=True)
    np.testing.assert_array_equal(np.asarray(read_scan(path).data), COUNTS + 1)
    assert len(list(tmp_path.iterdir())) == (2 if suffix == ".mib" else 1)


@pytest.mark.parametrize("name", ["scan.zspy", "scan.hspy", "scan.mib"])
def test_folders_of_other_things_are_never_replaced(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="is a folder, which is not overwritten"):
        write_scan(tmp_path / name, Scan(COUNTS), overwrite=True)
    assert (tmp_path / name / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("suffix", [".hspy", ".zspy", ".mib"])
def test_failure_and_cancel_leave_what_was_there(tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    write_scan(path, Scan(COUNTS, CALIBRATED))
    before = sorted(tmp_path.iterdir())

    def fail(block, block_id):
        if block_id[0] == 2:
            raise RuntimeError("the disk is on fire")
        return block

    blocks = da.ones((300, 1, 1024, 512), chunks=(100, 1, 1024, 512), dtype="u1")
    broken = blocks.map_blocks(fail, dtype="u1", meta=blocks._meta)
    steps = iter_write_scan(path, Scan(broken), overwrite=True, counter_depth=_depth(suffix))
    next(steps)
    assert sorted(tmp_path.iterdir()) != before
    steps.close()
    assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(RuntimeError, match="on fire"):
        write_scan(path, Scan(broken[100:]), overwrite=True, counter_depth=_depth(suffix))
    assert sorted(tmp_path.iterdir()) == before
    np.testing.assert_array_equal(np.asarray(read_scan(path).data), COUNTS)


def _depth(suffix: str) -> int | None:
    return 6 if suffix == ".mib" else None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((2, 3, 4)), "four dimensions"),
        (np.zeros((2, 3, 4, 0)), "empty"),
        (np.zeros((2, 3, 4, 5), complex), "real numbers"),
    ],
)
def test_what_is_no_scan(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        write_scan(tmp_path / "scan.zspy", Scan(data))


def test_unknown_suffix(tmp_path):
    with pytest.raises(ValueError, match=r"\.hspy, \.zspy or \.mib, not as '\.tif'"):
        write_scan(tmp_path / "scan.tif", Scan(COUNTS))


REAL_SCANS = ["ptychojl_64x64_bin4_48x48_u16.h5", "ptychojl_crop16x16_256x256_u8.npz"]


@pytest.mark.parametrize("name", REAL_SCANS)
@pytest.mark.parametrize("suffix", [".zspy", ".hspy"])
def test_real_scan_to_merlin_and_back(data_dir, tmp_path, name, suffix):
    source = data_dir / "fourd" / name
    real = np.asarray(read_scan(source).data)
    convert(source, tmp_path / "scan.mib", acquisition=CALIBRATED.replace(center=(20, 21)))
    convert(tmp_path / "scan.mib", tmp_path / f"back{suffix}")
    back = read_scan(tmp_path / f"back{suffix}")
    np.testing.assert_array_equal(np.asarray(back.data), real)
    assert back.acquisition == CALIBRATED.replace(center=(20, 21))


def test_known_values_replace_those_of_the_source(tmp_path):
    write_scan(tmp_path / "scan.mib", Scan(COUNTS, CALIBRATED))
    convert(tmp_path / "scan.hdr", tmp_path / "scan.zspy", acquisition=Acquisition(beam_energy=80))
    assert read_scan(tmp_path / "scan.zspy").acquisition == CALIBRATED.replace(beam_energy=80)


def test_conversion_shows_progress_and_can_be_cancelled(tmp_path):
    np.save(tmp_path / "stack.npy", COUNTS.reshape(35, 8, 6))
    before = list(tmp_path.iterdir())
    steps = iter_convert(tmp_path / "stack.npy", tmp_path / "scan.mib", scan_shape=(5, 7))
    assert next(steps) == (1, 2)
    steps.close()
    assert list(tmp_path.iterdir()) == before
    steps = iter_convert(tmp_path / "stack.npy", tmp_path / "scan.mib", scan_shape=(5, 7))
    assert list(steps) == [(1, 2), (2, 2)]


@pytest.mark.parametrize(("source", "target"), [("a.mib", "a.mib"), ("a.hdr", "a.mib")])
def test_source_and_target_must_differ(tmp_path, source, target):
    write_scan(tmp_path / "a.mib", Scan(COUNTS))
    with pytest.raises(ValueError, match="same file"):
        convert(tmp_path / source, tmp_path / target, overwrite=True)


def test_signals_that_are_no_scans(tmp_path):
    write_scan(tmp_path / "scan.hspy", Scan(COUNTS))
    with h5py.File(tmp_path / "scan.hspy", "r+") as file:
        group = file["Experiments/__unnamed__"]
        group["axis-1"].attrs["navigate"] = False
    with pytest.raises(ValueError, match=r"1 navigation and 3 signal axes.*transpose"):
        read_scan(tmp_path / "scan.hspy")


def test_several_signals_in_one_file(tmp_path):
    write_scan(tmp_path / "scan.hspy", Scan(COUNTS), title="first")
    with h5py.File(tmp_path / "scan.hspy", "r+") as file:
        file.copy("Experiments/first", "Experiments/second")
        file["Experiments/second/metadata/General"].attrs["title"] = "second"
        file["Experiments/second/data"][...] = 5
    with pytest.raises(ValueError, match=r"0: first .*1: second .*dataset="):
        read_scan(tmp_path / "scan.hspy")
    assert (read_scan(tmp_path / "scan.hspy", dataset="second", lazy=False).data == 5).all()
    assert (read_scan(tmp_path / "scan.hspy", dataset=1, lazy=False).data == 5).all()
    with pytest.raises(ValueError, match="no signal 'third'"):
        read_scan(tmp_path / "scan.hspy", dataset="third")


def test_hyperspy_file_under_another_suffix(tmp_path):
    write_scan(tmp_path / "scan.hspy", Scan(COUNTS, CALIBRATED))
    (tmp_path / "scan.hspy").rename(tmp_path / "scan.h5")
    assert read_scan(tmp_path / "scan.h5").acquisition == CALIBRATED


def test_stack_of_frames_in_a_hyperspy_file(tmp_path):
    path = tmp_path / "stack.hspy"
    axes = scan_axes(COUNTS.shape, CALIBRATED)[1:]
    axes[0]["size"] = 35
    hspy.file_writer(
        str(path),
        signal_dictionary(COUNTS.reshape(35, 8, 6), axes, {"General": {"title": "stack"}}),
    )
    with pytest.raises(ValueError, match=r"35, 8, 6.*pass scan_shape"):
        read_scan(path)
    scan = read_scan(path, scan_shape=(5, 7))
    np.testing.assert_array_equal(scan.data.compute(), COUNTS)
    assert scan.acquisition.diffraction_step == CALIBRATED.diffraction_step
    assert scan.acquisition.scan_step is None


def test_read_only_zspy_can_be_read_lazily(tmp_path):
    path = tmp_path / "scan.zspy"
    write_scan(path, Scan(COUNTS, CALIBRATED))
    stamps = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    np.testing.assert_array_equal(read_scan(path).data.compute(), COUNTS)
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == stamps


def test_a_bare_array_is_refused_with_the_way_to_wrap_it(tmp_path):
    with pytest.raises(ValueError, match=r"Scan\(data, acquisition\)"):
        write_scan(tmp_path / "scan.zspy", np.zeros((2, 2, 4, 4), np.uint8))
