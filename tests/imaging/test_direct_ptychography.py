"""Direct ptychography against specimens that are known, and sums written out in NumPy."""

import threading
import weakref

import dask
import dask.array as da
import numpy as np
import pytest
from counted_arrays import CountedArray
from hypothesis import given, settings
from hypothesis import strategies as st
from weak_phase import SCAN, acquisition, angles_of_pixels, lens_wave, record, specimen

import stem_plugins.imaging.direct_ptychography as direct
from stem_plugins import MissingCalibrationError, fit_aberrations, ssb

EXPERIMENTS = {
    "in focus": {},
    "underfocus": {"defocus": 90.0},
    "aberrated": {
        "defocus": -40.0,
        "aberrations": {"C12": 25.0, "phi12": 0.4, "C21": 900.0, "phi21": -1.1, "C30": 2e5},
    },
    "turned": {"scan_rotation": 37.0, "defocus": 60.0},
    "mirrored and turned": {"scan_rotation": -118.0, "flip_y": True, "defocus": 60.0},
    "oblong pixels": {"diffraction_step": (2.2, 2.8)},
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_weak_phase_is_recovered(name):
    setup = acquisition(**EXPERIMENTS[name])
    phase, series = specimen()
    image = ssb(record(setup, series), setup, regularization=1e-6)
    assert image.dtype == np.complex64
    np.testing.assert_allclose(np.abs(image), 1, rtol=1e-6)
    # What second order leaves, and the single precision of the counts.
    np.testing.assert_allclose(np.angle(image), phase, atol=2e-5)


@pytest.mark.parametrize("lazy", [False, True])
def test_the_disc_shows_its_center(lazy):
    """With a hot pixel, and counts in the dark field."""
    setup = acquisition()
    data = record(setup, specimen()[1]) + 0.05
    data[..., 1, 20] = 50
    data = da.from_array(data, chunks=(8, 10, 24, 22)) if lazy else data
    found = direct.disc_center(data)
    np.testing.assert_allclose(found, setup.center, atol=0.3)
    given = np.angle(ssb(data, setup.replace(center=found)))
    np.testing.assert_array_equal(np.angle(ssb(data, setup.replace(center=None))), given)


@pytest.mark.parametrize("wrong", [{"defocus": -90.0}, {"scan_rotation": 40.0}, {"flip_y": True}])
def test_a_wrong_calibration_gives_another_image(wrong):
    setup = acquisition(defocus=90.0)
    phase, series = specimen()
    image = np.angle(ssb(record(setup, series), setup.replace(**wrong), regularization=1e-6))
    assert np.abs(image - phase).max() > 0.2 * np.abs(phase).max()


def test_kernel_equals_sums_written_out():
    setup = acquisition(**EXPERIMENTS["aberrated"])
    rng = np.random.default_rng(0)
    data = rng.poisson(5, (6, 7, 24, 22)).astype(np.uint16)
    task = direct._plan(data.shape[:2], data.shape[2:], setup)
    sums, electrons = direct._read(data, task, slice(0, None))
    mean = electrons / 42
    sums = sums.in_parts_of(mean)
    y, x = angles_of_pixels(setup, data.shape[2:])
    here = lens_wave(y, x, setup)
    norm = np.sum(np.abs(here) ** 2)
    spectra = np.fft.fft2(data / mean, axes=(0, 1))
    for row, column in np.ndindex(6, 4):
        qy, qx = (task.frequencies[0][row], task.frequencies[1][column])
        overlap = 1j * (
            here.conj() * lens_wave(y - qy, x - qx, setup)
            - here * lens_wave(y + qy, x + qx, setup).conj()
        )
        overlap /= norm
        signal = np.sum(overlap.conj() * spectra[row, column])
        np.testing.assert_allclose(sums.signal[row, column], signal, rtol=1e-4, atol=1e-9)
        weight = np.sum(np.abs(overlap) ** 2)
        np.testing.assert_allclose(sums.weight[row, column], weight, rtol=1e-9, atol=1e-15)


def test_noise_is_weighed_against_signal():
    """At low dose the automatic term beats every fixed one, at high dose it costs nothing."""
    setup = acquisition()
    phase, series = specimen(strength=0.1)
    expected = record(setup, series)
    expected /= expected.sum(axis=(2, 3)).mean()
    rng = np.random.default_rng(0)

    def error(data, regularization):
        image = np.angle(ssb(data, setup, regularization=regularization))
        return np.std(image - phase) / np.std(phase)

    fixed = (1e-3, 1e-2, 0.1, 1.0, 10.0)
    low = rng.poisson(expected * 30).astype(np.uint16)
    assert error(low, None) < 0.8 * min(error(low, one) for one in fixed)
    high = rng.poisson(expected * 1e6).astype(np.uint32)
    assert error(high, None) < 1.1 * min(error(high, one) for one in fixed)


def test_counts_without_quiet_pixels_use_their_statistics(monkeypatch):
    setup = acquisition()
    phase, series = specimen(strength=0.02)
    expected = record(setup, series)
    counts = np.random.default_rng(0).poisson(expected / expected.sum() * expected.size / 10)
    measured = np.angle(ssb(counts, setup))
    monkeypatch.setattr(direct, "ENOUGH_QUIET", 10**12)
    assumed = np.angle(ssb(counts, setup))
    assert np.corrcoef(measured.ravel(), assumed.ravel())[0, 1] > 0.98
    # Expected intensities have no counting noise.
    sure = np.angle(ssb(expected, setup))
    assert np.std(sure - phase) < 0.1 * np.std(phase)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["u1", ">u2", "<u4", "i4", "f4", ">f8", "?"]),
    st.tuples(st.integers(1, 5), st.integers(1, 6)),
    st.tuples(st.integers(1, 5), st.integers(1, 6)),
)
def test_lazy_equals_eager_for_all_types_and_chunks(dtype, scan, chunks):
    rng = np.random.default_rng(1)
    data = rng.poisson(0.7, (*scan, 24, 22)).clip(0, 1).astype(dtype)
    data[0, 0, 12, 10] = 1
    lazy = ssb(da.from_array(data, chunks=(*chunks, 13, 11)), acquisition())
    assert isinstance(lazy, da.Array)
    eager = ssb(data, acquisition())
    assert eager.shape == scan
    np.testing.assert_array_equal(lazy.compute(), eager)


def test_groups_of_pixels_of_lazy_data_follow_each_other(monkeypatch):
    """Never more than one of them is in memory, with however many threads."""
    setup = acquisition(defocus=90.0)
    data = record(setup, specimen()[1])
    group = 4 * 24 * 30 * 12
    monkeypatch.setattr(direct, "GROUP_BYTES", 2 * group)
    held, most, lock = [0], [0], threading.Lock()
    select = direct._select

    def counted(*arguments, **options):
        found = select(*arguments, **options)
        size = found.counts.nbytes
        with lock:
            held[0] += size
            most[0] = max(most[0], held[0])
        weakref.finalize(found, lambda: held.__setitem__(0, held[0] - size))
        return found

    monkeypatch.setattr(direct, "_select", counted)
    expected = ssb(data, setup)
    assert len(list(direct._plan(SCAN, (24, 22), setup).groups())) > 5
    held[0], most[0] = 0, 0
    image = ssb(da.from_array(data, chunks=(7, 30, 24, 22)), setup)
    with dask.config.set(scheduler="threads", num_workers=4):
        np.testing.assert_array_equal(image.compute(), expected)
    assert 0 < most[0] <= group


def test_what_lies_in_a_file_is_read_block_by_block(monkeypatch):
    setup = acquisition(defocus=90.0)
    data = np.random.default_rng(0).poisson(record(setup, specimen()[1]) * 1e4).astype(np.uint16)
    monkeypatch.setattr("stem_plugins.lazy.blocks.BLOCK_BYTES", data[:4].nbytes)
    stored = CountedArray(data, (4, 5, 24, 22))
    for calibration in (setup, setup.replace(center=None)):
        image = ssb(stored, calibration)
        assert type(image) is np.ndarray
        np.testing.assert_array_equal(image, ssb(data, calibration))
    assert stored.largest == data[:4].nbytes
    found = fit_aberrations(stored, setup, fit=["defocus"])
    expected = fit_aberrations(data, setup, fit=["defocus"])
    assert found.acquisition.defocus == pytest.approx(expected.acquisition.defocus, abs=1e-3)


def test_pixels_read_in_turns_give_the_same(monkeypatch):
    setup = acquisition(defocus=90.0)
    data = np.random.default_rng(0).poisson(record(setup, specimen()[1]) * 10).astype(np.uint16)
    whole = np.angle(ssb(data, setup))
    monkeypatch.setattr(direct, "GROUP_BYTES", 8 * 24 * 30 * 20)
    assert len(list(direct._plan(SCAN, (24, 22), setup).groups())) > 5
    for turns in (ssb(data, setup), ssb(da.from_array(data, chunks=(7, 30, 24, 22)), setup)):
        np.testing.assert_allclose(np.angle(turns), whole, atol=1e-5 * np.abs(whole).max())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"convergence_angle": 0.5}, "at least 4"),
        ({"center": (40.0, 10.0)}, "lies on the detector"),
        ({"convergence_angle": 80.0}, "lies on the detector"),
    ],
)
def test_a_disc_that_is_not_there_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ssb(np.ones((4, 4, 24, 22)), acquisition(**changes))


def test_bad_input_is_named():
    data = np.ones((4, 5, 24, 22))
    with pytest.raises(MissingCalibrationError, match="scan_step"):
        ssb(data, acquisition(scan_step=None))
    with pytest.raises(ValueError, match="regularization"):
        ssb(data, acquisition(), regularization=-1)
    with pytest.raises(ValueError, match="4D"):
        ssb(data[0], acquisition())
    with pytest.raises(ValueError, match="no counts"):
        ssb(0 * data, acquisition())
    dead = data.copy()
    dead[..., 0, 0] = np.nan  # beside the disc
    np.testing.assert_allclose(np.angle(ssb(dead, acquisition())), 0, atol=1e-6)
    data[1, 2, 12, 10] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        ssb(data, acquisition())
    with pytest.raises(ValueError, match="NaN"):
        ssb(da.from_array(data), acquisition()).compute()


def test_a_scan_without_structure_is_flat():
    image = ssb(np.ones((6, 5, 24, 22)), acquisition())
    np.testing.assert_allclose(np.angle(image), 0, atol=1e-6)
