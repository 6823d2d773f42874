"""What the panel Restore does, without its widgets: settings, the work in a thread, the layers."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import stem_plugins
from stem_plugins.napari.contrast import image_limits
from stem_plugins.napari.image_layers import image_of, is_image_layer, layer_like
from stem_plugins.napari.layers import LayerData, is_scan_layer, scan_from_layer, scan_layer
from stem_plugins.napari.pytorch import needing_pytorch, spare_threads

if TYPE_CHECKING:
    import dask.array
    from napari.layers import Image

__all__ = [
    "FAST_SCANS",
    "Maps",
    "Progress",
    "RestoreSettings",
    "StoppedError",
    "correct",
    "corrected_layer",
    "estimate_shifts",
    "fits_grid",
    "our_warnings",
    "restore_images",
    "result_layers",
]

#: Directions of the fast scan on screen: axis and direction of `stem_plugins.restore`.
FAST_SCANS: dict[str, tuple[int, Literal[1, -1]]] = {
    "→  to the right": (-1, 1),
    "←  to the left": (-1, -1),
    "↓  downwards": (-2, 1),
    "↑  upwards": (-2, -1),
}

#: Differences beyond this are as blue or red as any other [expected noise].
MOST_NOISE = 6.0

PACKAGE = Path(stem_plugins.__file__).parent


class StoppedError(Exception):
    """The user has stopped the work."""


@dataclasses.dataclass
class Progress:
    """Between the thread that works and the panel that looks.

    Parameters
    ----------
    share
        What is done, from 0 to 1.
    stopped
        Set to stop the work at its next report.
    """

    share: float = 0.0
    stopped: bool = False

    def report(self, share: float) -> None:
        """Note the share that is done; raise `StoppedError` where no more is wanted."""
        self.share = share
        if self.stopped:
            raise StoppedError

    def rounds(self, numbers: Iterable[int], *, total: int) -> Iterator[int]:
        """Yield what is iterated over, like `tqdm.tqdm`, and report."""
        for done, number in enumerate(numbers):
            self.report(done / total)
            yield number


@dataclasses.dataclass(frozen=True)
class RestoreSettings:
    """Choices of the panel; the parameters of `stem_plugins.restore`."""

    model: str | Path = "default"
    scan_axis: int = -1
    scan_direction: Literal[1, -1] = 1
    ensemble: bool = False
    remove_pedestal: bool = False
    return_evidence: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for files."""
        return {**dataclasses.asdict(self), "model": str(self.model)}


@dataclasses.dataclass(frozen=True, eq=False)
class Maps:
    """What a restoration gave.

    Parameters
    ----------
    restored
        Shape of the image or stack, float32.
    evidence
        Maps of `stem_plugins.Evidence` by name; empty where none were asked for.
    warnings
        What was warned of, each once.
    """

    restored: np.ndarray
    evidence: dict[str, np.ndarray]
    warnings: tuple[str, ...] = ()


def restore_images(
    images: np.ndarray | dask.array.Array, settings: RestoreSettings, progress: Progress
) -> Maps:
    """Restore an image or a stack, one image in memory at a time.

    Parameters
    ----------
    images
        (y, x) or (frame, y, x).
    settings, progress
        Of the panel.

    Returns
    -------
    Maps

    Raises
    ------
    StoppedError
        The user has stopped it.
    ValueError, OSError, ImportError
        It cannot be done; the message says why.

    Examples
    --------
    >>> noisy = np.random.default_rng(0).poisson(9, (64, 64))
    >>> restore_images(noisy, RestoreSettings(model="fft"), Progress()).restored.shape
    (64, 64)
    """
    frames = images[None] if images.ndim == 2 else images
    names = [field.name for field in dataclasses.fields(stem_plugins.Evidence)]
    names = names if settings.return_evidence else []
    maps = {name: np.empty(frames.shape, np.float32) for name in ("restored", *names)}
    options = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for index in range(len(frames)):
            made = _restored(
                np.asarray(frames[index]),
                lambda share, done=index: progress.report((done + share) / len(frames)),
                options,
            )
            restored, evidence = made if settings.return_evidence else (made, None)
            maps["restored"][index] = restored
            for name in names:
                maps[name][index] = getattr(evidence, name)
    shaped = {name: values.reshape(images.shape) for name, values in maps.items()}
    return Maps(shaped.pop("restored"), shaped, our_warnings(caught))


def our_warnings(caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    """Our warnings, each once; those of other threads meanwhile go where they belong."""
    ours = []
    for warning in caught:
        if PACKAGE in Path(warning.filename).parents:
            ours.append(str(warning.message))
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return tuple(dict.fromkeys(ours))


def _restored(image: np.ndarray, report: Callable[[float], None], options: dict[str, Any]) -> Any:
    with needing_pytorch("Restoration"):
        return stem_plugins.restore(image, callback=report, threads=spare_threads(), **options)


def result_layers(layer: Image, maps: Maps, settings: RestoreSettings) -> dict[str, LayerData]:
    """Layers of the restored image and its evidence, on the grid of the measured one.

    Parameters
    ----------
    layer
        Of the measured image.
    maps
        From `restore_images`.
    settings
        What made them.

    Returns
    -------
    dict
        Layer data by ``"restored"`` and the names of the maps of evidence. Signed maps are
        symmetric about zero, ±6 of the expected noise; none is shown but the restored image.
    """
    before = {key: layer.metadata[key] for key in ("parameters",) if layer.metadata.get(key)}
    parameters = {
        "method": "restore",
        **settings.to_dict(),
        "of": layer.name,
        **({"made_from": before["parameters"]} if before else {}),
    }
    made = {
        "restored": layer_like(
            layer, maps.restored, f"{layer.name} restored", parameters=parameters
        )
    }
    for name, values in maps.evidence.items():
        is_signed = name != "spread"
        limits = (-MOST_NOISE, MOST_NOISE) if is_signed else (0.0, image_limits(values)[1])
        made[name] = layer_like(
            layer,
            values,
            f"{layer.name} {name}",
            unit="expected noise" if is_signed else None,
            parameters={**parameters, "map": name},
            colormap="coolwarm" if is_signed else "inferno",
            contrast_limits=limits,
        )
        made[name][1]["visible"] = False
    return made


def estimate_shifts(
    measured: np.ndarray, restored: np.ndarray, settings: RestoreSettings, progress: Progress
) -> np.ndarray:
    """Where each pixel of an image was recorded, whichever way the beam scans.

    Parameters
    ----------
    measured, restored
        (y, x).
    settings
        Uses `scan_axis`.
    progress
        Of the panel.

    Returns
    -------
    ndarray
        [px], (y, x, 2), vectors (y, x), for `stem_plugins.apply_scan_shifts`.

    Raises
    ------
    StoppedError
        The user has stopped it.
    ValueError
        The images hold no structure, or cannot be compared.

    Examples
    --------
    >>> y, x = np.indices((32, 40))
    >>> image = 9 + np.cos(y) * np.cos(0.8 * x)
    >>> estimate_shifts(image, image, RestoreSettings(scan_axis=-2), Progress()).shape
    (32, 40, 2)
    """
    if settings.scan_axis == -1:
        return stem_plugins.scan_shifts(measured, restored, progress=progress.rounds)
    # The estimate is made for rows along x: turn the images, and turn the shifts back.
    turned = stem_plugins.scan_shifts(measured.T, restored.T, progress=progress.rounds)
    return np.ascontiguousarray(turned.transpose(1, 0, 2)[..., ::-1])


def fits_grid(layer: Any, shape: tuple[int, int]) -> bool:
    """Whether a layer was recorded on a scan grid of so many positions (y, x).

    Parameters
    ----------
    layer
        Any napari layer; a 4D scan, an image or a stack may fit.
    shape
        Scan positions (y, x).
    """
    if is_scan_layer(layer):
        return tuple(layer.data.shape[:2]) == shape
    return is_image_layer(layer) and tuple(image_of(layer).shape[-2:]) == shape


def corrected_layer(layer: Image, shifts: np.ndarray, parameters: dict[str, Any]) -> LayerData:
    """Layer of what another layer recorded in the same scan, put back where it belongs.

    Parameters
    ----------
    layer
        For which `fits_grid` holds. A lazy 4D scan stays lazy.
    shifts
        From `estimate_shifts`.
    parameters
        What the shifts come from, for the record.

    Returns
    -------
    tuple
        Layer data for napari, calibrated like the layer.

    Raises
    ------
    ValueError
        The data hold what is no number.
    """
    name = f"{layer.name} scan-corrected"
    parameters = {"method": "scan correction", **parameters, "of": layer.name}
    if is_scan_layer(layer):
        scan = scan_from_layer(layer)
        moved = stem_plugins.apply_scan_shifts(scan.data, shifts)
        made = scan_layer(dataclasses.replace(scan, data=moved, largest_count=None), name)
        made[1]["metadata"]["parameters"] = parameters
        return made
    images = np.asarray(image_of(layer))
    # Frames of a stack move together, like the channels of one recording.
    channels = np.moveaxis(images, 0, -1) if images.ndim == 3 else images
    moved = stem_plugins.apply_scan_shifts(channels, shifts)
    moved = np.moveaxis(moved, -1, 0) if images.ndim == 3 else moved
    return layer_like(layer, moved, name, parameters=parameters)


def correct(
    measured: np.ndarray,
    restored: np.ndarray,
    shifts: np.ndarray | None,
    target: Image,
    settings: RestoreSettings,
    parameters: dict[str, Any],
    progress: Progress,
) -> tuple[np.ndarray, LayerData]:
    """Find the shifts of an image, unless they are known, and put another layer back by them.

    Parameters
    ----------
    measured, restored, settings, progress
        As for `estimate_shifts`.
    shifts
        From an earlier call, or `None`.
    target, parameters
        As for `corrected_layer`.

    Returns
    -------
    shifts : ndarray
        For the next call.
    layer_data : tuple
        Of the corrected layer.

    Raises
    ------
    StoppedError
        The user has stopped it.
    ValueError
        As the two raise it.
    """
    if shifts is None:
        shifts = estimate_shifts(measured, restored, settings, progress)
    progress.report(1.0)
    return shifts, corrected_layer(target, shifts, parameters)
