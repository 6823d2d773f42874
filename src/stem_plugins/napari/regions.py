"""Regions of the detector: what they cover, how they are drawn, and how a mouse changes them.

Places on the detector are in px, (ky, kx), pixel centres at integers, y down. Radii and sides are
in the unit in which `pixel_size` gives the size of a detector pixel (mrad, 1/nm, or px with the
size 1), so that an annulus is round in angle also where pixels are not square.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from stem_plugins.imaging.detectors import annular_detector, rectangular_detector

__all__ = ["Annulus", "Rectangle", "Region"]

#: Least width of a ring and least side of a rectangle [px], so that a drag never loses it.
LEAST_WIDTH = 0.5

#: Corners of the polygon that stands for a circle; its lines miss it by 0.03 % of the radius.
CIRCLE_CORNERS = 120


@dataclasses.dataclass(frozen=True)
class Annulus:
    """An annulus, or a disc where the inner radius is zero.

    Parameters
    ----------
    center
        (ky, kx) [px].
    inner, outer
        Radii in the unit of `pixel_size`.
    pixel_size
        Size of a detector pixel, (ky, kx).

    Raises
    ------
    ValueError
        The radii are negative or reversed.

    Examples
    --------
    >>> Annulus((1.0, 1.0), 0.0, 2.0, (2.0, 2.0)).mask((3, 3)).sum()
    np.int64(1)
    """

    center: tuple[float, float]
    inner: float
    outer: float
    pixel_size: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if not 0 <= self.inner < self.outer < math.inf:
            raise ValueError(
                f"An annulus needs 0 <= inner < outer radius, not {self.inner:g} and "
                f"{self.outer:g}."
            )

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        """Detector pixels that count, (ky, kx) boolean.

        Parameters
        ----------
        shape
            Of the detector (ky, kx) [px].

        Raises
        ------
        ValueError
            No pixel lies in the annulus.
        """
        return annular_detector(
            shape, self.inner, self.outer, center=self.center, pixel_size=self.pixel_size
        )

    def python(self) -> str:
        """Return the call that makes the same mask for ``data``."""
        size = "" if self.pixel_size == (1.0, 1.0) else f", pixel_size={self.pixel_size!r}"
        return (
            f"annular_detector(data.shape[2:], {self.inner!r}, {self.outer!r}, "
            f"center={self.center!r}{size})"
        )

    def rescaled(self, pixel_size: tuple[float, float]) -> Annulus:
        """Return the annulus with radii in another unit, on the same pixels.

        Parameters
        ----------
        pixel_size
            Size of a detector pixel in the new unit. Where the ratio of its sides changes, the
            area of the annulus in px² is kept.
        """
        factor = _mean(pixel_size) / _mean(self.pixel_size)
        return Annulus(
            self.center, _rounded(self.inner * factor), _rounded(self.outer * factor), pixel_size
        )

    def outlines(self) -> list[np.ndarray]:
        """Closed lines that draw it: corners [px], (corners, 2) each."""
        angle = np.linspace(0, 2 * np.pi, CIRCLE_CORNERS, endpoint=False)
        circle = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
        radii = [radius for radius in (self.outer, self.inner) if radius > 0]
        return [np.array(self.center) + circle * radius / self.pixel_size for radius in radii]

    def handles(self) -> np.ndarray:
        """Places of the grips that invite to drag [px], (grips, 2)."""
        radii = [radius for radius in (self.outer, self.inner) if radius > 0]
        directions = [(0, 1), (1, 0), (0, -1), (-1, 0)]
        grips = [
            (
                self.center[0] + dy * radius / self.pixel_size[0],
                self.center[1] + dx * radius / self.pixel_size[1],
            )
            for radius in radii
            for dy, dx in directions
        ]
        return np.array([self.center, *grips])

    def grab(self, point: tuple[float, float], reach: float) -> str | None:
        """Tell which part a mouse at a point takes hold of.

        Parameters
        ----------
        point
            (ky, kx) [px].
        reach
            How near to a line is near enough [px].

        Returns
        -------
        str or None
            ``"outer"`` or ``"inner"`` radius, ``"inside"`` to move the whole, or nothing.

        Examples
        --------
        >>> annulus = Annulus((0.0, 0.0), 5.0, 10.0)
        >>> [annulus.grab((0, x), 1.0) for x in (0, 5.5, 7.5, 10.5, 12)]
        ['inside', 'inner', 'inside', 'outer', None]
        """
        distance, reach = self._distance(point), reach * _mean(self.pixel_size)
        near = {"outer": abs(distance - self.outer)}
        if self.inner > 0:
            near["inner"] = abs(distance - self.inner)
        nearest = min(near, key=lambda name: near[name])
        # A small disc must still leave room in its middle to be moved by.
        if near[nearest] <= min(reach, max(self.outer / 2, reach / 3)):
            return nearest
        return "inside" if distance < self.outer else None

    def dragged(self, part: str, start: tuple[float, float], end: tuple[float, float]) -> Annulus:
        """Return the annulus after a part of it was dragged.

        Parameters
        ----------
        part
            From `grab`.
        start, end
            Where the drag began, and where it is now [px].
        """
        if part == "inside":
            center = tuple(
                round(c + b - a, 2) for c, a, b in zip(self.center, start, end, strict=True)
            )
            return dataclasses.replace(self, center=center)
        change = self._distance(end) - self._distance(start)
        least = LEAST_WIDTH * _mean(self.pixel_size)
        if part == "outer":
            outer = max(self.outer + change, self.inner + least)
            return dataclasses.replace(self, outer=_rounded(outer))
        inner = min(max(self.inner + change, 0.0), self.outer - least)
        return dataclasses.replace(self, inner=_rounded(inner))

    def _distance(self, point: tuple[float, float]) -> float:
        dy, dx = (
            (p - c) * size for p, c, size in zip(point, self.center, self.pixel_size, strict=True)
        )
        return math.hypot(dy, dx)


@dataclasses.dataclass(frozen=True)
class Rectangle:
    """An upright rectangle.

    Parameters
    ----------
    center
        (ky, kx) [px].
    height, width
        Sides along ky and kx in the unit of `pixel_size`.
    pixel_size
        Size of a detector pixel, (ky, kx).

    Raises
    ------
    ValueError
        A side is not above zero.

    Examples
    --------
    >>> Rectangle((1.0, 2.0), 2.0, 4.0).mask((4, 5)).sum()
    np.int64(15)
    """

    center: tuple[float, float]
    height: float
    width: float
    pixel_size: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if not (0 < self.height < math.inf and 0 < self.width < math.inf):
            raise ValueError(
                f"A rectangle needs sides above zero, not {self.height:g} and {self.width:g}."
            )

    def bounds(self) -> tuple[float, float, float, float]:
        """Top, left, bottom and right edge [px]."""
        half_y, half_x = self.height / 2 / self.pixel_size[0], self.width / 2 / self.pixel_size[1]
        (y, x) = self.center
        return y - half_y, x - half_x, y + half_y, x + half_x

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        """Detector pixels that count, (ky, kx) boolean.

        Parameters
        ----------
        shape
            Of the detector (ky, kx) [px].

        Raises
        ------
        ValueError
            No pixel lies in the rectangle.
        """
        top, left, bottom, right = self.bounds()
        return rectangular_detector(shape, (top, left), (bottom, right))

    def python(self) -> str:
        """Return the call that makes the same mask for ``data``."""
        top, left, bottom, right = self.bounds()
        return f"rectangular_detector(data.shape[2:], ({top!r}, {left!r}), ({bottom!r}, {right!r}))"

    def rescaled(self, pixel_size: tuple[float, float]) -> Rectangle:
        """Return the rectangle with sides in another unit, on the same pixels.

        Parameters
        ----------
        pixel_size
            Size of a detector pixel in the new unit.
        """
        height, width = (
            _rounded(side * new / old)
            for side, new, old in zip(
                (self.height, self.width), pixel_size, self.pixel_size, strict=True
            )
        )
        return Rectangle(self.center, height, width, pixel_size)

    def outlines(self) -> list[np.ndarray]:
        """Closed lines that draw it: corners [px], (corners, 2) each."""
        top, left, bottom, right = self.bounds()
        return [np.array([(top, left), (top, right), (bottom, right), (bottom, left)])]

    def handles(self) -> np.ndarray:
        """Places of the grips that invite to drag [px], (grips, 2)."""
        top, left, bottom, right = self.bounds()
        y, x = self.center
        corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
        return np.array([self.center, *corners, (top, x), (y, right), (bottom, x), (y, left)])

    def grab(self, point: tuple[float, float], reach: float) -> str | None:
        """Tell which part a mouse at a point takes hold of.

        Parameters
        ----------
        point
            (ky, kx) [px].
        reach
            How near to an edge is near enough [px].

        Returns
        -------
        str or None
            Edges, such as ``"top"`` or ``"bottom right"``; ``"inside"`` to move the whole; or
            nothing.

        Examples
        --------
        >>> rectangle = Rectangle((0.0, 0.0), 20.0, 20.0)
        >>> [rectangle.grab((y, 0), 1.0) for y in (0, 10.5, 12)]
        ['inside', 'bottom', None]
        >>> rectangle.grab((-9.5, -10.5), 1.0)
        'top left'
        """
        top, left, bottom, right = self.bounds()
        y, x = point
        if not (top - reach <= y <= bottom + reach and left - reach <= x <= right + reach):
            return None
        reach_y, reach_x = min(reach, (bottom - top) / 4), min(reach, (right - left) / 4)
        edges = [
            name
            for name, distance, near in (
                ("top", abs(y - top), max(reach_y, reach / 3)),
                ("bottom", abs(y - bottom), max(reach_y, reach / 3)),
                ("left", abs(x - left), max(reach_x, reach / 3)),
                ("right", abs(x - right), max(reach_x, reach / 3)),
            )
            if distance <= near
        ]
        if edges:
            return " ".join(edges)
        return "inside" if top < y < bottom and left < x < right else None

    def dragged(self, part: str, start: tuple[float, float], end: tuple[float, float]) -> Rectangle:
        """Return the rectangle after a part of it was dragged; the edges opposite stay.

        Parameters
        ----------
        part
            From `grab`.
        start, end
            Where the drag began, and where it is now [px].
        """
        dy, dx = end[0] - start[0], end[1] - start[1]
        if part == "inside":
            center = (round(self.center[0] + dy, 2), round(self.center[1] + dx, 2))
            return dataclasses.replace(self, center=center)
        top, left, bottom, right = self.bounds()
        if "top" in part:
            top = min(top + dy, bottom - LEAST_WIDTH)
        elif "bottom" in part:
            bottom = max(bottom + dy, top + LEAST_WIDTH)
        if "left" in part:
            left = min(left + dx, right - LEAST_WIDTH)
        elif "right" in part:
            right = max(right + dx, left + LEAST_WIDTH)
        return Rectangle(
            (round((top + bottom) / 2, 2), round((left + right) / 2, 2)),
            _rounded((bottom - top) * self.pixel_size[0]),
            _rounded((right - left) * self.pixel_size[1]),
            self.pixel_size,
        )


#: Every kind of region.
Region = Annulus | Rectangle


def _mean(pixel_size: tuple[float, float]) -> float:
    return math.sqrt(pixel_size[0] * pixel_size[1])


def _rounded(length: float) -> float:
    """Four digits: far finer than a hand can drag, and readable where the number is shown."""
    return float(f"{length:.4g}")
