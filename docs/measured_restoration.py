"""Restore measured images for the documentation: before, after, and what stays unexplained.

    python docs/measured_restoration.py FOLDER [--model MODEL]

The picture goes to ``docs/images/measured-restored.png``. FOLDER holds these files, all under the
GPL-3 licence: ``example_Se_implanted_MoS2.dm3`` from the wheel of temul-toolkit 0.1.9,
``ncempy_16_STOimage_1.ser`` (16_STOimage_1.ser of openNCEM), and
``tk_r_em_exp_hrstem_3frames_gz.h5``, frames 0, 2 and 4 of exp_hrstem.h5 in the source
distribution of tk_r_em 1.0.4.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

PICTURE = Path(__file__).parent / "images" / "measured-restored.png"

#: Side of the part of each image that is shown [px].
SHOWN = 200


@dataclasses.dataclass(frozen=True)
class Example:
    """An image of a file, along which axis it was scanned, and the corner of the part shown."""

    title: str
    file: str
    frame: int = 0
    scan_axis: int = -1
    corner: tuple[int, int] = (240, 240)


# The noise of tk_r_em's images is coupled down the image: that is how they were scanned.
EXAMPLES = (
    Example("MoS$_2$ with Se, 60 kV", "example_Se_implanted_MoS2.dm3"),
    Example("SrTiO$_3$", "ncempy_16_STOimage_1.ser"),
    Example("tk_r_em, image 1", "tk_r_em_exp_hrstem_3frames_gz.h5", 0, -2),
    Example("tk_r_em, image 5", "tk_r_em_exp_hrstem_3frames_gz.h5", 2, -2),
)


def load(folder: Path, example: Example) -> np.ndarray:
    """Return an image (y, x)."""
    from stem_plugins.io.image_files import read_images

    data = np.asarray(read_images(folder / example.file)[0].data)
    return data.reshape(-1, *data.shape[-2:])[example.frame]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    save_picture(arguments.folder, arguments.model)


def save_picture(folder: Path, model: str) -> None:
    """Restore all images whole, and write the shown parts as a PNG of few colours."""
    import matplotlib.pyplot as plt
    from PIL import Image

    import stem_plugins as stem

    plt.switch_backend("agg")
    style = {"font.size": 8, "image.interpolation": "nearest"}
    with plt.rc_context(style):
        figure, axes = plt.subplots(3, len(EXAMPLES), figsize=(9, 7.1), layout="compressed")
        for example, column in zip(EXAMPLES, axes.T, strict=True):
            image = load(folder, example)
            restored, evidence = stem.restore(
                image, model=model, scan_axis=example.scan_axis, threads=1, return_evidence=True
            )
            rms = float(np.sqrt(np.mean(evidence.unexplained**2)))
            print(f"{example.title:26}{image.shape}  unexplained, rms {rms:.2f}", flush=True)
            part = tuple(slice(start, start + SHOWN) for start in example.corner)
            limits = np.percentile(restored[part], (0.1, 99.9))
            panels = (
                (f"{example.title}\nmeasured", image, "gray", limits),
                ("restored", restored, "gray", limits),
                (f"unexplained, rms {rms:.2f}", evidence.unexplained, "RdBu_r", (-6, 6)),
            )
            for ax, (title, shown, colormap, (low, high)) in zip(column, panels, strict=True):
                drawn = ax.imshow(shown[part], cmap=colormap, vmin=low, vmax=high)
                ax.set(title=title, xticks=[], yticks=[])
        figure.colorbar(drawn, ax=axes[2], fraction=0.02, pad=0.01, label="units of noise")
        unfinished = PICTURE.with_suffix(".unfinished")
        figure.savefig(unfinished, dpi=110, format="png")
    picture = Image.open(unfinished).convert("RGB")
    # Of all methods this one keeps rare colours, such as the red of a place that stands out.
    picture.quantize(160, Image.Quantize.MAXCOVERAGE).save(PICTURE, optimize=True)
    unfinished.unlink()


if __name__ == "__main__":
    main()
