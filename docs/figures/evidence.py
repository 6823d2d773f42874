"""Evidence for the truth, for a restoration, and for one with a column less and one more."""

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem
from stem_plugins.restoration.evidence import examine

rows, step, dose = 128, 0.2, 1e4
y, x = np.indices((rows, rows)) * step
a = 3.0  # distance of columns [Å]


def column(at_y: float, at_x: float) -> np.ndarray:
    return 0.15 * np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / (2 * 0.55**2))


def place(i: int, j: int) -> tuple[float, float]:
    return a * (i * np.cos(0.2) - j * np.sin(0.2)), a * (i * np.sin(0.2) + j * np.cos(0.2))


clean = 0.005 + sum(column(*place(i, j)) for i in range(-3, 13) for j in range(-3, 13))
recorded = stem.distort(clean, pixel_size=step, dose=dose, rng=np.random.default_rng(5))
restored = stem.restore(recorded)
lost, added = place(6, 2), place(4.5, 5.5)
altered = restored - column(*lost) + 0.4 * column(*added)

images = {"as it was": clean, "restored": restored, "restored, then altered": altered}
figure, axes = plt.subplots(3, 3, figsize=(8, 7.2), layout="compressed")
for (title, image), ax in zip(images.items(), axes.T, strict=True):
    found = examine(recorded, image)
    ax[0].imshow(image, vmin=0, vmax=0.16)
    ax[0].set(title=title)
    for axis, name in ((ax[1], "consistency"), (ax[2], "unexplained")):
        values = getattr(found, name)
        shown = axis.imshow(values, cmap="RdBu_r", vmin=-6, vmax=6)
        axis.set(title=f"{name}, rms {np.sqrt(np.mean(values**2)):.2f}")
figure.colorbar(shown, ax=axes[1:], fraction=0.03, aspect=40, label="units of noise")
for at_y, at_x in (lost, added):
    for ax in axes[:, 2]:
        ax.add_patch(plt.Circle((at_x / step, at_y / step), 9, fill=False, color="C1"))
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
