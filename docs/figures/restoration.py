"""A crystal that ends in vacuum: recorded, restored, as it was, and the maps of evidence."""

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem

rows, step, dose = 160, 0.2, 3e3
y, x = np.indices((rows, rows)) * step
a = 2.8  # distance of columns [Å]
along, across = np.cos(0.15) * x + np.sin(0.15) * y, np.cos(0.15) * y - np.sin(0.15) * x
columns = (np.cos(np.pi * along / a) * np.cos(np.pi * across / a)) ** 8
crystal = a * np.round(across / a) + 0.4 * a * np.round(along / a) < 26
clean = 0.01 + 0.2 * columns * crystal
recorded = stem.distort(clean, pixel_size=step, dose=dose, rng=np.random.default_rng(2))
restored, evidence = stem.restore(recorded, return_evidence=True)

figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained")
panels = [
    ("recorded", recorded, "gray", (0, 0.2)),
    ("restored", restored, "gray", (0, 0.2)),
    ("as it was", clean, "gray", (0, 0.2)),
    ("consistency [noise]", evidence.consistency, "RdBu_r", (-6, 6)),
    ("unexplained [noise]", evidence.unexplained, "RdBu_r", (-6, 6)),
    ("spread", evidence.spread, "magma", (0, np.percentile(evidence.spread, 99.9))),
]
for ax, (title, image, colormap, (low, high)) in zip(axes.flat, panels, strict=True):
    shown = ax.imshow(image, cmap=colormap, vmin=low, vmax=high)
    ax.set(title=title, xticks=[], yticks=[])
    figure.colorbar(shown, ax=ax, fraction=0.045)
