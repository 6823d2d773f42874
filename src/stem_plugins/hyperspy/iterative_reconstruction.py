"""Iterative ptychography of a signal: what is missing from its calibration, progress, result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hyperspy.signal import BaseSignal

from stem_plugins.hyperspy.ptychography_signals import PtychographySignals, ptychography_signals
from stem_plugins.hyperspy.scan_check import check_scan
from stem_plugins.hyperspy.scan_images import shows_progress
from stem_plugins.hyperspy.virtual_detectors import virtual_detector

if TYPE_CHECKING:
    from stem_plugins.ptychography import Progress, PtychographyResult

__all__ = ["reconstruct"]


def reconstruct(
    signal: Any,
    *,
    mask: Any,
    scan_mask: Any,
    probe: Any,
    vacuum: Any,
    device: str,
    threads: int | None,
    resume: PtychographySignals | PtychographyResult | str | Path | None,
    callback: Callable[[Progress], bool | None] | None,
    checkpoint: str | Path | None,
    checkpoint_minutes: float,
    show_progressbar: bool | None,
    **options: Any,
) -> PtychographySignals:
    """Check what can be checked before the patterns are read, and reconstruct.

    Parameters
    ----------
    signal
        4D data.
    mask, scan_mask, probe, vacuum, device, threads, resume, callback, checkpoint, \
checkpoint_minutes, show_progressbar
        As for `STEM4D.ptychography`.
    **options
        All fields of `stem_plugins.ptychography.Choices`.
    """
    from stem_plugins.ptychography import Choices, iterative_ptychography
    from stem_plugins.ptychography.geometry import scan_geometry
    from stem_plugins.ptychography.orientation import with_rotation

    check_scan(signal)
    before = _resumed(resume)
    options, earlier = _without_earlier(options)
    chosen = _given(options, before)
    if before is None:
        Choices(**chosen)
    if earlier is not None:
        chosen["first_guess"] = earlier
    shape = signal.data.shape
    scan_geometry(shape[:2], shape[2:], signal.acquisition)
    acquisition = signal.acquisition
    if before is None:
        acquisition = with_rotation(
            acquisition,
            lambda: signal.estimate_rotation(show_progressbar=show_progressbar),
            keep="signal.set_acquisition(scan_rotation={}, flip_y={})",
            stacklevel=4,
        )
    with _progress(shows_progress(show_progressbar), callback) as report:
        result = iterative_ptychography(
            signal.data,
            acquisition,
            mask=_mask(signal, mask),
            scan_mask=_array(scan_mask),
            probe=_array(probe),
            vacuum=_array(vacuum),
            largest_count=signal.metadata.get_item("stem_plugins.largest_count", None),
            device=device,
            threads=threads,
            resume=before,
            callback=report,
            checkpoint=checkpoint,
            checkpoint_minutes=checkpoint_minutes,
            **chosen,
        )
    method = "dgp" if result.settings["prior"] == "dgp" else "ptychography"
    return ptychography_signals(signal, result, method=method)


def _resumed(resume: object) -> PtychographyResult | None:
    """Return the arrays of what is to go on."""
    from stem_plugins.ptychography import PtychographyResult, load_ptychography

    if isinstance(resume, PtychographySignals):
        return resume.result
    if isinstance(resume, (str, Path)):
        return load_ptychography(resume)
    if resume is None or isinstance(resume, PtychographyResult):
        return resume
    raise TypeError(
        "resume must be what ptychography() or dgp() returned, its result, or the file of one "
        f"(.h5), not {resume!r}."
    )


def _without_earlier(
    options: Mapping[str, Any],
) -> tuple[Mapping[str, Any], PtychographyResult | None]:
    """Take an earlier result, which may be the first guess, out of the options."""
    from stem_plugins.ptychography import PtychographyResult
    from stem_plugins.ptychography.vocabulary import EARLIER

    earlier = options["first_guess"]
    if isinstance(earlier, PtychographySignals):
        earlier = earlier.result
    if isinstance(earlier, PtychographyResult):
        return {**options, "first_guess": EARLIER}, earlier
    return options, None


def _given(options: Mapping[str, Any], before: PtychographyResult | None) -> dict[str, Any]:
    """Options other than the usual ones; of a resumed result, other than its own."""
    from stem_plugins.ptychography import Choices
    from stem_plugins.ptychography.choices import checked_options

    if options["regularization"] is None:
        options = {**options, "regularization": Choices().regularization}
    options = checked_options(options)
    given = Choices().changes(options)
    if before is None:
        return given
    given["prior"] = options["prior"]
    return Choices.from_settings(before.settings).changes(given)


def _array(given: Any) -> Any:
    return given.data if isinstance(given, BaseSignal) else given


def _mask(signal: Any, description: Any) -> np.ndarray | None:
    if description is None:
        return None
    mask = virtual_detector(signal, description).mask
    if mask.dtype != bool:
        raise ValueError(
            f"mask says which pixels count, True or False for each; weights ({mask.dtype}) have "
            "no place in a likelihood. Give mask > 0."
        )
    return mask


@contextlib.contextmanager
def _progress(
    wanted: bool, callback: Callable[[Progress], bool | None] | None
) -> Iterator[Callable[[Progress], bool | None] | None]:
    """A bar over the iterations with stage and losses, which also calls the user's callback."""
    if not wanted:
        yield callback
        return
    from tqdm.auto import tqdm

    with tqdm(bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} to go") as bar:

        def report(progress: Progress) -> bool | None:
            bar.total = progress.iterations
            bar.set_description_str(str(progress), refresh=False)
            bar.update(max(0.0, progress.done - bar.n))
            return callback(progress) if callback is not None else None

        yield report
