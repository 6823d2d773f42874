"""Save a calibrated result image in the formats that microscopists open.

Lengths come in Å and are written in nm, as scale bars want them.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from stem_plugins.io.output_files import complete_or_nothing
from stem_plugins.io.signal_dictionary import (
    image_axes,
    pattern_axes,
    signal_dictionary,
    zspy_store,
)
from stem_plugins.optics.acquisition import Acquisition

__all__ = ["plain_ascii", "plain_values", "save_image"]

#: Private TIFF tag in which the parameters of an image are kept, as JSON.
PARAMETERS_TAG = 65111

#: ImageJ's resolution is a fraction of 32-bit numbers, which overflows above this step [nm].
LARGEST_NM = 40.0

#: The shorter side of a PNG has at least so many pixels; each image pixel becomes a whole number.
SMALLEST_PNG = 512


def save_image(
    path: str | PathLike[str],
    image: np.ndarray,
    *,
    scan_step: float | tuple[float, float] | None = None,
    pattern: Acquisition | None = None,
    title: str = "",
    quantity_units: str = "",
    parameters: Mapping[str, Any] | None = None,
    signal_type: str = "stem_image",
    colormap: str = "gray",
    percentiles: tuple[float, float] = (0.0, 100.0),
    overwrite: bool = False,
) -> None:
    """Save an image with its scale.

    Parameters
    ----------
    path
        The suffix chooses the format: ``.zspy`` or ``.hspy`` (HyperSpy, full precision),
        ``.tif`` (32-bit floating point, with the scale as ImageJ, HyperSpy and DigitalMicrograph
        read it), ``.png`` (a picture with a scale bar), ``.npy`` (the bare array).
    image
        Real numbers, (ny, nx); for ``.tif`` and ``.png`` also colours, (ny, nx, 3), uint8 or
        floating point from 0 to 1.
    scan_step
        Å per pixel, (y, x) or one number for both; pixels need not be square. Without it the
        image is saved uncalibrated and the picture has no scale bar.
    pattern
        For a diffraction pattern instead of an image of the specimen: the calibration from which
        its axes get mrad around the centre. Not together with `scan_step`.
    title
        What the image shows.
    quantity_units
        Unit of the values.
    parameters
        What made the image, for the record: numbers, text, lists and dictionaries. Kept in
        ``metadata.stem_plugins.parameters``, in TIFF tag 65111, or in the PNG's description.
    signal_type
        HyperSpy's signal type.
    colormap
        Matplotlib colour map of the ``.png``.
    percentiles
        Percentiles of the values that the ``.png`` shows as darkest and brightest.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        The file exists and ``overwrite`` is False.
    ValueError
        The suffix is not known, the image is complex or has another shape, no pixel is finite, or
        both `scan_step` and `pattern` are given.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "ricom.tif"
    >>> save_image(path, np.eye(4), scan_step=0.2, title="riCOM", parameters={"kernel_size": 21})
    >>> from rsciio.tiff import file_reader
    >>> axis = file_reader(path)[0]["axes"][0]
    >>> round(axis["scale"], 6), axis["units"]
    (0.02, 'nm')
    """
    path = Path(path)
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise ValueError(
            f"An image can be saved as {', '.join(WRITERS)}, not as {path.suffix or path.name!r}."
        )
    image = np.asarray(image)
    _check(image, path.suffix.lower())
    step = _step(scan_step)
    if pattern is not None and step is not None:
        raise ValueError("A diffraction pattern has no scan_step; give one of the two.")
    description = {
        "axes": image_axes(image.shape, step)
        if pattern is None
        else pattern_axes(image.shape, pattern),
        "title": title,
        "quantity_units": quantity_units,
        "parameters": plain_values(parameters or {}),
        "signal_type": signal_type,
        "colormap": colormap,
        "percentiles": percentiles,
    }
    with complete_or_nothing(path, overwrite=overwrite) as (part,):
        write(part, image, step, description)


def _check(image: np.ndarray, suffix: str) -> None:
    if image.dtype.kind == "c":
        raise ValueError(
            "A complex image cannot be saved as one picture; save its amplitude (abs) and its "
            "phase (numpy.angle) as two."
        )
    if image.dtype.kind not in "buif":
        raise ValueError(f"An image must be real numbers; these are of type {image.dtype}.")
    is_color = image.ndim == 3 and image.shape[2] == 3
    if image.size == 0 or not (image.ndim == 2 or (is_color and suffix in (".png", ".tif"))):
        raise ValueError(
            f"An image must have the shape (ny, nx), or (ny, nx, 3) for colours in .png and .tif; "
            f"this has {image.shape}."
        )
    if not np.isfinite(image).any():
        raise ValueError("No pixel of the image is finite.")
    if is_color and image.dtype.kind == "f" and not (image.min() >= 0 and image.max() <= 1):
        raise ValueError("Colours must lie between 0 and 1.")
    if is_color and image.dtype.kind != "f" and image.dtype != np.uint8:
        raise ValueError(f"Colours must be uint8 or floating point, not {image.dtype}.")


def _step(scan_step: float | tuple[float, float] | None) -> tuple[float, float] | None:
    if scan_step is None:
        return None
    step = np.broadcast_to(np.asarray(scan_step, float), 2)
    if not (np.isfinite(step).all() and step.min() > 0):
        raise ValueError(f"scan_step must be above zero [Å], not {scan_step!r}.")
    return float(step[0]), float(step[1])


def plain_values(value: Any) -> Any:
    """Return a value as plain numbers, text, lists and dictionaries, as every file can hold it.

    Parameters
    ----------
    value
        Anything; what is ``None`` in a mapping is left out, and unknown types become text.
    """
    if isinstance(value, Mapping):
        return {str(name): plain_values(item) for name, item in value.items() if item is not None}
    if hasattr(value, "to_dict"):
        return plain_values(value.to_dict())
    if isinstance(value, (list, tuple)):
        return [plain_values(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _metadata(description: Mapping[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "General": {"title": description["title"]},
        "Signal": {"signal_type": description["signal_type"]},
    }
    if description["quantity_units"]:
        name = description["title"] or "Intensity"
        metadata["Signal"]["quantity"] = f"{name} ({description['quantity_units']})"
    if description["parameters"]:
        metadata["stem_plugins"] = {"parameters": description["parameters"]}
        if "acquisition" in description["parameters"]:
            # Where HyperSpy results keep it too.
            metadata["stem_plugins"]["acquisition"] = description["parameters"]["acquisition"]
    return metadata


def _write_hyperspy(
    path: Path,
    image: np.ndarray,
    step: tuple[float, float] | None,
    description: Mapping[str, Any],
) -> None:
    from rsciio import hspy, zspy

    native = image.astype(image.dtype.newbyteorder("="), copy=False)
    signal = signal_dictionary(native, description["axes"], _metadata(description))
    if path.suffix.lower() == ".hspy":
        hspy.file_writer(str(path), signal, chunks=image.shape)
    else:
        zspy.file_writer(zspy_store(path), signal, chunks=image.shape)


def _write_tiff(
    path: Path,
    image: np.ndarray,
    step: tuple[float, float] | None,
    description: Mapping[str, Any],
) -> None:
    from rsciio import tiff
    from rsciio.utils import rgb

    axes = description["axes"]
    if step is not None and max(step) / 10 > LARGEST_NM:
        for axis in axes:
            axis["scale"], axis["units"] = axis["scale"] / 1000, "µm"
    if image.ndim == 3:
        colors = image if image.dtype == np.uint8 else np.rint(image * 255).astype(np.uint8)
        pixels = rgb.regular_array2rgbx(np.ascontiguousarray(colors))
    else:
        pixels = image.astype(np.float32)
    text = json.dumps(description["parameters"])
    metadata = _metadata(description)
    if "quantity" in metadata["Signal"]:
        metadata["Signal"]["quantity"] = plain_ascii(metadata["Signal"]["quantity"])
    tiff.file_writer(
        str(path),
        signal_dictionary(pixels, axes, metadata),
        export_scale=axes[0]["units"] != "px",
        extratags=[(PARAMETERS_TAG, "s", 0, text, False)],
    )


def plain_ascii(text: str) -> str:
    """Return text as TIFF tags can hold it: Å becomes A, ² becomes 2, × becomes x.

    Parameters
    ----------
    text
        Any text.
    """
    plain = unicodedata.normalize("NFKD", text.translate(str.maketrans("·×–", " x-")))
    return (
        "".join(letter for letter in plain if not unicodedata.combining(letter))
        .encode("ascii", "replace")
        .decode("ascii")
    )


def _write_png(
    path: Path,
    image: np.ndarray,
    step: tuple[float, float] | None,
    description: Mapping[str, Any],
) -> None:
    """Draw the image so that each of its pixels is a whole number of pixels across."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib_scalebar.scalebar import ScaleBar

    dpi = 100
    ny, nx = image.shape[:2]
    zoom = max(1, -(-SMALLEST_PNG // min(ny, nx)))
    width, height = nx * zoom, ny * zoom
    if step is not None:
        # Square on paper what is square in the specimen: enlarge the axis of larger steps.
        width = round(width * max(1.0, step[1] / step[0]))
        height = round(height * max(1.0, step[0] / step[1]))
    figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    limits = {}
    if image.ndim == 2:
        low, high = np.percentile(image[np.isfinite(image)], description["percentiles"])
        limits = {"vmin": low, "vmax": high, "cmap": description["colormap"]}
    axes.imshow(image, interpolation="nearest", aspect="auto", **limits)
    if step is not None:
        axes.add_artist(
            ScaleBar(
                step[1] / 10,
                "nm",
                location="lower right",
                # Not 500 pm for a picture of atoms: the field thinks in nm.
                fixed_units="nm" if step[1] / 10 * nx < 2000 else None,
                length_fraction=0.25,
                color="white",
                box_color="black",
                box_alpha=0.5,
                # The picture is stretched so that one length is the same along both axes.
                rotation="horizontal-only",
            )
        )
    text = {"title": description["title"], "parameters": description["parameters"]}
    figure.savefig(path, format="png", metadata={"Description": json.dumps(text)})


def _write_npy(
    path: Path,
    image: np.ndarray,
    step: tuple[float, float] | None,
    description: Mapping[str, Any],
) -> None:
    np.save(path, image)


WRITERS: Mapping[str, Callable[..., None]] = MappingProxyType(
    {
        ".zspy": _write_hyperspy,
        ".hspy": _write_hyperspy,
        ".tif": _write_tiff,
        ".png": _write_png,
        ".npy": _write_npy,
    }
)
