"""A distorted image, its rows put back, and what was found of the jitter."""

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem
from stem_plugins.restoration import row_jitter

rows, step = 96, 0.2
y, x = np.indices((rows, rows)) * step
along, across = np.cos(0.15) * x + np.sin(0.15) * y, np.cos(0.15) * y - np.sin(0.15) * x
clean = 0.01 + 0.2 * (np.cos(np.pi * along / 2.8) * np.cos(np.pi * across / 2.8)) ** 8
rng = np.random.default_rng(4)
jitter = row_jitter(rows, sigma=(0.35, 0.8), rng=rng)
recorded = stem.distort(clean, pixel_size=step, dose=3e4, rng=rng, shifts=jitter)
shifts = stem.scan_shifts(recorded, clean)

figure, axes = plt.subplots(1, 3, figsize=(9, 3), width_ratios=[1, 1, 1.5])
axes[0].imshow(recorded)
axes[0].set(title="recorded")
axes[1].imshow(stem.apply_scan_shifts(recorded, shifts))
axes[1].set(title="rows put back")
for ax in axes[:2]:
    ax.set(xticks=[], yticks=[])
for component, color, label in ((1, "C0", "x"), (0, "C1", "y")):
    offset = 3 * component
    axes[2].plot(jitter[:, component] + offset, color=color, label=f"Δ{label}, true")
    axes[2].plot(shifts.mean(axis=1)[:, component] + offset, "k.", ms=3)
axes[2].plot([], [], "k.", ms=3, label="found")
axes[2].set(xlabel="row", ylabel="shift [px]; x raised by 3")
axes[2].legend(loc="upper right", ncols=3, fontsize=7)
