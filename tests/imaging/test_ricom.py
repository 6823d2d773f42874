"""riCOM: the sum of thesis eq. 3.4 taken literally, and what its kernels transfer."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vector_fields import atom_field, detector_frame

from stem_plugins.imaging import icom, kernel_transfer, ricom, ricom_add, ricom_kernel


def direct_sum(com, size, step=(1.0, 1.0)):
    """Eq. 3.4, position by position, with nothing outside the scan."""
    rows, columns = com.shape[:2]
    half = (size - 1) // 2
    image = np.zeros((rows, columns))
    for p_y, p_x in np.ndindex(rows, columns):
        for y in range(max(0, p_y - half), min(rows, p_y + half + 1)):
            for x in range(max(0, p_x - half), min(columns, p_x + half + 1)):
                r_y, r_x = (p_y - y) * step[0], (p_x - x) * step[1]
                if (y, x) != (p_y, p_x):
                    dot = r_y * com[y, x, 0] + r_x * com[y, x, 1]
                    image[p_y, p_x] += dot / (r_y**2 + r_x**2)
    return image * step[0] * step[1] / (2 * np.pi)


SCANS = [((9, 12), 5), ((12, 9), 17), ((7, 7), 13), ((3, 15), 29), ((1, 8), 3)]


@pytest.mark.parametrize(("shape", "size"), SCANS)
@pytest.mark.parametrize("step", [(1.0, 1.0), (0.2, 0.35)])
def test_fft_and_scatter_equal_the_direct_sum(rng, shape, size, step):
    com = rng.normal(size=(*shape, 2))
    expected = direct_sum(com, size, step)
    np.testing.assert_allclose(ricom(com, size, scan_step=step), expected, atol=1e-12)
    image = np.zeros(shape)
    kernel = ricom_kernel(size, scan_step=step)
    for first in range(0, shape[0] * shape[1], 5):
        ricom_add(image, com.reshape(-1, 2)[first : first + 5], kernel, first=first)
    np.testing.assert_allclose(image, expected, atol=1e-12)


def test_nothing_wraps_at_the_edges(rng):
    com = np.zeros((20, 20, 2))
    com[5, 0] = com[0, 9] = 1, 1
    image = ricom(com, 11)
    np.testing.assert_allclose(image[:, 15:], 0, atol=1e-14)
    np.testing.assert_allclose(image[15:], 0, atol=1e-14)


@pytest.mark.parametrize("flip_y", [False, True])
def test_turning_the_kernel_equals_turning_the_vectors(rng, flip_y):
    field, _ = atom_field((24, 24), [(8, 9, 1), (15, 17, 2)])
    recorded = detector_frame(field, 37, flip_y)
    np.testing.assert_allclose(
        ricom(recorded, 15, rotation=37, flip_y=flip_y), ricom(field, 15), atol=1e-12
    )


def test_atoms_are_bright_and_where_they_are():
    field, _ = atom_field((40, 50), [(12, 30, 1.0)])
    image = ricom(field, 21)
    assert np.unravel_index(image.argmax(), image.shape) == (12, 30)
    assert image.max() > 0.5


def test_a_kernel_over_everything_gives_the_potential_back():
    atoms = [(30, 28, 1), (36, 40, 0.5), (24, 34, 2)]
    field, potential = atom_field((64, 64), atoms, width=3)
    image = ricom(field, 127)
    np.testing.assert_allclose(image, potential, atol=0.02 * potential.max())


def test_band_pass_removes_a_wave_outside_and_keeps_one_inside():
    y, _ = np.indices((128, 128))

    def amplitude(frequency, **limits):
        field = np.zeros((128, 128, 2))
        field[..., 0] = np.cos(2 * np.pi * frequency * y)
        return np.abs(ricom(field, 61, **limits)[50:78, 50:78]).max()

    limits = {"low": 0.06, "high": 0.15}
    for inside in (0.08, 0.09, 0.108, 0.12):
        assert amplitude(inside, **limits) == pytest.approx(amplitude(inside), rel=0.1)
    for outside in (0.03, 0.25):
        assert amplitude(outside, **limits) < 0.1 * amplitude(outside)


def test_frequencies_are_in_cycles_per_unit_of_the_step(rng):
    np.testing.assert_allclose(
        ricom_kernel(15, low=0.1, high=0.3, scan_step=0.5) / 0.5,
        ricom_kernel(15, low=0.05, high=0.15),
        atol=1e-12,
    )


def test_transfer_is_what_a_plane_wave_gets():
    transfer = kernel_transfer(31, points=64)
    for index in (5, 12, 30):
        frequency = transfer.frequency[index]
        _, x = np.indices((201, 201)) - 100
        field = np.zeros((201, 201, 2))
        field[..., 1] = -np.sin(2 * np.pi * frequency * x)  # gradient of a cosine of unit slope
        middle = ricom(field, 31)[100, 100]
        # One direction of many; the curve averages over all of them.
        assert middle == pytest.approx(transfer.kernel[index], abs=0.35 * transfer.kernel.max())


def test_line_integration_follows_equation_3_7():
    size, pixels = 41, 500
    transfer = kernel_transfer(size, points=250)
    k = np.arange(1, 251)
    expected = pixels / (2 * k * np.pi) * (1 - np.cos((size - 1) / 2 * 2 * k * np.pi / pixels))
    np.testing.assert_allclose(transfer.frequency, k / pixels)
    np.testing.assert_allclose(transfer.line_integration, expected, atol=1e-12)


def test_line_integration_approximates_the_kernel():
    transfer = kernel_transfer(101)
    peak = transfer.frequency[transfer.kernel.argmax()]
    line_peak = transfer.frequency[transfer.line_integration.argmax()]
    assert peak == pytest.approx(line_peak, rel=0.2)


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(st.integers(3, 12), st.integers(3, 12)),
    st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 2)),
)
def test_lazy_equals_eager(shape, chunks):
    com = np.random.default_rng(1).normal(size=(*shape, 2))
    for method, options in ((ricom, {"kernel_size": 5}), (icom, {"high_pass": 0.1})):
        lazy = method(da.from_array(com, chunks=chunks), **options)
        assert isinstance(lazy, da.Array)
        assert lazy.shape == shape
        np.testing.assert_array_equal(lazy.compute(), method(com, **options))


@pytest.mark.parametrize("size", [0, 2, 20, 1, -3, 4.5])
def test_even_or_tiny_kernels_are_refused(size):
    with pytest.raises(ValueError, match="odd number"):
        ricom_kernel(size)


def test_an_oversized_kernel_is_refused_with_the_largest_useful_one():
    com = np.zeros((10, 16, 2))
    ricom(com, 31)
    with pytest.raises(ValueError, match="31 already integrates over all"):
        ricom(com, 33)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"low": 0.3, "high": 0.1}, "reversed"),
        ({"low": 0.1, "high": 0.1}, "reversed"),
        ({"low": -0.1}, "above zero"),
        ({"high": 0}, "above zero"),
        ({"low": 5}, "beyond the highest"),
        ({"low": np.nan}, "above zero"),
    ],
)
def test_unusable_filters_are_refused(limits, words):
    with pytest.raises(ValueError, match=words):
        ricom(np.zeros((8, 8, 2)), 5, **limits)


@pytest.mark.parametrize("method", [ricom, icom])
def test_nan_is_refused_before_it_spreads(method):
    com = np.zeros((32, 32, 2))
    com[3, 4, 1] = np.nan
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        method(com)


def test_scatter_refuses_what_does_not_fit():
    kernel, com = ricom_kernel(3), np.zeros((4, 2))
    with pytest.raises(ValueError, match="float64"):
        ricom_add(np.zeros((4, 4), np.float32), com, kernel)
    with pytest.raises(ValueError, match="outside a scan"):
        ricom_add(np.zeros((4, 4)), com, kernel, first=14)
    with pytest.raises(ValueError, match="positions, 2"):
        ricom_add(np.zeros((4, 4)), com.T, kernel)
    with pytest.raises(ValueError, match="ricom_kernel"):
        ricom_add(np.zeros((4, 4)), com, kernel[0])


@pytest.mark.parametrize("size", [None, "21", 4, 21.5, np.nan, [21]])
def test_kernel_size_is_a_number(size):
    with pytest.raises(ValueError, match="odd number"):
        ricom(np.zeros((30, 30, 2)), size)


@pytest.mark.parametrize("step", [(1, 2, 3), "wide", None, 0])
def test_scan_step_is_one_or_two_lengths(step):
    with pytest.raises(ValueError, match="scan_step"):
        ricom(np.zeros((30, 30, 2)), 5, scan_step=step)


def test_vectors_that_are_not_numbers_are_not_scattered():
    image = np.zeros((5, 5))
    com = np.zeros((5, 2))
    com[2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        ricom_add(image, com, ricom_kernel(3))
    assert not image.any()
