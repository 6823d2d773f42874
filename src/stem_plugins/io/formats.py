"""Read a 4D-STEM scan from any format: Merlin ourselves, everything else by RosettaSciIO."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stem_plugins.io.arrays import read_hdf5_array, read_numpy_array
from stem_plugins.io.merlin import read_merlin
from stem_plugins.io.scan import Scan
from stem_plugins.io.signal_dictionary import acquisition_from_signal, largest_count_from_signal
from stem_plugins.optics.acquisition import Acquisition

__all__ = ["is_hyperspy_file", "read_scan", "read_signals"]

MERLIN_OPTIONS = ("skip_rows", "skip_columns", "skip_frames", "repeat", "flip_y")


def read_scan(
    path: str | PathLike[str],
    *,
    scan_shape: Sequence[int] | None = None,
    dataset: str | int | None = None,
    beam_energy: float | None = None,
    lazy: bool = True,
    **options: Any,
) -> Scan:
    """Read a 4D-STEM scan with its calibration.

    Parameters
    ----------
    path
        ``.mib`` or ``.hdr`` (Merlin); ``.h5``, ``.hdf5``, ``.npz`` or ``.npy`` with one 4D array;
        or any 4D format of RosettaSciIO, such as ``.hspy``, ``.zspy``, ``.emd``, ``.dm3``,
        ``.dm4``, ``.blo``, ``.tvips``.
    scan_shape
        Scan positions (rows, columns), for Merlin files and for files that hold a stack of
        frames, (frames, ky, kx).
    dataset
        Name (or number, from 0) of the array or signal to read, where the file holds several
        that could be meant.
    beam_energy
        Energy of the electrons [keV], where the file does not know it. A detector that is
        calibrated in inverse length needs it.
    lazy
        Whether to return a dask array.
    **options
        Further options of `read_merlin` for Merlin files, or of the reader of RosettaSciIO.

    Returns
    -------
    Scan
        ``data[scan_y, scan_x, ky, kx]`` with what the file knows of the calibration; lengths and
        angles in any unit that `stem_plugins.io.units` knows. ``metadata`` is what else the file
        says, by its own names.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The format is not known, the file is damaged, or holds no scan, or several.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scan.npy"
    >>> np.save(path, np.zeros((6, 8, 8)))
    >>> read_scan(path, scan_shape=(2, 3), beam_energy=200).data.shape
    (2, 3, 8, 8)
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if path.is_dir() and not suffix:
        raise ValueError(f"{path} is a folder; give a file in it.")
    if suffix in (".mib", ".hdr"):
        if dataset is not None:
            raise ValueError(f"dataset is no option for Merlin files; {path.name} holds one array.")
        scan = read_merlin(path, scan_shape=scan_shape, lazy=lazy, **options)
        if beam_energy is None:
            return scan
        acquisition = scan.acquisition.replace(beam_energy=beam_energy)
        return dataclasses.replace(scan, acquisition=acquisition)
    for option in MERLIN_OPTIONS:
        if option in options:
            raise ValueError(f"{option} is an option for Merlin .mib files, not for {path.name}.")
    if not path.exists():
        raise FileNotFoundError(f"There is no {path.name} in {path.absolute().parent}.")
    dimensions = 4 if scan_shape is None else 3
    if suffix in (".npy", ".npz") or (suffix in (".h5", ".hdf5") and not is_hyperspy_file(path)):
        read = read_numpy_array if suffix.startswith(".np") else read_hdf5_array
        name = None if dataset is None else str(dataset)
        data, metadata = read(path, dataset=name, dimensions=dimensions, lazy=lazy)
        scan = Scan(data, Acquisition(beam_energy=beam_energy), metadata)
    else:
        signal = _choose_signal(
            read_signals(path, lazy=lazy, options=options), dataset, dimensions, path.name
        )
        scan = _scan_from_signal(signal, beam_energy, path.name)
    return scan if scan_shape is None else _as_scan(scan, scan_shape, path.name)


def is_hyperspy_file(path: Path) -> bool:
    """Whether an HDF5 file is one of HyperSpy under another suffix.

    Parameters
    ----------
    path
        Any file.
    """
    try:
        with h5py.File(path, "r") as file:
            return "Experiments" in file and "file_format" in file.attrs
    except OSError:
        return False


def read_signals(path: Path, *, lazy: bool, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read all signals of a file by the first reader of RosettaSciIO that can.

    Parameters
    ----------
    path
        The file.
    lazy
        Whether data are dask arrays.
    options
        For the reader.

    Returns
    -------
    list of dict
        RosettaSciIO's dictionaries: ``data``, ``axes``, ``metadata``, ``original_metadata``.

    Raises
    ------
    ValueError
        No reader knows the suffix, or none can read the file.
    """
    from rsciio import IO_PLUGINS

    suffix = path.suffix.lower().removeprefix(".")
    plugins = [
        plugin
        for plugin in IO_PLUGINS
        if suffix in (extension.lower() for extension in plugin["file_extensions"])
    ]
    if suffix in ("h5", "hdf5"):
        plugins = [plugin for plugin in plugins if plugin["name"] == "HSPY"] or [
            plugin for plugin in IO_PLUGINS if plugin["name"] == "HSPY"
        ]
    if not plugins:
        raise ValueError(
            f"{path.name}: no reader for {path.suffix or 'files without suffix'}. Known are .mib, "
            ".h5, .npz, .npy and the formats of RosettaSciIO (.hspy, .zspy, .emd, .dm4, .blo, "
            ".tvips and others)."
        )
    if suffix == "zspy":
        # RosettaSciIO opens lazy data for writing, which fails for files that may only be read.
        options = {"mode": "r", **options}
    problems = []
    for plugin in plugins:
        reader = importlib.import_module(plugin["api"]).file_reader
        try:
            with _quiet():
                return reader(str(path), lazy=lazy, **options)
        except Exception as error:  # Readers fail in every way on a file of another kind.
            problems.append(f"{plugin['name']}: {type(error).__name__}: {error}")
    raise ValueError(f"{path.name} could not be read by RosettaSciIO ({'; '.join(problems)}).")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep RosettaSciIO from printing the errors that it raises as well."""
    logger = logging.getLogger("rsciio")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _choose_signal(
    signals: list[dict[str, Any]], dataset: str | int | None, dimensions: int, source: str
) -> dict[str, Any]:
    """Return the signal that has the wanted dimensions, or the one that was asked for."""
    titles = [
        str(signal.get("metadata", {}).get("General", {}).get("title", "")) for signal in signals
    ]
    listing = "; ".join(
        f"{number}: {title or 'untitled'} {np.shape(signal['data'])}"
        for number, (title, signal) in enumerate(zip(titles, signals, strict=True))
    )
    if isinstance(dataset, str) and dataset.isdigit() and dataset not in titles:
        dataset = int(dataset)
    if dataset is not None:
        number = titles.index(dataset) if dataset in titles else dataset
        if not isinstance(number, int) or not 0 <= number < len(signals):
            raise ValueError(f"{source} holds no signal {dataset!r}; it holds {listing}.")
        found = [signals[number]]
        listing = f"{dataset!r} {np.shape(signals[number]['data'])}"
    else:
        found = signals
    found = [signal for signal in found if np.ndim(signal["data"]) == dimensions]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{source} holds several signals of {dimensions} dimensions ({listing}). "
            "Choose one with dataset=..."
        )
    wanted = (
        "A scan has four dimensions (scan_y, scan_x, ky, kx); for a stack of frames "
        "(frames, ky, kx) pass scan_shape=(rows, columns)."
        if dimensions == 4
        else "With scan_shape, a stack of frames (frames, ky, kx) is expected."
    )
    raise ValueError(f"{source} holds no such signal ({listing or 'nothing'}). {wanted}")


def _scan_from_signal(signal: Mapping[str, Any], beam_energy: float | None, source: str) -> Scan:
    axes = list(signal["axes"])
    data, metadata = signal["data"], signal.get("metadata", {})
    if data.dtype.kind not in "buif":
        raise ValueError(f"{source} holds {data.dtype} values; a scan holds real numbers.")
    flags = [bool(axis.get("navigate")) for axis in axes]
    if data.ndim == 3:
        # The scan of a stack is not calibrated: only the detector's axes mean something.
        axes = [{}, {}, *axes[1:]]
    elif any(flags) and flags != [True, True, False, False]:
        raise ValueError(
            f"{source} has {sum(flags)} navigation and {4 - sum(flags)} signal axes. A scan has "
            "two of each, (scan_y, scan_x | ky, kx); transpose it in HyperSpy and save it again."
        )
    axes = [{"size": 1, **axis} for axis in axes]
    for axis, size in zip(axes[-2:], data.shape[-2:], strict=True):
        axis["size"] = size
    acquisition = acquisition_from_signal(axes, metadata, beam_energy=beam_energy)
    known = {**signal.get("original_metadata", {}), **metadata}
    return Scan(data, acquisition, known, largest_count_from_signal(metadata))


def _as_scan(scan: Scan, scan_shape: Sequence[int], source: str) -> Scan:
    """Arrange a stack of frames as a scan."""
    if len(scan_shape) != 2 or min(scan_shape) < 1:
        raise ValueError(f"scan_shape must be (rows, columns), not {scan_shape!r}.")
    rows, columns = scan_shape
    if rows * columns != scan.data.shape[0]:
        raise ValueError(
            f"{source} holds {scan.data.shape[0]} frames; a scan of {rows} × {columns} positions "
            f"needs {rows * columns}."
        )
    data = scan.data.reshape(rows, columns, *scan.data.shape[1:])
    return dataclasses.replace(scan, data=data)
