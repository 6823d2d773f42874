"""
Restore an image, ask for evidence, correct its scan
====================================================

A 4D scan with jittering rows is recorded at low dose. Its dark-field image is restored by the
network that comes with stem-plugins; maps of evidence say where to believe it; and what the
restored image tells about the rows puts all patterns back where they belong.
"""

# %%
# A scan with jitter
# ------------------
# Expected patterns of a crystal that ends in vacuum, then jitter of the rows and counting.

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem
from stem_plugins.hyperspy import STEM4D
from stem_plugins.restoration import row_jitter
from stem_plugins.simulation import demo_scan

hs.preferences.General.show_progressbar = False
side, dose = 72, 2e4  # scan positions, electrons per Å²
clean = demo_scan((side, side), dose=None)
rng = np.random.default_rng(3)
jitter = row_jitter(side, sigma=(0.3, 0.8), rng=rng)
recorded = stem.distort(
    clean.data, pixel_size=clean.acquisition.scan_step, dose=dose, rng=rng, shifts=jitter
)
scan = STEM4D(recorded)
scan.metadata.General.title = "scan"
scan.set_acquisition(**clean.acquisition.to_dict())

# %%
# Restore the dark field
# ----------------------
# The result keeps axes and intensity scale. With the evidence comes a warning where the image
# lies outside what the network was trained on.

adf = scan.virtual_image(26, 96)
restored, evidence = adf.restore(return_evidence=True)
print(restored)
print("unexplained, rms in units of noise:", f"{np.std(evidence.unexplained.data):.2f}")

# %%
# Put all patterns back
# ---------------------
# One call; `adf` could also be the image of another detector, recorded in the same scan.

corrected = scan.correct_scan(adf, restored=restored)
before, after = (signal.ricom(21) for signal in (scan, corrected))

reference = STEM4D(clean.data)
reference.set_acquisition(**clean.acquisition.to_dict())
truth = reference.ricom(21)
inside = (slice(4, -4), slice(4, -4))
for name, image in (("as recorded", before), ("corrected", after)):
    agreement = np.corrcoef(image.data[inside].ravel(), truth.data[inside].ravel())[0, 1]
    print(f"riCOM {name}: correlation with that of the undistorted scan {agreement:.3f}")

# %%
# Where `unexplained` goes beyond ±4, the restored image does not agree with what was measured,
# however the rows may have shifted: what it shows there is not to be believed. Dark places are
# judged most strictly, since where hardly any electrons arrive there is hardly any noise.

figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="compressed")
panels = [
    ("ADF as recorded", adf, "gray"),
    ("ADF restored", restored, "gray"),
    ("unexplained", evidence.unexplained, "RdBu_r"),
    ("riCOM as recorded", before, "gray"),
    ("riCOM corrected", after, "gray"),
    ("riCOM without distortion", truth, "gray"),
]
for ax, (title, image, colormap) in zip(axes.flat, panels, strict=True):
    limits = {"vmin": -5, "vmax": 5} if colormap == "RdBu_r" else {}
    ax.imshow(image.data, cmap=colormap, **limits)
    ax.set(title=title, xticks=[], yticks=[])
plt.show()
