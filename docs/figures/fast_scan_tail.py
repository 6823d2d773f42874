"""Single electrons with the tail of a slow detector, and its spectrum (thesis fig. 2.6)."""

import matplotlib.pyplot as plt
import numpy as np

from stem_plugins.restoration import fast_scan_tail, noisy_detector

counted = noisy_detector(
    np.full((512, 512), 0.01), dose=1e3, pixel_size=0.2, rng=np.random.default_rng(2)
)
smeared = fast_scan_tail(counted, decay=6.0)
spectrum = np.fft.fftshift(np.abs(np.fft.fft2(smeared - smeared.mean())))

figure, axes = plt.subplots(1, 2, figsize=(7, 3.2))
axes[0].imshow(smeared[:64, :64])
axes[0].set(title="single electrons, decay 6 px", xlabel="x [px]", ylabel="y [px]")
axes[1].imshow(spectrum, extent=(-0.5, 0.5, 0.5, -0.5), vmax=np.percentile(spectrum, 99.5))
axes[1].set(title="|FFT|", xlabel="fx [1/px]", ylabel="fy [1/px]")
