"""Reads the variables of a TensorFlow SavedModel without TensorFlow.

``variables.index`` is one uncompressed LevelDB table: blocks of sorted keys and values, an index of
these blocks and a footer. Values are small protocol buffers that say where in
``variables.data-00000-of-00001`` each tensor lies. Every block and every tensor has a CRC-32C,
which is checked. Sources: the documentation of LevelDB's table format, and ``tensor_bundle.proto``
of TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from stem_plugins.models.crc32c import crc32c

__all__ = ["read_checkpoint"]

_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER = 48
_FLOAT32 = 1


def read_checkpoint(index: bytes, data: bytes | memoryview) -> dict[str, np.ndarray]:
    """Read all float32 variables of a TensorFlow checkpoint.

    Parameters
    ----------
    index
        Contents of ``variables.index``.
    data
        Contents of ``variables.data-00000-of-00001``.

    Returns
    -------
    dict
        Read-only arrays by key, for example
        ``"layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"``, which view `data`.

    Raises
    ------
    ValueError
        The index is not a checkpoint's, a checksum is wrong, or the data are incomplete.
    """
    if index[-8:] != _MAGIC or len(index) < _FOOTER:
        raise ValueError("variables.index is not the index of a TensorFlow checkpoint")
    try:
        return dict(_tensors(index, memoryview(data)))
    except (IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"variables.index cannot be understood ({error})") from error


def _tensors(index: bytes, data: memoryview) -> Iterator[tuple[str, np.ndarray]]:
    footer = index[-_FOOTER:]
    _, position = _handle(footer, 0)  # of the block of extensions, which is empty
    blocks, _ = _handle(footer, position)
    for _, where in _entries(index, blocks):
        for key, value in _entries(index, _handle(where, 0)[0]):
            entry = _message(value)
            if not key:
                if entry.get(1, 1) != 1 or entry.get(2, 0) != 0:
                    raise ValueError("the variables are in several files, or big-endian")
            elif entry.get(1) == _FLOAT32:
                yield key.decode(), _tensor(key.decode(), entry, data)


def _tensor(key: str, entry: dict[int, Any], data: memoryview) -> np.ndarray:
    shape = [_message(size).get(1, 0) for size in _repeated(entry.get(2, b""), 2)]
    offset, size = entry.get(4, 0), entry.get(5, 0)
    stored = data[offset : offset + size]
    if len(stored) != size or size != 4 * int(np.prod(shape)):
        raise ValueError(f"the data of {key} are incomplete")
    if _masked(crc32c(stored)) != entry[6]:
        raise ValueError(f"the data of {key} are damaged: their checksum is wrong")
    array: np.ndarray = np.frombuffer(stored, "<f4").reshape(shape)
    array.flags.writeable = False
    return array


def _entries(table: bytes, block: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of one block, whose keys share beginnings with the one before."""
    offset, size = block
    contents, trailer = table[offset : offset + size + 1], table[offset + size + 1 :][:4]
    if len(contents) != size + 1 or _masked(crc32c(contents)) != int.from_bytes(trailer, "little"):
        raise ValueError("variables.index is damaged: the checksum of a block is wrong")
    if contents[-1] != 0:
        raise ValueError("variables.index is compressed, which TensorFlow does not do")
    restarts = int.from_bytes(contents[-5:-1], "little")
    end = size - 4 * (restarts + 1)
    key, position = b"", 0
    while position < end:
        shared, position = _varint(contents, position)
        added, position = _varint(contents, position)
        length, position = _varint(contents, position)
        key = key[:shared] + contents[position : position + added]
        position += added
        yield key, contents[position : position + length]
        position += length


def _handle(text: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = _varint(text, position)
    size, position = _varint(text, position)
    return (offset, size), position


def _varint(text: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = text[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("variables.index holds a number that has no end")


def _fields(text: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of the fields of a protocol buffer."""
    position = 0
    while position < len(text):
        tag, position = _varint(text, position)
        kind = tag & 7
        value: Any
        if kind == 0:
            value, position = _varint(text, position)
        elif kind == 2:
            length, position = _varint(text, position)
            value, position = text[position : position + length], position + length
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value = int.from_bytes(text[position : position + length], "little")
            position += length
        else:
            raise ValueError("variables.index holds a value of unknown kind")
        yield tag >> 3, value


def _message(text: bytes) -> dict[int, Any]:
    return dict(_fields(text))


def _repeated(text: bytes, number: int) -> list[Any]:
    return [value for field, value in _fields(text) if field == number]


def _masked(checksum: int) -> int:
    """Return a checksum as TensorFlow stores it, so that checksums of checksums stay useful."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
