"""Which files of images a command works on, what results are called, and room for them."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

__all__ = ["ImageInput", "file_stems", "image_inputs", "prepare_folder", "room"]

#: What is taken from folders. Formats of spectra, patterns and office pictures are not.
IMAGE_SUFFIXES = (
    *(".dm3", ".dm4", ".ser", ".emi", ".emd", ".tif", ".tiff", ".mrc", ".mrcz", ".prz", ".elid"),
    *(".unf", ".rpl", ".nxs", ".hspy", ".zspy", ".hdf5", ".h5", ".npy", ".npz", ".png"),
)

#: Ends of the names of results, which are not restored again when they lie in the folder.
RESULTS = re.compile(r"_(restored|consistency|unexplained|spread)$")

#: Results above this size are kept in a temporary file [bytes].
IN_MEMORY = 2**30


@dataclasses.dataclass(frozen=True)
class ImageInput:
    """A file to be worked on.

    Parameters
    ----------
    path
        The file.
    stem
        First part of the names of its results.
    found_in_folder
        Whether it was found in a folder rather than named.
    """

    path: Path
    stem: str
    found_in_folder: bool


def image_inputs(given: Sequence[Path], output: Path) -> list[ImageInput]:
    """Return the files that were named, and those in folders that were.

    Parameters
    ----------
    given
        Files and folders.
    output
        Where results will go; not searched for images.

    Raises
    ------
    FileNotFoundError
        One of them does not exist.
    ValueError
        A folder holds no images.
    """
    found: dict[Path, bool] = {}
    for path in given:
        if not path.exists():
            raise FileNotFoundError(f"There is no {path.name} in {path.absolute().parent}.")
        if path.is_dir() and path.suffix.lower() != ".zspy":
            for item in _images_in(path, output):
                found.setdefault(item, True)
        else:
            found[path] = False
    stems = _different_stems([path.absolute() for path in found])
    return [
        ImageInput(path, stem, in_folder)
        for stem, (path, in_folder) in zip(stems, found.items(), strict=True)
    ]


def _different_stems(paths: Sequence[Path]) -> list[str]:
    """Name files so that no two write to the same results: with suffix, folder or number."""
    ways = (
        [path.stem for path in paths],
        [path.name.replace(".", "_") for path in paths],
        [f"{path.parent.name}_{path.name.replace('.', '_')}" for path in paths],
        [f"{number}_{path.name.replace('.', '_')}" for number, path in enumerate(paths)],
    )
    return next(way for way in ways if len({name.casefold() for name in way}) == len(way))


def _images_in(folder: Path, output: Path) -> list[Path]:
    images = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and not RESULTS.search(path.stem)
        and path.absolute() != output.absolute()
        and (path.is_file() or path.suffix.lower() == ".zspy")
    ]
    # TIA writes .emi beside .ser, and RosettaSciIO follows the former to the latter.
    series = {path.stem.rsplit("_", 1)[0] for path in images if path.suffix.lower() == ".ser"}
    images = [p for p in images if not (p.suffix.lower() == ".emi" and p.stem in series)]
    if not images:
        raise ValueError(
            f"{folder} holds no images that can be read ({' '.join(IMAGE_SUFFIXES)}); "
            "folders inside it are not searched."
        )
    return images


def file_stems(stem: str, titles: Sequence[str]) -> list[str]:
    """Return names for the images of one file: its own, with the title where there are several.

    Parameters
    ----------
    stem
        Of the file.
    titles
        What the file calls its images.

    Examples
    --------
    >>> file_stems("scan", ["HAADF", "BF/1", "HAADF"])
    ['scan_HAADF-0', 'scan_BF-1', 'scan_HAADF-2']
    """
    if len(titles) == 1:
        return [stem]
    plain = [re.sub(r"[^\w-]+", "-", title).strip("-") for title in titles]
    counts = Counter(plain)
    numbered = [
        name if name and counts[name] == 1 else f"{name}-{index}".lstrip("-")
        for index, name in enumerate(plain)
    ]
    return [f"{stem}_{name}" for name in numbered]


def prepare_folder(folder: Path) -> None:
    """Make the folder of results where it is not there yet.

    Parameters
    ----------
    folder
        Where results will go.

    Raises
    ------
    FileExistsError
        It is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; give a folder by -o FOLDER.")
    folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def room(count: int, shape: tuple[int, ...], folder: Path) -> Iterator[list[np.ndarray]]:
    """Give arrays of float32 for results, in a temporary file where they are large.

    Parameters
    ----------
    count
        Number of arrays.
    shape
        Of each.
    folder
        Where the temporary file may lie.

    Yields
    ------
    list of ndarray
        Not filled.
    """
    if count * int(np.prod(shape)) * 4 <= IN_MEMORY:
        yield [np.empty(shape, np.float32) for _ in range(count)]
        return
    with tempfile.TemporaryDirectory(prefix=".restored-", suffix=".part", dir=folder) as hidden:
        place = Path(hidden) / "results"
        yield list(np.memmap(place, np.float32, mode="w+", shape=(count, *shape)))
