"""Saved images carry their scale to every program that opens them."""

import json

import matplotlib as mpl
import numpy as np
import pytest
import tifffile
from PIL import Image
from rsciio import hspy, tiff, zspy

from stem_plugins import Acquisition
from stem_plugins.io import save_image

IMAGE = np.random.default_rng(0).normal(size=(20, 30))
COLORS = np.random.default_rng(0).random((20, 30, 3))


def axes_of(signal):
    return [(axis["scale"], axis["units"]) for axis in signal["axes"]]


@pytest.mark.parametrize("module", [hspy, zspy])
def test_hyperspy_files(tmp_path, module):
    path = tmp_path / f"ricom.{module.__name__.rsplit('.', 1)[1]}"
    parameters = {
        "kernel_size": np.int64(21),
        "low": None,
        "sizes": (1, 2),
        "acquisition": Acquisition(beam_energy=60),
    }
    save_image(
        path,
        IMAGE.astype(">f4"),
        scan_step=(0.2, 0.3),
        title="riCOM",
        quantity_units="rad",
        parameters=parameters,
    )
    (signal,) = module.file_reader(str(path))
    np.testing.assert_array_equal(signal["data"], IMAGE.astype("f4"))
    assert axes_of(signal) == [(0.02, "nm"), (pytest.approx(0.03), "nm")]
    metadata = signal["metadata"]
    assert metadata["Signal"] == {"signal_type": "stem_image", "quantity": "riCOM (rad)"}
    assert metadata["stem_plugins"]["parameters"] == {
        "kernel_size": 21,
        "sizes": [1, 2],
        "acquisition": {"beam_energy": 60.0},
    }


@pytest.mark.parametrize(
    ("step", "nanometre"),
    [(0.2, (0.02, 0.02)), ((0.127, 0.31), (0.0127, 0.031)), (390.0, (39.0, 39.0))],
)
def test_tiff_scale_as_three_programs_read_it(tmp_path, step, nanometre):
    path = tmp_path / "ricom.tif"
    save_image(path, IMAGE, scan_step=step, title="riCOM", parameters={"kernel_size": 21})
    (signal,) = tiff.file_reader(str(path))  # HyperSpy
    assert signal["data"].dtype == np.float32
    np.testing.assert_array_equal(signal["data"], IMAGE.astype("f4"))
    assert [axis["units"] for axis in signal["axes"]] == ["nm", "nm"]
    assert [axis["scale"] for axis in signal["axes"]] == pytest.approx(nanometre, rel=1e-6)
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        assert file.imagej_metadata["unit"] == "nm"  # ImageJ
        per_nm = [tags[name].value for name in ("YResolution", "XResolution")]
        assert [below / above for above, below in per_nm] == pytest.approx(nanometre, rel=1e-6)
        # DigitalMicrograph: 65009 and 65010 are the scales of x and y, 65003 and 65004 the units.
        assert [tags[65010].value, tags[65009].value] == pytest.approx(nanometre)
        assert tags[65003].value == tags[65004].value == "nm"
        assert json.loads(tags[65111].value) == {"kernel_size": 21}


def test_tiff_of_a_coarse_scan_is_in_micrometres(tmp_path):
    save_image(tmp_path / "map.tif", IMAGE, scan_step=(1e4, 2e4))
    (signal,) = tiff.file_reader(str(tmp_path / "map.tif"))
    assert axes_of(signal) == [(1.0, "µm"), (2.0, "µm")]


def test_tiff_without_scale_claims_none(tmp_path):
    save_image(tmp_path / "map.tif", IMAGE)
    (signal,) = tiff.file_reader(str(tmp_path / "map.tif"))
    assert axes_of(signal) == [(1.0, None), (1.0, None)]


def test_tiff_with_units_that_are_not_ascii(tmp_path):
    save_image(tmp_path / "map.tif", IMAGE, scan_step=1, title="Phase", quantity_units="V·Å²")
    (signal,) = tiff.file_reader(str(tmp_path / "map.tif"))
    assert signal["metadata"]["Signal"]["quantity"] == "Phase (V A2)"


def test_tiff_with_a_title_that_is_not_ascii(tmp_path):
    title = "riCOM, kernel 21×21, 50–92 mrad"
    save_image(tmp_path / "map.tif", IMAGE, scan_step=1, title=title, quantity_units="rad")
    (signal,) = tiff.file_reader(str(tmp_path / "map.tif"))
    quantity = signal["metadata"]["Signal"]["quantity"]
    assert quantity == "riCOM, kernel 21x21, 50-92 mrad (rad)"


@pytest.mark.parametrize("colors", [COLORS, np.rint(COLORS * 255).astype("u1")])
def test_colors(tmp_path, colors):
    save_image(tmp_path / "field.tif", colors, scan_step=0.2)
    (signal,) = tiff.file_reader(str(tmp_path / "field.tif"))
    assert axes_of(signal) == [(0.02, "nm"), (0.02, "nm")]
    stored = tifffile.imread(tmp_path / "field.tif")
    np.testing.assert_array_equal(stored, np.rint(COLORS * 255))
    save_image(tmp_path / "field.png", colors)
    picture = read_png(tmp_path / "field.png")
    np.testing.assert_allclose(picture[13::26, 13::26, :3], np.rint(COLORS * 255), atol=1)


def read_png(path):
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def test_png_shows_every_pixel_as_a_square_of_its_grey(tmp_path):
    save_image(tmp_path / "ricom.png", IMAGE)
    picture = read_png(tmp_path / "ricom.png")
    assert picture.shape == (20 * 26, 30 * 26, 4)
    blocks = picture[..., 0].reshape(20, 26, 30, 26)
    assert (blocks == blocks[:, :1, :, :1]).all()
    grey = (IMAGE - IMAGE.min()) / np.ptp(IMAGE) * 255
    np.testing.assert_allclose(blocks[:, 0, :, 0], grey, atol=2)


def test_png_contrast_by_percentiles(tmp_path):
    save_image(tmp_path / "ricom.png", IMAGE, percentiles=(10, 90))
    grey = read_png(tmp_path / "ricom.png")[13::26, 13::26, 0]
    assert np.mean(grey == 0) == pytest.approx(0.1, abs=0.01)
    assert np.mean(grey == 255) == pytest.approx(0.1, abs=0.01)


def test_png_of_non_square_pixels_keeps_the_proportions_of_the_specimen(tmp_path):
    save_image(tmp_path / "ricom.png", IMAGE, scan_step=(0.4, 0.2))
    assert read_png(tmp_path / "ricom.png").shape[:2] == (2 * 20 * 26, 30 * 26)


def test_png_scale_bar_is_as_long_as_it_says(tmp_path):
    save_image(tmp_path / "flat.png", np.zeros((100, 100)), scan_step=1.0)
    picture = read_png(tmp_path / "flat.png")
    white = (picture[..., :3] > 250).all(axis=-1)
    longest = max(white.sum(axis=1))
    # 100 Å over 600 pixels: a bar of at most a quarter of it is 2 nm long.
    assert longest == pytest.approx(20 / 100 * 600, abs=4)
    save_image(tmp_path / "bare.png", np.zeros((100, 100)))
    assert not (read_png(tmp_path / "bare.png")[..., :3] > 0).any()


def test_png_records_the_parameters_and_touches_no_global_state(tmp_path):
    backend = mpl.get_backend()
    save_image(tmp_path / "a.png", IMAGE, title="riCOM", parameters={"kernel_size": 21})
    with Image.open(tmp_path / "a.png") as picture:
        text = json.loads(picture.info["Description"])
    assert text == {"title": "riCOM", "parameters": {"kernel_size": 21}}
    assert mpl.get_backend() == backend


@pytest.mark.parametrize("image", [np.zeros((8, 8)), np.where(IMAGE > 0, IMAGE, np.nan)])
def test_flat_images_and_single_missing_pixels_can_be_drawn(tmp_path, image):
    save_image(tmp_path / "a.png", image, scan_step=1)
    assert read_png(tmp_path / "a.png").size


def test_bare_array(tmp_path):
    save_image(tmp_path / "a.npy", IMAGE, scan_step=1)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), IMAGE)


@pytest.mark.parametrize(
    ("name", "image", "options", "message"),
    [
        ("a.jpg", IMAGE, {}, r"\.zspy, \.hspy, \.tif, \.png, \.npy, not as '\.jpg'"),
        ("a", IMAGE, {}, "not as 'a'"),
        ("a.tif", IMAGE * 1j, {}, "amplitude.*phase"),
        ("a.tif", IMAGE[0], {}, r"\(30,\)"),
        ("a.tif", np.zeros((0, 4)), {}, r"\(0, 4\)"),
        ("a.zspy", COLORS, {}, r"\(20, 30, 3\)"),
        ("a.tif", np.zeros((4, 4, 2)), {}, r"\(4, 4, 2\)"),
        ("a.tif", COLORS * 2, {}, "between 0 and 1"),
        ("a.tif", np.ones((4, 4, 3), int), {}, "uint8 or floating point"),
        ("a.tif", np.array([["text"]]), {}, "real numbers"),
        ("a.tif", np.full((3, 3), np.nan), {}, "finite"),
        ("a.tif", IMAGE, {"scan_step": 0}, "above zero"),
        ("a.tif", IMAGE, {"scan_step": (1, np.nan)}, "above zero"),
    ],
)
def test_what_cannot_be_saved(tmp_path, name, image, options, message):
    with pytest.raises(ValueError, match=message):
        save_image(tmp_path / name, image, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".zspy", ".hspy", ".tif", ".png", ".npy"])
def test_existing_images_are_not_overwritten(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    save_image(path, IMAGE)
    with pytest.raises(FileExistsError, match="exists already"):
        save_image(path, -IMAGE)
    save_image(path, -IMAGE, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_failure_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="not a valid"):
        save_image(tmp_path / "a.png", IMAGE, colormap="no such map")
    assert list(tmp_path.iterdir()) == []
