"""The tail of a detector in the noise of an image, and a column before and after it was removed."""

import matplotlib.pyplot as plt
import numpy as np

import stem_plugins as stem
from stem_plugins.restoration import estimate_tail, remove_tail, tail_weights

size, spacing, width = 256, 16, 2.2
y, x = np.indices((size, size))
clean = sum(
    np.exp(-((y % spacing - spacing / 2) ** 2 + (x % spacing - at) ** 2) / (2 * width**2))
    for at in (-spacing / 2, spacing / 2, 3 * spacing / 2)
)
recorded = stem.distort(
    0.1 * clean,
    pixel_size=0.15,
    dose=2e4,
    rng=np.random.default_rng(1),
    distortions=stem.Distortions(tail=5.0),
)
tail = estimate_tail(recorded)

power = np.abs(np.fft.rfft2((recorded - recorded.mean()) * np.hanning(size))) ** 2
noise = np.median(power, axis=0)
transfer = np.abs(np.fft.rfft(tail_weights(tail.decay, size, tail.profile))) ** 2
frequency = np.fft.rfftfreq(size)
high = frequency > 0.25

figure, axes = plt.subplots(1, 2, figsize=(8, 3.2))
axes[0].semilogy(frequency[1:], noise[1:], ".", label="median over fy")
level = np.median(noise[high] / transfer[high])
axes[0].plot(frequency[1:], level * transfer[1:], label=f"tail with a decay of {tail.decay:.1f} px")
axes[0].set(xlabel="fx [1/px]", ylabel="power", title="noise of the recorded image (decay 5 px)")
axes[0].legend()
for image, label in (
    (recorded, "recorded"),
    (remove_tail(recorded, tail), "tail removed"),
    (0.1 * clean, "as it was"),
):
    mean = image[:, : size - size % spacing].reshape(size, -1, spacing).mean(axis=1)
    axes[1].plot(mean[spacing // 2 :: spacing].mean(axis=0), label=label)
axes[1].set(xlabel="x [px]", title="mean profile of a column")
axes[1].legend()
