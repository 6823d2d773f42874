"""Image a measured, strongly defocused scan by direct ptychography, for the documentation.

    python docs/measured_direct_ptychography.py FOLDER

The picture goes to ``docs/images/measured-direct-ptychography.png``. FOLDER holds
``ptychojl_64x64_bin4_48x48_u16.h5``: 64 × 64 positions of the scan in ``test_data`` of Ptycho.jl
(MIT licence), its patterns binned by four and cut to 48 × 48 pixels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

PICTURE = Path(__file__).parent / "images" / "measured-direct-ptychography.png"
STEP = 31.25  # Å
SCALE_BAR = 500  # Å


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder

    import h5py
    import matplotlib.pyplot as plt

    import stem_plugins as stem

    with h5py.File(folder / "ptychojl_64x64_bin4_48x48_u16.h5") as file:
        data = file["data"][()]
    # As its authors give it, in whole pixels of the binned detector; the defocus is left to find.
    given = stem.Acquisition(
        beam_energy=300,
        convergence_angle=1.03,
        scan_step=STEP,
        diffraction_step=1.03 / (60.6 / 4),
        scan_rotation=-126,
        flip_y=False,
    )
    found = stem.fit_aberrations(data, given, fit=["defocus", "astigmatism", "rotation"])
    lens = found.acquisition
    print(f"defocus {lens.defocus:.0f} Å, rotation {lens.scan_rotation:.1f}°")
    print(f"astigmatism {lens.aberrations['C12']:.0f} Å")
    print(f"explained {found.explained_before:.3f} -> {found.explained:.3f}")
    field = stem.vector_field(stem.center_of_mass(data), lens)
    images = {
        "iCOM": stem.icom(field.vectors, scan_step=STEP),
        "direct ptychography, without defocus": np.angle(stem.ssb(data, given)),
        "direct ptychography, lens fitted": np.angle(stem.ssb(data, lens)),
    }
    plt.switch_backend("agg")
    with plt.rc_context({"font.size": 8}):
        figure, axes = plt.subplots(1, 3, figsize=(9, 2.7), layout="compressed")
        for axis, (title, image) in zip(axes, images.items(), strict=True):
            low, high = np.percentile(image, (0.5, 99.8))
            shown = axis.imshow(image, cmap="gray", vmin=low, vmax=high)
            axis.set_title(title)
            axis.set_axis_off()
            figure.colorbar(shown, ax=axis, shrink=0.75, label="phase (rad)")
            y, x = len(image) - 4, 3
            axis.plot([x, x + SCALE_BAR / STEP], [y, y], color="white", lw=3)
            label = f"{SCALE_BAR / 10:g} nm"
            axis.text(x + SCALE_BAR / STEP / 2, y - 1.5, label, color="white", ha="center")
        figure.savefig(PICTURE, dpi=160)


if __name__ == "__main__":
    main()
