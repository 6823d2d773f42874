"""
HyperSpy signals
================

The same methods on HyperSpy signals: calibration lives in axes and metadata, results are
signals with axes, units and a record of how they were made.
"""

# %%
# Open a scan
# -----------
# ``load`` opens every format that the package reads. A file that HyperSpy opens itself becomes a
# 4D-STEM signal by ``hs.load(path, signal_type="4d_stem")``.

import tempfile
from pathlib import Path

import hyperspy.api as hs
import matplotlib.pyplot as plt

from stem_plugins import write_merlin
from stem_plugins.hyperspy import load
from stem_plugins.simulation import demo_scan

hs.preferences.General.show_progressbar = False
path = Path(tempfile.mkdtemp()) / "scan.mib"
simulated = demo_scan((64, 64))
write_merlin(path, simulated.data, acquisition=simulated.acquisition)

signal = load(path)
print(signal)
print(signal.acquisition)

# %%
# What the file did not know is set in the field's units:

signal.set_acquisition(dwell_time=1e-3)
print(signal.axes_manager)

# %%
# One pass, many results
# ----------------------

result = signal.moments(detectors={"BF": (0, 22), "ADF": (50, 92)}, pattern=True).compute()
images = {"BF": result.images["BF"], "ADF": result.images["ADF"]}
for size in (11, 41):
    images[f"riCOM {size}×{size}"] = signal.ricom(size, com=result.com, descan="plane")
for name, image in images.items():
    print(f"{name}: {image}, {image.metadata.Signal.quantity}")

# %%
# Plots have axes and scale bars because the signals have.

figure = plt.figure(figsize=(11, 3.2))
hs.plot.plot_images(
    list(images.values()),
    per_row=4,
    scalebar="all",
    scalebar_color="white",
    axes_decor=None,
    colorbar=None,
    label=list(images),
    fig=figure,
)

# %%
# What made this image?
# ---------------------

print(image.metadata.stem_plugins)

# %%
# Crop, and the calibration follows
# ---------------------------------
# Nothing is kept beside axes and metadata, so slicing, rebinning, saving and loading keep it.

part = signal.inav[10:40, 20:40].isig[4:, 4:]
print(part.acquisition.center, "was", signal.acquisition.center)
