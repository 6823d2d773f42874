"""Restore and scan-correct HyperSpy signals: which axes are the image's, and calibrated results."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import hyperspy.api as hs
import numpy as np
from hyperspy.signal import BaseSignal
from tqdm.auto import tqdm

import stem_plugins
from stem_plugins.lazy.blocks import is_lazy

if TYPE_CHECKING:
    import dask.array as da

__all__ = [
    "apply_scan_shifts",
    "check_images",
    "fast_axis",
    "like",
    "scan_shifts",
    "share_progress",
    "shows_progress",
]


def check_images(signal: BaseSignal) -> None:
    """Raise an error in words, unless a signal is an image or a stack of images of real numbers.

    Parameters
    ----------
    signal
        Any signal.

    Raises
    ------
    ValueError
        It has another number of signal axes, colours, or complex numbers.
    """
    dimension = signal.axes_manager.signal_dimension
    if dimension != 2:
        raise ValueError(
            f"{signal} has {dimension} signal ax{'is' if dimension == 1 else 'es'}; an image has "
            "two. Choose them by signal.transpose(signal_axes=(...)), or as_signal2D((...))."
        )
    if signal.data.dtype.names:
        raise ValueError(
            f"{signal} is a colour picture, whose colours are no intensities. Take the "
            "microscope's own file, or one of the three colours."
        )
    if signal.data.dtype.kind == "c":
        raise ValueError(
            f"{signal} is complex; restore its amplitude or its phase: signal.amplitude.restore()."
        )


def fast_axis(signal: BaseSignal, scan_axis: str | None) -> int:
    """Return along which axis of the array the beam scans fast: -1 or -2.

    Parameters
    ----------
    signal
        An image or a stack of images.
    scan_axis
        Name of a signal axis; ``"x"`` and ``"y"`` are also the horizontal and the vertical one
        where no axis is called so; ``None``: the horizontal one.

    Raises
    ------
    ValueError
        No signal axis is called so.
    """
    if scan_axis is None:
        return -1
    names = [str(axis.name) for axis in signal.axes_manager.signal_axes]
    if scan_axis in names:
        return -1 - names.index(scan_axis)
    if scan_axis in ("x", "y") and not {"x", "y"} & set(names):
        return -1 if scan_axis == "x" else -2
    raise ValueError(
        f"scan_axis must be 'x', 'y' or the name of an image axis ({', '.join(names)}), "
        f"not {scan_axis!r}."
    )


def like(
    signal: BaseSignal,
    data: np.ndarray | da.Array,
    *,
    title: str,
    method: str,
    parameters: Mapping[str, Any],
    quantity: str | None = None,
) -> Any:
    """Return other data with the axes and metadata of a signal.

    Parameters
    ----------
    signal
        Whose class, axes and metadata are kept.
    data
        Of its shape, NumPy or dask.
    title
        What the result is; the signal's own title is added.
    method, parameters
        What made it; what had made the signal is kept among the parameters, as ``made_from``.
    quantity
        Name and unit of the values; ``None``: as before.
    """
    result = signal._deepcopy_with_new_data(data)
    result._lazy = is_lazy(data)
    result._assign_subclass()
    name = signal.metadata.General.title
    result.metadata.General.title = f"{title} {name}" if name else title
    if quantity is not None:
        result.metadata.set_item("Signal.quantity", quantity)
    before = signal.metadata.as_dictionary().get("stem_plugins", {})
    made_from = {key: before[key] for key in ("method", "parameters") if key in before}
    plain = {key: value for key, value in parameters.items() if value is not None}
    after = {
        **before,
        **({"source": name} if name and "source" not in before else {}),
        "method": method,
        "parameters": {**plain, **({"made_from": made_from} if made_from else {})},
        "version": stem_plugins.__version__,
    }
    if result.metadata.has_item("stem_plugins"):
        del result.metadata.stem_plugins
    result.metadata.add_dictionary({"stem_plugins": after})
    return result


def shows_progress(show_progressbar: bool | None) -> bool:
    """Whether to show a progress bar; ``None``: as HyperSpy's preferences say."""
    if show_progressbar is None:
        return bool(hs.preferences.General.show_progressbar)
    return show_progressbar


@contextlib.contextmanager
def share_progress(wanted: bool) -> Iterator[Callable[[float], object] | None]:
    """Show a progress bar for what calls back with its share; give ``None`` where not wanted."""
    if not wanted:
        yield None
        return
    with tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}, {remaining} to go") as bar:
        yield lambda share: bar.update(share - bar.n)


def scan_shifts(
    image: BaseSignal,
    restored: Any,
    *,
    scan_axis: str | None = None,
    show_progressbar: bool | None = None,
) -> np.ndarray:
    """Estimate where each pixel of an image was recorded, from the image and its restoration.

    Parameters
    ----------
    image
        One image as recorded.
    restored
        The same without distortions, signal or array: as ``image.restore()`` gives it.
    scan_axis
        As for `STEMImage.restore`.
    show_progressbar
        ``None``: as HyperSpy's preferences say.

    Returns
    -------
    ndarray
        Shifts [px], (y, x, 2), vectors (y, x), for `apply_scan_shifts`.

    Raises
    ------
    ValueError
        These are not two images of the same pixels.

    See Also
    --------
    stem_plugins.scan_shifts : The same with arrays.

    Examples
    --------
    >>> from stem_plugins.hyperspy import STEMImage
    >>> y, x = np.indices((32, 32))
    >>> image = STEMImage(9 + np.cos(y) * np.cos(0.8 * x))
    >>> scan_shifts(image, image).shape
    (32, 32, 2)
    """
    check_images(image)
    if image.axes_manager.navigation_dimension:
        raise ValueError(f"{image} is a stack; take one image of it, for example image.inav[0].")
    pair = [_array(image), _array(restored)]
    progress = partial(tqdm, desc="shifts", disable=not shows_progress(show_progressbar))
    if fast_axis(image, scan_axis) == -1:
        return stem_plugins.scan_shifts(*pair, progress=progress)
    # The estimate is made for rows along x: turn the images, and turn the shifts back.
    turned = stem_plugins.scan_shifts(pair[0].T, pair[1].T, progress=progress)
    return np.ascontiguousarray(turned.transpose(1, 0, 2)[..., ::-1])


def _array(image: Any) -> np.ndarray:
    data = image.data if isinstance(image, BaseSignal) else image
    return np.asarray(data)


def apply_scan_shifts(signal: BaseSignal, shifts: Any) -> Any:
    """Put what a scan recorded back where it belongs.

    Parameters
    ----------
    signal
        On the scan grid: patterns or spectra (two navigation axes), or one image. Lazy data stay
        lazy.
    shifts
        [px], (scan_y, scan_x, 2), vectors (y, x), from `scan_shifts`.

    Returns
    -------
    Signal
        Of the class of `signal`, with its axes and metadata.

    Raises
    ------
    ValueError
        The signal has no two scan axes, or the shifts do not fit them.

    See Also
    --------
    stem_plugins.apply_scan_shifts : The same with arrays, and what it keeps and loses.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> spectra = hs.signals.Signal1D(np.ones((8, 9, 20)))
    >>> apply_scan_shifts(spectra, np.zeros((8, 9, 2)))
    <Signal1D, title: Scan-corrected, dimensions: (9, 8|20)>
    """
    axes = signal.axes_manager
    is_image = (axes.navigation_dimension, axes.signal_dimension) == (0, 2)
    # The two navigation axes of a stack of images are no scan.
    is_scan = axes.navigation_dimension == 2 and signal._signal_type != "stem_image"
    if not (is_image or is_scan):
        raise ValueError(
            f"{signal} is no scan: patterns and spectra have two navigation axes, and one image "
            "has none. Take one image of a stack, for example signal.inav[0]."
        )
    shifts = np.asarray(shifts)
    return like(
        signal,
        stem_plugins.apply_scan_shifts(signal.data, shifts),
        title="Scan-corrected",
        method="apply_scan_shifts",
        parameters={"rms_shift": [float(np.sqrt(np.mean(shifts[..., i] ** 2))) for i in (0, 1)]},
    )
