"""Scans and images become layers and come back with their calibration."""

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels, Layer

from stem_plugins import Acquisition
from stem_plugins.io import Scan
from stem_plugins.napari.layers import (
    acquisition_of,
    image_layer,
    pattern_layer,
    scan_from_layer,
    scan_layer,
    set_acquisition,
)
from stem_plugins.napari.planes import flat_image, on_scan_plane


def units(layer) -> tuple[str, ...]:
    return tuple(f"{unit:~}" for unit in layer.units)


def test_a_scan_comes_back_as_it_was(scan):
    layer = Layer.create(*scan_layer(scan, "scan"))
    back = scan_from_layer(layer)
    assert back.data is scan.data
    assert back.acquisition == scan.acquisition


def test_scale_and_units_are_nm_and_mrad(scan):
    layer = Layer.create(*scan_layer(scan, "scan"))
    np.testing.assert_allclose(layer.scale, (0.2, 0.25, 1.5, 1.5))
    assert units(layer) == ("nm", "nm", "mrad", "mrad")
    assert layer.axis_labels == ("scan y", "scan x", "ky", "kx")


def test_the_undiffracted_beam_is_the_origin_of_angles(counts, calibrated):
    centered = Scan(counts, calibrated.replace(center=(7, 5)))
    layer = Layer.create(*scan_layer(centered, "scan"))
    np.testing.assert_allclose(layer.data_to_world((0, 0, 7, 5)), 0)


def test_without_calibration_everything_is_in_pixels(counts):
    layer = Layer.create(*scan_layer(Scan(counts), "scan"))
    assert units(layer) == ("pixel",) * 4
    np.testing.assert_allclose(layer.scale, 1)
    assert acquisition_of(layer) == Acquisition()


def test_only_one_pattern_is_computed(counts):
    seen = []

    def read(block, block_info=None):
        seen.append(block_info[0]["chunk-location"])
        return block

    data = da.from_array(counts, chunks=(1, 14, 16, 16)).map_blocks(
        read, dtype=counts.dtype, meta=np.empty((0,) * 4, counts.dtype)
    )
    layer = Layer.create(*scan_layer(Scan(data), "scan"))
    assert isinstance(scan_from_layer(layer).data, da.Array)
    assert set(seen) <= {(6, 0, 0, 0), (0, 0, 0, 0)}  # the middle row, and napari's first slice


def test_contrast_survives_a_hot_pixel():
    pattern = np.full((64, 64), 10)
    pattern[3, 4] = 1_000_000
    data = np.broadcast_to(pattern, (2, 2, 64, 64))
    assert scan_layer(Scan(data), "scan")[1]["contrast_limits"] == (0, 10)


@pytest.mark.parametrize("data", [np.zeros((2, 2, 8, 8)), np.full((2, 2, 8, 8), np.nan)])
def test_empty_patterns_have_contrast_limits_too(data):
    assert scan_layer(Scan(data), "scan")[1]["contrast_limits"] == (0, 1)


def test_a_layer_of_another_plugin_is_understood_by_its_units():
    layer = Image(
        np.zeros((2, 3, 4, 4)),
        scale=(0.1, 0.1, 0.002, 0.002),
        units=("nm", "nm", "rad", "rad"),
    )
    acquisition = scan_from_layer(layer).acquisition
    assert acquisition.scan_step == pytest.approx((1, 1))
    assert acquisition.diffraction_step == pytest.approx((2, 2))


@pytest.mark.parametrize(
    "layer",
    [
        Image(np.zeros((4, 4)), name="flat"),
        Image(np.zeros((2, 2, 4, 4, 3), np.uint8), rgb=True, name="colours"),
        Labels(np.zeros((2, 2, 4, 4), int), name="labels"),
    ],
)
def test_other_layers_are_refused_by_name(layer):
    with pytest.raises(ValueError, match=f"'{layer.name}' is no 4D-STEM scan"):
        scan_from_layer(layer)


def test_a_new_calibration_moves_everything(scan):
    acquisition = Acquisition(scan_step=5, diffraction_step=(2, 3), center=(1, 2))
    layers = {
        "scan": Layer.create(*scan_layer(scan, "scan")),
        "image": Layer.create(*image_layer(np.eye(5), scan.acquisition, "image")),
        "over": Layer.create(
            *on_scan_plane(image_layer(np.eye(5), scan.acquisition, "over"), (16, 16))
        ),
        "pattern": Layer.create(*pattern_layer(np.eye(16), scan.acquisition, "pattern")),
    }
    for layer in layers.values():
        set_acquisition(layer, acquisition)
        assert acquisition_of(layer) == acquisition
    np.testing.assert_allclose(layers["scan"].scale, (0.5, 0.5, 2, 3))
    np.testing.assert_allclose(layers["scan"].translate, (0, 0, -2, -6))
    np.testing.assert_allclose(layers["image"].scale, (0.5, 0.5))
    np.testing.assert_allclose(layers["pattern"].scale, (2, 3))
    np.testing.assert_allclose(layers["pattern"].translate, (-2, -6))
    np.testing.assert_allclose(layers["over"].scale, (0.5, 0.5, 32, 48))


def test_a_calibration_can_be_taken_back(scan):
    layer = Layer.create(*scan_layer(scan, "scan"))
    set_acquisition(layer, Acquisition())
    assert units(layer) == ("pixel",) * 4
    np.testing.assert_allclose(layer.scale, 1)


def test_an_image_over_the_scan_covers_the_whole_detector(scan):
    over = on_scan_plane(image_layer(np.eye(12), scan.acquisition, "over"), (16, 16))
    image, whole = Layer.create(*over), Layer.create(*scan_layer(scan, "scan"))
    scan_extent = whole.extent.world + np.array([-0.5, 0.5])[:, None] * whole.scale
    extent = image.extent.world + np.array([-0.5, 0.5])[:, None] * image.scale
    np.testing.assert_allclose(extent[:, 2:], scan_extent[:, 2:])
    np.testing.assert_array_equal(flat_image(image), np.eye(12))


def test_wrong_images_are_refused(calibrated):
    with pytest.raises(ValueError, match=r"shape \(ny, nx\)"):
        image_layer(np.zeros((2, 2, 2, 2)), calibrated, "image")
    with pytest.raises(ValueError, match="complex"):
        image_layer(np.zeros((2, 2), complex), calibrated, "image")


def test_a_scale_that_a_user_gives_to_a_layer_is_its_calibration(scan):
    layer = Layer.create(*scan_layer(scan, "scan"))
    layer.scale = (0.5, 0.5, 1.5, 1.5)
    assert acquisition_of(layer) == scan.acquisition.replace(scan_step=5.0)
    layer.units = ("um", "um", "mrad", "mrad")
    assert acquisition_of(layer).scan_step == pytest.approx((5000.0, 5000.0))
    layer.scale = (-0.5, 0.5, 3.0, 3.0)  # mirrored on screen
    assert acquisition_of(layer).scan_step == pytest.approx((5000.0, 5000.0))
    assert acquisition_of(layer).diffraction_step == (3.0, 3.0)
    set_acquisition(layer, scan.acquisition)
    assert acquisition_of(layer) == scan.acquisition


def test_the_detector_pixel_of_an_image_over_the_scan_is_no_calibration(calibrated):
    image = image_layer(np.eye(3), calibrated, "riCOM")
    assert acquisition_of(Layer.create(*on_scan_plane(image, (16, 16)))) == calibrated
