"""What filters do to the transfer of a kernel of 61 positions."""

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem

figure, ax = plt.subplots(figsize=(7, 3))
filters = {
    "no filter": {},
    "low=0.03": {"low": 0.03},
    "high=0.15": {"high": 0.15},
    "low=0.03, high=0.15": {"low": 0.03, "high": 0.15},
}
for label, limits in filters.items():
    transfer = stem.kernel_transfer(61, **limits)
    ax.plot(transfer.frequency, 2 * np.pi * transfer.frequency * transfer.kernel, label=label)
for limit in (0.03, 0.15):
    ax.axvline(limit, color="gray", lw=0.5)
ax.set(
    xlabel="frequency [cycles per scan position]", ylabel="weight on the potential", xlim=(0, 0.3)
)
ax.legend()
