"""Batches of patterns, from arrays and dask, and what is wrong with their pixels."""

import warnings

import dask.array as da
import numpy as np
import pytest
from counted_arrays import CountedArray
from hypothesis import given, settings
from hypothesis import strategies as st

from stem_plugins.ptychography.measurements import measurements

SHAPE = (5, 6, 12, 14)


def counts(rng, dtype="u2"):
    y, x = np.indices(SHAPE[2:])
    disc = np.hypot(y - 6, x - 7) < 4.5
    return (rng.poisson(30, SHAPE) * disc).astype(dtype)


def collected(measured, chosen, size):
    found = {}
    for index, patterns in measured.batches(chosen, size):
        assert len(index) <= size
        for one, pattern in zip(index, patterns, strict=True):
            assert one not in found
            found[int(one)] = pattern
    return found


@given(
    st.integers(1, 9),
    st.sampled_from(["u1", ">u2", "i4", "f4", ">f8"]),
    st.sampled_from([(2, 3, 12, 14), (5, 6, 4, 14), (1, 6, 12, 7)]),
)
@settings(max_examples=25, deadline=None)
def test_each_chosen_pattern_comes_once_from_any_kind_of_data(size, dtype, chunks):
    rng = np.random.default_rng(3)
    data = counts(rng, dtype)
    chosen = rng.random(30) < 0.6
    expected = np.roll(data.astype(np.float32), (-6, -7), axis=(2, 3)).reshape(30, 12, 14)
    for source in (data, da.from_array(data, chunks=chunks)):
        measured = measurements(source, center=(6.2, 6.8))
        found = collected(measured, chosen, size)
        assert sorted(found) == np.flatnonzero(chosen).tolist()
        for index, pattern in found.items():
            np.testing.assert_array_equal(pattern, expected[index])


def test_frequencies_that_the_detector_does_not_see_have_no_weight(rng):
    measured = measurements(counts(rng), center=(3, 7))
    weights = measured.weights()
    # Index j is pixel 3 + j; beyond pixel 3 + 5 a row is taken for a frequency it does not have.
    rows = np.array([(3 + j) % 12 - 3 == (j if j < 6 else j - 12) for j in range(12)])
    np.testing.assert_array_equal(weights.max(axis=1), rows)


def test_the_centre_is_found_where_the_disc_is(rng):
    assert measurements(counts(rng)).center == pytest.approx((6, 7), abs=0.2)


def test_dead_pixels_in_the_disc_are_left_out(rng):
    data = counts(rng)
    data[..., 6, :] = 0
    with pytest.warns(UserWarning, match="dead"):
        measured = measurements(data, center=(6, 7))
    assert measured.survey.weights[6, 7] == 0
    assert measured.survey.weights[5, 7] == 1


def test_negative_counts_are_zero_and_said(rng):
    data = counts(rng, "i4")
    data[0, 0, 0, 0] = -5
    with pytest.warns(UserWarning, match="below zero"):
        measured = measurements(data, center=(6, 7))
    assert min(pattern.min() for pattern in collected(measured, np.ones(30, bool), 8).values()) == 0


def test_pixels_without_a_number_are_left_out_and_said(rng):
    data = counts(rng, "f4")
    data[..., 2, 3] = np.nan
    with pytest.warns(UserWarning, match="not finite"):
        measured = measurements(data, center=(6, 7))
    assert measured.survey.weights[2, 3] == 0
    found = collected(measured, np.ones(30, bool), 8)
    assert all(np.isfinite(pattern).all() for pattern in found.values())


def test_saturation_is_said(rng):
    data = counts(rng, "u1")
    data[0, 0, 6, 7] = 255
    with pytest.warns(UserWarning, match="largest count, 255"):
        measurements(data, center=(6, 7))


def test_saturation_of_a_detector_that_counts_less_than_its_type_holds(rng):
    data = np.minimum(counts(rng), 30)
    full = np.count_nonzero(data == 30)
    with pytest.warns(UserWarning, match=f"{full} of .* at the largest count, 30"):
        measurements(data, center=(6, 7), largest_count=30)
    # Counts above it are no longer those of the detector.
    measurements(2 * data, center=(6, 7), largest_count=30)
    measurements(data, center=(6, 7), largest_count=4095)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("electrons", "noticed"), [(10, False), (30, True), (90, True), (150, True)]
)
def test_dead_rows_are_left_out_where_chance_does_not_make_them(rng, electrons, noticed, masked):
    y, x = np.indices(SHAPE[2:])
    disc = np.hypot(y - 6, x - 7) < 4.5
    data = rng.poisson(electrons / disc.sum(), SHAPE) * disc
    data[3] = 0
    mask = None
    if masked:
        # Half of the electrons are not looked at, so that it takes twice as many to be sure.
        mask = (y < 6) | ~disc
        noticed = noticed and electrons > 60
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        measured = measurements(data, center=(6, 7), mask=mask, electrons=electrons)
        found = collected(measured, np.ones(30, bool), 7)
    left = sorted(set(range(30)) - set(found))
    assert left == (list(range(18, 24)) if noticed else [])
    # Chance may also make a pixel look dead.
    assert any("hardly any counts" in str(one.message) for one in said) == noticed


def test_what_lies_in_a_file_is_read_batch_by_batch(rng, monkeypatch):
    monkeypatch.setattr("stem_plugins.lazy.blocks.BLOCK_BYTES", 2**10)
    data = counts(rng)
    stored = CountedArray(data, (2, 3, 6, 14))
    measured = measurements(stored, center=(6, 7))
    found = collected(measured, np.ones(30, bool), 8)
    expected = collected(measurements(data, center=(6, 7)), np.ones(30, bool), 8)
    for index, pattern in expected.items():
        np.testing.assert_array_equal(found[index], pattern)
    assert stored.largest == data[:2, :3].nbytes


def test_empty_patterns_and_wrong_masks_are_refused(rng):
    with pytest.raises(ValueError, match="no counts"):
        measurements(np.zeros(SHAPE, "u2"))
    with pytest.raises(ValueError, match="centre 40 7 px is not on the detector"):
        measurements(counts(rng), center=(40, 7))
    with pytest.raises(ValueError, match="mask must be"):
        measurements(counts(rng), mask=np.ones((3, 3), bool))


def test_a_mask_counts(rng):
    mask = np.ones(SHAPE[2:], bool)
    mask[0] = False
    assert measurements(counts(rng), center=(6, 7), mask=mask).weights()[6].max() == 0


def test_what_the_first_look_misses_is_noticed_when_it_is_read(rng):
    """Of 52 × 52 patterns every second row and column is looked at."""
    data = rng.poisson(30, (52, 52, 12, 14)).astype("f4")
    data[1, 1, 4, 4] = np.nan
    data[3, 3, 0, 0] = -1
    measured = measurements(data, center=(6, 7))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = collected(measured, np.ones(52 * 52, bool), 100)
    words = [str(one.message) for one in said]
    assert len(words) == 2
    assert any("not finite numbers are left out" in one for one in words)
    assert any("below zero" in one for one in words)
    assert set(range(52 * 52)) - set(found) == {53}
