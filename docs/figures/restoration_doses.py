"""Columns at three doses: recorded, filtered, restored, and as they were."""

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem

rows, step = 128, 0.2
y, x = np.indices((rows, rows)) * step
a = 3.0  # distance of columns [Å]
clean = np.full((rows, rows), 0.002)
for i in range(-4, 14):
    for j in range(-4, 14):
        at_y = a * (i * np.cos(0.2) - j * np.sin(0.2))
        at_x = a * (i * np.sin(0.2) + j * np.cos(0.2))
        if at_x + 0.4 * at_y > 25 or (i, j) == (5, 2):  # an edge to vacuum, and a vacancy
            continue
        weak = 0.4 if (i + j) % 2 else 1.0
        clean += weak * 0.15 * np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / (2 * 0.55**2))

doses = (1e3, 5e3, 5e4)
figure, axes = plt.subplots(3, 4, figsize=(9, 7), sharex=True, sharey=True)
for dose, line in zip(doses, axes, strict=True):
    recorded = stem.distort(clean, pixel_size=step, dose=dose, rng=np.random.default_rng(7))
    images = {
        "recorded": recorded,
        'model="fft"': stem.restore(recorded, model="fft"),
        "default": stem.restore(recorded),
        "as it was": clean,
    }
    for (title, image), ax in zip(images.items(), line, strict=True):
        ax.imshow(image, vmin=0, vmax=0.16)
        error = np.mean((image - clean) ** 2)
        decibels = f", {10 * np.log10(np.ptp(clean) ** 2 / error):.1f} dB" if error else ""
        ax.set(title=title + decibels, xticks=[], yticks=[])
    line[0].set(ylabel=f"{dose:.0f} electrons per Å²")
