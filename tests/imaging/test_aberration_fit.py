"""Aberrations found again in scans that were recorded with known ones."""

import dask.array as da
import numpy as np
import pytest
from weak_phase import acquisition, record, specimen

from stem_plugins import fit_aberrations, ssb

DEFOCUS = {"defocus": 130.0}
ASTIGMATIC = {"defocus": -70.0, "aberrations": {"C12": 40.0, "phi12": 0.5}}
COMATIC = {"defocus": 50.0, "aberrations": {"C21": 2500.0, "phi21": -0.8, "C30": 4e5}}


def scan(true, electrons=2000, strength=0.03, seed=0):
    """Counts of a specimen of five waves, with some electrons per pattern."""
    setup = acquisition(**true)
    expected = record(setup, specimen(strength)[1])
    expected *= electrons / expected.sum(axis=(2, 3)).mean()
    return np.random.default_rng(seed).poisson(expected).astype(np.uint16), setup


def test_defocus_is_found_from_far_away():
    data, true = scan(DEFOCUS)
    found = fit_aberrations(data, true.replace(defocus=None), fit=["defocus"])
    assert found.acquisition.defocus == pytest.approx(130, abs=3)
    assert found.explained > 1.3 * found.explained_before


@pytest.mark.parametrize("sign", [1, -1])
def test_the_sign_of_defocus_is_seen(sign):
    data, true = scan({"defocus": 60.0 * sign})
    found = fit_aberrations(data, true.replace(defocus=0), fit=["defocus"])
    assert found.acquisition.defocus == pytest.approx(60 * sign, abs=3)


def test_astigmatism_is_found():
    data, true = scan(ASTIGMATIC)
    found = fit_aberrations(data, true.replace(defocus=0, aberrations={})).acquisition
    assert found.defocus == pytest.approx(-70, abs=4)
    assert found.aberrations["C12"] == pytest.approx(40, abs=4)
    assert np.cos(2 * (found.aberrations["phi12"] - 0.5)) > 0.98


def test_coma_and_spherical_aberration_are_found():
    data, true = scan(COMATIC, electrons=20000)
    start = true.replace(defocus=40, aberrations={})
    found = fit_aberrations(data, start, fit=["defocus", "coma", "spherical"]).acquisition
    assert found.aberrations["C21"] == pytest.approx(2500, rel=0.1)
    assert np.cos(found.aberrations["phi21"] + 0.8) > 0.98
    # Defocus and spherical aberration stand in for each other, but not altogether.
    image, best = (np.angle(ssb(data, setup)) for setup in (found, true))
    assert np.corrcoef(image.ravel(), best.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("flip_y", [False, True])
def test_rotation_is_refined(flip_y):
    data, true = scan({"defocus": 80.0, "scan_rotation": 25.0, "flip_y": flip_y})
    start = true.replace(scan_rotation=17.0, defocus=60.0)
    found = fit_aberrations(data, start, fit=["rotation", "defocus"]).acquisition
    assert found.scan_rotation == pytest.approx(25, abs=0.7)
    assert found.defocus == pytest.approx(80, abs=4)
    assert found.flip_y is flip_y


def test_the_image_is_as_good_as_with_the_true_lens():
    data, true = scan(ASTIGMATIC, electrons=1000)
    phase = specimen(0.03)[0]
    start = true.replace(defocus=0, aberrations={})
    found = fit_aberrations(data, start).acquisition
    errors = [np.std(np.angle(ssb(data, one)) - phase) for one in (true, found, start)]
    assert errors[1] < 1.05 * errors[0]
    assert errors[2] > 1.3 * errors[0]


def test_lazy_data_give_the_same(monkeypatch):
    data, true = scan(DEFOCUS)
    start = true.replace(defocus=100)
    eager = fit_aberrations(data, start, fit=["defocus"])
    lazy = fit_aberrations(da.from_array(data, chunks=(7, 11, 24, 22)), start, fit=["defocus"])
    assert lazy == eager
    # Few pixels at a time: fewer are looked at.
    import stem_plugins.imaging.direct_ptychography as direct

    monkeypatch.setattr(direct, "GROUP_BYTES", 8 * 24 * 30 * 60)
    few = fit_aberrations(data, start, fit=["defocus"]).acquisition
    assert few.defocus == pytest.approx(130, abs=5)


@pytest.mark.parametrize("fit", [[], ["focus"], "defocus"])
def test_what_to_fit_is_named(fit):
    with pytest.raises(ValueError, match="fit must name"):
        fit_aberrations(np.ones((4, 4, 24, 22)), acquisition(), fit=fit)


@pytest.mark.parametrize("data", ["flat", "noise"])
def test_a_specimen_that_is_not_there_is_said(data):
    patterns = np.ones((24, 30, 24, 22))
    if data == "noise":
        patterns = np.random.default_rng(0).poisson(patterns).astype(np.uint8)
    with pytest.raises(ValueError, match="stands out from the noise"):
        fit_aberrations(patterns, acquisition())
