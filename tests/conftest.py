"""What all tests share: the folder of real measured data, where there is one."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data: STEM_PLUGINS_DATA, or ``shared/data`` beside or above the checkout."""
    here = Path(__file__).resolve()
    candidates = (
        [Path(os.environ["STEM_PLUGINS_DATA"])] if "STEM_PLUGINS_DATA" in os.environ else []
    )
    candidates += [parent / "shared" / "data" for parent in here.parents]
    for folder in candidates:
        if (folder / "MANIFEST.md").is_file():
            return folder
    pytest.skip("the folder of real data is not here; set STEM_PLUGINS_DATA to its path")
