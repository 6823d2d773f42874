"""Weights of one network in one file: ``.safetensors`` with a description and a checksum.

The format is that of the safetensors library, so other programs read the tensors too, and no code
is ever run from a file. Its metadata hold one entry, ``stem_plugins``, a JSON object of: ``format``
(of this description), ``name``, ``design`` and ``version`` (which network the tensors belong to),
``package`` (the version of stem-plugins that wrote it), ``details`` (how it was trained, where it
is valid, its licence) and ``sha256`` (over description and tensors, as `checksum` says).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stem_plugins.io.output_files import complete_or_nothing

__all__ = [
    "Weights",
    "check_tensors",
    "checksum",
    "read_weights",
    "save_weights",
    "weights_header",
]

#: Version of the description in the metadata; one more when an old reader would misread it.
FORMAT = 1

_ENTRY = "stem_plugins"
_FIELDS = {"name": str, "design": str, "version": int, "package": str, "details": dict}


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The tensors of one network and what is known of them.

    Attributes
    ----------
    tensors
        Arrays by the names that the network gives its parameters; empty in what
        `weights_header` returns.
    design
        Name of the network's architecture, for example ``"cgrdn"``.
    version
        Version of that architecture, counted from 1: a change in shapes or meaning adds one.
    details
        How the weights were trained, where they are valid, their licence.
    name
        What a user calls the model.
    package
        Version of stem-plugins that wrote the file.
    """

    tensors: dict[str, np.ndarray]
    design: str
    version: int
    details: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    package: str = ""


def save_weights(
    path: str | Path,
    tensors: Mapping[str, np.ndarray],
    *,
    design: str,
    version: int,
    details: Mapping[str, Any] | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the weights of a network; the file appears complete or not at all.

    Parameters
    ----------
    path
        The new ``.safetensors`` file.
    tensors
        Arrays of float16 or float32, by parameter name.
    design
        Name of the architecture.
    version
        Version of the architecture, from 1.
    details
        Anything that JSON can hold: training, range of validity, licence.
    name
        What users call the model; by default the name of the file.
    overwrite
        Whether an existing file may be replaced.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        The suffix is another one, there are no tensors, or one of them holds anything but
        finite float16 or float32 numbers.
    FileExistsError
        The file exists and may not be replaced.
    FileNotFoundError
        Its folder does not exist.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mean.safetensors"
    >>> kernel = np.full((3, 3), 1 / 9, np.float32)
    >>> _ = save_weights(path, {"kernel": kernel}, design="filter", version=1)
    >>> read_weights(path).tensors["kernel"].sum().round(6)
    np.float32(1.0)
    """
    path = Path(path)
    if path.suffix.lower() != ".safetensors":
        raise ValueError(f"Weights are written as .safetensors, not as {path.name!r}.")
    arrays = {
        key: np.asarray(array, dtype=np.asarray(array).dtype.newbyteorder("="), order="C")
        for key, array in tensors.items()
    }
    _check_numbers(arrays)
    from stem_plugins import __version__

    description: dict[str, Any] = {
        "format": FORMAT,
        "name": name or path.stem,
        "design": design,
        "version": version,
        "package": __version__,
        "details": dict(details or {}),
    }
    description["sha256"] = checksum(arrays, description)
    # One entry only: the library gives several entries an order that changes from run to run.
    metadata = {_ENTRY: json.dumps(description, sort_keys=True)}
    contents = _safetensors().save(arrays, metadata=metadata)
    with complete_or_nothing(path, overwrite=overwrite) as (temporary,):
        # Not by the library's save_file, whose files only their owner may read.
        temporary.write_bytes(contents)
    return path


def read_weights(path: str | Path, *, designs: Mapping[str, int] | None = None) -> Weights:
    """Read the weights of a network and check that they are what was written.

    Parameters
    ----------
    path
        A ``.safetensors`` file that `save_weights` wrote.
    designs
        Newest known version of each architecture that the caller can build; without it,
        any is accepted.

    Returns
    -------
    Weights
        With the numbers as they were stored (float16 stays float16).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is damaged, not ours, of an unknown design, or made by a newer version.
    """
    path = Path(path)
    header, description = _read_description(path)
    if designs is not None:
        _check_design(path, header, designs)
    try:
        with _safetensors_open(path) as file:
            # Not a dict: the library's object offers keys() alone.
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise _damaged(path, str(error)) from error
    if checksum(tensors, description) != description.get("sha256"):
        raise _damaged(path, "its checksum is not the one it was written with")
    return Weights(**{**vars(header), "tensors": tensors})


def weights_header(path: str | Path) -> Weights:
    """Read what a file of weights says of itself, without its tensors.

    Parameters
    ----------
    path
        A ``.safetensors`` file that `save_weights` wrote.

    Returns
    -------
    Weights
        With no tensors; nothing of them has been checked.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is damaged, not ours, or in a newer format.
    """
    return _read_description(Path(path))[0]


def check_tensors(weights: Weights, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that weights have exactly the tensors that a network needs.

    Parameters
    ----------
    weights
        As read from a file.
    shapes
        Shape of every parameter of the network, by name.

    Raises
    ------
    ValueError
        Tensors are missing, too many, or of another shape; the message names the first.
    """
    found = {key: tensor.shape for key, tensor in weights.tensors.items()}
    name = weights.name or "These weights"
    for what, keys in (
        ("lack", sorted(shapes.keys() - found.keys())),
        ("also hold", sorted(found.keys() - shapes.keys())),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ValueError(
                f"{name}: the weights {what} {keys[0]!r}{more}, so they do not fit the design "
                f"{weights.design!r} of version {weights.version}. Get the file again."
            )
    for key, shape in shapes.items():
        if found[key] != tuple(shape):
            raise ValueError(
                f"{name}: the tensor {key!r} has the shape {found[key]} where the design "
                f"{weights.design!r} has {tuple(shape)}. Get the file again."
            )


def checksum(tensors: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a description and its tensors.

    Parameters
    ----------
    tensors
        Arrays by name.
    description
        The metadata, of which ``sha256`` itself is left out.

    Returns
    -------
    str
        Hexadecimal digest over the description as JSON with sorted keys, then, in the order of
        their names, each tensor's name, type, shape and little-endian bytes.
    """
    digest = hashlib.sha256()
    described = {key: value for key, value in description.items() if key != "sha256"}
    digest.update(json.dumps(described, sort_keys=True).encode())
    for key in sorted(tensors):
        array = tensors[key]
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(json.dumps([key, little.dtype.str, list(array.shape)]).encode())
        digest.update(little.data)
    return digest.hexdigest()


def _read_description(path: Path) -> tuple[Weights, dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with _safetensors_open(path) as file:
            metadata = file.metadata() or {}
    except ImportError:
        raise
    except Exception as error:
        raise _damaged(path, str(error)) from error
    try:
        description = json.loads(metadata[_ENTRY])
        newer = description["format"] > FORMAT
        fields = {key: description[key] for key in _FIELDS if not newer}
        if any(not isinstance(value, _FIELDS[key]) for key, value in fields.items()):
            raise TypeError("not a description")
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{path} holds no weights that stem-plugins wrote: their description is missing. "
            "Published weights are read by `stem-plugins weights import`."
        ) from None
    if newer:
        raise _too_new(path)
    return Weights(tensors={}, **fields), description


def _check_design(path: Path, header: Weights, designs: Mapping[str, int]) -> None:
    if header.design not in designs:
        known = ", ".join(sorted(designs))
        raise ValueError(
            f"{path} holds weights of the design {header.design!r}, which this cannot use "
            f"(it knows {known}). If the file comes from a newer version, update stem-plugins: "
            "pip install --upgrade stem-plugins."
        )
    if header.version > designs[header.design]:
        raise _too_new(path)


def _check_numbers(arrays: Mapping[str, np.ndarray]) -> None:
    if not arrays:
        raise ValueError("There are no tensors to save.")
    for key, array in arrays.items():
        if array.dtype not in (np.float16, np.float32):
            raise ValueError(
                f"The tensor {key!r} is of type {array.dtype}; weights are saved as float16 or "
                "float32."
            )
        if not np.isfinite(array).all():
            raise ValueError(f"The tensor {key!r} holds NaN or infinite values; nothing was saved.")


def _too_new(path: Path) -> ValueError:
    return ValueError(
        f"{path} is a model made by a newer version: update stem-plugins "
        "(pip install --upgrade stem-plugins)."
    )


def _damaged(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"{path} is damaged and not used: {reason}. Get it again: import or train it anew, or "
        "reinstall stem-plugins if it is the model that came with it."
    )


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "Networks need PyTorch and safetensors: pip install 'stem-plugins[torch]'."
        ) from error
    return safetensors.numpy


def _safetensors_open(path: Path) -> Any:
    _safetensors()
    from safetensors import safe_open

    return safe_open(path, framework="numpy")
