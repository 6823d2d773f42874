"""napari's writer: images, stacks and scans, with their calibration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.io.image_files import save_like
from stem_plugins.io.images import save_image
from stem_plugins.io.scan_writer import write_scan
from stem_plugins.napari.image_layers import image_of, is_image_layer, measured_images
from stem_plugins.napari.layers import acquisition_of, is_scan_layer, scan_from_layer
from stem_plugins.napari.planes import flat_image

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = ["save_layer", "write_image"]

#: Suffixes that hold a whole scan.
SCAN_SUFFIXES = (".zspy", ".hspy", ".mib")


def write_image(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one image layer; called by napari's *File > Save*.

    Parameters
    ----------
    path
        ``.tif`` (with resolution), ``.zspy``, ``.hspy``, ``.png`` (as on screen, with a scale bar)
        or ``.npy``. napari's dialog has asked before a file is replaced; a folder that exists
        already is never replaced.
    data, attributes
        As napari passes them.

    Returns
    -------
    list of str
        The path that was written.

    Raises
    ------
    ValueError
        The layer is neither an image over a scan nor a scan that the format can hold.
    FileExistsError
        The path is a folder that exists already.
    """
    from napari.layers import Layer

    layer = Layer.create(data, attributes, "image")
    save_layer(path, layer, overwrite=not Path(path).is_dir())
    return [path]


def save_layer(path: str | Path, layer: Image, *, overwrite: bool = False) -> None:
    """Save an image layer with its calibration.

    Parameters
    ----------
    path
        Where; the suffix chooses the format.
    layer
        An image, a stack of images (``.tif``, ``.zspy``, ``.hspy``, ``.npy``), or a scan
        (``.zspy``, ``.hspy``, ``.mib``).
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    ValueError
        The layer has other dimensions, or the format does not hold it.
    FileExistsError
        The file exists and ``overwrite`` is False.
    """
    path = Path(path)
    if is_scan_layer(layer):
        if path.suffix.lower() not in SCAN_SUFFIXES:
            raise ValueError(
                f"A scan cannot be saved as {path.suffix or path.name!r}; "
                f"choose {', '.join(SCAN_SUFFIXES)}."
            )
        write_scan(path, scan_from_layer(layer), title=layer.name, overwrite=overwrite)
        return
    if is_image_layer(layer) and image_of(layer).ndim == 3:
        _save_stack(path, layer, overwrite)
        return
    image = flat_image(layer)
    if image.ndim - bool(layer.rgb) != 2:
        raise ValueError(
            f"Layer {layer.name!r} has {image.ndim - bool(layer.rgb)} dimensions; images have two, "
            "stacks three, scans four."
        )
    options: dict[str, Any] = {}
    if not layer.rgb and path.suffix.lower() == ".png":
        options = {
            "percentiles": _percentiles(image, layer.contrast_limits),
            "colormap": _matplotlib_name(layer.colormap.name),
        }
    save_image(
        path,
        image[..., :3] if layer.rgb else image,
        scan_step=acquisition_of(layer).scan_step,
        title=layer.name,
        quantity_units=layer.metadata.get("unit", ""),
        parameters=layer.metadata.get("parameters", {}),
        overwrite=overwrite,
        **options,
    )


def _save_stack(path: Path, layer: Image, overwrite: bool) -> None:
    """Save a stack of images with the scale of its pixels."""
    save_like(
        path,
        np.asarray(image_of(layer)),
        measured_images(layer),
        title=layer.name,
        quantity=layer.metadata.get("unit", ""),
        provenance={"parameters": layer.metadata.get("parameters", {})},
        overwrite=overwrite,
    )


def _percentiles(image: np.ndarray, limits: tuple[float, float]) -> tuple[float, float]:
    """Contrast limits as percentiles of the values, as `save_image` takes them."""
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return 0.0, 100.0
    low = 100.0 * float(np.mean(finite < limits[0]))
    high = 100.0 * float(np.mean(finite <= limits[1]))
    return (low, high) if high > low else (0.0, 100.0)


def _matplotlib_name(name: str) -> str:
    """Colour map of matplotlib by napari's name of it; grey where matplotlib has no such map."""
    import matplotlib

    return name if name in matplotlib.colormaps else "gray"
