"""Methods that remove noise and scan distortion; parts of `STEMImage` and `STEM4D`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
from hyperspy.signal import BaseSignal

import stem_plugins
from stem_plugins import Evidence
from stem_plugins.hyperspy.scan_images import (
    apply_scan_shifts,
    check_images,
    fast_axis,
    like,
    scan_shifts,
    share_progress,
    shows_progress,
)
from stem_plugins.lazy.blocks import is_lazy

__all__ = ["RestorationMethods", "ScanCorrectionMethods"]

#: The maps of evidence, and titles and quantities of the restored image and of them.
EVIDENCE = tuple(field.name for field in dataclasses.fields(Evidence))
KINDS = (
    ("Restored", None),
    ("Consistency of restored", "Difference (expected noise)"),
    ("Unexplained by restored", "Difference (expected noise)"),
    ("Spread of restored", None),
)


class RestorationMethods:
    """Restoration of an image or a stack of images; part of `STEMImage`."""

    def restore(
        self: Any,
        *,
        model: str | Path = "default",
        scan_axis: str | None = None,
        scan_direction: Literal[1, -1] = 1,
        ensemble: bool = False,
        return_evidence: bool = False,
        remove_pedestal: bool = False,
        device: str = "auto",
        threads: int | None = None,
        lazy_output: bool | None = None,
        show_progressbar: bool | None = None,
    ) -> Any:
        """Remove noise, row jitter and the fast-scan tail.

        Parameters
        ----------
        model
            ``"default"``: the network that comes with stem-plugins; ``"fft"``: a filter without
            weights; ``"tk_r_em:hrstem"`` and its sisters, once imported; or a file of weights.
        scan_axis
            Along which image axis the beam scans fast: its name, or ``"x"`` (horizontal) and
            ``"y"`` (vertical); ``None``: along x. It matters: jitter shifts rows, and a wrong
            axis leaves it in.
        scan_direction
            1: towards larger indices; -1: towards smaller ones (mirrored images).
        ensemble
            Average with the restoration of the mirrored image: twice the time, less noise.
        return_evidence
            Return maps, too, that say where the result can be trusted, at about seven times the
            time. Lazy ones are made together: compute them with ``lazy_output=False``.
        remove_pedestal
            Take off the constant background of the detector, where the image shows it.
        device
            ``"auto"``: a GPU if torch sees one; ``"cpu"``, ``"cuda"``.
        threads
            Processor threads; ``None``: as many as there are cores.
        lazy_output
            Whether the result is lazy; ``None``: as the data are.
        show_progressbar
            ``None``: as HyperSpy's preferences say.

        Returns
        -------
        STEMImage or tuple of STEMImage and Evidence
            float32, on the intensity scale and axes of the image. With `return_evidence`: it, and
            a `stem_plugins.Evidence` whose three maps (``consistency``, ``unexplained``,
            ``spread``) are such signals.

        Raises
        ------
        ValueError
            This is no image of real numbers, or an option is unknown.
        FileNotFoundError
            The model's weights are not there; the message says how to get them.

        See Also
        --------
        stem_plugins.restore : The same with arrays.

        Examples
        --------
        >>> from stem_plugins.hyperspy import STEMImage
        >>> counts = np.random.default_rng(0).poisson(9, (64, 64))
        >>> STEMImage(counts).restore(model="fft")
        <STEMImage, title: Restored, dimensions: (|64, 64)>
        """
        check_images(self)
        axis = fast_axis(self, scan_axis)
        data = self.data
        if lazy_output and not is_lazy(data):
            data = self.as_lazy().data
        with share_progress(shows_progress(show_progressbar) and not is_lazy(data)) as report:
            made = stem_plugins.restore(
                data,
                model=model,
                scan_axis=axis,
                scan_direction=scan_direction,
                ensemble=ensemble,
                return_evidence=return_evidence,
                remove_pedestal=remove_pedestal,
                device=device,
                threads=threads,
                callback=report,
            )
        maps = [made]
        if return_evidence:
            maps = [made[0], *(getattr(made[1], name) for name in EVIDENCE)]
        if lazy_output is False and is_lazy(maps[0]):
            from stem_plugins.hyperspy.scan_moments import compute_together

            maps = list(compute_together(maps, show_progressbar))
        parameters = {
            "model": str(model),
            "scan_axis": "x" if axis == -1 else "y",
            "scan_direction": scan_direction,
            "ensemble": ensemble,
            "remove_pedestal": remove_pedestal,
        }
        restored, *evidence = (
            like(
                self, data, title=title, quantity=quantity, method="restore", parameters=parameters
            )
            for data, (title, quantity) in zip(maps, KINDS, strict=False)
        )
        if not return_evidence:
            return restored
        return restored, Evidence(**dict(zip(EVIDENCE, evidence, strict=True)))

    def apply_scan_shifts(self: Any, shifts: Any) -> Any:
        """Put the pixels of an image back where they were recorded.

        Parameters
        ----------
        shifts
            [px], (y, x, 2), vectors (y, x), from `stem_plugins.hyperspy.scan_shifts`.

        Returns
        -------
        STEMImage
            On the same axes.

        Raises
        ------
        ValueError
            This is a stack, or the shifts do not fit.
        """
        return apply_scan_shifts(self, shifts)


class ScanCorrectionMethods:
    """Correction of the scan of 4D data by an image of the same scan; part of `STEM4D`."""

    def correct_scan(
        self: Any,
        image: Any,
        *,
        restored: Any = None,
        model: str | Path = "default",
        scan_axis: str | None = None,
        scan_direction: Literal[1, -1] = 1,
        device: str = "auto",
        show_progressbar: bool | None = None,
    ) -> Any:
        """Put every pattern back where it was recorded, as an image of the same scan shows it.

        Parameters
        ----------
        image
            Recorded in the same scan, signal or array (scan_y, scan_x): the annular dark field of
            a second detector, or of these patterns, ``signal.virtual_image(60, 180)``. The more
            electrons and contrast it has, the better the shifts.
        restored
            The same image without distortions, where there is one already; ``None``: it is made
            by `STEMImage.restore`.
        model, scan_axis, scan_direction, device
            For that restoration.
        show_progressbar
            ``None``: as HyperSpy's preferences say.

        Returns
        -------
        STEM4D
            Calibrated as before; lazy data stay lazy.

        Raises
        ------
        ValueError
            The image is none of this scan, or holds no structure.

        Notes
        -----
        Slow drift and warp, which the restored image keeps, are not corrected. Each pattern
        becomes a mean of its neighbours; see `stem_plugins.apply_scan_shifts` for what that keeps.

        Examples
        --------
        >>> from stem_plugins.hyperspy import STEM4D
        >>> y, x = np.indices((48, 48))
        >>> adf = 50 + 20 * np.cos(y) * np.cos(0.8 * x)
        >>> scan = STEM4D(np.random.default_rng(0).poisson(adf[..., None, None] * np.ones((4, 4))))
        >>> scan.correct_scan(scan.virtual_image(mask=np.ones((4, 4))), model="fft")
        <STEM4D, title: Scan-corrected, dimensions: (48, 48|4, 4)>
        """
        from stem_plugins.hyperspy.scan_check import check_scan

        check_scan(self)
        recorded = self._image_of_scan(image, show_progressbar)
        if restored is None:
            restored = recorded.restore(
                model=model,
                scan_axis=scan_axis,
                scan_direction=scan_direction,
                device=device,
                show_progressbar=show_progressbar,
            )
        else:
            restored = self._image_of_scan(restored, show_progressbar)
            model = "given"
        shifts = scan_shifts(
            recorded, restored, scan_axis=scan_axis, show_progressbar=show_progressbar
        )
        name = recorded.metadata.General.title
        return like(
            self,
            stem_plugins.apply_scan_shifts(self.data, shifts),
            title="Scan-corrected",
            method="correct_scan",
            parameters={
                "image": name,
                "model": str(model),
                "rms_shift": [float(np.sqrt(np.mean(shifts[..., i] ** 2))) for i in (0, 1)],
            },
        )

    def _image_of_scan(self: Any, image: Any, show_progressbar: bool | None) -> Any:
        """Return an image in memory, on the scan axes of this signal."""
        from stem_plugins.hyperspy.results import image_result
        from stem_plugins.hyperspy.scan_moments import compute_together

        data = image.data if isinstance(image, BaseSignal) else np.asarray(image)
        shape = self.axes_manager.navigation_shape[::-1]
        if data.shape != shape:
            raise ValueError(
                f"The image must lie on the scan of {shape[0]} × {shape[1]} positions, (y, x); "
                f"it has the shape {tuple(data.shape)}."
            )
        if is_lazy(data):
            (data,) = compute_together([data], show_progressbar)
        made = image_result(
            self, data, title="Image", quantity="Counts", method="correct_scan", parameters={}
        )
        if isinstance(image, BaseSignal):
            made.metadata.General.title = image.metadata.General.title
        return made
