"""Transfer of the potential by kernels of some sizes, and two approximations of it."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import j0

import stem_plugins as stem

figure, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
for ax, size in zip(axes, (11, 61), strict=True):
    transfer = stem.kernel_transfer(size)
    frequency = transfer.frequency
    radius = size / np.sqrt(np.pi)
    ax.plot(frequency, 2 * np.pi * frequency * transfer.kernel, label="the kernel itself")
    ax.plot(frequency, 1 - j0(2 * np.pi * frequency * radius), "--", label="disc, 1 - J₀(2πkR)")
    ax.plot(
        frequency,
        2 * np.pi * frequency * transfer.line_integration,
        ":",
        lw=1,
        label="one line, 1 - cos(2πkL)",
    )
    ax.axhline(1, color="gray", lw=0.5)
    ax.axvline(1 / size, color="gray", lw=0.5)
    ax.text(1 / size, 2.05, " 1/n", va="top")
    ax.set(title=f"kernel {size}×{size}", xlabel="frequency k [cycles per scan position]")
    ax.set(xlim=(0, 0.5 if size < 20 else 0.15), ylim=(0, 2.1))
axes[0].set_ylabel("weight on the potential")
axes[1].legend(loc="lower right")
