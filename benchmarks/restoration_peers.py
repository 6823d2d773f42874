"""The methods that restoration is compared with, each as good as it can be used without the truth.

BM3D (``pip install bm3d``) and SciPy's Wiener filter see Anscombe-transformed counts and are told
the dose, with the noise level estimated by scikit-image; "BM3D oracle" is also told the noise level
with which it does best. Where the dose is not known (published pairs) they see the image itself.
Noise2Void: restoration_noise2void.py. The published network: tk_r_em 1.0.4, imported by
``stem-plugins weights import``.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
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
    """Our `restore` with a model by name or file."""
    from stem_plugins.restoration import restore

    return lambda task: restore(task.image, model=model)


def published_network(task: Task) -> np.ndarray:
    """tk_r_em's network for the kind of image; both were trained for atom columns or larger."""
    from stem_plugins.restoration import restore

    model = "tk_r_em:lrstem" if task.set.endswith("lrstem") else "tk_r_em:hrstem"
    return restore(task.image, model=model)


def local_fourier(task: Task) -> np.ndarray:
    """The local-FFT Wiener filter, which needs no training."""
    import torch

    from stem_plugins.restoration.local_fourier import local_fourier_filter

    torch.set_num_threads(1)
    return local_fourier_filter(torch.from_numpy(task.image)).numpy()


def wiener(task: Task) -> np.ndarray:
    """SciPy's adaptive Wiener filter, 5 × 5 px, on Anscombe-transformed counts."""
    import scipy.signal

    def filtered(values: np.ndarray) -> np.ndarray:
        sigma = _estimated_sigma(values)
        # A flat window divides by its variance of zero; SciPy then keeps the mean.
        with np.errstate(divide="ignore", invalid="ignore"):
            return scipy.signal.wiener(values, 5, noise=sigma**2)

    return _stabilised(task, filtered)


def bm3d(task: Task) -> np.ndarray:
    """BM3D with the noise level that scikit-image estimates."""
    return _stabilised(task, lambda values: _bm3d(values, _estimated_sigma(values)))


def bm3d_oracle(task: Task) -> np.ndarray:
    """BM3D with the noise level, out of five around the estimate, that the truth likes best."""
    tried = [
        _stabilised(
            task, lambda values, factor=factor: _bm3d(values, factor * _estimated_sigma(values))
        )
        for factor in (1.0, 1.4, 2.0, 2.8, 4.0)
    ]
    return max(tried, key=lambda image: psnr(task.truth, image))


def _bm3d(values: np.ndarray, sigma: float) -> np.ndarray:
    import bm3d as package

    return package.bm3d(values, max(sigma, 1e-6))


def _estimated_sigma(values: np.ndarray) -> float:
    from skimage.restoration import estimate_sigma

    return float(estimate_sigma(values))


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
