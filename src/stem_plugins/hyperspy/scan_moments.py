"""What one pass over a scan gives, as HyperSpy signals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import hyperspy.api as hs
import numpy as np
from hyperspy.signal import BaseSignal

from stem_plugins import imaging
from stem_plugins.hyperspy.calibration import read_acquisition
from stem_plugins.hyperspy.results import image_result, pattern_result, vector_result
from stem_plugins.hyperspy.virtual_detectors import VirtualDetector, virtual_detector
from stem_plugins.imaging import Moments

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["ScanMoments", "com_result", "one_pass", "scan_moments"]


@dataclasses.dataclass(frozen=True)
class ScanMoments:
    """All results of one pass over a scan, as calibrated signals; lazy where the scan is.

    Parameters
    ----------
    total
        STEMImage: sum of each pattern.
    com
        BeamShift: centre of mass minus `center` [px], x first.
    images
        STEMImage of each virtual detector, by name.
    pattern
        ElectronDiffraction2D: mean pattern (PACBED), or ``None`` if not asked for.
    center
        The centre that was subtracted [px], (ky, kx).
    """

    total: BaseSignal
    com: BaseSignal
    images: Mapping[str, BaseSignal]
    pattern: BaseSignal | None
    center: np.ndarray | da.Array

    def compute(self, *, show_progressbar: bool | None = None) -> ScanMoments:
        """Return the same with everything computed in one pass over the data.

        Parameters
        ----------
        show_progressbar
            ``None``: as HyperSpy's preferences say.
        """
        signals = [self.total, self.com, *self.images.values()]
        signals += [self.pattern] if self.pattern is not None else []
        if not self.total._lazy:
            return self
        data = [signal.data for signal in signals]
        *arrays, center = compute_together([*data, self.center], show_progressbar)
        done = [_computed(signal, array) for signal, array in zip(signals, arrays, strict=True)]
        images = dict(zip(self.images, done[2:], strict=False))
        pattern = done[-1] if self.pattern is not None else None
        return ScanMoments(done[0], done[1], images, pattern, center)


def compute_together(arrays: list[Any], show_progressbar: bool | None) -> tuple[Any, ...]:
    """Compute dask arrays in one pass, with HyperSpy's progress bar if it is wanted."""
    import dask
    from tqdm.dask import TqdmCallback

    if show_progressbar is None:
        show_progressbar = hs.preferences.General.show_progressbar
    if not show_progressbar:
        return dask.compute(*arrays)
    with TqdmCallback():
        return dask.compute(*arrays)


def _computed(signal: BaseSignal, array: np.ndarray) -> BaseSignal:
    done = signal._deepcopy_with_new_data(array)
    done._lazy = False
    done._assign_subclass()
    return done


def scan_moments(
    signal: BaseSignal,
    *,
    detectors: Mapping[str, Any],
    mask: Any,
    center: tuple[float, float] | None,
    pattern: bool,
) -> ScanMoments:
    """Do the pass of `stem_plugins.moments` on a signal; see `STEM4D.moments`."""
    described = {name: virtual_detector(signal, value) for name, value in detectors.items()}
    result, used = one_pass(
        signal, detectors=list(described.values()), mask=mask, center=center, pattern=pattern
    )

    def image(data: Any, title: str, method: str, **parameters: Any) -> BaseSignal:
        parameters["mask"] = used["mask"]
        return image_result(
            signal, data, title=title, quantity="Counts", method=method, parameters=parameters
        )

    images = {
        name: image(result.images[index], name, "virtual_image", detector=detector.parameters)
        for index, (name, detector) in enumerate(described.items())
    }
    mean = result.pattern
    return ScanMoments(
        image(result.total, "Total", "total"),
        com_result(signal, result.com, used),
        images,
        None if mean is None else pattern_result(signal, mean, title="Mean pattern"),
        result.center,
    )


def one_pass(
    signal: BaseSignal,
    *,
    detectors: Sequence[VirtualDetector] = (),
    mask: Any = None,
    center: tuple[float, float] | None = None,
    pattern: bool = False,
    vectors: bool = True,
) -> tuple[Moments, dict[str, Any]]:
    """Do the pass on a signal, with its own centre if none is given, and check its patterns.

    Parameters
    ----------
    signal, detectors, mask, center, pattern
        As for `scan_moments`.
    vectors
        Whether the centre of mass is wanted, which empty patterns do not have.

    Returns
    -------
    result : Moments
        Arrays.
    used : dict
        Mask and centre as metadata can hold them.

    Warns
    -----
    UserWarning
        Patterns are saturated or empty; where the data are lazy, when the pass is computed.
    """
    if center is None:
        center = read_acquisition(signal).center
    counted = None if mask is None else virtual_detector(signal, mask)
    stored = signal.metadata.get_item("stem_plugins.largest_count", None)
    largest_count = imaging.largest_count_of(signal.data.dtype, stored)
    check = imaging.warn_of_patterns if vectors else imaging.warn_of_saturation
    result = imaging.moments(
        signal,
        center=center,
        detectors=[detector.mask for detector in detectors],
        mask=None if counted is None else counted.mask,
        pattern=pattern,
        inspect=partial(check, largest_count=largest_count),
    )
    used_mask = None if counted is None else counted.parameters
    used_center = "mean" if center is None else [float(pixel) for pixel in center]
    return result, {"mask": used_mask, "center": used_center}


def com_result(signal: BaseSignal, com: np.ndarray | da.Array, used: Mapping[str, Any]) -> Any:
    """Return a centre-of-mass map (y, x) as a BeamShift."""
    return vector_result(
        signal,
        com,
        unit="px",
        title="Centre of mass",
        quantity="Deflection (px)",
        method="center_of_mass",
        parameters=used,
    )
