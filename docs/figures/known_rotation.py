"""One gold atom, recorded by a detector that is mirrored and turned by 30°."""

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem
from stem_plugins import Acquisition
from stem_plugins.simulation import simulate_scan, single_atoms

acquisition = Acquisition(
    beam_energy=200,
    convergence_angle=20,
    scan_step=0.25,
    diffraction_step=2.5,
    scan_rotation=30,
    flip_y=True,
)
shape, place = (17, 17), (8, 8)
scan = simulate_scan(
    single_atoms([79], [[2.0, 2.0]], extent=(4.0, 4.0)),
    acquisition,
    scan_shape=shape,
    detector_shape=(48, 48),
)
com = stem.center_of_mass(scan.data, center=scan.acquisition.center)
flipped = stem.to_scan_frame(com, rotation=0, flip_y=True)
turned = stem.to_scan_frame(com, rotation=30, flip_y=True)

figure, axes = plt.subplots(1, 4, figsize=(10, 2.9))
probe = (8, 12)
axes[0].imshow(scan.data[probe] ** 0.5, cmap="magma", extent=(-0.5, 47.5, 47.5, -0.5))
tip = scan.acquisition.center + 14 * com[probe] / np.hypot(*com[probe])
axes[0].annotate(
    "",
    tip[::-1],
    scan.acquisition.center[::-1],
    arrowprops={"color": "cyan", "width": 1.5, "headwidth": 7, "headlength": 7},
)
axes[0].set(
    title="pattern at the orange probe,\ndirection of its centre of mass",
    xlabel="kx [px]",
    ylabel="ky [px]",
)

every = slice(0, None, 2)
y, x = np.indices(shape)[:, every, every]
maps = {"as recorded": com, "flip_y": flipped, "flip_y, then θ = 30°": turned}
for ax, (title, vectors) in zip(axes[1:], maps.items(), strict=True):
    v = vectors[every, every]
    # Strong vectors close to the atom would hide the weak ones.
    v = v / (np.hypot(v[..., :1], v[..., 1:]) + 1e-9) ** 0.7
    ax.quiver(x, y, v[..., 1], v[..., 0], angles="xy", color="C0", width=0.009, scale=3)
    ax.plot(place[1], place[0], "o", color="gold", mec="black", label="atom")
    ax.plot(probe[1], probe[0], "s", color="orange", mec="black", ms=5, label="probe")
    ax.set(title=title, xlabel="scan x", ylabel="scan y", aspect="equal")
    ax.set(xlim=(-1, shape[1]), ylim=(shape[0], -1))
