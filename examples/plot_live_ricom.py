"""
riCOM while a scan comes in
===========================

riCOM is linear: every pattern adds its share to the pixels around it and can then be forgotten.
An image grows with the scan, and its memory does not grow with the data.
"""

# %%
# Pattern by pattern
# ------------------
# ``ricom_add`` adds any number of consecutive positions. `iter_moments` stands for the camera: it
# hands over some scan rows at a time, with their absolute centre of mass.

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem
from stem_plugins.simulation import demo_scan

scan = demo_scan((64, 64))
acquisition = scan.acquisition
center = np.array(acquisition.center)
kernel = stem.ricom_kernel(21, rotation=acquisition.scan_rotation, flip_y=acquisition.flip_y)

image = np.zeros(scan.data.shape[:2])
pictures = {}
for rows, part in stem.iter_moments(scan.data, block_bytes=2**20):
    com = np.nan_to_num(part.com - center)  # empty patterns have no centre of mass
    stem.ricom_add(image, com.reshape(-1, 2), kernel, first=rows.start * image.shape[1])
    pictures[rows.stop] = image.copy()

# %%
# The image as it grows
# ---------------------
# The last rows are not finished until half a kernel of further rows has come, but atoms can be
# seen there at once.

extent = (0, 64 * acquisition.scan_step[1] / 10, 64 * acquisition.scan_step[0] / 10, 0)
chosen = np.linspace(0, len(pictures) - 1, 5)[1:].round().astype(int)
figure, axes = plt.subplots(1, 4, figsize=(12, 3.3), layout="compressed")
for ax, index in zip(axes, chosen, strict=True):
    rows = list(pictures)[index]
    ax.imshow(pictures[rows], cmap="gray", extent=extent, vmin=image.min(), vmax=image.max())
    ax.axhline(rows * acquisition.scan_step[0] / 10, color="orange", lw=1)
    ax.set(title=f"{rows} of {len(image)} rows", xlabel="x [nm]", ylabel="y [nm]")

# %%
# At the end it is the image of the whole map
# -------------------------------------------
# Keeping the map itself costs two numbers per position and is worth it: kernel, filter and
# rotation can then be changed for everything that was seen so far.

whole = stem.ricom(
    stem.center_of_mass(scan.data, center=acquisition.center),
    21,
    rotation=acquisition.scan_rotation,
    flip_y=acquisition.flip_y,
)
print("largest difference:", np.abs(image - whole).max() / np.abs(whole).max())
