"""The demo's figure: one panel per image, each with a scale bar, in rows of equal panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Circle
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from stem_plugins.cli.images import Drawing, Recipe, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["save_figure"]

#: Panels in a row; what leaves the fewest places empty is taken.
COLUMNS = (4, 3, 5)
PANEL_INCHES = 2.35
DPI = 180

#: Colour of virtual detectors.
RING = "#ffb000"


def save_figure(
    path: Path,
    recipes: Sequence[Recipe],
    results: Results,
    *,
    title: str,
    detectors: Mapping[str, tuple[float, float]],
) -> None:
    """Draw images side by side.

    Parameters
    ----------
    path
        A ``.png`` file.
    recipes
        The images, in order.
    results
        Of the pass, with scan step and detector step known.
    title
        Line above all panels.
    detectors
        Radii [mrad] of virtual detectors by name, drawn on the mean pattern.
    """
    columns = min(COLUMNS, key=lambda number: -len(recipes) % number)
    rows = -(-len(recipes) // columns)
    figure = Figure(
        figsize=(columns * PANEL_INCHES, 0.25 + rows * (PANEL_INCHES + 0.36)),
        dpi=DPI,
        layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06),
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=9.5)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, recipe in zip(grid, recipes, strict=False):
        drawing = recipe.draw(results)
        if recipe.of_detector:
            _draw_pattern(axes, recipe, drawing, results, detectors)
        else:
            _draw_image(axes, recipe, drawing, results)
    figure.savefig(path, format="png", pil_kwargs={"optimize": True})


def _draw_image(axes: Axes, recipe: Recipe, drawing: Drawing, results: Results) -> None:
    """Draw an image of the scan, with a scale bar in nm."""
    step = results.acquisition.require("scan_step").scan_step
    assert step is not None
    ny, nx = drawing.pixels.shape[:2]
    extent = (-0.5 * step[1], (nx - 0.5) * step[1], (ny - 0.5) * step[0], -0.5 * step[0])
    low, high = np.percentile(drawing.pixels, recipe.percentiles)
    axes.imshow(
        drawing.pixels, extent=extent, cmap="gray", vmin=low, vmax=high, interpolation="nearest"
    )
    if recipe.in_color:
        _title(axes, recipe.title, "direction as colour")
        _add_color_wheel(axes)
    else:
        _title(axes, recipe.title, f"{_range(low, high)} {drawing.unit}")
    length = _round_length(0.25 * nx * step[1])
    _add_scale_bar(axes, length, f"{length / 10:g} nm")


def _draw_pattern(
    axes: Axes,
    recipe: Recipe,
    drawing: Drawing,
    results: Results,
    detectors: Mapping[str, tuple[float, float]],
) -> None:
    """Draw the mean pattern with probe and detectors, and a scale bar in mrad."""
    acquisition = results.acquisition.require("diffraction_step", "center", "convergence_angle")
    step, center = acquisition.diffraction_step, acquisition.center
    assert step is not None
    assert center is not None
    ky, kx = drawing.pixels.shape
    left, top = (-0.5 - center[1]) * step[1], (-0.5 - center[0]) * step[0]
    extent = (left, left + kx * step[1], top + ky * step[0], top)
    bright = np.percentile(drawing.pixels, recipe.percentiles[1])
    # Four decades show the dark field beside the bright disc.
    axes.imshow(
        np.log10(np.clip(drawing.pixels / bright, 1e-4, 1)),
        extent=extent,
        cmap="gray",
        interpolation="nearest",
    )
    _title(axes, recipe.title, "logarithmic, four decades")
    for name, radii in detectors.items():
        for radius in radii:
            axes.add_patch(Circle((0, 0), radius, fill=False, color=RING, linewidth=0.9))
        axes.text(0, -sum(radii) / 2, name, color=RING, ha="center", va="center", fontsize=8)
    length = _round_length(0.25 * kx * step[1])
    _add_scale_bar(axes, length, f"{length:g} mrad")


def _title(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, fontsize=9.5, fontweight="bold", pad=14)
    axes.annotate(
        below,
        (0.5, 1.0),
        xycoords="axes fraction",
        xytext=(0, 2.5),
        textcoords="offset points",
        ha="center",
        fontsize=7.5,
        color="0.35",
    )


def _range(low: float, high: float) -> str:
    """Return two numbers to three digits of their difference."""
    digits = max(0, 2 - int(np.floor(np.log10(high - low)))) if high > low else 0
    return f"{low:.{digits}f} … {high:.{digits}f}".replace("-", "−")


def _round_length(length: float) -> float:
    """Return the largest of 1, 2, 5, 10, … that is not longer."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(power * max(digit for digit in (1, 2, 5) if digit * power <= length))


def _add_scale_bar(axes: Axes, length: float, label: str) -> None:
    bar = AnchoredSizeBar(
        axes.transData,
        length,
        label,
        "lower right",
        pad=0.35,
        sep=2.5,
        color="white",
        frameon=True,
        size_vertical=0.012 * abs(np.diff(axes.get_ylim())[0]),
        fontproperties=FontProperties(size=7.5),
    )
    bar.patch.set(facecolor="black", edgecolor="none", alpha=0.55)
    axes.add_artist(bar)


def _add_color_wheel(axes: Axes) -> None:
    """Show which colour is which direction, in the upper right corner."""
    from stem_plugins.imaging.field import field_colors

    y, x = np.mgrid[-1:1:101j, -1:1:101j]
    inside = np.hypot(y, x) <= 1
    colors = field_colors(np.stack([y, x], axis=-1) * inside[..., None], percentile=100)
    wheel = axes.inset_axes((0.77, 0.77, 0.2, 0.2))
    wheel.imshow(np.dstack([colors, np.where(inside, 255, 0).astype(np.uint8)]))
    wheel.set_axis_off()
