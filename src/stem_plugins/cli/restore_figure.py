"""The picture of a restoration: the image before and after, and the maps of evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib_scalebar.scalebar import ScaleBar

__all__ = ["Panel", "evidence_panels", "image_panels", "save_panels"]

PANEL_INCHES = 4.5
DPI = 160

#: Pixels between these percentiles have grey levels of their own.
PERCENTILES = (0.1, 99.9)

#: Consistency that noise alone hardly reaches; the colours go at least so far.
NOISE_ALONE = 4.0


@dataclasses.dataclass(frozen=True)
class Panel:
    """One image of the picture.

    Parameters
    ----------
    title
        Above it.
    pixels
        (y, x).
    limits
        Values that are darkest and brightest.
    colormap
        Matplotlib's name.
    """

    title: str
    pixels: np.ndarray
    limits: tuple[float, float]
    colormap: str = "gray"


def image_panels(recorded: np.ndarray, restored: np.ndarray) -> list[Panel]:
    """Return the panels of an image before and after, with the same contrast.

    Parameters
    ----------
    recorded, restored
        (y, x).
    """
    # Those of the restored image, which has no noise beyond them; it may have lost a pedestal.
    low, high = _percentiles(restored, PERCENTILES)
    pedestal = float(np.nanmean(recorded.astype(float) - restored))
    return [
        Panel("As recorded", recorded, (low + pedestal, high + pedestal)),
        Panel("Restored", restored, (low, high)),
    ]


def evidence_panels(*maps: np.ndarray) -> list[Panel]:
    """Return the panels of the maps of evidence; none for no maps.

    Parameters
    ----------
    *maps
        Consistency, unexplained and spread, (y, x).
    """
    if not maps:
        return []
    *differences, spread = maps
    titles = ("Consistency (expected noise)", "Unexplained (expected noise)")
    most = max(NOISE_ALONE, *(_percentiles(np.abs(one), PERCENTILES)[1] for one in differences))
    return [
        *(
            Panel(title, one, (-most, most), "RdBu_r")
            for title, one in zip(titles, differences, strict=True)
        ),
        Panel("Spread (intensity)", spread, (0.0, _percentiles(spread, PERCENTILES)[1]), "magma"),
    ]


def save_panels(
    path: Path, panels: Sequence[Panel], pixel_size: tuple[float, float] | None
) -> None:
    """Draw images side by side.

    Parameters
    ----------
    path
        A ``.png`` file.
    panels
        From left to right.
    pixel_size
        Å per pixel, (y, x), for the scale bar; ``None``: there is none.
    """
    height = panels[0].pixels.shape[0] / panels[0].pixels.shape[1] * _aspect(pixel_size)
    figure = Figure(
        figsize=(len(panels) * PANEL_INCHES, PANEL_INCHES * min(max(height, 0.3), 3) + 0.7),
        dpi=DPI,
        layout=ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04),
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.set_axis_off()
        axes.set_title(panel.title, fontsize=11)
        shown = axes.imshow(
            panel.pixels.astype(float),
            cmap=panel.colormap,
            vmin=panel.limits[0],
            vmax=panel.limits[1],
            aspect=_aspect(pixel_size),
            interpolation="nearest",
        )
        figure.colorbar(shown, ax=axes, orientation="horizontal", fraction=0.04, pad=0.01)
        if pixel_size is not None:
            axes.add_artist(_scale_bar(pixel_size[1] / 10, panel.pixels.shape[1]))
    figure.savefig(path, format="png")


def _percentiles(pixels: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float]:
    seen = pixels[np.isfinite(pixels)].astype(float)
    low, high = np.percentile(seen, percentiles) if seen.size else (0, 1)
    return float(low), float(high)


def _aspect(pixel_size: tuple[float, float] | None) -> float:
    return 1.0 if pixel_size is None else pixel_size[0] / pixel_size[1]


def _scale_bar(step: float, width: int) -> ScaleBar:
    """A scale bar; not 500 pm for a picture of atoms, since the field thinks in nm."""
    return ScaleBar(
        step,
        "nm",
        location="lower right",
        fixed_units="nm" if step * width < 2000 else None,
        length_fraction=0.25,
        color="white",
        box_color="black",
        box_alpha=0.5,
        rotation="horizontal-only",
    )
