"""
Remove descan
=============

Where the descan coils do not follow the scan perfectly, the whole pattern wanders over the
detector. This adds a plane or a parabola to the centre of mass, which riCOM with a small kernel
hardly sees and iCOM turns into a strong slope.
"""

# %%
# Three ways to treat it
# ----------------------
# The simulated detector sees the pattern move by about half a pixel from corner to corner.

import matplotlib.pyplot as plt

import stem_plugins as stem
from stem_plugins.simulation import demo_scan

scan = demo_scan((72, 72))
com = stem.center_of_mass(scan.data, center=scan.acquisition.center)

vacuum = scan.phase < 0.02  # with a real scan: a dark corner of the annular dark field
maps = {
    "as recorded": com,
    "plane fitted to all": stem.remove_descan(com),
    "plane fitted to vacuum": stem.remove_descan(com, where=vacuum),
}

# %%
# The vacuum knows best
# ---------------------
# A plane fitted to the whole scan also removes what the specimen itself does on average: the edge
# and the thickness lose contrast. Vacuum has no field of its own, so a fit to it takes away
# descan alone. A separate scan over a hole does the same.

extent = (0, 72 * 0.02, 72 * 0.02, 0)
figure, axes = plt.subplots(2, 3, figsize=(10, 6.4), layout="constrained")
for (title, vectors), (top, bottom) in zip(maps.items(), axes.T, strict=True):
    field = stem.vector_field(vectors, scan.acquisition)
    for ax, image in (
        (top, stem.icom(field.vectors, scan_step=field.scan_step)),
        (bottom, stem.ricom(field.vectors, 15, scan_step=field.scan_step)),
    ):
        shown = ax.imshow(image, cmap="gray", extent=extent)
        figure.colorbar(shown, ax=ax, shrink=0.8, label="rad")
        ax.contour(vacuum, levels=[0.5], colors="orange", linewidths=0.7, extent=(*extent[:2], 0, 72 * 0.02))
        ax.set(xlabel="x [nm]", ylabel="y [nm]")
    top.set(title=f"iCOM, {title}")
    bottom.set(title="riCOM 15×15")
