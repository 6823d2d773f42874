"""Direct ptychography of signals: calibrated, lazy or not, and in words where it cannot be."""

import hyperspy.api as hs
import numpy as np
import pytest
import weak_phase

import stem_plugins
from stem_plugins import MissingCalibrationError
from stem_plugins.hyperspy import STEM4D
from stem_plugins.hyperspy.stem_image import ComplexSTEMImage, LazyComplexSTEMImage


@pytest.fixture
def scan(signal):
    """The scan, with a disc that lies on its detector of 14 × 17 pixels."""
    signal.set_acquisition(convergence_angle=8)
    return signal


def test_image_is_that_of_arrays_on_the_axes_of_the_scan(scan, patterns):
    image = scan.ssb(regularization=0.1)
    assert type(image) is ComplexSTEMImage
    expected = stem_plugins.ssb(patterns, scan.acquisition, regularization=0.1)
    np.testing.assert_array_equal(image.data, expected)
    scales = [axis.scale for axis in image.axes_manager.signal_axes]
    assert scales == [axis.scale for axis in scan.axes_manager.navigation_axes]
    node = image.metadata.stem_plugins.as_dictionary()
    assert node["method"] == "ssb"
    assert node["parameters"] == {"regularization": 0.1}
    assert image.metadata.General.title == "Direct ptychography of scan"
    np.testing.assert_allclose(image.phase.data, np.angle(expected), atol=1e-6)


def test_laziness_follows_the_data_or_the_wish(scan):
    eager = scan.ssb()
    lazy = scan.as_lazy().ssb()
    assert type(lazy) is LazyComplexSTEMImage
    assert scan.ssb(lazy_output=True)._lazy
    computed = scan.as_lazy().ssb(lazy_output=False)
    assert type(computed) is ComplexSTEMImage
    lazy.compute(show_progressbar=False)
    for image in (lazy, computed):
        np.testing.assert_array_equal(image.data, eager.data)


def test_phase_goes_through_files(scan, tmp_path):
    image = scan.ssb()
    image.save(tmp_path / "phase.hspy")
    again = hs.load(tmp_path / "phase.hspy")
    assert type(again) is ComplexSTEMImage
    np.testing.assert_array_equal(again.data, image.data)


def test_what_is_missing_or_unknown_is_said(patterns, scan):
    bare = STEM4D(patterns)
    with (
        pytest.warns(UserWarning, match="rotation"),
        pytest.raises(MissingCalibrationError, match="convergence_angle"),
    ):
        bare.ssb()
    with pytest.raises(ValueError, match="two navigation axes"):
        scan.inav[0].ssb()


def test_aberrations_are_fitted_and_kept():
    true = weak_phase.acquisition(defocus=130.0)
    expected = weak_phase.record(true, weak_phase.specimen(0.03)[1])
    expected *= 2000 / expected.sum(axis=(2, 3)).mean()
    signal = STEM4D(np.random.default_rng(0).poisson(expected).astype(np.uint16))
    signal.set_acquisition(**true.replace(defocus=100.0).to_dict())
    found = signal.fit_aberrations(["defocus"])
    assert found.acquisition.defocus == pytest.approx(130, abs=3)
    signal.set_acquisition(**found.acquisition.to_dict())
    assert signal.acquisition.defocus == found.acquisition.defocus
