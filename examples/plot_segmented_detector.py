"""
riCOM from a segmented detector
===============================

riCOM and iCOM take any map of vectors. A detector with four quadrants gives one too: differential
phase contrast (DPC), two difference signals divided by the sum.
"""

# %%
# Four quadrants
# --------------
# Simulated from patterns here; a microscope with a segmented detector gives the four images
# directly.

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem
from stem_plugins.simulation import demo_scan

scan = demo_scan((64, 64))
acquisition = scan.acquisition
ky, kx = (np.arange(n) - c for n, c in zip(scan.data.shape[2:], acquisition.center, strict=True))
quadrants = [
    (np.sign(ky)[:, None] == down) & (np.sign(kx) == right) for down in (-1, 1) for right in (-1, 1)
]
up_left, up_right, down_left, down_right = stem.moments(scan.data, detectors=quadrants).images

# %%
# Two difference signals
# ----------------------
# As a map ``(scan_y, scan_x, 2)`` of vectors (y, x), y down. In the thin-specimen limit the edge of
# the disc turns a shift by δ into a difference of 4δ / (π α), with α the convergence angle; this
# calibrates the signal in mrad.

total = up_left + up_right + down_left + down_right
dpc = np.stack(
    [
        (down_left + down_right - up_left - up_right) / total,
        (up_right + down_right - up_left - down_left) / total,
    ],
    axis=-1,
)
deflection = dpc * np.pi / 4 * acquisition.convergence_angle  # mrad

# %%
# Integrated, beside the pixelated detector
# -----------------------------------------
# A vector map in px of the detector goes through `vector_field`, which turns it into the scan frame
# and calibrates it.

in_px = deflection / np.array(acquisition.diffraction_step)
com = stem.center_of_mass(scan.data, center=acquisition.center)
extent = (0, 64 * acquisition.scan_step[1] / 10, 64 * acquisition.scan_step[0] / 10, 0)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="compressed")
for ax, title, vectors in zip(axes, ("DPC", "COM"), (in_px, com), strict=True):
    field = stem.vector_field(vectors, acquisition, descan="plane")
    image = stem.ricom(field.vectors, 31, scan_step=field.scan_step)
    shown = ax.imshow(image, cmap="gray", extent=extent)
    figure.colorbar(shown, ax=ax, shrink=0.8, label=field.image_unit)
    ax.set(title=f"riCOM from {title}", xlabel="x [nm]", ylabel="y [nm]")
