"""``stem-plugins weights``: the list of models, the import of the published ones, averages."""

import numpy as np
import pytest
from command_runs import names
from published_package import write_source_archive

from stem_plugins.cli import main
from stem_plugins.models import load_weights, read_weights, save_weights
from stem_plugins.models.registry import PUBLISHED, find_airpi_weights


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A data folder of the user that does not exist yet."""
    monkeypatch.setenv("STEM_PLUGINS_DATA", str(tmp_path / "own"))
    return tmp_path / "own" / "models"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive as pip downloads it, with other numbers in its models."""
    return write_source_archive(tmp_path_factory.mktemp("download"))


def test_import_then_list(works, folder, archive):
    before, _ = works("weights", "list")
    assert before.count("not there") >= 6
    assert "stem-plugins weights import" in before
    text, warnings = works("weights", "import", archive)
    assert warnings == ""
    assert str(folder) in text
    assert all(name in text for name in PUBLISHED)
    assert len(names(folder)) == 6
    after, _ = works("weights", "list")
    lines = {line.split()[0]: line for line in after.splitlines() if line}
    for name in PUBLISHED:
        assert f"tk_r_em 1.0.4, model sfr_{name.partition(':')[2]}" in lines[name]
    assert load_weights("tk_r_em:hrstem").design == "cgrdn"


def test_nothing_is_replaced_unasked(works, fails, folder, archive):
    works("weights", "import", archive)
    kept = (folder / "tk_r_em-lrtem.safetensors").stat().st_mtime_ns
    line = fails("weights", "import", archive)
    assert "imported already" in line
    assert "--overwrite" in line
    assert "overwrite=True" not in line
    assert (folder / "tk_r_em-lrtem.safetensors").stat().st_mtime_ns == kept
    works("weights", "import", archive, "--overwrite")
    assert (folder / "tk_r_em-lrtem.safetensors").stat().st_mtime_ns > kept
    assert len(names(folder)) == 6


def test_bad_paths_say_how_to_get_the_package(fails, tmp_path, folder, archive):
    (tmp_path / "notes.txt").write_text("no archive" * 100)
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    for path in (tmp_path / "none.tar.gz", tmp_path / "notes.txt", cut, tmp_path):
        line = fails("weights", "import", path)
        assert str(path) in line
        assert "pip download --no-deps --no-binary :all: tk-r-em==1.0.4" in line
    assert not folder.exists() or names(folder) == []


def test_a_damaged_model_is_listed_as_such(works, folder, archive):
    works("weights", "import", archive)
    (folder / "tk_r_em-hrsem.safetensors").write_bytes(b"\0" * 100)
    text, warnings = works("weights", "list")
    assert "tk_r_em:hrsem     cannot be used" in text
    assert "is damaged" in warnings


@pytest.mark.parametrize("words", [["weights"], ["weights", "import"], ["weights", "remove"]])
def test_wrong_usage_exits_with_2(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "stem-plugins weights" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["list", "import", "average"])
def test_help_of_each_action(action, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["weights", action, "--help"])
    assert stopped.value.code == 0
    assert f"stem-plugins weights {action}" in capsys.readouterr().out


def test_an_average_of_two_networks(works, folder, tmp_path):
    """The default network, and the same with all weights doubled."""
    default = read_weights(find_airpi_weights("default"))
    doubled = {name: 2 * array for name, array in default.tensors.items()}
    other, both = tmp_path / "other.safetensors", tmp_path / "both.safetensors"
    save_weights(other, doubled, design=default.design, version=default.version)
    text, warnings = works("weights", "average", "airpi:default", other, "-o", both)
    assert (str(both) in text, warnings) == (True, "")
    averaged = read_weights(both)
    assert averaged.design == default.design
    assert averaged.details["averaged"] == 2
    for name, array in averaged.tensors.items():
        expected = 1.5 * default.tensors[name].astype(float)
        np.testing.assert_allclose(array.astype(float), expected, rtol=1e-3, atol=1e-6)


def test_averages_that_cannot_be_are_refused(tmp_path, capsys, folder):
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    for path, size in ((one, 3), (two, 4)):
        save_weights(path, {"kernel": np.ones(size, np.float32)}, design="filter", version=1)
    for models, words in (
        ([one], "two networks or more"),
        ([one, "airpi:default"], "one design"),
        ([one, two], "other sizes"),
        ([one, tmp_path / "none.safetensors"], "no file of weights"),
        ([one, "airpi:best"], "no model"),
    ):
        arguments = [
            "weights",
            "average",
            *map(str, models),
            "-o",
            str(tmp_path / "mean.safetensors"),
        ]
        assert main(arguments) == 1
        assert words in capsys.readouterr().err
    assert main(["weights", "average", str(one), str(one), "-o", str(two)]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert read_weights(two).tensors["kernel"].shape == (4,)
