"""Compare images of simulated specimens by AIRPI for the documentation, after the thesis' figures.

    python docs/compared_airpi.py [--model FILE] [--keep FOLDER]

Two pictures go to ``docs/images``: ``compared-airpi.png``, a twisted bilayer of MoS₂ at four doses
(fig. 4.11) with its spectrum (fig. 4.5), and ``airpi-atoms-and-steps.png``, single atoms (fig. 4.9)
and steps of the scan (fig. 4.7). Specimens and other methods are those of ``benchmarks/airpi.py``.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

DOCS = Path(__file__).parent
PICTURES = DOCS / "images"
sys.path.insert(0, str(DOCS.parent / "benchmarks"))

#: Electrons per Å²; no noise at the first.
DOSES = (None, 1e5, 1e4, 500.0)

#: Every how many positions of the scan are taken.
SKIPPED = (1, 2, 3, 4, 5, 6)

#: Atomic numbers.
ELEMENTS = (6, 8, 14, 22, 29, 40, 50, 60, 74, 92)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--keep", type=Path, help="folder where the simulated patterns stay")
    arguments = parser.parse_args()
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    with plt.rc_context({"font.size": 7, "image.cmap": "gray", "image.interpolation": "nearest"}):
        save("compared-airpi", doses(arguments.model, arguments.keep))
        save("airpi-atoms-and-steps", atoms_and_steps(arguments.model, arguments.keep))


def save(name: str, figure: Any) -> None:
    """Write a picture, small."""
    from PIL import Image

    unfinished = PICTURES / f"{name}.unfinished"
    figure.savefig(unfinished, dpi=110, format="png")
    picture = Image.open(unfinished).convert("RGB").quantize(128)
    picture.save(PICTURES / f"{name}.png", optimize=True)
    unfinished.unlink()


def doses(model: str, keep: Path | None) -> Any:
    """The bilayer at four doses, by three methods, and how its spectrum reaches beyond 2 α."""
    import matplotlib.pyplot as plt
    from airpi import compared
    from airpi_evidence import direct, finer, icom, ours
    from airpi_specimens import STEP, specimen

    from stem_plugins.optics import wavelength

    scan = specimen("MoS₂, twisted bilayer", keep)
    methods = {
        "iCOM": lambda counts: finer(icom(counts)),
        "direct ptychography": direct,
        "AIRPI": lambda counts: ours(counts, model),
    }
    figure, axes = plt.subplots(4, len(DOSES) + 1, figsize=(7.4, 6.4), layout="compressed")
    edge = 2 * 0.02 / wavelength(300)
    for column, dose in enumerate(DOSES):
        counts = scan.counts(dose, np.random.default_rng(5))
        label = "no noise" if dose is None else f"{dose:g} e/Å²"
        for row, (name, method) in enumerate(methods.items()):
            image = method(counts)
            alike = compared(image, scan.truth)[0]
            ax = axes[row, column]
            ax.imshow(image, vmin=np.percentile(image, 1), vmax=np.percentile(image, 99.7))
            ax.set(xticks=[], yticks=[], title=f"{label}, {alike:.3f}")
            if not column:
                ax.set_ylabel(name)
        _spectrum(axes[3, column], image, STEP / 2, edge)
    axes[3, 0].set_ylabel("spectrum of AIRPI")
    truth = scan.truth
    for row in range(3):
        axes[row, -1].set_axis_off()
    axes[0, -1].imshow(truth, vmin=np.percentile(truth, 1), vmax=np.percentile(truth, 99.7))
    axes[0, -1].set(title="true phase")
    _spectrum(axes[3, -1], truth, STEP / 2, edge)
    axes[3, -1].set_title("true phase")
    return figure


def _spectrum(ax: Any, image: np.ndarray, pixel: float, edge: float) -> None:
    """Logarithm of the spectrum, with a ring at twice the semi-angle."""
    from matplotlib.patches import Circle

    window = np.outer(*(np.hanning(size) for size in image.shape))
    power = np.abs(np.fft.fftshift(np.fft.fft2((image - image.mean()) * window))) ** 2
    reach = 0.5 / pixel
    ax.imshow(
        np.log10(power / power.max() + 1e-9), vmin=-6, vmax=0, extent=(-reach, reach, reach, -reach)
    )
    ax.add_patch(Circle((0, 0), edge, fill=False, color="#ffb000", linewidth=0.8))
    ax.set(xlim=(-3, 3), ylim=(3, -3), xticks=[], yticks=[], title="ring: 2 α")


def atoms_and_steps(model: str, keep: Path | None) -> Any:
    """Peaks of single atoms, and what remains where positions are left out."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 2.9), layout="compressed")
    _atoms(left, model)
    _steps(right, model, keep)
    return figure


def _atoms(ax: Any, model: str) -> None:
    from airpi_evidence import atoms_in_vacuum, direct, finer, icom, ours, peak

    scan, places = atoms_in_vacuum(ELEMENTS)
    images = {
        "true phase": scan.truth,
        "AIRPI": ours(scan.patterns, model),
        "direct ptychography": direct(scan.patterns),
        "iCOM": finer(icom(scan.patterns)),
    }
    for (name, image), style in zip(images.items(), ("k-", "o", "s", "^"), strict=True):
        heights = [peak(image, place) for place in places]
        ax.plot(ELEMENTS, heights, style, label=name, markersize=4)
    ax.set(xlabel="Atomic number", ylabel="Peak of the phase (rad)", title="single atoms")
    ax.legend(frameon=False)


def _steps(ax: Any, model: str, keep: Path | None) -> None:
    from airpi import compared
    from airpi_specimens import ACQUISITION, MATERIALS, STEP, specimen

    from stem_plugins import airpi
    from stem_plugins.optics import wavelength

    diameter = 1.22 * wavelength(300) / 0.02
    for name in MATERIALS:
        scan = specimen(name, keep)
        overlaps, alike = [], []
        for skip in SKIPPED:
            size = 64 // skip * skip
            acquisition = dataclasses.replace(ACQUISITION, scan_step=(skip * STEP,) * 2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = airpi(
                    scan.patterns[:size:skip, :size:skip],
                    acquisition,
                    model=model,
                    oversample=2 * skip,
                    force=True,
                    threads=1,
                ).phase
            overlaps.append(diameter / (skip * STEP))
            alike.append(compared(image, scan.truth[: 2 * size, : 2 * size])[0])
        ax.semilogx(overlaps, alike, "o-", markersize=3, label=name)
    ax.axvline(3, color="0.6", linewidth=0.8)
    ax.text(3.05, ax.get_ylim()[0], "warned below", color="0.4", rotation=90, va="bottom")
    ax.set(
        xlabel="Diameter of the probe over the scan step",
        ylabel="Correlation with the true phase",
        title="steps of the scan, no noise",
        xticks=[1, 2, 3, 4, 6],
        xticklabels=["1", "2", "3", "4", "6"],
    )
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=6)


if __name__ == "__main__":
    main()
