"""Raw frames encoded by arithmetic, and views that copy nothing."""

import pickle

import cloudpickle
import dask
import numpy as np
import pytest

from stem_plugins.io import decode_frames, merlin, parse_frame_header, read_merlin


def raw_bytes(rows: np.ndarray, bits: int) -> bytes:
    """Pack pixels: pixel p of a 64-bit big-endian word is shifted up by p times its bits."""
    per_word = 64 // bits
    words = rows.reshape(-1, per_word).astype(np.uint64)
    shifts = np.arange(per_word, dtype=np.uint64) * np.uint64(bits)
    return np.bitwise_or.reduce(words << shifts, axis=1).astype(">u8").tobytes()


def raw_payload(image: np.ndarray, depth: int, chips: int) -> bytes:
    """Return what the chips shift out for an image, (height, 256) or (2 height, 512)."""
    if chips == 4:
        height = image.shape[0] // 2
        upper, lower = image[:height], image[height:]
        chip = [
            np.rot90(lower[:, 256:], 2),
            np.rot90(lower[:, :256], 2),
            upper[:, 256:],
            upper[:, :256],
        ]
        image = np.concatenate(chip, axis=1)
    if depth == 24:
        return raw_bytes(image >> 12, 16) + raw_bytes(image & 0xFFF, 16)
    return raw_bytes(image, {1: 1, 6: 8, 12: 16}[depth])


@pytest.mark.parametrize("depth", [1, 6, 12, 24])
@pytest.mark.parametrize(("chips", "height"), [(1, 256), (1, 32), (4, 256), (4, 64)])
@pytest.mark.parametrize("lazy", [True, False])
def test_raw_frames_are_decoded(make_mib, depth, chips, height, lazy):
    shape = (height, 256) if chips == 1 else (2 * height, 512)
    images = np.random.default_rng(depth).integers(0, 2**depth, (4, *shape))
    path = make_mib(
        [raw_payload(image, depth, chips) for image in images],
        pixel_type="R64",
        depth=depth,
        chips=chips,
        width=chips * 256 * (2 if depth == 24 else 1),
        height=height,
        layout="   2x2" if chips == 4 else "   1x1",
        header_bytes=768 if chips == 4 else 384,
    )
    data = read_merlin(path, scan_shape=(2, 2), lazy=lazy).data
    assert data.dtype == {1: "u1", 6: "u1", 12: "u2", 24: "u4"}[depth]
    np.testing.assert_array_equal(data, images.reshape(2, 2, *shape))


def test_raw_frames_with_flyback_and_flip(make_mib):
    images = np.random.default_rng(0).integers(0, 64, (6, 32, 256))
    path = make_mib(
        [raw_payload(image, 6, 1) for image in images],
        pixel_type="R64",
        depth=6,
        width=256,
        height=32,
    )
    data = read_merlin(path, scan_shape=(2, 2), skip_columns=1, flip_y=True).data
    np.testing.assert_array_equal(data, images.reshape(2, 3, 32, 256)[:, :2, ::-1])


def test_frames_of_a_message_are_decoded_without_a_file(numbered):
    content = numbered(3).read_bytes()
    header = parse_frame_header(content)
    frames = decode_frames(content, header)
    assert frames[:, 2, 3].tolist() == [0, 1, 2]
    assert frames.dtype == ">u2"
    with pytest.raises(ValueError, match="not a whole number of frames of 408 bytes"):
        decode_frames(content[:-1], header)


def test_blocks_are_views_into_a_memory_map(numbered, monkeypatch):
    monkeypatch.setattr(merlin, "BLOCK_BYTES", 2 * 4 * 24)
    path = numbered(6 * 4)
    lazy = read_merlin(path, scan_shape=(6, 4)).data
    assert lazy.chunks == ((2, 2, 2), (4,), (3,), (4,))

    def check(block):
        assert block.strides == (4 * 408, 408, 8, 2)
        assert not block.flags.writeable
        base = block
        while isinstance(base.base, np.ndarray):
            base = base.base
        assert isinstance(base, np.memmap)
        assert base.size == 2 * 4 * 408  # only its own rows are mapped
        return block[:, :, 0, 0]

    # Not map_blocks with drop_axis, for which dask concatenates, and so copies, every block.
    blocks = [dask.delayed(check)(block) for block in lazy.to_delayed().ravel()]
    assert np.ravel(dask.compute(*blocks)).tolist() == list(range(24))
    eager = read_merlin(path, scan_shape=(6, 4), lazy=False, flip_y=True).data
    assert eager.strides == (4 * 408, 408, -8, 2)


def test_very_long_lines_are_split(numbered, monkeypatch):
    monkeypatch.setattr(merlin, "BLOCK_BYTES", 3 * 24)
    monkeypatch.setattr(merlin, "LARGEST_BLOCK_BYTES", 5 * 24)
    lazy = read_merlin(numbered(2 * 8), scan_shape=(2, 8)).data
    assert lazy.chunks[:2] == ((1, 1), (3, 3, 2))
    assert lazy[..., 0, 0].compute().ravel().tolist() == list(range(16))


def test_nothing_is_read_on_opening(numbered, monkeypatch):
    monkeypatch.setattr(merlin._MerlinFile, "read", lambda *_: pytest.fail("a block was read"))
    scan = read_merlin(numbered(12), scan_shape=(3, 4))
    assert scan.data.sum(axis=(2, 3))[1:].shape == (2, 4)


def test_lazy_data_can_be_sent_to_other_processes(numbered):
    data = read_merlin(numbered(12), scan_shape=(3, 4)).data
    sent = pickle.loads(cloudpickle.dumps(data))
    with dask.config.set(scheduler="processes", num_workers=2):
        assert sent.sum().compute() == 12 * sum(range(12))


def test_data_of_a_changed_file_are_not_taken_from_a_cache(numbered, tmp_path):
    first = read_merlin(numbered(12), scan_shape=(3, 4)).data.name
    assert read_merlin(tmp_path / "scan.mib", scan_shape=(3, 4)).data.name == first
    assert read_merlin(tmp_path / "scan.mib", scan_shape=(4, 3)).data.name != first
    assert read_merlin(numbered(13), scan_shape=(3, 4), repeat=0).data.name != first
