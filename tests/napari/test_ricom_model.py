"""The riCOM panel's numbers, without Qt: against the array functions on the whole scan."""

import itertools

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stem_plugins import Acquisition
from stem_plugins.imaging import (
    annular_detector,
    icom,
    moments,
    ricom,
    vector_field,
    virtual_image,
)
from stem_plugins.io import Scan, write_scan
from stem_plugins.napari.kept_moments import (
    KeptMoments,
    guess_center,
    inscribed_radius,
    iter_pass,
    nearest_radius,
    ring_radii,
)
from stem_plugins.napari.ricom_code import ScanSource, python_code
from stem_plugins.napari.ricom_model import (
    IMAGE_NAMES,
    RicomSettings,
    compute_field,
    compute_image,
    default_settings,
    snapped,
    spectrum,
)


def keep(data, center=(7.5, 7.2)) -> KeptMoments:
    kept = KeptMoments.empty(data.shape, center)
    for rows, part in iter_pass(data, kept):
        kept.add(rows, part)
    return kept


@pytest.fixture(scope="module", params=["numpy", "dask"])
def kept(request, counts):
    return keep(da.from_array(counts, chunks=(5, 7, 16, 16)) if request.param == "dask" else counts)


def test_the_pass_keeps_what_moments_finds(kept, counts):
    whole = moments(counts, pattern=True)
    center = kept.center(Acquisition())
    np.testing.assert_allclose(center, whole.center)
    np.testing.assert_allclose(kept.com - center, whole.com, atol=1e-12)
    np.testing.assert_allclose(kept.pattern / counts[..., 0, 0].size, whole.pattern)
    assert kept.seen.all()


def test_every_annulus_equals_a_virtual_detector(kept, counts):
    edges = [0.0, *kept.radii]
    for inner, outer in itertools.pairwise(edges):
        mask = annular_detector((16, 16), inner, outer, center=(7.5, 7.2))
        np.testing.assert_array_equal(kept.annulus(inner, outer), virtual_image(counts, mask))
    np.testing.assert_array_equal(kept.annulus(0, kept.radii[-1]), counts.sum(axis=(2, 3)))


@given(
    shape=st.tuples(*[st.integers(1, 300)] * 2, *[st.integers(1, 600)] * 2),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_rings_cover_any_detector(shape, place):
    center = tuple(p * (n - 1) for p, n in zip(place, shape[2:], strict=True))
    radii = ring_radii(shape, center)
    corners = [(y, x) for y in (0, shape[2] - 1) for x in (0, shape[3] - 1)]
    assert radii[-1] > max(np.hypot(y - center[0], x - center[1]) for y, x in corners)
    assert 1 <= len(radii) <= 25
    np.testing.assert_allclose(np.diff(radii), radii[0])


@given(inner=st.floats(0, 100), outer=st.floats(0, 100))
def test_snapped_detectors_are_never_empty(inner, outer):
    radii = np.arange(1, 9) * 1.5
    settings = snapped(RicomSettings(inner=inner, outer=outer), radii)
    assert settings.inner < settings.outer
    assert {settings.inner, settings.outer} <= {0.0, *radii}
    assert nearest_radius(radii, settings.inner) == settings.inner


def test_images_of_a_finished_pass_equal_those_of_the_whole_scan(kept, counts, calibrated):
    settings = RicomSettings(kernel_size=7, low=0.02, high=0.2, descan="plane")
    field = compute_field(kept, calibrated, "plane")
    whole = vector_field(moments(counts).com, calibrated, descan="plane")
    np.testing.assert_allclose(field.vectors, whole.vectors, atol=1e-12)
    image, unit = compute_image("riCOM", kept, field, settings)
    expected = ricom(whole.vectors, 7, low=0.02, high=0.2, scan_step=(2.0, 2.5))
    np.testing.assert_allclose(image, expected, atol=1e-10)
    assert unit == "rad"
    image, unit = compute_image("iCOM", kept, field, settings)
    np.testing.assert_allclose(image, icom(whole.vectors, scan_step=(2.0, 2.5)), atol=1e-10)


def test_rows_that_were_not_seen_contribute_nothing(counts, calibrated):
    kept = KeptMoments.empty(counts.shape, (7.5, 7.2))
    for rows, part in iter_pass(da.from_array(counts, chunks=(4, 14, 16, 16)), kept):
        kept.add(rows, part)
        break
    for descan in (None, "plane"):
        field = compute_field(kept, calibrated, descan)
        part = vector_field(moments(counts[:4]).com, calibrated, descan=descan)
        np.testing.assert_allclose(field.vectors[:4], part.vectors, atol=1e-12)
        assert not field.vectors[4:].any()


def test_a_parabola_waits_for_enough_rows(counts):
    kept = KeptMoments.empty(counts.shape, (7.5, 7.2))
    for rows, part in iter_pass(da.from_array(counts, chunks=(1, 14, 16, 16)), kept):
        kept.add(rows, part)
        assert np.isfinite(compute_field(kept, Acquisition(), "parabola").vectors).all()


def test_empty_patterns_are_no_deflection(counts):
    data = counts.copy()
    data[3:5] = 0
    kept = keep(data)
    assert not compute_field(kept, Acquisition(), None).vectors[3:5].any()
    assert guess_center(np.zeros_like(data)) == (7.5, 7.5)


def test_the_filter_stays_the_same_picture_under_another_calibration(kept):
    settings, before = RicomSettings(kernel_size=9, low=0.05, high=0.3), Acquisition()
    after = Acquisition(scan_step=4.0)
    image, unit = compute_image("riCOM", kept, compute_field(kept, before, None), settings)
    rescaled = settings.with_scan_step(before, after)
    calibrated, unit_after = compute_image(
        "riCOM", kept, compute_field(kept, after, None), rescaled
    )
    np.testing.assert_allclose(calibrated, image * 4, atol=1e-9)
    assert (unit, unit_after) == ("px·px", "px·Å")
    assert rescaled.low == pytest.approx(0.0125)


def test_the_default_annulus_lies_outside_the_bright_field(counts, calibrated):
    radii = ring_radii(counts.shape, (7.5, 7.5))
    settings = default_settings((12, 14), radii, calibrated, 8.0)
    assert settings.inner * 1.5 > calibrated.convergence_angle
    # Rings beyond 8 px have parts in the corners only.
    assert settings.outer == 8.0 < radii[-1]
    wide = calibrated.replace(convergence_angle=13.0)  # the disc reaches into the corners
    assert default_settings((12, 14), radii, wide, 8.0).outer == radii[-1]


@pytest.mark.parametrize("center", [(7.5, 7.5), (3.0, 9.2), (12.0, 14.9)])
def test_the_inscribed_disc_is_the_largest_one_on_the_detector(center):
    reach = inscribed_radius((16, 20), center)
    turn = np.linspace(0, 2 * np.pi, 721)[:, None]

    def on_detector(radius):
        rim = np.array(center) + radius * np.hstack([np.sin(turn), np.cos(turn)])
        return bool(((rim > -0.5) & (rim < (15.5, 19.5))).all())

    assert on_detector(reach - 1e-6)
    assert not on_detector(reach + 1e-6)


@pytest.mark.parametrize(
    ("settings", "acquisition"),
    [
        (RicomSettings(kernel_size=5), Acquisition()),
        (
            RicomSettings(
                kernel_size=9, low=0.02, high=0.15, descan="parabola", inner=2.0, outer=6.0
            ),
            Acquisition(
                beam_energy=80,
                scan_step=(2.0, 2.5),
                diffraction_step=1.5,
                center=(7.0, 8.0),
                scan_rotation=-33.5,
                flip_y=True,
            ),
        ),
    ],
)
def test_the_python_code_makes_the_same_images(tmp_path, counts, settings, acquisition):
    path = tmp_path / "scan.zspy"
    write_scan(path, Scan(counts))
    kept = keep(counts, acquisition.center or (7.5, 7.2))
    source = ScanSource("from stem_plugins.io import read_scan", f"scan = read_scan({str(path)!r})")
    code = python_code(source, settings, acquisition, IMAGE_NAMES, detector_center=kept.disc_center)
    names: dict = {}
    exec(code, names)
    field = compute_field(kept, acquisition, settings.descan)
    for name in IMAGE_NAMES:
        image, _ = compute_image(name, kept, field, settings)
        np.testing.assert_allclose(names["images"][name], image, atol=1e-9, err_msg=name)


def test_the_spectrum_shows_a_wave_at_its_frequency():
    y, x = np.indices((40, 60))
    picture = spectrum(np.cos(2 * np.pi * (5 * y / 40 + 9 * x / 60)) + 7)
    peak = np.unravel_index(picture.argmax(), picture.shape)
    assert (abs(peak[0] - 20), abs(peak[1] - 30)) == (5, 9)
    assert spectrum(np.zeros((4, 4, 3))).shape == (4, 4)


def test_an_unknown_image_is_named(kept):
    with pytest.raises(ValueError, match="no image 'DPC'"):
        compute_image("DPC", kept, compute_field(kept, Acquisition(), None), RicomSettings())
