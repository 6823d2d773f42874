"""What the panel AIRPI does, without its widgets: settings, checks, the work in a thread."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.napari.messages import in_napari_words
from stem_plugins.napari.pytorch import needing_pytorch, spare_threads
from stem_plugins.napari.restoration import Progress, our_warnings
from stem_plugins.napari.scan_check import Check, words_of_unknown
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength
from stem_plugins.rapid_phase_imaging.checks import DIAMETER, NEEDED, check_calibration

if TYPE_CHECKING:
    from stem_plugins.rapid_phase_imaging.result import AirpiResult

__all__ = ["AirpiSettings", "Drawn", "check_scan", "image_scan", "outcome_of", "rows_drawn"]

ANGSTROM_PER_NM = 10.0

NO_ROTATION = (
    "The scan rotation is unknown and taken as zero; the phase is wrong if it is not. The riCOM "
    "panel estimates it."
)
NO_DEFOCUS = "The defocus is unknown and taken as zero."


@dataclasses.dataclass(frozen=True)
class AirpiSettings:
    """Choices of the panel; parameters of `stem_plugins.airpi`."""

    model: str = "default"
    repeat: int | None = None
    oversample: int = 2
    return_evidence: bool = False

    def options(self) -> dict[str, Any]:
        """Return what is not as by default."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """What the thread has found so far.

    Parameters
    ----------
    result
        Of which rows that are to come are NaN.
    words
        What the checks warn of, and what was chosen.
    """

    result: AirpiResult
    words: tuple[str, ...]


def check_scan(shape: tuple[int, ...], acquisition: Acquisition) -> Check:
    """Look whether a scan can be imaged with a calibration; no pattern is read.

    Parameters
    ----------
    shape
        (scan_y, scan_x, ky, kx).
    acquisition
        Its calibration.

    Examples
    --------
    >>> print(check_scan((9, 9, 32, 32), Acquisition(scan_step=1, diffraction_step=2)).problem)
    Unknown: beam energy [keV], convergence semi-angle [mrad]. Enter it in the tab Calibration.
    >>> fine = Acquisition(
    ...     beam_energy=300, convergence_angle=20, scan_step=0.3, diffraction_step=2.0, defocus=0,
    ...     scan_rotation=0,
    ... )
    >>> print(check_scan((9, 9, 32, 32), fine).size)
    Probe 0.12 nm wide; steps of 0.03 nm are 0.25 of that.
    """
    if unknown := words_of_unknown(acquisition, NEEDED):
        return Check(unknown)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            overlap = check_calibration(acquisition)
        except ValueError as error:
            return Check(in_napari_words(str(error)))
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    unit = wavelength(acquisition.beam_energy) / (acquisition.convergence_angle * 1e-3)
    diameter = DIAMETER * unit / ANGSTROM_PER_NM
    size = (
        f"Probe {diameter:.2g} nm wide; steps of {diameter / overlap:.2g} nm are "
        f"{1 / overlap:.2g} of that."
    )
    doubts = [in_napari_words(words) for words in our_warnings(caught)]
    if acquisition.scan_rotation is None:
        doubts.append(NO_ROTATION)
    notes = NO_DEFOCUS if acquisition.defocus is None else ""
    return Check(doubts=" ".join(doubts), size=size, notes=notes)


def image_scan(
    data: Any, acquisition: Acquisition, settings: AirpiSettings, progress: Progress
) -> Iterator[Drawn]:
    """Image a scan strip by strip, watched and stopped by a `Progress`.

    Parameters
    ----------
    data, acquisition
        Of the scan.
    settings, progress
        Of the panel.

    Yields
    ------
    Drawn
        First when all checks are done, then after every strip.

    Raises
    ------
    StoppedError
        The user has stopped it.
    ValueError, OSError, ImportError, MemoryError
        It cannot be done; the message says why.
    """
    with needing_pytorch("AIRPI"):
        from stem_plugins.rapid_phase_imaging.reconstruct import grow_airpi

    growing = grow_airpi(
        data, acquisition, threads=spare_threads(), callback=progress.report, **settings.options()
    )
    with contextlib.closing(growing):  # type: ignore[type-var]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            first = next(growing)
        words = (*our_warnings(caught), *(f"Chosen: {note}." for note in first.notes))
        words = tuple(in_napari_words(word) for word in words)
        yield Drawn(first, words)
        for result in growing:
            yield Drawn(result, words)


def rows_drawn(result: AirpiResult) -> int:
    """Rows of the image that are there, from the top.

    Parameters
    ----------
    result
        Of which rows that are to come are NaN.
    """
    return int(np.count_nonzero(np.isfinite(result.phase[:, 0])))


def outcome_of(result: AirpiResult) -> str:
    """What to say at the end of a whole run.

    Parameters
    ----------
    result
        Of all rows.
    """
    y, x = (step / ANGSTROM_PER_NM for step in result.sampling)
    said = f"Imaged; pixels of {y:.2g} × {x:.2g} nm."
    if result.consistency is None:
        return said
    misfit = float(np.median(result.consistency))
    return (
        f"{said} Patterns differ from those that the image predicts by {misfit:.2g} times the "
        f"noise of counting (median; the hidden layer shows where)."
    )
