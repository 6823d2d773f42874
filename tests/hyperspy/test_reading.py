"""Files to signals and back: nothing lost, lazily or not, with or without stem-plugins."""

import logging
import subprocess
import sys

import hyperspy.api as hs
import hyperspy.extensions
import numpy as np
import pytest

from stem_plugins import Acquisition, Scan, write_merlin, write_scan
from stem_plugins.hyperspy import STEM4D, LazySTEM4D, LazySTEMImage, STEMImage, load, reader

pytestmark = pytest.mark.filterwarnings(
    # RosettaSciIO's choice of a store.
    "ignore:The NestedDirectoryStore is deprecated"
)


def saved(signal, path):
    chunks = (3, 4, *signal.data.shape[2:]) if signal.data.ndim == 4 else None
    signal.save(path, chunks=chunks)
    return path


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("suffix", [".hspy", ".zspy"])
def test_scans_survive_hyperspys_formats(any_signal, patterns, tmp_path, suffix, lazy):
    path = saved(any_signal, tmp_path / f"scan{suffix}")
    found = hs.load(path, lazy=lazy)
    assert type(found) is (LazySTEM4D if lazy else STEM4D)
    assert found.acquisition == any_signal.acquisition
    assert found.metadata.General.title == "scan"
    np.testing.assert_array_equal(np.asarray(found.data), patterns)
    if lazy:
        assert found.data.chunksize == (3, 4, 14, 17)
    np.testing.assert_allclose(np.asarray(found.ricom(5).data), any_signal.ricom(5).data)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("suffix", [".hspy", ".zspy"])
def test_images_survive_hyperspys_formats(signal, tmp_path, suffix, lazy):
    image = signal.ricom(5, low=0.1, mask=np.ones((14, 17), bool))
    found = hs.load(saved(image, tmp_path / f"image{suffix}"), lazy=lazy)
    assert type(found) is (LazySTEMImage if lazy else STEMImage)
    assert found.acquisition == image.acquisition
    parameters = found.metadata.stem_plugins.parameters
    assert (parameters.kernel_size, parameters.low) == (5, 0.1)
    assert parameters.mask.shape == (14, 17)
    np.testing.assert_array_equal(np.asarray(found.data), image.data)


@pytest.mark.parametrize("suffix", [".hspy", ".zspy"])
def test_vector_maps_survive_hyperspys_formats(signal, tmp_path, suffix):
    found = hs.load(saved(signal.center_of_mass(), tmp_path / f"com{suffix}"))
    np.testing.assert_allclose(signal.ricom(5, com=found).data, signal.ricom(5).data)
    assert found.units == ["px", "px"]


def test_a_type_can_be_given_on_loading(patterns, tmp_path):
    path = saved(hs.signals.Signal2D(patterns), tmp_path / "plain.hspy")
    assert type(hs.load(path)) is hs.signals.Signal2D
    assert type(hs.load(path, signal_type="4d_stem")) is STEM4D
    assert type(hs.load(path, signal_type="4D-STEM", lazy=True)) is LazySTEM4D


@pytest.mark.parametrize("suffix", [".hspy", ".zspy"])
def test_files_stay_readable_without_stem_plugins(
    signal, patterns, tmp_path, suffix, monkeypatch, caplog
):
    path = saved(signal, tmp_path / f"scan{suffix}")
    signals = hyperspy.extensions.ALL_EXTENSIONS["signals"]
    others = {
        name: entry
        for name, entry in signals.items()
        if not entry["module"].startswith("stem_plugins")
    }
    assert len(signals) - len(others) == 8
    monkeypatch.setitem(hyperspy.extensions.ALL_EXTENSIONS, "signals", others)
    monkeypatch.setattr(logging.getLogger("hyperspy"), "propagate", True)
    found = hs.load(path)
    assert type(found) is hs.signals.Signal2D
    assert "4d_stem" in caplog.text
    np.testing.assert_array_equal(found.data, patterns)
    assert found.metadata.stem_plugins.acquisition.scan_rotation == 30
    assert found.axes_manager.navigation_axes[0].units == "nm"


@pytest.fixture
def merlin(patterns, calibration, tmp_path):
    path = tmp_path / "scan.mib"
    write_merlin(path, patterns, acquisition=Acquisition(**calibration), counter_depth=12)
    return path


@pytest.mark.filterwarnings("ignore:The 'reader' parameter is deprecated")
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("argument", ["reader", "file_format"])
def test_our_reader_serves_hyperspys_load(merlin, patterns, signal, lazy, argument):
    found = hs.load(merlin, lazy=lazy, **{argument: reader})
    assert type(found) is (LazySTEM4D if lazy else STEM4D)
    np.testing.assert_array_equal(np.asarray(found.data), patterns)
    assert found.original_metadata.mq1.width == 17
    np.testing.assert_allclose(np.asarray(found.ricom(5).data), signal.ricom(5).data)


@pytest.mark.parametrize("lazy", [False, True])
def test_load_opens_merlin_files(merlin, patterns, calibration, lazy):
    found = load(merlin, lazy=lazy)
    assert type(found) is (LazySTEM4D if lazy else STEM4D)
    np.testing.assert_array_equal(np.asarray(found.data), patterns)
    acquisition = found.acquisition
    assert acquisition.center == pytest.approx(calibration["center"])
    assert acquisition.scan_rotation == 30
    assert acquisition.scan_step == pytest.approx((0.25, 0.2))
    assert found.metadata.General.title == "scan"


def test_the_date_of_the_measurement_is_in_the_metadata(patterns, merlin, tmp_path):
    write_merlin(tmp_path / "dated.mib", patterns, taken="2021-05-07T16:51:10Z")
    general = load(tmp_path / "dated.mib").metadata.General
    assert (general.date, general.time_zone) == ("2021-05-07", "UTC")
    assert general.time.startswith("16:51:10")
    saved(load(tmp_path / "dated.mib"), tmp_path / "dated.zspy")
    again = load(tmp_path / "dated.zspy").metadata.General
    assert (again.date, again.time) == (general.date, general.time)
    assert not load(merlin).metadata.General.has_item("date")


@pytest.mark.parametrize("suffix", [".hspy", ".zspy"])
def test_merlin_files_become_hyperspys(merlin, patterns, tmp_path, suffix):
    found = load(merlin)
    again = hs.load(saved(found, tmp_path / f"again{suffix}"), lazy=True)
    assert type(again) is LazySTEM4D
    assert again.acquisition == found.acquisition
    np.testing.assert_array_equal(again.data.compute(), patterns)


def test_loading_reads_no_pattern(merlin):
    found = load(merlin)
    image = found.ricom(5, lazy_output=True)
    merlin.unlink()
    with pytest.raises(OSError, match=r"scan\.mib"):
        image.compute()


def test_rosettasciios_merlin_signals_become_ours(merlin, patterns):
    found = hs.load(merlin, navigation_shape=(11, 9), signal_type="4d_stem", lazy=True)
    assert type(found) is LazySTEM4D
    image = found.virtual_image(0, 3, units="px", center=(13 - 6, 8))  # its rows are upside down
    y, x = np.indices((14, 17))
    expected = patterns[..., np.hypot(y - 6, x - 8) < 3].sum(axis=-1)
    np.testing.assert_array_equal(image.data.compute(), expected)


@pytest.mark.parametrize("suffix", [".hspy", ".zspy"])
@pytest.mark.parametrize("lazy", [False, True])
def test_load_keeps_all_that_hyperspys_files_know(signal, tmp_path, suffix, lazy):
    signal.metadata.set_item("Sample.description", "SrTiO3")
    found = load(saved(signal, tmp_path / f"scan{suffix}"), lazy=lazy)
    assert type(found) is (LazySTEM4D if lazy else STEM4D)
    assert found.metadata.Sample.description == "SrTiO3"
    assert found.acquisition == signal.acquisition


def test_load_opens_what_write_scan_wrote(patterns, calibration, tmp_path):
    path = tmp_path / "scan.zspy"
    write_scan(path, Scan(patterns, Acquisition(**calibration)))
    found = load(path)
    assert found.acquisition.center == pytest.approx(calibration["center"])
    np.testing.assert_array_equal(found.data.compute(), patterns)
    assert found.inav[:, :4].isig[2:, 1:].acquisition.center == pytest.approx((5.5, 6.25))


def test_load_takes_the_options_of_read_scan(patterns, tmp_path):
    np.save(tmp_path / "stack.npy", patterns.reshape(-1, 14, 17))
    found = load(tmp_path / "stack.npy", scan_shape=(9, 11), beam_energy=80)
    assert found.acquisition.beam_energy == 80
    np.testing.assert_array_equal(np.asarray(found.data), patterns)
    with pytest.raises(ValueError, match="scan_shape"):
        load(tmp_path / "stack.npy")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing.hspy")


def test_load_refuses_files_without_a_scan(signal, tmp_path):
    path = saved(signal.ricom(5), tmp_path / "image.hspy")
    with pytest.raises(ValueError, match="four dimensions"):
        load(path)


def test_nothing_is_imported_before_it_is_used():
    code = (
        "import sys, stem_plugins, stem_plugins.hyperspy\n"
        "assert not {'hyperspy', 'pyxem'} & set(sys.modules), 'stem_plugins loads HyperSpy'\n"
        "import hyperspy.api as hs, numpy as np\n"
        "hs.signals.Signal2D(np.zeros((2, 2))).set_signal_type('stem_image')\n"
        "assert 'stem_plugins.hyperspy.stem_image' in sys.modules\n"
        "assert 'pyxem' not in sys.modules, 'images load pyxem'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_merlin_files_read_by_rosettasciio_are_pointed_out(patterns, tmp_path):
    path = tmp_path / "scan.mib"
    write_merlin(path, patterns.astype(np.uint16))
    signal = hs.load(path, signal_type="4d_stem", navigation_shape=patterns.shape[1::-1])
    with pytest.warns(UserWarning, match=r"rows upside down.*stem_plugins\.hyperspy\.load"):
        signal.ricom(5)
    with pytest.warns(UserWarning, match="rotation") as caught:
        load(path, lazy=False).ricom(5)
    assert not any("upside down" in str(warning.message) for warning in caught)
