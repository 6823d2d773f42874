"""The browser's model: single patterns, beam, units, presets and Python code, without a viewer."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stem_plugins import Acquisition
from stem_plugins.io import Scan, write_scan
from stem_plugins.napari.browser_code import python_code
from stem_plugins.napari.browser_model import (
    BeamDisc,
    DiffractionUnit,
    PatternReader,
    beam_disc,
    diffraction_units,
    find_beam,
    pattern_center_of_mass,
    preset_detectors,
    shown_intensity,
)
from stem_plugins.napari.regions import Annulus, Rectangle
from stem_plugins.napari.ricom_code import ScanSource
from stem_plugins.napari.virtual_detectors import VirtualDetector

PX = DiffractionUnit("px", (1.0, 1.0))


@pytest.mark.parametrize("chunks", [None, (12, 14, 16, 16), (5, 6, 16, 16), (3, 14, 7, 5)])
def test_every_pattern_of_any_array_can_be_read(counts, chunks):
    reader = PatternReader(counts if chunks is None else da.from_array(counts, chunks=chunks))
    for y, x in [(0, 0), (11, 13), (4, 6), (5, 5), (0, 13), (11, 0)]:
        np.testing.assert_array_equal(reader.pattern(y, x), counts[y, x])


def test_neighbouring_patterns_of_lazy_data_are_computed_once(counts):
    computed = []

    def count(block, block_info=None):
        computed.append(block_info[0]["chunk-location"])
        return block

    lazy = da.from_array(counts, chunks=(4, 7, 16, 16))
    lazy = lazy.map_blocks(count, dtype=counts.dtype, meta=np.empty((0,) * 4, counts.dtype))
    reader = PatternReader(lazy)
    for x in range(7):
        reader.pattern(2, x)
    assert len(computed) == 1


def test_the_first_look_is_a_mean_over_the_middle_row(counts):
    np.testing.assert_allclose(PatternReader(counts).sample_mean(), counts[6].mean(axis=0))
    floats = counts.astype(float)
    floats[6, 3, 4, 4] = np.nan
    assert np.isfinite(PatternReader(floats).sample_mean()).all()


@given(
    center=st.tuples(st.floats(20, 40), st.floats(25, 45)),
    radius=st.floats(6, 15),
    background=st.floats(0, 5),
)
def test_the_measured_beam_is_the_disc_in_the_pattern(center, radius, background):
    y, x = np.indices((64, 72))
    inside = np.hypot(y - center[0], x - center[1]) < radius
    pattern = np.random.default_rng(0).poisson(40.0 * inside + background)
    beam = find_beam(pattern)
    np.testing.assert_allclose(beam.center, center, atol=0.6)
    assert beam.radius == pytest.approx(radius, abs=0.8)


def test_the_measured_beam_is_round_in_angle():
    y, x = np.indices((64, 64))
    pattern = np.hypot((y - 30) * 2.0, (x - 33) * 0.5) < 12
    assert find_beam(pattern, (2.0, 0.5)).radius == pytest.approx(12, rel=0.06)


@pytest.mark.parametrize(
    "pattern", [np.zeros((8, 10)), np.full((8, 10), 3), np.full((8, 10), np.nan)]
)
def test_without_a_disc_the_middle_stands_in(pattern):
    assert find_beam(pattern) == BeamDisc((3.5, 4.5), 2.0)


def test_calibrated_beam_wins_over_the_measured_one():
    pattern = np.zeros((32, 32))
    pattern[10:14, 10:14] = 1
    acquisition = Acquisition(convergence_angle=20, diffraction_step=2, center=(15, 16))
    unit = diffraction_units(acquisition)[0]
    assert beam_disc(pattern, acquisition, unit) == BeamDisc((15.0, 16.0), 20.0, True)
    assert beam_disc(pattern, acquisition, PX).radius == 10
    measured = beam_disc(pattern, acquisition.replace(center=None), unit)
    assert measured.center == (11.5, 11.5)


def test_inverse_lengths_follow_from_the_wavelength():
    # 200 kV: 2.5079 pm, so 1 mrad is 0.39874 1/nm.
    units = diffraction_units(Acquisition(beam_energy=200, diffraction_step=(1.0, 2.0)))
    assert [unit.symbol for unit in units] == ["mrad", "1/nm", "px"]
    np.testing.assert_allclose(units[1].pixel_size, (0.39874, 0.79748), rtol=1e-4)
    assert diffraction_units(Acquisition(beam_energy=200)) == [PX]


def test_presets_lie_where_the_convergence_angle_says():
    unit = DiffractionUnit("mrad", (2.0, 2.0))
    presets = preset_detectors(BeamDisc((31.5, 31.5), 20.0), (64, 64), unit)
    radii = {name: (ring.inner, ring.outer) for name, ring in presets.items()}
    assert radii == {"BF": (0.0, 20.0), "ABF": (10.0, 20.0), "ADF": (22.0, 64.0)}
    assert list(preset_detectors(BeamDisc((31.5, 31.5), 60.0), (64, 64), unit)) == ["BF", "ABF"]
    assert preset_detectors(BeamDisc((10, 31.5), 5.0), (64, 64), unit)["ADF"].outer == 21.0


def test_intensity_scales():
    pattern = np.array([[0, 3], [15, -2]])
    np.testing.assert_allclose(shown_intensity(pattern, "linear"), pattern)
    np.testing.assert_allclose(shown_intensity(pattern, "square root"), np.sqrt([[0, 3], [15, 0]]))
    logarithmic = shown_intensity(pattern, "logarithmic")
    np.testing.assert_allclose(logarithmic, np.log10([[1, 4], [16, 1]]), rtol=1e-6)
    # A mean over many positions shows what single electrons did.
    mean = np.array([[0, 0.001], [0.01, 10]])
    np.testing.assert_allclose(
        shown_intensity(mean, "logarithmic"), np.log10([[1, 2], [11, 10001]]), rtol=1e-6
    )
    assert shown_intensity(np.zeros((2, 2)), "logarithmic").max() == 0


def test_center_of_mass_of_a_pattern():
    pattern = np.zeros((6, 7))
    assert pattern_center_of_mass(pattern) is None
    pattern[1, 2], pattern[5, 4] = 3, 1
    assert pattern_center_of_mass(pattern) == (2.0, 2.5)


def test_the_code_makes_the_same_images_from_the_file(counts, tmp_path):
    path = tmp_path / "scan.zspy"
    write_scan(path, Scan(counts))
    detectors = [
        VirtualDetector("BF", Annulus((7.5, 7.25), 0.0, 3.1), "#ffffff"),
        VirtualDetector("it's", Rectangle((8.0, 4.0), 6.0, 5.0), "#ffffff"),
    ]
    source = ScanSource("from stem_plugins.io import read_scan", f"scan = read_scan({str(path)!r})")
    made = {}
    exec(python_code(source, detectors, (3, 4)), made)
    assert list(made["images"]) == ["BF", "it's"]
    for detector in detectors:
        expected = (counts * detector.region.mask((16, 16))).sum(axis=(2, 3))
        np.testing.assert_array_equal(made["images"][detector.name], expected)
    np.testing.assert_allclose(made["pacbed"], counts.mean(axis=(0, 1)))
    np.testing.assert_array_equal(made["pattern"], counts[3, 4])
