"""Python code that images a scan as the panel AIRPI does."""

from __future__ import annotations

from stem_plugins.napari.airpi_model import AirpiSettings
from stem_plugins.napari.ricom_code import ScanSource, acquisition_code
from stem_plugins.optics.acquisition import Acquisition

__all__ = ["python_code"]


def python_code(source: ScanSource, settings: AirpiSettings, acquisition: Acquisition) -> str:
    """Write a script that makes the same image.

    Parameters
    ----------
    source
        Where the scan comes from.
    settings, acquisition
        Of the panel; what is as by default is left out.

    Returns
    -------
    str
        Python code; it leaves a `stem_plugins.AirpiResult` in ``result``.

    Examples
    --------
    >>> code = python_code(
    ...     ScanSource("from stem_plugins.io import read_scan", "scan = read_scan('a.mib')"),
    ...     AirpiSettings(repeat=2), Acquisition(beam_energy=200),
    ... )
    >>> print(code)
    from stem_plugins import Acquisition, airpi
    from stem_plugins.io import read_scan
    <BLANKLINE>
    scan = read_scan('a.mib')
    acquisition = Acquisition(beam_energy=200.0)  # keV, mrad, Å, px, degrees
    result = airpi(scan.data, acquisition, repeat=2)
    phase = result.phase  # rad, with pixels of result.sampling [Å]
    <BLANKLINE>
    """
    options = "".join(f", {name}={value!r}" for name, value in settings.options().items())
    return (
        "from stem_plugins import Acquisition, airpi\n"
        f"{source.imports}\n\n"
        f"{source.statement}\n"
        f"acquisition = {acquisition_code(acquisition)}  # keV, mrad, Å, px, degrees\n"
        f"result = airpi(scan.data, acquisition{options})\n"
        "phase = result.phase  # rad, with pixels of result.sampling [Å]\n"
    )
