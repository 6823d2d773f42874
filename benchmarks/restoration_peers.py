"""The methods that restoration is compared with, each as good as it can be used without the truth.

BM3D (``pip install bm3d``) and SciPy's Wiener filter see Anscombe-transformed counts and are told
the dose, and so the noise level; "bm3d oracle" gets the level with which it does best. Where the
dose is not known (published pairs) they see the image itself, and BM3D the noise level that
scikit-image's method estimates. Noise2Void: restoration_noise2void.py. The published network:
tk_r_em 1.0.4, imported by ``stem-plugins weights import``.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import scipy.ndimage
import scipy.signal
from restoration_images import Specimen
from restoration_metrics import psnr


@dataclasses.dataclass(frozen=True)
class Task:
    """One distorted image, fast scan along axis 1, and its truth.

    `electrons` is the number that visit a pixel, where it is known; `level` the dose, counts or
    pedestal that tables are ordered by.
    """

    set: str
    name: str
    distorted: np.ndarray
    truth: np.ndarray
    electrons: float | None
    level: float = 0.0
    specimen: Specimen | None = None

    @property
    def image(self) -> np.ndarray:
        """The distorted image as programs get it: float32."""
        return self.distorted.astype(np.float32)


Method: TypeAlias = Callable[[Task], np.ndarray]


def peers(*, quick: bool, published: bool) -> dict[str, Method]:
    """The methods in the order of the tables; without the slow ones if `quick`."""
    methods: dict[str, Method] = {"raw": lambda task: task.distorted}
    if not quick:
        from restoration_noise2void import noise2void

        methods["wiener"] = wiener
        methods["bm3d"] = bm3d
        methods["bm3d oracle"] = bm3d_oracle
        methods["noise2void"] = lambda task: noise2void(task.image)
    methods["fft"] = local_fourier
    if published and not quick:
        methods["published"] = published_network
    return methods


def function_of(name: str) -> Method:
    """The function ``MODULE:NAME`` of an image."""
    module, _, function = name.partition(":")
    restore = getattr(importlib.import_module(module), function)
    return lambda task: restore(task.image)


def network(model: str) -> Method:
    """Our `restore` with a model by name or file; a pedestal is removed where there is one."""
    from stem_plugins.restoration import restore

    return lambda task: restore(
        task.image, model=model, threads=1, remove_pedestal=task.set == "pedestal"
    )


def published_network(task: Task) -> np.ndarray:
    """tk_r_em's network for scanned images, whole and in float32, standardised outside."""
    import torch

    image = task.image
    mean, spread = image.mean(dtype=float), max(float(image.std(dtype=float)), 1e-12)
    standardised = torch.from_numpy(((image - mean) / spread).astype(np.float32))
    with torch.inference_mode():
        restored = _published("lrstem" if task.set.endswith("lrstem") else "hrstem")(
            standardised[None, None]
        )
    return restored[0, 0].numpy() * spread + mean


@functools.cache
def _published(model: str) -> Callable:
    from stem_plugins.models import load_weights
    from stem_plugins.restoration import cgrdn_from_weights

    return cgrdn_from_weights(load_weights(f"tk_r_em:{model}"))


def local_fourier(task: Task) -> np.ndarray:
    """The local-FFT Wiener filter, which needs no training."""
    import torch

    from stem_plugins.restoration.local_fourier import local_fourier_filter

    return local_fourier_filter(torch.from_numpy(task.image)).numpy()


def wiener(task: Task) -> np.ndarray:
    """SciPy's adaptive Wiener filter as it comes, on Anscombe-transformed counts.

    Its own estimate of the noise, the mean local variance, serves it better than that of the
    finest wavelets, which the tail makes too small.
    """

    def filtered(values: np.ndarray) -> np.ndarray:
        # A flat neighbourhood has no variance to divide by; SciPy then keeps the mean.
        with np.errstate(divide="ignore", invalid="ignore"):
            return scipy.signal.wiener(values)

    return _stabilised(task, filtered)


def bm3d(task: Task) -> np.ndarray:
    """BM3D with the noise level that Anscombe's transform gives counts, or an estimate."""
    return _stabilised(task, lambda values: _bm3d(values, _noise_level(task, values)))


def bm3d_oracle(task: Task) -> np.ndarray:
    """BM3D with the noise level, out of four, that the truth likes best."""
    tried = [
        _stabilised(
            task, lambda values, factor=factor: _bm3d(values, factor * _noise_level(task, values))
        )
        for factor in (0.7, 1.0, 1.5, 3.0)
    ]
    return max(tried, key=lambda image: psnr(task.truth, image))


def _bm3d(values: np.ndarray, sigma: float) -> np.ndarray:
    import bm3d as package

    return package.bm3d(values, max(sigma, 1e-6))


def _noise_level(task: Task, values: np.ndarray) -> float:
    """The standard deviation of counts after Anscombe's transform, 1; estimated without a dose.

    The tail makes an estimate from the finest wavelets too small, and BM3D then leaves the noise.
    """
    return 1.0 if task.electrons is not None else _estimated_sigma(values)


def _estimated_sigma(values: np.ndarray) -> float:
    """Median of the finest diagonal wavelet coefficients, as scikit-image's estimate_sigma.

    Donoho and Johnstone, doi:10.1093/biomet/81.3.425, with Daubechies 2; written out here because
    scikit-image's needs PyWavelets.
    """
    root = np.sqrt(3)
    high_pass = np.array([root - 1, 3 - root, -3 - root, 1 + root]) / (4 * np.sqrt(2))
    for axis in (0, 1):
        values = scipy.ndimage.convolve1d(values, high_pass, axis=axis, mode="reflect")
    details = values[::2, ::2]
    return float(np.median(np.abs(details[details != 0])) / 0.6744897501960817)


def _stabilised(task: Task, method: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply a method for constant noise to Poisson counts, by way of Anscombe's transform.

    Back by the closed form of the unbiased inverse: Mäkitalo and Foi,
    doi:10.1109/TIP.2010.2056693.
    """
    if task.electrons is None:
        low, scale = task.distorted.min(), np.ptp(task.distorted)
        return method((task.distorted - low) / scale) * scale + low
    counts = np.maximum(task.distorted * task.electrons, 0)
    value = np.maximum(method(2 * np.sqrt(counts + 3 / 8)), 2 * np.sqrt(3 / 8))
    inverse = (
        value**2 / 4
        + np.sqrt(3 / 2) / 4 / value
        - 11 / 8 / value**2
        + 5 * np.sqrt(3 / 2) / 8 / value**3
        - 1 / 8
    )
    return np.maximum(inverse, 0) / task.electrons
