"""
Remove descan
=============

Where the descan coils do not follow the scan perfectly, the whole pattern wanders over the
detector. This adds a plane or a parabola to the centre of mass, which riCOM with a small kernel
hardly sees and iCOM turns into a strong curve.
"""

# %%
# A crystal that ends in vacuum
# -----------------------------
# The pattern moves by about half a detector pixel from corner to corner. The truth is known from
# the same scan without descan and without noise.

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem
from stem_plugins import Acquisition
from stem_plugins.simulation import Atoms, simulate_scan, strontium_titanate

acquisition = Acquisition(beam_energy=200, convergence_angle=22, scan_step=0.25, diffraction_step=4)
side = 64  # scan positions
extent = side * 0.25  # Å
block = strontium_titanate().repeat(1, 8, 8)
positions = block.positions - [0, 6, 6]
kept = positions[:, 2] < 0.55 * extent
crystal = Atoms(
    block.numbers[kept],
    positions[kept],
    (block.cell[0], extent, extent),
    block.displacements[kept],
    periodic=False,
)


def scan(**options):
    """Simulate the crystal with its edge."""
    return simulate_scan(
        crystal, acquisition, scan_shape=(side, side), detector_shape=(48, 48), **options
    )


measured = scan(dose=3e4, seed=0, descan=[[0.005, 0.001], [-0.002, 0.004]])
ideal = scan()
center = measured.acquisition.center

# %%
# Three ways to treat it
# ----------------------
# A plane fitted to the whole scan also removes what the specimen itself does on average: here the
# step at its edge. Vacuum has no field of its own, so a fit to it takes away descan alone, if the
# vacuum is wide enough to hold the plane: a small corner leaves a slope of its own. A separate
# scan over a hole is better still.

com = stem.center_of_mass(measured.data, center=center)
vacuum = np.zeros((side, side), bool)
vacuum[:, int(0.65 * side) :] = True  # with a real scan: where the annular dark field is dark

maps = {
    "as recorded": com,
    "plane, all": stem.remove_descan(com),
    "plane, vacuum": stem.remove_descan(com, where=vacuum),
    "truth": stem.center_of_mass(ideal.data, center=center),
}

# %%
# Images
# ------
# The orange line is where the vacuum of the fit begins.

edge = 0.65 * extent / 10
figure, axes = plt.subplots(2, 4, figsize=(11, 5.4), layout="compressed")
for (title, vectors), (top, bottom) in zip(maps.items(), axes.T, strict=True):
    field = stem.vector_field(vectors, measured.acquisition)
    integrated = stem.icom(field.vectors, scan_step=field.scan_step)
    small = stem.ricom(field.vectors, 11, scan_step=field.scan_step)
    for ax, image, name in ((top, integrated, "iCOM"), (bottom, small, "riCOM 11×11")):
        shown = ax.imshow(image, cmap="gray", extent=(0, extent / 10, extent / 10, 0))
        figure.colorbar(shown, ax=ax, shrink=0.7, label="rad")
        ax.axvline(edge, color="orange", lw=0.7)
        ax.set(title=f"{name}, {title}", xlabel="x [nm]", ylabel="y [nm]")
