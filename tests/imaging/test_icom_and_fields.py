"""iCOM, calibrated fields, divergence and colours on objects of known field."""

import dask.array as da
import numpy as np
import pytest
from vector_fields import atom_field, detector_frame

from stem_plugins.imaging import (
    divergence,
    electric_field,
    field_colors,
    icom,
    vector_field,
)
from stem_plugins.optics import Acquisition, interaction_constant, wavelength


def test_icom_gives_the_potential_back_on_a_scan_that_does_not_repeat(rng):
    atoms = np.column_stack([rng.uniform(-8, 104, (60, 2)), rng.uniform(0.5, 2, 60)])
    field, potential = atom_field((96, 96), atoms, width=4)
    image = icom(field)
    potential -= potential.mean()
    assert np.std(image - potential) < 0.01 * np.std(potential)


def test_icom_integrates_a_ramp_that_a_plain_fft_would_wrap():
    y, x = np.indices((32, 40))
    field = np.broadcast_to(np.array([0.5, -0.25]), (32, 40, 2))
    expected = 0.5 * y - 0.25 * x
    result = icom(field)
    assert np.std(result - expected + expected.mean()) < 0.02 * np.std(expected)


@pytest.mark.parametrize("step", [(0.2, 0.2), (0.1, 0.3)])
def test_icom_respects_the_scan_step(step):
    field, potential = atom_field((48, 48), [(20, 25, 1)], width=4)
    result = icom(field / np.array(step), scan_step=step)
    np.testing.assert_allclose(result, potential - potential.mean(), atol=0.01)


def test_icom_turns_vectors_as_documented():
    field, _ = atom_field((32, 32), [(10, 18, 1)])
    recorded = detector_frame(field, -70, True)
    turned = icom(recorded, rotation=-70, flip_y=True)
    np.testing.assert_allclose(turned, icom(field), atol=1e-12)


def test_high_pass_halves_the_wave_at_its_frequency():
    y, _ = np.indices((128, 128))
    k = 2 * np.pi * 8 / 128
    field = np.zeros((128, 128, 2))
    field[..., 0] = -k * np.sin(k * (y + 0.5))
    filtered, plain = icom(field, high_pass=8 / 128), icom(field)
    np.testing.assert_allclose(filtered, plain / 2, atol=1e-9)
    with pytest.raises(ValueError, match="high_pass"):
        icom(field, high_pass=0)


def test_vector_field_units_follow_the_calibration():
    com = np.zeros((2, 2, 2))
    com[..., 1] = 2.0
    known = {"diffraction_step": (0.5, 0.25), "beam_energy": 80, "scan_step": (0.1, 0.2)}
    bare = vector_field(com, Acquisition())
    assert (bare.unit, bare.step_unit, bare.image_unit) == ("px", "px", "px·px")
    angle = vector_field(com, Acquisition(diffraction_step=(0.5, 0.25)))
    assert angle.unit == "mrad"
    np.testing.assert_allclose(angle.vectors[0, 0], (0, 0.5))
    full = vector_field(com, Acquisition(**known))
    assert (full.unit, full.image_unit, full.scan_step) == ("rad/Å", "rad", (0.1, 0.2))
    np.testing.assert_allclose(full.vectors[0, 0], (0, 2 * np.pi * 0.5e-3 / wavelength(80)))


def test_vector_field_scales_before_it_turns():
    com = np.zeros((1, 1, 2))
    com[..., 1] = 1.0
    acquisition = Acquisition(diffraction_step=(3, 1), scan_rotation=90)
    np.testing.assert_allclose(vector_field(com, acquisition).vectors[0, 0], (1, 0), atol=1e-12)


def test_vector_field_removes_descan_and_stays_lazy():
    y, x = np.indices((6, 6)).astype(float)
    com = np.stack([0.1 * y, 0.2 * x], axis=-1)
    field = vector_field(da.from_array(com), Acquisition(diffraction_step=1), descan="plane")
    assert isinstance(field.vectors, da.Array)
    np.testing.assert_allclose(field.vectors.compute(), 0, atol=1e-12)


def test_electric_field_of_a_known_potential():
    # A phase of σ · 100 V·Å per Å is a field of -100 V.
    gradient = np.zeros((1, 1, 2))
    gradient[..., 0] = 100 * interaction_constant(300)
    np.testing.assert_allclose(electric_field(gradient, beam_energy=300)[0, 0], (-100, 0))


@pytest.mark.parametrize("lazy", [False, True])
def test_divergence_of_atoms_is_negative_and_of_their_field_positive(lazy):
    field, _ = atom_field((32, 32), [(15, 16, 1)], width=3)
    field = da.from_array(field, chunks=7) if lazy else field
    result = divergence(field, scan_step=0.5)
    assert isinstance(result, da.Array) == lazy
    result = np.asarray(result)
    assert np.unravel_index(result.argmin(), result.shape) == (15, 16)
    # Laplacian of a Gaussian at its top is -2 / width², here in px⁻¹ over steps of half a unit.
    assert result.min() == pytest.approx(-2 / 9 / 0.5, rel=0.1)


def test_divergence_needs_neighbours():
    with pytest.raises(ValueError, match="two rows"):
        divergence(np.zeros((1, 5, 2)))


def test_colors_of_the_four_directions():
    vectors = np.array([[[0, 1], [-1, 0], [0, -1], [1, 0], [0, 0]]], float)
    right, up, left, down, zero = field_colors(vectors)[0]
    np.testing.assert_array_equal(right, (255, 0, 0))
    np.testing.assert_array_equal(up, (128, 255, 0))
    np.testing.assert_array_equal(left, (0, 255, 255))
    np.testing.assert_array_equal(down, (128, 0, 255))
    np.testing.assert_array_equal(zero, 0)
