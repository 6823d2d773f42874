"""Reconstruct a measured, strongly defocused scan by iterative ptychography, for the documentation.

    python docs/measured_ptychography.py FOLDER

The picture goes to ``docs/images/measured-ptychography.png``. FOLDER holds
``ptychojl_64x64_bin4_48x48_u16.h5``: 64 × 64 positions of the scan in ``test_data`` of Ptycho.jl
(MIT licence), its patterns binned by four and cut to 48 × 48 pixels: virus-like particles in ice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

PICTURE = Path(__file__).parent / "images" / "measured-ptychography.png"
STEP = 31.25  # Å
LOW_PASS = 0.025  # per Å: between what the half scans agree on and the raster of the scan
SCALE_BAR = 500  # Å


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder

    import h5py
    import matplotlib.pyplot as plt

    import stem_plugins as stem
    from stem_plugins.ptychography import fourier_ring_correlation, half_scans

    with h5py.File(folder / "ptychojl_64x64_bin4_48x48_u16.h5") as file:
        data = file["data"][()]
    given = stem.Acquisition(
        beam_energy=300,
        convergence_angle=1.03,
        scan_step=STEP,
        diffraction_step=1.03 / (60.6 / 4),
        scan_rotation=-126,
        flip_y=False,
    )
    lens = stem.fit_aberrations(data, given, fit=["defocus", "astigmatism", "rotation"]).acquisition
    options = {
        "iterations": 30,
        "regularization": stem.Regularization(low_pass=LOW_PASS),
        "threads": 1,
    }
    result = stem.iterative_ptychography(data, lens, **options)
    print(result, *result.settings["chosen"], result.refined, sep="\n")
    halves = [
        stem.iterative_ptychography(data, lens, scan_mask=half, **options)
        for half in half_scans(data.shape[:2])
    ]
    agreement = fourier_ring_correlation(*(half.phase for half in halves), sampling=result.sampling)
    field = stem.vector_field(stem.center_of_mass(data), lens)
    com = field.vectors
    print(f"resolution of the halves {agreement.resolution():.1f} Å")
    images = (
        ("iCOM", stem.icom(com, scan_step=STEP), STEP),
        ("direct ptychography", np.angle(stem.ssb(data, lens)), STEP),
        ("DGP ptychography", result.phase - result.phase.mean(), result.sampling[0]),
    )
    plt.switch_backend("agg")
    with plt.rc_context({"font.size": 8}):
        figure, axes = plt.subplots(
            1, 4, figsize=(11.5, 2.7), layout="compressed", width_ratios=(1, 1, 1, 0.8)
        )
        for axis, (title, image, step) in zip(axes, images, strict=False):
            low, high = np.percentile(image, (0.5, 99.8))
            shown = axis.imshow(image, cmap="gray", vmin=low, vmax=high)
            axis.set_title(title)
            axis.set_axis_off()
            figure.colorbar(shown, ax=axis, shrink=0.75, label="phase (rad)")
            y, x = 0.94 * len(image), 0.05 * len(image)
            axis.plot([x, x + SCALE_BAR / step], [y, y], color="white", lw=3)
            label = f"{SCALE_BAR / 10:g} nm"
            middle = x + SCALE_BAR / step / 2
            axis.text(middle, y - 0.03 * len(image), label, color="white", ha="center")
        axes[3].plot(10 * agreement.frequency, agreement.correlation)
        axes[3].axhline(1 / 7, color="gray", lw=0.8, ls="--")
        axes[3].set(
            title="two half scans",
            xlabel="frequency (1/nm)",
            ylabel="Fourier ring correlation",
            xlim=(0, 10 * LOW_PASS),
            ylim=(-0.2, 1.02),
        )
        figure.savefig(PICTURE, dpi=160)


if __name__ == "__main__":
    main()
