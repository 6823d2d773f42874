"""Few electrons on a photomultiplier: peaks of one, two, three electrons (thesis fig. 2.3)."""

import matplotlib.pyplot as plt
import numpy as np

from stem_plugins.restoration import noisy_detector

dose, pixel = 1e3, 0.2
background = np.full((512, 512), 0.02)
image = noisy_detector(background, dose=dose, pixel_size=pixel, rng=np.random.default_rng(1))
counts = image * dose * pixel**2

figure, axes = plt.subplots(1, 2, figsize=(7, 2.8), width_ratios=[1, 1.6])
axes[0].imshow(counts[:64, :64])
axes[0].set(title="background, 0.8 e per pixel", xlabel="x [px]", ylabel="y [px]")
axes[1].hist(counts[counts > 0], bins=200, range=(0, 5), color="C0")
axes[1].set(title="pixels that were hit", xlabel="signal [electrons]", ylabel="pixels")
