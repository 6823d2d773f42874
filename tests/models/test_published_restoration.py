"""Import of the published networks, from packages written by hand in TensorFlow's format."""

import numpy as np
import published_package
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_package import (
    MODELS,
    checkpoint,
    published_variables,
    write_folder,
    write_source_archive,
    write_wheel,
)

from stem_plugins.models import (
    import_published_restoration,
    iter_import_published_restoration,
    load_weights,
)
from stem_plugins.models.crc32c import crc32c
from stem_plugins.models.tensorflow_checkpoint import read_checkpoint

VARIABLES = {
    "first/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "first/bias": np.array([-1.5], np.float32),
    "second/kernel": np.full((1, 1, 5, 7), np.float32(1e-30)),
    "step": np.array(3.0, np.float32),
}
EMPTY_BLOCK_CHECKSUM = bytes.fromhex("c0f2a1b0")


@pytest.mark.parametrize(
    ("message", "expected"),
    [  # RFC 3720, appendix B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
    ],
)
def test_checksums_of_the_standard(message, expected):
    assert crc32c(message) == expected


@settings(max_examples=60, deadline=None)
@given(size=st.integers(0, 5000), seed=st.integers(0, 2**32 - 1))
def test_checksum_equals_one_byte_at_a_time(size, seed):
    message = np.random.default_rng(seed).bytes(size)
    assert crc32c(message) == published_package.crc32c(message)


def test_checksum_of_a_long_message():
    message = np.random.default_rng(1).bytes(300_001)
    assert crc32c(message) == published_package.crc32c(message)


@pytest.mark.parametrize("per_block", [1, 2, 100])
def test_checkpoint_is_read_whatever_its_blocks(per_block):
    read = read_checkpoint(*checkpoint(VARIABLES, per_block=per_block))
    assert read.keys() == VARIABLES.keys()
    for key, expected in VARIABLES.items():
        assert read[key].shape == expected.shape
        np.testing.assert_array_equal(read[key], expected)


def test_any_changed_byte_of_the_index_is_found():
    index, data = checkpoint(VARIABLES, per_block=2)
    # Behind the blocks of entries lie an empty block of extensions (13 bytes), which is not read,
    # the index of the blocks, and a footer of 48 bytes, of which 12 are handles and magic number.
    empty = index.index(b"\0\0\0\0" + b"\1\0\0\0" + b"\0" + EMPTY_BLOCK_CHECKSUM)
    read = [place for place in range(len(index) - 48) if not empty <= place < empty + 13]
    assert len(read) > 200
    for place in read:
        changed = bytearray(index)
        changed[place] ^= 0x40
        with pytest.raises(ValueError, match=r"variables\.index"):
            read_checkpoint(bytes(changed), data)


def test_any_changed_byte_of_the_data_is_found():
    index, data = checkpoint(VARIABLES)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(ValueError, match="their checksum is wrong"):
            read_checkpoint(index, bytes(changed))


def test_truncated_checkpoints():
    index, data = checkpoint(VARIABLES)
    with pytest.raises(ValueError, match="incomplete"):
        read_checkpoint(index, data[:-1])
    for kept in (0, 10, len(index) - 1):
        with pytest.raises(ValueError, match="not the index of a TensorFlow checkpoint"):
            read_checkpoint(index[:kept], data)


@pytest.mark.parametrize("write", [write_source_archive, write_wheel, write_folder])
def test_all_forms_of_the_package_give_the_same_models(tmp_path, own_data, write):
    files = import_published_restoration(write(tmp_path))
    assert len(files) == 6
    assert sorted(files) == sorted((own_data / "models").iterdir())
    expected = published_variables()
    for model in MODELS:
        weights = load_weights(f"tk_r_em:{model}", designs={"cgrdn": 1})
        assert weights.name == f"tk_r_em:{model}"
        assert weights.details["source"] == f"tk_r_em 1.0.4, model sfr_{model}"
        assert weights.details["licence"].startswith("GPL-3")
        assert len(weights.tensors) == 306
        for layer, name in ((0, "head"), (2, "groups.0.blocks.0.layers.0"), (151, "up")):
            kernel = expected[f"layer_with_weights-{layer}/kernel/.ATTRIBUTES/VARIABLE_VALUE"]
            np.testing.assert_array_equal(
                weights.tensors[f"{name}.weight"], np.moveaxis(kernel, (3, 2), (0, 1))
            )


def test_a_folder_inside_or_around_the_package_will_do(tmp_path, own_data):
    root = write_folder(tmp_path)
    for folder in (tmp_path, root / "tk_r_em"):
        assert len(import_published_restoration(folder, overwrite=True)) == 6


@pytest.mark.parametrize("write", [write_source_archive, write_wheel, write_folder])
def test_other_versions_are_refused(tmp_path, own_data, write):
    with pytest.raises(ValueError, match=r"version 1\.0\.3 of tk_r_em.*tk-r-em==1\.0\.4"):
        import_published_restoration(write(tmp_path, version="1.0.3"))
    assert list((own_data / "models").iterdir()) == []


@pytest.mark.parametrize("write", [write_source_archive, write_wheel, write_folder])
def test_a_missing_model_is_named_and_nothing_imported(tmp_path, own_data, write):
    with pytest.raises(ValueError, match="tk_r_em:hrsem is not in it"):
        import_published_restoration(write(tmp_path, models=("hrstem", "hrtem")))
    assert list((own_data / "models").iterdir()) == []


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("write", [write_source_archive, write_wheel])
def test_truncated_archives(tmp_path, own_data, write, share):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match="incomplete"):
        import_published_restoration(path)
    assert list((own_data / "models").iterdir()) == []


def test_a_damaged_model_is_named_by_its_package(tmp_path, own_data):
    root = write_folder(tmp_path)
    data = root / "tk_r_em/models/sfr_lrtem/variables/variables.data-00000-of-00001"
    contents = bytearray(data.read_bytes())
    contents[1000] ^= 1
    data.write_bytes(contents)
    with pytest.raises(ValueError, match=r"is damaged: the data of layer_with_weights.*checksum"):
        import_published_restoration(root)
    assert list((own_data / "models").iterdir()) == []


def test_progress_and_stop(tmp_path, own_data):
    archive = write_source_archive(tmp_path)
    assert list(iter_import_published_restoration(archive)) == [(n, 6) for n in range(7)]
    before = {path: path.read_bytes() for path in (own_data / "models").iterdir()}
    steps = iter_import_published_restoration(archive, overwrite=True)
    for _ in range(4):
        next(steps)
    steps.close()
    assert {path: path.read_bytes() for path in (own_data / "models").iterdir()} == before


def test_existing_models_are_kept_unless_asked(tmp_path):
    archive = write_source_archive(tmp_path)
    import_published_restoration(archive)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        import_published_restoration(archive)
    with pytest.raises(FileNotFoundError, match="pip download"):
        import_published_restoration(tmp_path / "none.tar.gz")
