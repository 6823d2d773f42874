"""A lattice without jitter, with shifts along x, along y, and both (thesis fig. 2.4 and 2.5)."""

import matplotlib.pyplot as plt
import numpy as np

from stem_plugins.restoration import resample_scan, row_jitter

rows, step = 72, 0.2
y, x = np.indices((rows, rows)) * step
clean = np.cos(np.pi * x / 1.96) ** 8 * np.cos(np.pi * y / 1.96) ** 8
jitter = row_jitter(rows, rng=np.random.default_rng(3))
cases = {"undistorted": (0, 0), "jitter along x": (0, 1), "along y": (1, 0), "both": (1, 1)}

figure, axes = plt.subplots(2, 4, figsize=(9, 4.6))
for (title, parts), (grid, image) in zip(cases.items(), axes.T, strict=True):
    shifts = jitter * parts
    lines = np.arange(12)[:, None] + shifts[:12, :1] + np.zeros(12)
    places = np.arange(12) + shifts[:12, 1:]
    grid.plot(places.T, lines.T, ".-", color="C0", ms=3, lw=0.5)
    grid.set(title=title, aspect="equal", xlim=(-2, 13), ylim=(13, -2))
    image.imshow(resample_scan(clean, np.broadcast_to(shifts[:, None], (rows, rows, 2))))
    for ax in (grid, image):
        ax.set(xticks=[], yticks=[])
