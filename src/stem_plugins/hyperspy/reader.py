"""Open 4D-STEM files as HyperSpy signals.

`load` opens every format of `stem_plugins.read_scan`. The module itself has the form of a
RosettaSciIO reader, so that HyperSpy's own ``load`` can use our Merlin reader::

    from stem_plugins.hyperspy import reader
    signal = hs.load("scan.mib", file_format=reader, lazy=True)

(``reader=reader`` before HyperSpy 2.4). It is not registered for ``.mib``, because
RosettaSciIO reads these files too, with the rows of the detector upside down and without the scan
shape; two readers for one suffix would make every ``hs.load`` of one ambiguous.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stem_plugins.io import Scan, read_scan, scan_axes, scan_metadata
from stem_plugins.io.scan_date import scan_date
from stem_plugins.lazy.blocks import is_lazy

if TYPE_CHECKING:
    from stem_plugins.hyperspy.signals import STEM4D

__all__ = ["file_reader", "load"]

#: HyperSpy's own formats, which keep everything that a signal knows.
HYPERSPY_FORMATS = (".hspy", ".zspy")


def load(path: str | PathLike[str], *, lazy: bool = True, **options: Any) -> STEM4D:
    """Open a 4D-STEM file as a signal.

    Parameters
    ----------
    path
        Any file that `stem_plugins.read_scan` reads: ``.mib``, ``.hspy``, ``.zspy``, ``.h5``,
        ``.npy`` and the 4D formats of RosettaSciIO.
    lazy
        Whether patterns are read only when they are needed.
    **options
        As for `stem_plugins.read_scan`, such as ``scan_shape`` or ``beam_energy``.

    Returns
    -------
    LazySTEM4D or STEM4D
        With the calibration that the file knows.

    Raises
    ------
    FileNotFoundError, ValueError
        As for `stem_plugins.read_scan`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from stem_plugins import Acquisition, write_merlin
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "scan.mib"
    >>> write_merlin(path, np.ones((2, 3, 8, 8), "uint16"), acquisition=Acquisition(scan_step=0.2))
    >>> signal = load(path)
    >>> signal, signal.acquisition.scan_step
    (<LazySTEM4D, title: scan, dimensions: (3, 2|8, 8)>, (0.2, 0.2))
    """
    from stem_plugins.hyperspy.signals import STEM4D, LazySTEM4D

    path = Path(path)
    if path.suffix.lower() in HYPERSPY_FORMATS and path.exists() and not options:
        signal = _load_hyperspy(path, lazy)
        if isinstance(signal, STEM4D) and signal.axes_manager.navigation_dimension == 2:
            return signal
    scan = read_scan(path, lazy=lazy, **options)
    signal_class = LazySTEM4D if is_lazy(scan.data) else STEM4D
    return signal_class(**_signal_dictionary(scan, path))


def _load_hyperspy(path: Path, lazy: bool) -> Any:
    import hyperspy.api as hs

    # RosettaSciIO opens lazy data for writing, which fails for files that may only be read.
    options = {"mode": "r"} if lazy else {}
    return hs.load(path, lazy=lazy, signal_type="4d_stem", **options)


def file_reader(
    filename: str | PathLike[str], lazy: bool = False, **options: Any
) -> list[dict[str, Any]]:
    """Read a file in the way of RosettaSciIO, for ``hs.load(filename, file_format=reader)``.

    Parameters
    ----------
    filename
        As for `load`.
    lazy
        Whether the data are a dask array.
    **options
        As for `load`.

    Returns
    -------
    list of dict
        One signal: ``data``, ``axes``, ``metadata``, ``original_metadata``.
    """
    scan = read_scan(filename, lazy=lazy, **options)
    return [_signal_dictionary(scan, Path(filename))]


def _signal_dictionary(scan: Scan, path: Path) -> dict[str, Any]:
    taken = scan_date(scan.metadata)
    return {
        "data": scan.data,
        "axes": scan_axes(scan.data.shape, scan.acquisition),
        "metadata": scan_metadata(
            scan.acquisition, path.stem, largest_count=scan.largest_count, taken=taken
        ),
        "original_metadata": dict(scan.metadata),
    }
