"""Simulated scans: abTEM's patterns, the frames and signs, dose, descan, rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins.optics import (
    Acquisition,
    MissingCalibrationError,
    interaction_constant,
    probe,
    wavelength,
)
from stem_plugins.simulation import (
    graphene,
    iter_simulate_scan,
    projected_potential,
    simulate_scan,
    single_atoms,
    sliced_potential,
    strontium_titanate,
)
from stem_plugins.simulation.patterns import detector_geometry

#: Detector pixel [mrad] for which the probe's box is three cells of SrTiO3 wide.
STEP = 1e3 * wavelength(200) / (3 * 3.905)

ACQUISITION = Acquisition(
    beam_energy=200, convergence_angle=21.4, scan_step=0.25, diffraction_step=STEP
)


def _center_of_mass(scan):
    """COM minus centre [px], (y, x), of every pattern: written out here, not imported."""
    center_y, center_x = scan.acquisition.center
    data = scan.data.astype(float)
    y = np.arange(data.shape[2]) - center_y
    x = np.arange(data.shape[3]) - center_x
    total = data.sum((2, 3))
    return np.stack([(data.sum(3) @ y) / total, (data.sum(2) @ x) / total], axis=-1)


def _to_scan_frame(vectors, acquisition):
    """Detector vectors in the scan frame, by the formula of the architecture."""
    y, x = vectors[..., 0], vectors[..., 1]
    if acquisition.flip_y:
        y = -y
    theta = np.deg2rad(acquisition.scan_rotation)
    return np.stack(
        [np.sin(theta) * x + np.cos(theta) * y, np.cos(theta) * x - np.sin(theta) * y], axis=-1
    )


@pytest.mark.parametrize("thickness", [None, 1.9525])
@pytest.mark.parametrize("defocus", [0.0, 40.0])
def test_patterns_equal_abtem(abtem, thickness, defocus):
    atoms = strontium_titanate(4).repeat(1, 3, 3)
    acquisition = ACQUISITION.replace(
        center=(20, 23), defocus=defocus, aberrations={"C12": 20.0, "phi12": 0.5, "C30": 1e4}
    )
    origin, shape = (0.31, 1.17), (2, 3)
    scan = simulate_scan(
        atoms,
        acquisition,
        scan_shape=shape,
        detector_shape=(40, 46),
        scan_origin=origin,
        slice_thickness=thickness,
    )
    geometry = detector_geometry(acquisition, (40, 46))
    potential = sliced_potential(atoms, geometry.window, geometry.pixel, thickness)
    reference = abtem.Probe(
        energy=200e3,
        semiangle_cutoff=21.4,
        defocus=defocus,
        C12=20.0,
        phi12=0.5,
        C30=1e4,
        gpts=geometry.window[::-1],
        sampling=geometry.pixel[::-1],
        device="cpu",
    )
    places = np.array([[x, y] for y, x in _scan_places(shape, 0.25, origin)])
    waves = reference.multislice(
        abtem.PotentialArray(
            potential.transpose(0, 2, 1).astype(np.float32),
            slice_thickness=atoms.cell[0] / len(potential),
            sampling=geometry.pixel[::-1],
        ),
        scan=abtem.CustomScan(places),
        lazy=False,
    ).array
    patterns = np.abs(np.fft.fft2(waves)) ** 2
    patterns /= (np.abs(np.fft.fft2(reference.build(lazy=False).array)) ** 2).sum()
    rows, columns = np.arange(40) - 20, np.arange(46) - 23
    expected = patterns.transpose(0, 2, 1)[:, rows][:, :, columns].reshape(scan.data.shape)
    assert np.abs(scan.data - expected).max() < 1e-3 * expected.max()
    assert np.abs(expected[0, 0] - expected[1, 2]).max() > 0.05 * expected.max()


def _scan_places(shape, step, origin):
    return np.indices(shape).reshape(2, -1).T * step + np.array(origin)


def test_an_uneven_grid_of_cells_equals_the_whole_number_of_cells():
    # The same crystal, once exactly periodic in the box, once cut out around each probe.
    options = {"scan_shape": (2, 2), "detector_shape": (44, 44), "slice_thickness": 3.905}
    exact = simulate_scan(strontium_titanate(3), ACQUISITION, **options)
    cut = simulate_scan(
        strontium_titanate(3).repeat(1, 2, 2), ACQUISITION.replace(scan_rotation=1e-7), **options
    )
    assert np.abs(exact.data - cut.data).max() < 2e-2 * exact.data.max()


@pytest.mark.parametrize("flip_y", [False, True])
@pytest.mark.parametrize("rotation", [0.0, 90.0, -127.3, 34.0])
def test_center_of_mass_points_towards_the_atom(rotation, flip_y):
    # Not square, not centred, so that a wrong axis or sign cannot hide.
    atom = single_atoms([22], [[2.0, 2.75]], extent=(4.0, 5.5))
    acquisition = ACQUISITION.replace(scan_rotation=rotation, flip_y=flip_y, center=(25.3, 22.1))
    scan = simulate_scan(atom, acquisition, scan_shape=(17, 23), detector_shape=(50, 46))
    vectors = _to_scan_frame(_center_of_mass(scan), scan.acquisition)
    towards = np.array([2.0, 2.75]) - np.moveaxis(np.indices((17, 23)), 0, -1) * 0.25
    distance = np.linalg.norm(towards, axis=-1)
    near = (distance > 0.2) & (distance < 1.5)
    lengths = np.linalg.norm(vectors, axis=-1)
    cosine = (vectors * towards).sum(-1)[near] / (lengths * distance)[near]
    assert cosine.min() > 0.99
    assert lengths[near].max() > 0.1


def test_unrotated_patterns_lie_like_the_scan():
    atom = single_atoms([22], [[2.0, 2.0]], extent=(4.0, 4.0))
    scan = simulate_scan(atom, ACQUISITION, scan_shape=(17, 17), detector_shape=(48, 48))
    data = scan.data
    # The probe stands above the atom, then left of it: electrons go down, then right.
    above, left = data[6, 8], data[8, 6]
    assert above[24:].sum() > above[:24].sum() * 1.02
    assert left[:, 24:].sum() > left[:, :24].sum() * 1.02
    assert above[:, 24:].sum() == pytest.approx(above[:, :24].sum(), rel=1e-3)


@settings(max_examples=8, deadline=None)
@given(st.floats(-180, 180), st.booleans(), st.floats(-80, 80))
def test_rotation_and_flip_only_turn_the_patterns(rotation, flip_y, defocus):
    # The vector field in the scan frame does not know how the camera was mounted.
    atoms = single_atoms([14, 38], [[1.0, 1.0], [2.0, 2.5]], extent=(3.0, 3.5))
    acquisition = Acquisition(
        beam_energy=200,
        convergence_angle=20,
        scan_step=0.5,
        diffraction_step=2.0,
        defocus=defocus,
        aberrations={"C12": 40.0, "phi12": 0.6, "C21": 500.0, "phi21": -1.2},
    )
    options = {"scan_shape": (5, 6), "detector_shape": (96, 96)}
    plain = simulate_scan(atoms, acquisition, **options)
    turned = simulate_scan(
        atoms, acquisition.replace(scan_rotation=rotation, flip_y=flip_y), **options
    )
    expected = _to_scan_frame(_center_of_mass(plain), plain.acquisition)
    vectors = _to_scan_frame(_center_of_mass(turned), turned.acquisition)
    np.testing.assert_allclose(vectors, expected, atol=0.05 * np.abs(expected).max())


def test_weak_phase_identity():
    # For a weak phase φ the centre of mass is λ/2π (|ψ|² ⋆ ∇φ): eq. 3.2 of the riCOM chapter,
    # whose factor 1/2 becomes 1/2π in frequencies, λ/2π as an angle.
    atom = single_atoms([3], [[3.0, 3.0]], extent=(6.0, 6.0))
    acquisition = ACQUISITION.replace(scan_step=0.2, diffraction_step=1.0)
    scan = simulate_scan(atom, acquisition, scan_shape=(30, 30), detector_shape=(160, 160))
    radians = _center_of_mass(scan) * 1e-3
    # The reference on its own grid: potential, probe intensity, their correlation, its gradient.
    pixels, sampling = 250, 0.1
    extent = pixels * sampling
    placed = single_atoms([3], [[3.0, 3.0]], extent=(extent, extent))
    phase = interaction_constant(200) * projected_potential(placed, (pixels, pixels), sampling)
    intensity = np.abs(probe((pixels, pixels), sampling, acquisition, position=(0, 0))) ** 2
    k = np.fft.fftfreq(pixels, sampling)
    spectrum = np.fft.fft2(phase) * np.conj(np.fft.fft2(intensity)) * 2j * np.pi
    gradient_y = np.fft.ifft2(spectrum * k[:, None]).real[:60:2, :60:2]
    gradient_x = np.fft.ifft2(spectrum * k[None, :]).real[:60:2, :60:2]
    expected = wavelength(200) / (2 * np.pi) * np.stack([gradient_y, gradient_x], axis=-1)
    np.testing.assert_allclose(radians, expected, atol=0.02 * np.abs(expected).max())


def test_vacuum_is_the_aperture_and_nothing_is_lost():
    vacuum = single_atoms([], np.empty((0, 2)), extent=(5.0, 5.0))
    acquisition = ACQUISITION.replace(center=(19.6, 24.3))
    scan = simulate_scan(vacuum, acquisition, scan_shape=(2, 2), detector_shape=(40, 50))
    # A beam between pixels spreads the cut tails of the probe a little past the detector.
    np.testing.assert_allclose(scan.data.sum((2, 3)), 1.0, rtol=3e-4)
    assert np.abs(_center_of_mass(scan)).max() < 0.02
    y, x = np.indices((40, 50), dtype=float)
    angle = np.hypot(y - 19.6, x - 24.3) * STEP
    disc = scan.data[0, 0]
    inside = disc[angle < 21.4 - 2 * STEP]
    np.testing.assert_allclose(inside, inside.mean(), rtol=0.15)
    assert disc[angle > 21.4 + 2 * STEP].max() < 0.05 * inside.mean()
    np.testing.assert_array_equal(scan.potential, 0.0)


@settings(max_examples=10, deadline=None)
@given(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9))
def test_descan_moves_patterns_by_exactly_what_was_asked(shift_y, shift_x):
    vacuum = single_atoms([], np.empty((0, 2)), extent=(5.0, 5.0))
    matrix = [[shift_y, 0.3], [-0.2, shift_x]]
    scan = simulate_scan(
        vacuum,
        ACQUISITION.replace(center=(30.0, 29.0)),
        scan_shape=(3, 5),
        detector_shape=(60, 60),
        descan=matrix,
    )
    index = np.moveaxis(np.indices((3, 5)), 0, -1) - np.array([1.0, 2.0])
    np.testing.assert_allclose(_center_of_mass(scan), index @ np.transpose(matrix), atol=0.02)


def test_whole_pixel_descan_is_a_roll():
    options = {"scan_shape": (1, 3), "detector_shape": (64, 64)}
    plain = simulate_scan(graphene(), ACQUISITION.replace(center=(32, 32)), **options)
    moved = simulate_scan(
        graphene(), ACQUISITION.replace(center=(32, 32)), descan=[[0, 2], [0, -3]], **options
    )
    for column, steps in ((0, -1), (1, 0), (2, 1)):
        expected = np.roll(plain.data[0, column], (2 * steps, -3 * steps), (0, 1))
        np.testing.assert_allclose(
            moved.data[0, column, 8:-8, 8:-8], expected[8:-8, 8:-8], atol=1e-4 * expected.max()
        )


def test_counts_are_poisson_distributed_about_the_dose():
    vacuum = single_atoms([], np.empty((0, 2)), extent=(5.0, 5.0))
    acquisition = ACQUISITION.replace(scan_step=(0.2, 0.4))
    options = {"scan_shape": (40, 40), "detector_shape": (40, 40)}
    expected = simulate_scan(vacuum, acquisition, **options).data[0, 0]
    scan = simulate_scan(vacuum, acquisition, dose=2e4, seed=5, **options)
    assert scan.data.dtype == np.uint16
    assert scan.acquisition.dose == 2e4
    electrons = 2e4 * 0.2 * 0.4
    totals = scan.data.sum((2, 3), dtype=float)
    assert totals.mean() == pytest.approx(electrons, abs=4 * np.sqrt(electrons / 1600))
    assert totals.var() == pytest.approx(electrons, rel=0.15)
    pixels = scan.data.reshape(1600, 40, 40).astype(float)
    bright = expected > 0.5 * expected.max()
    np.testing.assert_allclose(pixels.mean(0)[bright], electrons * expected[bright], rtol=0.12)
    assert (pixels.var(0)[bright] / pixels.mean(0)[bright]).mean() == pytest.approx(1.0, abs=0.02)
    # Neighbouring pixels and positions are independent.
    y, x = np.argwhere(bright)[bright.sum() // 2]
    assert abs(np.corrcoef(pixels[:, y, x], pixels[:, y, x + 1])[0, 1]) < 0.1
    assert abs(np.corrcoef(pixels[1:, y, x], pixels[:-1, y, x])[0, 1]) < 0.1


def test_seeds_and_workers():
    options = {
        "scan_shape": (6, 5),
        "detector_shape": (32, 32),
        "dose": 1e5,
        "phonon_configurations": 3,
        "phonons_per_position": 2,
    }
    first = simulate_scan(graphene(), ACQUISITION, seed=1, workers=1, **options)
    again = simulate_scan(graphene(), ACQUISITION, seed=1, workers=3, **options)
    other = simulate_scan(graphene(), ACQUISITION, seed=2, workers=3, **options)
    np.testing.assert_array_equal(first.data, again.data)
    assert (first.data != other.data).mean() > 0.1


def test_rows_are_the_whole():
    options = {"scan_shape": (7, 4), "detector_shape": (32, 36), "dose": 1e5, "seed": 3}
    whole = simulate_scan(graphene(), ACQUISITION, **options)
    rows = list(iter_simulate_scan(graphene(), ACQUISITION, workers=2, **options))
    assert len(rows) == 7
    np.testing.assert_array_equal(np.stack(rows), whole.data)


def test_rows_can_be_left_early_and_progress_sees_them_all():
    options = {"scan_shape": (50, 2), "detector_shape": (24, 24)}
    rows = iter_simulate_scan(graphene(), ACQUISITION, workers=2, **options)
    assert next(rows).shape == (2, 24, 24)
    rows.close()
    seen = []

    def progress(rows, total):
        for row in rows:
            seen.append(total)
            yield row

    simulate_scan(graphene(), ACQUISITION, progress=progress, **options)
    assert seen == [50] * 50


def _part_of_the_beam(scan, inner, outer):
    y, x = np.indices(scan.data.shape[2:], dtype=float)
    angle = np.hypot(y - scan.acquisition.center[0], x - scan.acquisition.center[1]) * STEP
    return scan.data[..., (angle >= inner) & (angle < outer)].sum(-1)


def test_frozen_phonons_of_a_thin_crystal_average_to_the_smeared_bright_field():
    options = {"scan_shape": (1, 4), "detector_shape": (64, 64)}
    crystal = strontium_titanate(1).repeat(1, 3, 3)
    smeared = simulate_scan(crystal, ACQUISITION, **options)
    frozen = simulate_scan(crystal, ACQUISITION, phonon_configurations=60, seed=0, **options)
    np.testing.assert_allclose(
        _part_of_the_beam(frozen, 0, 15), _part_of_the_beam(smeared, 0, 15), rtol=0.04
    )


def test_frozen_phonons_add_diffuse_scattering_to_the_dark_field():
    options = {"scan_shape": (1, 1), "detector_shape": (64, 64), "slice_thickness": 3.905}
    crystal = strontium_titanate(4).repeat(1, 3, 3)
    smeared = simulate_scan(crystal, ACQUISITION, **options)
    frozen = simulate_scan(crystal, ACQUISITION, phonon_configurations=24, seed=0, **options)
    assert (_part_of_the_beam(frozen, 50, 68) > 1.2 * _part_of_the_beam(smeared, 50, 68)).all()


def test_each_position_draws_its_phonons_from_the_pool():
    # Positions one box apart see the same crystal: only the configurations tell them apart.
    options = {
        "scan_shape": (8, 8),
        "detector_shape": (24, 24),
        "phonon_configurations": 4,
        "seed": 0,
    }
    crystal = strontium_titanate(1).repeat(1, 3, 3)
    still = ACQUISITION.replace(scan_step=3 * 3.905)
    one = simulate_scan(crystal, still, phonons_per_position=1, **options)
    signatures = one.data[:, :, 12, 12].round(7)
    values, counts = np.unique(signatures, return_counts=True)
    assert len(values) == 4
    assert counts.min() > 5
    every = simulate_scan(crystal, still, **options)
    assert every.data[0, 0, 12, 12] == pytest.approx(values.mean(), rel=1e-3)


def test_oversampling_integrates_over_the_pixel():
    atoms = single_atoms([38], [[0.6, 0.8]], extent=(2.0, 2.0))
    coarse = ACQUISITION.replace(diffraction_step=3.0, center=(16.25, 15.5))
    fine = ACQUISITION.replace(diffraction_step=1.5, center=(33.0, 31.5))
    options = {"scan_shape": (2, 3)}
    summed = simulate_scan(atoms, coarse, detector_shape=(32, 32), oversample=2, **options)
    pixels = simulate_scan(atoms, fine, detector_shape=(64, 64), **options).data
    expected = pixels.reshape(2, 3, 32, 2, 32, 2).sum((3, 5))
    np.testing.assert_allclose(summed.data, expected, atol=1e-4 * expected.max())


def test_truth_is_the_potential_at_the_scan_positions():
    atom = single_atoms([14], [[2.0, 3.0]], extent=(4.0, 6.0))
    acquisition = ACQUISITION.replace(scan_step=(0.25, 0.2))
    scan = simulate_scan(
        atom, acquisition, scan_shape=(12, 20), detector_shape=(24, 24), scan_origin=(0.5, 0.4)
    )
    assert np.unravel_index(scan.potential.argmax(), (12, 20)) == (6, 13)
    big = single_atoms([14], [[12.0, 12.0]], extent=(24.0, 24.0))
    reference = projected_potential(big, (96, 120), (0.25, 0.2))[48 - 6 : 48 + 6, 60 - 13 : 60 + 7]
    np.testing.assert_allclose(scan.potential, reference, atol=1e-3 * reference.max())
    assert scan.phase.max() == pytest.approx(7.288e-4 * scan.potential.max(), rel=1e-3)


def test_the_result_knows_all_that_was_assumed():
    scan = simulate_scan(graphene(), ACQUISITION, scan_shape=(1, 2), detector_shape=(32, 24))
    assert scan.acquisition == ACQUISITION.replace(
        center=(15.5, 11.5), scan_rotation=0.0, flip_y=False, defocus=0.0
    )
    by_coefficient = ACQUISITION.replace(aberrations={"C10": -20.0})
    scan = simulate_scan(graphene(), by_coefficient, scan_shape=(1, 2), detector_shape=(32, 24))
    assert scan.acquisition.defocus is None
    assert scan.acquisition.aberrations == {"C10": -20.0}


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"scan_step": None, "diffraction_step": None}, {}, "scan_step.*diffraction_step"),
        ({"defocus": 2000.0}, {}, "oversample=[0-9]+ or a finer diffraction_step"),
        ({"diffraction_step": 60.0}, {}, "The probe is about .* Å wide"),
        ({"aberrations": {"C33": 1.0}}, {}, "Unknown aberration 'C33'"),
        ({"scan_step": 2e-11}, {}, "scan_step is in Å"),
        ({}, {"scan_shape": (0, 3)}, "scan_shape must be two numbers above zero"),
        ({}, {"detector_shape": (32,)}, "detector_shape must be two numbers above zero"),
        ({}, {"dose": 1e9}, "more than uint16 can hold"),
        ({}, {"dose": -1.0}, "dose must be above zero"),
        ({}, {"dose": 1e3, "dtype": float}, "integer dtype"),
        ({}, {"descan": [1.0, 2.0]}, "2×2 matrix"),
        ({}, {"oversample": 0}, "oversample must be 1 or more"),
        ({}, {"phonons_per_position": 2}, "2 phonons per position cannot be drawn from 0"),
        ({}, {"slice_thickness": -1.0}, "slice thickness must be above zero"),
    ],
)
def test_bad_input_is_named(changes, options, message):
    given_options = {"scan_shape": (1, 2), "detector_shape": (32, 32), **options}
    with pytest.raises(ValueError, match=message):
        simulate_scan(graphene(), ACQUISITION.replace(**changes), **given_options)


def test_missing_calibration_is_listed():
    with pytest.raises(MissingCalibrationError) as error:
        simulate_scan(graphene(), Acquisition(), scan_shape=(1, 1), detector_shape=(8, 8))
    assert error.value.fields == (
        "beam_energy",
        "convergence_angle",
        "scan_step",
        "diffraction_step",
    )
