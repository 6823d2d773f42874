"""Arrays inside HyperSpy signals, so that every function here takes signals as well.

A signal is known by its ``axes_manager``; HyperSpy itself is never imported. Results are plain
arrays; for calibrated signals as results see `stem_plugins.hyperspy`.
"""

from __future__ import annotations

from typing import Any

__all__ = ["patterns_of", "vectors_of"]


def patterns_of(data: Any) -> Any:
    """Return the 4D array of a signal with two scan and two detector axes; arrays as they are.

    Raises
    ------
    ValueError
        The signal has other axes.
    """
    if not hasattr(data, "axes_manager"):
        return data
    return _array(data, detector=2, wanted="two of the detector (signal axes)")


def vectors_of(com: Any) -> Any:
    """Return the vector map (scan_y, scan_x, 2) of a signal, (y, x) order; arrays as they are.

    The signal has two scan axes and one axis of two components, x first, as a pyxem BeamShift.
    Vectors that shift patterns back to the centre, as pyxem's ``get_direct_beam_position`` gives
    them (it leaves a node ``Shifts`` in the metadata), are turned round to say where the beam
    went.

    Raises
    ------
    ValueError
        The signal has other axes.
    """
    if not hasattr(com, "axes_manager"):
        return com
    vectors = _array(com, detector=1, wanted="one of two components (signal axis), x first")
    vectors = vectors[..., ::-1]
    return -vectors if com.metadata.has_item("Shifts") else vectors


def _array(signal: Any, *, detector: int, wanted: str) -> Any:
    axes = signal.axes_manager
    dimensions = (axes.navigation_dimension, axes.signal_dimension)
    # HyperSpy lists axes x first; in the array they must stand y first, scan before detector.
    places = [axis.index_in_array for axis in (*axes.navigation_axes, *axes.signal_axes)]
    if dimensions != (2, detector) or places not in ([1, 0, 3, 2], [1, 0, 2]):
        raise ValueError(
            f"Expected a signal with two scan axes (navigation axes) and {wanted}, not {signal}."
        )
    return signal.data
