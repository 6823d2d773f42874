"""AI-assisted rapid phase imaging of a signal, and what it gives as signals."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.hyperspy.calibration import scan_axes
from stem_plugins.hyperspy.results import finer_axis, image_result
from stem_plugins.hyperspy.scan_check import check_scan
from stem_plugins.hyperspy.scan_images import share_progress, shows_progress
from stem_plugins.hyperspy.vector_maps import warn_of_unknown_rotation
from stem_plugins.lazy.blocks import is_lazy

if TYPE_CHECKING:
    from stem_plugins.hyperspy.stem_image import ComplexSTEMImage, STEMImage
    from stem_plugins.rapid_phase_imaging import AirpiResult

__all__ = ["AirpiSignals", "RapidPhaseMethods"]


@dataclasses.dataclass(frozen=True, eq=False)
class AirpiSignals:
    """Images of a scan by AIRPI, in the unit of the scan axes.

    Parameters
    ----------
    phase
        [rad], of mean zero; atoms are bright. That of the default design is not wrapped.
    transmission
        ``A exp(iφ)``, of which ``amplitude`` and ``phase`` are images too.
    coverage
        How many probes light each pixel, over what the middle of a large scan gets.
    consistency
        How far each recorded pattern is from the one that the image predicts, in units of the noise
        of counting; ``None`` where it was not asked for.
    notes
        What was chosen, and why.
    """

    phase: STEMImage
    transmission: ComplexSTEMImage
    coverage: STEMImage
    consistency: STEMImage | None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        signals = (self.phase, self.transmission, self.coverage, self.consistency)
        lines = [f"  {signal}" for signal in signals if signal is not None]
        return "\n".join(["AirpiSignals", *lines, *(f"  {words}" for words in self.notes)])


class RapidPhaseMethods:
    """AI-assisted rapid phase imaging of a scan; part of `STEM4D`."""

    def airpi(
        self: Any,
        *,
        model: str | Path = "default",
        design: str | None = None,
        repeat: int | None = None,
        oversample: int = 2,
        device: str = "auto",
        threads: int | None = None,
        force: bool = False,
        return_evidence: bool = False,
        lazy_output: bool | None = None,
        show_progressbar: bool | None = None,
    ) -> AirpiSignals:
        """Image a thin specimen by AI-assisted rapid phase imaging.

        Parameters
        ----------
        model
            ``"default"``, ``"exit-wave"``, or the path of a ``.safetensors`` file of
            ``stem-plugins train airpi``.
        design
            ``"spatial"``, or ``"exit-wave"``, the published one, which is hundreds of times slower
            and knows an amplitude, too; ``None``: that of the weights.
        repeat
            Edge of the box of patterns that are summed into one; ``None``: as the step needs it.
        oversample
            Pixels of the image per scan step.
        device
            ``"auto"``: a GPU if torch sees one; ``"cpu"``, ``"cuda"``.
        threads
            Processor threads; ``None``: as many as there are cores.
        force
            Image also where the step is too large, or the lens too far outside the range.
        return_evidence
            Compare the patterns with those that the image predicts, at several times the time.
        lazy_output
            Whether the images are lazy; ``None``: as the data are.
        show_progressbar
            ``None``: as HyperSpy's preferences say.

        Returns
        -------
        AirpiSignals
            Phase, transmission, coverage and consistency, calibrated.

        Raises
        ------
        MissingCalibrationError
            Beam energy, convergence angle, scan step or detector step is unknown.
        ValueError
            This is no scan of patterns, or data or calibration do not allow an image; the message
            says why and what to do.

        Warns
        -----
        UserWarning
            The calibration contradicts the patterns, or lies outside the range of the training; the
            rotation from detector to scan is not known and taken as none.

        See Also
        --------
        stem_plugins.airpi : The same with arrays; there is how it works.

        Examples
        --------
        >>> from stem_plugins.hyperspy import STEM4D
        >>> from stem_plugins.optics import Acquisition
        >>> from stem_plugins.simulation import simulate_scan, single_atoms
        >>> acquisition = Acquisition(
        ...     beam_energy=300, convergence_angle=20, scan_step=0.3, diffraction_step=2.0
        ... )
        >>> gold = single_atoms([79], [[3.0, 3.6]], extent=(7.2, 7.2))
        >>> scan = simulate_scan(gold, acquisition, scan_shape=(24, 24), detector_shape=(48, 48))
        >>> signal = STEM4D(scan.data)
        >>> signal.set_acquisition(**scan.acquisition.to_dict())
        >>> signal.airpi(show_progressbar=False).phase
        <STEMImage, title: AIRPI phase, dimensions: (|48, 48)>
        """
        from stem_plugins.rapid_phase_imaging import airpi

        check_scan(self)
        acquisition = self.acquisition
        acquisition.require("beam_energy", "convergence_angle", "scan_step", "diffraction_step")
        warn_of_unknown_rotation(self, stacklevel=3)
        data = self._source(lazy_output).data
        eager = not is_lazy(data) or lazy_output is False
        with share_progress(eager and shows_progress(show_progressbar)) as report:
            result = airpi(
                data,
                acquisition,
                model=model,
                design=design,
                repeat=repeat,
                oversample=oversample,
                device=device,
                threads=threads,
                force=force,
                return_evidence=return_evidence,
                lazy_output=lazy_output,
                callback=report,
            )
        return _signals(self, result)


def _signals(source: Any, result: AirpiResult) -> AirpiSignals:
    """Return what was found as signals on the axes of the scan."""
    parameters = dict(result.parameters)
    fine = _axes(source, result, result.phase.shape, 1)

    def image(data: Any, title: str, quantity: str, axes: list[dict[str, Any]]) -> Any:
        return image_result(
            source,
            data,
            title=title,
            quantity=quantity,
            method="airpi",
            parameters=parameters,
            axes=[dict(axis) for axis in axes],
        )

    consistency = None
    if result.consistency is not None:
        words = ("AIRPI consistency", "Difference (expected noise)")
        pixels = result.parameters["oversample"] * result.repeat
        coarse = _axes(source, result, result.consistency.shape, pixels)
        consistency = image(result.consistency, *words, coarse)
    return AirpiSignals(
        phase=image(result.phase, "AIRPI phase", "Phase (rad)", fine),
        transmission=image(result.transmission, "AIRPI transmission", "Transmission", fine),
        coverage=image(np.asarray(result.coverage), "AIRPI coverage", "Coverage", fine),
        consistency=consistency,
        notes=result.notes,
    )


def _axes(source: Any, result: AirpiResult, shape: tuple[int, ...], pixels: int) -> list[dict]:
    """Scan axes for an image whose pixels are so many of those of the phase."""
    return [
        finer_axis(axis, size, pixels * pixel, origin)
        for axis, size, pixel, origin in zip(
            scan_axes(source), shape, result.sampling, result.origin, strict=True
        )
    ]
