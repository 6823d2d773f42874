"""Images of microscopes: calibration read, results written like them, other things refused."""

import gc
import json

import h5py
import numpy as np
import pytest
import tifffile
from rsciio import blockfile, hspy, tiff, zspy

from stem_plugins.io import image_files, read_scan
from stem_plugins.io.image_files import NoImageError, read_images, save_like
from stem_plugins.io.signal_dictionary import signal_dictionary, zspy_store

PIXELS = np.random.default_rng(0).poisson(9, (3, 20, 30)).astype("uint16")


def axis(name, size, index, *, scale=1.0, units="", navigate=False, offset=0.0):
    return {
        "_type": "UniformDataAxis",
        "name": name,
        "size": size,
        "scale": scale,
        "offset": offset,
        "units": units,
        "navigate": navigate,
        "index_in_array": index,
    }


def write(path, data, axes, **metadata):
    """Write a signal by RosettaSciIO."""
    metadata = {"General": {"title": "HAADF"}, "Signal": {"signal_type": ""}, **metadata}
    signal = signal_dictionary(data, axes, metadata)
    if path.suffix == ".zspy":
        zspy.file_writer(zspy_store(path), signal)
    else:
        (tiff if path.suffix == ".tif" else hspy).file_writer(str(path), signal)
    return path


def image_axes(units="nm", scale=(0.02, 0.03)):
    return [
        axis("y", 20, 0, scale=scale[0], units=units),
        axis("x", 30, 1, scale=scale[1], units=units),
    ]


@pytest.fixture
def image(tmp_path):
    """A calibrated image that says how it was recorded."""
    return write(
        tmp_path / "image.hspy",
        PIXELS[0],
        image_axes(),
        Acquisition_instrument={"TEM": {"beam_energy": 200.0}},
    )


@pytest.mark.parametrize("suffix", [".hspy", ".zspy", ".tif", ".hdf5"])
def test_calibration_in_any_unit_of_length(tmp_path, suffix):
    for units, angstrom in (("nm", 10), ("pm", 0.01), ("µm", 1e4)):
        path = write(tmp_path / f"{angstrom}{suffix}", PIXELS[0], image_axes(units))
        [read] = read_images(path)
        np.testing.assert_array_equal(np.asarray(read.data), PIXELS[0])
        assert read.pixel_size == pytest.approx((0.02 * angstrom, 0.03 * angstrom))


def test_axes_that_are_no_lengths_are_no_calibration(tmp_path):
    for units in ("px", "", "s"):
        [read] = read_images(write(tmp_path / f"a{units}.hspy", PIXELS[0], image_axes(units)))
        assert read.pixel_size is None
        assert read.with_pixel_size((0.1, 0.2)).pixel_size == pytest.approx((0.1, 0.2))


@pytest.mark.filterwarnings("ignore:unclosed file")  # the reader's, of lazy .tif
@pytest.mark.parametrize("lazily", [False, True])
@pytest.mark.parametrize("suffix", [".hspy", ".zspy", ".tif", ".npy", ".npz", ".h5"])
def test_stacks_keep_their_order(tmp_path, suffix, lazily, monkeypatch):
    path = tmp_path / f"stack{suffix}"
    frames = [axis("time", 3, 0, navigate=True, units="s", scale=0.5), *image_axes()]
    if suffix == ".npy":
        np.save(path, PIXELS)
    elif suffix == ".npz":
        np.savez(path, stack=PIXELS, exposure=np.ones(3))
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["data/stack"], file["data/time"] = PIXELS, np.arange(3)
    else:
        write(path, PIXELS, frames)
    if lazily:
        monkeypatch.setattr(image_files, "LARGE_FILE", 0)
    [read] = read_images(path)
    assert hasattr(read.data, "dask") == (lazily or suffix == ".zspy")
    np.testing.assert_array_equal(np.asarray(read.data), PIXELS)
    assert [entry["navigate"] for entry in read.axes] == [True, False, False]
    del read
    gc.collect()


@pytest.mark.parametrize("suffix", [".hspy", ".zspy"])
def test_hyperspy_results_keep_axes_and_metadata(tmp_path, image, suffix):
    [source] = read_images(image)
    result = source.data.astype("float32") / 3
    path = tmp_path / f"result{suffix}"
    made_by = {"method": "restore", "parameters": {"model": "fft", "threads": None}}
    save_like(path, result, source, title="Restored", quantity="Counts", provenance=made_by)
    module = hspy if suffix == ".hspy" else zspy
    [signal] = module.file_reader(str(path))
    np.testing.assert_array_equal(signal["data"], result)
    assert [(a["name"], a["scale"], a["units"]) for a in signal["axes"]] == [
        ("y", 0.02, "nm"),
        ("x", 0.03, "nm"),
    ]
    metadata = signal["metadata"]
    assert metadata["General"]["title"] == "Restored"
    assert metadata["Signal"] == {"signal_type": "stem_image", "quantity": "Counts"}
    assert metadata["Acquisition_instrument"]["TEM"]["beam_energy"] == 200
    assert metadata["stem_plugins"] == {"method": "restore", "parameters": {"model": "fft"}}
    # The source itself is as it was.
    assert source.title == "HAADF"
    assert "stem_plugins" not in source.metadata


def test_tiff_has_the_scale_as_imagej_reads_it(tmp_path, image):
    [source] = read_images(image)
    path = tmp_path / "result.tif"
    save_like(path, source.data / 3, source, title="Å", provenance={"method": "restore"})
    with tifffile.TiffFile(path) as file:
        assert file.asarray().dtype == np.float32
        np.testing.assert_array_equal(file.asarray(), (source.data / 3).astype("f4"))
        assert file.imagej_metadata["unit"] == "nm"
        tags = file.pages[0].tags
        per_nm = [tags[name].value for name in ("YResolution", "XResolution")]
        assert [below / above for above, below in per_nm] == pytest.approx((0.02, 0.03))
        assert json.loads(tags[65111].value) == {"method": "restore"}
    assert read_images(path)[0].pixel_size == pytest.approx((0.2, 0.3), rel=1e-6)


def test_a_series_of_stacks_becomes_one_stack_in_tiff(tmp_path):
    data = np.arange(2 * 3 * 20 * 30, dtype="float32").reshape(2, 3, 20, 30)
    axes = [axis("tilt", 2, 0, navigate=True), axis("time", 3, 1, navigate=True)]
    axes += [axis("y", 20, 2, scale=2, units="nm"), axis("x", 30, 3, scale=2, units="nm")]
    path = write(tmp_path / "a.hspy", data, axes, Signal={"signal_type": "stem_image"})
    [source] = read_images(path)
    save_like(tmp_path / "b.tif", data, source, title="b")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), data.reshape(6, 20, 30))
    save_like(tmp_path / "b.zspy", data, source, title="b")
    assert read_images(tmp_path / "b.zspy")[0].data.shape == data.shape


def test_nothing_is_overwritten_unasked_and_no_shape_is_guessed(tmp_path, image):
    [source] = read_images(image)
    before = image.read_bytes()
    with pytest.raises(FileExistsError, match="exists already"):
        save_like(image, source.data, source, title="")
    assert image.read_bytes() == before
    with pytest.raises(ValueError, match="its source"):
        save_like(tmp_path / "b.zspy", source.data[1:], source, title="")
    with pytest.raises(ValueError, match=r"not as '\.jpg'"):
        save_like(tmp_path / "b.jpg", source.data, source, title="")
    assert [path.name for path in tmp_path.iterdir()] == ["image.hspy"]


def refused(path, **options):
    with pytest.raises(NoImageError) as caught:
        read_images(path, **options)
    assert path.name in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones(30), "no image (y, x)"),
        (np.ones((30, 1)), "no image (y, x)"),
        (np.ones((4, 5, 20, 30)), "scan of diffraction patterns"),
        (np.ones((20, 30), complex), "amplitude or phase"),
        (np.full((20, 30), "a"), "values of type"),
        (np.ones((20, 30, 3), np.uint8), "colours are no intensities"),
        (np.ones((20, 30, 4), np.float32), "colours are no intensities"),
    ],
)
def test_arrays_that_are_no_images(tmp_path, array, words):
    np.save(tmp_path / "a.npy", array)
    assert words in refused(tmp_path / "a.npy")


def test_signals_that_are_no_images(tmp_path):
    spectra = [axis("y", 3, 0, navigate=True), axis("x", 20, 1, navigate=True), axis("E", 30, 2)]
    assert "spectra" in refused(write(tmp_path / "spectra.hspy", PIXELS, spectra))
    for units in ("mrad", "1/nm"):
        path = write(tmp_path / f"{units[:1]}.hspy", PIXELS[0], image_axes(units))
        assert "diffraction patterns" in refused(path)
    path = write(tmp_path / "wave.hspy", PIXELS[0] * 1j, image_axes())
    assert "amplitude or phase" in refused(path)
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((20, 30, 3), "uint8"), photometric="rgb")
    assert "colours are no intensities" in refused(tmp_path / "rgb.tif")
    four = [axis(name, 5, index) for index, name in enumerate("abcd")]
    assert "Four dimensions" in refused(write(tmp_path / "4d.hspy", np.ones((5,) * 4), four))
    uneven = [
        axis("y", 20, 0),
        {**axis("x", 30, 1), "_type": "DataAxis", "axis": np.arange(30) ** 2},
    ]
    del uneven[1]["scale"], uneven[1]["offset"]
    assert "equally spaced" in refused(write(tmp_path / "uneven.hspy", PIXELS[0], uneven))


def test_scans_of_patterns_are_no_images(tmp_path):
    patterns = np.ones((4, 5, 8, 8), np.uint8)
    axes = [axis("y", 4, 0, navigate=True, units="nm"), axis("x", 5, 1, navigate=True, units="nm")]
    axes += [axis("dy", 8, 2, units="cm"), axis("dx", 8, 3, units="cm")]
    path = tmp_path / "scan.blo"
    blockfile.file_writer(str(path), signal_dictionary(patterns, axes, {}))
    assert read_scan(path).data.shape == patterns.shape
    assert "diffraction" in refused(path)
    (tmp_path / "scan.mib").write_bytes(b"MQ1")
    assert "diffraction patterns" in refused(tmp_path / "scan.mib")


def test_one_of_several(tmp_path):
    path = tmp_path / "two.npz"
    np.savez(path, before=PIXELS[0], after=PIXELS[1], offset=np.ones(3))
    with pytest.raises(ValueError, match=r"before \(20, 30\), after \(20, 30\).*dataset="):
        read_images(path)
    np.testing.assert_array_equal(read_images(path, dataset="after")[0].data, PIXELS[1])
    with pytest.raises(ValueError, match="no images 'offset'; it holds before"):
        read_images(path, dataset="offset")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no none\.tif in"):
        read_images(tmp_path / "none.tif")
    with pytest.raises(ValueError, match="is a folder"):
        read_images(tmp_path)
    for name in ("text.tif", "text.dm4", "text.h5", "text.npy", "text.hspy", "text.unknown"):
        (tmp_path / name).write_text("This is no image." * 100)
        with pytest.raises(ValueError, match=name):
            read_images(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "shape", "step"),
    [
        ("example_Se_implanted_MoS2.dm3", (1024, 1024), 0.12695),
        ("ncempy_16_STOimage_1.ser", (1024, 1024), 0.10013),
        ("tk_r_em_exp_hrstem_3frames_gz.h5", (3, 1, 768, 768), None),
        ("atomap_test_ADF_cropped.hdf5", (400, 380), None),
    ],
)
def test_images_of_microscopes(data_dir, name, shape, step):
    [image] = read_images(data_dir / "hrstem" / name)
    assert image.data.shape == shape
    assert image.pixel_size == (step if step is None else pytest.approx((step, step), rel=1e-4))
    assert image.data.dtype.kind in "uf"
