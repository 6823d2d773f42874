"""The browser's images as Python code that makes the same without napari."""

from __future__ import annotations

from collections.abc import Sequence

from stem_plugins.napari.regions import Annulus, Rectangle
from stem_plugins.napari.ricom_code import ScanSource
from stem_plugins.napari.virtual_detectors import VirtualDetector

__all__ = ["python_code"]


def python_code(
    source: ScanSource, detectors: Sequence[VirtualDetector], probe: tuple[int, int]
) -> str:
    """Write a script that makes the images of virtual detectors in one pass.

    Parameters
    ----------
    source
        Where the scan comes from.
    detectors
        Their names are the keys of the images.
    probe
        Scan position (y, x) of the pattern.

    Returns
    -------
    str
        Python code; it leaves the images in a dictionary ``images``, by name, the mean pattern in
        ``pacbed``, and the pattern at the probe in ``pattern``.

    Examples
    --------
    >>> source = ScanSource("from stem_plugins.io import read_scan", "scan = read_scan('a.mib')")
    >>> disc = VirtualDetector("BF", Annulus((3.5, 3.5), 0.0, 2.0), "#ffffff")
    >>> print(python_code(source, [disc], (4, 5)))
    import numpy as np
    from stem_plugins.imaging import annular_detector, moments
    from stem_plugins.io import read_scan
    <BLANKLINE>
    scan = read_scan('a.mib')
    data = scan.data
    detectors = {
        'BF': annular_detector(data.shape[2:], 0.0, 2.0, center=(3.5, 3.5)),
    }
    result = moments(data, detectors=list(detectors.values()), pattern=True).compute()
    images = dict(zip(detectors, result.images, strict=True))
    pacbed = result.pattern
    pattern = np.asarray(data[4, 5])
    <BLANKLINE>
    """
    makers = {Annulus: "annular_detector", Rectangle: "rectangular_detector"}
    used = sorted({"moments", *(makers[type(detector.region)] for detector in detectors)})
    masks = "".join(
        f"    {detector.name!r}: {detector.region.python()},\n" for detector in detectors
    )
    return (
        "import numpy as np\n"
        f"from stem_plugins.imaging import {', '.join(used)}\n"
        f"{source.imports}\n\n"
        f"{source.statement}\n"
        "data = scan.data\n"
        f"detectors = {{\n{masks}}}\n"
        "result = moments(data, detectors=list(detectors.values()), pattern=True).compute()\n"
        "images = dict(zip(detectors, result.images, strict=True))\n"
        "pacbed = result.pattern\n"
        f"pattern = np.asarray(data[{probe[0]}, {probe[1]}])\n"
    )
