"""Read images and stacks of images with their calibration, and write others like them.

`read_images` opens what microscopes and HyperSpy write, by RosettaSciIO, and bare arrays; what is
no image (spectra, scans of patterns, colours) is refused in words. `save_like` writes a result
with the axes and the metadata of the image that it was made from.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.io.arrays import array_shapes, read_hdf5_array, read_numpy_array
from stem_plugins.io.formats import is_hyperspy_file, read_signals
from stem_plugins.io.images import PARAMETERS_TAG, plain_ascii, plain_values
from stem_plugins.io.output_files import complete_or_nothing
from stem_plugins.io.signal_dictionary import signal_dictionary, zspy_store
from stem_plugins.io.units import is_reciprocal_length, to_angstrom, to_milliradian

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["IMAGE_FORMATS", "MeasuredImages", "NoImageError", "read_images", "save_like"]

#: What `save_like` writes.
IMAGE_FORMATS = (".tif", ".zspy", ".hspy", ".npy")

#: Files above this size are read image by image [bytes].
LARGE_FILE = 256 * 2**20

ARRAY_FILES = (".npy", ".npz", ".h5", ".hdf5")

#: HyperSpy's names for what looks like images and is none.
PATTERN_TYPES = ("4d_stem", "electron_diffraction", "diffraction", "EBSD")

FOUR_DIMENSIONS = "Four dimensions are taken for a scan of diffraction patterns."


class NoImageError(ValueError):
    """A file can be read, but holds something else than images of real numbers."""


@dataclasses.dataclass(frozen=True)
class MeasuredImages:
    """An image or a stack of images of one kind, as a file holds it.

    Parameters
    ----------
    data
        (..., y, x), real, NumPy or (large files) dask.
    axes
        One dictionary per dimension, as RosettaSciIO gives it.
    metadata
        HyperSpy metadata.
    """

    data: np.ndarray | da.Array
    axes: tuple[Mapping[str, Any], ...]
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        """What the file calls it; empty where it has no name."""
        return str(self.metadata.get("General", {}).get("title") or "")

    @property
    def pixel_size(self) -> tuple[float, float] | None:
        """Å per pixel, (y, x); ``None`` where the axes are not lengths."""
        steps = [
            to_angstrom(abs(axis.get("scale") or 0), axis.get("units")) for axis in self.axes[-2:]
        ]
        return None if None in steps or 0 in steps else (steps[0] or 0, steps[1] or 0)

    def with_pixel_size(self, pixel_size: tuple[float, float]) -> MeasuredImages:
        """Return the same images with another pixel size [Å], (y, x)."""
        axes = [dict(axis) for axis in self.axes]
        for axis, step in zip(axes[-2:], pixel_size, strict=True):
            axis.update(scale=step / 10, offset=0.0, units="nm")
        return dataclasses.replace(self, axes=tuple(axes))


def read_images(
    path: str | PathLike[str], *, dataset: str | int | None = None
) -> list[MeasuredImages]:
    """Read all images of a file.

    Parameters
    ----------
    path
        Any format of RosettaSciIO that holds images (``.dm3``, ``.dm4``, ``.ser``, ``.emd``,
        ``.tif``, ``.mrc``, ``.hspy``, ``.zspy``, ``.png`` and others), or an array in ``.npy``,
        ``.npz`` or ``.h5``, whose last two dimensions are (y, x).
    dataset
        Title or number (from 0) of one image, or name of an array; ``None``: all images, and the
        only array.

    Returns
    -------
    list of MeasuredImages
        At least one. Files of more than 256 MB give dask arrays.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    NoImageError
        The file holds no image: spectra, a scan of patterns, colours, complex numbers.
    ValueError
        The file cannot be read, or holds several arrays.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "image.npy"
    >>> np.save(path, np.ones((6, 8), "uint16"))
    >>> [image] = read_images(path)
    >>> image.data.shape, image.pixel_size
    ((6, 8), None)
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.exists():
        raise FileNotFoundError(f"There is no {path.name} in {path.absolute().parent}.")
    if path.is_dir() and suffix != ".zspy":
        raise ValueError(f"{path} is a folder; give a file in it.")
    if suffix in (".mib", ".hdr"):
        raise NoImageError(f"{path.name} holds diffraction patterns (Merlin), no images.")
    if suffix in ARRAY_FILES and not is_hyperspy_file(path):
        signals = [_array_signal(path, dataset)]
    else:
        signals = read_signals(path, lazy=_is_large(path), options={})
        if dataset is not None:
            signals = [_chosen(signals, dataset, path.name)]
    found, reasons = [], []
    for signal in signals:
        reason = _why_no_image(signal)
        if reason is None:
            found.append(_measured(signal))
        else:
            reasons.append(reason)
    if not found:
        raise NoImageError(f"{path.name} holds no image: {'; '.join(reasons) or 'nothing at all'}.")
    return found


def _is_large(path: Path) -> bool:
    return path.is_dir() or path.stat().st_size > LARGE_FILE


def _array_signal(path: Path, dataset: str | int | None) -> dict[str, Any]:
    """Read the only array of images of a file, which knows no calibration."""
    shapes = array_shapes(path)
    listing = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing else"
    images = [name for name, shape in shapes.items() if _is_image_shape(shape)]
    if dataset is not None:
        if str(dataset) not in images:
            raise ValueError(f"{path.name} holds no images {dataset!r}; it holds {listing}.")
        images = [str(dataset)]
    if not images:
        raise NoImageError(
            f"{path.name} holds no image (y, x) and no stack (frames, y, x) of real numbers; "
            f"it holds {listing}. {FOUR_DIMENSIONS}"
        )
    if len(images) > 1:
        raise ValueError(
            f"{path.name} holds several arrays of images: {listing}. Choose one with dataset=..."
        )
    read = read_numpy_array if path.suffix.lower().startswith(".np") else read_hdf5_array
    dimensions = len(shapes[images[0]])
    data, _ = read(path, dataset=images[0], dimensions=dimensions, lazy=_is_large(path))
    return {"data": data, "axes": [{}] * dimensions}


def _is_image_shape(shape: tuple[int, ...]) -> bool:
    """Whether an array is an image or a stack; two long axes before them are a scan."""
    return len(shape) >= 2 and min(shape[-2:]) > 1 and sum(n > 1 for n in shape[:-2]) <= 1


def _chosen(signals: list[dict[str, Any]], dataset: str | int, source: str) -> dict[str, Any]:
    titles = [str(s.get("metadata", {}).get("General", {}).get("title", "")) for s in signals]
    if str(dataset) in titles:
        return signals[titles.index(str(dataset))]
    if str(dataset).isdigit() and int(dataset) < len(signals):
        return signals[int(dataset)]
    listing = "; ".join(
        f"{number}: {title or 'untitled'} {np.shape(signal['data'])}"
        for number, (title, signal) in enumerate(zip(titles, signals, strict=True))
    )
    raise ValueError(f"{source} holds no image {dataset!r}; it holds {listing}.")


def _why_no_image(signal: Mapping[str, Any]) -> str | None:
    """Say why a signal is no image or stack of images; ``None`` where it is."""
    data, axes = signal["data"], list(signal["axes"])
    shape = tuple(data.shape)
    kind = signal.get("metadata", {}).get("Signal", {}).get("signal_type", "")
    if data.dtype.kind == "c":
        return "complex numbers; save their amplitude or phase as an image"
    # Without any flag, the last two dimensions are the image.
    flags = [bool(axis.get("navigate")) for axis in axes]
    if any(flags) and flags != [True] * (data.ndim - 2) + [False, False]:
        return f"spectra or another signal that is no image, of shape {shape}"
    if data.dtype.names or (data.ndim > 2 and shape[-1] in (3, 4)):
        return "a colour picture, whose colours are no intensities (one channel of it could be)"
    if data.dtype.kind not in "buif":
        return f"values of type {data.dtype}"
    if data.ndim < 2 or min(shape[-2:]) < 2:
        return f"an array of shape {shape}"
    units = [axis.get("units") for axis in axes[-2:]]
    if kind in PATTERN_TYPES or any(
        is_reciprocal_length(unit) or to_milliradian(1, unit, 300) is not None for unit in units
    ):
        return (
            f"diffraction patterns {shape}; restore an image of the scan, such as "
            "`stem-plugins ricom FILE --adf INNER OUTER` makes"
        )
    if not _is_image_shape(shape) and kind != "stem_image":
        return f"an array of shape {shape}. {FOUR_DIMENSIONS}"
    if any(axis.get("_type", "UniformDataAxis") != "UniformDataAxis" for axis in axes[-2:]):
        return "an image whose pixels are not equally spaced"
    return None


def _measured(signal: Mapping[str, Any]) -> MeasuredImages:
    data = signal["data"]
    axes = []
    names = [*(f"frame{n}" for n in range(data.ndim - 3)), "frame", "y", "x"][-data.ndim :]
    for index, (axis, name) in enumerate(zip(signal["axes"], names, strict=True)):
        known = {key: value for key, value in axis.items() if value is not None}
        axes.append(
            {
                "_type": "UniformDataAxis",
                "scale": 1.0,
                "offset": 0.0,
                "units": "px" if index >= data.ndim - 2 else "",
                **known,
                "name": known.get("name") if known.get("name") not in (None, "None", "") else name,
                "size": int(data.shape[index]),
                "navigate": index < data.ndim - 2,
                "index_in_array": index,
            }
        )
    metadata = copy.deepcopy(dict(signal.get("metadata", {})))
    return MeasuredImages(data, tuple(axes), metadata)


def save_like(
    path: str | PathLike[str],
    data: np.ndarray,
    source: MeasuredImages,
    *,
    title: str,
    quantity: str = "",
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Save a result with the axes and metadata of the images that it was made from.

    Parameters
    ----------
    path
        The suffix chooses the format: ``.tif`` (32-bit floating point, with the scale as ImageJ,
        HyperSpy and DigitalMicrograph read it), ``.zspy``, ``.hspy``, ``.npy`` (the bare array).
    data
        Real numbers, of the shape of the source.
    source
        Where calibration and metadata come from.
    title
        What the result shows.
    quantity
        Name and unit of the values.
    provenance
        What made it (``method``, ``parameters``, ``source``, ``version``): kept in
        ``metadata.stem_plugins``, or in TIFF tag 65111.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        The file exists and ``overwrite`` is False.
    ValueError
        The suffix is not known, or the shape another one.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "image.npy", np.ones((6, 8)))
    >>> image = read_images(folder / "image.npy")[0].with_pixel_size((0.2, 0.2))
    >>> save_like(folder / "doubled.zspy", 2 * image.data, image, title="Doubled")
    >>> read_images(folder / "doubled.zspy")[0].pixel_size
    (0.2, 0.2)
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_FORMATS:
        raise ValueError(
            f"Images can be saved as {', '.join(IMAGE_FORMATS)}, not as {suffix or path.name!r}."
        )
    if data.shape != tuple(source.data.shape):
        raise ValueError(f"The result has the shape {data.shape}, its source {source.data.shape}.")
    made_by = plain_values(provenance or {})
    metadata = copy.deepcopy(dict(source.metadata))
    metadata["General"] = {**metadata.get("General", {}), "title": title}
    metadata["Signal"] = {"signal_type": "stem_image"}
    if quantity:
        metadata["Signal"]["quantity"] = quantity
    metadata["stem_plugins"] = {**metadata.get("stem_plugins", {}), **made_by}
    axes = [dict(axis) for axis in source.axes]
    with complete_or_nothing(path, overwrite=overwrite) as (part,):
        if suffix == ".npy":
            np.save(part, data)
        elif suffix == ".tif":
            _write_tiff(part, data, axes, metadata, made_by)
        else:
            _write_hyperspy(part, data, axes, metadata)


def _write_hyperspy(
    path: Path, data: np.ndarray, axes: list[dict[str, Any]], metadata: dict[str, Any]
) -> None:
    from rsciio import hspy, zspy

    chunks = (*(1,) * (data.ndim - 2), *data.shape[-2:])
    signal = signal_dictionary(data, axes, metadata)
    if path.suffix.lower() == ".hspy":
        hspy.file_writer(str(path), signal, chunks=chunks)
    else:
        zspy.file_writer(zspy_store(path), signal, chunks=chunks)


def _write_tiff(
    path: Path,
    data: np.ndarray,
    axes: list[dict[str, Any]],
    metadata: dict[str, Any],
    made_by: Mapping[str, Any],
) -> None:
    from rsciio import tiff

    # ImageJ knows one stack; pages of a further one follow each other.
    if data.ndim > 3:
        data = data.reshape(-1, *data.shape[-2:])
        axes = [{**axes[-3], "size": len(data), "index_in_array": 0}, *axes[-2:]]
    # TIFF tags hold plain text only; HyperSpy's list of the files that were opened is none.
    general, signal = (
        {name: plain_ascii(text) for name, text in metadata[node].items() if isinstance(text, str)}
        for node in ("General", "Signal")
    )
    tiff.file_writer(
        str(path),
        signal_dictionary(
            data.astype(np.float32, copy=False), axes, {"General": general, "Signal": signal}
        ),
        extratags=[(PARAMETERS_TAG, "s", 0, json.dumps(made_by), False)],
    )
