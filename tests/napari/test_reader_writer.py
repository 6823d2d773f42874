"""Files through napari's own plugin manager: found, read lazily, written and read back."""

import time
import warnings

import dask.array as da
import h5py
import npe2
import numpy as np
import pytest
from napari.layers import Layer
from npe2 import PluginManifest
from rsciio.hspy import file_writer as write_hspy
from rsciio.tiff import file_reader as read_tiff

from stem_plugins import Acquisition
from stem_plugins.io import Scan, read_scan, save_image, write_merlin, write_scan
from stem_plugins.io.signal_dictionary import signal_dictionary
from stem_plugins.napari.layers import acquisition_of, image_layer, scan_from_layer, scan_layer
from stem_plugins.napari.planes import on_scan_plane
from stem_plugins.napari.reader import get_reader, read_scan_layers
from stem_plugins.napari.ricom_code import source_of
from stem_plugins.napari.scan_shape import set_scan_shape
from stem_plugins.napari.writer import write_image


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_distribution("stem-plugins")


@pytest.fixture
def plugins(npe2pm, manifest):
    """napari's plugin manager with our plugin and no other."""
    with npe2pm.tmp_plugin(manifest=manifest):
        yield npe2pm


def test_the_manifest_is_valid_and_everything_in_it_exists(manifest):
    manifest.validate_imports()
    assert manifest.name == "stem-plugins"


def test_menus_and_widgets_lead_to_commands_that_exist(manifest):
    known = {command.id for command in manifest.contributions.commands}
    used = {widget.command for widget in manifest.contributions.widgets}
    used |= {item.command for items in manifest.contributions.menus.values() for item in items}
    used |= {writer.command for writer in manifest.contributions.writers}
    assert used <= known


@pytest.mark.parametrize("suffix", [".mib", ".hspy", ".zspy"])
def test_scans_are_read_as_they_were_written(plugins, tmp_path, scan, suffix):
    path = tmp_path / f"scan{suffix}"
    write_scan(path, scan)
    ((data, options, kind),) = npe2.read([str(path)], stack=False, plugin_name="stem-plugins")
    assert kind == "image"
    assert isinstance(data, da.Array)
    np.testing.assert_array_equal(data, scan.data)
    known = acquisition_of(Layer.create(data, options, kind))
    assert known.scan_step == pytest.approx(scan.acquisition.scan_step)
    assert known.diffraction_step == pytest.approx(scan.acquisition.diffraction_step)
    assert known.beam_energy == scan.acquisition.beam_energy
    np.testing.assert_allclose(options["scale"], (0.2, 0.25, 1.5, 1.5))


def test_the_hdr_opens_the_mib(tmp_path, counts):
    write_merlin(tmp_path / "scan.mib", counts)
    ((data, options, _),) = get_reader(str(tmp_path / "scan.hdr"))(str(tmp_path / "scan.hdr"))
    assert data.shape == counts.shape
    assert options["name"] == "scan"


def test_what_is_not_ours_is_declined(tmp_path):
    (tmp_path / "radiance.hdr").write_bytes(b"#?RADIANCE\n")
    assert get_reader(str(tmp_path / "radiance.hdr")) is None
    assert get_reader(str(tmp_path / "picture.png")) is None
    assert get_reader([str(tmp_path / "a.mib"), str(tmp_path / "b.mib")]) is None


@pytest.mark.parametrize("suffix", [".hspy", ".zspy"])
def test_images_of_hyperspy_come_back_with_scale_and_parameters(tmp_path, suffix):
    path = str(tmp_path / f"image{suffix}")
    save_image(path, np.eye(4), scan_step=(2, 2.5), title="riCOM", parameters={"kernel_size": 5})
    ((data, options, _),) = get_reader(path)(path)
    np.testing.assert_array_equal(data, np.eye(4))
    assert options["name"] == "riCOM"
    np.testing.assert_allclose(options["scale"], (0.2, 0.25))
    layer = Layer.create(data, options, "image")
    assert acquisition_of(layer).scan_step == pytest.approx((2, 2.5))
    assert layer.metadata["parameters"] == {"kernel_size": 5}


def test_what_holds_no_image_says_what_it_holds(tmp_path):
    path = tmp_path / "spectrum.hspy"
    axis = {"name": "E", "size": 9, "scale": 1.0, "offset": 0.0, "units": "eV", "navigate": False}
    general = {"General": {"title": ""}, "Signal": {"signal_type": ""}}
    write_hspy(str(path), signal_dictionary(np.ones(9), [axis | {"index_in_array": 0}], general))
    with pytest.raises(ValueError, match=r"spectrum\.hspy holds no image"):
        get_reader(str(path))(str(path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mib", b"", "empty"),
        ("text.mib", b"this is not Merlin data" * 100, "text.mib"),
        ("broken.hspy", b"not HDF5", "broken.hspy"),
    ],
)
def test_damaged_files_say_what_is_wrong(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        get_reader(str(path))(str(path))


def test_two_scans_in_one_file_are_told_apart_by_what_a_user_of_napari_has(tmp_path, counts):
    path = tmp_path / "two.hspy"
    write_scan(path, Scan(counts, Acquisition()))
    with h5py.File(path, "a") as file:
        (first,) = file["Experiments"]
        file.copy(f"Experiments/{first}", file["Experiments"], name="second")
    with pytest.raises(ValueError, match="stem-plugins convert --dataset NAME"):
        get_reader(str(path))(str(path))


def test_a_hdr_without_its_mib_says_so(tmp_path, counts):
    write_merlin(tmp_path / "scan.mib", counts)
    (tmp_path / "scan.mib").unlink()
    with pytest.raises(FileNotFoundError, match=r"no scan\.mib"):
        read_scan_layers(str(tmp_path / "scan.hdr"))


@pytest.mark.parametrize("shape", [(8, 21), (1, 168), (21, 8)])
def test_lazy_frames_take_any_scan_shape(counts, shape):
    scan = Scan(da.from_array(counts, chunks=(1, 14, 16, 16)))
    layer = Layer.create(*scan_layer(scan, "scan"))
    set_scan_shape(layer, shape)
    np.testing.assert_array_equal(layer.data, counts.reshape(*shape, 16, 16))


def test_an_unknown_scan_shape_can_be_set_later(tmp_path, counts):
    path = tmp_path / "scan.mib"
    write_merlin(path, counts)
    (tmp_path / "scan.hdr").unlink()
    with pytest.warns(UserWarning, match="Set the scan shape in the riCOM panel"):
        (layer_data,) = read_scan_layers(str(path))
    assert layer_data[0].shape == (1, 168, 16, 16)
    layer = Layer.create(*layer_data)
    with pytest.raises(ValueError, match="5 × 7 scan positions are 35 frames; the layer holds 168"):
        set_scan_shape(layer, (5, 7))
    set_scan_shape(layer, (12, 14))
    np.testing.assert_array_equal(layer.data, counts)
    assert "current_viewer" in source_of(layer).imports + source_of(layer).statement


def test_a_file_of_two_gigabytes_opens_at_once(tmp_path):
    frame = 256 * 256 * 2
    path = tmp_path / "large.mib"
    write_merlin(path, np.full((1, 1, 256, 256), 60_000, np.uint16))
    one = path.read_bytes()
    with open(path, "r+b") as file:  # holes in the file read as zeros and take no room
        for number in (0, 1, 128 * 128 - 1):
            file.seek(number * len(one))
            file.write(one)
    assert path.stat().st_size > 128 * 128 * frame
    hdr = tmp_path / "large.hdr"
    text = hdr.read_text().replace("\nEnd", "\nScanX:\t128\nScanY:\t128\nEnd")
    lines = [line for line in text.splitlines() if not line.startswith("Frames")]
    hdr.write_text("\r\n".join(lines) + "\r\n")
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ((data, _, _),) = read_scan_layers(str(path))
    assert time.perf_counter() - start < 2
    assert data.nbytes > 2e9


def test_images_keep_their_scale_in_tif(plugins, tmp_path, calibrated):
    path = tmp_path / "ricom.tif"
    image = np.arange(20.0).reshape(4, 5)
    layer = Layer.create(*on_scan_plane(image_layer(image, calibrated, "riCOM", "rad"), (8, 8)))
    assert npe2.write(str(path), [layer], plugin_name="stem-plugins") == [str(path)]
    (signal,) = read_tiff(path)
    np.testing.assert_array_equal(signal["data"], image)
    assert [axis["units"] for axis in signal["axes"]] == ["nm", "nm"]
    np.testing.assert_allclose([axis["scale"] for axis in signal["axes"]], (0.2, 0.25), rtol=1e-6)


@pytest.mark.parametrize("suffix", [".zspy", ".hspy"])
def test_images_keep_unit_and_parameters_for_hyperspy(tmp_path, calibrated, suffix):
    from stem_plugins.io.formats import read_signals

    path = tmp_path / f"ricom{suffix}"
    data, options, _ = image_layer(
        np.eye(3), calibrated, "riCOM", "rad", parameters={"kernel_size": 21}
    )
    write_image(str(path), data, options)
    (signal,) = read_signals(path, lazy=False, options={})
    assert signal["metadata"]["Signal"]["quantity"].endswith("(rad)")
    assert signal["metadata"]["stem_plugins"]["parameters"]["kernel_size"] == 21
    np.testing.assert_allclose([axis["scale"] for axis in signal["axes"]], (0.2, 0.25))


def test_colours_are_written_as_colours(tmp_path, calibrated):
    colors = np.zeros((3, 4, 3), np.uint8)
    colors[0, 1] = 255, 10, 0
    data, options, _ = image_layer(colors, calibrated, "field")
    write_image(str(tmp_path / "field.tif"), data, options)
    (signal,) = read_tiff(tmp_path / "field.tif")
    assert tuple(signal["data"][0, 1].item()) == (255, 10, 0)


def test_scans_are_written_and_read_back(tmp_path, scan):
    data, options, _ = scan_layer(scan, "scan")
    for suffix in (".mib", ".zspy"):
        write_image(str(tmp_path / f"scan{suffix}"), data, options)
        np.testing.assert_array_equal(read_scan(tmp_path / f"scan{suffix}").data, scan.data)


def test_what_cannot_be_written_says_so(tmp_path, scan, calibrated):
    data, options, _ = scan_layer(scan, "scan")
    with pytest.raises(ValueError, match=r"cannot be saved as '\.tif'"):
        write_image(str(tmp_path / "scan.tif"), data, options)
    with pytest.raises(ValueError, match="5 dimensions"):
        write_image(str(tmp_path / "many.tif"), np.zeros((2, 2, 2, 3, 4)), {"name": "many"})
    with pytest.raises(ValueError, match=r"not as '\.png'"):
        write_image(str(tmp_path / "stack.png"), np.zeros((2, 3, 4)), {"name": "stack"})
    data, options, _ = image_layer(np.eye(3), calibrated, "riCOM")
    (tmp_path / "folder.zspy").mkdir()
    with pytest.raises(FileExistsError):
        write_image(str(tmp_path / "folder.zspy"), data, options)
    assert not list(tmp_path.glob("*.tif"))


def test_hdf5_that_is_not_of_hyperspy_says_so(tmp_path):
    path = tmp_path / "other.hspy"
    with h5py.File(path, "w") as file:
        file["Experiments/one/data"] = np.zeros((3, 4))
    with pytest.raises(ValueError, match=r"other\.hspy"):
        get_reader(str(path))(str(path))


def test_layers_without_a_file_are_taken_from_the_viewer(scan):
    layer = Layer.create(*scan_layer(Scan(scan.data, Acquisition()), "my scan"))
    assert "current_viewer().layers['my scan']" in source_of(layer).statement
    assert scan_from_layer(layer).data is scan.data
