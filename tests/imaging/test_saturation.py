"""Saturated pixels are counted where they are, in any byte order, type and chunking."""

import dask.array as da
import numpy as np
import pytest

from stem_plugins.imaging.saturation import saturated_pixels


@pytest.mark.parametrize("dtype", [">u2", "<u2", ">u4", "u1"])
@pytest.mark.parametrize("lazy", [False, True])
def test_equals_numpy(rng, dtype, lazy):
    limit = 63
    data = rng.integers(0, limit + 1, (5, 6, 9, 11)).astype(dtype)
    data[2:4] = np.minimum(data[2:4], limit - 1)
    per_pattern, per_pixel = saturated_pixels(
        da.from_array(data, chunks=(2, 4, 5, 11)) if lazy else data[:, :, ::-1], limit
    )
    full = (data if lazy else data[:, :, ::-1]) == limit
    np.testing.assert_array_equal(per_pattern, full.sum(axis=(2, 3)))
    np.testing.assert_array_equal(per_pixel, full.sum(axis=(0, 1)))


@pytest.mark.parametrize(("dtype", "limit"), [("u1", 4095), ("f4", 10), ("u2", 0)])
def test_a_limit_that_the_type_cannot_have_is_refused(dtype, limit):
    with pytest.raises(ValueError, match="limit"):
        saturated_pixels(np.zeros((1, 1, 2, 2), dtype), limit)
