"""The file of weights: what is written is read, and anything else is refused in words."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

import stem_plugins
from stem_plugins.models import (
    Weights,
    check_tensors,
    read_weights,
    save_weights,
    weights_header,
)

safetensors_numpy = pytest.importorskip("safetensors.numpy")

RNG = np.random.default_rng(5)
TENSORS = {
    "head.weight": RNG.normal(size=(4, 1, 3, 3)).astype(np.float32),
    "head.bias": RNG.normal(size=4).astype(np.float16),
}
DETAILS = {"steps": 1200, "licence": "GPL-3.0-or-later", "pixel size [Å]": [0.05, 0.4]}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.safetensors"
    return save_weights(path, TENSORS, design="small", version=2, details=DETAILS)


def rewritten(path, change):
    """Change the description in a file and nothing else, as another program could."""
    contents = path.read_bytes()
    length = int.from_bytes(contents[:8], "little")
    header = json.loads(contents[8 : 8 + length])
    description = json.loads(header["__metadata__"]["stem_plugins"])
    change(description)
    header["__metadata__"]["stem_plugins"] = json.dumps(description)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + contents[8 + length :])


def test_what_is_written_is_read(file):
    weights = read_weights(file)
    assert (weights.name, weights.design, weights.version) == ("small", "small", 2)
    assert weights.package == stem_plugins.__version__
    assert weights.details == DETAILS
    assert weights.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert weights.tensors[name].dtype == tensor.dtype
        np.testing.assert_array_equal(weights.tensors[name], tensor)


@settings(max_examples=30, deadline=None)
@given(
    array=st_numpy.arrays(
        st.sampled_from([np.float16, np.float32]),
        st_numpy.array_shapes(min_dims=0, max_dims=5, max_side=5),
        elements=st.floats(-1000, 1000, width=16),
    )
)
def test_any_shape_and_type_round_trips(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("any") / "any.safetensors"
    save_weights(path, {"tensor": array}, design="any", version=1)
    read = read_weights(path).tensors["tensor"]
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(read, array)


def test_transposed_and_big_endian_arrays_keep_their_numbers(tmp_path):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    path = tmp_path / "views.safetensors"
    tensors = {"transposed": array.transpose(2, 0, 1), "big": array.astype(">f4")}
    save_weights(path, tensors, design="views", version=1)
    for name, tensor in read_weights(path).tensors.items():
        np.testing.assert_array_equal(tensor, tensors[name])


def test_the_library_reads_the_same_tensors(file):
    for name, tensor in safetensors_numpy.load_file(file).items():
        np.testing.assert_array_equal(tensor, TENSORS[name])


def test_the_same_weights_give_the_same_bytes(tmp_path, file):
    backwards = dict(reversed(TENSORS.items()))
    again = tmp_path / "again.safetensors"
    save_weights(again, backwards, design="small", version=2, details=DETAILS, name="small")
    assert again.read_bytes() == file.read_bytes()


def test_the_header_is_read_without_tensors(file):
    header = weights_header(file)
    assert header.tensors == {}
    assert (header.design, header.version, header.details) == ("small", 2, DETAILS)


@pytest.mark.parametrize("place", [0.02, 0.5, 0.9, 1.0])
def test_one_changed_bit_anywhere_is_found(file, place):
    contents = bytearray(file.read_bytes())
    contents[int(place * (len(contents) - 1))] ^= 1
    file.write_bytes(contents)
    with pytest.raises(ValueError, match=r"is damaged|holds no weights"):
        read_weights(file)


def test_a_changed_description_is_found(file):
    rewritten(file, lambda description: description["details"].update(steps=9))
    with pytest.raises(ValueError, match="checksum"):
        read_weights(file)


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_truncated_files(file, kept):
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match="is damaged"):
        read_weights(file)


def test_files_of_something_else(tmp_path):
    text = tmp_path / "text.safetensors"
    text.write_text("This is no file of weights." * 20)
    with pytest.raises(ValueError, match="is damaged"):
        read_weights(text)
    foreign = tmp_path / "foreign.safetensors"
    safetensors_numpy.save_file({"x": np.zeros(3, np.float32)}, foreign)
    with pytest.raises(ValueError, match="holds no weights that stem-plugins wrote"):
        read_weights(foreign)
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        read_weights(tmp_path / "none.safetensors")


@pytest.mark.parametrize("field", ["name", "design", "version", "package", "details", "format"])
def test_an_incomplete_description_is_refused(file, field):
    rewritten(file, lambda description: description.pop(field))
    with pytest.raises(ValueError, match="description is missing"):
        read_weights(file)


def test_newer_files_ask_for_an_update(file):
    with pytest.raises(ValueError, match="made by a newer version: update stem-plugins"):
        read_weights(file, designs={"small": 1})
    assert read_weights(file, designs={"small": 2}).version == 2
    with pytest.raises(ValueError, match="design 'small', which this cannot use"):
        read_weights(file, designs={"large": 9})
    rewritten(file, lambda description: description.update(format=2))
    for read in (read_weights, weights_header):
        with pytest.raises(ValueError, match="made by a newer version: update stem-plugins"):
            read(file)


def test_nothing_is_replaced_or_lost(file, tmp_path):
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save_weights(file, TENSORS, design="other", version=1)
    broken = {"head.weight": np.full(3, np.nan, np.float32)}
    with pytest.raises(ValueError, match="NaN"):
        save_weights(file, broken, design="other", version=1, overwrite=True)
    assert read_weights(file).design == "small"
    save_weights(file, TENSORS, design="other", version=1, overwrite=True)
    assert read_weights(file).design == "other"
    assert [path.name for path in tmp_path.iterdir()] == ["small.safetensors"]


@pytest.mark.parametrize(
    ("name", "tensors", "reason"),
    [
        ("a.pt", TENSORS, "'a.pt'"),
        ("a.safetensors", {}, "no tensors"),
        ("a.safetensors", {"x": np.zeros(2)}, "float64"),
        ("a.safetensors", {"x": np.zeros(2, complex)}, "complex128"),
        ("a.safetensors", {"x": np.array([np.inf], np.float16)}, "infinite"),
    ],
)
def test_what_cannot_be_saved(tmp_path, name, tensors, reason):
    with pytest.raises(ValueError, match=reason):
        save_weights(tmp_path / name, tensors, design="a", version=1)
    assert list(tmp_path.iterdir()) == []


def test_tensors_must_be_those_of_the_network():
    weights = Weights(tensors=TENSORS, design="small", version=2, name="mine")
    shapes = {name: tensor.shape for name, tensor in TENSORS.items()}
    check_tensors(weights, shapes)
    with pytest.raises(ValueError, match=r"mine: the weights lack 'tail\.bias'"):
        check_tensors(weights, {**shapes, "tail.bias": (1,)})
    with pytest.raises(ValueError, match=r"lack 'tail\.bias' and 1 more"):
        check_tensors(weights, {**shapes, "tail.bias": (1,), "tail.weight": (1,)})
    with pytest.raises(ValueError, match=r"also hold 'head\.bias'"):
        check_tensors(weights, {"head.weight": (4, 1, 3, 3)})
    with pytest.raises(ValueError, match=r"shape \(4,\) where the design 'small' has \(5,\)"):
        check_tensors(weights, {**shapes, "head.bias": (5,)})
