"""Files that ``stem-plugins dgp`` writes beside the state, all or none."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from stem_plugins.ptychography import PtychographyResult

__all__ = ["check_outputs", "save_results"]

#: How the phase is saved; a run that leaves others behind is told so.
FORMATS = ("zspy", "tif", "png")


def check_outputs(folder: Path, stem: str, *, replace: bool) -> None:
    """Refuse before the reconstruction what would be refused after it.

    Parameters
    ----------
    folder, stem
        Files are called ``folder/stem…``.
    replace
        Whether results of an earlier run may be replaced.
    """
    from stem_plugins.io.output_files import check_output

    if folder.is_dir():
        names = [f"{stem}.h5", *(f"{stem}_phase.{suffix}" for suffix in FORMATS)]
        names += [f"{stem}_slices.zspy", f"{stem}_probe.zspy", f"{stem}_record.toml"]
        for name in names:
            check_output(folder / name, overwrite=replace)


def save_results(
    arguments: argparse.Namespace, stem: str, result: PtychographyResult, notes: list[str]
) -> str:
    """Save phase, slices, probe and record.

    Parameters
    ----------
    arguments
        The parsed command line.
    stem
        With which names of files begin.
    result
        Of the reconstruction.
    notes
        What was said to the user.

    Returns
    -------
    str
        What lies where, for the user.
    """
    from stem_plugins.cli.record import earlier_images, record_text, run_record, warn_of_earlier
    from stem_plugins.io.images import plain_values, save_image
    from stem_plugins.io.output_files import complete_or_nothing

    folder = arguments.output
    stacks = {"slices": _slices, "probe": _probe} if len(result.slices) > 1 else {"probe": _probe}
    images = [folder / f"{stem}_phase.{suffix}" for suffix in FORMATS]
    record = folder / f"{stem}_record.toml"
    paths = [*images, *(folder / f"{stem}_{name}.zspy" for name in stacks), record]
    made_by = run_record(arguments)
    settings = plain_values({**result.settings, "stopped": result.stopped})
    # HyperSpy's formats have no empty lists.
    kept = {name: value for name, value in settings.items() if value != []}
    calibration = result.acquisition.to_dict()
    described = {**made_by, **kept, "acquisition": calibration}
    units = {"phase": "rad", **({"slices": "rad"} if "slices" in stacks else {}), "probe": "1"}
    earlier = earlier_images(record, paths, FORMATS)
    settings.pop("stopped")
    with complete_or_nothing(*paths, overwrite=arguments.overwrite or arguments.resume) as parts:
        for part in parts[: len(images)]:
            save_image(
                part,
                result.phase,
                scan_step=result.sampling,
                title="Phase",
                quantity_units="rad",
                parameters=described,
            )
        for part, write in zip(parts[len(images) :], stacks.values(), strict=False):
            write(part, result, described)
        text = record_text(
            made_by, notes, result.acquisition, units, earlier=earlier, parameters=settings
        )
        parts[-1].write_text(text, encoding="utf-8")
    warn_of_earlier(record, earlier, "results")
    sizes = f"{result.sampling[0]:.3g} × {result.sampling[1]:.3g} Å"
    names = ", ".join(f"{name} [{unit}]" for name, unit in units.items() if unit != "1")
    return f"{folder}: {stem}_… {names}, probe, pixels of {sizes}; {stem}.h5 holds everything"


def _slices(path: Path, result: PtychographyResult, described: dict[str, Any]) -> None:
    assert result.slice_thickness is not None
    depth = {"name": "depth", "scale": result.slice_thickness / 10, "units": "nm"}
    signal = {"title": "Slices", "quantity": "Phase (rad)"}
    _save_stack(path, result.slices, depth, result.sampling, (0, 0), signal, described)


def _probe(path: Path, result: PtychographyResult, described: dict[str, Any]) -> None:
    mode = {"name": "mode", "scale": 1.0, "units": ""}
    middle = result.probe.shape[1] // 2, result.probe.shape[2] // 2
    signal = {"title": "Probe", "quantity": "Wave"}
    _save_stack(path, result.probe, mode, result.probe_sampling, middle, signal, described)


def _save_stack(
    path: Path,
    stack: np.ndarray,
    first: dict[str, Any],
    sampling: tuple[float, float],
    zero: tuple[int, int],
    signal: dict[str, str],
    described: dict[str, Any],
) -> None:
    """Save images along a first axis, in nm from the pixel that is zero, for HyperSpy."""
    from rsciio import zspy

    from stem_plugins.io.signal_dictionary import image_axes, signal_dictionary, zspy_store

    sides = image_axes(stack.shape[1:], sampling)
    for side, pixel in zip(sides, zero, strict=True):
        side["offset"] = 0.0 - pixel * side["scale"]
        side["index_in_array"] += 1
    axis = {**sides[0], "offset": 0.0, **first, "size": len(stack), "navigate": True}
    metadata = {
        "General": {"title": signal["title"]},
        "Signal": {"signal_type": "stem_image", "quantity": signal["quantity"]},
        "stem_plugins": {"parameters": described, "acquisition": described["acquisition"]},
    }
    axes = [{**axis, "index_in_array": 0}, *sides]
    zspy.file_writer(zspy_store(path), signal_dictionary(stack, axes, metadata), chunks=stack.shape)
