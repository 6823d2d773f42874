"""Python code that reconstructs a scan as the panel Ptychography does."""

from __future__ import annotations

from stem_plugins.napari.ptychography_model import PtychographySettings
from stem_plugins.napari.ricom_code import ScanSource, acquisition_code
from stem_plugins.optics.acquisition import Acquisition

__all__ = ["python_code"]


def python_code(
    source: ScanSource,
    settings: PtychographySettings,
    acquisition: Acquisition,
    *,
    threads: int,
    vacuum: tuple[str, str] | None = None,
) -> str:
    """Write a script that makes the same reconstruction.

    Parameters
    ----------
    source
        Where the scan comes from.
    settings, acquisition
        Of the panel; what is as by default is left out.
    threads
        Of the processor, which decide in what order sums are made.
    vacuum
        From `stem_plugins.napari.vacuum.vacuum_code`; ``None``: the aperture is an even disc.

    Returns
    -------
    str
        Python code; it leaves a `stem_plugins.PtychographyResult` in ``result``, bit for bit that
        of the panel on the same processor, or up to rounding where a scan of vacuum is averaged.

    Examples
    --------
    >>> code = python_code(
    ...     ScanSource("from stem_plugins.io import read_scan", "scan = read_scan('a.mib')"),
    ...     PtychographySettings(iterations=20), Acquisition(beam_energy=200), threads=3,
    ... )
    >>> print(code)
    from stem_plugins import Acquisition, iterative_ptychography
    from stem_plugins.io import read_scan
    <BLANKLINE>
    scan = read_scan('a.mib')
    acquisition = Acquisition(beam_energy=200.0)  # keV, mrad, Å, px, degrees
    result = iterative_ptychography(
        scan.data,
        acquisition,
        prior='dgp',
        iterations=20,
        threads=3,
    )
    phase = result.phase  # rad, with pixels of result.sampling [Å]
    <BLANKLINE>
    """
    options = "".join(f"    {name}={value!r},\n" for name, value in settings.options().items())
    imports, statements = source.imports, source.statement
    if vacuum is not None:
        # Before the scan itself, whose name it may use.
        lines = dict.fromkeys([*vacuum[0].splitlines(), *imports.splitlines()])
        imports, statements = "\n".join(lines), f"{vacuum[1]}\n{statements}"
        options += "    vacuum=vacuum,\n"
    return (
        "from stem_plugins import Acquisition, iterative_ptychography\n"
        f"{imports}\n\n"
        f"{statements}\n"
        f"acquisition = {acquisition_code(acquisition)}  # keV, mrad, Å, px, degrees\n"
        "result = iterative_ptychography(\n"
        "    scan.data,\n"
        "    acquisition,\n"
        f"{options}"
        f"    threads={threads},\n"
        ")\n"
        "phase = result.phase  # rad, with pixels of result.sampling [Å]\n"
    )
