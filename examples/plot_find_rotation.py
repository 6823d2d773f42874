"""
Find the rotation between detector and scan
===========================================

Projector lenses rotate the pattern, and cameras may mirror it. Vectors must be turned back before
they are integrated; both unknowns can be found in the scan itself.
"""

# %%
# A scan whose rotation we know
# -----------------------------
# SrTiO₃ with an edge, recorded by a detector that is mirrored and turned by -37°.

import dataclasses

import matplotlib.pyplot as plt

import stem_plugins as stem
from stem_plugins.simulation import demo_specimen, simulate_scan
from stem_plugins.simulation.demo import ACQUISITION

truth = ACQUISITION.replace(scan_rotation=-37.0, flip_y=True, center=(23.5, 23.5))
shape = (64, 64)
simulated = simulate_scan(
    demo_specimen((shape[0] * 0.2, shape[1] * 0.2)),
    truth,
    scan_shape=shape,
    detector_shape=(48, 48),
    dose=2e4,
    seed=3,
)

# %%
# Estimate it
# -----------
# The deflection field of a specimen is a gradient, so in the right frame it has no curl; atoms
# are bright in the right sign. ``confidence`` is the estimated probability that the mirroring and
# the sign are right and the angle within 0.5°: do not use an estimate below 0.5 unseen.

com = stem.center_of_mass(simulated.data)
estimate = stem.estimate_rotation(com)
print(f"truth:    {truth.scan_rotation}°, mirrored: {truth.flip_y}")
print(
    f"estimate: {estimate.angle:.2f}° ± {estimate.angle_error:.2f}°, mirrored: {estimate.flip_y}, "
    f"confidence {estimate.confidence:.0%}"
)

# %%
# What it is worth
# ----------------
# The same map integrated without and with the rotation. A wrong rotation smears the atoms or
# surrounds them with rings; one wrong by 180° shows them dark.

found = truth.replace(scan_rotation=estimate.angle, flip_y=estimate.flip_y)
variants = {
    "not turned": truth.replace(scan_rotation=0, flip_y=False),
    "turned, not mirrored": found.replace(flip_y=False),
    "as estimated": found,
    "180° off": found.replace(scan_rotation=estimate.angle + 180),
}
extent = (0, shape[1] * 0.02, shape[0] * 0.02, 0)
figure, axes = plt.subplots(2, 4, figsize=(11, 5.6), layout="compressed")
for (title, acquisition), (top, bottom) in zip(variants.items(), axes.T, strict=True):
    field = stem.vector_field(com, acquisition)
    image = stem.ricom(field.vectors, 31, scan_step=field.scan_step)
    top.imshow(stem.field_colors(field.vectors), extent=extent)
    top.set(title=title, xlabel="x [nm]", ylabel="y [nm]")
    bottom.imshow(image, cmap="gray", extent=extent)
    bottom.set(xlabel="x [nm]", ylabel="y [nm]")

# %%
# Keep it
# -------
# The rotation belongs to the microscope's camera length, not to the specimen. Calibrate it once
# on a specimen with strong contrast, and keep it with the data:

print(dataclasses.asdict(simulated.acquisition.replace(scan_rotation=round(estimate.angle, 1))))
