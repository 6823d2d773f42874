"""The methods of STEM4D: right numbers, calibrated, lazy where the data are, clear errors."""

import hyperspy.api as hs
import numpy as np
import pytest
from pyxem.signals import BeamShift, ElectronDiffraction2D, LazyBeamShift

import stem_plugins
from stem_plugins import Acquisition, MissingCalibrationError
from stem_plugins.hyperspy import (
    STEM4D,
    ComplexSTEMImage,
    LazyComplexSTEMImage,
    LazySTEM4D,
    LazySTEMImage,
    STEMImage,
)

WAVELENGTH = 0.0250793  # Å at 200 keV


def numpy_com(patterns, center):
    """Centre of mass by the definition, (scan_y, scan_x, 2), (y, x)."""
    grids = np.indices(patterns.shape[2:])
    total = patterns.sum(axis=(2, 3))
    moments = [(patterns * grid).sum(axis=(2, 3)) / total for grid in grids]
    return np.stack(moments, axis=-1) - np.array(center)


def phase_gradient(patterns, calibration):
    """∇φ = 2π θ / λ in the scan frame [rad/Å]: mirrored, then turned by θ."""
    theta = numpy_com(patterns, calibration["center"]) * calibration["diffraction_step"] * 1e-3
    angle = np.deg2rad(calibration["scan_rotation"])
    y, x = -theta[..., 0], theta[..., 1]
    turned = np.stack(
        [np.sin(angle) * x + np.cos(angle) * y, np.cos(angle) * x - np.sin(angle) * y], axis=-1
    )
    return 2 * np.pi * turned / WAVELENGTH


def direct_ricom(gradient, size, step):
    """Sum of a / 2π (r_p - r) · g(r) / |r_p - r|² over a square window, position by position."""
    rows, columns = gradient.shape[:2]
    image = np.zeros((rows, columns))
    half = size // 2
    for p in np.ndindex(rows, columns):
        for r in np.ndindex(rows, columns):
            offset = np.subtract(p, r)
            if 0 < np.abs(offset).max() <= half:
                distance = offset * step
                image[p] += distance @ gradient[r] / (distance @ distance)
    return image * step[0] * step[1] / (2 * np.pi)


@pytest.mark.parametrize("signal_type", ["4d_stem", "4D-STEM", "4DSTEM", "4d-stem"])
@pytest.mark.parametrize("dtype", ["u1", ">u2", "<u4", "f4", "f8", "i2", "?"])
def test_real_patterns_become_our_class(signal_type, dtype):
    signal = hs.signals.Signal2D(np.ones((2, 3, 8, 8), dtype))
    signal.set_signal_type(signal_type)
    assert type(signal) is STEM4D
    assert signal.metadata.Signal.signal_type == "4d_stem"
    assert type(signal.as_lazy()) is LazySTEM4D
    assert isinstance(signal, ElectronDiffraction2D)


@pytest.mark.parametrize(
    ("dtype", "lazy", "expected"),
    [
        ("f8", False, STEMImage),
        ("f8", True, LazySTEMImage),
        ("c8", False, ComplexSTEMImage),
        ("c16", True, LazyComplexSTEMImage),
    ],
)
def test_images_become_our_class(dtype, lazy, expected):
    image = hs.signals.BaseSignal(np.ones((4, 4), dtype)).as_signal2D((0, 1))
    image = image.as_lazy() if lazy else image
    image.set_signal_type("stem_image")
    assert type(image) is expected
    image.set_acquisition(scan_step=0.3)
    assert image.acquisition.scan_step == pytest.approx((0.3, 0.3))


def test_complex_image_gives_real_images_of_our_class():
    image = hs.signals.ComplexSignal2D(np.exp(1j * np.eye(4)))
    image.set_signal_type("stem_image")
    assert type(image.phase) is STEMImage
    np.testing.assert_allclose(image.phase.data, np.eye(4))


def test_class_survives_slicing_and_laziness(signal):
    assert type(signal.inav[:3, :2]) is STEM4D
    assert type(signal.isig[:5, :5]) is STEM4D
    lazy = signal.as_lazy()
    assert type(lazy.inav[:3]) is LazySTEM4D
    lazy.compute()
    assert type(lazy) is STEM4D
    lazy.set_signal_type("electron_diffraction")
    assert type(lazy) is ElectronDiffraction2D
    lazy.set_signal_type("4d_stem")
    assert lazy.acquisition == signal.acquisition


def test_center_of_mass_is_a_beam_shift_with_x_first(any_signal, patterns, calibration):
    shift = any_signal.center_of_mass()
    assert type(shift) is (LazyBeamShift if any_signal._lazy else BeamShift)
    assert shift.units == ["px", "px"]
    assert shift.column_names == ["x-shift", "y-shift"]
    expected = numpy_com(patterns, calibration["center"])[..., ::-1]
    np.testing.assert_allclose(np.asarray(shift.data), expected, rtol=1e-12)
    x_axis = shift.axes_manager.navigation_axes[0]
    assert (x_axis.name, x_axis.units, x_axis.scale) == ("x", "nm", pytest.approx(0.02))


def test_center_of_mass_is_opposite_to_pyxems_correction(signal, patterns):
    middle = np.array(patterns.shape[2:]) / 2
    correction = signal.get_direct_beam_position(method="center_of_mass", lazy_output=False)
    ours = signal.center_of_mass(center=middle)
    np.testing.assert_allclose(ours.data, -correction.data, atol=1e-5)


def test_center_of_mass_without_calibration_is_centred_on_its_mean(patterns):
    shift = STEM4D(patterns).center_of_mass()
    np.testing.assert_allclose(shift.data.mean(axis=(0, 1)), 0, atol=1e-12)
    assert shift.metadata.stem_plugins.parameters.center == "mean"


def test_pyxems_beam_shift_methods_work_on_the_result(signal):
    shift = signal.center_of_mass()
    plane = shift.get_linear_plane()
    flat = shift - plane
    assert isinstance(flat, BeamShift)
    assert abs(flat.data.mean()) < 1e-6
    assert shift.get_magnitude_signal().data.shape == (9, 11)
    assert shift.get_magnitude_phase_signal(add_color_wheel_marker=False).data.shape == (9, 11)
    calibrated = shift.pixels_to_calibrated_units(signal.axes_manager.signal_axes)
    np.testing.assert_allclose(calibrated.data, shift.data * (2.0, 1.5))


def test_ricom_is_the_direct_sum_over_the_calibrated_field(any_signal, patterns, calibration):
    image = any_signal.ricom(5)
    assert type(image) is (LazySTEMImage if any_signal._lazy else STEMImage)
    gradient = phase_gradient(patterns, calibration)
    expected = direct_ricom(gradient, 5, np.array(calibration["scan_step"]))
    np.testing.assert_allclose(np.asarray(image.data), expected, rtol=1e-4, atol=1e-6)
    assert image.metadata.Signal.quantity == "Phase (rad)"


def test_results_equal_the_plain_functions(any_signal, patterns, calibration):
    acquisition = Acquisition(**calibration)
    com = stem_plugins.center_of_mass(patterns, center=acquisition.center)
    field = stem_plugins.vector_field(com, acquisition, descan="plane")
    step = acquisition.scan_step
    electric = stem_plugins.electric_field(field.vectors, beam_energy=200)
    pairs = [
        (
            any_signal.ricom(7, low=0.2, high=1.5, descan="plane"),
            stem_plugins.ricom(field.vectors, 7, low=0.2, high=1.5, scan_step=step),
        ),
        (
            any_signal.icom(high_pass=0.1, descan="plane"),
            stem_plugins.icom(field.vectors, high_pass=0.1, scan_step=step),
        ),
        (
            any_signal.divergence(descan="plane"),
            stem_plugins.divergence(field.vectors, scan_step=step),
        ),
        (any_signal.electric_field(descan="plane"), electric[..., ::-1]),
    ]
    for result, expected in pairs:
        np.testing.assert_allclose(np.asarray(result.data), expected, rtol=1e-9, atol=1e-12)
        assert result._lazy == any_signal._lazy


def test_virtual_image_in_milliradian_with_pixels_that_are_not_square(any_signal, patterns):
    image = any_signal.virtual_image(4, 9)
    y, x = np.indices((14, 17))
    angle = np.hypot((y - 6.5) * 1.5, (x - 8.25) * 2.0)
    expected = patterns[..., (angle >= 4) & (angle < 9)].sum(axis=-1)
    np.testing.assert_array_equal(np.asarray(image.data), expected)
    detector = image.metadata.stem_plugins.parameters.detector.as_dictionary()
    assert detector == {"inner": 4.0, "outer": 9.0, "units": "mrad", "center": [6.5, 8.25]}


def test_virtual_image_in_pixels(any_signal, patterns):
    y, x = np.indices((14, 17))
    radius = np.hypot(y - 6, x - 8)
    expected = patterns[..., radius < 3].sum(axis=-1)
    image = any_signal.virtual_image(0, 3, units="px", center=(6, 8))
    np.testing.assert_array_equal(np.asarray(image.data), expected)
    any_signal.set_acquisition(diffraction_step=None, center=(6, 8))
    np.testing.assert_array_equal(np.asarray(any_signal.virtual_image(0, 3).data), expected)


def test_virtual_image_of_a_roi_is_hyperspys(signal):
    circle = hs.roi.CircleROI(cx=2.0, cy=-1.5, r=8.0, r_inner=3.1)
    expected = signal.get_integrated_intensity(circle)
    np.testing.assert_allclose(signal.virtual_image(mask=circle).data, expected.data)
    rectangle = hs.roi.RectangularROI(left=-10, top=-6, right=4, bottom=3)
    expected = signal.get_integrated_intensity(rectangle)
    np.testing.assert_allclose(signal.virtual_image(mask=rectangle).data, expected.data)


def test_virtual_image_of_weights_as_array_or_signal(any_signal, patterns):
    weights = np.random.default_rng(1).random((14, 17))
    expected = np.einsum("abyx,yx->ab", patterns, weights)
    for mask in (weights, hs.signals.Signal2D(weights)):
        image = any_signal.virtual_image(mask=mask)
        np.testing.assert_allclose(np.asarray(image.data), expected)


def test_moments_gives_everything_in_one_pass(signal, patterns):
    reads = []

    def read(block):
        reads.append(block.shape)
        return block

    lazy = signal.as_lazy()
    lazy.data = lazy.data.rechunk((4, -1, -1, -1)).map_blocks(read, meta=lazy.data._meta)
    ring = np.zeros((14, 17), bool)
    ring[2:5] = True
    result = lazy.moments(
        detectors={"ADF": (4, 9), "stripe": ring}, pattern=True, lazy_output=False
    )
    ricom = lazy.ricom(5, com=result.com)
    assert sorted(reads) == [(1, 11, 14, 17), (4, 11, 14, 17), (4, 11, 14, 17)]
    np.testing.assert_array_equal(result.total.data, patterns.sum(axis=(2, 3)))
    np.testing.assert_allclose(result.pattern.data, patterns.mean(axis=(0, 1)))
    np.testing.assert_array_equal(result.images["stripe"].data, patterns[..., 2:5, :].sum((2, 3)))
    np.testing.assert_array_equal(result.images["ADF"].data, signal.virtual_image(4, 9).data)
    np.testing.assert_allclose(result.com.data, signal.center_of_mass().data)
    np.testing.assert_allclose(ricom.data, signal.ricom(5).data)
    assert type(result.total) is STEMImage
    assert type(result.com) is BeamShift
    assert result.images["ADF"].metadata.General.title == "ADF of scan"
    assert type(result.pattern) is ElectronDiffraction2D
    assert result.pattern.axes_manager.signal_axes[0].units == "mrad"


def test_lazy_moments_compute_together(signal):
    lazy = signal.as_lazy().moments(detectors={"BF": (0, 5)}, pattern=True)
    assert lazy.com._lazy
    assert lazy.pattern._lazy
    done = lazy.compute(show_progressbar=False)
    eager = signal.moments(detectors={"BF": (0, 5)}, pattern=True)
    assert eager.compute() is eager
    for name in ("total", "com", "pattern"):
        computed, expected = getattr(done, name), getattr(eager, name)
        assert type(computed) is type(expected)
        np.testing.assert_allclose(computed.data, expected.data)
        assert computed.metadata.General.title == expected.metadata.General.title
    np.testing.assert_allclose(done.images["BF"].data, eager.images["BF"].data)
    np.testing.assert_allclose(done.center, (6.5, 8.25))


def test_lazy_output_can_be_chosen(signal):
    assert signal.ricom(5, lazy_output=True)._lazy
    assert signal.virtual_image(0, 9, lazy_output=True)._lazy
    computed = signal.as_lazy().ricom(5, lazy_output=False)
    assert type(computed) is STEMImage
    np.testing.assert_allclose(computed.data, signal.ricom(5).data)
    assert type(signal.as_lazy().center_of_mass(lazy_output=False)) is BeamShift


def test_progress_is_shown_when_asked_for(signal, capsys):
    signal.as_lazy().ricom(5, lazy_output=False)
    assert "100" not in "".join(capsys.readouterr())
    signal.as_lazy().ricom(5, lazy_output=False, show_progressbar=True)
    assert "100" in "".join(capsys.readouterr())
    signal.as_lazy().moments(lazy_output=False, show_progressbar=True)
    assert "100" in "".join(capsys.readouterr())


def test_results_say_what_made_them(signal):
    image = signal.ricom(5, high=1.0, mask=(0, 12))
    node = image.metadata.stem_plugins.as_dictionary()
    assert node["method"] == "ricom"
    assert node["version"] == stem_plugins.__version__
    assert node["source"] == "scan"
    assert node["parameters"]["kernel_size"] == 5
    assert node["parameters"]["high"] == 1.0
    assert "low" not in node["parameters"]
    assert node["parameters"]["mask"]["outer"] == 12.0
    assert Acquisition.from_dict(node["acquisition"]) == signal.acquisition
    assert image.metadata.General.title == "riCOM of scan"
    assert image.acquisition == signal.acquisition
    for axis, name, scale in zip(image.axes_manager.signal_axes, "xy", (0.02, 0.025), strict=True):
        assert (axis.name, axis.units, axis.scale) == (name, "nm", pytest.approx(scale))


def test_ricom_takes_any_vector_map(signal, patterns):
    expected = signal.ricom(5).data
    com = signal.center_of_mass()
    np.testing.assert_allclose(signal.ricom(5, com=com).data, expected)
    array = numpy_com(patterns, signal.acquisition.center)
    np.testing.assert_allclose(signal.ricom(5, com=array).data, expected)
    np.testing.assert_allclose(stem_plugins.hyperspy.ricom(com, 5).data, expected)


def test_pyxems_correction_is_turned_round(signal, patterns):
    correction = signal.get_direct_beam_position(method="center_of_mass", lazy_output=False)
    image = signal.ricom(5, com=correction)
    expected = signal.ricom(5, center=np.array(patterns.shape[2:]) / 2)
    np.testing.assert_allclose(image.data, expected.data, atol=1e-5)


def test_a_given_map_follows_a_later_calibration(signal):
    signal.set_acquisition(scan_rotation=None, flip_y=None)
    com = signal.moments().com
    signal.set_acquisition(scan_rotation=30, flip_y=True)
    np.testing.assert_allclose(signal.ricom(5, com=com).data, signal.ricom(5).data)


def test_vectors_in_other_units_are_refused(signal):
    with pytest.raises(ValueError, match="in V; a map in px"):
        signal.ricom(5, com=signal.electric_field())
    with pytest.raises(ValueError, match=r"\(4, 4\) scan positions, this scan \(9, 11\)"):
        signal.ricom(5, com=np.zeros((4, 4, 2)))
    with pytest.raises(ValueError, match="belong to the pass that made com"):
        signal.ricom(5, com=signal.center_of_mass(), center=(1, 1))


def test_unknown_rotation_is_a_warning(signal):
    signal.set_acquisition(scan_rotation=None)
    with pytest.warns(UserWarning, match="rotation from detector to scan frame is not known"):
        signal.ricom(5)


def test_estimate_rotation_finds_what_the_detector_was_turned_by():
    y, x = np.indices((32, 32))
    com = np.zeros((32, 32, 2))
    for atom in np.random.default_rng(0).uniform(4, 28, (8, 2)):
        toward = atom - np.stack([y, x], axis=-1)
        com += toward * np.exp(-(toward**2).sum(-1, keepdims=True) / 6)
    turned = stem_plugins.to_scan_frame(com, rotation=-40)
    grid = np.indices((12, 12))[:, None, None]
    place = 5.5 + np.moveaxis(turned, -1, 0)[..., None, None]
    patterns = np.exp(-((grid - place) ** 2).sum(axis=0) / 4)
    for signal in (STEM4D(patterns), STEM4D(patterns).as_lazy()):
        estimate = signal.estimate_rotation()
        assert estimate.angle == pytest.approx(40, abs=1)
        assert not estimate.flip_y
        signal.set_acquisition(scan_rotation=estimate.angle, flip_y=estimate.flip_y)
        assert signal.acquisition.scan_rotation == estimate.angle


def test_estimate_center(any_signal, patterns):
    expected = numpy_com(patterns, (0, 0)).mean(axis=(0, 1))
    assert any_signal.estimate_center() == pytest.approx(tuple(expected))
    expected = numpy_com(patterns[[0, 8]], (0, 0)).mean(axis=(0, 1))
    assert any_signal.estimate_center(rows=2) == pytest.approx(tuple(expected))
    y, x = np.indices((14, 17))
    disc = np.hypot((y - 6.5) * 1.5, (x - 8.25) * 2.0) < 8
    expected = numpy_com(patterns * disc, (0, 0)).mean(axis=(0, 1))
    assert any_signal.estimate_center(mask=(0, 8)) == pytest.approx(tuple(expected))
    assert any_signal.acquisition.center == (6.5, 8.25)


METHODS = {
    "moments": lambda signal: signal.moments(),
    "center_of_mass": lambda signal: signal.center_of_mass(),
    "ricom": lambda signal: signal.ricom(3),
    "icom": lambda signal: signal.icom(),
    "divergence": lambda signal: signal.divergence(),
    "virtual_image": lambda signal: signal.virtual_image(0, 5, units="px", center=(6, 8)),
    "estimate_rotation": lambda signal: signal.estimate_rotation(),
    "estimate_center": lambda signal: signal.estimate_center(),
    "interactive_ricom": lambda signal: signal.interactive_ricom(plot=False, display=False),
}


@pytest.mark.filterwarnings("ignore:The rotation from detector to scan")
@pytest.mark.parametrize("method", METHODS)
def test_wrong_axes_are_refused_by_every_method(method, signal, patterns):
    call = METHODS[method]
    with pytest.raises(ValueError, match=r"looks transposed.*signal\.T"):
        call(signal.T)
    with pytest.raises(ValueError, match="looks transposed"):
        call(STEM4D(patterns).T)
    with pytest.raises(ValueError, match="single pattern"):
        call(signal.inav[0, 0])
    with pytest.raises(ValueError, match=r"line or a stack.*scan_shape"):
        call(signal.inav[0])
    series = STEM4D(np.stack([patterns, patterns]))
    with pytest.raises(ValueError, match=r"more than two navigation axes.*inav"):
        call(series)
    call(series.inav[:, :, 0])


def test_missing_calibration_says_how_to_give_it(patterns):
    signal = STEM4D(patterns)
    with pytest.raises(MissingCalibrationError, match=r"signal\.set_acquisition\(center=") as error:
        signal.virtual_image(0, 5)
    assert error.value.fields == ("center",)
    signal.set_acquisition(center=(6, 8))
    with pytest.raises(MissingCalibrationError) as error:
        signal.virtual_image(0, 5, units="mrad")
    assert error.value.fields == ("diffraction_step",)
    with pytest.raises(MissingCalibrationError) as error:
        signal.electric_field()
    assert error.value.fields == ("beam_energy", "diffraction_step")


@pytest.mark.filterwarnings("ignore:The detector is calibrated in k_nm")
def test_radii_are_never_taken_for_pixels_because_the_energy_is_missing(patterns):
    signal = STEM4D(patterns)
    signal.axes_manager.signal_axes.set(units="k_nm^-1", scale=0.4, offset=-3.0)
    with pytest.raises(MissingCalibrationError) as error:
        signal.virtual_image(0, 5)
    assert error.value.fields == ("beam_energy",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Give either"),
        ({"inner": 1}, "Give either"),
        ({"inner": 1, "outer": 4, "mask": np.ones((14, 17))}, "Give either"),
        ({"inner": 5, "outer": 2}, "0 <= inner < outer"),
        ({"inner": 100, "outer": 101}, "No pixel"),
        ({"inner": 0, "outer": 2, "units": "nm"}, "'mrad' or 'px'"),
        ({"mask": np.ones((3, 3))}, r"shape \(3, 3\); the detector has \(14, 17\)"),
        ({"mask": "ADF"}, "pair of radii"),
        ({"mask": hs.roi.CircleROI(cx=300, cy=300, r=5)}, "No pixel"),
    ],
)
def test_unusable_detectors_are_refused(signal, arguments, message):
    with pytest.raises(ValueError, match=message):
        signal.virtual_image(**arguments)


@pytest.mark.parametrize("lazy", [False, True])
def test_waves_keep_their_calibration_and_become_intensities(signal, lazy, tmp_path):
    waves = signal._deepcopy_with_new_data(np.sqrt(signal.data) * np.exp(0.3j))
    waves = hs.signals.Signal2D(waves.data, axes=list(signal.axes_manager.as_dictionary().values()))
    waves.set_signal_type("4d_stem")
    waves.set_acquisition(**signal.acquisition.to_dict())
    waves = waves.as_lazy() if lazy else waves
    assert type(waves).__name__ == ("LazyComplexSTEM4D" if lazy else "ComplexSTEM4D")
    recorded = waves.intensity()
    assert type(recorded).__name__ == ("LazySTEM4D" if lazy else "STEM4D")
    assert recorded.acquisition.to_dict() == signal.acquisition.to_dict()
    image = recorded.ricom(5)
    np.testing.assert_allclose(np.asarray(image.data), signal.ricom(5).data, atol=1e-9)
    waves.save(tmp_path / "waves.hspy")
    assert type(hs.load(tmp_path / "waves.hspy")).__name__ == "ComplexSTEM4D"


def test_an_empty_scan_is_named(signal):
    with pytest.raises(ValueError, match="no patterns"):
        STEM4D(signal.data[:0]).ricom(5)
