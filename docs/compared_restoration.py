"""Compare restorations of a simulated particle for the documentation, as thesis fig. 5.1 does.

    python docs/compared_restoration.py [--model MODEL]

The picture goes to ``docs/images/compared-restorations.png``. The particle, the distortions and the
other methods are those of ``benchmarks/restoration.py``; BM3D needs ``pip install bm3d``, and the
published network is shown where ``stem-plugins weights import`` has been run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

DOCS = Path(__file__).parent
PICTURE = DOCS / "images" / "compared-restorations.png"

#: Electrons per Å².
DOSES = (5e2, 5e3, 5e4)

#: Part of the image that is shown [px].
SHOWN = (slice(60, 220), slice(60, 220))

#: Image of the particle among `specimens`.
PARTICLE = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    save_picture(parser.parse_args().model)


def save_picture(model: str) -> None:
    """Restore the particle at each dose by every method, and write the PNG."""
    sys.path.insert(0, str(DOCS.parent / "benchmarks"))
    import matplotlib.pyplot as plt
    from PIL import Image
    from restoration import DISTORTIONS
    from restoration_images import specimens
    from restoration_metrics import psnr
    from restoration_peers import (
        Task,
        bm3d_oracle,
        local_fourier,
        network,
        published_network,
        wiener,
    )

    import stem_plugins as stem
    from stem_plugins.models import list_weights

    methods = {
        "recorded": lambda task: task.distorted,
        "Wiener": wiener,
        "BM3D, best σ": bm3d_oracle,
        'model="fft"': local_fourier,
    }
    if list_weights().get("tk_r_em:hrstem") is not None:
        methods["tk_r_em"] = published_network
    methods["default"] = network(model)
    methods["as it was"] = lambda task: task.truth

    plt.switch_backend("agg")
    particle = specimens()[PARTICLE]
    size = (1.45 * len(methods), 1.62 * len(DOSES))
    with plt.rc_context({"font.size": 7, "image.interpolation": "nearest"}):
        figure, axes = plt.subplots(len(DOSES), len(methods), figsize=size, layout="compressed")
        for dose, line in zip(DOSES, axes, strict=True):
            pixel, rng = particle.pixel_size, np.random.default_rng(51)
            image = stem.distort(
                particle.image, pixel_size=pixel, dose=dose, rng=rng, distortions=DISTORTIONS
            )
            task = Task("", "", image, particle.image, dose * pixel**2, dose, particle)
            for (name, method), ax in zip(methods.items(), line, strict=True):
                found = method(task)
                ax.imshow(found[SHOWN], cmap="gray", vmin=0, vmax=0.95 * particle.image.max())
                decibels = "" if found is task.truth else f"{psnr(task.truth, found):.1f} dB"
                ax.set(title=f"{name}\n{decibels}".strip(), xticks=[], yticks=[])
                print(f"{dose:8.0f} e/Å²  {name:12} {decibels}", flush=True)
            line[0].set(ylabel=f"{dose:.0f} e/Å²")
    unfinished = PICTURE.with_suffix(".unfinished")
    figure.savefig(unfinished, dpi=110, format="png")
    Image.open(unfinished).convert("L").quantize(64).save(PICTURE, optimize=True)
    unfinished.unlink()


if __name__ == "__main__":
    main()
