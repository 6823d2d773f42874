"""Data, calibrations and vacuum patterns that contradict each other: found, said, or refused."""

import warnings

import dask.array as da
import numpy as np
import pytest

pytest.importorskip("torch")

from stem_plugins import Regularization
from stem_plugins import iterative_ptychography as reconstruct
from stem_plugins.imaging.bright_field_disc import find_disc

QUICK = {"prior": "pixelated", "iterations": 8, "threads": 1}


def phase_of(data, scan, **options):
    return reconstruct(data, scan.acquisition, **{**QUICK, **options}).phase


def alike(one, other):
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


@pytest.fixture(scope="module")
def plain(atoms):
    return phase_of(atoms.data, atoms)


def test_a_hot_pixel_is_left_out_and_said(atoms, plain):
    data = np.array(atoms.data, float)
    data[:, :, 3, 3] = 1e3 * data.mean((0, 1)).max()
    with pytest.warns(UserWarning, match="1 detector pixels are hot"):
        found = phase_of(data, atoms)
    assert alike(found, plain) > 0.97


@pytest.mark.parametrize("dtype", ["f8", "i4"])
def test_a_pattern_that_the_beam_cannot_have_made_is_left_out(atoms, plain, dtype):
    data = np.array(atoms.data) * 1e5
    data[5, 5] = 2**30
    with pytest.warns(UserWarning, match="more than 20 times the usual counts"):
        found = phase_of(data.astype(dtype), atoms, loss="amplitude")
    assert alike(found, plain) > 0.97


def test_values_under_a_mask_are_not_counted_unseen(atoms):
    with pytest.raises(ValueError, match="masked array"):
        phase_of(np.ma.masked_less(np.asarray(atoms.data), 0), atoms)


def test_chunks_of_unknown_size_are_named(atoms):
    lazy = da.from_array(np.asarray(atoms.data), chunks=(3, -1, -1, -1))
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        phase_of(lazy[da.from_array(np.ones(13, bool), chunks=3)], atoms)


def test_a_chunk_for_each_pattern_is_as_good_as_one(atoms, plain):
    lazy = da.from_array(np.asarray(atoms.data), chunks=(1, 1, -1, -1))
    np.testing.assert_allclose(phase_of(lazy, atoms), plain, atol=1e-4)


@pytest.mark.parametrize(
    ("calibration", "words"),
    [
        ({"convergence_angle": 14.0}, "radius of .* px in the mean pattern"),
        ({"diffraction_step": 2.6}, "radius of .* px in the mean pattern"),
        ({"center": (15.0, 16.0)}, "lies around"),
    ],
)
def test_a_disc_that_is_not_that_of_the_calibration_is_said(atoms, calibration, words):
    with pytest.warns(UserWarning, match=words):
        reconstruct(atoms.data, atoms.acquisition.replace(**calibration), **QUICK)


@pytest.mark.parametrize(
    ("step", "words"),
    [(1.7, None), (1.9, "overlap by 47 %, and below 50 %"), (2.9, "overlap by 19 %")],
)
def test_probes_that_overlap_little_are_said(atoms, step, words):
    """Of 3.6 Å; steps above 3 Å are refused."""
    acquisition = atoms.acquisition.replace(scan_step=step)
    given = {**QUICK, "iterations": 1}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = reconstruct(atoms.data, acquisition, **given)
        reconstruct(atoms.data, acquisition, resume=found, iterations=2, threads=1)
    assert len(said) == (words is not None)
    if words is not None:
        assert words in str(said[0].message)
    with pytest.raises(ValueError, match="share too little"):
        reconstruct(atoms.data, atoms.acquisition.replace(scan_step=3.1), **given)


@pytest.mark.parametrize("radius", [2, 6, 8, 13])
def test_a_vacuum_pattern_of_another_aperture_is_refused(atoms, radius):
    y, x = np.indices((32, 32))
    vacuum = (np.hypot(y - 16, x - 16) < radius) * 100.0
    with pytest.raises(ValueError, match="by this pattern is"):
        phase_of(atoms.data, atoms, vacuum=vacuum)


def test_dead_pixels_are_no_holes_of_the_aperture(atoms):
    y, x = np.indices((32, 32))
    vacuum = np.clip(10.5 - np.hypot(y - 16, x - 16), 0, 1) * 100
    whole = phase_of(atoms.data, atoms, vacuum=vacuum)
    vacuum[16, 16] = vacuum[14, 14] = 0
    np.testing.assert_allclose(phase_of(atoms.data, atoms, vacuum=vacuum), whole, atol=1e-3)
    with pytest.raises(ValueError, match=r"vacuum.mean\(axis=\(0, 1\)\)"):
        phase_of(atoms.data, atoms, vacuum=np.ones((2, 2, 32, 32)))


def test_an_earlier_result_is_a_first_guess(atoms, plain):
    """With other options: more slices, another object, other things refined, a network."""
    earlier = reconstruct(atoms.data, atoms.acquisition, **QUICK)
    for options in (
        {"object_type": "complex", "probe_modes": 2},
        {"slices": 3, "slice_thickness": 5.0, "refine": ("positions",)},
        {"prior": "dgp", "filters": 4},
    ):
        given = {**QUICK, **options, "iterations": 1}
        found = reconstruct(atoms.data, atoms.acquisition, first_guess=earlier, **given)
        alone = reconstruct(atoms.data, atoms.acquisition, first_guess="none", **given)
        assert alike(found.phase, plain) > 0.94
        assert found.losses[0] < 0.6 * alone.losses[0]
        assert found.settings["first_guess"] == "earlier"
        assert len(found.slices) == options.get("slices", 1)
    resumed = reconstruct(atoms.data, atoms.acquisition, resume=found, iterations=2)
    assert len(resumed.losses) == 2
    other = atoms.acquisition.replace(scan_step=1.2)
    with pytest.raises(ValueError, match="another scan or calibration"):
        reconstruct(atoms.data, other, first_guess=earlier, **QUICK)
    with pytest.raises(ValueError, match="the earlier PtychographyResult itself"):
        phase_of(atoms.data, atoms, first_guess="earlier")


def test_positivity_is_asked_for_by_its_name(atoms):
    free = phase_of(atoms.data, atoms)
    bound = phase_of(atoms.data, atoms, regularization=Regularization(positivity=True))
    assert free.min() < 0
    assert bound.min() == 0


def test_the_disc_is_measured(rng):
    y, x = np.indices((50, 60))
    for middle, radius in (((22.3, 31.6), 9.0), ((30.0, 20.4), 14.5)):
        disc = 20.0 * (np.hypot(y - middle[0], x - middle[1]) < radius)
        found = find_disc(rng.poisson(disc + 0.5).astype(float))
        np.testing.assert_allclose(found.center, middle, atol=0.3)
        assert found.radius == pytest.approx(radius, abs=0.4)
        assert found.axes_ratio < 1.05
        assert not found.cut
    flat = find_disc(20.0 * (np.hypot((y - 25) / 1.3, x - 30) < 12))
    assert flat.axes_ratio == pytest.approx(1.3, abs=0.05)
    assert find_disc(20.0 * (np.hypot(y - 2, x - 30) < 12)).cut
