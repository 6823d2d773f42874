"""
Distort a scan, and put its rows back
=====================================

Beam instabilities shift the rows of a scan. The shifts are found by comparing the recorded image
with a restored one, and then correct everything that was recorded at the same time, here a 4D
scan. The restored image of this example is the undistorted one, so that the correction is seen
alone.
"""

# %%
# A scan with jitter
# ------------------
# Expected patterns of a crystal that ends in vacuum, then jitter of the rows and counting.

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem
from stem_plugins.restoration import row_jitter
from stem_plugins.simulation import demo_scan

side, dose = 72, 3e4  # scan positions, electrons per Å²
clean = demo_scan((side, side), dose=None)
acquisition = clean.acquisition
rng = np.random.default_rng(1)
jitter = row_jitter(side, sigma=(0.35, 0.7), rng=rng)
recorded = stem.distort(
    clean.data, pixel_size=acquisition.scan_step, dose=dose, rng=rng, shifts=jitter
)

# %%
# Where was each row recorded?
# ----------------------------
# The annular dark field shows the columns. The mean over all rows is not counted: it is no
# jitter, but a displacement of the whole image.

center, step = acquisition.center, acquisition.diffraction_step[0]
detector = stem.annular_detector((48, 48), 26 / step, 96 / step, center=center)
image = stem.virtual_image(recorded, detector)
restored = stem.virtual_image(clean.data, detector)
shifts = stem.scan_shifts(image, restored)

error = shifts.mean(axis=1) - jitter
print("jitter [px], y and x:   ", jitter.std(axis=0).round(2))
print("after correction, y, x: ", error.std(axis=0).round(2))

# %%
# Put everything back
# -------------------
# One call moves all patterns; images made from them are corrected too, riCOM among them. What the
# detector pixels counted in the whole scan is kept.

corrected = stem.apply_scan_shifts(recorded, shifts)
sums = recorded.sum(axis=(0, 1))
bright = sums > 0.01 * sums.max()
change = corrected.sum(axis=(0, 1))[bright] / sums[bright] - 1
print(f"largest change of a sum: {100 * np.abs(change).max():.2f} %")

figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="compressed")
scans = {"without distortions": clean.data, "recorded": recorded, "rows put back": corrected}
for (title, data), (top, bottom) in zip(scans.items(), axes.T, strict=True):
    com = stem.center_of_mass(data, center=center)
    field = stem.vector_field(com, acquisition)
    top.imshow(stem.virtual_image(data, detector), cmap="gray")
    bottom.imshow(stem.ricom(field.vectors, 21, scan_step=field.scan_step), cmap="gray")
    top.set(title=f"{title}\ndark field", xticks=[], yticks=[])
    bottom.set(title="riCOM", xticks=[], yticks=[])
