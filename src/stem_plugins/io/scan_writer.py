"""Write a 4D-STEM scan, block by block, as Merlin or HyperSpy files; convert between formats.

Every writer is a generator that yields how far it is, so that a command line can show it and a
window can cancel it by closing the generator; nothing is then left behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np

from stem_plugins.io.formats import read_scan
from stem_plugins.io.merlin_writer import iter_write_merlin
from stem_plugins.io.output_files import check_output, complete_or_nothing
from stem_plugins.io.scan import Scan
from stem_plugins.io.scan_blocks import check_scan_data, compute_block, scan_blocks
from stem_plugins.io.scan_date import scan_date
from stem_plugins.io.signal_dictionary import (
    scan_axes,
    scan_metadata,
    signal_dictionary,
    zspy_store,
)
from stem_plugins.optics.acquisition import Acquisition

__all__ = ["convert", "iter_convert", "iter_write_scan", "write_scan"]

#: Bytes of one chunk in the file. HDF5 keeps few chunks in memory, so they are small there.
CHUNK_BYTES = {".hspy": 2 * 2**20, ".zspy": 16 * 2**20}


def write_scan(
    path: str | PathLike[str],
    scan: Scan,
    *,
    overwrite: bool = False,
    title: str = "",
    counter_depth: int | None = None,
) -> None:
    """Write a scan with its calibration.

    Parameters
    ----------
    path
        ``.hspy`` or ``.zspy`` (HyperSpy, calibrated axes, any real type), or ``.mib`` (Merlin,
        counts only).
    scan
        What to write; lazy data are computed block by block.
    overwrite
        Whether an existing file may be replaced.
    title
        Title of the HyperSpy signal.
    counter_depth
        Only for ``.mib``: see `write_merlin`.

    Raises
    ------
    FileExistsError
        The file exists and ``overwrite`` is False.
    ValueError
        The suffix is not known, or the data cannot be written in this format.

    See Also
    --------
    iter_write_scan : The same with progress, and with a way to cancel.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scan.zspy"
    >>> write_scan(path, Scan(np.ones((2, 3, 8, 8)), Acquisition(scan_step=0.2)))
    >>> read_scan(path).acquisition.scan_step
    (0.2, 0.2)
    """
    steps = iter_write_scan(
        path, scan, overwrite=overwrite, title=title, counter_depth=counter_depth
    )
    deque(steps, maxlen=0)


def iter_write_scan(
    path: str | PathLike[str],
    scan: Scan,
    *,
    overwrite: bool = False,
    title: str = "",
    counter_depth: int | None = None,
) -> Iterator[tuple[int, int]]:
    """Write a scan as `write_scan` does, step by step.

    Parameters
    ----------
    path, scan, overwrite, title, counter_depth
        As in `write_scan`; they are checked when this function is called.

    Yields
    ------
    (int, int)
        Steps done and steps in all, after each block. Closing the generator before its end
        removes what was written.
    """
    if not isinstance(scan, Scan):
        raise ValueError(
            f"write_scan writes a Scan, not {type(scan).__name__}; make one by "
            "Scan(data, acquisition)."
        )
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in (".mib", ".hdr"):
        return iter_write_merlin(
            path,
            scan.data,
            acquisition=scan.acquisition,
            counter_depth=counter_depth,
            largest_count=scan.largest_count,
            taken=scan_date(scan.metadata),
            overwrite=overwrite,
        )
    if suffix not in CHUNK_BYTES:
        raise ValueError(
            f"A scan can be written as .hspy, .zspy or .mib, not as {path.suffix or path.name!r}."
        )
    check_scan_data(scan.data)
    check_output(path, overwrite=overwrite)
    return _write_hyperspy(path, scan, title, overwrite)


def _write_hyperspy(
    path: Path, scan: Scan, title: str, overwrite: bool
) -> Iterator[tuple[int, int]]:
    chunks = _file_chunks(scan.data, CHUNK_BYTES[path.suffix.lower()])
    data = scan.data
    if isinstance(data, np.ndarray):
        data = da.from_array(data, chunks=chunks, name=False)
    blocks = scan_blocks(data)
    axes = scan_axes(data.shape, scan.acquisition)
    taken = scan_date(scan.metadata)
    metadata = scan_metadata(scan.acquisition, title, largest_count=scan.largest_count, taken=taken)
    signal = signal_dictionary(data, axes, metadata)
    # Big-endian numbers are slow or unusable in most of what reads these files.
    dtype = data.dtype.newbyteorder("=")
    open_file = _open_hspy if path.suffix.lower() == ".hspy" else _open_zspy
    with (
        complete_or_nothing(path, overwrite=overwrite) as (part,),
        open_file(part, signal, dtype, chunks) as target,
    ):
        for done, block in enumerate(blocks, 1):
            target[block] = compute_block(data, block).astype(dtype, copy=False)
            if done < len(blocks):
                yield done, len(blocks)
    yield len(blocks), len(blocks)


def _file_chunks(data: np.ndarray | da.Array, chunk_bytes: int) -> tuple[int, int, int, int]:
    """Return chunks of whole detector frames, even, and in step with the chunks of the data."""
    frame_bytes = data.shape[2] * data.shape[3] * data.dtype.itemsize
    side = max(1, int((chunk_bytes / frame_bytes) ** 0.5))
    sizes = getattr(data, "chunks", None) or ((data.shape[0],), (data.shape[1],))
    rows, columns = (_even_part(max(along), side) for along in sizes[:2])
    return rows, columns, data.shape[2], data.shape[3]


def _even_part(size: int, most: int) -> int:
    """Return the largest divisor of a size up to some limit, unless all are far below it."""
    best = next(part for part in range(min(size, most), 0, -1) if size % part == 0)
    if 2 * best >= min(size, most):
        return best
    parts = -(-size // most)
    return -(-size // parts)


@contextlib.contextmanager
def _open_hspy(
    path: Path, signal: dict[str, Any], dtype: np.dtype, chunks: tuple[int, ...]
) -> Iterator[Any]:
    """Write everything but the counts through RosettaSciIO, then open the place for them."""
    import h5py
    from rsciio import hspy

    hspy.file_writer(str(path), signal, write_dataset=False)
    with h5py.File(path, "r+") as file:
        yield _signal_group(file).create_dataset(
            "data",
            shape=signal["data"].shape,
            dtype=dtype,
            chunks=chunks,
            compression="gzip",
            compression_opts=1,  # four times faster than the default, files hardly larger
            shuffle=True,
        )


@contextlib.contextmanager
def _open_zspy(
    path: Path, signal: dict[str, Any], dtype: np.dtype, chunks: tuple[int, ...]
) -> Iterator[Any]:
    """Write everything but the counts through RosettaSciIO, then open the place for them."""
    import zarr
    from rsciio import zspy

    store = zspy_store(path)
    zspy.file_writer(store, signal, write_dataset=False, consolidate=False)
    yield _signal_group(zarr.open_group(store, mode="r+")).create_dataset(
        "data", shape=signal["data"].shape, dtype=dtype, chunks=chunks
    )
    zarr.consolidate_metadata(store)


def _signal_group(file: Any) -> Any:
    """Return the group of the only signal of a HyperSpy file."""
    experiments = file["Experiments"]
    return experiments[next(iter(experiments))]


def convert(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    acquisition: Acquisition | None = None,
    overwrite: bool = False,
    counter_depth: int | None = None,
    **options: Any,
) -> None:
    """Convert a scan from one file format to another.

    Parameters
    ----------
    source
        Any file that `read_scan` reads.
    target
        ``.mib``, ``.hspy`` or ``.zspy``.
    acquisition
        Calibration that the source lacks or has wrong; its known values replace the source's.
    overwrite
        Whether an existing target may be replaced.
    counter_depth
        Only for ``.mib``: see `write_merlin`.
    **options
        As in `read_scan`, such as ``scan_shape``.

    Raises
    ------
    FileExistsError, FileNotFoundError, ValueError
        As `read_scan` and `write_scan`, or source and target are the same.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "scan.npy", np.full((2, 3, 8, 8), 7, "uint16"))
    >>> convert(folder / "scan.npy", folder / "scan.mib")
    >>> int(read_scan(folder / "scan.mib").data.max().compute())
    7
    """
    steps = iter_convert(
        source,
        target,
        acquisition=acquisition,
        overwrite=overwrite,
        counter_depth=counter_depth,
        **options,
    )
    deque(steps, maxlen=0)


def iter_convert(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    acquisition: Acquisition | None = None,
    overwrite: bool = False,
    counter_depth: int | None = None,
    **options: Any,
) -> Iterator[tuple[int, int]]:
    """Convert a scan as `convert` does, step by step.

    Parameters
    ----------
    source, target, acquisition, overwrite, counter_depth, **options
        As in `convert`; they are checked when this function is called.

    Yields
    ------
    (int, int)
        Steps done and steps in all. Closing the generator removes what was written.
    """
    _check_different(Path(source), Path(target))
    scan = read_scan(source, **options)
    if acquisition is not None:
        changed = scan.acquisition.replace(**acquisition.to_dict())
        scan = dataclasses.replace(scan, acquisition=changed)
    return iter_write_scan(
        target,
        scan,
        overwrite=overwrite,
        title=Path(source).stem,
        counter_depth=counter_depth,
    )


def _check_different(source: Path, target: Path) -> None:
    """Refuse to write over the file that is being read."""
    names: Sequence[Path] = [target]
    if target.suffix.lower() in (".mib", ".hdr"):
        names = [target.with_suffix(".mib"), target.with_suffix(".hdr")]
    if any(name.exists() and source.exists() and name.samefile(source) for name in names):
        raise ValueError(f"Source and target are the same file, {source}; choose another target.")
