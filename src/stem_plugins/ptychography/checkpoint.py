"""The file that a reconstruction keeps its state in, and what must not be lost by it."""

from __future__ import annotations

import dataclasses
import os
import time
import warnings
from numbers import Real
from pathlib import Path

from stem_plugins.ptychography.processes import is_first
from stem_plugins.ptychography.result import SUFFIX, PtychographyResult, load_ptychography

__all__ = ["Checkpoint", "loaded"]


def loaded(resume: object) -> PtychographyResult | None:
    """Return the result to go on from.

    Parameters
    ----------
    resume
        It, its file, or ``None``.

    Raises
    ------
    TypeError
        It is something else.
    """
    if resume is None or isinstance(resume, PtychographyResult):
        return resume
    if isinstance(resume, (str, os.PathLike)):
        return load_ptychography(Path(resume))
    raise TypeError(
        "resume must be a PtychographyResult, the file of one (.h5) or None, "
        f"not {type(resume).__name__}."
    )


@dataclasses.dataclass(eq=False)
class Checkpoint:
    """Where and how often the state is written.

    Parameters
    ----------
    path
        The file; ``None``: nothing is written.
    minutes
        Between two writings.
    written
        When it was written last, or begun [s], of the monotonic clock.
    """

    path: Path | None
    minutes: float
    written: float = dataclasses.field(default_factory=time.monotonic)

    @classmethod
    def checked(cls, path: object, minutes: object) -> Checkpoint:
        """Refuse before the reconstruction what could not be written after it.

        Parameters
        ----------
        path, minutes
            As the user gave them.

        Raises
        ------
        TypeError, ValueError
            They cannot be used.
        """
        # Also where there is none, as what is wrong in a script is to be known at once.
        if not isinstance(minutes, Real) or isinstance(minutes, bool) or not float(minutes) > 0:
            raise ValueError(f"checkpoint_minutes must be a number above zero, not {minutes!r}.")
        if path is None:
            return cls(None, float(minutes))
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(
                f"checkpoint must be the name of a file ({SUFFIX}) or None, "
                f"not {type(path).__name__}."
            )
        path = Path(path)
        if path.suffix != SUFFIX:
            raise ValueError(f"A checkpoint is written as {SUFFIX}, not as {path.name!r}.")
        if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise ValueError(
                f"The checkpoint {path} cannot be written: give a file in a folder that exists and "
                "can be written."
            )
        return cls(path, float(minutes))

    def check_nothing_is_lost(self, resume: PtychographyResult | str | Path | None) -> None:
        """Refuse to replace a file, unless it is the one that is gone on from.

        Parameters
        ----------
        resume
            What is gone on from: a result, its file, or ``None``.

        Raises
        ------
        ValueError
            There is such a file.
        """
        if self.path is None or not os.path.lexists(self.path):
            return
        if isinstance(resume, PtychographyResult):
            # Nothing is lost where the file holds just this.
            is_same = _holds(self.path, resume)
        else:
            is_same = resume is not None and self.path.exists() and self.path.samefile(resume)
        if not is_same:
            raise ValueError(
                f"The checkpoint {self.path} exists already. Go on from it (resume), remove it, or "
                "give another name."
            )

    def is_due(self) -> bool:
        """Whether the last writing, or the beginning, is long ago."""
        return self.path is not None and time.monotonic() - self.written > 60 * self.minutes

    def keep(self, result: PtychographyResult) -> None:
        """Write it; what goes wrong with that must not cost the reconstruction.

        Parameters
        ----------
        result
            With its state.
        """
        if self.path is None or not is_first():
            return
        try:
            result.save(self.path, overwrite=True)
        except OSError as error:
            warnings.warn(
                f"The checkpoint {self.path} could not be written ({error.strerror or error}); the "
                "reconstruction goes on without.",
                stacklevel=3,
            )
        self.written = time.monotonic()


def _holds(path: Path, result: PtychographyResult) -> bool:
    try:
        return load_ptychography(path).digest() == result.digest()
    except (OSError, ValueError):
        return False
