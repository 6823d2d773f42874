"""napari's reader: 4D-STEM scans, lazily, and images of microscopes, with their calibration."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from stem_plugins.io.formats import read_scan
from stem_plugins.io.image_files import NoImageError, read_images
from stem_plugins.io.merlin import read_merlin
from stem_plugins.io.scan import Scan
from stem_plugins.napari.common_units import join
from stem_plugins.napari.image_layers import measured_layer
from stem_plugins.napari.layers import LayerData, scan_layer
from stem_plugins.napari.messages import in_napari_words

__all__ = ["get_reader", "read_image_layers", "read_scan_layers"]

Reader = Callable[[str | Sequence[str]], list[LayerData]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return the function that reads a file, or ``None`` when the file is not ours.

    Parameters
    ----------
    path
        ``.mib`` or ``.hdr`` of Merlin, ``.hspy`` or ``.zspy``, or images of microscopes: ``.dm3``,
        ``.dm4``, ``.ser``, ``.emd``. A list is a wish to stack files, which makes no sense for
        scans.

    Returns
    -------
    callable or None
        `read_scan_layers` or `read_image_layers`.
    """
    if not isinstance(path, str):
        return None
    path_ = Path(path)
    suffix = path_.suffix.lower()
    if suffix in IMAGE_FILES:
        return read_image_layers
    is_scan = CHECKS.get(suffix)
    if is_scan is None:
        return None
    if is_scan(path_):
        return read_scan_layers
    return read_image_layers if suffix in (".hspy", ".zspy") else None


def _is_merlin_header(path: Path) -> bool:
    """Whether a .hdr is Merlin's; other programs keep quite other things in files of this name."""
    with open(path, "rb") as file:
        return file.read(4) == b"HDR,"


def _is_scan_hspy(path: Path) -> bool:
    import h5py

    if not h5py.is_hdf5(path):
        return True  # reading says what is wrong with it
    with h5py.File(path) as file:
        experiments = file.get("Experiments", {}).values()
        return any(getattr(group.get("data"), "ndim", 0) == 4 for group in experiments)


def _is_scan_zspy(path: Path) -> bool:
    arrays = list(path.glob("Experiments/*/data/.zarray")) if path.is_dir() else []
    if not arrays:
        return True  # a zipped store, or a damaged one: reading says what is wrong with it
    return any(len(json.loads(array.read_text())["shape"]) == 4 for array in arrays)


#: Of microscopes; each may hold images or a scan.
IMAGE_FILES = (".dm3", ".dm4", ".ser", ".emd")

CHECKS: dict[str, Callable[[Path], bool]] = {
    ".mib": lambda path: True,
    ".hdr": _is_merlin_header,
    ".hspy": _is_scan_hspy,
    ".zspy": _is_scan_zspy,
}


def read_image_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read the images and stacks of a file, or the scan that it holds instead.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    list
        One layer-data tuple per image, calibrated in nm where the file knows the size of pixels.

    Raises
    ------
    ValueError
        The file is damaged, or holds neither images nor a scan; the message says what it holds.
    """
    file = Path(path if isinstance(path, str) else path[0])
    with _errors_in_napari_words():
        try:
            images = read_images(file)
        except NoImageError:
            try:
                return [_for_viewer(scan_layer(read_scan(file), file.stem))]
            except ValueError:
                pass
            raise
        return [measured_layer(image, image.title or file.stem) for image in images]


def read_scan_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read a 4D-STEM scan as one lazy layer with its calibration.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    list
        One layer-data tuple, see `stem_plugins.napari.layers.scan_layer`.

    Raises
    ------
    ValueError
        The file is damaged or holds no scan; the message says what to do.
    FileNotFoundError
        A ``.hdr`` without its ``.mib``.

    Warns
    -----
    UserWarning
        It is not known how the frames of a Merlin file form a scan. They are then shown as one
        line, and the riCOM panel can set the scan shape.
    """
    file = Path(path if isinstance(path, str) else path[0])
    with _errors_in_napari_words():
        try:
            return [_for_viewer(scan_layer(read_scan(file), file.stem))]
        except ValueError as error:
            data, options, kind = scan_layer(_read_as_line(file, error), file.stem)
    options["metadata"]["scan_shape_set"] = True
    return [_for_viewer((data, options, kind))]


def _for_viewer(layer_data: LayerData) -> LayerData:
    """Let scans with and without calibration share the viewer that the file is opened in."""
    viewers = sys.modules.get("napari.viewer")  # not imported: nobody has opened a viewer
    viewer = viewers.current_viewer() if viewers is not None else None
    return layer_data if viewer is None else join(viewer, layer_data)


@contextlib.contextmanager
def _errors_in_napari_words() -> Iterator[None]:
    """Word errors for users of napari; those that need no other words pass as they are."""
    try:
        yield
    except ValueError as error:
        text = in_napari_words(str(error))
        if text == str(error):
            raise
        raise type(error)(text) from error


def _read_as_line(path: Path, error: ValueError) -> Scan:
    """Read the frames of a Merlin file as a single line, or raise the error that was met."""
    if path.suffix.lower() not in (".mib", ".hdr"):
        raise error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the first attempt has warned already
            frames = read_merlin(path, scan_shape=(1, 1), repeat=0).metadata["frames"]
            scan = read_merlin(path, scan_shape=(1, frames))
    except ValueError:
        raise error from None
    warnings.warn(
        f"{path.name} is shown as one line of {frames} frames. {in_napari_words(str(error))}",
        stacklevel=3,
    )
    return scan
