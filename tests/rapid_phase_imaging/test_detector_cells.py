"""Cells and sectors: what they cover, and their symmetries."""

import numpy as np
import pytest

from stem_plugins.rapid_phase_imaging.detector_cells import (
    CELLS,
    COARSE,
    COARSE_CELLS,
    FINE,
    SECTORS,
    cell_of,
    coarse_of_fine,
    fine_angles,
)


def grid(count=900, reach=3.2):
    axis = (np.arange(count) + 0.5) / count * 2 * reach - reach
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)


def test_every_angle_up_to_three_apertures_is_looked_at_once():
    angles = grid()
    found, radius = cell_of(angles), np.hypot(angles[..., 0], angles[..., 1])
    assert (found[radius < 3] >= 0).all()
    assert (found[radius > 3] == -1).all()
    assert (found[radius < 1] < CELLS).all()
    assert set(found[found >= 0].tolist()) == set(range(CELLS + SECTORS))
    # Cells are squares of their size.
    area = np.bincount(found[(found >= 0) & (found < CELLS)], minlength=CELLS) * (6.4 / 900) ** 2
    assert area == pytest.approx(FINE**2, rel=0.25)
    assert area.mean() == pytest.approx(FINE**2, rel=0.01)


def test_fine_cells_lie_in_their_coarse_ones():
    coarse = coarse_of_fine()
    for number in range(COARSE_CELLS):
        inside = fine_angles()[coarse == number]
        assert 1 <= len(inside) <= 4
        assert np.ptp(inside, axis=0).max() < COARSE


@pytest.mark.parametrize("turn", ["quarter", "mirror"])
def test_turned_angles_lie_in_turned_cells(turn):
    """Each cell goes over into one other cell, so scans may be turned in training."""
    angles = grid(400)
    y, x = np.moveaxis(angles, -1, 0)
    moved = np.stack([x, -y] if turn == "quarter" else [y, -x], -1)
    before, after = cell_of(angles).reshape(-1), cell_of(moved).reshape(-1)
    pairs = set(zip(before.tolist(), after.tolist(), strict=True))
    assert len(pairs) == len(set(before.tolist()))


def test_a_middle_lies_in_its_own_cell():
    np.testing.assert_array_equal(cell_of(fine_angles()), np.arange(CELLS))
