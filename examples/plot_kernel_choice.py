"""
Choose a riCOM kernel
=====================

The kernel decides which spatial frequencies an image shows. Its transfer function tells this
before you look at a single image; the same scan with three kernels shows what it means.
"""

# %%
# What kernels pass
# -----------------
# Weights on the vector map times 2π k are weights on the potential, where 1 is full transfer. A
# kernel of n positions fades out changes that are slower than about twice its own width; the
# dashed line is the approximation by integration along one line. A band pass (``low``, ``high``)
# is convolved into the kernel and cut back to its size, so its edges are soft.

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem
from stem_plugins import Acquisition
from stem_plugins.simulation import molybdenum_disulfide, simulate_scan

step = 0.25  # Å
kernels = {
    "9": {"size": 9},
    "61": {"size": 61},
    "61, 0.2–1 per Å": {"size": 61, "low": 0.2, "high": 1.0},
}

figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for number, (label, options) in enumerate(kernels.items()):
    transfer = stem.kernel_transfer(**options, scan_step=step)
    to_potential = 2 * np.pi * transfer.frequency
    ax.plot(transfer.frequency, transfer.kernel * to_potential, f"C{number}", label=label)
    if "low" not in options:
        line = transfer.line_integration * to_potential
        ax.plot(transfer.frequency, line, f"C{number}--", lw=0.8)
ax.axhline(1, color="gray", lw=0.5)
ax.set(xlabel="spatial frequency [1/Å]", ylabel="weight on the potential", xlim=(0, 1.5))
ax.legend(title="kernel", loc="center left", bbox_to_anchor=(1, 0.5))

# %%
# The same on an image
# --------------------
# One layer of MoS₂ at a low dose. The small kernel amplifies what lies between the columns; the
# large one lets slow noise through; the band pass keeps what the lattice needs.

acquisition = Acquisition(beam_energy=80, convergence_angle=30, scan_step=step, diffraction_step=4)
scan = simulate_scan(
    molybdenum_disulfide(),
    acquisition,
    scan_shape=(96, 96),
    detector_shape=(32, 32),
    dose=2e3,
    seed=1,
)
com = stem.center_of_mass(scan.data, center=scan.acquisition.center)
field = stem.vector_field(com, scan.acquisition)

extent = (0, 96 * step / 10, 96 * step / 10, 0)
figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="compressed")
for (label, options), (top, bottom) in zip(kernels.items(), axes.T, strict=True):
    size, limits = options["size"], {key: options.get(key) for key in ("low", "high")}
    image = stem.ricom(field.vectors, size, **limits, scan_step=field.scan_step)
    top.imshow(image, cmap="gray", extent=extent)
    top.set(title=f"kernel {label}", xlabel="x [nm]", ylabel="y [nm]")
    spectrum = np.abs(np.fft.fftshift(np.fft.fft2(image)))
    edge = 0.5 / step
    bottom.imshow(np.log(spectrum + 1), cmap="magma", extent=(-edge, edge, edge, -edge))
    bottom.set(xlim=(-1.2, 1.2), ylim=(1.2, -1.2), xlabel="kx [1/Å]", ylabel="ky [1/Å]")

# %%
# The noise follows the same weights as the signal: a bump in the image at the peak of the transfer
# function may be nothing else. Compare kernels before you interpret one.
