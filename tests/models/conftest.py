"""A data folder of the user that does not exist yet, for every test of this folder."""

import pytest


@pytest.fixture(autouse=True)
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("STEM_PLUGINS_DATA", str(tmp_path / "own"))
    return tmp_path / "own"
