"""Images by AIRPI: where atoms lie, what changes nothing, and what is refused."""

import dask.array as da
import numpy as np
import pytest
from atom_scans import ACQUISITION, peaks

pytest.importorskip("torch")

from stem_plugins import MissingCalibrationError, ssb
from stem_plugins.io import read_merlin, write_merlin
from stem_plugins.rapid_phase_imaging import drawing, strips, tiles
from stem_plugins.rapid_phase_imaging.reconstruct import airpi, grow_airpi, iter_airpi
from stem_plugins.simulation import simulate_scan, single_atoms

from .conftest import PLACES, SIDE, STEP, atom_scan


def phase_of(scan, model, **options):
    return np.asarray(airpi(scan.data, scan.acquisition, model=model, threads=1, **options).phase)


def test_an_untaught_network_leaves_direct_ptychography_as_it_is(atoms, untaught):
    phase = phase_of(atoms, untaught)
    direct = np.angle(ssb(atoms.data, atoms.acquisition))
    assert phase.shape == (2 * SIDE, 2 * SIDE)
    assert np.corrcoef(phase[::2, ::2].ravel(), direct.ravel())[0, 1] > 0.995
    assert np.polyfit(direct.ravel(), phase[::2, ::2].ravel(), 1)[0] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    "calibration",
    [
        {},
        {"scan_rotation": 70.0, "flip_y": True},
        {"center": (22.2, 26.9)},
        {"diffraction_step": (1.9, 2.2), "scan_rotation": -120.0},
    ],
)
def test_atoms_are_where_they_were_put(untaught, calibration):
    scan = atom_scan(**calibration)
    result = airpi(scan.data, scan.acquisition, model=untaught, threads=1)
    assert result.sampling == pytest.approx((STEP / 2, STEP / 2))
    assert result.origin == (0, 0)
    assert result.transmission.dtype == np.complex64
    found = peaks(result.phase, result.sampling)
    np.testing.assert_allclose(found, sorted(PLACES.tolist()), atol=0.15)


@pytest.mark.parametrize("chunks", [(5, 32, 50, 48), (32, 7, 25, 48), -1])
def test_lazy_data_give_the_same(atoms, taught, chunks):
    expected = airpi(atoms.data, atoms.acquisition, model=taught, threads=1)
    lazy = airpi(
        da.from_array(np.asarray(atoms.data), chunks=chunks), atoms.acquisition, model=taught
    )
    assert isinstance(lazy.phase, da.Array)
    np.testing.assert_allclose(lazy.phase.compute(), expected.phase, atol=1e-5)
    np.testing.assert_allclose(lazy.transmission.compute(), np.exp(1j * expected.phase), atol=1e-5)


def test_strips_make_the_whole(atoms, taught):
    expected = phase_of(atoms, taught)
    parts = list(iter_airpi(atoms.data, atoms.acquisition, model=taught, threads=1))
    whole = np.concatenate([part for _, part in parts])
    np.testing.assert_allclose(whole - whole.mean(), expected, atol=1e-5)
    assert parts[-1][0].stop == len(expected)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_growing_image_becomes_the_whole(atoms, taught, monkeypatch, lazy):
    monkeypatch.setattr(tiles, "CORE", 12)
    data = da.from_array(np.asarray(atoms.data), chunks=(7, 32, 50, 48)) if lazy else atoms.data
    options = {"model": taught, "threads": 1, "return_evidence": True, "oversample": 3}
    # Whole counts, without which nothing can be compared.
    counts = (data * 1e4).round().astype(np.uint16)
    first, *growing = grow_airpi(counts, atoms.acquisition, **options)
    assert np.isnan(first.phase).all()
    rows = [int(np.isfinite(result.phase[:, 0]).sum()) for result in growing]
    assert rows == [30, 63, 96]
    for result, count in zip(growing, rows, strict=True):
        assert np.isfinite(result.phase[:count]).all()
        assert result.phase[:count].mean() == pytest.approx(0, abs=1e-6)
        assert np.isfinite(result.consistency[: count // 3]).all()
        assert np.isnan(result.consistency[count // 3 :]).all()
    expected = airpi(np.asarray(counts), atoms.acquisition, **options)
    for name in ("phase", "coverage", "consistency"):
        np.testing.assert_array_equal(getattr(growing[-1], name), getattr(expected, name))
    assert growing[-1].sampling == expected.sampling
    assert growing[-1].parameters == expected.parameters


@pytest.mark.parametrize("compared", [False, True])
def test_the_share_that_is_done_is_told_and_can_end_the_work(atoms, untaught, compared):
    counts = (np.asarray(atoms.data) * 1e4).round().astype(np.uint16)
    options = {"model": untaught, "threads": 1, "return_evidence": compared}
    shares = []
    airpi(counts, atoms.acquisition, callback=shares.append, **options)
    assert len(shares) > 1
    assert np.all(np.diff(shares) > 0)
    assert shares[-1] == pytest.approx(1)

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        airpi(counts, atoms.acquisition, callback=stop, **options)


def test_tiles_change_next_to_nothing(untaught, monkeypatch):
    scan = atom_scan(side=56)
    monkeypatch.setattr(tiles, "CORE", 56)
    whole = phase_of(scan, untaught)
    monkeypatch.setattr(tiles, "CORE", 28)
    assert len(list(tiles.strips(56))) == 2
    tiled = phase_of(scan, untaught)
    assert np.corrcoef(whole.ravel(), tiled.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("oversample", [1, 3, 4])
def test_pixels_are_as_many_as_asked_for(atoms, untaught, oversample):
    result = airpi(atoms.data, atoms.acquisition, model=untaught, oversample=oversample, threads=1)
    assert result.phase.shape == result.coverage.shape == (oversample * SIDE,) * 2
    found = peaks(result.phase, result.sampling)
    np.testing.assert_allclose(found, sorted(PLACES.tolist()), atol=0.2)


def test_boxes_of_patterns_keep_places(untaught):
    scan = atom_scan(side=72, scan_step=STEP / 2)
    result = airpi(scan.data, scan.acquisition, model=untaught, repeat=2, threads=1)
    assert result.repeat == 2
    found = peaks(result.phase, result.sampling) + np.array(result.origin)
    np.testing.assert_allclose(found, sorted((PLACES).tolist()), atol=0.2)
    fine = atom_scan(side=40, scan_step=STEP / 4)
    chosen = airpi(fine.data, fine.acquisition, model=untaught, threads=1)
    assert chosen.repeat == 2
    assert "finer than the network knows" in chosen.notes[0]


def test_the_coverage_is_one_inside_and_half_at_edges(atoms, untaught):
    coverage = airpi(atoms.data, atoms.acquisition, model=untaught, threads=1).coverage
    assert coverage[20:50, 20:50] == pytest.approx(1.0, abs=0.03)
    # Half of the probes, and half of those that stand on the edge itself.
    assert 0.55 < coverage[0, 30] < 0.85
    assert coverage[0, 0] == pytest.approx(coverage[0, 30] ** 2, abs=0.05)


def test_empty_patterns_are_flat(untaught, atoms):
    data = np.array(atoms.data)
    data[:, 16:] = 0
    found = airpi(data, atoms.acquisition, model=untaught, threads=1).phase
    assert np.isfinite(found).all()
    with pytest.raises(ValueError, match="no counts"):
        airpi(np.zeros_like(data), atoms.acquisition, model=untaught)


@pytest.mark.parametrize("name", ["beam_energy", "convergence_angle", "scan_step"])
def test_missing_calibration_is_named(atoms, untaught, name):
    with pytest.raises(MissingCalibrationError, match=name):
        airpi(atoms.data, atoms.acquisition.replace(**{name: None}), model=untaught)


@pytest.mark.parametrize(
    ("calibration", "words"),
    [
        ({"scan_step": 4.0}, "share too little"),
        ({"defocus": 3000.0}, "outside the range"),
        (
            {"convergence_angle": 30.0, "diffraction_step": 1.15, "scan_step": 0.2},
            "does not lie on",
        ),
        ({"diffraction_step": 1.1}, "One of the two is wrong"),
        ({"diffraction_step": 15.0}, "at least 2 are needed"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*outside the range")
def test_calibrations_that_cannot_be_are_refused(atoms, untaught, calibration, words):
    with pytest.raises(ValueError, match=words):
        airpi(atoms.data, atoms.acquisition.replace(**calibration), model=untaught)


@pytest.mark.parametrize(
    ("calibration", "words"),
    [
        ({"scan_step": 0.6}, "features that look like atoms may be none"),
        ({"defocus": 80.0}, "outside the range"),
        ({"diffraction_step": 2.2}, "by convergence_angle / diffraction_step"),
        ({"center": (20.0, 24.0)}, "which is used"),
    ],
)
def test_calibrations_that_are_doubtful_are_named(atoms, untaught, calibration, words):
    with pytest.warns(UserWarning, match=words):
        airpi(atoms.data, atoms.acquisition.replace(**calibration), model=untaught)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"repeat": 0}, "repeat"),
        ({"oversample": 1.5}, "oversample"),
        ({"device": "abacus"}, "device"),
        ({"model": "missing"}, "no model"),
        ({"model": 5}, "no model 5"),
        ({"repeat": 10}, "at least 40"),
    ],
)
def test_options_that_cannot_be_are_refused(atoms, untaught, options, words):
    with pytest.raises(ValueError, match=words):
        airpi(atoms.data, atoms.acquisition, **{"model": untaught, **options})


def test_patterns_that_are_no_numbers_are_refused(atoms, untaught):
    data = np.array(atoms.data, np.float32)
    data[1, 1, 25, 24] = np.nan  # which the first look misses
    with pytest.raises(ValueError, match="NaN or infinite"):
        airpi(data, atoms.acquisition, model=untaught)


def test_patterns_below_zero_are_refused_where_they_are_no_noise(atoms, untaught):
    """Noise about a background is; patterns less a mean, or read with a sign, are no counts."""
    counts = np.array(atoms.data, np.float32) / atoms.data.sum(axis=(2, 3)).mean() * 1e4
    noisy = counts + np.random.default_rng(4).normal(0, 2, counts.shape)
    with pytest.warns(UserWarning, match="below zero"):
        airpi(noisy.astype(np.float32), atoms.acquisition, model=untaught, threads=1)
    too_many = np.where(counts > counts.max() / 2, counts - counts.max(), counts)
    for wrong in (counts - counts.mean(axis=(0, 1)) * 0.9 - 1, too_many):
        with pytest.raises(ValueError, match="mean pattern's pixels are below zero"):
            airpi(wrong, atoms.acquisition, model=untaught)


@pytest.mark.parametrize("calibration", [None, {"beam_energy": 300}])
def test_a_calibration_of_another_type_is_named(atoms, untaught, calibration):
    with pytest.raises(TypeError, match="must be an Acquisition"):
        airpi(atoms.data, calibration, model=untaught)


@pytest.mark.parametrize("axis", [0, 1])
def test_pieces_of_an_image_agree_on_its_mean(untaught, monkeypatch, axis):
    """Vacuum is as dark in the piece without atoms as beside them in the next one."""
    places = np.random.default_rng(5).uniform([15, 1], [23, 9], (30, 2))
    acquisition = ACQUISITION.replace(scan_step=STEP, diffraction_step=1.9, defocus=0.0)
    scan = simulate_scan(
        single_atoms([38] * 30, places, extent=(26, 10)),
        acquisition,
        scan_shape=(80, 30),
        detector_shape=(48, 48),
        seed=2,
    )
    data = np.asarray(scan.data)
    if axis:
        # The frame of the detector turns with that of the scan.
        data = np.ascontiguousarray(data.transpose(1, 0, 3, 2))
    vacuum = []
    for core in (40, 400):
        monkeypatch.setattr(tiles, "CORE", core)
        phase = airpi(data, scan.acquisition, model=untaught, threads=1).phase
        phase = phase.T if axis else phase
        # Piece by piece there is an edge after 40 positions, where there is nothing.
        vacuum.append(phase[76:80].mean() - phase[80:84].mean())
    assert vacuum[0] == pytest.approx(vacuum[1], abs=0.004)
    assert len(list(tiles.strips(80))) == 1
    monkeypatch.setattr(tiles, "CORE", 40)
    lazy = airpi(
        da.from_array(data, chunks=(20, 30, -1, -1)), scan.acquisition, model=untaught
    ).phase.compute()
    whole = airpi(data, scan.acquisition, model=untaught, threads=1).phase
    np.testing.assert_allclose(lazy, whole, atol=1e-5)


def test_a_pass_computes_each_chunk_once(atoms, untaught, monkeypatch):
    monkeypatch.setattr(strips, "BLOCK_BYTES", 1)
    read = []

    def chunk(block, block_info):
        read.append(block_info[0]["array-location"][0][0])
        return block

    whole = np.asarray(atoms.data)
    lazy = da.from_array(whole, chunks=(6, SIDE, 50, 48)).map_blocks(chunk, dtype=whole.dtype)
    planned = airpi(lazy, atoms.acquisition, model=untaught, threads=1, lazy_output=False)
    rows = [row for row in read if row is not None]
    # The look at the scan before, and the pass.
    assert {rows.count(first) for first in range(0, SIDE, 6)} == {2}
    expected = airpi(whole, atoms.acquisition, model=untaught, threads=1)
    np.testing.assert_allclose(planned.phase, expected.phase, atol=1e-5)


def test_a_file_is_read_in_place(atoms, untaught, tmp_path, monkeypatch):
    counts = (np.asarray(atoms.data) * 1e4).round().astype(np.uint16)
    path = tmp_path / "atoms.mib"
    write_merlin(path, counts, acquisition=atoms.acquisition, counter_depth=12)
    scan = read_merlin(path)
    assert scan.data.dtype == np.dtype(">u2")
    expected = airpi(counts, atoms.acquisition, model=untaught, threads=1)
    blocks = []
    reduce_boxes = drawing.reduce_boxes

    def watched(block, *others):
        blocks.append(block)
        return reduce_boxes(block, *others)

    monkeypatch.setattr(drawing, "reduce_boxes", watched)
    found = airpi(scan.data, scan.acquisition, model=untaught, threads=1, lazy_output=False)
    assert all(isinstance(block.base, np.memmap) for block in blocks)
    np.testing.assert_allclose(found.phase, expected.phase, atol=1e-5)
