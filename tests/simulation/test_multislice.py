"""Multislice against abTEM, analytic propagation, and conservation laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins.optics import Acquisition, interaction_constant, probe, wavelength
from stem_plugins.simulation import (
    antialias_aperture,
    multislice,
    propagator,
    sliced_potential,
    strontium_titanate,
    transmission,
)

SHAPE, SAMPLING, THICKNESS = (96, 108), (3.905 / 48, 3.905 / 54), 1.9525


@pytest.fixture(scope="module")
def potential():
    """SrTiO3, 2 × 2 × 6 cells in slices of half a cell, shape (12, 96, 108)."""
    atoms = strontium_titanate(6).repeat(1, 2, 2)
    return sliced_potential(atoms, SHAPE, SAMPLING, THICKNESS)


@pytest.fixture(scope="module")
def abtem_potential(abtem, potential):
    return abtem.PotentialArray(
        potential.transpose(0, 2, 1).astype(np.float32),
        slice_thickness=THICKNESS,
        sampling=SAMPLING[::-1],
    )


def test_exit_wave_of_a_plane_wave_equals_abtem(abtem, potential, abtem_potential):
    waves = abtem.PlaneWave(energy=200e3, device="cpu")
    expected = waves.multislice(abtem_potential, lazy=False).array.squeeze().T
    transmissions = transmission(potential, 200, SAMPLING)
    propagation = propagator(SHAPE, SAMPLING, THICKNESS, 200)
    wave = multislice(np.ones(SHAPE, complex), transmissions, propagation)
    assert np.abs(wave - expected).max() < 1e-3 * np.abs(expected).max()
    # The specimen must matter for this to say something.
    assert np.abs(wave - 1).max() > 0.5


def test_batches_are_the_single_waves(potential):
    transmissions = transmission(potential[:3], 200, SAMPLING)
    propagation = propagator(SHAPE, SAMPLING, THICKNESS, 200)
    acquisition = Acquisition(beam_energy=200, convergence_angle=20)
    waves = np.stack(
        [probe(SHAPE, SAMPLING, acquisition, position=place) for place in ((1, 2), (3, 4.5))]
    )
    together = multislice(waves, transmissions, propagation, workers=2)
    for wave, expected in zip(waves, together, strict=True):
        np.testing.assert_allclose(
            multislice(wave, transmissions, propagation), expected, atol=1e-12
        )


def test_propagation_is_defocus():
    # A probe propagated by z is the probe with C10 larger by z (underfocus smaller by z).
    over = Acquisition(beam_energy=300, convergence_angle=20, defocus=-150.0)
    focus = Acquisition(beam_energy=300, convergence_angle=20, defocus=0.0)
    wave = multislice(
        probe((128, 128), 0.2, focus),
        np.ones((3, 1, 1)),
        propagator((128, 128), 0.2, 50.0, 300),
    )
    np.testing.assert_allclose(wave, probe((128, 128), 0.2, over), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(8, 40), st.integers(8, 40)),
    st.tuples(st.floats(0.05, 0.3), st.floats(0.05, 0.3)),
    st.floats(0.1, 20),
    st.integers(0, 2**32 - 1),
)
def test_no_electron_is_made_or_lost_but_beyond_the_band_limit(shape, sampling, thickness, seed):
    rng = np.random.default_rng(seed)
    band = antialias_aperture(shape, sampling)
    wave = np.fft.ifft2(rng.normal(size=shape) * (band == 1) + 1.0 * (band == 1))
    weak = transmission(rng.normal(size=(2, *shape)), 200, sampling)
    propagation = propagator(shape, sampling, thickness, 200)
    exit_wave = multislice(wave, weak, propagation)
    kept = (np.abs(exit_wave) ** 2).sum() / (np.abs(wave) ** 2).sum()
    assert kept < 1 + 1e-6
    through_vacuum = multislice(wave, np.ones((2, 1, 1)), propagation)
    np.testing.assert_allclose(
        (np.abs(through_vacuum) ** 2).sum(), (np.abs(wave) ** 2).sum(), rtol=1e-12
    )


def test_positive_potential_advances_the_phase():
    smooth = 200 * np.exp(-(((np.arange(64) - 32) / 8) ** 2))
    potential = smooth[:, None] * smooth[None] / 200
    wave = transmission(potential, 80, 0.1)
    np.testing.assert_allclose(np.angle(wave), interaction_constant(80) * potential, atol=2e-4)
    assert np.angle(wave)[32, 32] == pytest.approx(200 * interaction_constant(80), rel=1e-3)


def test_precision_follows_the_potential():
    assert transmission(np.ones((4, 4), np.float32), 100, 0.1).dtype == np.complex64
    assert transmission(np.ones((4, 4)), 100, 0.1).dtype == np.complex128


def test_antialias_aperture_keeps_two_thirds():
    band = antialias_aperture((300, 200), (0.1, 0.2))
    ky, kx = np.fft.fftfreq(300, 0.1)[:, None], np.fft.fftfreq(200, 0.2)[None]
    limit = 2 / 3 * 0.5 / 0.2
    assert (band[np.hypot(ky, kx) > limit] == 0).all()
    assert (band[np.hypot(ky, kx) < limit - 0.01 / 0.2] == 1).all()


def test_propagator_phase():
    propagation = propagator((100, 100), 0.1, 7.0, 300)
    k = 4 / (100 * 0.1)
    assert np.angle(propagation[0, 4]) == pytest.approx(-np.pi * wavelength(300) * 7.0 * k**2)
