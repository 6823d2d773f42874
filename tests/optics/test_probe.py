"""Apertures and probes: against abTEM, diffraction theory, and Fourier identities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import j1

from stem_plugins.optics import (
    Acquisition,
    MissingCalibrationError,
    aperture,
    probe,
    probe_radius,
    spatial_frequencies,
    wavelength,
)

ABERRATED = Acquisition(
    beam_energy=200,
    convergence_angle=21.4,
    defocus=60.0,
    aberrations={"C30": 2e4, "C12": 25.0, "phi12": 0.4, "C21": 300.0, "phi21": -1.0},
)


@pytest.mark.parametrize("shape", [(96, 96), (81, 100)])
def test_probe_equals_abtem(abtem, shape):
    sampling = (0.11, 0.13)
    position = (3.2, 5.17)
    reference = abtem.Probe(
        gpts=shape[::-1],
        sampling=sampling[::-1],
        energy=200e3,
        semiangle_cutoff=21.4,
        defocus=60.0,
        C30=2e4,
        C12=25.0,
        phi12=0.4,
        C21=300.0,
        phi21=-1.0,
        device="cpu",
    )
    # abTEM's first axis is x; its azimuth too runs from x towards y.
    expected = reference.build(scan=position[::-1], lazy=False).array.squeeze().T
    wave = probe(shape, sampling, ABERRATED, position=position)
    expected = expected / np.linalg.norm(expected)
    assert np.abs(wave - expected).max() < 1e-3 * np.abs(expected).max()


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(40, 70), st.integers(40, 70)),
    st.tuples(st.floats(0.08, 0.2), st.floats(0.08, 0.2)),
)
def test_probe_is_normalised_and_its_spectrum_is_a_disc(shape, sampling):
    wave = probe(shape, sampling, ABERRATED)
    assert wave.shape == shape
    assert (np.abs(wave) ** 2).sum() == pytest.approx(1.0)
    ky, kx = spatial_frequencies(shape, sampling)
    pixel = wavelength(200) / min(shape[0] * sampling[0], shape[1] * sampling[1])
    outside = wavelength(200) * np.hypot(ky, kx) > 21.4e-3 + pixel
    assert np.abs(np.fft.fft2(wave))[outside].max(initial=0.0) < 1e-10


def test_focused_probe_is_an_airy_disc():
    acquisition = Acquisition(beam_energy=300, convergence_angle=20)
    sampling = 0.1
    wave = probe((800, 800), sampling, acquisition)
    row = np.abs(wave[400, 400:430]) ** 2
    v = 2 * np.pi * 20e-3 / wavelength(300) * np.arange(30) * sampling
    airy = np.ones(30)
    airy[1:] = (2 * j1(v[1:]) / v[1:]) ** 2
    np.testing.assert_allclose(row / row[0], airy, atol=2e-3)


def test_a_moved_probe_is_the_same_probe():
    acquisition = Acquisition(beam_energy=300, convergence_angle=20, aberrations={"C21": 500.0})
    wave = probe((60, 50), 0.2, acquisition)
    moved = probe((60, 50), 0.2, acquisition, position=((30 + 7) * 0.2, (25 - 4) * 0.2))
    np.testing.assert_allclose(moved, np.roll(wave, (7, -4), (0, 1)), atol=1e-12)


def test_edge_of_the_aperture_is_one_pixel_wide():
    alpha = np.linspace(0, 0.02, 2001)
    soft = aperture(alpha, np.zeros_like(alpha), 10.0, edge=(3.0, 2.0))
    np.testing.assert_allclose(soft, np.clip((0.010 - alpha) / 0.002 + 0.5, 0, 1), atol=1e-12)
    vertical = aperture(alpha, np.full_like(alpha, np.pi / 2), 10.0, edge=(3.0, 2.0))
    np.testing.assert_allclose(vertical, np.clip((0.010 - alpha) / 0.003 + 0.5, 0, 1), atol=1e-12)
    hard = aperture(alpha, np.zeros_like(alpha), 10.0)
    np.testing.assert_array_equal(hard, alpha <= 0.010)


@pytest.mark.parametrize("defocus", [500.0, -2000.0])
def test_radius_of_a_defocused_probe(defocus):
    acquisition = Acquisition(beam_energy=300, convergence_angle=10, defocus=defocus)
    radius = probe_radius(acquisition)
    assert radius == pytest.approx(abs(defocus) * 0.010 + 0.61 * wavelength(300) / 0.010, rel=1e-4)
    wave = probe((256, 256), 0.4, acquisition)
    y, x = np.indices(wave.shape) * 0.4 - 128 * 0.4
    assert (np.abs(wave) ** 2)[np.hypot(y, x) < radius].sum() > 0.9


def test_astigmatism_and_coma_widen_the_probe():
    # The ray aberration is C12 α for astigmatism and, at worst, C21 α² for coma.
    for name, value, spread in (("C12", 1000.0, 10.0), ("C21", 1e5, 10.0)):
        acquisition = Acquisition(
            beam_energy=300, convergence_angle=10, aberrations={name: value, f"phi{name[1:]}": 0.3}
        )
        airy = 0.61 * wavelength(300) / 0.010
        assert probe_radius(acquisition) == pytest.approx(spread + airy, rel=2e-3)


def test_a_probe_needs_energy_and_angle():
    with pytest.raises(MissingCalibrationError, match="convergence_angle"):
        probe((32, 32), 0.2, Acquisition(beam_energy=200))


def test_grids_that_cannot_hold_the_aperture_are_refused():
    with pytest.raises(ValueError, match=r"must be below 0\.492 Å"):
        probe((32, 32), 0.5, Acquisition(beam_energy=300, convergence_angle=20))
    with pytest.raises(ValueError, match="must be above zero"):
        aperture(np.zeros(3), np.zeros(3), 0.0)
