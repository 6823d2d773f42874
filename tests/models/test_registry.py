"""Where weights lie, and what is said of those that are not there."""

import sys
from pathlib import Path

import numpy as np
import pytest

from stem_plugins.models import (
    data_folder,
    find_weights,
    list_weights,
    load_weights,
    registry,
    save_weights,
)

KERNEL = {"kernel": np.ones((3, 3), np.float32)}


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.local/share/stem-plugins"),
        ("linux", {"XDG_DATA_HOME": "{}/data"}, "data/stem-plugins"),
        ("linux", {"XDG_DATA_HOME": "relative"}, "home/.local/share/stem-plugins"),
        ("darwin", {}, "home/Library/Application Support/stem-plugins"),
        ("win32", {"LOCALAPPDATA": "{}/Local"}, "Local/stem-plugins"),
        ("win32", {}, "home/AppData/Local/stem-plugins"),
        ("linux", {"STEM_PLUGINS_DATA": "{}/chosen"}, "chosen"),
        ("win32", {"STEM_PLUGINS_DATA": "~/chosen"}, "home/chosen"),
    ],
)
def test_each_system_has_its_folder(tmp_path, monkeypatch, platform, variables, expected):
    for name in ("STEM_PLUGINS_DATA", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    assert data_folder() == tmp_path / expected
    assert list(tmp_path.iterdir()) == []  # asking makes no folder


def test_absent_published_weights_say_how_to_get_them():
    with pytest.raises(FileNotFoundError) as raised:
        load_weights("tk_r_em:hrstem")
    assert "pip download --no-deps --no-binary :all: tk-r-em==1.0.4" in str(raised.value)
    assert "stem-plugins weights import" in str(raised.value)


def test_absent_shipped_weights_ask_for_an_installation(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "SHIPPED", {"default": tmp_path / "none.safetensors"})
    with pytest.raises(FileNotFoundError, match="missing from this installation"):
        find_weights("default")
    assert list_weights()["default"] is None


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match=r"no model 'hrstem'.*'default'.*'tk_r_em:hrstem'"):
        find_weights("hrstem")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_found_by_its_path(tmp_path, kind):
    path = save_weights(tmp_path / "mine.safetensors", KERNEL, design="filter", version=1)
    assert find_weights(kind(path)) == path
    assert load_weights(kind(path), designs={"filter": 1}).name == "mine"
    with pytest.raises(FileNotFoundError, match=r"other\.safetensors"):
        find_weights(kind(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match="newer version"):
        load_weights(kind(path), designs={"filter": 0})


def test_names_hold_no_sign_that_a_system_forbids(own_data):
    for name in registry.PUBLISHED:
        file = registry.imported_file(name)
        assert file.parent == own_data / "models"
        assert not set(file.name) & set(':*?"<>|')


def test_the_list_tells_present_absent_and_damaged(own_data):
    (own_data / "models").mkdir(parents=True)
    file = registry.imported_file("tk_r_em:lrstem")
    save_weights(file, KERNEL, design="filter", version=1, name="tk_r_em:lrstem")
    registry.imported_file("tk_r_em:lrsem").write_bytes(b"nothing")
    found = list_weights()
    assert found["tk_r_em:lrstem"].design == "filter"
    assert found["tk_r_em:hrtem"] is None
    assert "is damaged" in found["tk_r_em:lrsem"]
