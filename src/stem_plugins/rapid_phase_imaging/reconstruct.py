"""AIRPI: the phase of a thin specimen from a scan, strip by strip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stem_plugins.lazy.blocks import is_lazy
from stem_plugins.lazy.processors import torch_threads
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.rapid_phase_imaging.coverage import probe_coverage
from stem_plugins.rapid_phase_imaging.drawing import iter_strips, lazy_strips
from stem_plugins.rapid_phase_imaging.networks import EXIT_WAVE, SPATIAL
from stem_plugins.rapid_phase_imaging.planning import POINTS, Plan, plan
from stem_plugins.rapid_phase_imaging.result import AirpiResult
from stem_plugins.rapid_phase_imaging.strips import Strip, image_shape, scan_shape
from stem_plugins.rapid_phase_imaging.wave_drawing import iter_wave_strips, lazy_wave_strips

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["airpi", "grow_airpi", "iter_airpi"]


def airpi(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    *,
    model: str | Path = "default",
    design: str | None = None,
    repeat: int | None = None,
    oversample: int = POINTS,
    device: str = "auto",
    threads: int | None = None,
    force: bool = False,
    return_evidence: bool = False,
    lazy_output: bool | None = None,
    callback: Callable[[float], None] | None = None,
) -> AirpiResult:
    """Image a thin specimen by AI-assisted rapid phase imaging.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), of any real type, NumPy (memory maps included, read in
        place) or dask.
    acquisition
        Needs `beam_energy`, `convergence_angle`, `scan_step` and `diffraction_step`. `defocus` and
        `aberrations` (at half the height of the specimen), `scan_rotation` and `flip_y` are taken
        as none where unknown; the centre of the patterns is measured.
    model
        ``"default"``, ``"exit-wave"``, or the path of a ``.safetensors`` file of
        ``stem-plugins train airpi``.
    design
        ``"spatial"``: a network over the scan corrects direct ptychography. ``"exit-wave"``, the
        published one: a network sees 3 × 3 patterns and draws the wave behind the specimen, and
        these are stitched; hundreds of times slower, and it knows an amplitude, too. ``None``: that
        of the weights, of which the default ones are ``"spatial"``.
    repeat
        Edge of the box of patterns that are summed into one. ``None``: 1, or as many as bring the
        scan step into the range of the training; more may help where patterns have few electrons.
    oversample
        Pixels of the image per scan step.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``.
    threads
        Processor threads of the network; ``None``: as many as there are cores.
    force
        Image also where the step is too large, or the lens too far outside the range.
    return_evidence
        Compare the patterns with those that the image predicts, as `AirpiResult.consistency`, at
        several times the time.
    lazy_output
        Whether the images of dask data are dask arrays, too (``None``: they are), or computed while
        the rows are read once, in little memory (``False``). NumPy data give NumPy arrays.
    callback
        Called with the share that is done, again and again. What it raises ends the work. Not for
        dask data.

    Returns
    -------
    AirpiResult
        With dask data the images are dask arrays, unless `lazy_output` is ``False``. Strips are
        tasks of their own, but the phase is less its mean, so that any part of it needs one pass
        over the scan; ``dask.compute(result.phase, result.amplitude)`` takes one for both.

    Raises
    ------
    MissingCalibrationError
        A needed calibration value is unknown.
    ValueError
        Data or calibration do not allow an image; the message says why and what to do.

    Notes
    -----
    The default is another design than that of the published method: patterns are reduced to virtual
    detectors in units of the aperture, and a network over the scan corrects direct ptychography. It
    was taught thin specimens, up to about 30 Å, at 30 to 300 kV and 5 to 30 mrad. At few electrons
    the phase comes out too small, and what cannot be seen is left out.

    Examples
    --------
    >>> from stem_plugins.simulation import simulate_scan, single_atoms
    >>> acquisition = Acquisition(
    ...     beam_energy=300, convergence_angle=20, scan_step=0.3, diffraction_step=2.0
    ... )
    >>> gold = single_atoms([79], [[3.0, 3.6]], extent=(7.2, 7.2))
    >>> scan = simulate_scan(gold, acquisition, scan_shape=(24, 24), detector_shape=(48, 48))
    >>> image = airpi(scan.data, scan.acquisition, threads=1)
    >>> y, x = np.unravel_index(image.phase.argmax(), image.phase.shape)
    >>> round(float(y * image.sampling[0]), 1), round(float(x * image.sampling[1]), 1)
    (3.0, 3.6)
    """
    planned = plan(
        data,
        acquisition,
        model=model,
        design=design,
        repeat=repeat,
        oversample=oversample,
        device=device,
        force=force,
        return_evidence=return_evidence,
        stacklevel=3,
    )
    if is_lazy(data) and lazy_output is not False:
        if planned.patterns is None:
            phase, consistency = lazy_strips(data, planned)
            return _result(phase, consistency, None, planned)
        phase, amplitude, consistency = lazy_wave_strips(data, planned)
        return _result(phase, consistency, amplitude, planned)
    growing = _Growing(data, planned)
    with torch_threads(threads):
        for strip in _strips(data, planned, callback):
            growing.add(strip)
    return _result(growing.phase, growing.consistency, growing.amplitude, planned)


def _strips(
    data: np.ndarray | da.Array, planned: Plan, callback: Callable[[float], None] | None = None
) -> Iterator[Strip]:
    """The strips of an image, by the design that was planned."""
    drawn = iter_strips if planned.patterns is None else iter_wave_strips
    return drawn(data, planned, callback)


def iter_airpi(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    *,
    model: str | Path = "default",
    design: str | None = None,
    repeat: int | None = None,
    oversample: int = POINTS,
    device: str = "auto",
    threads: int | None = None,
    force: bool = False,
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Image a scan while its rows are read: `airpi`, strip by strip.

    Parameters
    ----------
    data, acquisition, model, design, repeat, oversample, device, threads, force
        As for `airpi`.

    Yields
    ------
    rows : slice
        Of the image.
    phase : ndarray
        Of these rows [rad], all columns. Beside `airpi` a constant is missing, the same in all
        strips: nobody knows the mean of the whole before its end.
    """
    planned = plan(
        data,
        acquisition,
        model=model,
        design=design,
        repeat=repeat,
        oversample=oversample,
        device=device,
        force=force,
        return_evidence=False,
        stacklevel=3,
    )
    with torch_threads(threads):
        for strip in _strips(data, planned):
            yield strip.rows, strip.phase


def grow_airpi(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    *,
    model: str | Path = "default",
    design: str | None = None,
    repeat: int | None = None,
    oversample: int = POINTS,
    device: str = "auto",
    threads: int | None = None,
    force: bool = False,
    return_evidence: bool = False,
    callback: Callable[[float], None] | None = None,
) -> Iterator[AirpiResult]:
    """Image a scan before somebody's eyes: `airpi`, with all that it gives, as the rows come.

    Parameters
    ----------
    data, acquisition, model, design, repeat, oversample, device, threads, force
        As for `airpi`; the result of dask data is NumPy, too.
    return_evidence, callback
        As for `airpi`.

    Yields
    ------
    AirpiResult
        First, when all checks are done, without any row, and then after every strip: rows of phase
        and consistency that are to come are NaN. The last is that of `airpi`.
    """
    planned = plan(
        data,
        acquisition,
        model=model,
        design=design,
        repeat=repeat,
        oversample=oversample,
        device=device,
        force=force,
        return_evidence=return_evidence,
        stacklevel=3,
    )
    growing = _Growing(data, planned)
    yield (shown := _result(growing.phase, *growing.others(), planned))
    with torch_threads(threads):
        for strip in _strips(data, planned, callback):
            growing.add(strip)
            yield (shown := growing.result(shown))


class _Growing:
    """Image and map of evidence, of which the rows that are to come are NaN."""

    def __init__(self, data: np.ndarray | da.Array, planned: Plan) -> None:
        self.phase = np.full(image_shape(data, planned), np.nan, np.float32)
        self.amplitude = None if planned.patterns is None else np.full_like(self.phase, np.nan)
        self.consistency: NDArray[np.float32] | None = None
        if planned.comparison is not None:
            self.consistency = np.full(scan_shape(data, planned), np.nan, np.float32)

    def add(self, strip: Strip) -> None:
        self.phase[strip.rows] = strip.phase
        if self.amplitude is not None:
            self.amplitude[strip.rows] = strip.amplitude
        if self.consistency is not None:
            self.consistency[strip.boxes] = strip.consistency
        self._last = strip.rows.stop

    def others(self) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """Copies of the map of evidence and of the amplitude."""
        return (
            None if self.consistency is None else self.consistency.copy(),
            None if self.amplitude is None else self.amplitude.copy(),
        )

    def result(self, before: AirpiResult) -> AirpiResult:
        """A result with the rows so far, which do not change when others come."""
        consistency, amplitude = self.others()
        phase = self.phase - self.phase[: self._last].mean()
        return dataclasses.replace(
            before, phase=phase, consistency=consistency, amplitude=amplitude
        )


def _result(phase: Any, consistency: Any, amplitude: Any, planned: Plan) -> AirpiResult:
    assert planned.acquisition.scan_step is not None
    step_y, step_x = planned.acquisition.scan_step
    # A box of patterns is as one pattern in its middle.
    middle = (planned.repeat - 1) / 2
    parameters = {
        "model": planned.model,
        "design": SPATIAL if planned.patterns is None else EXIT_WAVE,
        "repeat": planned.repeat,
        "oversample": planned.oversample,
        "electrons_per_pattern": planned.conditions.electrons,
    }
    return AirpiResult(
        phase - phase.mean(),
        (step_y / planned.oversample, step_x / planned.oversample),
        (middle * step_y, middle * step_x),
        probe_coverage(phase.shape, planned.acquisition, planned.oversample),
        planned.repeat,
        parameters,
        planned.notes,
        consistency if planned.comparison is not None else None,
        amplitude,
    )
