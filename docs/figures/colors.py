"""Which colour is which direction."""

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem

y, x = np.mgrid[-1:1:201j, -1:1:201j]
wheel = stem.field_colors(np.stack([y, x], axis=-1), percentile=78)
wheel[np.hypot(y, x) > 1] = 255

figure, ax = plt.subplots(figsize=(1.9, 1.9))
ax.imshow(wheel, extent=(-1, 1, 1, -1))
ax.set_axis_off()
for text, place in {
    "right": (1.35, 0),
    "up": (0, -1.15),
    "left": (-1.35, 0),
    "down": (0, 1.15),
}.items():
    ax.text(*place, text, ha="center", va="center")
ax.set(xlim=(-1.6, 1.6), ylim=(1.4, -1.4))
