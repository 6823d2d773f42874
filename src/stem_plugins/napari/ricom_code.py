"""The riCOM panel's images as Python code that makes the same without napari."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stem_plugins.napari.ricom_model import RicomSettings
from stem_plugins.optics.acquisition import Acquisition

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = ["ScanSource", "acquisition_code", "python_code", "source_of"]

#: Lines that make ``images[name]``, and what they import.
_IMAGES = {
    "riCOM": (
        "ricom(field.vectors, {kernel_size}{band}, scan_step=field.scan_step)",
        "ricom",
    ),
    "iCOM": ("icom(field.vectors, scan_step=field.scan_step)", "icom"),
    "COM x": ("field.vectors[..., 1]", ""),
    "COM y": ("field.vectors[..., 0]", ""),
    "Electric field": ("field_colors(-field.vectors)", "field_colors"),
    "Divergence": ("divergence(field.vectors, scan_step=field.scan_step)", "divergence"),
    "Annular detector": ("result.images[0]", "annular_detector"),
}


@dataclasses.dataclass(frozen=True)
class ScanSource:
    """How a script gets at the scan.

    Parameters
    ----------
    imports
        Import lines.
    statement
        Lines that leave an object with ``data`` in the name ``scan``.
    """

    imports: str
    statement: str


def source_of(layer: Image) -> ScanSource:
    """Find out how a script gets at the scan of a layer.

    Parameters
    ----------
    layer
        A 4D scan layer. One from a file is read again; one from the sample data simulated again;
        any other is taken from the viewer, in napari's console.
    """
    shape = tuple(int(n) for n in layer.data.shape[:2])
    if layer.source.path is not None:
        option = f", scan_shape={shape}" if layer.metadata.get("scan_shape_set") else ""
        return ScanSource(
            "from stem_plugins.io import read_scan",
            f"scan = read_scan({str(layer.source.path)!r}{option})",
        )
    if layer.source.sample is not None and layer.source.sample[0] == "stem-plugins":
        return ScanSource(
            "from stem_plugins.simulation import demo_scan", f"scan = demo_scan({shape})"
        )
    return ScanSource(
        "import napari\n\nfrom stem_plugins.napari.layers import scan_from_layer",
        f"scan = scan_from_layer(napari.current_viewer().layers[{layer.name!r}])",
    )


def python_code(
    source: ScanSource,
    settings: RicomSettings,
    acquisition: Acquisition,
    names: Sequence[str],
    *,
    detector_center: tuple[float, float],
) -> str:
    """Write a script that makes the same images.

    Parameters
    ----------
    source
        Where the scan comes from.
    settings, acquisition
        Of the panel.
    names
        Images to make, of `stem_plugins.napari.ricom_model.IMAGE_NAMES`.
    detector_center
        Of the annular detector [px], (ky, kx).

    Returns
    -------
    str
        Python code; it leaves the images in a dictionary ``images``, by name.

    Examples
    --------
    >>> code = python_code(
    ...     ScanSource("from stem_plugins.io import read_scan", "scan = read_scan('a.mib')"),
    ...     RicomSettings(kernel_size=5), Acquisition(scan_step=2), ["riCOM"],
    ...     detector_center=(3.0, 3.0),
    ... )
    >>> print(code)
    from stem_plugins import Acquisition
    from stem_plugins.imaging import moments, ricom, vector_field
    from stem_plugins.io import read_scan
    <BLANKLINE>
    scan = read_scan('a.mib')
    acquisition = Acquisition(scan_step=(2.0, 2.0))  # keV, mrad, Å, px, degrees
    result = moments(scan.data).compute()
    field = vector_field(result.com, acquisition)
    images = {
        'riCOM': ricom(field.vectors, 5, scan_step=field.scan_step),
    }
    <BLANKLINE>
    """
    used = {"moments", "vector_field"} | {_IMAGES[name][1] for name in names} - {""}
    annulus = ""
    if "Annular detector" in names:
        annulus = (
            f"annulus = annular_detector(scan.data.shape[2:], {settings.inner!r}, "
            f"{settings.outer!r}, center={detector_center!r})\n"
        )
    options = [f"center={acquisition.center!r}"] if acquisition.center is not None else []
    options += ["detectors=[annulus]"] if annulus else []
    band = "".join(
        f", {name}={limit!r}"
        for name, limit in (("low", settings.low), ("high", settings.high))
        if limit is not None
    )
    descan = f", descan={settings.descan!r}" if settings.descan else ""
    images = "".join(
        f"    {name!r}: {_IMAGES[name][0].format(kernel_size=settings.kernel_size, band=band)},\n"
        for name in names
    )
    return (
        "from stem_plugins import Acquisition\n"
        f"from stem_plugins.imaging import {', '.join(sorted(used))}\n"
        f"{source.imports}\n\n"
        f"{source.statement}\n"
        f"acquisition = {acquisition_code(acquisition)}  # keV, mrad, Å, px, degrees\n"
        f"{annulus}"
        f"result = moments({', '.join(['scan.data', *options])}).compute()\n"
        f"field = vector_field(result.com, acquisition{descan})\n"
        f"images = {{\n{images}}}\n"
    )


def acquisition_code(acquisition: Acquisition) -> str:
    """Write a calibration as Python does.

    Parameters
    ----------
    acquisition
        What is unknown is left out.

    Examples
    --------
    >>> acquisition_code(Acquisition(scan_step=2))
    'Acquisition(scan_step=(2.0, 2.0))'
    """
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in acquisition.to_dict().items()
    }
    return f"Acquisition({', '.join(f'{name}={value!r}' for name, value in values.items())})"
