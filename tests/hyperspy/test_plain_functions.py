"""The array functions take HyperSpy signals of any class."""

import hyperspy.api as hs
import numpy as np
import pytest
from pyxem.signals import BeamShift

import stem_plugins
from stem_plugins import Acquisition


@pytest.fixture(params=["eager", "lazy"])
def generic(request, patterns):
    signal = hs.signals.Signal2D(patterns)
    return signal if request.param == "eager" else signal.as_lazy()


def test_patterns(generic, patterns):
    expected = stem_plugins.moments(patterns, pattern=True)
    found = stem_plugins.moments(generic, pattern=True)
    np.testing.assert_allclose(np.asarray(found.com), expected.com)
    np.testing.assert_allclose(np.asarray(found.pattern), expected.pattern)
    com = stem_plugins.center_of_mass(generic)
    np.testing.assert_allclose(np.asarray(com), expected.com)
    mask = np.eye(14, 17)
    np.testing.assert_allclose(
        np.asarray(stem_plugins.virtual_image(generic, mask)),
        stem_plugins.virtual_image(patterns, mask),
    )
    *_, (rows, last) = stem_plugins.iter_moments(generic)
    np.testing.assert_allclose(last.total, expected.total[rows])


def test_scan_as_built_axis_by_axis(patterns):
    axes = [{"size": size, "navigate": index < 2} for index, size in enumerate(patterns.shape)]
    signal = hs.signals.Signal2D(patterns, axes=axes)
    np.testing.assert_allclose(
        stem_plugins.center_of_mass(signal), stem_plugins.center_of_mass(patterns)
    )


@pytest.mark.parametrize(
    "signal",
    [
        hs.signals.Signal2D(np.ones((3, 4, 5))),
        hs.signals.Signal2D(np.ones((2, 3, 4, 5, 6))),
        hs.signals.Signal1D(np.ones((3, 4, 5, 6))),
        hs.signals.Signal2D(np.ones((5, 6))),
    ],
)
def test_other_axes_are_refused(signal):
    with pytest.raises(ValueError, match=r"two scan axes .* and two of the detector"):
        stem_plugins.moments(signal)


@pytest.mark.parametrize("lazy", [False, True])
def test_vector_maps(patterns, lazy):
    com = stem_plugins.center_of_mass(patterns)
    shift = BeamShift(com[..., ::-1].copy())
    shift = shift.as_lazy() if lazy else shift
    acquisition = Acquisition(beam_energy=200, diffraction_step=1, scan_step=0.2)
    for function in (
        lambda vectors: stem_plugins.ricom(vectors, 5, rotation=20),
        lambda vectors: stem_plugins.icom(vectors, flip_y=True),
        stem_plugins.divergence,
        stem_plugins.remove_descan,
        lambda vectors: stem_plugins.to_scan_frame(vectors, rotation=20),
        lambda vectors: stem_plugins.electric_field(vectors, beam_energy=200),
        stem_plugins.field_colors,
        lambda vectors: stem_plugins.vector_field(vectors, acquisition).vectors,
        lambda vectors: stem_plugins.estimate_rotation(vectors).angle,
    ):
        np.testing.assert_allclose(np.asarray(function(shift)), np.asarray(function(com)))


def test_pyxems_correction_is_turned_round(patterns):
    signal = hs.signals.Signal2D(patterns)
    signal.set_signal_type("electron_diffraction")
    correction = signal.get_direct_beam_position(method="center_of_mass", lazy_output=False)
    com = stem_plugins.center_of_mass(patterns, center=(7, 8.5))
    np.testing.assert_allclose(
        stem_plugins.ricom(correction, 5), stem_plugins.ricom(com, 5), atol=1e-5
    )


def test_images_are_no_vector_maps():
    with pytest.raises(ValueError, match="one of two components"):
        stem_plugins.ricom(hs.signals.Signal2D(np.ones((4, 5))), 3)
    with pytest.raises(ValueError, match=r"vectors \(y, x\), not \(4, 5, 3\)"):
        stem_plugins.ricom(hs.signals.Signal1D(np.ones((4, 5, 3))), 3)
