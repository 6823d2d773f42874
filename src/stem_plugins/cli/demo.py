"""``stem-plugins demo``: from a simulated scan in a real file to calibrated images and a figure."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stem_plugins.cli.images import Recipe, Results
    from stem_plugins.optics.acquisition import Acquisition
    from stem_plugins.simulation.scan import SimulatedScan

__all__ = ["add_parser", "run"]

#: Scan positions and kernel sizes, of the demo and of its quick variant.
FULL = ((128, 128), (11, 31, 101))
QUICK = ((40, 40), (7, 15, 41))

#: Annular dark-field detector [mrad].
ADF = (50.0, 92.0)

#: Name of the files.
STEM = "srtio3"


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser of ``stem-plugins``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "demo",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="simulate a scan of SrTiO3 and make all images of it, in less than a minute",
        usage="stem-plugins demo [-o FOLDER] [options]",
        description=(
            "Simulate a 4D-STEM scan of SrTiO3 [001] (200 kV, 22 mrad, steps of 0.2 Å, finite\n"
            "dose), write it as a Merlin file (.mib and .hdr), read that back, and save the\n"
            "images of it (.zspy, with scales) and a figure (.png): annular dark field, also\n"
            "restored (with PyTorch), centre of mass, riCOM with three kernel sizes, iCOM, AIRPI\n"
            "(with PyTorch), and the true phase."
        ),
        epilog=("Examples:\n  stem-plugins demo\n  stem-plugins demo -o results --napari"),
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("stem-plugins-demo"),
        metavar="FOLDER",
        help="where the files go (stem-plugins-demo)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier demo")
    parser.add_argument("--quick", action="store_true", help="a smaller scan, in a few seconds")
    parser.add_argument("--napari", action="store_true", help="open scan and images in napari")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Make the demo, as the parsed options say."""
    from stem_plugins.cli.demo_figure import save_figure
    from stem_plugins.cli.images import image_paths, save_images
    from stem_plugins.cli.messages import follow, say
    from stem_plugins.io.merlin_writer import iter_write_merlin
    from stem_plugins.io.output_files import complete_or_nothing

    if arguments.napari:
        _check_napari()
    scan_shape, kernel_sizes = QUICK if arguments.quick else FULL
    folder, overwrite = arguments.output, arguments.overwrite
    mib, figure = folder / f"{STEM}.mib", folder / "demo.png"
    in_figure, kernels, beside = _recipes(kernel_sizes, _model(), mib)
    plan = image_paths([*in_figure, *kernels, *beside], folder, STEM, ["zspy"])
    outputs = [figure, *(path for _, path in plan)]
    _prepare_folder(folder, [mib, mib.with_suffix(".hdr"), *outputs], overwrite=overwrite)

    say(f"1. simulating {scan_shape[0]} × {scan_shape[1]} patterns of SrTiO3")
    simulated = _simulate(scan_shape)
    say(f"2. writing {mib}")
    steps = iter_write_merlin(
        mib, simulated.data, acquisition=simulated.acquisition, overwrite=overwrite
    )
    follow(steps, "writing")
    say("3. reading it back, in one pass for all images")
    results = _results(mib)
    say(f"4. saving images and {figure}")
    with complete_or_nothing(*outputs, overwrite=overwrite) as parts:
        save_figure(
            parts[0],
            [*in_figure, _truth(simulated), *kernels],
            results,
            title=_title(results.acquisition),
            detectors={"ADF": ADF},
        )
        parameters = {"source": mib.name, "acquisition": results.acquisition.to_dict()}
        saved = [(recipe, part) for (recipe, _), part in zip(plan, parts[1:], strict=True)]
        save_images(saved, results, parameters=parameters)
    say(f"Done: look at {figure}. More: stem-plugins ricom {mib} -o images --help")
    if arguments.napari:
        _show_in_napari(mib, [*in_figure, *kernels], results)


def _recipes(
    kernel_sizes: tuple[int, ...], model: str | None, mib: Path
) -> tuple[list[Recipe], list[Recipe], list[Recipe]]:
    """Return the images of the figure before and behind the true phase, and those only saved.

    A later method joins the demo by one more recipe in the first list.
    """
    from stem_plugins.cli import images

    com, *components = images.com_recipes()
    adf = f"{ADF[0]:g}–{ADF[1]:g} mrad"
    before = [
        images.pattern_recipe(),
        images.detector_recipe(0, "adf", f"ADF, {adf}", radii=ADF),
        com,
        images.icom_recipe(),
    ]
    if model is not None:
        before.insert(2, images.restored_recipe(0, "adf-restored", "ADF, restored", model=model))
    if model == "default":
        before.append(images.airpi_recipe(mib))
    return before, [images.ricom_recipe(size) for size in kernel_sizes], components


def _model() -> str | None:
    """The network that comes with stem-plugins, the filter without it, nothing without PyTorch."""
    import importlib.util

    from stem_plugins.models import list_weights

    if importlib.util.find_spec("torch") is None:
        return None
    return "fft" if list_weights()["default"] is None else "default"


def _truth(simulated: SimulatedScan) -> Recipe:
    """The phase that the simulation started from."""
    from stem_plugins.cli.images import Drawing, Recipe

    return Recipe(
        "truth",
        "True phase",
        lambda _: Drawing(simulated.phase, "rad"),
        percentiles=(0.0, 99.5),
    )


def _title(acquisition: Acquisition) -> str:
    return (
        f"SrTiO₃ [001], simulated: {acquisition.beam_energy:g} kV, "
        f"{acquisition.convergence_angle:g} mrad, {acquisition.dose:.0f} electrons per Å²"
    )


def _simulate(scan_shape: tuple[int, int]) -> SimulatedScan:
    from tqdm import tqdm

    from stem_plugins.cli.messages import bar_style
    from stem_plugins.simulation.demo import demo_scan

    return demo_scan(scan_shape, progress=functools.partial(tqdm, **bar_style("simulating")))


def _results(mib: Path) -> Results:
    """Read the file and do the pass, as `stem_plugins.cli.ricom` does for any scan."""
    from stem_plugins.cli.images import Results
    from stem_plugins.cli.one_pass import scan_moments
    from stem_plugins.imaging.detectors import annular_detector
    from stem_plugins.imaging.field import vector_field
    from stem_plugins.io.merlin import read_merlin

    scan = read_merlin(mib)
    acquisition = scan.acquisition.require("center", "diffraction_step")
    center, step = acquisition.center, acquisition.diffraction_step
    assert center is not None
    assert step is not None
    mask = annular_detector(scan.data.shape[2:], *ADF, center=center, pixel_size=step)
    moments = scan_moments(scan, detectors=[mask], center=center, pattern=True)
    return Results(moments, vector_field(moments.com, acquisition), acquisition)


def _prepare_folder(folder: Path, paths: list[Path], *, overwrite: bool) -> None:
    from stem_plugins.io.output_files import check_output

    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; give a folder by -o FOLDER.")
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        check_output(path, overwrite=overwrite)


def _check_napari() -> None:
    import importlib.util

    if importlib.util.find_spec("napari") is None:
        raise ImportError(
            "napari is not installed. Install it by: python -m pip install 'stem-plugins[napari]'"
        )


def _show_in_napari(mib: Path, recipes: list[Recipe], results: Results) -> None:
    """Open the scan, with the images of it above."""
    import napari
    from napari.layers import Layer

    from stem_plugins.napari.layers import image_layer
    from stem_plugins.napari.planes import add_image_over_scan
    from stem_plugins.napari.reader import read_scan_layers

    viewer = napari.Viewer(title="stem-plugins demo")
    for layer_data in read_scan_layers(str(mib)):
        viewer.add_layer(Layer.create(*layer_data))
    for recipe in recipes:
        if not recipe.of_detector:
            pixels, unit = recipe.draw(results)
            layer_data = image_layer(pixels, results.acquisition, recipe.title, unit)
            add_image_over_scan(viewer, layer_data)
    napari.run()
