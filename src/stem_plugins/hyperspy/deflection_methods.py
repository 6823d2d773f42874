"""Methods of 4D-STEM signals that are about deflections: centre of mass and what is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from hyperspy.signal import BaseSignal

from stem_plugins.hyperspy import vector_maps
from stem_plugins.hyperspy.results import delivered, parameters_of
from stem_plugins.hyperspy.scan_check import check_scan
from stem_plugins.hyperspy.scan_moments import com_result, compute_together, one_pass
from stem_plugins.hyperspy.vector_maps import VectorMap
from stem_plugins.hyperspy.virtual_detectors import virtual_detector
from stem_plugins.imaging import RotationEstimate, dark_field_detector, moments
from stem_plugins.imaging.center_of_mass import check_vectors
from stem_plugins.imaging.ricom import check_kernel_size

__all__ = ["DeflectionMethods"]

Descan = Literal["plane", "parabola"] | None


class DeflectionMethods:
    """Centre of mass, riCOM, iCOM, fields and rotation of a scan; part of `STEM4D`."""

    # Of the HyperSpy signal that this is a part of.
    if TYPE_CHECKING:
        data: Any
        acquisition: Any
        axes_manager: Any
        _lazy: bool
        as_lazy: Any

    def center_of_mass(
        self,
        mask: Any = None,
        center: tuple[float, float] | None = None,
        *,
        lazy_output: bool | None = None,
        show_progressbar: bool | None = None,
    ) -> BaseSignal:
        """Centre of mass of every pattern, minus the centre of the undiffracted beam.

        Parameters
        ----------
        mask, center, lazy_output, show_progressbar
            As for `moments`. An annulus as mask gives the annular centre of mass.

        Returns
        -------
        BeamShift
            pyxem's signal, in px of the detector as stored; component 0 is x (along kx), 1 is y
            (along ky, pointing down). The sign says where the beam went: centre of mass minus
            centre. pyxem's ``get_direct_beam_position`` gives the opposite, what brings the beam
            back; for ``center_direct_beam`` pass ``shifts=-signal.center_of_mass(...)`` with the
            middle of the detector, ``(ky / 2, kx / 2)``, as centre.

        Raises
        ------
        ValueError
            This is no scan of patterns, or the mask is unusable.

        Examples
        --------
        >>> from stem_plugins.hyperspy import STEM4D
        >>> patterns = np.zeros((1, 2, 5, 5))
        >>> patterns[0, 0, 2, 2] = patterns[0, 1, 2, 4] = 1
        >>> STEM4D(patterns).center_of_mass(center=(2, 2)).data.tolist()
        [[[0.0, 0.0], [2.0, 0.0]]]
        """
        com = self._vector_map(None, mask, center, lazy_output)
        result = com_result(self, com.vectors, com.parameters)
        return delivered(result, lazy_output, show_progressbar)

    def ricom(
        self,
        kernel_size: int = 21,
        *,
        low: float | None = None,
        high: float | None = None,
        descan: Descan = None,
        mask: Any = None,
        center: tuple[float, float] | None = None,
        com: BaseSignal | None = None,
        lazy_output: bool | None = None,
        show_progressbar: bool | None = None,
    ) -> BaseSignal:
        """Image by real-time integrated centre of mass (riCOM).

        Parameters
        ----------
        kernel_size
            Side of the kernel [scan positions], odd. Small kernels show detail and suppress slow
            changes.
        low, high
            Pass band [1/Å where the scan step is known, else cycles per scan position].
        descan
            ``"plane"`` or ``"parabola"``: slow drift of the beam over the detector that is
            removed before; see `stem_plugins.remove_descan`.
        mask, center
            As for `center_of_mass`.
        com
            A map of vectors that exists already, in px of the detector: a ``BeamShift`` (in
            either direction, see `stem_plugins.hyperspy.vector_maps`), or an array
            (scan_y, scan_x, 2) of vectors (y, x). The patterns are then not read.
        lazy_output, show_progressbar
            As for `moments`.

        Returns
        -------
        STEMImage
            Phase [rad] where beam energy, detector step and scan step are known, else in the
            unit that ``metadata.Signal.quantity`` names. Atoms are bright.

        Raises
        ------
        ValueError
            This is no scan of patterns, or the kernel or its filter is unusable.

        Warns
        -----
        UserWarning
            The rotation from detector to scan is not known and taken as none.

        References
        ----------
        C.-P. Yu, T. Friedrich et al., Microscopy and Microanalysis 28, 1526 (2022).
        """
        check_scan(self)
        # Before the pass, which may take long.
        check_kernel_size(kernel_size, self.data.shape[:2])
        com = self._vector_map(com, mask, center, lazy_output)
        image = vector_maps.ricom(com, kernel_size, low=low, high=high, descan=descan)
        return delivered(image, lazy_output, show_progressbar)

    def icom(
        self,
        *,
        high_pass: float | None = None,
        descan: Descan = None,
        mask: Any = None,
        center: tuple[float, float] | None = None,
        com: BaseSignal | None = None,
        lazy_output: bool | None = None,
        show_progressbar: bool | None = None,
    ) -> BaseSignal:
        """Image by integrated centre of mass over the whole scan (iCOM).

        Parameters
        ----------
        high_pass
            Frequency at which a smooth high-pass filter passes half [1/Å where the scan step is
            known, else cycles per scan position].
        descan, mask, center, com, lazy_output, show_progressbar
            As for `ricom`.

        Returns
        -------
        STEMImage
            As for `ricom`, of mean zero.

        Raises
        ------
        ValueError
            This is no scan of patterns, or the filter is unusable.
        """
        com = self._vector_map(com, mask, center, lazy_output)
        image = vector_maps.icom(com, high_pass=high_pass, descan=descan)
        return delivered(image, lazy_output, show_progressbar)

    def divergence(
        self,
        *,
        descan: Descan = None,
        mask: Any = None,
        center: tuple[float, float] | None = None,
        com: BaseSignal | None = None,
        lazy_output: bool | None = None,
        show_progressbar: bool | None = None,
    ) -> BaseSignal:
        """Divergence of the deflection (dCOM); negative at atoms.

        Parameters
        ----------
        descan, mask, center, com, lazy_output, show_progressbar
            As for `ricom`.

        Returns
        -------
        STEMImage
            [rad/Å²] where fully calibrated; ``metadata.Signal.quantity`` names the unit.
        """
        com = self._vector_map(com, mask, center, lazy_output)
        image = vector_maps.divergence(com, descan=descan)
        return delivered(image, lazy_output, show_progressbar)

    def electric_field(
        self,
        *,
        descan: Descan = None,
        mask: Any = None,
        center: tuple[float, float] | None = None,
        com: BaseSignal | None = None,
        lazy_output: bool | None = None,
        show_progressbar: bool | None = None,
    ) -> BaseSignal:
        """Projected electric field of a thin specimen, in the scan frame.

        Parameters
        ----------
        descan, mask, center, com, lazy_output, show_progressbar
            As for `ricom`.

        Returns
        -------
        BeamShift
            Field times thickness [V], x first; it points away from atoms.

        Raises
        ------
        MissingCalibrationError
            Beam energy or detector step is not known.
        """
        self.acquisition.require("beam_energy", "diffraction_step")
        com = self._vector_map(com, mask, center, lazy_output)
        field = vector_maps.electric_field(com, descan=descan)
        return delivered(field, lazy_output, show_progressbar)

    def estimate_rotation(
        self,
        *,
        reference: Any = None,
        mask: Any = None,
        com: BaseSignal | None = None,
        show_progressbar: bool | None = None,
    ) -> RotationEstimate:
        """Estimate the rotation and mirroring from detector to scan frame.

        Parameters
        ----------
        reference
            Image (signal or array) in which atoms are bright. ``None``: the dark field from
            outside the bright-field disc, taken in the same pass, where the convergence angle and
            the detector are calibrated and `com` is not given.
        mask, com, show_progressbar
            As for `ricom`.

        Returns
        -------
        RotationEstimate
            To be kept by ``signal.set_acquisition(scan_rotation=estimate.angle,
            flip_y=estimate.flip_y)``, after a look at its ``confidence``.

        Raises
        ------
        ValueError
            This is no scan of patterns, or the scan is too small.
        """
        if com is None and reference is None:
            vectors, reference = self._with_dark_field(mask)
        else:
            vectors = self._vector_map(com, mask, None, None).vectors
        if isinstance(reference, BaseSignal):
            reference = reference.data
        vectors, reference = compute_together([vectors, reference], show_progressbar)
        if reference is not None and not np.ptp(reference) > 0:
            reference = None
        return vector_maps.estimate_rotation(VectorMap(self, vectors, {}), reference=reference)

    def _with_dark_field(self, mask: Any) -> tuple[Any, Any]:
        """Return centre of mass and dark-field image (or ``None``) of one pass."""
        check_scan(self)
        acquisition = self.acquisition
        if acquisition.convergence_angle is None or acquisition.diffraction_step is None:
            return one_pass(self, mask=mask)[0].com, None
        place = acquisition.center or self.estimate_center()
        shape = self.axes_manager.signal_shape[::-1]
        dark_field = dark_field_detector(shape, acquisition, center=place)
        if dark_field is None:
            return one_pass(self, mask=mask)[0].com, None
        detectors = [virtual_detector(self, dark_field)]
        result, _ = one_pass(self, detectors=detectors, mask=mask)
        return result.com, result.images[0]

    def estimate_center(self, *, mask: Any = None, rows: int = 16) -> tuple[float, float]:
        """Estimate the place of the undiffracted beam as the mean centre of mass.

        Parameters
        ----------
        mask
            Detector pixels that count, as for `moments`.
        rows
            How many scan rows to read, spread evenly over the scan.

        Returns
        -------
        tuple of float
            (ky, kx) [px]; to be kept by ``signal.set_acquisition(center=...)``.

        Raises
        ------
        ValueError
            This is no scan of patterns.

        Examples
        --------
        >>> from stem_plugins.hyperspy import STEM4D
        >>> patterns = np.zeros((3, 4, 9, 9))
        >>> patterns[:, :, 3, 5] = 1
        >>> STEM4D(patterns).estimate_center()
        (3.0, 5.0)
        """
        check_scan(self)
        chosen = np.unique(np.linspace(0, self.data.shape[0] - 1, rows).round().astype(int))
        if mask is not None:
            mask = virtual_detector(self, mask)
        found = moments(self.data[chosen], mask=None if mask is None else mask.mask)
        y, x = np.asarray(found.center)
        return float(y), float(x)

    def _source(self, lazy_output: bool | None) -> Any:
        """Return the data as the result is wanted: lazy results need a lazy source."""
        return self.as_lazy() if lazy_output and not self._lazy else self

    def _vector_map(
        self, com: Any, mask: Any, center: tuple[float, float] | None, lazy_output: bool | None
    ) -> VectorMap:
        """Return the centre of mass, or a given map, on the axes and calibration of this scan."""
        check_scan(self)
        if com is None:
            result, used = one_pass(self._source(lazy_output), mask=mask, center=center)
            return VectorMap(self, result.com, used)
        if mask is not None or center is not None:
            raise ValueError("mask and center belong to the pass that made com; leave them out.")
        if isinstance(com, BaseSignal):
            vectors = vector_maps.vector_map(com).vectors
        else:
            vectors = check_vectors(com)
        if vectors.shape[:2] != self.data.shape[:2]:
            raise ValueError(
                f"com has {vectors.shape[:2]} scan positions, this scan {self.data.shape[:2]}."
            )
        return VectorMap(self, vectors, parameters_of(com))
