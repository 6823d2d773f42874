"""HyperSpy without progress bars and windows, and a scan whose deflections are known."""

import matplotlib
import numpy as np
import pytest

pytest.importorskip("hyperspy")
pytest.importorskip("pyxem")

import hyperspy.api as hs

from stem_plugins.hyperspy import STEM4D

CENTER = (6.5, 8.25)
CALIBRATION = {
    "beam_energy": 200,
    "convergence_angle": 20,
    "scan_step": (0.25, 0.2),
    "diffraction_step": (1.5, 2.0),
    "center": CENTER,
    "scan_rotation": 30,
    "flip_y": True,
}


@pytest.fixture(autouse=True, scope="session")
def _quiet():
    matplotlib.use("Agg")
    hs.preferences.General.show_progressbar = False


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    matplotlib.pyplot.close("all")


@pytest.fixture
def calibration() -> dict:
    """What `signal` knows, by the names of `Acquisition`."""
    return CALIBRATION


@pytest.fixture
def patterns() -> np.ndarray:
    """Counts of a scan of 9 × 11 positions on a detector of 14 × 17 pixels."""
    rng = np.random.default_rng(3)
    y, x = np.indices((14, 17))
    row, column = np.indices((9, 11))
    place_y = CENTER[0] + 1.5 * np.sin(row / 2)[..., None, None]
    place_x = CENTER[1] + 2 * np.cos(column / 3)[..., None, None]
    mean = 40 * np.exp(-((y - place_y) ** 2 + (x - place_x) ** 2) / 12)
    return rng.poisson(mean).astype(np.uint16)


@pytest.fixture
def signal(patterns) -> STEM4D:
    """The scan, fully calibrated."""
    signal = hs.signals.Signal2D(patterns)
    signal.metadata.General.title = "scan"
    signal.set_signal_type("4d_stem")
    signal.set_acquisition(**CALIBRATION)
    return signal


@pytest.fixture(params=["eager", "lazy"])
def any_signal(request, signal) -> STEM4D:
    """The scan in memory, and lazy in several chunks."""
    if request.param == "eager":
        return signal
    lazy = signal.as_lazy()
    lazy.data = lazy.data.rechunk((4, 5, -1, -1))
    return lazy
