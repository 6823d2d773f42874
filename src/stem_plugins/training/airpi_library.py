"""Clean training scans of AIRPI on disk: what is simulated once is used many times."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from stem_plugins.io.output_files import complete_or_nothing
from stem_plugins.training.airpi_scans import CleanScan, Conditions, clean_scan, random_conditions

__all__ = ["SCANS_PER_FILE", "grow_library", "read_scans"]

#: Scans of one file.
SCANS_PER_FILE = 40


def grow_library(
    folder: Path,
    *,
    first: int = 0,
    stride: int = 1,
    device: str = "cpu",
    conditions: Callable[[np.random.Generator], Conditions] = random_conditions,
) -> Iterator[Path]:
    """Simulate scans without end, file by file; files that are there already are left out.

    Parameters
    ----------
    folder
        Where the files are.
    first, stride
        Number of the first file, and how many processes share the work.
    device
        Where waves are computed.
    conditions
        Draws how a scan is recorded.

    Yields
    ------
    Path
        A file that is complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(first, stride):
        path = folder / f"scans-{number:05d}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng((20, number))
        scans = [clean_scan(conditions(rng), rng, device=device) for _ in range(SCANS_PER_FILE)]
        with (
            complete_or_nothing(path, overwrite=False) as (temporary,),
            temporary.open("wb") as file,
        ):
            np.savez(
                file,
                cells=np.stack([scan.cells for scan in scans]),
                phase=np.stack([scan.phase for scan in scans]),
                conditions=json.dumps([_described(scan.conditions) for scan in scans]),
            )
        yield path


def _described(conditions: Conditions) -> dict:
    described = dataclasses.asdict(conditions)
    described["aberrations"] = [[one.real, one.imag] for one in conditions.aberrations]
    return described


def read_scans(path: Path) -> list[CleanScan]:
    """Read the scans of one file.

    Parameters
    ----------
    path
        From `grow_library`.
    """
    with np.load(path) as file:
        cells, phase = file["cells"], file["phase"]
        described = json.loads(str(file["conditions"]))
    scans = []
    for one, image, words in zip(cells, phase, described, strict=True):
        words["aberrations"] = tuple(complex(*part) for part in words["aberrations"])
        words["offset"] = tuple(words["offset"])
        if "distortion" in words:
            words["distortion"] = tuple(map(tuple, words["distortion"]))
        scans.append(CleanScan(one, image, Conditions(**words)))
    return scans
