"""abTEM as the independent reference, quiet and on the CPU."""

import warnings
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def abtem() -> ModuleType:
    """The abTEM package (part of the ``test`` extra); its import may warn, that is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("abtem")
    module.config.set({"device": "cpu", "diagnostics.progress_bar": False, "fft": "numpy"})
    return module
