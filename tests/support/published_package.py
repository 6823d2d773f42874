"""A package like tk_r_em 1.0.4: TensorFlow checkpoints, written by hand, of the same layout.

It has the published layers, but 4 and 2 channels where those have 64 and 32, and numbers of its
own, the same in each model. What is written here follows the description of the format and shares
no code with the reader.
"""

import io
import tarfile
import zipfile
from functools import cache
from pathlib import Path

import numpy as np

MODELS = ("hrstem", "hrtem", "hrsem", "lrstem", "lrtem", "lrsem")
ROOT = "tk_r_em-1.0.4"


def layer_shapes(features=64, growth=32):
    """Shapes of the kernels (height, width, in, out) in the order of the published layers."""
    shapes = [(3, 3, 1, features), (4, 4, features, features)]
    for _ in range(4):
        for _ in range(4):
            shapes += [(3, 3, features + growth * layer, growth) for layer in range(8)]
            shapes += [(1, 1, features + growth * 8, features)]
        shapes += [(1, 1, 4 * features, features)]
    return [
        *shapes,
        (1, 1, 4 * features, features),
        (4, 4, features, features),
        (3, 3, features, 1),
    ]


def published_variables(features=4, growth=2):
    """The variables of one model by TensorFlow's key; each tensor its own number plus a ramp."""
    variables = {}
    for layer, shape in enumerate(layer_shapes(features, growth)):
        for number, (kind, size) in enumerate((("bias", shape[3:]), ("kernel", shape))):
            key = f"layer_with_weights-{layer}/{kind}/.ATTRIBUTES/VARIABLE_VALUE"
            ramp = np.linspace(0, 1, int(np.prod(size)), dtype=np.float32).reshape(size)
            variables[key] = ramp + np.float32(2 * layer + number)
    return variables


def crc32c(data):
    """CRC-32C one byte at a time, by the table of Castagnoli's polynomial."""
    register = 0xFFFFFFFF
    for byte in data:
        register = _table()[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register ^ 0xFFFFFFFF


@cache
def _table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


def checkpoint(variables, *, per_block=40):
    """Contents of variables.index and of variables.data-00000-of-00001."""
    data, entries = b"", [(b"", _field(1, 1) + _field(3, _field(1, 1)))]
    for key in sorted(variables):
        tensor = np.ascontiguousarray(variables[key], "<f4").tobytes()
        shape = b"".join(_field(2, _field(1, size)) for size in variables[key].shape)
        entry = _field(1, 1) + _field(2, shape) + _field(4, len(data)) + _field(5, len(tensor))
        entries.append((key.encode(), entry + b"\x35" + _masked(tensor)))
        data += tensor
    table, handles = b"", []
    for first in range(0, len(entries), per_block):
        block = _block(entries[first : first + per_block], shorten=True)
        last = entries[min(first + per_block, len(entries)) - 1][0]
        handles.append((last + b"~", _varint(len(table)) + _varint(len(block) - 5)))
        table += block
    footer = b""
    for block in (_block([], shorten=True), _block(handles, shorten=False)):
        footer += _varint(len(table)) + _varint(len(block) - 5)
        table += block
    return table + footer.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little"), data


def package_files(*, version="1.0.4", name="tk_r_em", models=MODELS):
    """Path and contents of each file of the package, in the order of a source archive."""
    index, data = published_checkpoint()
    yield f"{ROOT}/PKG-INFO", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    for model in models:
        folder = f"{ROOT}/tk_r_em/models/sfr_{model}"
        yield f"{folder}/saved_model.pb", b"a graph"
        yield f"{folder}/variables/variables.data-00000-of-00001", data
        yield f"{folder}/variables/variables.index", index


@cache
def published_checkpoint():
    """Index and data of one model."""
    return checkpoint(published_variables())


def write_source_archive(folder: Path, **options):
    """Write the package as the .tar.gz that pip downloads; returns its path."""
    path = folder / f"{ROOT}.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, contents in package_files(**options):
            entry = tarfile.TarInfo(name)
            entry.size = len(contents)
            archive.addfile(entry, io.BytesIO(contents))
    return path


def write_wheel(folder: Path, **options):
    """Write the package as a wheel; returns its path."""
    path = folder / "tk_r_em-1.0.4-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, contents in package_files(**options):
            inside = name.removeprefix(f"{ROOT}/")
            archive.writestr(inside.replace("PKG-INFO", f"{ROOT}.dist-info/METADATA"), contents)
    return path


def write_folder(folder: Path, **options):
    """Write the package as unpacked; returns the folder."""
    for name, contents in package_files(**options):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    return folder / ROOT


def _block(entries, *, shorten):
    text, before, restarts = b"", b"", []
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % 16 == 0:
            restarts.append(len(text))
        elif shorten:
            while shared < min(len(before), len(key)) and before[shared] == key[shared]:
                shared += 1
        text += _varint(shared) + _varint(len(key) - shared) + _varint(len(value))
        text += key[shared:] + value
        before = key
    for number in (*(restarts or [0]), len(restarts or [0])):
        text += number.to_bytes(4, "little")
    text += b"\0"
    return text + _masked(text)


def _masked(data):
    checksum = crc32c(data)
    rotated = (checksum >> 15) | (checksum << 17) & 0xFFFFFFFF
    return ((rotated + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def _field(number, value):
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value):
    text = b""
    while value >= 0x80:
        text += bytes([value & 0x7F | 0x80])
        value >>= 7
    return text + bytes([value])
