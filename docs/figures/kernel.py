"""The two components of a kernel."""

import matplotlib.pyplot as plt

import stem_plugins as stem

kernel = stem.ricom_kernel(21)
figure, axes = plt.subplots(1, 2, figsize=(6, 2.6))
for ax, component, name in zip(axes, kernel, "yx", strict=True):
    shown = ax.imshow(
        component, cmap="RdBu_r", vmin=-0.1, vmax=0.1, extent=(-10.5, 10.5, 10.5, -10.5)
    )
    ax.set(title=f"{name} component", xlabel="x - x_p", ylabel="y - y_p")
figure.colorbar(shown, ax=axes)
