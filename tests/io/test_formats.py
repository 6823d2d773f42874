"""Scans in other formats: one reader, the calibration in Å and mrad, clear errors."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from stem_plugins import Acquisition
from stem_plugins.io import acquisition_from_signal, read_scan, scan_axes
from stem_plugins.optics import wavelength

SCAN = np.arange(2 * 3 * 4 * 5, dtype="u2").reshape(2, 3, 4, 5)


def axis(scale=1.0, offset=0.0, units="", size=16, **more):
    return {"scale": scale, "offset": offset, "units": units, "size": size, **more}


def test_calibration_from_axes_in_other_units():
    axes = [axis(5e-5, 0, "µm"), axis(40, 0, "pm"), axis(2e-3, -0.01, "rad"), axis(1, -7.5, "mrad")]
    found = acquisition_from_signal(axes, {})
    assert found.scan_step == pytest.approx((0.5, 0.4))
    assert found.diffraction_step == pytest.approx((2, 1))
    assert found.center == pytest.approx((5, 7.5))


def test_reciprocal_axes_need_the_beam_energy():
    axes = [axis(0.1, 0, "nm")] * 2 + [axis(0.05, -0.4, "1/Å")] * 2
    with pytest.warns(UserWarning, match=r"1/Å.*Pass beam_energy"):
        unknown = acquisition_from_signal(axes, {})
    assert unknown.diffraction_step is None
    assert unknown.center == pytest.approx((8, 8))  # the centre does not need it
    by_argument = acquisition_from_signal(axes, {}, beam_energy=80)
    microscope = {"Acquisition_instrument": {"TEM": {"beam_energy": 80.0}}}
    by_metadata = acquisition_from_signal(axes, microscope)
    assert by_argument == by_metadata
    assert by_argument.diffraction_step == pytest.approx((0.05 * wavelength(80) * 1e3,) * 2)


@pytest.mark.parametrize("units", ["px", "", None, "<undefined>", "cm"])
def test_axes_without_calibration_stay_unknown(units):
    assert acquisition_from_signal([axis(units=units)] * 4, {}).diffraction_step is None
    assert acquisition_from_signal([axis(units="px")] * 4, {}) == Acquisition()


def test_axes_that_are_not_uniform_are_not_calibrated():
    axes = [{"axis": np.arange(4), "units": "nm", "size": 4}] * 4
    assert acquisition_from_signal(axes, {}) == Acquisition()


def test_zeros_in_metadata_mean_unknown():
    microscope = {"beam_energy": 0.0, "convergence_angle": "", "camera_length": 100}
    found = acquisition_from_signal(
        [axis()] * 4, {"Acquisition_instrument": {"TEM": microscope, "dwell_time": 0}}
    )
    assert found == Acquisition()


def test_axes_win_over_stored_values_because_users_change_them():
    stored = Acquisition(scan_step=0.2, diffraction_step=1, center=(7.5, 7.5), defocus=50)
    metadata = {"stem_plugins": {"acquisition": stored.to_dict()}}
    axes = scan_axes((16, 16, 16, 16), stored)
    assert acquisition_from_signal(axes, metadata) == stored
    # Every second scan position, detector binned by two, two binned pixels cropped at its start.
    for scan_axis in axes[:2]:
        scan_axis["scale"] *= 2
    for detector_axis in axes[2:]:
        detector_axis.update(scale=2.0, offset=-7.0 + 4.0, size=6)
    changed = acquisition_from_signal(axes, metadata)
    assert changed == stored.replace(scan_step=0.4, diffraction_step=2, center=(1.5, 1.5))


def test_cropped_pixels_move_the_stored_center_of_an_uncalibrated_detector():
    metadata = {"stem_plugins": {"acquisition": {"center": [7.0, 8.0]}}}
    axes = [axis()] * 2 + [axis(1, 2, "px"), axis(1, 3, "px")]
    assert acquisition_from_signal(axes, metadata).center == (5.0, 5.0)


def test_center_outside_the_detector_is_unknown():
    axes = [axis()] * 2 + [axis(1, 10, "mrad")] * 2
    assert acquisition_from_signal(axes, {}).center is None


def test_a_folder_is_called_one(tmp_path):
    with pytest.raises(ValueError, match="is a folder; give a file in it"):
        read_scan(tmp_path)


def test_merlin_files_go_to_the_merlin_reader(numbered):
    scan = read_scan(numbered(12), scan_shape=(3, 4), beam_energy=200)
    assert scan.data.dtype == ">u2"
    assert scan.acquisition == Acquisition(beam_energy=200, dwell_time=1e-3)
    assert read_scan(numbered(14), scan_shape=(3, 4), skip_frames=2).data[0, 0, 0, 0] == 2


def test_real_blockfile(data_dir):
    scan = read_scan(data_dir / "misc" / "rsciio_test1.blo")
    assert scan.data.shape == (3, 2, 144, 144)
    assert scan.acquisition == Acquisition(scan_step=128)  # 12.8 nm; the detector is in cm


@pytest.mark.parametrize("lazy", [True, False])
def test_real_scan_as_hdf5_and_npz(data_dir, lazy):
    binned = read_scan(data_dir / "fourd" / "ptychojl_64x64_bin4_48x48_u16.h5", lazy=lazy)
    assert binned.data.shape == (64, 64, 48, 48)
    assert binned.metadata["voltage_kV"] == 300
    full = read_scan(data_dir / "fourd" / "ptychojl_crop16x16_256x256_u8.npz", lazy=lazy)
    # The second is a part of the first at full resolution: [48:64, 48:64], binned by 4, cropped.
    crop = np.asarray(full.data, int)[:, :, 32:224, 32:224].reshape(16, 16, 48, 4, 48, 4)
    np.testing.assert_array_equal(crop.sum(axis=(3, 5)), np.asarray(binned.data)[48:, 48:])


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".hdf5"])
def test_bare_arrays(tmp_path, suffix, lazy):
    path = tmp_path / f"scan{suffix}"
    save(path, counts=SCAN, background=SCAN[0, 0])
    scan = read_scan(path, lazy=lazy, beam_energy=60)
    np.testing.assert_array_equal(np.asarray(scan.data), SCAN)
    assert isinstance(scan.data, np.ndarray) is not lazy
    assert scan.acquisition == Acquisition(beam_energy=60)
    stack = tmp_path / f"stack{suffix}"
    save(stack, frames=SCAN.reshape(6, 4, 5))
    np.testing.assert_array_equal(read_scan(stack, scan_shape=(2, 3), lazy=lazy).data, SCAN)
    with pytest.raises(ValueError, match=r"6, 4, 5.*pass scan_shape"):
        read_scan(stack)
    with pytest.raises(ValueError, match=r"holds 6 frames.*2 × 4 positions needs 8"):
        read_scan(stack, scan_shape=(2, 4))


def save(path: Path, **arrays: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, next(iter(arrays.values())))
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[f"group/{name}"] = array


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_several_scans_in_one_file(tmp_path, suffix):
    path = tmp_path / f"scans{suffix}"
    save(path, first=SCAN, second=SCAN + 1)
    with pytest.raises(ValueError, match=r"several arrays.*first \(2, 3, 4, 5\).*dataset="):
        read_scan(path)
    name = "second" if suffix == ".npz" else "group/second"
    np.testing.assert_array_equal(read_scan(path, dataset=name).data, SCAN + 1)
    with pytest.raises(ValueError, match="no array 'third'; it holds"):
        read_scan(path, dataset="third")


def test_dataset_of_wrong_dimension(tmp_path):
    save(tmp_path / "scan.h5", image=SCAN[0, 0])
    with pytest.raises(ValueError, match=r"shape \(4, 5\), not 4 dimensions"):
        read_scan(tmp_path / "scan.h5", dataset="group/image")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("scan.h5", b"no hdf5", "not a readable HDF5 file"),
        ("scan.npz", b"no zip", "scan.npz is not a readable NumPy file"),
        ("scan.npy", b"no npy", "scan.npy is not a readable NumPy file"),
        ("scan.npy", b"", "scan.npy is not a readable NumPy file"),
        ("scan.hspy", b"no hdf5", r"could not be read by RosettaSciIO \(HSPY"),
        ("scan.dm4", b"no dm4", r"could not be read by RosettaSciIO \(DigitalMicrograph"),
        ("scan.xyz", b"", "no reader for .xyz"),
        ("scan", b"", "no reader for files without suffix"),
    ],
)
def test_unreadable_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_scan(tmp_path / name)


def test_python_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "scan.npy", np.array([{"a": 1}]))
    with pytest.raises(ValueError, match=r"not a readable NumPy file of numbers.*Python objects"):
        read_scan(tmp_path / "scan.npy")


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no scan\.hspy in"):
        read_scan(tmp_path / "scan.hspy")


def test_merlin_options_for_other_files(tmp_path):
    save(tmp_path / "scan.npy", scan=SCAN)
    with pytest.raises(ValueError, match="skip_rows is an option for Merlin"):
        read_scan(tmp_path / "scan.npy", skip_rows=1)


def test_images_are_no_scans(data_dir):
    path = data_dir / "hrstem" / "example_Se_implanted_MoS2.dm3"
    with pytest.raises(ValueError, match=r"1024, 1024.*four dimensions"):
        read_scan(path)
