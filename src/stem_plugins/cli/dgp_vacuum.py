"""The pattern without specimen that ``stem-plugins dgp --vacuum`` takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stem_plugins.cli.options import check_is_file

if TYPE_CHECKING:
    from stem_plugins.io.scan import Scan

__all__ = ["about_vacuum", "vacuum_pattern"]


def vacuum_pattern(path: Path | None, scan: Scan) -> np.ndarray | None:
    """Return the mean pattern of a scan without specimen, or the only pattern of a file.

    Parameters
    ----------
    path
        The file; ``None`` where none was given.
    scan
        That it is for.

    Raises
    ------
    ValueError
        It cannot be read; names option and file, as `about_vacuum` does where it does not fit.
    """
    if path is None:
        return None
    try:
        check_is_file(path)
        return _mean_pattern(path, scan.acquisition.beam_energy)
    except (ValueError, OSError) as error:
        raise ValueError(f"--vacuum {path.name or path}: {error}") from error


@contextlib.contextmanager
def about_vacuum(path: Path | None) -> Iterator[None]:
    """Name option and file in what the reconstruction says of its vacuum pattern."""
    try:
        yield
    except ValueError as error:
        if path is None or "vacuum" not in str(error):
            raise
        raise ValueError(f"--vacuum {path.name or path}: {error}") from error


def _mean_pattern(path: Path, beam_energy: float | None) -> np.ndarray:
    from stem_plugins.io.formats import read_scan
    from stem_plugins.io.merlin_layout import UnknownScanShapeError

    try:
        data = read_scan(path, beam_energy=beam_energy).data
    except UnknownScanShapeError as error:
        # Where the patterns were taken says nothing of their mean.
        data = read_scan(path, scan_shape=(1, error.frames), beam_energy=beam_energy).data
    except ValueError:
        pattern = _only_pattern(path)
        if pattern is None:
            raise
        return pattern
    return np.asarray(data.mean(axis=(0, 1), dtype=float))


def _only_pattern(path: Path) -> np.ndarray | None:
    """Mean of a file's only array, (ky, kx) or frames of it; ``None`` where it holds another."""
    from stem_plugins.io.formats import is_hyperspy_file, read_signals
    from stem_plugins.io.image_files import ARRAY_FILES, read_images

    suffix = path.suffix.lower()
    if suffix in (".mib", ".hdr"):
        return None
    try:
        if suffix in ARRAY_FILES and not is_hyperspy_file(path):
            found = [image.data for image in read_images(path)]
        else:
            # Not by read_images, which refuses what is calibrated as a pattern.
            found = [signal["data"] for signal in read_signals(path, lazy=False, options={})]
    except ValueError:
        return None
    if len(found) != 1 or found[0].ndim not in (2, 3) or found[0].dtype.kind not in "buif":
        return None
    if found[0].ndim == 3:
        return np.asarray(found[0].mean(axis=0, dtype=float))
    return np.asarray(found[0], float)
