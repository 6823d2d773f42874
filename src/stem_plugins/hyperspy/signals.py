"""4D-STEM data in HyperSpy: ``signal_type="4d_stem"``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from hyperspy._signals.lazy import LazySignal
from hyperspy.signal import BaseSignal
from hyperspy.signals import ComplexSignal2D
from pyxem.signals import ElectronDiffraction2D

from stem_plugins.hyperspy.calibration import Calibrated
from stem_plugins.hyperspy.deflection_methods import DeflectionMethods
from stem_plugins.hyperspy.iterative_methods import IterativePtychographyMethods
from stem_plugins.hyperspy.ptychography_methods import PtychographyMethods
from stem_plugins.hyperspy.rapid_phase_methods import RapidPhaseMethods
from stem_plugins.hyperspy.restoration_methods import ScanCorrectionMethods
from stem_plugins.hyperspy.results import delivered, image_result
from stem_plugins.hyperspy.scan_check import check_scan
from stem_plugins.hyperspy.scan_moments import (
    ScanMoments,
    one_pass,
    scan_moments,
)
from stem_plugins.hyperspy.virtual_detectors import annulus, virtual_detector

if TYPE_CHECKING:
    from stem_plugins.hyperspy.interactive import InteractiveRicom

__all__ = ["STEM4D", "ComplexSTEM4D", "LazyComplexSTEM4D", "LazySTEM4D"]


class STEM4D(
    DeflectionMethods,
    PtychographyMethods,
    RapidPhaseMethods,
    IterativePtychographyMethods,
    ScanCorrectionMethods,
    Calibrated,
    ElectronDiffraction2D,
):
    """A 4D-STEM scan: one diffraction pattern per scan position.

    Two navigation axes are the scan, two signal axes the detector. Any signal becomes one by
    ``signal.set_signal_type("4d_stem")`` or ``hs.load(..., signal_type="4d_stem")``; everything
    of pyxem's ``ElectronDiffraction2D`` works on it too.

    Methods read the calibration from `acquisition` and give calibrated signals over the scan
    axes. They follow the data: lazy data give lazy results unless ``lazy_output=False``. Each
    result that is computed on its own is one pass over the data; `moments` gives several in one,
    and its ``com`` can be handed to all methods with a parameter ``com``.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> import numpy as np
    >>> signal = hs.signals.Signal2D(np.random.default_rng(0).poisson(3, (8, 9, 16, 16)))
    >>> signal.set_signal_type("4d_stem")
    >>> signal.set_acquisition(
    ...     beam_energy=200, scan_step=0.2, diffraction_step=1, center=(7.5, 7.5), scan_rotation=0
    ... )
    >>> signal.ricom(7)
    <STEMImage, title: riCOM, dimensions: (|9, 8)>
    >>> signal.virtual_image(4, 8).metadata.stem_plugins.parameters.detector.units
    'mrad'
    """

    _signal_type = "4d_stem"
    _alias_signal_types = ["4D-STEM", "4DSTEM", "4d-stem"]  # noqa: RUF012, HyperSpy's convention

    def moments(
        self,
        *,
        detectors: Mapping[str, Any] | None = None,
        mask: Any = None,
        center: tuple[float, float] | None = None,
        pattern: bool = False,
        lazy_output: bool | None = None,
        show_progressbar: bool | None = None,
    ) -> ScanMoments:
        """Total, centre of mass, virtual detectors and mean pattern in one pass over the data.

        Parameters
        ----------
        detectors
            Virtual detectors by name. Each is a pair of radii (inner, outer), in mrad where the
            detector is calibrated, else in px; a HyperSpy ROI on the detector axes; or an array
            or signal (ky, kx) of booleans or weights.
        mask
            Detector pixels that count, for everything but the mean pattern; in the same forms.
        center
            Undiffracted beam [px], (ky, kx). ``None``: the calibrated one, else the mean centre
            of mass of all patterns.
        pattern
            Whether to average the patterns too.
        lazy_output
            Whether results are lazy; ``None``: as the data are. For lazy data ``False`` computes
            everything at once, in one pass.
        show_progressbar
            ``None``: as HyperSpy's preferences say.

        Returns
        -------
        ScanMoments
            Calibrated signals. Its ``com`` goes into `ricom`, `icom` and others without another
            pass.

        Raises
        ------
        MissingCalibrationError
            A radius is given and the centre is not known.
        ValueError
            This is no scan of patterns, or a detector is unusable.

        Examples
        --------
        >>> signal = STEM4D(np.ones((4, 5, 16, 16)))
        >>> signal.set_acquisition(center=(7.5, 7.5), scan_rotation=0)
        >>> result = signal.moments(detectors={"BF": (0, 3), "ADF": (4, 8)}, pattern=True)
        >>> result.images["ADF"]
        <STEMImage, title: ADF, dimensions: (|5, 4)>
        >>> signal.ricom(5, com=result.com)
        <STEMImage, title: riCOM, dimensions: (|5, 4)>
        """
        check_scan(self)
        result = scan_moments(
            self._source(lazy_output),
            detectors=detectors or {},
            mask=mask,
            center=center,
            pattern=pattern,
        )
        if lazy_output is False:
            return result.compute(show_progressbar=show_progressbar)
        return result

    def virtual_image(
        self,
        inner: float | None = None,
        outer: float | None = None,
        *,
        mask: Any = None,
        center: tuple[float, float] | None = None,
        units: Literal["mrad", "px"] | None = None,
        lazy_output: bool | None = None,
        show_progressbar: bool | None = None,
    ) -> BaseSignal:
        """Image of a virtual detector.

        Parameters
        ----------
        inner, outer
            Radii of an annulus, or of a disc for ``inner=0``, in `units`.
        mask
            Instead of radii: a HyperSpy ROI on the detector axes, or an array or signal (ky, kx)
            of booleans or weights.
        center
            Centre of the annulus [px], (ky, kx); ``None``: the calibrated one.
        units
            ``"mrad"`` or ``"px"``; ``None``: mrad where the detector is calibrated, else px.
        lazy_output, show_progressbar
            As for `moments`.

        Returns
        -------
        STEMImage
            Counts.

        Raises
        ------
        MissingCalibrationError
            The centre, or what turns radii in mrad into px, is not known.
        ValueError
            Neither radii nor a mask are given, or both; or no pixel lies in the detector.
        """
        check_scan(self)
        radii = (inner, outer)
        if (None in radii) if mask is None else (radii != (None, None)):
            raise ValueError("Give either inner and outer radius, or mask=.")
        if mask is None:
            detector = annulus(self, inner, outer, center=center, units=units)
        else:
            detector = virtual_detector(self, mask)
        result, _ = one_pass(
            self._source(lazy_output), detectors=[detector], center=(0, 0), vectors=False
        )
        image = image_result(
            self,
            result.images[0],
            title="Virtual detector",
            quantity="Counts",
            method="virtual_image",
            parameters={"detector": detector.parameters},
        )
        return delivered(image, lazy_output, show_progressbar)

    def interactive_ricom(
        self,
        kernel_size: int = 21,
        *,
        rings: int = 64,
        plot: bool = True,
        display: bool = True,
        toolkit: str | None = None,
        show_progressbar: bool | None = None,
    ) -> InteractiveRicom:
        """Adjust riCOM and a virtual detector with sliders; the images follow at once.

        The patterns are read once, here. In a notebook with ``%matplotlib widget`` the plots are
        live.

        Parameters
        ----------
        kernel_size
            First size of the kernel.
        rings
            Most steps of the virtual detector's radii; the image of each ring is kept.
        plot
            Whether to plot both images.
        display
            Whether to show the sliders; they can be shown later by ``gui()`` of the result.
        toolkit
            As for HyperSpy's other interactive tools, such as ``"ipywidgets"``.
        show_progressbar
            ``None``: as HyperSpy's preferences say.

        Returns
        -------
        InteractiveRicom
            With the signals ``image`` and ``virtual_image``, and all parameters as attributes
            that can be set as well.

        Raises
        ------
        ValueError
            This is no scan of patterns.
        """
        from stem_plugins.hyperspy.interactive import InteractiveRicom

        check_scan(self)
        model = InteractiveRicom(
            self, kernel_size=kernel_size, rings=rings, show_progressbar=show_progressbar
        )
        if plot:
            model.plot()
        if display:
            model.gui(toolkit=toolkit)
        return model


class LazySTEM4D(LazySignal, STEM4D):
    """A `STEM4D` whose patterns are read when they are needed."""


class ComplexSTEM4D(Calibrated, ComplexSignal2D):
    """A scan of complex waves, such as simulated exit waves (``signal_type="4d_stem"``).

    Images are made from intensities: see `intensity`.
    """

    _signal_type = "4d_stem"

    def intensity(self) -> Any:
        """Return what a detector records of the waves, ``|ψ|²``, as a `STEM4D`.

        Examples
        --------
        >>> import numpy as np
        >>> ComplexSTEM4D(np.full((1, 2, 4, 4), 3j)).intensity().data.max()
        np.float64(9.0)
        """
        result = self._deepcopy_with_new_data(self.data.real**2 + self.data.imag**2)
        result._assign_subclass()
        return result


class LazyComplexSTEM4D(LazySignal, ComplexSTEM4D):
    """A `ComplexSTEM4D` whose waves are read when they are needed."""
