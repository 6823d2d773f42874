"""``stem-plugins train airpi``: the network of AIRPI, for all microscopes or for one scan."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stem_plugins.cli.options import (
    add_acquisition_options,
    add_reading_options,
    given_acquisition,
    open_scan,
    whole_number,
)

if TYPE_CHECKING:
    import numpy as np

    from stem_plugins.training.airpi import AirpiTraining
    from stem_plugins.training.airpi_scans import Conditions

__all__ = ["add_parser"]

#: Scans that are simulated: for all microscopes, and for one scan.
SCANS, SCANS_FOR_ONE = 1600, 160

#: By how much the dose of a scan is varied; and doses where it is not known, per (λ/α)².
AROUND, HIGH_DOSES = (0.3, 3.0), (1e5, 3e6)


def add_parser(networks: Any) -> None:
    """Add the network to the parser of ``stem-plugins train``."""
    from stem_plugins.cli.train import add_run_options

    parser = networks.add_parser(
        "airpi",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="the network of `stem-plugins airpi`",
        usage="stem-plugins train airpi FOLDER --minutes M [--for FILE] [options]",
        description=(
            "Train the network of AIRPI on simulated scans, which are kept in FOLDER/library.\n"
            "With --for the network that comes with stem-plugins is trained further for the\n"
            "voltage, aperture, scan step, lens and dose of one scan, which takes minutes. The\n"
            "exit-wave design simulates while it trains, and makes exit_wave.safetensors. Run\n"
            "the same command again and training goes on. Stop it by Ctrl-C at any time; the\n"
            "scans, the checkpoint and the weights are kept."
        ),
        epilog=(
            "Examples:\n"
            "  stem-plugins train airpi mine --minutes 15 --for scan.mib\n"
            "  stem-plugins airpi scan.mib -o phase --model mine/airpi.safetensors\n"
            "  stem-plugins train airpi training --minutes 180\n"
            "  stem-plugins train airpi waves --minutes 180 --design exit-wave"
        ),
    )
    add_run_options(parser, "airpi.safetensors or exit_wave.safetensors")
    parser.add_argument(
        "--for", dest="file", type=Path, metavar="FILE", help="a calibrated scan to train for"
    )
    parser.add_argument(
        "--design",
        choices=("spatial", "exit-wave"),
        default="spatial",
        help="which of AIRPI's networks (spatial)",
    )
    parser.add_argument(
        "--filters",
        type=whole_number(1),
        metavar="N",
        help="exit-wave: channels of the first level (16; published: 32)",
    )
    parser.add_argument(
        "--scans",
        type=whole_number(80),
        metavar="N",
        help=f"scans to simulate, 40 in a file ({SCANS}, with --for {SCANS_FOR_ONE})",
    )
    add_reading_options(parser)
    add_acquisition_options(parser)
    parser.set_defaults(train=_train_airpi)


def _train_airpi(arguments: argparse.Namespace) -> None:
    from stem_plugins.cli.restore import check_torch
    from stem_plugins.cli.train import follow_training, prepare_training_folder

    check_torch("AIRPI")
    if arguments.design == "exit-wave":
        _train_exit_wave(arguments)
        return
    if arguments.filters is not None:
        raise ValueError("--filters is for --design exit-wave.")
    from stem_plugins.training.airpi import AirpiTraining, train_airpi

    names = ("batch", "seed", "threads", "workers")
    settings = _chosen(AirpiTraining(), arguments, names)
    conditions, start_from, made_for = None, arguments.start_from, "all microscopes"
    if arguments.file is not None:
        conditions, settings, made_for = _like_the_scan(arguments, settings)
        start_from = start_from or "default"
    folder = prepare_training_folder(arguments.folder)
    library = folder / "library"
    _check_purpose(library, made_for)
    count = arguments.scans or (SCANS if conditions is None else SCANS_FOR_ONE)
    _simulate(library, count, conditions, settings.device)
    validation = None if conditions is not None else _validation_scans(library)
    steps = train_airpi(
        folder,
        library,
        minutes=arguments.minutes,
        settings=settings,
        start_from=start_from,
        validation=validation,
    )
    follow_training(steps, folder / "airpi.safetensors")


def _chosen(settings: Any, arguments: argparse.Namespace, names: tuple[str, ...]) -> Any:
    """Settings of a training, those of the names and the pace as they were given."""
    from stem_plugins.cli.train import given_settings

    pace = given_settings(arguments, ("learning_rate", "cool_down"))
    pace.pop("device", None)
    return dataclasses.replace(
        settings,
        **given_settings(arguments, names),
        pace=dataclasses.replace(settings.pace, **pace),
    )


def _train_exit_wave(arguments: argparse.Namespace) -> None:
    from stem_plugins.cli.train import follow_training, prepare_training_folder
    from stem_plugins.optics.acquisition import Acquisition
    from stem_plugins.training.exit_wave import ExitWaveTraining, train_exit_wave

    for name in ("file", "scans", "workers", "scan"):
        if getattr(arguments, name) is not None:
            option = "for" if name == "file" else name
            raise ValueError(f"--{option} is not for --design exit-wave.")
    if given_acquisition(arguments) != Acquisition():
        raise ValueError(
            "The exit-wave design is trained for all microscopes: a calibration is not for "
            "--design exit-wave."
        )
    names = ("batch", "filters", "seed", "threads")
    settings = _chosen(ExitWaveTraining(), arguments, names)
    folder = prepare_training_folder(arguments.folder)
    steps = train_exit_wave(
        folder, minutes=arguments.minutes, settings=settings, start_from=arguments.start_from
    )
    follow_training(steps, folder / "exit_wave.safetensors")


def _like_the_scan(
    arguments: argparse.Namespace, settings: AirpiTraining
) -> tuple[Callable[[np.random.Generator], Conditions], AirpiTraining, str]:
    """Conditions and doses around those of a scan, and the scan in words."""
    import numpy as np

    from stem_plugins.cli.messages import say
    from stem_plugins.rapid_phase_imaging.checks import survey
    from stem_plugins.training.airpi_scans import conditions_like

    scan = open_scan(arguments)
    seen = survey(scan.data, scan.acquisition)
    example = conditions_like(seen.acquisition, np.random.default_rng(0))
    doses = HIGH_DOSES
    if math.isfinite(seen.electrons):
        per_area = seen.electrons / example.scan_step**2
        doses = (AROUND[0] * per_area, AROUND[1] * per_area)
    words = (
        f"{example.beam_energy:g} keV, {example.convergence_angle:g} mrad, steps of "
        f"{example.scan_step * example.unit:.3g} Å"
    )
    say(f"for {words}, {seen.electrons:.3g} electrons per pattern")
    settings = dataclasses.replace(settings, doses=doses)
    return (lambda rng: conditions_like(seen.acquisition, rng)), settings, words


def _check_purpose(library: Path, made_for: str) -> None:
    """Refuse a folder whose scans were simulated for something else."""
    note = library / "made_for.txt"
    if not note.exists():
        library.mkdir(parents=True, exist_ok=True)
        note.write_text(made_for, encoding="utf-8")
    elif (before := note.read_text(encoding="utf-8")) != made_for:
        raise ValueError(
            f"The scans in {library} were simulated for {before}, not for {made_for}. Train in "
            "another folder."
        )


def _simulate(
    library: Path,
    count: int,
    conditions: Callable[[np.random.Generator], Conditions] | None,
    device: str,
) -> None:
    """Simulate what the library lacks, file by file."""
    from tqdm import tqdm

    from stem_plugins.cli.messages import bar_style
    from stem_plugins.training.airpi_library import SCANS_PER_FILE, grow_library

    files = math.ceil(count / SCANS_PER_FILE)
    missing = files - len(list(library.glob("scans-*.npz")))
    if missing <= 0:
        return
    options = {} if conditions is None else {"conditions": conditions}
    growing = grow_library(library, device=device, **options)  # type: ignore[arg-type]
    with contextlib.closing(growing), tqdm(total=missing, **bar_style("simulating")) as bar:
        for _ in itertools.islice(growing, missing):
            bar.update()


def _validation_scans(library: Path) -> Path:
    """Simulate once the scans on which training decides when it is best."""
    from stem_plugins.cli.messages import follow
    from stem_plugins.training.airpi_validation import write_validation

    path = library / "validation.npz"
    if not path.exists():
        follow(write_validation(path), "simulating scans to validate on")
    return path
