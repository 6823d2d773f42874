"""Restoration and scan correction of signals: axes, calibration, laziness, and words for errors."""

import dask.array as da
import hyperspy.api as hs
import numpy as np
import pytest
from unusable_weights import damaged_weights, newer_weights

pytest.importorskip("torch")

from stem_plugins import apply_scan_shifts as correct_array
from stem_plugins import distort, restore
from stem_plugins.hyperspy import (
    STEM4D,
    LazySTEM4D,
    LazySTEMImage,
    STEMImage,
    apply_scan_shifts,
    scan_shifts,
)


def lattice(ny=64, nx=80):
    """A crystal whose structure shows shifts in both directions."""
    y, x = np.indices((ny, nx))
    return 1.2 + 0.5 * np.cos(0.8 * x) * np.cos(0.7 * y) + 0.4 * np.cos(0.5 * (x + y))


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(8 * lattice())


@pytest.fixture
def image(counts):
    signal = hs.signals.Signal2D(counts)
    signal.metadata.General.title = "ADF"
    signal.set_signal_type("stem_image")
    signal.set_acquisition(beam_energy=200, scan_step=(0.2, 0.25))
    for axis, name in zip(signal.axes_manager.signal_axes, "xy", strict=True):
        axis.name, axis.offset = name, 3.5
    return signal


def test_restored_image_is_calibrated_and_says_what_made_it(image, counts):
    restored = image.restore(model="fft")
    assert type(restored) is STEMImage
    # The same as the function on arrays, which its own tests compare with the truth.
    np.testing.assert_array_equal(restored.data, restore(counts, model="fft"))
    for new, old in zip(
        restored.axes_manager.signal_axes, image.axes_manager.signal_axes, strict=True
    ):
        assert new.get_axis_dictionary() == old.get_axis_dictionary()
    assert restored.metadata.General.title == "Restored ADF"
    assert restored.acquisition.beam_energy == 200
    made = restored.metadata.stem_plugins
    assert (made.method, made.source) == ("restore", "ADF")
    assert made.parameters.model == "fft"
    assert made.parameters.scan_axis == "x"
    assert image.metadata.General.title == "ADF"
    assert not image.metadata.has_item("stem_plugins.method")


def test_restoring_removes_noise(image):
    clean = 8 * lattice()
    before, after = image.data - clean, image.restore(model="fft").data - clean
    assert np.std(after) < 0.6 * np.std(before)


def test_evidence_is_calibrated_and_laziness_changes_nothing(image, counts):
    restored, maps = image.restore(model="fft", return_evidence=True)
    expected, evidence = restore(counts, model="fft", return_evidence=True)
    np.testing.assert_array_equal(restored.data, expected)
    np.testing.assert_array_equal(maps.consistency.data, evidence.consistency)
    np.testing.assert_array_equal(maps.unexplained.data, evidence.unexplained)
    np.testing.assert_array_equal(maps.spread.data, evidence.spread)
    assert maps.unexplained.metadata.General.title == "Unexplained by restored ADF"
    assert maps.unexplained.metadata.Signal.quantity == "Difference (expected noise)"
    lazy = image.as_lazy()
    again, lazy_maps = lazy.restore(model="fft", return_evidence=True)
    assert type(lazy_maps.spread) is LazySTEMImage
    again, computed = lazy.restore(model="fft", return_evidence=True, lazy_output=False)
    np.testing.assert_array_equal(again.data, expected)
    for name in ("consistency", "unexplained", "spread"):
        one, other = getattr(maps, name), getattr(computed, name)
        assert type(other) is STEMImage
        assert other.axes_manager[0].scale == pytest.approx(0.025)
        np.testing.assert_array_equal(one.data, other.data)


def test_a_pedestal_is_removed_when_asked_for():
    # Poisson counts on a constant offset of the electronics.
    counts = np.random.default_rng(4).poisson(10 * lattice(128, 128)) + 40
    image = STEMImage(counts)
    kept = image.restore(model="fft")
    removed = image.restore(model="fft", remove_pedestal=True)
    assert removed.metadata.stem_plugins.parameters.remove_pedestal
    np.testing.assert_allclose(kept.data - removed.data, 40, atol=6)


@pytest.mark.parametrize("shape", [(64, 80), (3, 64, 80), (2, 3, 40, 48)])
def test_lazy_equals_eager(shape):
    data = np.random.default_rng(1).poisson(5, shape)
    eager = STEMImage(data)
    lazy = eager.as_lazy()
    lazy.data = lazy.data.rechunk((*[1] * (len(shape) - 2), 17, 23))
    expected = eager.restore(model="fft")
    result = lazy.restore(model="fft")
    assert type(result) is LazySTEMImage
    assert type(eager.restore(model="fft", lazy_output=True)) is LazySTEMImage
    computed = lazy.restore(model="fft", lazy_output=False)
    assert type(computed) is STEMImage
    result.compute()
    for one in (result, computed):
        np.testing.assert_array_equal(one.data, expected.data)
        assert one.axes_manager.shape == expected.axes_manager.shape


def test_axis_by_name_place_and_direction(image, counts):
    along_y = restore(counts, model="fft", scan_axis=-2)
    assert not np.array_equal(along_y, restore(counts, model="fft"))
    np.testing.assert_array_equal(image.restore(model="fft", scan_axis="y").data, along_y)
    # Names win over places: HyperSpy images can be transposed.
    image.axes_manager[0].name, image.axes_manager[1].name = "y", "x"
    np.testing.assert_array_equal(image.restore(model="fft", scan_axis="x").data, along_y)
    image.axes_manager[0].name, image.axes_manager[1].name = "width", "height"
    np.testing.assert_array_equal(image.restore(model="fft", scan_axis="y").data, along_y)
    np.testing.assert_array_equal(image.restore(model="fft", scan_axis="height").data, along_y)


def test_what_is_no_image_is_refused_in_words(image):
    wave = hs.signals.ComplexSignal2D(np.ones((40, 40), complex))
    wave.set_signal_type("stem_image")
    with pytest.raises(ValueError, match="amplitude"):
        wave.restore(model="fft")
    colors = hs.signals.Signal1D(np.zeros((40, 40, 3), np.uint8))
    colors.change_dtype("rgb8")
    colors.set_signal_type("stem_image")
    with pytest.raises(ValueError, match="colours are no intensities"):
        colors.restore(model="fft")
    with pytest.raises(ValueError, match=r"two\. Choose them"):
        STEMImage.restore(image.transpose(signal_axes=1), model="fft")
    with pytest.raises(ValueError, match="'x', 'y' or the name of an image axis"):
        image.restore(model="fft", scan_axis="energy")
    with pytest.raises(ValueError, match="scan_direction"):
        image.restore(model="fft", scan_direction=0)
    with pytest.raises(ValueError, match="no model 'fourier'"):
        image.restore(model="fourier")


def test_an_amplitude_can_be_restored(counts):
    wave = hs.signals.ComplexSignal2D(counts * np.exp(0.3j))
    wave.set_signal_type("stem_image")
    amplitude = wave.amplitude
    amplitude.set_signal_type("stem_image")
    np.testing.assert_allclose(
        amplitude.restore(model="fft").data, restore(counts, model="fft"), atol=1e-3
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [(damaged_weights, "is damaged"), (newer_weights, "newer version: update stem-plugins")],
)
def test_weights_that_cannot_be_used(image, tmp_path, make, words):
    path = make(tmp_path / "mine.safetensors")
    for one in (image, image.as_lazy()):
        with pytest.raises(ValueError, match=words) as caught:
            one.restore(model=path)
        assert str(path) in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        image.restore(model=tmp_path / "none.safetensors")


def test_images_that_say_little(counts):
    constant = STEMImage(np.full((40, 48), 7, np.uint16))
    np.testing.assert_array_equal(constant.restore(model="fft").data, 7)
    saturated = STEMImage(np.minimum(counts * 16, 255).astype(np.uint8))
    with pytest.warns(UserWarning, match="largest number of uint8: the image is saturated"):
        saturated.restore(model="fft")
    with pytest.warns(UserWarning, match="12 × 20 px holds too little"):
        assert STEMImage(counts[:12, :20]).restore(model="fft").data.shape == (12, 20)


def test_huge_lazy_images_are_planned_at_once():
    huge = LazySTEMImage(da.zeros((16384, 16384), np.uint16, chunks=2048))
    restored = huge.restore(model="fft")
    assert type(restored) is LazySTEMImage
    assert restored.data.shape == (16384, 16384)


def test_missing_pixels_are_said_and_stay_missing(image):
    image.change_dtype("float32")
    image.data[3, 5] = np.nan
    with pytest.warns(UserWarning, match="1 of 5120 pixels"):
        restored = image.restore(model="fft")
    assert np.flatnonzero(np.isnan(restored.data)).tolist() == [3 * 80 + 5]


def test_progress_is_shown_when_asked_for(image, capsys):
    image.restore(model="fft", show_progressbar=False)
    assert capsys.readouterr().err == ""
    image.restore(model="fft", show_progressbar=True)
    assert "100%" in capsys.readouterr().err


@pytest.fixture(scope="module")
def jittered():
    """A recorded image, and where each row of it was recorded."""
    true = np.random.default_rng(3).normal(0, 0.4, (64, 2))
    recorded = distort(
        0.1 * lattice(), pixel_size=0.2, dose=1e6, rng=np.random.default_rng(1), shifts=true
    )
    return recorded, true


def test_shifts_of_rows_and_of_columns(jittered):
    recorded, true = jittered
    image, clean = STEMImage(recorded), STEMImage(0.1 * lattice())
    shifts = scan_shifts(image, clean)
    assert np.std(shifts.mean(axis=1) - true) < 0.05
    # Turned, the fast scan runs along y, and so do the vectors.
    turned = scan_shifts(STEMImage(recorded.T), clean.data.T, scan_axis="y")
    np.testing.assert_allclose(turned, shifts.transpose(1, 0, 2)[..., ::-1])
    with pytest.raises(ValueError, match="take one image"):
        scan_shifts(STEMImage(np.ones((2, 64, 80))), clean)


def test_correction_of_patterns_follows_the_image(jittered):
    recorded, true = jittered
    pattern = np.arange(12.0).reshape(3, 4)
    scan = STEM4D(recorded[..., None, None] * pattern)
    scan.metadata.General.title = "scan"
    scan.set_acquisition(beam_energy=200, scan_step=0.2, diffraction_step=2, center=(1, 1.5))
    image = scan.virtual_image(mask=np.ones((3, 4)))
    corrected = scan.correct_scan(image, restored=0.1 * lattice())
    assert type(corrected) is STEM4D
    assert corrected.acquisition.to_dict() == scan.acquisition.to_dict()
    assert corrected.metadata.General.title == "Scan-corrected scan"

    def error(image):
        return np.std((image - 0.1 * lattice())[2:-2, 2:-2])

    # Noise, tail and interpolation stay: as good as by the shifts with which it was recorded.
    best = error(correct_array(recorded, np.broadcast_to(true[:, None], (64, 80, 2))))
    after = error(corrected.data.sum((2, 3)) / pattern.sum())
    assert best < 0.7 * error(recorded)
    assert after < 1.05 * best
    # Each detector pixel keeps its counts, and every pattern its form.
    kept = corrected.data.sum((0, 1)) / np.maximum(scan.data.sum((0, 1)), 1e-9)
    np.testing.assert_allclose(kept.ravel()[1:], 1, atol=0.01)

    lazy = scan.as_lazy()
    lazy.data = lazy.data.rechunk((10, 33, -1, -1))
    later = lazy.correct_scan(lazy.virtual_image(mask=np.ones((3, 4))), restored=0.1 * lattice())
    assert type(later) is LazySTEM4D
    later.compute()
    np.testing.assert_array_equal(later.data, corrected.data)


def test_correction_by_the_filter_alone(jittered):
    recorded, true = jittered
    scan = STEM4D(np.ones((64, 80, 2, 2)))
    made = scan.correct_scan(recorded, model="fft").metadata.stem_plugins.parameters
    assert made.model == "fft"
    assert made.rms_shift[1] == pytest.approx(np.sqrt(np.mean(true[:, 1] ** 2)), rel=0.5)


def test_spectra_and_images_are_moved_too(jittered):
    recorded, true = jittered
    shifts = np.broadcast_to(true[:, None], (64, 80, 2))
    image = STEMImage(recorded).apply_scan_shifts(shifts)
    spectra = hs.signals.Signal1D(recorded[..., None] * np.arange(3))
    moved = apply_scan_shifts(spectra, shifts)
    assert type(moved) is hs.signals.Signal1D
    np.testing.assert_allclose(moved.data[..., 2], 2 * image.data, rtol=1e-6)
    for stack in (STEMImage(np.ones((2, 3, 40, 48))), hs.signals.Signal1D(np.ones((5, 6)))):
        with pytest.raises(ValueError, match="no scan"):
            apply_scan_shifts(stack, np.zeros((2, 3, 2)))


def test_an_image_of_another_scan_is_refused(jittered):
    scan = STEM4D(np.ones((64, 80, 2, 2)))
    with pytest.raises(ValueError, match="64 × 80 positions"):
        scan.correct_scan(jittered[0][:-1])
    with pytest.raises(ValueError, match="constant"):
        scan.correct_scan(np.ones((64, 80)), model="fft")
