"""`STEM4D.airpi`: the image of the plain function on calibrated axes."""

import numpy as np
import pytest

import stem_plugins as stem
from stem_plugins.hyperspy import STEM4D
from stem_plugins.simulation import simulate_scan, single_atoms

pytest.importorskip("torch")

SAID = {"show_progressbar": False}


@pytest.fixture(scope="module")
def signal():
    acquisition = stem.Acquisition(
        beam_energy=300,
        convergence_angle=20,
        scan_step=(0.3, 0.25),
        diffraction_step=2.0,
        scan_rotation=0,
    )
    atoms = single_atoms([79, 6], [[3.0, 3.6], [5.0, 2.0]], extent=(7.2, 6.0))
    scan = simulate_scan(atoms, acquisition, scan_shape=(24, 24), detector_shape=(48, 48), dose=1e5)
    signal = STEM4D(scan.data)
    signal.set_acquisition(**scan.acquisition.to_dict())
    return signal


def test_the_images_are_those_of_the_plain_function(signal):
    found = signal.airpi(return_evidence=True, **SAID)
    plain = stem.airpi(signal.data, signal.acquisition, return_evidence=True)
    np.testing.assert_array_equal(found.phase.data, plain.phase)
    np.testing.assert_array_equal(found.coverage.data, plain.coverage)
    np.testing.assert_array_equal(found.consistency.data, plain.consistency)
    np.testing.assert_allclose(found.transmission.amplitude.data, 1, atol=1e-6)
    np.testing.assert_allclose(found.transmission.phase.data, plain.phase, atol=1e-5)


def test_axes_are_calibrated_and_show_the_atom_where_it_is(signal):
    found = signal.airpi(return_evidence=True, **SAID)
    x, y = found.phase.axes_manager.signal_axes
    assert (x.units, y.units) == tuple(axis.units for axis in signal.axes_manager.navigation_axes)
    row, column = np.unravel_index(found.phase.data.argmax(), found.phase.data.shape)
    unit = {"Å": 1.0, "nm": 10.0}[x.units]
    place = np.array([y.index2value(row), x.index2value(column)]) * unit
    np.testing.assert_allclose(place, (3.0, 3.6), atol=0.2)
    coarse = found.consistency.axes_manager.signal_axes
    assert [axis.scale for axis in coarse] == [
        axis.scale for axis in signal.axes_manager.navigation_axes
    ]
    assert found.phase.metadata.stem_plugins.method == "airpi"


@pytest.mark.parametrize("oversample", [1, 3])
def test_boxes_of_patterns_lie_in_their_middle(signal, oversample):
    found = signal.airpi(repeat=2, oversample=oversample, return_evidence=True, **SAID)
    fine, coarse = found.phase.axes_manager[0], found.consistency.axes_manager[0]
    step = signal.axes_manager.navigation_axes[0].scale
    assert fine.scale == pytest.approx(step / oversample)
    assert coarse.scale == pytest.approx(2 * step)
    assert fine.offset == coarse.offset == pytest.approx(0.5 * step)


def test_lazy_signals_give_the_same(signal):
    lazy = signal.as_lazy()
    found = lazy.airpi(return_evidence=True)
    assert found.phase._lazy
    assert found.consistency._lazy
    eager = signal.airpi(return_evidence=True, **SAID)
    computed = lazy.airpi(return_evidence=True, lazy_output=False, **SAID)
    for name in ("phase", "consistency"):
        np.testing.assert_allclose(
            getattr(computed, name).data, getattr(eager, name).data, atol=1e-6
        )
    np.testing.assert_allclose(found.phase.data.compute(), eager.phase.data, atol=1e-6)


def test_a_reversed_scan_gives_the_reversed_image(signal):
    ahead, back = (one.airpi(**SAID).phase for one in (signal, signal.inav[::-1]))
    assert back.axes_manager["x"].scale == -ahead.axes_manager["x"].scale
    # The points halfway between positions lie on the other side; a network knows no mirrors.
    turned = back.data[:, ::-1]
    assert np.corrcoef(turned[:, 1:].ravel(), ahead.data[:, :-1].ravel())[0, 1] > 0.97
    assert np.corrcoef(back.data[:, 1:].ravel(), ahead.data[:, :-1].ravel())[0, 1] < 0.6


def test_missing_calibration_and_unknown_rotation_are_said(signal):
    bare = STEM4D(signal.data)
    with pytest.raises(stem.MissingCalibrationError, match="beam energy"):
        bare.airpi()
    known = signal.acquisition.to_dict()
    del known["scan_rotation"]
    bare.set_acquisition(**known)
    with pytest.warns(UserWarning, match="rotation"):
        bare.airpi(**SAID)
