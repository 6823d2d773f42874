"""Tables of the restoration benchmark: one printed row per method."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
from restoration_metrics import Quality
from restoration_peers import Task

#: Least dose from which the mean of an image must be kept within 1 % [e/Å²].
MEAN_DOSE = 5e3


@dataclasses.dataclass(frozen=True)
class Row:
    """What one method made of one image; CPU-s per megapixel."""

    task: Task
    method: str
    quality: Quality
    seconds: float
    restored: np.ndarray


def _methods(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row.method for row in rows))


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return float(np.mean(values)) if values else float("nan")


def _line(name: str, values: Iterable[float], form: str = "8.2f") -> None:
    print(f"{name:14}" + "".join(format(value, form) for value in values))


def _by_dose(rows: list[Row], title: str, figure: Callable[[Row], float | None]) -> None:
    levels = sorted({row.task.level for row in rows})
    print(f"\n{title}\n{'e/Å²':14}{'mean':>8}" + "".join(f"{level:>8.0e}" for level in levels))
    for method in _methods(rows):
        own = [row for row in rows if row.method == method and figure(row) is not None]
        means = [_mean(figure(row) for row in own if row.task.level == level) for level in levels]
        _line(method, [float(np.nanmean(means)), *means])


def columns(rows: list[Row]) -> None:
    """Atom columns: by dose, and what happens at defects and in vacuum."""
    images = len([row for row in rows if row.method == "raw"])
    print(f"Columns: {images} images of {len({row.task.name for row in rows})} specimens")
    _by_dose(rows, "PSNR [dB]", lambda row: row.quality.psnr)
    _by_dose(rows, "Column position error [pm]", lambda row: row.quality.position)
    _by_dose(rows, "Error at the dislocation core [pm]", lambda row: row.quality.core)
    _by_dose(rows, "Error in the rest of that image [pm]", lambda row: row.quality.rest)
    _by_dose(
        rows,
        "Vacuum undershoot [% of the maximum]",
        lambda row: None if row.quality.undershoot is None else 100 * row.quality.undershoot,
    )
    print(
        f"\n{'':14}{'core/rest':>10}{'worst':>8}{'undershoot':>12}{'mean kept':>11}{'5e3 up':>8}"
        f"{'CPU-s':>9}{'/published':>12}\n"
        f"{'':14}{'':>10}{'dose':>8}{'worst %':>12}{'worst %':>11}{'%':>8}{'/Mpx':>9}"
    )
    seconds = {
        method: min(row.seconds for row in rows if row.method == method)
        for method in _methods(rows)
    }
    for method in _methods(rows):
        own = [row for row in rows if row.method == method]
        core = [row for row in own if row.quality.core is not None]
        ratios = []
        for level in {row.task.level for row in core}:
            at = [row.quality for row in core if row.task.level == level]
            ratios.append(_mean(q.core for q in at) / _mean(q.rest for q in at))
        ratio = _mean(r.quality.core for r in core) / _mean(r.quality.rest for r in core)
        below = [r.quality.undershoot for r in own if r.quality.undershoot is not None]
        kept = [abs(row.quality.mean) for row in own]
        above = [abs(row.quality.mean) for row in own if row.task.level >= MEAN_DOSE]
        relative = seconds[method] / seconds.get("published", np.nan)
        print(
            f"{method:14}{ratio:10.2f}{max(ratios, default=np.nan):8.2f}"
            f"{100 * max(below, default=np.nan):12.1f}{100 * max(kept):11.2f}"
            f"{100 * max(above, default=np.nan):8.2f}{seconds[method]:9.2f}{relative:12.3f}"
        )

    for method in _methods(rows):
        seen = {id(row.task) for row in rows if row.method == method}
        if len(seen) < images:
            _same_images([row for row in rows if id(row.task) in seen], method, len(seen))


def _same_images(rows: list[Row], slow: str, count: int) -> None:
    """All methods on the images that a slow one has seen."""
    print(f"\nThe {count} images that {slow} has seen\n{'':14}{'PSNR [dB]':>10}{'error [pm]':>12}")
    for method in _methods(rows):
        own = [row.quality for row in rows if row.method == method]
        if len(own) == count:
            print(
                f"{method:14}{_mean(found.psnr for found in own):10.2f}"
                f"{_mean(found.position for found in own):12.2f}"
            )


def _differences(rows: list[Row], method: str, other: str) -> dict[str, float]:
    """PSNR of `method` minus that of `other`, by image."""
    found = {(row.task.name, row.method): row.quality.psnr for row in rows}
    names = dict.fromkeys(row.task.name for row in rows)
    return {name: found[name, method] - found[name, other] for name in names}


def _against(rows: list[Row], methods: list[str]) -> None:
    print(
        f"\n{'':14}{'minus fft [dB]':>22}{'below':>8}{'minus raw [dB]':>22}{'below':>8}\n"
        f"{'':14}{'mean':>11}{'worst':>11}{'-0.3':>8}{'mean':>11}{'worst':>11}{'+3':>8}"
    )
    for method in methods:
        fft = np.array(list(_differences(rows, method, "fft").values()))
        raw = np.array(list(_differences(rows, method, "raw").values()))
        print(
            f"{method:14}{fft.mean():11.2f}{fft.min():11.2f}{np.sum(fft < -0.3):8d}"
            f"{raw.mean():11.2f}{raw.min():11.2f}{np.sum(raw < 3):8d}"
        )
    if "ours" in methods:
        worse = {k: v for k, v in _differences(rows, "ours", "fft").items() if v < -0.3}
        for name, value in sorted(worse.items(), key=lambda item: item[1]):
            print(f"    ours minus fft {value:6.2f} dB: {name}")


def breadth(rows: list[Row]) -> None:
    """Images that are no bright columns: by kind, and against filter and raw."""
    methods = _methods(rows)
    kinds = list(dict.fromkeys(row.task.name.split()[0] for row in rows))
    print(f"\nBreadth: {len(rows) // len(methods)} images that are no bright columns; PSNR [dB]")
    print(f"{'':14}{'mean':>10}" + "".join(f"{kind:>10}" for kind in kinds))
    for method in methods:
        own = [row for row in rows if row.method == method]
        values = [
            _mean(row.quality.psnr for row in own if row.task.name.startswith(kind))
            for kind in kinds
        ]
        _line(method, [_mean(row.quality.psnr for row in own), *values], "10.2f")
    levels = sorted({row.task.level for row in rows})
    print(f"{'counts/px':14}{'':10}" + "".join(f"{level:>8g}" for level in levels))
    for method in methods:
        own = [row for row in rows if row.method == method]
        means = [_mean(r.quality.psnr for r in own if r.task.level == level) for level in levels]
        print(f"{method:14}{'':10}" + "".join(f"{value:8.2f}" for value in means))
    _against(rows, [method for method in methods if method not in ("raw", "fft")])


def pairs(rows: list[Row]) -> None:
    """The published pairs."""
    print("\nPublished pairs of tk_r_em 1.0.4, 8 + 8; PSNR [dB]")
    sets = list(dict.fromkeys(row.task.set for row in rows))
    print(f"{'':14}" + "".join(f"{name.split()[1]:>10}" for name in sets))
    for method in _methods(rows):
        values = [
            _mean(r.quality.psnr for r in rows if r.method == method and r.task.set == name)
            for name in sets
        ]
        _line(method, values, "10.2f")
    _against(rows, [method for method in _methods(rows) if method not in ("raw", "fft")])


def pedestal(rows: list[Row]) -> None:
    """What is left of a pedestal in vacuum."""
    print("\nA pedestal of half the maximum under a particle on vacuum, 1e4 e/Å²")
    print(f"{'':14}{'left in vacuum %':>18}{'PSNR [dB]':>12}")
    for method in _methods(rows):
        own = [row for row in rows if row.method == method]
        left = _mean(
            float(np.median(row.restored[row.task.specimen.vacuum])) / row.task.level for row in own
        )
        print(f"{method:14}{100 * left:18.1f}{_mean(row.quality.psnr for row in own):12.2f}")
