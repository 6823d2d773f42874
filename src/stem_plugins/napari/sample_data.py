"""napari's sample data: the simulated scan of ``stem-plugins demo``."""

from __future__ import annotations

from stem_plugins.io.scan import Scan
from stem_plugins.napari.layers import LayerData, scan_layer

__all__ = ["demo", "small_demo"]


def demo() -> list[LayerData]:
    """Simulate the demo's scan: SrTiO₃ [001] with an edge to vacuum, 128 × 128 positions.

    Returns
    -------
    list
        One layer-data tuple, complete with calibration.
    """
    return _simulate((128, 128))


def small_demo() -> list[LayerData]:
    """Simulate the demo's scan over a quarter of the area, 64 × 64 positions.

    Returns
    -------
    list
        One layer-data tuple, complete with calibration.
    """
    return _simulate((64, 64))


def _simulate(scan_shape: tuple[int, int]) -> list[LayerData]:
    from napari.utils import progress

    from stem_plugins.simulation.demo import demo_scan

    simulated = demo_scan(scan_shape, progress=progress)
    return [scan_layer(Scan(simulated.data, simulated.acquisition), "SrTiO3 simulated")]
