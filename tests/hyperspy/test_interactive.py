"""The interactive riCOM, driven by its widgets as a notebook would."""

import numpy as np
import pytest
from traits.api import TraitError

from stem_plugins.hyperspy import InteractiveRicom


@pytest.fixture
def model(any_signal) -> InteractiveRicom:
    return any_signal.interactive_ricom(5, plot=False, display=False)


@pytest.fixture
def widgets(model) -> dict:
    return model.gui(display=False)["ipywidgets"]["wdict"]


def same_image(image, expected):
    np.testing.assert_allclose(image.data, np.asarray(expected.data), rtol=1e-9, atol=1e-12)
    found = image.metadata.stem_plugins.parameters.as_dictionary()
    wanted = expected.metadata.stem_plugins.parameters.as_dictionary()
    assert found == wanted


def test_it_starts_with_the_calibrated_image(model, signal):
    same_image(model.image, signal.ricom(5))
    assert model.image.metadata.General.title == "riCOM of scan"
    assert model.image.axes_manager.signal_axes[0].units == "nm"
    np.testing.assert_array_equal(
        model.virtual_image.data, signal.virtual_image(0, model.edges[-1]).data
    )
    assert (model.unit, model.frequency_unit) == ("mrad", "1/Å")


def test_the_image_follows_every_slider(model, widgets, signal):
    widgets["kernel_size"].value = 9
    same_image(model.image, signal.ricom(9))
    widgets["pass_band"].value = (0.2, 1.5)
    same_image(model.image, signal.ricom(9, low=0.2, high=1.5))
    widgets["pass_band"].value = (0.0, model.highest_frequency)
    same_image(model.image, signal.ricom(9))
    widgets["descan"].value = "parabola"
    same_image(model.image, signal.ricom(9, descan="parabola"))
    widgets["rotation"].value = -70.0
    widgets["flip_y"].value = False
    signal.set_acquisition(scan_rotation=-70, flip_y=False)
    same_image(model.image, signal.ricom(9, descan="parabola"))


def test_the_virtual_detector_follows_its_slider(model, widgets, signal):
    for first, last in [(0, 1), (1, 4), (3, len(model.edges) - 1)]:
        inner, outer = model.edges[first], model.edges[last]
        widgets["detector"].value = (inner, outer)
        same_image(model.virtual_image, signal.virtual_image(inner, outer))


def test_the_patterns_are_read_once(signal):
    reads = []

    def read(block):
        reads.append(block.shape)
        return block

    lazy = signal.as_lazy()
    lazy.data = lazy.data.rechunk((9, -1, -1, -1)).map_blocks(read, meta=lazy.data._meta)
    model = lazy.interactive_ricom(plot=False, display=False)
    model.trait_set(kernel_size=5, rotation=3, detector=(0, model.edges[2]))
    assert reads == [(9, 11, 14, 17)]


def test_sliders_follow_the_model(model, widgets):
    model.kernel_size = 7
    model.pass_band = (0.5, 1.0)
    model.detector = (model.edges[1], model.edges[2])
    assert widgets["kernel_size"].value == 7
    assert widgets["pass_band"].value == (0.5, 1.0)
    assert widgets["detector"].value == (model.edges[1], model.edges[2])


def test_unusable_parameters_leave_the_image_and_say_why(model, widgets):
    before = model.image.data.copy()
    model.kernel_size = 6
    assert "odd number" in widgets["message"].value
    np.testing.assert_array_equal(model.image.data, before)
    model.kernel_size = 5
    assert widgets["message"].value == ""
    with pytest.raises(TraitError, match="reversed"):
        model.pass_band = (1.0, 0.5)
    before = model.virtual_image.data.copy()
    widgets["detector"].value = (model.edges[2], model.edges[2])
    assert "holds no ring" in widgets["message"].value
    np.testing.assert_array_equal(model.virtual_image.data, before)


def test_plots_follow(signal):
    model = signal.interactive_ricom(5, display=False)
    shown = model.image._plot.signal_plot.ax.images[0]
    model.kernel_size = 9
    np.testing.assert_allclose(shown.get_array(), signal.ricom(9).data)


def test_rotation_can_be_estimated_and_kept(model, widgets, any_signal):
    estimate = any_signal.estimate_rotation()
    widgets["estimate_rotation"].click()
    assert model.rotation == pytest.approx(estimate.angle)
    assert f"{estimate.confidence:.2f}" in widgets["message"].value
    assert any_signal.acquisition.scan_rotation == 30
    widgets["keep_rotation"].click()
    assert any_signal.acquisition.scan_rotation == pytest.approx(estimate.angle)
    assert any_signal.acquisition.flip_y == estimate.flip_y


@pytest.mark.filterwarnings("ignore:The rotation from detector to scan")
def test_without_calibration_the_centre_is_estimated(patterns):
    from stem_plugins.hyperspy import STEM4D

    signal = STEM4D(patterns)
    model = signal.interactive_ricom(5, plot=False, display=False)
    assert model.center == pytest.approx(signal.estimate_center())
    assert (model.unit, model.frequency_unit) == ("px", "1/px")
    np.testing.assert_allclose(model.image.data, signal.ricom(5).data)


def test_few_rings_are_wider(signal):
    model = signal.interactive_ricom(5, rings=4, plot=False, display=False)
    assert len(model.edges) <= 6
    total = signal.moments().total.data
    np.testing.assert_array_equal(model.virtual_image.data, total)


def test_the_widgets_are_displayed(signal, capsys):
    model = signal.interactive_ricom(5, plot=False, toolkit="ipywidgets")
    assert "VBox" in capsys.readouterr().out
    assert isinstance(model, InteractiveRicom)
