"""STEM images: calibrated results of 4D-STEM methods, and measured images."""

from __future__ import annotations

from hyperspy._signals.lazy import LazySignal
from hyperspy.signals import ComplexSignal2D, Signal2D

from stem_plugins.hyperspy.calibration import Calibrated
from stem_plugins.hyperspy.restoration_methods import RestorationMethods

__all__ = ["ComplexSTEMImage", "LazyComplexSTEMImage", "LazySTEMImage", "STEMImage"]


class STEMImage(RestorationMethods, Calibrated, Signal2D):
    """An image over scan positions, real (``signal_type="stem_image"``).

    ``acquisition`` and ``set_acquisition`` give and change the calibration; what made a result
    stands in ``metadata.stem_plugins``.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> import numpy as np
    >>> image = hs.signals.Signal2D(np.eye(4))
    >>> image.set_signal_type("stem_image")
    >>> image.set_acquisition(scan_step=0.2)
    >>> image
    <STEMImage, title: , dimensions: (|4, 4)>
    """

    _signal_type = "stem_image"


class LazySTEMImage(LazySignal, STEMImage):
    """A `STEMImage` that is not computed yet."""


class ComplexSTEMImage(RestorationMethods, Calibrated, ComplexSignal2D):
    """An image over scan positions, complex: an exit wave, an object function."""

    _signal_type = "stem_image"


class LazyComplexSTEMImage(LazySignal, ComplexSTEMImage):
    """A `ComplexSTEMImage` that is not computed yet."""
