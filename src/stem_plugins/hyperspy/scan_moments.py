"""What one pass over a scan gives, as HyperSpy signals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import hyperspy.api as hs
import numpy as np
from hyperspy.signal import BaseSignal

from stem_plugins import imaging
from stem_plugins.hyperspy.calibration import read_acquisition
from stem_plugins.hyperspy.results import image_result, vector_result
from stem_plugins.hyperspy.virtual_detectors import virtual_detector
from stem_plugins.imaging import Moments

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["ScanMoments", "scan_moments"]


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
    center = center or read_acquisition(signal).center
    described = {name: virtual_detector(signal, value) for name, value in detectors.items()}
    counted = None if mask is None else virtual_detector(signal, mask)
    result = imaging.moments(
        signal,
        center=center,
        detectors=[detector.mask for detector in described.values()],
        mask=None if counted is None else counted.mask,
        pattern=pattern,
    )
    used = {"mask": None if counted is None else counted.parameters}

    def image(data: Any, title: str, method: str, **parameters: Any) -> BaseSignal:
        parameters = {**parameters, **used}
        return image_result(
            signal, data, title=title, quantity="Counts", method=method, parameters=parameters
        )

    com = vector_result(
        signal,
        result.com,
        unit="px",
        title="Centre of mass",
        quantity="Deflection (px)",
        method="center_of_mass",
        parameters={"center": center or "mean", **used},
    )
    images = {
        name: image(result.images[index], name, "virtual_image", detector=detector.parameters)
        for index, (name, detector) in enumerate(described.items())
    }
    mean = None if result.pattern is None else _mean_pattern(signal, result)
    return ScanMoments(image(result.total, "Total", "total"), com, images, mean, result.center)


def _mean_pattern(signal: BaseSignal, result: Moments) -> BaseSignal:
    pattern = signal._get_signal_signal(data=result.pattern)
    title = signal.metadata.General.title
    pattern.metadata.General.title = f"Mean pattern of {title}" if title else "Mean pattern"
    for node in ("Acquisition_instrument", "Sample"):
        if signal.metadata.has_item(node):
            pattern.metadata.set_item(node, signal.metadata.get_item(node).as_dictionary())
    pattern.set_signal_type("electron_diffraction")
    return pattern
