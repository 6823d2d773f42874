"""Parts of the default network against what they claim to compute."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from column_images import columns

from stem_plugins.restoration import local_fourier_filter, row_jitter
from stem_plugins.restoration.row_aware_network import (
    EXPECTED_CORRELATION,
    EXPECTED_STEP,
    RestorationNetwork,
    least_squares_shifts,
    most_probable_series,
    straighten,
)
from stem_plugins.restoration.row_prior import RowPrior


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    torch.manual_seed(0)


def tensor(image):
    return torch.from_numpy(np.asarray(image, np.float32))[None, None]


def jittered(rng, size=96):
    """Columns, the same with its rows moved, and by how much."""
    truth = columns((size, size), spacing=16)
    truth = (truth - truth.mean()) / truth.std()
    shifts = row_jitter(size, sigma=(0.2, 0.4), correlation=0.5, rng=rng)
    from stem_plugins.restoration import resample_scan

    moved = resample_scan(truth, np.broadcast_to(shifts[:, None], (size, size, 2)))
    return truth, moved, shifts.astype(np.float32)


def test_straightened_rows_lie_where_they_were_recorded(rng):
    truth, moved, shifts = jittered(rng)
    straight = straighten(tensor(moved)[0], torch.from_numpy(shifts)[None])[0].numpy()
    inside = (slice(3, -3), slice(3, -3))
    before, after = (np.std((image - truth)[inside]) for image in (moved, straight))
    assert after < 0.2 * before


def test_least_squares_find_the_shifts_of_rows(rng):
    truth, moved, shifts = jittered(rng)
    found = least_squares_shifts(tensor(moved), tensor(truth))[0].T.numpy()
    error = (found - shifts)[3:-3]
    assert (error.std(axis=0) < 0.25 * shifts.std(axis=0)).all()


def test_series_of_shifts_is_that_of_the_smoother(rng):
    """Rows from sure ones to such that know nothing, against one pass down and one back up."""
    measured = rng.normal(0, 0.6, (3, 50))
    information = 10 ** rng.uniform(-3, 3, (3, 50))
    information[1, 10:30] = 0
    found = most_probable_series(*(torch.from_numpy(a) for a in (measured, information)))
    prior = RowPrior(np.array([EXPECTED_STEP]), np.array([EXPECTED_CORRELATION]))
    for series, shift, weight in zip(found.numpy(), measured, information, strict=True):
        expected = prior.most_probable(weight[:, None, None], (weight * shift)[:, None])
        np.testing.assert_allclose(series, expected.coefficients[:, 0], atol=1e-5)


@pytest.mark.parametrize("counts", [0.3, 300.0])
def test_rows_of_slanted_lines_stay_at_home(rng, counts):
    """Neither noise nor the kink with their reflection at the edge is taken for a shift."""
    y, x = np.indices((192, 192))
    lines = 0.1 + 0.08 * np.cos(0.25 * x + 0.5 * y)
    image = rng.poisson(lines / lines.mean() * counts).astype(float)
    network = RestorationNetwork().eval()
    with torch.inference_mode():
        found = network.find_rows(tensor((image - image.mean()) / image.std()))[0].numpy()
    assert np.abs(found[:, 1]).max() < 1.6
    assert found[:, 1].std() < 0.4


def test_an_empty_image_has_no_shifts():
    empty = torch.zeros(1, 1, 32, 32)
    assert least_squares_shifts(empty, empty).abs().max() == 0
    result = RestorationNetwork().eval()(empty)
    assert torch.isfinite(result.image).all()
    assert torch.isfinite(result.shifts).all()


def test_before_training_the_network_straightens_and_filters(rng):
    truth, moved, _ = jittered(rng)
    image = tensor(moved + 0.3 * rng.standard_normal(moved.shape))
    network = RestorationNetwork().eval()
    with torch.inference_mode():
        restored = network(image).image
        filtered = local_fourier_filter(image)
    errors = [float((one - tensor(truth)).std()) for one in (filtered, restored)]
    assert errors[1] < 0.9 * errors[0]


def test_every_parameter_learns(rng):
    network = RestorationNetwork()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    result = network(torch.randn(1, 1, 48, 48))
    (result.image.square().mean() + result.shifts.square().mean()).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_filter_keeps_a_lattice_and_removes_noise(rng):
    y, x = np.indices((192, 192))
    lattice = np.cos(2 * np.pi * 12 * y / 96) + np.cos(2 * np.pi * 9 * x / 96)
    noise = rng.standard_normal(lattice.shape)
    found = local_fourier_filter(tensor(lattice + noise))[0, 0].numpy()
    assert np.std(found - lattice) < 0.15
    assert local_fourier_filter(tensor(noise)).std() < 0.3


@pytest.mark.parametrize("options", [{"window": 30}, {"window": 4}, {"step": 7}])
def test_filter_refuses_windows_that_do_not_tile(options):
    with pytest.raises(ValueError, match="window"):
        local_fourier_filter(torch.zeros(64, 64), **options)
