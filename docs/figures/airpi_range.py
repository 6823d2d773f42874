"""What AIRPI's training draws: energies, angles, steps, doses and aberrations."""

import matplotlib.pyplot as plt
import numpy as np

from stem_plugins.training.airpi_examples import DOSES
from stem_plugins.training.airpi_scans import random_conditions

rng = np.random.default_rng(0)
drawn = [random_conditions(rng) for _ in range(3000)]
energy = np.array([one.beam_energy for one in drawn])
angle = np.array([one.convergence_angle for one in drawn])
unit = np.array([one.unit for one in drawn])
step = np.array([one.scan_step for one in drawn])
dose = np.exp(rng.uniform(*np.log(DOSES), len(drawn))) / unit**2
lens = np.array([[abs(value) for value in one.aberrations] for one in drawn])

figure, axes = plt.subplots(2, 3, figsize=(9, 4.6))
scatter, *others = axes.ravel()
scatter.plot(energy, angle, ".", markersize=1.5, alpha=0.5)
scatter.set(xlabel="Beam energy (keV)", ylabel="Convergence semi-angle (mrad)", xscale="log")
scatter.set_xticks([30, 60, 100, 200, 300], ["30", "60", "100", "200", "300"])
scatter.minorticks_off()
for ax, values, label, logarithmic in (
    (others[0], unit, "λ/α (Å)", True),
    (others[1], step * unit, "Scan step (Å)", True),
    (others[2], 1.22 / step, "Diameter of the probe over the step", False),
    (others[3], dose, "Dose (e/Å²), beside no noise", True),
    (others[4], lens[lens.sum(axis=1) > 0].sum(axis=1), "Aberrations at the edge (rad)", False),
):
    low, high = values.min(), values.max()
    bins = np.geomspace(low, high, 40) if logarithmic else np.linspace(low, high, 40)
    ax.hist(values, bins, color="0.4")
    ax.set(xlabel=label, yticks=[], xscale="log" if logarithmic else "linear")
