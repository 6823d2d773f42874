"""Virtual detectors: regions with a name and a colour, and which of them a mouse takes hold of."""

from __future__ import annotations

import dataclasses

import numpy as np

from stem_plugins.napari.regions import Region

__all__ = ["VirtualDetector", "grab_detector"]


@dataclasses.dataclass(frozen=True)
class VirtualDetector:
    """A region of the detector with a name and a colour.

    Parameters
    ----------
    name
        Shown in the list, and of the image.
    region
        What counts.
    color
        Of the outline, ``"#rrggbb"``.
    """

    name: str
    region: Region
    color: str


def grab_detector(
    detectors: list[VirtualDetector], active: int, point: tuple[float, float], reach: float
) -> tuple[int, str] | None:
    """Tell which detector a mouse takes hold of, and which part of it.

    Lines come before insides, the active detector before the others, and small insides before
    large ones: a disc inside an annulus can be moved.

    Parameters
    ----------
    detectors
        All that are drawn.
    active
        Index of the active one.
    point
        (ky, kx) [px].
    reach
        How near to a line is near enough [px].

    Returns
    -------
    tuple or None
        Index and part, as `Annulus.grab` and `Rectangle.grab` name them.

    Examples
    --------
    >>> from stem_plugins.napari.regions import Annulus
    >>> disc = VirtualDetector("BF", Annulus((0.0, 0.0), 0.0, 5.0), "#ffffff")
    >>> ring = VirtualDetector("ADF", Annulus((0.0, 0.0), 6.0, 20.0), "#ffffff")
    >>> grab_detector([ring, disc], 0, (0.0, 1.0), 0.5)
    (1, 'inside')
    >>> grab_detector([ring, disc], 0, (0.0, 20.1), 0.5)
    (0, 'outer')
    """
    order = sorted(range(len(detectors)), key=lambda index: index != active)
    parts = {index: detectors[index].region.grab(point, reach) for index in order}
    for index in order:
        if parts[index] not in (None, "inside"):
            return index, str(parts[index])
    insides = [index for index in order if parts[index] == "inside"]
    if not insides:
        return None
    return min(insides, key=lambda index: _extent(detectors[index].region)), "inside"


def _extent(region: Region) -> float:
    return float(np.prod(np.ptp(region.outlines()[0], axis=0)))
