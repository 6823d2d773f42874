"""Files that appear complete or not at all.

Everything is written under a temporary name in the folder where it belongs and renamed when it is
finished, so that a failure, a full disk or a cancelled run leaves no half file behind and never
touches what was there before.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

__all__ = ["check_output", "complete_or_nothing"]


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse to write where something would be lost or cannot be written.

    Parameters
    ----------
    path
        The file, or the folder of a ``.zspy``, that is to be written.
    overwrite
        Whether an existing one may be replaced.

    Raises
    ------
    FileExistsError
        It exists and may not be replaced, or is a folder of something else.
    FileNotFoundError
        The folder in which it should lie does not exist.
    """
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"The folder {path.absolute().parent} does not exist.")
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise FileExistsError(
            f"{path} exists already. Choose another name, or allow overwriting it "
            "(overwrite=True in Python, --overwrite in the shell)."
        )
    is_store = (path / ".zgroup").is_file() or (path / "zarr.json").is_file()
    if path.is_dir() and not (path.suffix.lower() == ".zspy" and is_store):
        raise FileExistsError(f"{path} is a folder, which is not overwritten. Choose another name.")


@contextlib.contextmanager
def complete_or_nothing(*paths: Path, overwrite: bool) -> Iterator[list[Path]]:
    """Give temporary names to write to; rename them at the end, or remove them on any failure.

    Parameters
    ----------
    *paths
        The files that are to appear, in this order.
    overwrite
        Whether existing ones may be replaced.

    Yields
    ------
    list of pathlib.Path
        A temporary name for each, in the same folder and with the same suffix.

    Raises
    ------
    FileExistsError, FileNotFoundError
        As `check_output`, before anything is written.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with complete_or_nothing(folder / "a.txt", overwrite=False) as (temporary,):
    ...     _ = temporary.write_text("counts")
    >>> [path.name for path in folder.iterdir()]
    ['a.txt']
    """
    for path in paths:
        check_output(path, overwrite=overwrite)
    mark = uuid.uuid4().hex[:8]
    temporary = [path.with_name(f".{path.stem}-{mark}.part{path.suffix}") for path in paths]
    try:
        yield temporary
        for path in paths:
            # Somebody else may have written it in the meantime.
            check_output(path, overwrite=overwrite)
        for source, target in zip(temporary, paths, strict=True):
            _replace(source, target)
    finally:
        for path in temporary:
            _remove(path)


def _replace(source: Path, target: Path) -> None:
    """Move a file or folder over another one; a folder cannot be replaced in one step."""
    if not target.is_dir():
        os.replace(source, target)
        return
    old = source.with_name(f"{source.name}.old")
    os.replace(target, old)
    try:
        os.replace(source, target)
    except OSError:
        os.replace(old, target)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
