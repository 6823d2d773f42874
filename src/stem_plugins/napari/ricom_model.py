"""What the riCOM panel computes from the kept moments, without Qt and without a viewer."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from stem_plugins.imaging.center_of_mass import remove_descan
from stem_plugins.imaging.field import VectorField, divergence, field_colors, vector_field
from stem_plugins.imaging.icom import icom
from stem_plugins.imaging.ricom import check_band, largest_kernel, ricom
from stem_plugins.imaging.rotation import RotationEstimate, estimate_rotation
from stem_plugins.napari.kept_moments import KeptMoments, nearest_radius
from stem_plugins.optics.acquisition import Acquisition

__all__ = [
    "IMAGE_NAMES",
    "RicomSettings",
    "check_pass_band",
    "compute_field",
    "compute_image",
    "default_settings",
    "rotation_from",
    "snapped",
    "spectrum",
]

#: The images of the panel, in the order in which it offers them.
IMAGE_NAMES = (
    "riCOM",
    "iCOM",
    "COM x",
    "COM y",
    "Electric field",
    "Divergence",
    "Annular detector",
)


@dataclasses.dataclass(frozen=True)
class RicomSettings:
    """What a user chooses beside the calibration.

    Parameters
    ----------
    kernel_size
        Side of the riCOM kernel [scan positions], odd.
    low, high
        Pass band [cycles per Å, or per scan position where the scan step is unknown]; ``None``: no
        limit.
    descan
        Model of `remove_descan`, or ``None``.
    inner, outer
        Radii of the annular detector [px].
    """

    kernel_size: int = 21
    low: float | None = None
    high: float | None = None
    descan: Literal["plane", "parabola"] | None = None
    inner: float = 0.0
    outer: float = 1.0

    def replace(self, **changes: object) -> RicomSettings:
        """Return a copy with some values changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, object]:
        """Return the values that are set, for the record in a file."""
        return {key: v for key, v in dataclasses.asdict(self).items() if v is not None}

    def with_scan_step(self, old: Acquisition, new: Acquisition) -> RicomSettings:
        """Return the same filter after the scan was calibrated anew.

        Parameters
        ----------
        old, new
            Calibration before and after. The limits keep their number of cycles per scan position,
            so that the image stays what it was.
        """
        ratio = _mean_step(old) / _mean_step(new)
        low, high = (None if limit is None else limit * ratio for limit in (self.low, self.high))
        return self.replace(low=low, high=high)


def _mean_step(acquisition: Acquisition) -> float:
    y, x = acquisition.scan_step or (1.0, 1.0)
    return float(np.sqrt(y * x))


def default_settings(
    scan_shape: tuple[int, int], radii: np.ndarray, acquisition: Acquisition, reach: float
) -> RicomSettings:
    """Settings to start with.

    Parameters
    ----------
    scan_shape
        Scan positions (y, x).
    radii
        Of the kept discs [px], as from `stem_plugins.napari.kept_moments.ring_radii`.
    acquisition
        Uses `convergence_angle` and `diffraction_step`.
    reach
        Radius up to which the detector sees whole rings [px], as from
        `stem_plugins.napari.kept_moments.inscribed_radius`.

    Returns
    -------
    RicomSettings
        A kernel of 21 positions where it fits, no descan correction, and an annulus from outside
        the bright field to `reach`; from half of it where the bright field is not known. Where
        nothing lies between the two, it ends at the largest radius, in the detector's corners.

    Examples
    --------
    >>> radii = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    >>> settings = default_settings((8, 9), radii, Acquisition(), 4.5)
    >>> settings.kernel_size, settings.inner, settings.outer
    (17, 2.0, 4.0)
    """
    inner = nearest_radius(radii, min(max(reach, 0.0), float(radii[-1])) / 2)
    if acquisition.convergence_angle is not None and acquisition.diffraction_step is not None:
        bright_field = acquisition.convergence_angle / float(np.mean(acquisition.diffraction_step))
        outside = radii[:-1][radii[:-1] > bright_field + 0.5]
        inner = float(outside[0]) if outside.size else inner
    whole = radii[(radii > inner) & (radii <= reach)]
    return RicomSettings(
        kernel_size=min(21, largest_kernel(scan_shape)),
        inner=inner,
        outer=float(whole[-1] if whole.size else radii[-1]),
    )


def snapped(settings: RicomSettings, radii: np.ndarray) -> RicomSettings:
    """Move the detector's radii to those whose counts are kept, at least one ring apart.

    Parameters
    ----------
    settings
        Any.
    radii
        Of the kept discs [px].

    Examples
    --------
    >>> snapped(RicomSettings(inner=1.9, outer=1.0), np.array([1.0, 2.0, 3.0])).outer
    3.0
    """
    inner = min(nearest_radius(radii, settings.inner), float(radii[-2]) if radii.size > 1 else 0.0)
    outer = nearest_radius(radii, settings.outer)
    return settings.replace(inner=inner, outer=max(outer, float(radii[radii > inner][0])))


def compute_field(
    kept: KeptMoments, acquisition: Acquisition, descan: Literal["plane", "parabola"] | None
) -> VectorField:
    """Calibrated vectors from the kept centres of mass; zero where nothing was seen yet.

    Parameters
    ----------
    kept
        From the pass, complete or not.
    acquisition
        Uses `center`, `scan_rotation`, `flip_y`, `diffraction_step`, `beam_energy`, `scan_step`.
    descan
        As for `vector_field`; the fit leaves out rows that were not seen yet.
    """
    com = np.nan_to_num(kept.com - kept.center(acquisition))
    unseen = ~kept.seen
    if descan is not None:
        seen = np.broadcast_to(kept.seen[:, None], kept.scan_shape)
        # Six coefficients at most, in y and x: three rows determine them.
        if np.count_nonzero(kept.seen) >= 3:
            com = remove_descan(com, model=descan, where=seen)
            com[unseen] = 0
    return vector_field(com, acquisition)


def compute_image(
    name: str, kept: KeptMoments, field: VectorField, settings: RicomSettings
) -> tuple[np.ndarray, str]:
    """Compute one of the panel's images.

    Parameters
    ----------
    name
        One of `IMAGE_NAMES`.
    kept
        From the pass.
    field
        From `compute_field`.
    settings
        Kernel, filter and detector radii.

    Returns
    -------
    image : ndarray
        (scan_y, scan_x), or (scan_y, scan_x, 3) uint8 for the electric field: its direction as
        hue, its strength as brightness.
    unit : str
        Of the values.

    Raises
    ------
    ValueError
        The kernel, its filter or the name is unusable.
    """
    vectors, step = field.vectors, field.scan_step
    if name == "riCOM":
        image = ricom(
            vectors, settings.kernel_size, low=settings.low, high=settings.high, scan_step=step
        )
        return image, field.image_unit
    if name == "iCOM":
        return icom(vectors, scan_step=step), field.image_unit
    if name == "COM x":
        return vectors[..., 1], field.unit
    if name == "COM y":
        return vectors[..., 0], field.unit
    if name == "Electric field":
        # Electrons are drawn against the field.
        return field_colors(-vectors), ""
    if name == "Divergence":
        return divergence(vectors, scan_step=step), field.divergence_unit
    if name == "Annular detector":
        return kept.annulus(settings.inner, settings.outer), "counts"
    raise ValueError(f"There is no image {name!r}; the panel has {', '.join(IMAGE_NAMES)}.")


def check_pass_band(settings: RicomSettings, acquisition: Acquisition) -> None:
    """Refuse a pass band that leaves nothing, in the unit in which the panel shows it.

    Parameters
    ----------
    settings
        Uses `low` and `high`.
    acquisition
        Uses `scan_step`; unknown: scan positions.

    Raises
    ------
    ValueError
        The limits are reversed, or beyond all frequencies of the scan.
    """
    step, cycles, unit = (1.0, 1.0), 1.0, "px⁻¹"
    if acquisition.scan_step is not None:
        y, x = acquisition.scan_step
        step, cycles, unit = (y / 10, x / 10), 10.0, "nm⁻¹"
    low, high = (
        None if limit is None else round(limit * cycles, 6)
        for limit in (settings.low, settings.high)
    )
    try:
        check_band(low, high, step)
    except ValueError as error:
        raise ValueError(f"{error} Limits are in {unit}.") from None


def rotation_from(kept: KeptMoments, acquisition: Acquisition) -> RotationEstimate:
    """Estimate rotation and mirroring from the rows seen so far.

    Parameters
    ----------
    kept
        From the pass, complete or not.
    acquisition
        Uses everything but `scan_rotation` and `flip_y`.

    Raises
    ------
    ValueError
        Too few positions were seen, or all deflections are the same.
    """
    com = np.nan_to_num(kept.com[kept.seen] - kept.center(acquisition))
    field = vector_field(com, acquisition.replace(scan_rotation=None, flip_y=None))
    return estimate_rotation(
        field.vectors, scan_step=field.scan_step, reference=kept.dark_field(acquisition)
    )


def spectrum(image: np.ndarray) -> np.ndarray:
    """Amplitude of an image's Fourier transform, for looking at.

    Parameters
    ----------
    image
        (ny, nx), or (ny, nx, 3), of which the mean over the colours is taken.

    Returns
    -------
    ndarray
        (ny, nx), logarithmic, frequency zero in the middle. A Hann window keeps the cross that the
        edges would make out of the picture.

    Examples
    --------
    >>> wave = np.cos(np.arange(32) * np.pi / 2)[None, :] * np.ones((32, 1))
    >>> np.unravel_index(spectrum(wave).argmax(), (32, 32))[1] in (8, 24)
    True
    """
    image = np.asarray(image, float)
    if image.ndim == 3:
        image = image.mean(axis=2)
    window = np.outer(np.hanning(image.shape[0] + 2), np.hanning(image.shape[1] + 2))[1:-1, 1:-1]
    transform = np.fft.fftshift(np.fft.fft2((image - image.mean()) * window))
    return np.log1p(np.abs(transform) / (np.abs(transform).mean() or 1.0))
