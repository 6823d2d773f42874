"""Saturated, empty and negative patterns are found in the pass, lazily as well, and said once."""

import warnings

import dask.array as da
import numpy as np
import pytest

from stem_plugins.imaging import (
    largest_count_of,
    moments,
    warn_of_patterns,
    warn_of_saturation,
)


def said(data, largest_count=None, check=warn_of_patterns, **options):
    """Messages of the pass over some data."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = moments(
            data, inspect=lambda found: check(found, largest_count=largest_count), **options
        )
        if isinstance(data, da.Array):
            assert not caught
            result.compute()
    return [str(warning.message) for warning in caught]


def counts(dtype=">u2"):
    return np.random.default_rng(0).integers(1, 9, (5, 6, 8, 9)).astype(dtype)


@pytest.mark.parametrize("lazy", [False, True])
def test_every_pattern_with_a_full_pixel_is_counted(lazy):
    data = counts()
    data[1, 2, 3, 4] = data[1, 2, 5, 4] = data[4, 0, 0, 0] = 4095
    chunked = da.from_array(data, chunks=(2, 4, 5, 9)) if lazy else data
    (message,) = said(chunked, 4095)
    full = (data == 4095).any(axis=(2, 3))
    assert message.startswith(f"{full.sum()} of 30 patterns are saturated")
    assert "scan position (1, 2)" in message
    assert "fewer electrons" in message


def test_a_hot_pixel_that_the_mask_leaves_out_harms_nobody():
    data = counts()
    data[..., 3, 4] = 4095
    (message,) = said(data, 4095)
    assert "hot pixel" in message
    mask = np.ones((8, 9), bool)
    mask[3, 4] = False
    assert said(data, 4095, mask=mask) == []


def test_numbers_above_the_limit_are_not_those_of_the_counter():
    data = counts()
    data[0, 0, 0, 0], data[1, 1, 1, 1] = 4095, 2 * 4095
    assert said(data, 4095) == []


def test_patterns_without_counts_have_no_centre_of_mass():
    data = counts("f4")
    data[2, 3] = 0
    data[3, 3] *= -1
    empty, negative = said(data)
    assert empty.startswith("1 of 30 patterns are empty, the first at scan position (2, 3)")
    assert negative.startswith("1 of 30 patterns are below zero in sum")
    assert said(data, check=warn_of_saturation) == []


@pytest.mark.parametrize(
    ("dtype", "given", "expected"),
    [
        ("u1", None, 255),
        (">u2", None, 65535),
        ("i2", None, 32767),
        ("u4", None, None),
        ("f4", None, None),
        ("?", None, None),
        (">u2", 4095, 4095),
        ("f4", 63, 63),
    ],
)
def test_what_a_counter_can_hold(dtype, given, expected):
    assert largest_count_of(np.dtype(dtype), given) == expected
