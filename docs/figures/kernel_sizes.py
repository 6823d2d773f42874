"""One crystal with an edge, with three kernel sizes, at two doses."""

import matplotlib.pyplot as plt

import stem_plugins as stem
from stem_plugins import Acquisition
from stem_plugins.simulation import demo_specimen, simulate_scan

acquisition = Acquisition(beam_energy=200, convergence_angle=22, scan_step=0.2, diffraction_step=4)
figure, axes = plt.subplots(2, 3, figsize=(7.5, 5.2))
for row, dose in zip(axes, (3e4, 1e3), strict=True):
    scan = simulate_scan(
        demo_specimen((14.4, 14.4)),
        acquisition,
        scan_shape=(72, 72),
        detector_shape=(48, 48),
        slice_thickness=3.905,
        dose=dose,
        seed=0,
    )
    com = stem.center_of_mass(scan.data, center=scan.acquisition.center)
    field = stem.vector_field(com, scan.acquisition)
    for ax, size in zip(row, (9, 31, 101), strict=True):
        image = stem.ricom(field.vectors, size, scan_step=field.scan_step)
        ax.imshow(image, extent=(0, 1.44, 1.44, 0))
        ax.set(title=f"kernel {size}×{size}", xlabel="x [nm]")
    row[0].set_ylabel(f"{dose:g} electrons per Å²\ny [nm]")
