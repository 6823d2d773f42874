"""Reconstructions of scans whose specimen is known."""

import dataclasses

import dask.array as da
import numpy as np
import pytest
from atom_scans import ACQUISITION, PLACES, peaks, scan_of_atoms
from scipy.ndimage import gaussian_filter

pytest.importorskip("torch")

from stem_plugins import MissingCalibrationError, Regularization, ssb
from stem_plugins import iterative_ptychography as reconstruct
from stem_plugins.optics import probe
from stem_plugins.ptychography.metrics import cross_talk, fourier_ring_correlation, half_scans
from stem_plugins.simulation import Atoms, simulate_scan, single_atoms

PIXELATED = {"prior": "pixelated", "threads": 1}


def run(scan, **options):
    return reconstruct(scan.data, scan.acquisition, **{**PIXELATED, **options})


def truth_at(result, scan):
    """Correlation with the projected phase at the scan positions."""
    rows, columns = (
        np.rint(np.arange(n) * step / pixel).astype(int)
        for n, step, pixel in zip(
            scan.phase.shape, scan.acquisition.scan_step, result.sampling, strict=True
        )
    )
    return np.corrcoef(result.phase[np.ix_(rows, columns)].ravel(), scan.phase.ravel())[0, 1]


@pytest.mark.parametrize("options", [{}, {"prior": "dgp", "filters": 4}])
def test_atoms_are_bright_and_where_they_are(atoms, options):
    found = run(atoms, iterations=8, **options)
    np.testing.assert_allclose(
        peaks(found.phase, found.sampling), sorted(PLACES.tolist()), atol=0.4
    )
    assert found.losses[-1] < 0.5 * found.losses[0]
    assert found.origin == (0, 0)


@pytest.mark.parametrize("rotation", [90.0, -126.0])
@pytest.mark.parametrize("flip", [False, True])
def test_the_scan_frame_does_not_depend_on_the_detector(rotation, flip):
    scan = scan_of_atoms(scan_rotation=rotation, flip_y=flip)
    found = run(scan, iterations=8)
    np.testing.assert_allclose(
        peaks(found.phase, found.sampling), sorted(PLACES.tolist()), atol=0.4
    )
    # Positions are those of the scan, whatever the detector does.
    expected = np.moveaxis(np.indices((13, 13)), 0, -1)
    np.testing.assert_allclose(found.positions, expected, atol=1e-9)


def test_lazy_data_give_the_same(atoms):
    eager = run(atoms, iterations=4)
    for chunks in ((13, 13, 32, 32), (4, 13, 32, 32), (5, 7, 16, 32)):
        lazy = reconstruct(
            da.from_array(atoms.data, chunks=chunks), atoms.acquisition, iterations=4, **PIXELATED
        )
        np.testing.assert_allclose(lazy.phase, eager.phase, atol=2e-3)


@pytest.mark.parametrize("prior", ["pixelated", "dgp"])
def test_a_seed_gives_the_same_with_or_without_a_break(atoms, prior, tmp_path):
    counts = np.random.default_rng(0).poisson(atoms.data * 500)
    options = {"prior": prior, "seed": 5, "threads": 1, "held_out": 0.1}
    if prior == "dgp":
        options["filters"] = 4
    whole = reconstruct(counts, atoms.acquisition, iterations=9, **options)
    again = reconstruct(counts, atoms.acquisition, iterations=9, **options)
    np.testing.assert_array_equal(again.slices, whole.slices)
    seen = []

    def stop(progress):
        if progress.share == 1:
            seen.append(progress.stage)
        return len(seen) == len(whole.losses) - 4

    file = tmp_path / "state.h5"
    part = reconstruct(
        counts, atoms.acquisition, iterations=9, callback=stop, checkpoint=file, **options
    )
    assert part.stopped == "stopped by the callback"
    assert len(part.losses) == len(whole.losses) - 4
    for before in (part, file):
        rest = reconstruct(counts, atoms.acquisition, resume=before, threads=1)
        np.testing.assert_array_equal(rest.slices, whole.slices)
        np.testing.assert_array_equal(rest.probe, whole.probe)
        np.testing.assert_array_equal(rest.losses, whole.losses)
        np.testing.assert_array_equal(rest.held_out_losses, whole.held_out_losses)


@pytest.mark.parametrize("prior", ["pixelated", "dgp"])
def test_a_finished_run_goes_on_with_more_iterations(atoms, prior, tmp_path):
    options = {"prior": prior, "filters": 4, "threads": 1, "held_out": 0}
    whole = reconstruct(atoms.data, atoms.acquisition, iterations=7, **options)
    short = reconstruct(atoms.data, atoms.acquisition, iterations=4, **options)
    longer = reconstruct(atoms.data, atoms.acquisition, resume=short, iterations=7, threads=1)
    np.testing.assert_array_equal(longer.slices, whole.slices)
    if prior == "pixelated":
        return
    polished = reconstruct(atoms.data, atoms.acquisition, resume=short, polish=3, threads=1)
    assert len(polished.losses) == len(short.losses) + 3


def test_a_stop_within_an_iteration_does_not_count(atoms, tmp_path):
    options = {"prior": "dgp", "filters": 4, "threads": 1, "held_out": 0, "batch": 40}
    whole = reconstruct(atoms.data, atoms.acquisition, iterations=4, **options)

    def stop(progress):
        return progress.stage == "dgp" and progress.share > 0.6 and progress.share < 1

    part = reconstruct(atoms.data, atoms.acquisition, iterations=4, callback=stop, **options)
    rest = reconstruct(atoms.data, atoms.acquisition, resume=part, threads=1)
    np.testing.assert_array_equal(rest.slices, whole.slices)


def test_resuming_with_other_data_or_options_is_refused(atoms, tmp_path):
    result = run(atoms, iterations=2)
    other = scan_of_atoms(numbers=(79, 79, 6))
    with pytest.raises(ValueError, match="of other data"):
        reconstruct(other.data, other.acquisition, resume=result)
    with pytest.raises(ValueError, match="cannot be given anew"):
        reconstruct(atoms.data, atoms.acquisition, resume=result, slices=2, slice_thickness=5)
    with pytest.raises(ValueError, match="has done 2 of the 2 iterations"):
        reconstruct(atoms.data, atoms.acquisition, resume=result)
    lens = dataclasses.replace(atoms.acquisition, defocus=70)
    with pytest.raises(ValueError, match=r"made with defocus 60.*now it is 70"):
        reconstruct(atoms.data, lens, resume=result)
    with pytest.raises(FileNotFoundError, match=r"no .*nothing\.h5"):
        reconstruct(atoms.data, atoms.acquisition, resume=tmp_path / "nothing.h5")


def test_networks_take_smaller_steps_where_nothing_improves(atoms):
    options = {"filters": 4, "patience": 4, "held_out": 0.2, "seed": 1}
    found = run(atoms, prior="dgp", iterations=60, **options)
    assert found.stopped == "held-out loss rose for 4 iterations"
    networks = found.rates[found.rates < 1]
    assert networks[0] == 3e-3
    assert networks[-1] <= 3e-3 / 4
    assert set(networks[1:] / networks[:-1]) == {1.0, 0.5}
    # Interrupted after it had become slower, it goes on at that rate.
    half = len(networks) - 1
    resumed = run(atoms, prior="dgp", iterations=half, **options)
    resumed = reconstruct(atoms.data, atoms.acquisition, resume=resumed, iterations=60, threads=1)
    np.testing.assert_array_equal(resumed.rates, found.rates)
    np.testing.assert_array_equal(resumed.phase, found.phase)


def test_patterns_that_are_no_numbers_are_left_out_and_said(atoms):
    """Also where the first look at some of the patterns has missed them."""
    plain = run(atoms, iterations=8)
    spoilt = np.array(atoms.data)
    spoilt[2, 2] = np.nan
    with pytest.warns(UserWarning, match="not finite numbers are left out") as said:
        found = reconstruct(spoilt, atoms.acquisition, **PIXELATED, iterations=8)
    assert len(said) == 1
    assert np.corrcoef(found.phase.ravel(), plain.phase.ravel())[0, 1] > 0.98
    with pytest.raises(ValueError, match="hold no numbers"):
        reconstruct(np.full_like(spoilt, np.nan), atoms.acquisition, **PIXELATED)
    for factor in (1e-60, 1e60):
        with pytest.raises(ValueError, match="single precision"):
            reconstruct(atoms.data.astype(float) * factor, atoms.acquisition, **PIXELATED)


def test_a_line_is_no_scan(atoms):
    with pytest.raises(ValueError, match="1 × 13 positions is too small"):
        reconstruct(atoms.data[:1], atoms.acquisition, **PIXELATED)


def test_refinement_begins_before_anything_ends(atoms):
    found = run(atoms, iterations=12, refine=("positions",), patience=1)
    assert len(found.losses) > 6
    moved = found.positions - run(atoms, iterations=1).positions
    assert np.abs(moved).max() > 1e-4


def test_an_unknown_rotation_is_estimated_and_said(tmp_path):
    places = np.random.default_rng(3).uniform(1, 25, (41, 2))
    known = dataclasses.replace(
        ACQUISITION, scan_step=0.4, diffraction_step=4.0, defocus=0, center=(8, 8)
    )
    scan = simulate_scan(
        single_atoms([79] * 41, places.tolist(), extent=(25.6, 25.6)),
        dataclasses.replace(known, scan_rotation=25.0, flip_y=True),
        scan_shape=(64, 64),
        detector_shape=(16, 16),
        workers=1,
    )
    given = {**PIXELATED, "iterations": 1}
    with pytest.warns(UserWarning, match=r"taken is what the scan suggests: 2[456]\.\d°") as said:
        found = reconstruct(scan.data, known, **given)
    assert said[0].filename == __file__
    assert found.acquisition.scan_rotation == pytest.approx(25, abs=1)
    assert found.acquisition.flip_y is True
    # Going on, the estimate is kept and not said again.
    again = reconstruct(scan.data, known, resume=found, iterations=2)
    assert again.acquisition == found.acquisition
    with pytest.warns(UserWarning, match="does not show it: .* taken as 0°, not mirrored"):
        small = reconstruct(scan.data[:6, :6], known, **given)
    assert small.acquisition.scan_rotation == 0


def test_positions_are_found_back():
    """Every position is recorded up to 0.3 Å beside where it is believed to be."""
    rng = np.random.default_rng(8)
    moves = rng.uniform(-0.3, 0.3, (13, 13, 2))
    atoms_at = rng.uniform(-1, 13, (40, 2))
    fine = scan_of_atoms(numbers=[79], places=[[6, 6]])
    data = np.empty_like(fine.data)
    for y, x in np.ndindex(13, 13):
        # One pattern with the specimen moved the other way.
        place = atoms_at - np.array([y, x]) - moves[y, x] + 6
        one = simulate_scan(
            single_atoms([47] * 40, place, extent=(30, 30)),
            dataclasses.replace(ACQUISITION, center=(16, 16)),
            scan_shape=(1, 1),
            detector_shape=(32, 32),
            scan_origin=(6, 6),
            workers=1,
        )
        data[y, x] = one.data[0, 0]
    plain = reconstruct(data, fine.acquisition, iterations=60, held_out=0, **PIXELATED)
    refined = reconstruct(
        data, fine.acquisition, iterations=60, held_out=0, refine=("positions",), **PIXELATED
    )
    assert refined.losses[-1] < 0.3 * plain.losses[-1]
    found = refined.positions - plain.positions
    # A shift of all is one of the object; only what differs can be known.
    error = found - moves
    error -= error.mean(axis=(0, 1))
    assert error.std() < 0.5 * moves.std()


def test_descan_is_found_back():
    """Patterns that move by some hundredths of a detector pixel from position to position."""
    places = np.random.default_rng(8).uniform(-1, 13, (40, 2))
    scan = simulate_scan(
        single_atoms([47] * 40, places, extent=(13, 13)),
        dataclasses.replace(ACQUISITION, center=(16, 16)),
        scan_shape=(13, 13),
        detector_shape=(32, 32),
        descan=[[0.08, 0.02], [-0.03, 0.05]],
        workers=1,
    )
    plain = run(scan, iterations=40, held_out=0)
    refined = run(scan, iterations=40, held_out=0, refine=("descan",))
    assert refined.losses[-1] < 0.4 * plain.losses[-1]
    assert refined.settings["probe_prior"] == "fixed"
    found = np.reshape(refined.refined["descan"], (2, 3))
    # From the middle to the last of 13 positions.
    np.testing.assert_allclose(found, [[0, 0.48, 0.12], [0, -0.18, 0.3]], atol=0.06)


def test_the_distance_of_slices_is_found_back():
    scan, _ = two_layers()
    given = {"slices": 2, "slice_thickness": 40.0, "held_out": 0, "iterations": 60}
    plain = run(scan, **given)
    refined = run(scan, **given, refine=("slice_thickness",))
    assert refined.losses[-1] < 0.9 * plain.losses[-1]
    assert plain.slice_thickness == 40
    assert refined.slice_thickness == pytest.approx(60, abs=8)


def test_a_vacuum_pattern_tells_the_aperture():
    """An aperture that is larger than it is said to be, and half as bright on one side."""
    scan = scan_of_atoms(numbers=[79, 79, 79])
    vacuum = scan_of_atoms(numbers=[1], places=[[200, 200]], side=3).data.mean((0, 1))
    said = dataclasses.replace(scan.acquisition, convergence_angle=18.5)
    given = {**PIXELATED, "iterations": 15, "probe_prior": "fixed"}
    plain = reconstruct(scan.data, said, **given)
    told = reconstruct(scan.data, said, vacuum=np.roll(vacuum, 2, axis=1), **given)
    assert told.losses[-1] < 0.1 * plain.losses[-1]
    assert truth_at(told, scan) > truth_at(plain, scan)
    with pytest.raises(ValueError, match="not both"):
        reconstruct(scan.data, said, vacuum=vacuum, probe=told.probe[0], **given)
    with pytest.raises(ValueError, match="as large as those of the scan"):
        reconstruct(scan.data, said, vacuum=vacuum[1:], **given)
    with pytest.raises(ValueError, match="no counts"):
        reconstruct(scan.data, said, vacuum=0 * vacuum, **given)
    with pytest.raises(ValueError, match="32 pixels that are not finite"):
        reconstruct(scan.data, said, vacuum=np.where(np.eye(32), np.nan, vacuum), **given)
    beside = np.zeros((32, 32))
    beside[:4] = 1
    with pytest.raises(ValueError, match="by the calibration it is"):
        reconstruct(scan.data, said, vacuum=beside, **given)


@pytest.mark.parametrize(("rotation", "flip"), [(0.0, False), (-126.0, True)])
def test_the_integrated_centre_of_mass_is_a_first_guess(rotation, flip):
    calibration = {"scan_rotation": rotation, "flip_y": flip, "defocus": 0, "scan_step": 0.4}
    scan = scan_of_atoms(**calibration, positions=32)
    guess = reconstruct(
        scan.data, scan.acquisition, first_guess="icom", iterations=1, polish=0, filters=1
    )
    # Nothing has been learnt yet: what is seen is the guess, the phase smeared by the probe.
    intensity = np.abs(probe((32, 32), 0.4, scan.acquisition, position=(0, 0))) ** 2
    smeared = np.fft.ifft2(np.fft.fft2(scan.phase) * np.fft.fft2(intensity)).real
    rows, columns = (np.rint(np.arange(32) * 0.4 / pixel).astype(int) for pixel in guess.sampling)
    image = guess.phase[np.ix_(rows, columns)]
    slope = np.polyfit(smeared.ravel(), image.ravel(), 1)[0]
    assert np.corrcoef(smeared.ravel(), image.ravel())[0, 1] > 0.93
    assert slope == pytest.approx(1, abs=0.1)


def test_direct_ptychography_is_a_first_guess():
    scan = scan_of_atoms(defocus=0, scan_step=0.4, positions=32)
    direct = np.angle(ssb(scan.data, scan.acquisition))
    guess = reconstruct(
        scan.data, scan.acquisition, first_guess="direct", iterations=1, polish=0, filters=1
    )
    # Little has been learnt yet: what is seen is the guess.
    rows, columns = (np.rint(np.arange(32) * 0.4 / pixel).astype(int) for pixel in guess.sampling)
    image = guess.phase[np.ix_(rows, columns)]
    assert np.corrcoef(direct.ravel(), image.ravel())[0, 1] > 0.95
    assert np.polyfit(direct.ravel(), image.ravel(), 1)[0] == pytest.approx(1, abs=0.2)
    empty = run(scan, iterations=1, first_guess="none")
    assert guess.losses[0] < 0.9 * empty.losses[0]


def test_the_blur_of_the_detector_is_part_of_the_model(atoms):
    """Patterns that SciPy has blurred."""
    blurred = gaussian_filter(np.asarray(atoms.data), (0, 0, 1.2, 1.2), mode="wrap")
    given = {"iterations": 15, "held_out": 0, "probe_prior": "fixed", **PIXELATED}
    plain = reconstruct(blurred, atoms.acquisition, **given)
    told = reconstruct(blurred, atoms.acquisition, blur=1.2, **given)
    assert told.losses[-1] < 0.2 * plain.losses[-1]
    assert truth_at(told, atoms) > truth_at(plain, atoms)


@pytest.mark.parametrize("prior", ["pixelated", "dgp"])
def test_snapshots_and_rates_are_kept_over_a_break(atoms, prior):
    given = {"prior": prior, "filters": 2, "snapshots": 2, "held_out": 0, "threads": 1}
    data = atoms.data, atoms.acquisition
    whole = reconstruct(*data, **given, iterations=6)
    half = reconstruct(*data, **given, iterations=3)
    resumed = reconstruct(*data, resume=half, iterations=6)
    assert len(whole.rates) == len(whole.losses)
    assert len(whole.snapshots) == len(whole.losses) // 2
    np.testing.assert_array_equal(resumed.rates, whole.rates)
    np.testing.assert_array_equal(resumed.snapshots, whole.snapshots)
    last = whole.snapshots[-1] - whole.phase
    assert np.ptp(whole.snapshots[0] - whole.phase) > np.ptp(last) == 0


def test_networks_of_half_precision_draw_the_same(atoms):
    given = {"filters": 4, "iterations": 4, "threads": 1, "prior": "dgp"}
    exact = reconstruct(atoms.data, atoms.acquisition, **given)
    half = reconstruct(atoms.data, atoms.acquisition, mixed_precision=True, **given)
    difference = np.std(half.phase - exact.phase)
    assert 0 < difference < 0.02 * np.std(exact.phase)


def test_a_probe_of_two_modes_is_found():
    """Two incoherent probes, side by side: one mode cannot explain them."""
    places = np.random.default_rng(8).uniform(-1, 13, (40, 2))
    scan = scan_of_atoms(numbers=[47] * 40, places=places)
    rolled = np.roll(scan.data, 1, axis=1)[:, 1:]
    mixed = dataclasses.replace(scan, data=0.6 * scan.data[:, 1:] + 0.4 * rolled)
    one = run(mixed, iterations=25, held_out=0)
    two = run(mixed, iterations=25, held_out=0, probe_modes=2)
    assert two.losses[-1] < 0.85 * one.losses[-1]
    assert two.powers[0] > two.powers[1] > 0.04
    overlap = np.vdot(two.probe[0], two.probe[1])
    assert abs(overlap) < 1e-4


def two_layers():
    """Two gold atoms each in two layers 60 Å apart."""
    positions = np.array([[5.0, 4, 4], [5, 9, 9], [65, 4, 9], [65, 9, 4]])
    specimen = Atoms([79, 79, 79, 79], positions, (80.0, 13, 13), periodic=False)
    acquisition = dataclasses.replace(
        ACQUISITION, center=(24, 24), convergence_angle=30, defocus=40, diffraction_step=1.6
    )
    scan = simulate_scan(
        specimen,
        dataclasses.replace(acquisition, scan_step=0.7),
        scan_shape=(19, 19),
        detector_shape=(48, 48),
        slice_thickness=20,
        workers=1,
    )
    return scan, positions


def test_two_layers_are_told_apart():
    scan, positions = two_layers()
    found = run(scan, iterations=60, slices=2, slice_thickness=60.0, held_out=0)
    truth = []
    for layer in (positions[:2], positions[2:]):
        rows, columns = (
            np.arange(n) * s for n, s in zip(found.phase.shape, found.sampling, strict=True)
        )
        image = np.zeros(found.phase.shape)
        for _, y, x in layer:
            image += np.exp(-((rows[:, None] - y) ** 2 + (columns - x) ** 2) / 0.3)
        truth.append(image)
    talk = cross_talk(found.slices, np.stack(truth))
    assert abs(talk[0, 1]) < 0.35
    assert abs(talk[1, 0]) < 0.35


def test_absorption_goes_into_its_own_channel(atoms):
    hole = np.array(atoms.data)
    y, x = np.indices((13, 13))
    hole *= (1 - 0.3 * np.exp(-((y - 6) ** 2 + (x - 6) ** 2) / 4))[..., None, None]
    found = reconstruct(hole, atoms.acquisition, iterations=15, object_type="complex", **PIXELATED)
    assert found.absorption is not None
    place = np.unravel_index(found.absorption[0].argmax(), found.phase.shape)
    np.testing.assert_allclose(np.array(place) * found.sampling, (6, 6), atol=1)


def test_a_potential_is_nowhere_negative(atoms):
    found = run(atoms, iterations=6, object_type="potential")
    assert found.slices.min() >= -1e-6
    assert found.phase.max() > 0.2


def test_background_is_told_from_scattering(atoms):
    flat = atoms.data + 2e-5
    found = reconstruct(flat, atoms.acquisition, iterations=25, refine=("background",), **PIXELATED)
    total = float(flat.sum((2, 3)).mean())
    assert found.refined["background"][0] * total == pytest.approx(2e-5, rel=0.3)


def test_regularisers_do_what_they_say(atoms):
    free = run(atoms, iterations=6)
    smooth = run(atoms, iterations=6, regularization=Regularization(low_pass=0.5))
    flat = run(atoms, iterations=6, regularization=Regularization(total_variation=0.1))

    def beyond(phase, frequency):
        ky, kx = (np.fft.fftfreq(n, s) for n, s in zip(phase.shape, free.sampling, strict=True))
        power = np.abs(np.fft.fft2(phase - phase.mean())) ** 2
        return power[np.hypot(ky[:, None], kx) > frequency].sum() / power.sum()

    assert beyond(smooth.phase, 0.9) < 0.1 * beyond(free.phase, 0.9)

    def variation(phase):
        return np.abs(np.diff(phase, axis=0)).sum() + np.abs(np.diff(phase, axis=1)).sum()

    assert variation(flat.phase) < 0.9 * variation(free.phase)
    narrow = run(atoms, iterations=3, regularization=Regularization(probe_support=2.0))
    y, x = ((np.arange(32) - 16) * step for step in narrow.probe_sampling)
    outside = np.hypot(y[:, None], x) > 2.5
    # Aberrations are refined beside the pixels and spread it a little.
    assert np.square(np.abs(narrow.probe[0][outside])).sum() < 0.04


def test_few_electrons_are_reconstructed_better_than_by_pixels_alone():
    scan = scan_of_atoms()
    counts = np.random.default_rng(4).poisson(scan.data * 60)
    noisy = dataclasses.replace(scan, data=counts)
    pixels = truth_at(run(noisy, iterations=20, held_out=0), scan)
    drawn = run(noisy, prior="dgp", iterations=20, filters=4)
    assert "poisson" in " ".join(drawn.settings["chosen"])
    assert truth_at(drawn, scan) > pixels + 0.03


def test_a_callback_and_ctrl_c_end_it_with_what_there_is(atoms):
    shares = []

    def interrupt(progress):
        shares.append(progress.share)
        if progress.iteration == 2:
            raise KeyboardInterrupt

    found = run(atoms, iterations=9, callback=interrupt, batch=60)
    assert found.stopped == "stopped by Ctrl-C"
    assert len(found.losses) == 2
    assert 0 < min(shares) < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": "magic"}, "prior must be one of 'dgp', 'pixelated'"),
        ({"slices": 2}, "need slice_thickness"),
        ({"iterations": 0}, "iterations must be a whole number from 1"),
        ({"refine": ("focus",)}, "'focus' cannot be refined"),
        ({"held_out": 0.7}, "held_out"),
        ({"refine": ("tilt",)}, "several slices"),
        ({"probe": np.ones((3, 3))}, "32 × 32"),
        ({"scan_mask": np.zeros((13, 13), bool)}, "True somewhere"),
        ({"device": "abacus"}, "cannot be used here"),
    ],
)
def test_options_that_make_no_sense_are_said(atoms, options, message):
    with pytest.raises(ValueError, match=message):
        run(atoms, **options)


def test_unknown_options_and_missing_calibration(atoms):
    with pytest.raises(TypeError, match="no option 'iteration'"):
        run(atoms, iteration=3)
    blank = dataclasses.replace(atoms.acquisition, beam_energy=None, convergence_angle=None)
    with pytest.raises(MissingCalibrationError, match=r"beam_energy.*convergence_angle"):
        reconstruct(atoms.data, blank)


def test_dead_rows_of_the_scan_are_left_out_and_said(atoms):
    counts = np.random.default_rng(0).poisson(atoms.data * 5000)
    counts[6] = 0
    with pytest.warns(UserWarning, match="dead rows"):
        found = reconstruct(counts, atoms.acquisition, iterations=8, **PIXELATED)
    np.testing.assert_allclose(
        peaks(found.phase, found.sampling), sorted(PLACES.tolist()), atol=0.4
    )


def test_two_halves_of_a_scan_agree(atoms):
    counts = np.random.default_rng(0).poisson(atoms.data * 3000)
    halves = [
        reconstruct(counts, atoms.acquisition, iterations=8, scan_mask=half, **PIXELATED)
        for half in half_scans((13, 13))
    ]
    agreement = fourier_ring_correlation(
        *(half.phase for half in halves), sampling=halves[0].sampling
    )
    assert 0.4 < agreement.resolution() < 1.2
