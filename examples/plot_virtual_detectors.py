"""
Virtual detectors
=================

Bright field, annular bright field, annular dark field and any other mask, as many as you like in
one pass over the patterns.
"""

# %%
# Detectors in mrad
# -----------------
# ``annular_detector`` takes its radii in px, or in the unit of ``pixel_size``: with the detector
# step of the `Acquisition`, in mrad.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Circle

import stem_plugins as stem
from stem_plugins.simulation import demo_scan

scan = demo_scan((64, 64))
acquisition = scan.acquisition
shape = scan.data.shape[2:]


def annulus(inner, outer):
    """Mask with radii in mrad."""
    return stem.annular_detector(
        shape, inner, outer, center=acquisition.center, pixel_size=acquisition.diffraction_step
    )


alpha = acquisition.convergence_angle
radii = {"BF": (0, alpha), "ABF": (alpha / 2, alpha), "ADF": (50, 92)}
detectors = {name: annulus(*pair) for name, pair in radii.items()}

# %%
# Masks of your own
# -----------------
# Any array of the detector's shape will do: booleans, or weights. The difference of the left and
# the right half of the disc is a differential phase contrast signal.

x = np.arange(shape[1]) - acquisition.center[1]
detectors["right - left"] = annulus(0, alpha) * np.sign(x)

result = stem.moments(
    scan.data, center=acquisition.center, detectors=list(detectors.values()), pattern=True
)

# %%
# Images and pattern
# ------------------

step = acquisition.scan_step[0] / 10  # nm
extent = (0, 64 * step, 64 * step, 0)
figure, axes = plt.subplots(1, 5, figsize=(14, 3.8), layout="compressed")
for ax, name, image in zip(axes, detectors, result.images, strict=False):
    shown = ax.imshow(image, cmap="gray", extent=extent)
    figure.colorbar(shown, ax=ax, shrink=0.7, label="counts", location="bottom")
    ax.set(title=name, xlabel="x [nm]", ylabel="y [nm]")

mrad = acquisition.diffraction_step[0]
center_y, center_x = (c * mrad for c in acquisition.center)
edges = (
    -0.5 * mrad - center_x,
    (shape[1] - 0.5) * mrad - center_x,
    (shape[0] - 0.5) * mrad - center_y,
    -0.5 * mrad - center_y,
)
axes[-1].imshow(result.pattern, cmap="magma", norm="log", extent=edges)
for (_, outer), color in zip(radii.values(), ("cyan", "cyan", "orange"), strict=True):
    axes[-1].add_patch(Circle((0, 0), outer, fill=False, color=color))
axes[-1].add_patch(Circle((0, 0), radii["ADF"][0], fill=False, color="orange"))
axes[-1].set(title="Mean pattern", xlabel="kx [mrad]", ylabel="ky [mrad]")
