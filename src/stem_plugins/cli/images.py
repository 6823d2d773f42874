"""The images that the commands can make, each as a recipe that is known before the pass.

A recipe has a name (for files), a title (for figures), and draws its pixels from the `Results` of
one pass over a scan. ``ricom`` saves what recipes draw, ``demo`` also puts them in a figure; a new
method joins both by one more recipe.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from stem_plugins.imaging.field import VectorField
    from stem_plugins.imaging.moments import Moments
    from stem_plugins.optics.acquisition import Acquisition

__all__ = [
    "Drawing",
    "Recipe",
    "Results",
    "airpi_recipe",
    "com_recipes",
    "detector_recipe",
    "divergence_recipe",
    "electric_field_recipes",
    "icom_recipe",
    "image_paths",
    "pattern_recipe",
    "restored_recipe",
    "ricom_recipe",
    "save_images",
    "total_recipe",
]

#: Formats that can hold colours.
COLOR_FORMATS = ("png", "tif")


@dataclasses.dataclass(frozen=True)
class Results:
    """What one pass over a scan gave, and what is known of the scan now.

    Parameters
    ----------
    moments
        Totals, centre-of-mass map, virtual detectors, mean pattern; NumPy.
    field
        The centre-of-mass map in the scan frame, in the best unit that the calibration allows.
    acquisition
        The calibration, with the centre and the rotation that were used.
    """

    moments: Moments
    field: VectorField
    acquisition: Acquisition


class Drawing(NamedTuple):
    """Pixels, (ny, nx) or (ny, nx, 3) for colours, and the unit of their values."""

    pixels: np.ndarray
    unit: str


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to make one image.

    Parameters
    ----------
    name
        Part of file names.
    title
        What a reader of a figure sees.
    draw
        Gives the image.
    in_color
        Whether the image is colours, which only some formats can hold.
    of_detector
        Whether its pixels are those of the detector rather than scan positions.
    percentiles
        Which percentiles of the values pictures show as black and white.
    parameters
        What this image depends on, for the record.
    """

    name: str
    title: str
    draw: Callable[[Results], Drawing]
    in_color: bool = False
    of_detector: bool = False
    percentiles: tuple[float, float] = (0.0, 100.0)
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def ricom_recipe(size: int, *, low: float | None = None, high: float | None = None) -> Recipe:
    """RiCOM with one kernel size; see `stem_plugins.imaging.ricom`."""

    def draw(results: Results) -> Drawing:
        from stem_plugins.imaging.ricom import ricom

        field = results.field
        pixels = ricom(field.vectors, size, low=low, high=high, scan_step=field.scan_step)
        return Drawing(pixels, field.image_unit)

    parameters = {"kernel_size": size, "low": low, "high": high}
    return Recipe(f"ricom-{size}", f"riCOM, kernel {size}×{size}", draw, parameters=parameters)


def icom_recipe(*, high_pass: float | None = None) -> Recipe:
    """ICOM; see `stem_plugins.imaging.icom`."""

    def draw(results: Results) -> Drawing:
        from stem_plugins.imaging.icom import icom

        field = results.field
        pixels = icom(field.vectors, high_pass=high_pass, scan_step=field.scan_step)
        return Drawing(pixels, field.image_unit)

    return Recipe("icom", "iCOM", draw, parameters={"high_pass": high_pass})


def com_recipes() -> tuple[Recipe, ...]:
    """Centre of mass in the scan frame: as colours, and its two components."""

    def draw(results: Results) -> Drawing:
        from stem_plugins.imaging.field import field_colors

        return Drawing(field_colors(results.field.vectors), results.field.unit)

    return (
        Recipe("com", "COM", draw, in_color=True),
        _component("com-y", "COM, down", 0, lambda results: results.field),
        _component("com-x", "COM, right", 1, lambda results: results.field),
    )


def electric_field_recipes() -> tuple[Recipe, ...]:
    """Projected electric field: as colours, and its two components."""

    def draw(results: Results) -> Drawing:
        from stem_plugins.imaging.field import field_colors

        field = _electric_field(results)
        return Drawing(field_colors(field.vectors), field.unit)

    return (
        Recipe("field", "Electric field", draw, in_color=True),
        _component("field-y", "Electric field, down", 0, _electric_field),
        _component("field-x", "Electric field, right", 1, _electric_field),
    )


class _Vectors(NamedTuple):
    vectors: np.ndarray
    unit: str


def _electric_field(results: Results) -> _Vectors:
    """Field times thickness [V], or minus the deflection where that is not calibrated."""
    from stem_plugins.imaging.field import electric_field

    energy = results.acquisition.beam_energy
    if energy is None or results.field.unit != "rad/Å":
        return _Vectors(-results.field.vectors, results.field.unit)
    return _Vectors(electric_field(results.field.vectors, beam_energy=energy), "V")


def _component(
    name: str, title: str, index: int, vectors: Callable[[Results], VectorField | _Vectors]
) -> Recipe:
    def draw(results: Results) -> Drawing:
        field = vectors(results)
        return Drawing(field.vectors[..., index], field.unit)

    return Recipe(name, title, draw)


def divergence_recipe() -> Recipe:
    """Divergence of the centre of mass (dCOM), negative at atoms."""

    def draw(results: Results) -> Drawing:
        from stem_plugins.imaging.field import divergence

        field = results.field
        pixels = divergence(field.vectors, scan_step=field.scan_step)
        return Drawing(pixels, field.divergence_unit)

    return Recipe("divergence", "dCOM", draw)


def detector_recipe(index: int, name: str, title: str, **parameters: Any) -> Recipe:
    """Image of one of the virtual detectors of the pass."""

    def draw(results: Results) -> Drawing:
        return Drawing(results.moments.images[index], "counts")

    return Recipe(name, title, draw, percentiles=(0.0, 99.8), parameters=parameters)


def restored_recipe(index: int, name: str, title: str, *, model: str) -> Recipe:
    """Image of one of the virtual detectors without noise; see `stem_plugins.restore`."""

    def draw(results: Results) -> Drawing:
        from stem_plugins.restoration import restore

        return Drawing(restore(results.moments.images[index], model=model), "counts")

    return Recipe(name, title, draw, percentiles=(0.0, 99.8), parameters={"model": model})


def airpi_recipe(mib: Path) -> Recipe:
    """AIRPI of the scan in a file, at its positions; see `stem_plugins.airpi`."""

    def draw(results: Results) -> Drawing:
        from stem_plugins.io.merlin import read_merlin
        from stem_plugins.rapid_phase_imaging import airpi

        data = read_merlin(mib).data
        found = airpi(data, results.acquisition, oversample=1, lazy_output=False)
        return Drawing(found.phase, "rad")

    return Recipe("airpi", "AIRPI", draw, percentiles=(0.0, 99.5))


def total_recipe() -> Recipe:
    """Sum of each pattern."""
    return Recipe("total", "Total", lambda results: Drawing(results.moments.total, "counts"))


def pattern_recipe() -> Recipe:
    """Mean pattern (position-averaged pattern, PACBED)."""

    def draw(results: Results) -> Drawing:
        assert results.moments.pattern is not None
        return Drawing(results.moments.pattern, "counts")

    return Recipe("pacbed", "PACBED", draw, of_detector=True, percentiles=(0.0, 99.8))


def image_paths(
    recipes: Sequence[Recipe], folder: Path, stem: str, formats: Sequence[str]
) -> list[tuple[Recipe, Path]]:
    """Return which image goes to which file; colours skip formats that cannot hold them.

    Parameters
    ----------
    recipes
        The images.
    folder, stem
        Files are called ``folder/stem_name.format``.
    formats
        Such as ``"tif"``, ``"zspy"``, ``"png"``.
    """
    return [
        (recipe, folder / f"{stem}_{recipe.name}.{suffix}")
        for recipe in recipes
        for suffix in formats
        if suffix in COLOR_FORMATS or not recipe.in_color
    ]


def save_images(
    plan: Sequence[tuple[Recipe, Path]],
    results: Results,
    *,
    parameters: Mapping[str, Any],
) -> dict[str, str]:
    """Draw and save images.

    Parameters
    ----------
    plan
        Which image goes to which file.
    results
        Of the pass.
    parameters
        What made the images, kept in each file together with the recipe's own parameters.

    Returns
    -------
    dict
        Unit of each image by its name.
    """
    from stem_plugins.io.images import save_image

    drawings: dict[str, Drawing] = {}
    for recipe, path in plan:
        if recipe.name not in drawings:
            drawings[recipe.name] = recipe.draw(results)
        drawing = drawings[recipe.name]
        save_image(
            path,
            drawing.pixels,
            scan_step=None if recipe.of_detector else results.acquisition.scan_step,
            pattern=results.acquisition if recipe.of_detector else None,
            title=recipe.title,
            quantity_units=drawing.unit,
            percentiles=recipe.percentiles,
            parameters={**parameters, **recipe.parameters},
        )
    return {name: drawing.unit for name, drawing in drawings.items()}
