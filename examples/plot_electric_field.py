"""
Electric field and charge
=========================

For a thin specimen the centre of mass measures the projected electric field, and its divergence
the projected charge, both smeared by the probe.
"""

# %%
# Wurtzite GaN along [11-20]
# --------------------------

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem
from stem_plugins import Acquisition
from stem_plugins.simulation import gallium_nitride, simulate_scan

acquisition = Acquisition(beam_energy=200, convergence_angle=35, scan_step=0.12, diffraction_step=4)
scan = simulate_scan(
    gallium_nitride(),
    acquisition,
    scan_shape=(64, 72),
    detector_shape=(48, 48),
    dose=2e6,
    seed=0,
)

# %%
# Volts, because field times thickness
# ------------------------------------
# `vector_field` gives the gradient of the phase [rad/Å]; `electric_field` divides by minus the
# interaction constant. Electrons are drawn towards atoms, the field points away from them.

com = stem.center_of_mass(scan.data, center=scan.acquisition.center)
gradient = stem.vector_field(com, scan.acquisition)
field = stem.electric_field(gradient.vectors, beam_energy=200)  # V
charge = stem.divergence(field, scan_step=gradient.scan_step)  # V/Å

# %%
# Direction as colour, and as arrows
# ----------------------------------
# Gallium columns are strong sources, nitrogen columns weak ones close to them. The vector from Ga
# to N tells the polarity.

step_y, step_x = (step / 10 for step in gradient.scan_step)  # nm
rows, columns = charge.shape
extent = (0, columns * step_x, rows * step_y, 0)
figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="compressed")

axes[0].imshow(stem.field_colors(field), extent=extent)
axes[0].set(title="direction as colour")

strength = np.hypot(*np.moveaxis(field, -1, 0))
shown = axes[1].imshow(strength, cmap="viridis", extent=extent)
figure.colorbar(shown, ax=axes[1], label="field × thickness [V]")
every = slice(1, None, 3)
y, x = np.indices((rows, columns))[:, every, every]
axes[1].quiver(
    (x + 0.5) * step_x,
    (y + 0.5) * step_y,
    field[every, every, 1],
    field[every, every, 0],
    color="white",
    angles="xy",
    scale=12 * strength.max(),
)
axes[1].set(title="strength and direction")

limit = np.abs(charge).max()
shown = axes[2].imshow(charge, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=extent)
figure.colorbar(shown, ax=axes[2], label="div E × thickness [V/Å]")
axes[2].set(title="projected charge (divergence)")
for ax in axes:
    ax.set(xlabel="x [nm]", ylabel="y [nm]")
