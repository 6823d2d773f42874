"""What an image must be before it is restored, and what its user should know."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.ndimage

from stem_plugins.restoration.tail_removal import estimate_tail

__all__ = [
    "check_orientation",
    "fill_missing",
    "real_images",
    "warn_of_image",
    "warn_of_scan_axis",
]

#: Images with shorter sides than this hold too little to tell structure from noise [px].
SHORTEST_SIDE = 32

#: Share of pixels at the largest value of their type above which an image counts as saturated.
SATURATED_SHARE = 1e-3


def real_images(image: Any) -> Any:
    """Return an array of real images, or say in a ValueError why it is none.

    Parameters
    ----------
    image
        NumPy or dask array, or anything NumPy can turn into one.

    Returns
    -------
    ndarray or dask.array.Array
        (..., y, x).

    Raises
    ------
    ValueError
        It has fewer than two dimensions, no pixels, colours, or complex numbers.
    """
    if not hasattr(image, "dtype") or not hasattr(image, "ndim"):
        image = np.asarray(image)
    if image.dtype.kind not in "buif":
        raise ValueError(
            f"An image of {image.dtype} cannot be restored: intensities are real. "
            + ("Take abs() or angle() of a wave." if image.dtype.kind == "c" else "")
            + ("Choose one channel of a colour image." if image.dtype.names else "")
        )
    if image.ndim < 2:
        raise ValueError(
            f"restore takes images (y, x) or stacks of them, not shape {tuple(image.shape)}."
        )
    if 0 in image.shape:
        raise ValueError(f"The image is empty: shape {tuple(image.shape)}.")
    if image.ndim == 3 and image.dtype == np.uint8 and image.shape[-1] in (3, 4):
        raise ValueError(
            f"Shape {tuple(image.shape)} of 8-bit numbers is a colour picture, whose colours are "
            "no intensities. Take the microscope's own file, or one channel, image[..., 0]."
        )
    return image


def check_orientation(ndim: int, scan_axis: int, scan_direction: int) -> int:
    """Return the fast-scan axis as -1 or -2.

    Parameters
    ----------
    ndim
        Of the image or stack.
    scan_axis, scan_direction
        As the user gave them.

    Raises
    ------
    ValueError
        The axis is none of the last two, or the direction neither 1 nor -1.
    """
    if scan_axis not in (-1, -2, ndim - 1, ndim - 2):
        raise ValueError(
            f"scan_axis must be one of the two image axes, -1 (along x) or -2 (along y), "
            f"not {scan_axis!r}."
        )
    if scan_direction not in (1, -1):
        raise ValueError(
            "scan_direction must be 1 (towards larger indices) or -1 (towards smaller ones), "
            f"not {scan_direction!r}."
        )
    return scan_axis if scan_axis < 0 else scan_axis - ndim


def fill_missing(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Fill pixels that are not finite from those around them.

    Parameters
    ----------
    image
        (y, x), any real type.

    Returns
    -------
    image : ndarray
        float32, finite.
    missing : ndarray or None
        Where pixels were missing, (y, x) boolean; ``None``: nowhere.

    Raises
    ------
    ValueError
        No pixel is finite.
    """
    if image.dtype.kind != "f" or np.isfinite(image).all():
        return image, None
    missing = ~np.isfinite(image)
    if missing.all():
        raise ValueError("The image holds no finite pixel.")
    nearest = scipy.ndimage.distance_transform_edt(
        missing, return_distances=False, return_indices=True
    )
    filled = image[tuple(nearest)]
    warnings.warn(
        f"{int(missing.sum())} of {missing.size} pixels are NaN or infinite. They were filled in "
        "from their neighbours for the restoration, and are NaN in the result.",
        UserWarning,
        stacklevel=2,
    )
    return filled, missing


def warn_of_image(image: np.ndarray) -> None:
    """Warn where the result will say less than it seems to.

    Parameters
    ----------
    image
        (y, x), as measured.
    """
    if min(image.shape) < SHORTEST_SIDE:
        warnings.warn(
            f"An image of {image.shape[0]} × {image.shape[1]} px holds too little to tell "
            f"structure from noise; sides of {SHORTEST_SIDE} px are the least.",
            UserWarning,
            stacklevel=2,
        )
    if image.dtype.kind in "ui" and image.max() == np.iinfo(image.dtype).max:
        share = np.mean(image == np.iinfo(image.dtype).max)
        if share > SATURATED_SHARE:
            warnings.warn(
                f"{100 * share:.1f} % of the pixels hold {image.max()}, the largest number of "
                f"{image.dtype}: the image is saturated, and no restoration brings back what was "
                "cut off. Lower the detector's gain, or take the file before its conversion.",
                UserWarning,
                stacklevel=2,
            )


def warn_of_scan_axis(image: np.ndarray) -> None:
    """Warn where the tail of the detector shows that the beam ran along the other axis.

    Parameters
    ----------
    image
        (y, x), finite, turned so that the fast scan should run along x, where no tail was found.
    """
    if not estimate_tail(image.T).decay:
        return
    warnings.warn(
        "The noise is coupled from pixel to pixel across what is taken for the fast scan, and not "
        "along it: the beam seems to have run along the other axis. Set the fast-scan axis to it; "
        "along the wrong one, jitter and tail stay in.",
        UserWarning,
        stacklevel=2,
    )
