"""What all tests share: random numbers, and the folder of real measured data where there is one."""

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20263)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data: STEM_PLUGINS_TEST_DATA, or ``shared/data`` beside or above this one."""
    here = Path(__file__).resolve()
    chosen = os.environ.get("STEM_PLUGINS_TEST_DATA")
    candidates = [Path(chosen)] if chosen else []
    candidates += [parent / "shared" / "data" for parent in here.parents]
    for folder in candidates:
        if (folder / "MANIFEST.md").is_file():
            return folder
    pytest.skip("the folder of real data is not here; set STEM_PLUGINS_TEST_DATA to its path")
