"""What the napari tests share: a display or a reason to skip, a viewer, and known scans."""

import contextlib
import gc
import os
import sys
import threading

import dask.array as da
import numpy as np
import pytest

from stem_plugins import Acquisition
from stem_plugins.io import Scan

pytest.importorskip("napari", reason="napari is not installed")
if sys.platform.startswith("linux"):
    # The platform "offscreen" has no OpenGL, without which napari cannot draw.
    os.environ["QT_QPA_PLATFORM"] = "xcb"


@pytest.fixture(scope="session")
def display():
    """A display to draw on; pytest-xvfb starts one where Xvfb is installed."""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        message = "no display, and no Xvfb to make one (apt-get install xvfb)"
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(autouse=True)
def short_garbage_collections():
    """Whenever layers go, napari collects garbage, among all that was ever imported for tests."""
    gc.freeze()
    yield
    gc.unfreeze()


@contextlib.contextmanager
def opened_viewer():
    """A viewer that really draws, as plugins get to see it."""
    from napari import Viewer
    from napari.utils._proxies import PublicOnlyProxy

    viewer = Viewer(show=True)
    yield PublicOnlyProxy(viewer)
    with contextlib.suppress(RuntimeError):  # a test has closed it
        viewer.close()


@pytest.fixture
def own_viewer(display, qapp):
    """A viewer for one test that closes it."""
    with opened_viewer() as viewer:
        yield viewer


@pytest.fixture(scope="module")
def shared_viewer(display, qapp):
    """A viewer for all tests of a file, which leave it as it was: to open one takes seconds."""
    with opened_viewer() as viewer:
        yield viewer


@pytest.fixture(scope="session")
def calibrated() -> Acquisition:
    return Acquisition(
        beam_energy=200,
        convergence_angle=4,
        scan_step=(2.0, 2.5),
        diffraction_step=1.5,
        scan_rotation=20,
        flip_y=False,
    )


@pytest.fixture(scope="session")
def counts() -> np.ndarray:
    """Discs of known places, (12, 14, 16, 16): the beam circles while the scan goes on."""
    rng = np.random.default_rng(0)
    y, x = np.indices((16, 16))
    data = np.empty((12, 14, 16, 16), np.uint16)
    for index in np.ndindex(12, 14):
        angle = 0.7 * index[0] + 0.4 * index[1]
        center = 7.5 + np.sin(angle), 7.2 + np.cos(angle)
        disc = np.hypot(y - center[0], x - center[1]) < 3
        data[index] = rng.poisson(30.0 * disc + 0.5)
    return data


@pytest.fixture
def scan(counts, calibrated) -> Scan:
    return Scan(counts, calibrated)


class SlowRows:
    """Data whose blocks wait, so that something can happen while the pass runs."""

    def __init__(self, counts):
        self.open = threading.Event()
        self.computed = []
        blocks = da.from_array(counts, chunks=(1, 14, 16, 16))
        self.data = blocks.map_blocks(
            self._wait, dtype=counts.dtype, meta=np.empty((0,) * 4, counts.dtype)
        )

    def _wait(self, block, block_info=None):
        row = block_info[0]["chunk-location"][0]
        # Rows 5 and 6 are looked at first, by napari and the browser, in the main thread.
        if row not in (0, 1, 2, 5, 6):
            self.open.wait(20)
        self.computed.append(row)
        return block


@pytest.fixture
def slow_rows(counts, monkeypatch):
    monkeypatch.setattr("stem_plugins.imaging.binning.thread_count", lambda: 1)
    slow = SlowRows(counts)
    yield slow
    slow.open.set()
