"""The rotation estimate on specimens of known field, rotation and mirroring."""

import dask.array as da
import numpy as np
import pytest
from vector_fields import atom_field, detector_frame

from stem_plugins.imaging import estimate_rotation


def lattice(rng, shape, spacing=12.0):
    """Two kinds of columns on a square lattice of random orientation, in px."""
    angle = rng.uniform(0, np.pi)
    axes = spacing * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    cells = np.indices((40, 40)).reshape(2, -1).T - 20
    heavy, light = cells @ axes, (cells + 0.5) @ axes
    places = np.concatenate([heavy, light]) + np.array(shape) / 2
    return np.column_stack([places, np.repeat([1.5, 0.8], len(cells))])


@pytest.mark.parametrize("specimen", ["lattice", "scattered"])
@pytest.mark.parametrize("trial", range(6))
def test_rotation_and_flip_are_found_within_a_degree(specimen, trial):
    rng = np.random.default_rng(trial)
    shape = (96, 112)
    atoms = lattice(rng, shape)
    if specimen == "scattered":
        atoms = np.column_stack([rng.uniform(0, 96, (40, 2)), rng.uniform(0.5, 2, 40)])
    field, _ = atom_field(shape, atoms)
    rotation, flip_y = rng.uniform(-180, 180), bool(trial % 2)
    noise = rng.normal(scale=field.std() / 2, size=field.shape)
    y, x = np.indices(shape)
    descan = 0.01 * field.std() * np.stack([x - 2 * y, y], axis=-1)
    com = detector_frame(field, rotation, flip_y) + noise + descan
    estimate = estimate_rotation(com)
    assert estimate.flip_y == flip_y
    assert abs((estimate.angle - rotation + 180) % 360 - 180) < 1
    assert estimate.confidence > 0.5
    assert estimate_rotation(da.from_array(com)) == estimate


def test_a_known_flip_is_kept():
    field, _ = atom_field((64, 64), lattice(np.random.default_rng(4), (64, 64)))
    estimate = estimate_rotation(detector_frame(field, 20, True), flip_y=True)
    assert estimate.flip_y
    assert abs(estimate.angle - 20) < 1
    assert estimate_rotation(detector_frame(field, 20, True), flip_y=False).flip_y is False


def test_steps_that_differ_in_y_and_x_are_allowed_for():
    field, _ = atom_field((96, 96), lattice(np.random.default_rng(4), (96, 96)))
    com = detector_frame(field[::2], 50, False)
    assert abs(estimate_rotation(com, scan_step=(2, 1)).angle - 50) < 1


def test_pure_noise_is_not_believed():
    rng = np.random.default_rng(5)
    believed = [estimate_rotation(rng.normal(size=(64, 64, 2))).confidence for _ in range(10)]
    assert max(believed) < 0.3


def test_confidence_falls_with_the_signal():
    rng = np.random.default_rng(2)
    field, _ = atom_field((64, 64), lattice(rng, (64, 64)))
    field /= field.std()
    noise = rng.normal(size=field.shape)
    confidence = [estimate_rotation(field + level * noise).confidence for level in (0.1, 3, 9)]
    assert confidence[0] > 0.5 > confidence[1] > confidence[2]


def noisy_estimates(count, first_seed=0):
    """Signal-to-noise, deviation [deg] and estimate of scans turned by chance."""
    for seed in range(first_seed, first_seed + count):
        rng = np.random.default_rng(seed)
        field, _ = atom_field((64, 64), lattice(rng, (64, 64)))
        rotation, flip_y = rng.uniform(-180, 180), bool(rng.integers(2))
        snr = np.exp(rng.uniform(np.log(0.2), np.log(4)))
        noise = rng.normal(scale=field.std() / snr, size=field.shape)
        estimate = estimate_rotation(detector_frame(field, rotation, flip_y) + noise)
        deviation = abs((estimate.angle - rotation + 180) % 360 - 180)
        yield snr, deviation if estimate.flip_y == flip_y else 180, estimate


def test_errors_are_honest():
    """The standard error covers the true deviation about as often as it should."""
    right = [(off, found) for _, off, found in noisy_estimates(60) if off < 20]
    deviations = [off / found.angle_error for off, found in right]
    assert 0.6 < np.sqrt(np.mean(np.square(deviations))) < 1.3


def test_the_error_is_close_to_the_least_that_noise_allows():
    for snr, _, estimate in noisy_estimates(12, 200):
        least = np.rad2deg(1 / (np.sqrt(2 * 64 * 64) * snr))
        if snr > 1:
            assert 0.8 * least < estimate.angle_error < 3 * least + 0.1


def test_confidence_is_a_probability_and_low_where_the_estimate_is_wrong():
    results = list(noisy_estimates(80, 100))
    confidence = np.array([estimate.confidence for *_, estimate in results])
    deviation = np.array([off for _, off, _ in results])
    close = deviation < 0.5
    for chosen in (confidence < 0.5, confidence >= 0.5):
        assert abs(confidence[chosen].mean() - close[chosen].mean()) < 0.15
    wrong = deviation > 1
    assert wrong.sum() > 10
    assert (confidence[wrong] > 0.5).mean() < 0.1
    assert confidence[wrong].max() < 0.8
    assert np.median(confidence[~wrong]) > 2 * np.median(confidence[wrong])


def test_a_reference_settles_what_skewness_gets_wrong():
    # A blurred honeycomb: its holes look more like atoms than its atoms do.
    spacing = 9.0
    cells = np.indices((40, 40)).reshape(2, -1).T - 20
    basis = np.array([[spacing, 0], [spacing / 2, spacing * np.sqrt(0.75)]])
    places = np.concatenate([(cells + i / 3) @ basis for i in (1, 2)]) + 40
    field, potential = atom_field((80, 80), np.column_stack([places, np.ones(len(places))]), 2.6)
    wrong = estimate_rotation(field)
    assert abs(abs(wrong.angle) - 180) < 1
    right = estimate_rotation(field, reference=potential)
    assert abs(right.angle) < 1
    assert not right.flip_y
    with pytest.raises(ValueError, match="reference"):
        estimate_rotation(field, reference=potential[1:])


@pytest.mark.parametrize(
    ("com", "words"),
    [
        (np.ones((64, 64, 2)), "nothing to turn"),
        (np.random.default_rng(0).normal(size=(5, 64, 2)), "least"),
        (np.full((16, 16, 2), np.nan), "NaN"),
        (np.zeros((16, 16)), "vector map"),
    ],
)
def test_maps_without_an_answer_are_refused(com, words):
    with pytest.raises(ValueError, match=words):
        estimate_rotation(com)
