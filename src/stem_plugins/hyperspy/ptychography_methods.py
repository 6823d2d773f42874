"""Methods of 4D-STEM signals that use the interference of diffraction discs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperspy.signal import BaseSignal

from stem_plugins import imaging
from stem_plugins.hyperspy.results import delivered, image_result
from stem_plugins.hyperspy.scan_check import check_scan
from stem_plugins.hyperspy.vector_maps import warn_of_unknown_rotation

__all__ = ["PtychographyMethods"]


class PtychographyMethods:
    """Direct ptychography of a scan; part of `STEM4D`."""

    def ssb(
        self: Any,
        *,
        regularization: float | None = None,
        lazy_output: bool | None = None,
        show_progressbar: bool | None = None,
    ) -> BaseSignal:
        """Image by direct (single side band) ptychography.

        Parameters
        ----------
        regularization
            Wiener term, in parts of the largest weight; ``None``: from the noise in the data.
        lazy_output
            Whether the result is lazy; ``None``: as the data are.
        show_progressbar
            ``None``: as HyperSpy's preferences say.

        Returns
        -------
        ComplexSTEMImage
            ``exp(iφ)`` at the scan positions; ``signal.ssb().phase`` is the phase φ [rad] of a
            thin specimen. Atoms are bright.

        Raises
        ------
        MissingCalibrationError
            Beam energy, convergence angle, scan step or detector step is unknown.
        ValueError
            This is no scan of patterns, or the disc does not lie on the detector.

        Warns
        -----
        UserWarning
            The rotation from detector to scan is not known and taken as none.

        See Also
        --------
        stem_plugins.ssb : The same with arrays; there is the mathematics.

        Examples
        --------
        >>> import numpy as np
        >>> from stem_plugins.hyperspy import STEM4D
        >>> signal = STEM4D(np.random.default_rng(0).poisson(3, (8, 9, 16, 16)))
        >>> signal.set_acquisition(
        ...     beam_energy=200, convergence_angle=20, scan_step=0.2, diffraction_step=4,
        ...     scan_rotation=0, center=(7.5, 7.5),
        ... )
        >>> signal.ssb()
        <ComplexSTEMImage, title: Direct ptychography, dimensions: (|9, 8)>
        """
        check_scan(self)
        warn_of_unknown_rotation(self, stacklevel=3)
        image = imaging.ssb(
            self._source(lazy_output).data, self.acquisition, regularization=regularization
        )
        result = image_result(
            self,
            image,
            title="Direct ptychography",
            quantity="Transmission",
            method="ssb",
            parameters={"regularization": regularization},
        )
        return delivered(result, lazy_output, show_progressbar)

    def fit_aberrations(
        self: Any, fit: Sequence[str] = ("defocus", "astigmatism")
    ) -> imaging.AberrationFit:
        """Find aberrations and the rotation from the overlaps of the diffraction discs.

        Parameters
        ----------
        fit
            Some of ``"defocus"``, ``"astigmatism"``, ``"coma"``, ``"trefoil"``, ``"spherical"``,
            ``"rotation"``.

        Returns
        -------
        AberrationFit
            To be kept by ``signal.set_acquisition(**found.acquisition.to_dict())``.

        Raises
        ------
        MissingCalibrationError, ValueError
            As for `ssb`, and where the data do not show what is asked for.

        See Also
        --------
        stem_plugins.fit_aberrations : The same with arrays, and what it assumes.
        """
        check_scan(self)
        return imaging.fit_aberrations(self.data, self.acquisition, fit=fit)
