"""riCOM and a virtual detector that follow their parameters at once.

The patterns are read once. What is kept is the centre-of-mass map, from which riCOM takes
milliseconds, and the image of each of some narrow rings on the detector, which add up to any
annulus. The class is a model in HyperSpy's sense: it knows no widgets; `gui` shows those that are
registered for it (`stem_plugins.hyperspy.widgets` for notebooks).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import traits.api as t
from hyperspy.signal import BaseSignal
from hyperspy.ui_registry import add_gui_method

from stem_plugins.hyperspy import vector_maps
from stem_plugins.hyperspy.calibration import detector_axes, update_acquisition
from stem_plugins.hyperspy.results import image_result
from stem_plugins.hyperspy.scan_moments import com_result, compute_together, one_pass
from stem_plugins.hyperspy.virtual_detectors import annulus
from stem_plugins.imaging.ricom import largest_kernel

__all__ = ["InteractiveRicom"]


class Interval(t.BaseTuple):
    """Two numbers in order."""

    def __init__(self, **metadata: Any) -> None:
        super().__init__((0.0, 0.0), t.Float, t.Float, **metadata)

    def validate(self, model: Any, name: str, value: Any) -> tuple[float, float]:
        """Refuse limits that are reversed, before anything follows them."""
        low, high = super().validate(model, name, value)
        if low > high:
            raise t.TraitError(f"{name} is reversed: {low} is not below {high}.")
        return low, high


@add_gui_method(toolkey="stem_plugins.STEM4D.interactive_ricom")
class InteractiveRicom(t.HasTraits):
    """A riCOM image and a virtual-detector image with their parameters.

    Setting a parameter changes `image` or `virtual_image` in place, and their plots with them.
    Parameters that do not go together leave the image as it is and say so in `message`.
    """

    kernel_size = t.Int(desc="side of the kernel in scan positions, odd")
    pass_band = Interval(desc="frequencies to keep; 0 and highest_frequency are no limits")
    descan = t.Enum("none", "plane", "parabola", desc="slow drift of the beam to remove")
    rotation = t.Float(desc="rotation from detector to scan frame in degrees")
    flip_y = t.Bool(desc="mirror the detector's y axis before the rotation")
    detector = Interval(desc="inner and outer radius of the virtual detector")
    message = t.Str(desc="why the image does not follow")

    #: The images that follow.
    image = t.Instance(BaseSignal)
    virtual_image = t.Instance(BaseSignal)

    def __init__(
        self,
        signal: BaseSignal,
        *,
        kernel_size: int = 21,
        rings: int = 64,
        show_progressbar: bool | None = None,
    ) -> None:
        """Read the patterns once.

        Parameters
        ----------
        signal
            The scan, a `STEM4D`.
        kernel_size
            First size of the kernel.
        rings
            Most rings to keep; more resolve radii more finely and take more memory.
        show_progressbar
            ``None``: as HyperSpy's preferences say.
        """
        acquisition = signal.acquisition
        center = acquisition.center or signal.estimate_center()
        self.signal = signal
        self.center = center
        self.unit = "px" if acquisition.diffraction_step is None else "mrad"
        self.edges = _ring_edges(signal, center, acquisition.diffraction_step or (1, 1), rings)
        described = [
            annulus(signal, low, high, center=center, units=self.unit)
            for low, high in zip(self.edges[:-1], self.edges[1:], strict=True)
        ]
        result, used = one_pass(signal, detectors=described, center=center)
        com, rings_images = compute_together([result.com, result.images], show_progressbar)
        self.com = com_result(signal, com, used)
        self.rings = rings_images
        step = acquisition.scan_step or (1.0, 1.0)
        self.highest_frequency = float(np.hypot(0.5 / step[0], 0.5 / step[1]))
        self.frequency_unit = "1/px" if acquisition.scan_step is None else "1/Å"
        self.largest_kernel = largest_kernel(com.shape)
        super().__init__(
            kernel_size=min(kernel_size, self.largest_kernel),
            pass_band=(0.0, self.highest_frequency),
            rotation=acquisition.scan_rotation or 0.0,
            flip_y=bool(acquisition.flip_y),
            detector=(0.0, float(self.edges[-1])),
        )
        self._update_image()
        self._update_virtual_image()

    def estimate_rotation(self) -> None:
        """Set rotation and flip to what makes the centre-of-mass map free of curl."""
        estimate = vector_maps.estimate_rotation(self.com, reference=self._dark_field())
        self.trait_set(rotation=estimate.angle, flip_y=estimate.flip_y)
        self.message = f"Rotation estimated with confidence {estimate.confidence:.2f}."

    def _dark_field(self) -> np.ndarray | None:
        """Return the image from outside the bright-field disc, if that is known."""
        acquisition = self.signal.acquisition
        if acquisition.convergence_angle is None or acquisition.diffraction_step is None:
            return None
        outside = self.edges[:-1] > 1.1 * acquisition.convergence_angle
        image = self.rings[outside].sum(axis=0)
        return image if np.ptp(image) > 0 else None

    def keep_rotation(self) -> None:
        """Write rotation and flip into the calibration of the signal."""
        self.signal.set_acquisition(scan_rotation=self.rotation, flip_y=self.flip_y)

    def plot(self) -> None:
        """Plot both images; the plots follow."""
        self.image.plot()
        self.virtual_image.plot()

    @t.observe("kernel_size, pass_band, descan, rotation, flip_y", post_init=True)
    def _image_parameters_changed(self, event: Any) -> None:
        self._update_image()

    @t.observe("detector", post_init=True)
    def _detector_changed(self, event: Any) -> None:
        self._update_virtual_image()

    def _update_image(self) -> None:
        update_acquisition(self.com, {"scan_rotation": self.rotation, "flip_y": self.flip_y})
        low, high = self.pass_band
        try:
            image = vector_maps.ricom(
                self.com,
                self.kernel_size,
                low=low or None,
                high=None if high >= self.highest_frequency else high,
                descan=None if self.descan == "none" else self.descan,
            )
        except ValueError as error:
            self.message = str(error)
            return
        self.message = ""
        self.image = _shown(self.image, image)

    def _update_virtual_image(self) -> None:
        first, last = (int(np.abs(self.edges - radius).argmin()) for radius in self.detector)
        if first >= last:
            self.message = (
                f"The virtual detector from {self.detector[0]:.4g} to {self.detector[1]:.4g} "
                f"{self.unit} holds no ring."
            )
            return
        self.message = ""
        description = {
            "inner": float(self.edges[first]),
            "outer": float(self.edges[last]),
            "units": self.unit,
            "center": list(self.center),
        }
        image = image_result(
            self.signal,
            self.rings[first:last].sum(axis=0),
            title="Virtual detector",
            quantity="Counts",
            method="virtual_image",
            parameters={"detector": description},
        )
        self.virtual_image = _shown(self.virtual_image, image)


def _shown(shown: BaseSignal | None, image: BaseSignal) -> BaseSignal:
    """Put a new image into the signal that is plotted already."""
    if shown is None:
        return image
    shown.data[...] = image.data
    shown.metadata.set_item("stem_plugins", image.metadata.as_dictionary()["stem_plugins"])
    shown.events.data_changed.trigger(obj=shown)
    return shown


def _ring_edges(
    signal: BaseSignal, center: tuple[float, float], pixel: tuple[float, float], rings: int
) -> np.ndarray:
    """Return radii from 0 to the far edge of the detector, at least a pixel apart."""
    reach = [
        max(place, axis.size - 1 - place) * size
        for axis, place, size in zip(detector_axes(signal), center, pixel, strict=True)
    ]
    width = max(max(reach) / rings, *pixel)
    return np.arange(int(max(reach) // width) + 2) * width
