"""The folder that results go to."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["check_folder", "folder_for_results"]


def check_folder(folder: Path) -> None:
    """Refuse, before anything is read, a folder in which no file can be made.

    Parameters
    ----------
    folder
        Where results will go. Where it does not exist, that above it is tried; nothing is left.

    Raises
    ------
    OSError
        It is a file, cannot be written, or cannot be made.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise FileExistsError(f"{folder} is a file; give a folder for the results.")
        # Processes that work together must not take a folder away from each other.
        absolute = folder.absolute()
        above = next(place for place in (absolute, *absolute.parents) if place.exists())
        with tempfile.NamedTemporaryFile(dir=above, prefix=".writable-", suffix=".part"):
            pass
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(
            f"{folder} cannot be written: {error.strerror}; give a folder that can be."
        ) from error


@contextlib.contextmanager
def folder_for_results(path: Path) -> Iterator[None]:
    """Make a folder, and take it away again where nothing came into it."""
    made = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise
