"""Arrays inside HyperSpy signals, so that every function here takes signals as well.

A signal is known by its ``axes_manager``; HyperSpy itself is never imported. Results are plain
arrays; for calibrated signals as results see `stem_plugins.hyperspy`.
"""

from __future__ import annotations

from typing import Any

__all__ = ["DETECTOR_NAMES", "check_order", "patterns_of", "vectors_of"]

#: Names that pyxem and readers give to detector axes.
DETECTOR_NAMES = ("kx", "ky", "qx", "qy", "dx", "dy")

#: What units of angles and inverse lengths have in them, however they are written.
DETECTOR_UNITS = ("rad", "deg", "°", "1/", "-1", "⁻¹")

#: Names of a pair of axes, lower case, that stand the wrong way round.
SWAPPED = (["y", "x"], ["ky", "kx"], ["qy", "qx"], ["dy", "dx"], ["scan_y", "scan_x"])


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
    check_order(signal)
    return signal.data


def check_order(signal: Any) -> None:
    """Raise an error if names or units of a signal's axes say that they stand in other places.

    Parameters
    ----------
    signal
        With two navigation axes.

    Raises
    ------
    ValueError
        A scan axis is one of the detector, or a pair of axes is y first (HyperSpy's are x first).
    """
    axes = signal.axes_manager
    wrong = [axis for axis in axes.navigation_axes if _of_the_detector(axis)]
    if wrong:
        raise ValueError(
            f"{signal} looks transposed. The scan belongs on the navigation axes and the "
            "detector on the signal axes, which "
            f"{' and '.join(f'{axis.name} ({axis.units})' for axis in wrong)} contradicts. Turn it "
            "round with signal.T, or correct names and units in signal.axes_manager."
        )
    for pair in (axes.navigation_axes, axes.signal_axes):
        names = [str(axis.name).lower() for axis in pair]
        if names in SWAPPED:
            raise ValueError(
                f"{signal} has its axes {pair[0].name} and {pair[1].name} in each other's place: "
                f"{pair[0].name} is the horizontal one. Swap them back, for example by "
                f"signal.swap_axes({pair[0].name!r}, {pair[1].name!r}), or correct their names in "
                "signal.axes_manager."
            )


def _of_the_detector(axis: Any) -> bool:
    return axis.name in DETECTOR_NAMES or any(mark in str(axis.units) for mark in DETECTOR_UNITS)
