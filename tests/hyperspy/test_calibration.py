"""Axes and metadata to Acquisition and back: nothing lost, units right, crop and bin followed."""

import itertools

import hyperspy.api as hs
import numpy as np
import pytest

import stem_plugins
import stem_plugins.hyperspy as stem_hs
from stem_plugins import Acquisition, write_merlin
from stem_plugins.hyperspy import STEM4D, load
from stem_plugins.hyperspy.calibration import camera_length

EVERYTHING = {
    "beam_energy": 300.0,
    "convergence_angle": 21.5,
    "scan_step": (0.3, 0.4),
    "diffraction_step": (0.5, 0.6),
    "center": (3.25, 4.5),
    "scan_rotation": -12.5,
    "flip_y": True,
    "defocus": -80.0,
    "aberrations": {"C30": 1.2e7, "phi12": 0.3},
    "dwell_time": 1e-3,
    "dose": 2e4,
}


@pytest.fixture
def blank() -> STEM4D:
    return STEM4D(np.zeros((3, 4, 8, 10)))


def same(found: Acquisition, expected: Acquisition) -> bool:
    """Equal up to the rounding of offset and scale of an axis."""
    left, right = found.to_dict(), expected.to_dict()
    return left.keys() == right.keys() and all(
        left[name] == (right[name] if isinstance(right[name], dict) else pytest.approx(right[name]))
        for name in left
    )


def test_every_field_goes_in_and_comes_out(blank):
    assert blank.acquisition == Acquisition()
    blank.set_acquisition(**EVERYTHING)
    assert same(blank.acquisition, Acquisition(**EVERYTHING))


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_field_alone_and_forgotten_again(blank, name):
    blank.set_acquisition(**{name: EVERYTHING[name]})
    assert same(blank.acquisition, Acquisition(**{name: EVERYTHING[name]}))
    blank.set_acquisition(**{name: None})
    assert blank.acquisition == Acquisition()


@pytest.mark.parametrize("name", EVERYTHING)
def test_forgetting_one_field_keeps_the_others(blank, name):
    blank.set_acquisition(**EVERYTHING)
    blank.set_acquisition(**{name: None})
    others = {key: value for key, value in EVERYTHING.items() if key != name}
    assert same(blank.acquisition, Acquisition(**others))


def test_values_stand_where_hyperspy_and_pyxem_look(blank):
    blank.set_acquisition(**EVERYTHING)
    ky, kx = blank.axes_manager.signal_axes[::-1]
    y, x = blank.axes_manager.navigation_axes[::-1]
    assert (ky.units, ky.scale, ky.offset) == ("mrad", 0.5, pytest.approx(-3.25 * 0.5))
    assert (kx.units, kx.scale, kx.offset) == ("mrad", 0.6, pytest.approx(-4.5 * 0.6))
    assert (y.units, y.scale, x.scale) == ("nm", pytest.approx(0.03), pytest.approx(0.04))
    assert blank.metadata.Acquisition_instrument.TEM.beam_energy == 300
    assert blank.beam_energy == 300
    assert blank.calibration.convergence_angle == 21.5
    assert blank.calibration.center == pytest.approx([4.5, 3.25])  # pyxem's order, x first
    assert blank.calibration.wavelength == pytest.approx(0.0196875, rel=1e-5)


@pytest.mark.parametrize(
    ("unit", "scale", "expected"),
    [
        ("nm", 0.05, 0.5),
        ("Å", 0.5, 0.5),
        ("A", 0.5, 0.5),
        ("$\\AA$", 0.5, 0.5),
        ("µm", 5e-5, 0.5),
        ("um", 5e-5, 0.5),
        ("pm", 50, 0.5),
        ("px", 0.5, None),
        ("", 0.5, None),
        ("s", 0.5, None),
    ],
)
def test_units_of_the_scan(blank, unit, scale, expected):
    blank.axes_manager.navigation_axes.set(units=unit, scale=scale)
    step = blank.acquisition.scan_step
    assert step is None if expected is None else step == pytest.approx((expected, expected))


@pytest.mark.parametrize(
    ("unit", "scale", "expected"),
    [
        ("mrad", 0.7, 0.7),
        ("rad", 7e-4, 0.7),
        ("deg", np.rad2deg(7e-4), 0.7),
        ("1/nm", 0.2, 2 * 0.250793),  # λ = 2.50793 pm at 200 keV
        ("nm^-1", 0.2, 2 * 0.250793),
        ("k_nm^-1", 0.2, 2 * 0.250793),
        ("1/Å", 0.02, 2 * 0.250793),
        ("k_A^-1", 0.02, 2 * 0.250793),
        ("$A^{-1}$", 0.02, 2 * 0.250793),
        ("px", 3.0, None),
        ("cm", 0.01, None),
    ],
)
def test_units_of_the_detector(blank, unit, scale, expected):
    blank.set_acquisition(beam_energy=200)
    blank.axes_manager.signal_axes.set(units=unit, scale=scale)
    step = blank.acquisition.diffraction_step
    assert step is None if expected is None else step == pytest.approx((expected,) * 2, rel=1e-5)


def test_inverse_lengths_without_energy_warn_and_stay_unknown(blank):
    blank.axes_manager.signal_axes.set(units="k_nm^-1", scale=0.2)
    with pytest.warns(UserWarning, match="becomes an angle only with the beam energy"):
        assert blank.acquisition.diffraction_step is None
    with pytest.warns(UserWarning, match="becomes an angle only with the beam energy"):
        blank.set_acquisition(beam_energy=200)
    assert blank.acquisition.diffraction_step == pytest.approx((0.501586, 0.501586), rel=1e-5)


def test_axes_keep_their_unit_if_it_serves(blank):
    blank.axes_manager.navigation_axes.set(units="Å", scale=1.0)
    blank.axes_manager.signal_axes.set(units="k_nm^-1", scale=0.1)
    with pytest.warns(UserWarning, match="beam energy"):
        blank.set_acquisition(beam_energy=200, scan_step=0.5, diffraction_step=0.501586)
    kx = blank.axes_manager.signal_axes[0]
    assert (kx.units, kx.scale) == ("k_nm^-1", pytest.approx(0.2, rel=1e-5))
    assert blank.axes_manager.navigation_axes[0].units == "Å"
    assert blank.acquisition.diffraction_step == pytest.approx((0.501586, 0.501586))


def test_a_corrected_energy_keeps_the_calibration_in_inverse_length(blank):
    blank.set_acquisition(beam_energy=200)
    blank.axes_manager.signal_axes.set(units="1/nm", scale=0.2)
    blank.set_acquisition(beam_energy=300)
    assert blank.axes_manager.signal_axes[0].scale == 0.2
    assert blank.acquisition.diffraction_step == pytest.approx((0.39375,) * 2, rel=1e-4)
    assert blank.calibration.wavelength == pytest.approx(0.0196875, rel=1e-5)


@pytest.mark.parametrize("step", [None, (0.5, 0.6)])
def test_cropping_moves_the_centre(blank, step):
    blank.set_acquisition(center=(3.25, 4.5), diffraction_step=step)
    assert blank.isig[2:, 1:].acquisition.center == pytest.approx((2.25, 2.5))
    assert blank.isig[5:, 4:].acquisition.center is None  # cut away
    blank.set_acquisition(center=(6, 7))
    assert blank.acquisition.center == pytest.approx((6, 7))


@pytest.mark.parametrize("step", [None, (0.5, 0.6)])
def test_binning_scales_centre_and_steps(blank, step):
    blank.set_acquisition(center=(3.5, 4.5), diffraction_step=step, scan_step=(0.3, 0.4))
    binned = blank.rebin(scale=(2, 1, 2, 2))
    # Pixels 2i and 2i + 1 become i: pixel 4.5 becomes (4.5 - 0.5) / 2.
    assert binned.acquisition.center == pytest.approx((1.5, 2.0))
    assert binned.acquisition.scan_step == pytest.approx((0.3, 0.8))
    expected = None if step is None else pytest.approx((1.0, 1.2))
    assert binned.acquisition.diffraction_step == expected


def test_binning_follows_a_centre_that_a_file_keeps_in_its_metadata(blank):
    blank.metadata.set_item("stem_plugins.acquisition", {"center": [3.5, 4.5]})
    assert blank.isig[1:, 1:].acquisition.center == pytest.approx((2.5, 3.5))
    assert blank.rebin(scale=(1, 1, 2, 2)).acquisition.center == pytest.approx((1.5, 2.0))


@pytest.mark.parametrize("step", [None, (0.5, 0.6)])
def test_cropping_moves_the_centre_of_a_loaded_file(tmp_path, step):
    known = Acquisition(center=(3, 4), diffraction_step=step)
    write_merlin(tmp_path / "scan.mib", np.ones((2, 2, 8, 10), "u2"), acquisition=known)
    signal = load(tmp_path / "scan.mib")
    assert signal.isig[2:, 1:].acquisition.center == pytest.approx((2, 2))
    assert signal.isig[5:, :].acquisition.center is None  # cut away
    # Cut at the beam itself, zero is where an axis begins: known, or forgotten, but not elsewhere.
    assert signal.isig[4:, :].acquisition.center in (None, (3, 0))


def test_cropping_moves_the_centre_after_and_before_the_angles_are_set(tmp_path):
    known = Acquisition(center=(3, 4))
    write_merlin(tmp_path / "scan.mib", np.ones((2, 2, 8, 10), "u2"), acquisition=known)
    signal = load(tmp_path / "scan.mib")
    cropped = signal.isig[2:, 1:]
    cropped.set_acquisition(diffraction_step=0.5)
    assert cropped.acquisition.center == pytest.approx((2, 2))
    signal.set_acquisition(diffraction_step=0.5)
    assert signal.isig[2:, 1:].acquisition.center == pytest.approx((2, 2))


def test_what_pyxem_calibrates_is_read(blank):
    blank.calibration.center = (4, 3)
    assert blank.acquisition.center == (3, 4)
    blank.set_experimental_parameters(beam_energy=80, convergence_angle=30, scan_rotation=90)
    acquisition = blank.acquisition
    assert (acquisition.beam_energy, acquisition.convergence_angle) == (80, 30)
    # The scan generator's rotation is not the one between detector and scan.
    assert acquisition.scan_rotation is None
    blank.set_scan_calibration(0.1)
    assert blank.acquisition.scan_step == pytest.approx((1, 1))


def test_camera_length_wherever_pyxem_left_it():
    # 55 µm pixels at 110 mm: 0.5 mrad.
    for set_length in (
        lambda signal: setattr(signal.calibration, "camera_length", "110 mm"),
        lambda signal: signal.set_experimental_parameters(camera_length=11),
        lambda signal: setattr(signal, "camera_length", 110),
    ):
        signal = STEM4D(np.zeros((2, 2, 4, 4)))
        set_length(signal)
        assert signal.acquisition.diffraction_step is None
        signal.calibration.physical_pixel_size = "55 um"
        assert signal.acquisition.diffraction_step == pytest.approx((0.5, 0.5))
        binned = signal.rebin(scale=(1, 1, 2, 4))
        assert binned.acquisition.diffraction_step == pytest.approx((2.0, 1.0))
    assert camera_length({}) is None


def test_pyxems_curved_axes_are_read_and_not_overwritten():
    signal = STEM4D(np.ones((3, 4, 8, 8)))
    signal.calibration.detector(
        pixel_size=55e-6, detector_distance=0.11, beam_energy=200, center=(4.5, 3.5)
    )
    acquisition = signal.acquisition
    assert acquisition.diffraction_step == pytest.approx((0.5, 0.5))
    assert acquisition.center == pytest.approx((3.5, 4.5), abs=1e-3)
    assert signal.virtual_image(0, 0.4).data[0, 0] == 4  # the centre is a corner of four
    with pytest.raises(ValueError, match="not uniform"):
        signal.set_acquisition(center=(1, 1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"energy": 200}, "Unknown acquisition field 'energy'"),
        ({"beam_energy": -1}, "above zero"),
        ({"scan_step": (1, 2, 3)}, "two numbers"),
        ({"center": np.nan}, "two numbers"),
    ],
)
def test_unusable_fields_change_nothing(blank, fields, message):
    blank.set_acquisition(**EVERYTHING)
    with pytest.raises(ValueError, match=message):
        blank.set_acquisition(**fields)
    assert same(blank.acquisition, Acquisition(**EVERYTHING))


def test_calibration_survives_what_hyperspy_does_with_signals(blank):
    blank.set_acquisition(**EVERYTHING)
    expected = blank.acquisition
    assert blank.deepcopy().acquisition == expected
    assert blank.as_lazy().acquisition == expected
    assert blank.inav[1:, 1:].acquisition == expected
    assert (blank * 2).acquisition == expected
    generic = blank.deepcopy()
    generic.set_signal_type("")
    generic.set_signal_type("4d_stem")
    assert generic.acquisition == expected


def test_images_have_scan_axes_and_keep_the_rest():
    image = hs.signals.Signal2D(np.zeros((4, 5)))
    image.set_signal_type("stem_image")
    image.set_acquisition(**EVERYTHING)
    assert same(image.acquisition, Acquisition(**EVERYTHING))
    assert image.axes_manager.signal_axes[0].scale == pytest.approx(0.04)
    image.set_acquisition(center=None, scan_step=None)
    assert image.acquisition.center is None
    assert image.axes_manager.signal_axes[0].units == "px"
    assert image.acquisition.diffraction_step == (0.5, 0.6)


def reversed_along(signal, axes):
    """The signal with some of (scan_y, scan_x, ky, kx) running backwards, by HyperSpy's slicing."""
    scan_y, scan_x, ky, kx = (slice(None, None, -1 if one else None) for one in axes)
    return signal.inav[scan_x, scan_y].isig[kx, ky]


def assert_same(one, other):
    one, other = one.to_dict(), other.to_dict()
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("axes", list(itertools.product((False, True), repeat=4)))
def test_axes_that_run_backwards_give_the_mirrored_image(signal, axes):
    """Rotation, flip, centre and step follow; also when they are set on the mirrored signal."""
    expected = signal.ricom(5).data[:: -1 if axes[0] else 1, :: -1 if axes[1] else 1]
    turned = reversed_along(signal, axes)
    np.testing.assert_allclose(turned.ricom(5).data, expected, atol=1e-9)
    field = turned.center_of_mass()
    np.testing.assert_allclose(stem_hs.ricom(field, 5).data, expected, atol=1e-9)
    seen = turned.acquisition
    turned.set_acquisition(scan_rotation=None, flip_y=None, scan_step=None, diffraction_step=None)
    assert turned.acquisition.scan_rotation is None
    turned.set_acquisition(**{name: getattr(seen, name) for name in seen.to_dict()})
    assert_same(turned.acquisition, seen)
    np.testing.assert_allclose(turned.ricom(5).data, expected, atol=1e-9)
    assert_same(reversed_along(turned, axes).acquisition, signal.acquisition)


def test_azimuths_of_aberrations_are_mirrored_too(signal):
    signal.set_acquisition(aberrations={"C12": 30.0, "phi12": 0.4})
    turned = signal.inav[:, ::-1]
    assert turned.acquisition.aberrations == {"C12": 30.0, "phi12": -0.4}
    assert turned.inav[::-1].acquisition.aberrations["phi12"] == pytest.approx(np.pi + 0.4)


@pytest.mark.parametrize("function", [stem_plugins.center_of_mass, stem_plugins.moments])
def test_transposed_signals_are_refused_by_plain_functions_too(signal, function):
    with pytest.raises(ValueError, match="looks transposed"):
        function(signal.T)


@pytest.mark.parametrize("pair", [(0, 1), (2, 3)])
def test_swapped_axes_are_refused(signal, pair):
    swapped = signal.swap_axes(*pair)
    for call in (lambda: swapped.ricom(5), lambda: stem_plugins.moments(swapped)):
        with pytest.raises(ValueError, match="each other's place"):
            call()
