"""
riCOM from a file
=================

A Merlin file in, calibrated phase images out, in five steps. Everything that needs the patterns
is done in one pass over the file; kernels are then changed at no cost.
"""

# %%
# A file to start from
# --------------------
# Here a simulated scan of SrTiO₃ is written as ``.mib`` and ``.hdr``, as a Merlin detector
# records it. With a file of your own, start at the next step.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import stem_plugins as stem
from stem_plugins.simulation import demo_scan

folder = Path(tempfile.mkdtemp())
simulated = demo_scan((72, 72))
stem.write_merlin(folder / "scan.mib", simulated.data, acquisition=simulated.acquisition)

# %%
# Read
# ----
# Nothing is loaded yet: ``scan.data`` is a dask array of views into the file. This file knows its
# whole calibration because we wrote it; a file from a microscope does not, and is completed by
# ``scan.acquisition.replace(beam_energy=200, scan_step=0.2, ...)``.

scan = stem.read_merlin(folder / "scan.mib")
print(scan.data)
print(scan.acquisition)

# %%
# One pass over the patterns
# --------------------------
# Centre of mass, an annular dark field and the mean pattern at once. Radii are in mrad because
# ``pixel_size`` is.

acquisition = scan.acquisition
dark_field = stem.annular_detector(
    scan.data.shape[2:],
    50,
    92,
    center=acquisition.center,
    pixel_size=acquisition.diffraction_step,
)
result = stem.moments(scan.data, center=acquisition.center, detectors=[dark_field], pattern=True)
result = result.compute()

# %%
# Calibrate the centre of mass
# ----------------------------
# From pixels of the detector to a phase gradient in rad/Å, turned into the scan frame. The slow
# movement of the beam with the scan (descan) is removed as a plane.

field = stem.vector_field(result.com, acquisition, descan="plane")
print(field.unit, "->", field.image_unit)

# %%
# Images
# ------
# Small kernels show the columns and hide slow changes; large ones bring the thickness back.

sizes = (7, 21, 61)
images = {
    f"riCOM {size}×{size}": stem.ricom(field.vectors, size, scan_step=field.scan_step)
    for size in sizes
}
images["iCOM"] = stem.icom(field.vectors, scan_step=field.scan_step)
images["ADF, 50–92 mrad"] = result.images[0]

step_y, step_x = (step / 10 for step in field.scan_step)  # nm
extent = (0, 72 * step_x, 72 * step_y, 0)
figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="compressed")
for ax, (title, image) in zip(axes.flat, images.items(), strict=False):
    shown = ax.imshow(image, cmap="gray", extent=extent)
    figure.colorbar(shown, ax=ax, shrink=0.8, label="counts" if "ADF" in title else "rad")
    ax.set(title=title, xlabel="x [nm]", ylabel="y [nm]")
pattern = axes.flat[-1].imshow(result.pattern, cmap="magma", norm="log")
figure.colorbar(pattern, ax=axes.flat[-1], shrink=0.8, label="counts")
axes.flat[-1].set(title="Mean pattern (PACBED)", xlabel="kx [px]", ylabel="ky [px]")

# %%
# Save
# ----
# The suffix chooses the format; each file carries its scale and how it was made.

for suffix in (".tif", ".zspy", ".png"):
    stem.save_image(
        folder / f"ricom{suffix}",
        images["riCOM 21×21"],
        scan_step=field.scan_step,
        title="riCOM",
        quantity_units=field.image_unit,
        parameters={"kernel_size": 21, "acquisition": acquisition},
    )
print(sorted(path.name for path in folder.iterdir()))
