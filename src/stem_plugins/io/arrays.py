"""Read a 4D array from ``.h5``, ``.npz`` and ``.npy`` files that carry no calibration."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import numpy as np
from dask.base import tokenize

__all__ = ["array_shapes", "read_hdf5_array", "read_numpy_array"]

BLOCK_BYTES = 64 * 2**20


def read_hdf5_array(
    path: Path, *, dataset: str | None = None, dimensions: int = 4, lazy: bool = True
) -> tuple[np.ndarray | da.Array, dict[str, Any]]:
    """Read the only array of so many dimensions in an HDF5 file.

    Parameters
    ----------
    path
        The file.
    dataset
        Name of the array in the file, where there are several.
    dimensions
        Number of dimensions wanted.
    lazy
        Whether to return a dask array; its blocks open the file by themselves.

    Returns
    -------
    data : numpy.ndarray or dask.array.Array
        The array.
    metadata : dict
        Attributes of the file and of the array, by the file's own names.

    Raises
    ------
    ValueError
        The file is no HDF5, or does not hold exactly one such array.
    """
    with _open_hdf5(path) as file:
        name = _choose(_hdf5_shapes(file), dataset, dimensions, path.name)
        item = file[name]
        metadata = {**_plain(file.attrs), **_plain(item.attrs), "dataset": name}
        if not lazy:
            return item[...], metadata
        shape, dtype, chunks = item.shape, item.dtype, item.chunks or (1,) * dimensions
    return _lazy(_hdf5_block, (str(path.absolute()), name), shape, dtype, chunks[0]), metadata


def array_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all arrays of numbers in a file, without reading them.

    Parameters
    ----------
    path
        ``.h5`` or ``.hdf5``, ``.npz``, or ``.npy``, whose one array is called as the file.

    Raises
    ------
    ValueError
        The file is damaged, or of another kind.
    """
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".npz"):
        with _open_hdf5(path) as file:
            return _hdf5_shapes(file)
    if suffix == ".npz":
        return _numpy(path, lambda: _npz_shapes(path))
    return _numpy(path, lambda: {path.stem: _map_npy(path).shape})


def _open_hdf5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path.name} is not a readable HDF5 file: {error}") from None


def _hdf5_shapes(file: h5py.File) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None and item.dtype.kind in "buif":
            shapes[name] = item.shape

    file.visititems(collect)
    return shapes


def read_numpy_array(
    path: Path, *, dataset: str | None = None, dimensions: int = 4, lazy: bool = True
) -> tuple[np.ndarray | da.Array, dict[str, Any]]:
    """Read the array of a ``.npy`` file, or the only one of so many dimensions of a ``.npz``.

    Parameters
    ----------
    path, dataset, dimensions, lazy
        As in `read_hdf5_array`. A ``.npy`` file is memory-mapped; the array of a ``.npz`` file is
        always read into memory.

    Returns
    -------
    data : numpy.ndarray or dask.array.Array
        The array.
    metadata : dict
        Its name in the file.

    Raises
    ------
    ValueError
        The file is damaged, holds Python objects, or does not hold exactly one such array.
    """
    name = _choose(array_shapes(path), dataset, dimensions, path.name)
    metadata = {"dataset": name}
    if path.suffix.lower() == ".npy":
        data = _map_npy(path)
        if not lazy:
            return data, metadata
        return _lazy(_npy_block, (str(path.absolute()),), data.shape, data.dtype, 1), metadata
    data = _numpy(path, lambda: _load_npz(path, name))
    return (_from_memory(data) if lazy else data), metadata


def _numpy(path: Path, read: Callable[[], Any]) -> Any:
    """Read from a NumPy file, with errors that name it."""
    try:
        return read()
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path.name} is not a readable NumPy file of numbers: {error}") from None


def _map_npy(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _load_npz(path: Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as archive:
        return archive[name]


def _choose(
    arrays: dict[str, tuple[int, ...]], dataset: str | None, dimensions: int, source: str
) -> str:
    """Return the name of the wanted array."""
    listing = ", ".join(f"{name} {shape}" for name, shape in arrays.items()) or "none"
    if dataset is not None:
        if dataset not in arrays:
            raise ValueError(f"{source} holds no array {dataset!r}; it holds {listing}.")
        if len(arrays[dataset]) != dimensions:
            raise ValueError(
                f"{source}: {dataset} has the shape {arrays[dataset]}, "
                f"not {dimensions} dimensions. {_what_to_do(dimensions)}"
            )
        return dataset
    names = [name for name, shape in arrays.items() if len(shape) == dimensions]
    if len(names) == 1:
        return names[0]
    if names:
        raise ValueError(
            f"{source} holds several arrays of {dimensions} dimensions: {listing}. "
            "Choose one with dataset=..."
        )
    raise ValueError(
        f"{source} holds no array of {dimensions} dimensions; its arrays are: {listing}. "
        f"{_what_to_do(dimensions)}"
    )


def _what_to_do(dimensions: int) -> str:
    if dimensions == 4:
        return (
            "A scan is (scan_y, scan_x, ky, kx). For a stack of frames (frames, ky, kx) "
            "pass scan_shape=(rows, columns)."
        )
    return "With scan_shape, a stack of frames (frames, ky, kx) is expected."


def _plain(attributes: Any) -> dict[str, Any]:
    return {
        str(name): value.item() if isinstance(value, np.generic) else value
        for name, value in attributes.items()
    }


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all arrays in an archive without reading them."""
    shapes = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if not member.endswith(".npy"):
                continue
            with archive.open(member) as file:
                major, _ = np.lib.format.read_magic(file)
                read = (
                    np.lib.format.read_array_header_1_0
                    if major == 1
                    else np.lib.format.read_array_header_2_0
                )
                shapes[member.removesuffix(".npy")] = read(file)[0]
    return shapes


def _lazy(
    read: Callable[..., np.ndarray],
    arguments: tuple[str, ...],
    shape: tuple[int, ...],
    dtype: np.dtype,
    rows_together: int,
) -> da.Array:
    """Return a dask array of blocks of whole rows along the first axis."""
    row_bytes = max(1, int(np.prod(shape[1:])) * dtype.itemsize)
    rows = max(1, BLOCK_BYTES // row_bytes // rows_together) * rows_together
    status = Path(arguments[0]).stat()
    return da.map_blocks(
        read,
        *arguments,
        chunks=da.core.normalize_chunks((min(rows, shape[0]), *[-1] * (len(shape) - 1)), shape),
        dtype=dtype,
        meta=np.empty((0,) * len(shape), dtype),
        name=f"array-{tokenize(read, arguments, status.st_size, status.st_mtime_ns)}",
    )


def _hdf5_block(path: str, name: str, block_info: dict[Any, Any]) -> np.ndarray:
    start, stop = block_info[None]["array-location"][0]
    with h5py.File(path, "r") as file:
        return file[name][start:stop]


def _npy_block(path: str, block_info: dict[Any, Any]) -> np.ndarray:
    start, stop = block_info[None]["array-location"][0]
    return _map_npy(Path(path))[start:stop]


def _from_memory(data: np.ndarray) -> da.Array:
    rows = max(1, BLOCK_BYTES // max(1, data[0].nbytes))
    return da.from_array(data, chunks=(rows, *[-1] * (data.ndim - 1)))
