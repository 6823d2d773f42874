"""Average the weights of networks that were trained from one another.

Where a network was taught further on other data, the average of both often does better than either
on what the first knew and on what the second has learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stem_plugins.models.registry import find_airpi_weights, find_weights
from stem_plugins.models.weights_file import Weights, read_weights, save_weights

__all__ = ["average_weights"]


def average_weights(
    models: Sequence[str | Path], path: str | Path, *, overwrite: bool = False
) -> Path:
    """Write the average of the weights of several networks.

    Parameters
    ----------
    models
        Two or more files of weights, ``"default"`` for that of `stem_plugins.restore`, or
        ``"airpi:default"``. All of one design and version, and trained from one another: averages
        of networks that know nothing of each other are of no use.
    path
        The new ``.safetensors`` file. It tells of the longest training among them.
    overwrite
        Whether an existing file may be replaced.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        There are fewer than two, or they are of different designs; or as `save_weights` and
        `read_weights` raise it.
    FileExistsError, FileNotFoundError
        The file exists and may not be replaced, or one of the models is not there.

    References
    ----------
    M. Wortsman et al., Proceedings of Machine Learning Research 162, 23965 (2022).

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, value in (("one", 1.0), ("two", 2.0)):
    ...     kernel = {"kernel": np.full(3, value, np.float32)}
    ...     _ = save_weights(
    ...         folder / f"{name}.safetensors", kernel, design="filter", version=1
    ...     )
    >>> both = [folder / "one.safetensors", folder / "two.safetensors"]
    >>> read_weights(average_weights(both, folder / "mean.safetensors")).tensors["kernel"]
    array([1.5, 1.5, 1.5], dtype=float32)
    """
    if len(models) < 2:
        raise ValueError(f"An average is of two networks or more, not of {len(models)}.")
    found = [read_weights(_path_of(model)) for model in models]
    first = found[0]
    for model, other in zip(models, found, strict=True):
        if not _alike(first, other):
            raise ValueError(
                f"{str(model)!r} holds weights of {other.design} version {other.version}, or of "
                f"other sizes than {str(models[0])!r}, which is of {first.design} version "
                f"{first.version}. Only networks of one design can be averaged."
            )
    tensors = {
        name: np.mean([one.tensors[name].astype(np.float64) for one in found], axis=0).astype(
            array.dtype
        )
        for name, array in first.tensors.items()
    }
    longest = max((one.details for one in found), key=lambda details: details.get("steps", 0))
    details = {**longest, "averaged": len(found)}
    return save_weights(
        path,
        tensors,
        design=first.design,
        version=first.version,
        details=details,
        overwrite=overwrite,
    )


def _path_of(model: str | Path) -> Path:
    if isinstance(model, str) and model.startswith("airpi:"):
        return find_airpi_weights(model.removeprefix("airpi:"))
    return find_weights(model)


def _alike(one: Weights, other: Weights) -> bool:
    shapes = [{name: array.shape for name, array in w.tensors.items()} for w in (one, other)]
    return (one.design, one.version) == (other.design, other.version) and shapes[0] == shapes[1]
