"""Small calibrated pictures beside the viewer: Fourier transform, mean pattern, kernel."""

from __future__ import annotations

import dataclasses

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

__all__ = ["Circle", "PictureView"]

#: Lengths of scale bars, times a power of ten.
ROUND = (1.0, 2.0, 5.0)


@dataclasses.dataclass(frozen=True)
class Circle:
    """A circle over a picture, in the picture's unit; radius 0 is drawn as a cross.

    Parameters
    ----------
    y, x
        Centre.
    radius
        Its radius.
    color
        By a name that Qt knows.
    """

    y: float
    x: float
    radius: float
    color: str = "orange"


class PictureView(QWidget):
    """A grey or diverging picture with a scale bar, a caption and circles over it."""

    def __init__(self, nothing: str) -> None:
        super().__init__()
        self._nothing = nothing
        self._picture: QImage | None = None
        self._circles: tuple[Circle, ...] = ()
        self.caption = ""
        self.setMinimumSize(120, 120)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_picture(
        self,
        values: np.ndarray,
        *,
        step: tuple[float, float],
        origin: tuple[float, float],
        unit: str,
        caption: str,
        circles: tuple[Circle, ...] = (),
        diverging: bool = False,
    ) -> None:
        """Show values, from the darkest 0.5 to the brightest 0.1 per cent.

        Parameters
        ----------
        values
            (ny, nx).
        step
            Size of a pixel (y, x), in `unit`.
        origin
            Place of the middle of pixel (0, 0) (y, x), in `unit`.
        unit
            Of lengths in the picture.
        caption
            Shown in the corner.
        circles
            Drawn over the picture.
        diverging
            Whether zero is grey, positive red and negative blue.
        """
        self._picture = _colored(values) if diverging else _grey(values)
        self._step, self._origin, self._unit = step, origin, unit
        self.caption, self._circles = caption, circles
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self._picture = None
        self.caption = ""
        self.update()

    def paintEvent(self, event: object) -> None:
        """Draw everything; called by Qt."""
        painter = QPainter(self)
        if self._picture is None:
            painter.setPen(QColor("grey"))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect(), int(flags), self._nothing)
            return
        height = self._picture.height() * self._step[0]
        width = self._picture.width() * self._step[1]
        zoom = min(self.width() / width, self.height() / height)
        area = QRectF(0, 0, width * zoom, height * zoom)
        area.moveCenter(QRectF(self.rect()).center())
        painter.drawImage(area, self._picture)
        painter.setClipRect(area)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_circles(painter, area, zoom)
        self._draw_scale_bar(painter, area, zoom, width)
        self._draw_text(painter, area.topLeft() + QPointF(6, 16), self.caption)

    def _draw_circles(self, painter: QPainter, area: QRectF, zoom: float) -> None:
        corner = [o - s / 2 for o, s in zip(self._origin, self._step, strict=True)]
        for circle in self._circles:
            painter.setPen(QPen(QColor(circle.color), 1.5))
            middle = area.topLeft() + QPointF(
                (circle.x - corner[1]) * zoom, (circle.y - corner[0]) * zoom
            )
            if circle.radius > 0:
                painter.drawEllipse(middle, circle.radius * zoom, circle.radius * zoom)
            else:
                painter.drawLine(middle - QPointF(5, 0), middle + QPointF(5, 0))
                painter.drawLine(middle - QPointF(0, 5), middle + QPointF(0, 5))

    def _draw_scale_bar(self, painter: QPainter, area: QRectF, zoom: float, width: float) -> None:
        length = round_length(width / 3)
        right = area.bottomRight() - QPointF(10, 10)
        left = right - QPointF(length * zoom, 0)
        for color, thickness in (("black", 5), ("white", 3)):
            painter.setPen(QPen(QColor(color), thickness))
            painter.drawLine(left, right)
        text = f"{length:g} {self._unit}"
        wide = painter.fontMetrics().horizontalAdvance(text)
        self._draw_text(painter, (left + right) / 2 - QPointF(wide / 2, 6), text)

    @staticmethod
    def _draw_text(painter: QPainter, place: QPointF, text: str) -> None:
        painter.setPen(QColor("black"))
        painter.drawText(place + QPointF(1, 1), text)
        painter.setPen(QColor("white"))
        painter.drawText(place, text)


def round_length(length: float) -> float:
    """Round number (1, 2 or 5 times a power of ten) that is not above a length.

    Parameters
    ----------
    length
        Above zero.

    Examples
    --------
    >>> round_length(37.0), round_length(0.6)
    (20.0, 0.5)
    """
    power = 10.0 ** np.floor(np.log10(length))
    best = max(factor for factor in ROUND if factor * power <= length * (1 + 1e-9))
    return float(best * power)


def _grey(values: np.ndarray) -> QImage:
    low, high = np.percentile(values, (0.5, 99.9))
    scaled = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    return _image(np.repeat((scaled * 255).astype(np.uint8)[..., None], 3, axis=2))


def _colored(values: np.ndarray) -> QImage:
    scaled = np.clip(values / (np.abs(values).max() or 1.0), -1, 1)
    # The square root shows the far, weak part of a kernel beside its middle.
    strength = np.sqrt(np.abs(scaled))
    colors = np.full((*values.shape, 3), 40.0)
    colors[..., 0] += np.where(scaled > 0, 215 * strength, 0)
    colors[..., 1] += 100 * strength
    colors[..., 2] += np.where(scaled < 0, 215 * strength, 0)
    return _image(colors.astype(np.uint8))


def _image(colors: np.ndarray) -> QImage:
    height, width = colors.shape[:2]
    colors = np.ascontiguousarray(colors)
    image = QImage(colors.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    return image.copy()  # Qt does not keep the array alive
