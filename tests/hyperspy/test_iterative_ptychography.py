"""Iterative ptychography of signals: atoms where they are, calibrated, lazy or not, and words."""

import dataclasses

import hyperspy.api as hs
import numpy as np
import pytest
from atom_scans import PLACES, peaks, scan_of_atoms

pytest.importorskip("torch")

import stem_plugins
from stem_plugins import MissingCalibrationError, Regularization
from stem_plugins.hyperspy import STEM4D, ComplexSTEMImage, STEMImage
from stem_plugins.ptychography import half_scans
from stem_plugins.simulation import simulate_scan, single_atoms

QUICK = {"iterations": 5, "threads": 1}


def signal_of(scan, **changes):
    signal = STEM4D(np.asarray(scan.data))
    signal.metadata.General.title = "atoms"
    signal.set_acquisition(**{**scan.acquisition.to_dict(), **changes})
    return signal


@pytest.fixture(scope="module")
def scan():
    return scan_of_atoms(dose=1e5)


@pytest.fixture
def atoms(scan):
    return signal_of(scan)


def stop_after(iterations):
    return lambda progress: progress.iteration == iterations


def sampling_of(image):
    """Pixel (y, x) [Å] as the axes of an image say."""
    axes = image.axes_manager.signal_axes[::-1]
    assert {axis.units for axis in axes} == {"nm"}
    return tuple(10 * axis.scale for axis in axes)


@pytest.mark.parametrize("method", ["ptychography", "dgp"])
def test_atoms_are_where_they_are(atoms, method):
    found = getattr(atoms, method)(iterations=3, threads=1, seed=2)
    assert found.result.settings["prior"] == ("dgp" if method == "dgp" else "pixelated")
    expected = np.array(sorted(PLACES.tolist()))
    np.testing.assert_allclose(
        peaks(found.phase.data, sampling_of(found.phase)), expected, atol=0.2
    )


def test_every_signal_is_calibrated_and_says_what_made_it(scan):
    signal = signal_of(scan, scan_step=1.0)
    axis_y, axis_x = signal.axes_manager.navigation_axes[::-1]
    axis_y.offset, axis_x.offset, axis_x.name, axis_y.name = 0.7, -0.2, "x", "y"
    found = signal.ptychography(
        slices=2, slice_thickness=8.0, probe_modes=2, held_out=0.1, object_type="complex", **QUICK
    )
    result = found.result
    for image in (found.phase, found.slices, found.object):
        assert sampling_of(image) == pytest.approx(result.sampling)
        assert [axis.offset for axis in image.axes_manager.signal_axes] == [-0.2, 0.7]
        assert [axis.name for axis in image.axes_manager.signal_axes] == ["x", "y"]
    assert type(found.phase) is type(found.slices) is STEMImage
    assert type(found.object) is type(found.probe) is ComplexSTEMImage
    (depth,) = found.slices.axes_manager.navigation_axes
    assert (depth.name, depth.size, depth.units) == ("depth", 2, "nm")
    assert depth.scale == pytest.approx(0.8)
    assert sampling_of(found.probe) == pytest.approx(result.probe_sampling)
    # The middle of the probe, where it is brightest without aberrations but defocus, is zero.
    for axis in found.probe.axes_manager.signal_axes:
        assert axis.index2value(16) == pytest.approx(0)
    (mode,) = found.probe.axes_manager.navigation_axes
    assert (mode.name, mode.size) == ("mode", 2)
    np.testing.assert_array_equal(found.phase.data, result.phase)
    np.testing.assert_allclose(found.slices.data.sum(axis=0), found.phase.data, atol=1e-5)
    np.testing.assert_array_equal(found.object.data, result.object)
    np.testing.assert_array_equal(found.probe.data, result.probe)
    for curve, losses in (
        (found.losses, result.losses),
        (found.held_out_losses, result.held_out_losses),
    ):
        np.testing.assert_array_equal(curve.data, losses)
        assert curve.axes_manager[0].name == "iteration"
        assert curve.axes_manager[0].index2value(0) == 1
    node = found.phase.metadata.stem_plugins.as_dictionary()
    assert (node["method"], node["source"]) == ("ptychography", "atoms")
    assert node["parameters"]["prior"] == "pixelated"
    assert node["parameters"]["slices"] == 2
    assert node["parameters"]["stopped"] == result.stopped
    assert node["parameters"]["regularization"]["butterworth_order"] == 4
    assert found.phase.metadata.Signal.quantity == "Phase (rad)"
    assert found.phase.acquisition.beam_energy == 300
    assert found.phase.acquisition.scan_step == pytest.approx(result.sampling)
    assert "Phase of atoms" in repr(found)
    assert f"chosen: {found.result.settings['chosen'][0]}" in repr(found)


def test_a_detector_that_stopped_counting_below_its_type_is_said(scan):
    data = np.asarray(scan.data)
    top = int(data.max() // 2)
    signal = signal_of(dataclasses.replace(scan, data=np.minimum(data, top).astype("u2")))
    signal.metadata.set_item("stem_plugins.largest_count", top)
    with pytest.warns(UserWarning, match=f"at the largest count, {top}"):
        signal.ptychography(iterations=1, threads=1)


def test_snapshots_are_a_stack_over_iterations(atoms):
    assert atoms.ptychography(**QUICK).snapshots is None
    found = atoms.ptychography(snapshots=2, **QUICK).snapshots
    (iteration,) = found.axes_manager.navigation_axes
    assert [iteration.index2value(i) for i in range(iteration.size)] == [2, 4]
    early = atoms.ptychography(iterations=2, threads=1)
    np.testing.assert_array_equal(found.inav[2.0].data, early.phase.data)
    assert sampling_of(found) == pytest.approx(early.result.sampling)


def test_signals_go_through_files(atoms, tmp_path):
    found = atoms.ptychography(refine=["background"], held_out=0, snapshots=2, **QUICK)
    assert found.held_out_losses is None
    for name in ("phase", "slices", "object", "probe", "losses", "snapshots"):
        signal = getattr(found, name)
        signal.save(tmp_path / f"{name}.hspy")
        again = hs.load(tmp_path / f"{name}.hspy")
        assert type(again) is type(signal)
        np.testing.assert_array_equal(again.data, signal.data)
        assert again.axes_manager.as_dictionary() == signal.axes_manager.as_dictionary()
        ours = signal.metadata.stem_plugins.as_dictionary()
        assert again.metadata.stem_plugins.as_dictionary() == ours


def test_going_on_from_a_file_is_as_if_never_stopped(atoms, tmp_path):
    options = {"refine": ["background"], "held_out": 0, "threads": 1}
    path = tmp_path / "found.h5"
    atoms.ptychography(iterations=4, checkpoint=path, callback=stop_after(3), **options)
    more = atoms.ptychography(resume=path, iterations=6, threads=1)
    straight = atoms.ptychography(iterations=6, **options)
    assert len(straight.losses.data) == 6
    np.testing.assert_array_equal(more.phase.data, straight.phase.data)
    np.testing.assert_array_equal(more.losses.data, straight.losses.data)


def test_lazy_equals_eager(atoms):
    lazy = atoms.as_lazy()
    lazy.data = lazy.data.rechunk((4, 5, -1, -1))
    expected = atoms.ptychography(**QUICK)
    found = lazy.ptychography(**QUICK)
    assert not found.phase._lazy
    # Patterns are added up in another order.
    np.testing.assert_allclose(found.phase.data, expected.phase.data, atol=1e-3)
    assert found.phase.axes_manager.as_dictionary() == expected.phase.axes_manager.as_dictionary()


@pytest.mark.parametrize(("rotation", "flip"), [(90.0, False), (33.0, True)])
def test_turned_and_mirrored_scans_give_the_same_image(scan, rotation, flip):
    expected = signal_of(scan).ptychography(**QUICK).phase
    turned = scan_of_atoms(dose=1e5, scan_rotation=rotation, flip_y=flip)
    found = signal_of(turned).ptychography(**QUICK).phase
    assert sampling_of(found) == pytest.approx(sampling_of(expected))
    np.testing.assert_allclose(
        peaks(found.data, sampling_of(found)),
        peaks(expected.data, sampling_of(expected)),
        atol=0.35,
    )
    assert np.corrcoef(found.data.ravel(), expected.data.ravel())[0, 1] > 0.9


def test_a_scan_that_runs_backwards_gives_the_mirrored_image(atoms):
    expected = atoms.ptychography(**QUICK).phase
    found = atoms.inav[::-1].ptychography(**QUICK).phase
    assert found.axes_manager["x"].scale == pytest.approx(-expected.axes_manager["x"].scale)
    # Both place an atom at the same coordinate.
    for image in (expected, found):
        y, x = np.unravel_index(image.data.argmax(), image.data.shape)
        place = (
            10 * image.axes_manager["y"].index2value(y),
            10 * image.axes_manager["x"].index2value(x),
        )
        assert np.linalg.norm(PLACES - place, axis=1).min() < 0.3


@pytest.fixture(scope="module")
def many_atoms():
    """A scan that shows its rotation."""
    acquisition = stem_plugins.Acquisition(
        beam_energy=300,
        convergence_angle=20,
        scan_step=0.4,
        diffraction_step=4.0,
        center=(8, 8),
        scan_rotation=25.0,
        flip_y=False,
    )
    places = np.random.default_rng(3).uniform(1, 25, (41, 2))
    specimen = single_atoms([79] * 41, places.tolist(), extent=(25.6, 25.6))
    return simulate_scan(
        specimen, acquisition, scan_shape=(64, 64), detector_shape=(16, 16), workers=1
    )


def test_an_unknown_rotation_is_estimated_and_said(many_atoms):
    signal = signal_of(many_atoms, scan_rotation=None, flip_y=None)
    with pytest.warns(
        UserWarning, match=r"taken is what the scan suggests: 2[456]\.\d° ± "
    ) as said:
        found = signal.ptychography(iterations=2, threads=1, callback=stop_after(1))
    assert said[0].filename == __file__
    assert found.result.acquisition.scan_rotation == pytest.approx(25, abs=1)
    assert found.phase.acquisition.scan_rotation == pytest.approx(25, abs=1)
    assert found.phase.acquisition.flip_y is False
    assert signal.acquisition.scan_rotation is None
    # Going on, the estimate of the first run is kept and not said again.
    more = signal.ptychography(resume=found.result, threads=1)
    assert len(more.losses.data) == 2
    assert more.result.acquisition == found.result.acquisition


def test_a_rotation_that_cannot_be_estimated_is_none_and_said(scan, many_atoms):
    uncertain = signal_of(scan_of_atoms(dose=20), scan_rotation=None, flip_y=None)
    with pytest.warns(UserWarning, match="too uncertain; it is taken as 0°, not mirrored"):
        found = uncertain.ptychography(iterations=1, threads=1)
    assert found.result.acquisition.scan_rotation == 0
    small = signal_of(scan, scan_rotation=None).inav[:6, :6]
    with pytest.warns(UserWarning, match="does not show it: .* taken as 0°"):
        small.ptychography(iterations=1, threads=1)
    mirrored = signal_of(many_atoms, scan_rotation=None, flip_y=True)
    with pytest.warns(UserWarning, match=r"contradicts flip_y; it is taken as 0°, mirrored"):
        mirrored.ptychography(iterations=1, threads=1)


def test_options_reach_the_arrays(atoms):
    mask = np.ones((32, 32), bool)
    mask[:, 3] = False
    half, _ = half_scans((13, 13))
    regularization = Regularization(low_pass=0.5)
    probe = np.zeros((32, 32), complex)
    probe[15:18, 15:18] = 1
    options = {"loss": "amplitude", "regularization": regularization, "refine": "positions"}
    found = atoms.ptychography(
        "pixelated",
        mask=mask,
        scan_mask=hs.signals.Signal2D(half),
        probe=hs.signals.ComplexSignal2D(probe),
        **options,
        **QUICK,
    )
    expected = stem_plugins.iterative_ptychography(
        atoms.data,
        atoms.acquisition,
        prior="pixelated",
        mask=mask,
        scan_mask=half,
        probe=probe,
        **{**options, "refine": ("positions",)},
        **QUICK,
    )
    np.testing.assert_array_equal(found.phase.data, expected.phase)
    np.testing.assert_array_equal(found.result.positions, expected.positions)


def test_callback_ends_it_and_the_bar_shows_the_losses(atoms, capsys):
    seen = []

    def enough(progress):
        seen.append(progress)
        return progress.iteration == 2

    found = atoms.ptychography(callback=enough, show_progressbar=True, **QUICK)
    assert len(found.losses.data) == 2
    assert found.result.stopped == "stopped by the callback"
    bar = capsys.readouterr().err
    assert f"pixelated, loss {found.losses.data[-1]:.4g}" in bar
    assert f"held out {found.held_out_losses.data[-1]:.4g}" in bar


def test_ctrl_c_returns_the_state_so_far(atoms):
    def interrupt(progress):
        if progress.iteration == 3:
            raise KeyboardInterrupt

    found = atoms.ptychography(callback=interrupt, **QUICK)
    assert len(found.losses.data) == 3
    assert found.result.stopped == "stopped by Ctrl-C"


@pytest.mark.parametrize(
    "name", ["beam_energy", "convergence_angle", "scan_step", "diffraction_step"]
)
def test_missing_calibration_is_named_with_the_way_to_set_it(scan, name):
    signal = signal_of(scan, **{name: None})
    with pytest.raises(MissingCalibrationError) as refused:
        signal.dgp()
    assert refused.value.fields == (name,)
    assert f"signal.set_acquisition({name}=...)" in str(refused.value)


def test_what_cannot_be_is_refused_before_anything_is_read(scan, atoms, tmp_path):
    wide = signal_of(scan, defocus=2000)
    with pytest.raises(ValueError, match="leave a window of"):
        wide.dgp()
    apart = signal_of(scan, scan_step=20, defocus=0)
    with pytest.raises(ValueError, match="share too little"):
        apart.dgp()
    with pytest.raises(ValueError, match="two navigation axes"):
        atoms.inav[0].dgp()
    with pytest.raises(ValueError, match="iterations must be a whole number"):
        atoms.dgp(iterations=0)
    with pytest.raises(ValueError, match="'pixels'"):
        atoms.ptychography("pixels")
    with pytest.raises(ValueError, match="slice_thickness"):
        atoms.dgp(slices=3)
    with pytest.raises(TypeError, match=r"refine must be a tuple of names .*, not None"):
        atoms.dgp(refine=None)
    with pytest.raises(TypeError, match="regularization must be a Regularization"):
        atoms.dgp(regularization={"kz_filter": 0.5})
    with pytest.raises(TypeError, match=r"resume must be what ptychography\(\) .*, not 5\."):
        atoms.dgp(resume=5)
    with pytest.raises(ValueError, match=r"Give mask > 0"):
        atoms.dgp(mask=np.ones((32, 32)))
    with pytest.raises(FileNotFoundError, match=r"missing\.h5"):
        atoms.dgp(resume=tmp_path / "missing.h5")


def test_only_the_same_data_and_options_are_resumed(scan, atoms):
    found = atoms.ptychography(callback=stop_after(2), **QUICK).result
    other = signal_of(dataclasses.replace(scan, data=np.asarray(scan.data)[::-1].copy() * 2))
    with pytest.raises(ValueError, match="other data"):
        other.ptychography(resume=found)
    with pytest.raises(ValueError, match="prior cannot be given anew"):
        atoms.dgp(resume=found)
    with pytest.raises(ValueError, match="seed cannot be given anew"):
        atoms.ptychography(resume=found, seed=4)
    again = atoms.ptychography(resume=found, iterations=4, seed=0, threads=1)
    assert len(again.losses.data) == 4


def test_signals_are_resumed_as_their_result(atoms):
    found = atoms.ptychography(callback=stop_after(2), **QUICK)
    more = atoms.ptychography(resume=found, iterations=4, threads=1)
    expected = atoms.ptychography(resume=found.result, iterations=4, threads=1)
    np.testing.assert_array_equal(more.losses.data, expected.losses.data)
    np.testing.assert_array_equal(more.phase.data, expected.phase.data)
