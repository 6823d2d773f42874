"""Imports the published restoration networks from the user's own copy of tk_r_em 1.0.4.

The package (I. Lobato, T. Friedrich, S. Van Aert, "Deep convolutional neural networks to restore
single-shot electron microscopy images", arXiv:2303.17025) carries six TensorFlow models under the
GPL-3: high (hr) and low (lr) resolution of STEM, TEM and SEM images. Nothing of it is shipped with
stem-plugins; its tensors are read without TensorFlow and kept in the user's data folder.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from stem_plugins.io.output_files import complete_or_nothing
from stem_plugins.models.registry import HOW_TO_IMPORT, PUBLISHED, imported_file
from stem_plugins.models.tensorflow_checkpoint import read_checkpoint
from stem_plugins.models.weights_file import save_weights

__all__ = [
    "import_published_restoration",
    "iter_import_published_restoration",
    "published_tensor_names",
]

VERSION = "1.0.4"
DESIGN, DESIGN_VERSION = "cgrdn", 1

#: Groups of blocks, blocks of a group, and layers of a block.
_GROUPS, _BLOCKS, _LAYERS = 4, 4, 8
_KEY = "layer_with_weights-{}/{}/.ATTRIBUTES/VARIABLE_VALUE"
_PARTS = ("variables.index", "variables.data-00000-of-00001")


def import_published_restoration(path: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Import the six published restoration networks into the user's data folder.

    Parameters
    ----------
    path
        The user's copy of tk_r_em 1.0.4: ``tk_r_em-1.0.4.tar.gz``, a ``.whl`` or ``.zip`` of it,
        or a folder in which one of them was unpacked or installed.
    overwrite
        Whether models imported before may be replaced.

    Returns
    -------
    list of pathlib.Path
        The new files: all six, or none where anything failed.

    Raises
    ------
    FileNotFoundError
        There is no such file or folder.
    FileExistsError
        A model has been imported before and may not be replaced.
    ValueError
        It is another version, another package, incomplete or damaged.
    """
    for _ in iter_import_published_restoration(path, overwrite=overwrite):
        pass
    return [imported_file(name) for name in PUBLISHED]


def iter_import_published_restoration(
    path: str | Path, *, overwrite: bool = False
) -> Generator[tuple[int, int]]:
    """Import as `import_published_restoration`, in steps that can be shown and stopped.

    Parameters
    ----------
    path
        As for `import_published_restoration`.
    overwrite
        Whether models imported before may be replaced.

    Yields
    ------
    tuple of int
        Models done, and models in all. Closing the generator leaves nothing behind.

    Raises
    ------
    FileNotFoundError, FileExistsError, ValueError
        As `import_published_restoration`.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {path}. {HOW_TO_IMPORT}")
    targets = {name: imported_file(name) for name in PUBLISHED}
    existing = [name for name, target in targets.items() if target.exists()]
    if existing and not overwrite:
        raise FileExistsError(
            f"{', '.join(existing)} imported already, in {targets[existing[0]].parent}. Allow "
            "overwriting to replace them (overwrite=True in Python, --overwrite in the shell)."
        )
    targets[PUBLISHED[0]].parent.mkdir(parents=True, exist_ok=True)
    yield 0, len(PUBLISHED)
    with complete_or_nothing(*targets.values(), overwrite=overwrite) as temporary:
        places = dict(zip(targets, temporary, strict=True))
        done: set[str] = set()
        for name, tensors, digest in _published_models(path):
            if name not in places or name in done:
                continue
            save_weights(
                places[name],
                tensors,
                design=DESIGN,
                version=DESIGN_VERSION,
                name=name,
                details={
                    "source": f"tk_r_em {VERSION}, model sfr_{name.partition(':')[2]}",
                    "source_sha256": digest,
                    "licence": "GPL-3.0",
                    "author": "Ivan Lobato",
                    "reference": "arXiv:2303.17025",
                },
            )
            done.add(name)
            yield len(done), len(PUBLISHED)
        missing = [name for name in PUBLISHED if name not in done]
        if missing:
            raise ValueError(
                f"{path} does not hold {'all of' if done else ''} tk_r_em {VERSION}: the model "
                f"{missing[0]} is not in it. {HOW_TO_IMPORT}".replace("  ", " ")
            )


def published_tensor_names() -> dict[int, str]:
    """Return what layer i of the published models is called in the design ``"cgrdn"``.

    Returns
    -------
    dict
        By number of the layer with weights, in the order in which TensorFlow counts them.

    Examples
    --------
    >>> published_tensor_names()[2]
    'groups.0.blocks.0.layers.0'
    """
    names = ["head", "down"]
    for group in range(_GROUPS):
        for block in range(_BLOCKS):
            inside = f"groups.{group}.blocks.{block}"
            names += [f"{inside}.layers.{layer}" for layer in range(_LAYERS)]
            names += [f"{inside}.fusion"]
        names += [f"groups.{group}.fusion"]
    return dict(enumerate([*names, "fusion", "up", "tail"]))


def _published_models(path: Path) -> Iterator[tuple[str, dict[str, np.ndarray], str]]:
    """Yield name, tensors and the SHA-256 of the data of each model in a file or folder."""
    parts: dict[str, dict[str, bytes]] = {}
    try:
        for member, contents in _members(path):
            _check_version(path, member, contents)
            model = re.search(r"models/sfr_(\w+)/variables/([^/]+)$", member)
            if not model or model[2] not in _PARTS:
                continue
            name = f"tk_r_em:{model[1]}"
            parts.setdefault(name, {})[model[2]] = contents
            if len(parts[name]) == len(_PARTS):
                index, data = (parts[name][part] for part in _PARTS)
                del parts[name]
                yield name, _tensors(index, data), hashlib.sha256(data).hexdigest()
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise ValueError(
            f"{path} is incomplete, damaged or no archive ({error}). {HOW_TO_IMPORT}"
        ) from error
    except _DamagedModelError as error:
        raise ValueError(f"{path} is damaged: {error}. {HOW_TO_IMPORT}") from error


class _DamagedModelError(Exception):
    pass


def _tensors(index: bytes, data: bytes) -> dict[str, np.ndarray]:
    """Return the tensors of a model in PyTorch's order of axes."""
    try:
        variables = read_checkpoint(index, data)
        named = {}
        for layer, name in published_tensor_names().items():
            # (height, width, in, out), and (height, width, out, in) of the transposed one.
            kernel = variables[_KEY.format(layer, "kernel")]
            named[f"{name}.weight"] = kernel.transpose(3, 2, 0, 1)
            named[f"{name}.bias"] = variables[_KEY.format(layer, "bias")]
    except KeyError as error:
        raise _DamagedModelError(f"the variable {error} is missing") from error
    except ValueError as error:
        raise _DamagedModelError(str(error)) from error
    return named


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of interest in an archive or folder: path inside it, and contents."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if _is_of_interest(file.name) and file.is_file():
                yield file.absolute().as_posix(), file.read_bytes()
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if _is_of_interest(member):
                    yield member, archive.read(member)
    else:
        # As a stream: never unpacked on disk, one model in memory at a time.
        with tarfile.open(path, "r|*") as stream:
            for entry in stream:
                contents = stream.extractfile(entry) if _is_of_interest(entry.name) else None
                if contents is not None:
                    yield entry.name, contents.read()


def _is_of_interest(member: str) -> bool:
    name = PurePosixPath(member).name
    return name in _PARTS or name in ("PKG-INFO", "METADATA", "version.py")


def _check_version(path: Path, member: str, contents: bytes) -> None:
    """Refuse other versions and other packages, by any of the files that name them."""
    if PurePosixPath(member).name in _PARTS:
        return
    text = contents.decode(errors="replace")
    said = {}
    for key, pattern in (
        ("name", r"^(?:Name:\s*|__name__\s*=\s*['\"])([\w.-]+)"),
        ("version", r"^(?:Version:\s*|__version__\s*=\s*['\"])([\w.+-]+)"),
    ):
        found = re.search(pattern, text, re.MULTILINE)
        said[key] = found[1] if found else None
    if (said["name"] or "").replace("-", "_") != "tk_r_em":
        return
    if said["version"] != VERSION:
        raise ValueError(
            f"{path} is version {said['version']} of tk_r_em; the models of {VERSION} are known. "
            f"{HOW_TO_IMPORT}"
        )
