"""Whether a signal is a scan of patterns, with its axes where they belong."""

from __future__ import annotations

from hyperspy.signal import BaseSignal

from stem_plugins.imaging.hyperspy_data import check_order
from stem_plugins.io.units import to_angstrom

__all__ = ["check_scan"]

#: In Å. Detector axes in a larger unit of length may be the camera's own pixels.
NANOMETER = 10

#: What to do with other numbers of navigation axes.
WAYS = {
    0: "{signal} is a single pattern; a scan of patterns (two navigation axes) is needed.",
    1: (
        "{signal} is a line or a stack of patterns; a scan (two navigation axes) is needed. Load "
        "it with its scan shape, stem_plugins.hyperspy.load(path, scan_shape=(rows, columns)), or "
        "reshape the data: STEM4D(signal.data.reshape(rows, columns, ky, kx))."
    ),
    3: (
        "{signal} has more than two navigation axes; take one scan out of the series, for example "
        "signal.inav[:, :, 0], or add them up, signal.sum(axis=2)."
    ),
}


def check_scan(signal: BaseSignal) -> None:
    """Raise an error that says how to get to a scan of patterns, unless a signal is one.

    Parameters
    ----------
    signal
        Any signal of patterns.

    Raises
    ------
    ValueError
        It has not two navigation axes, or looks transposed: ``signal.T``, ``inav`` and ``sum``
        all keep the class.
    """
    axes = signal.axes_manager
    if axes.navigation_dimension != 2:
        raise ValueError(WAYS.get(axes.navigation_dimension, WAYS[3]).format(signal=signal))
    if 0 in signal.data.shape:
        raise ValueError(f"{signal} holds no patterns: its shape is {signal.data.shape}.")
    check_order(signal)
    wrong = [
        f"{axis.name} ({axis.units})"
        for axis in axes.signal_axes
        if 0 < (to_angstrom(1, axis.units) or 0) <= NANOMETER
    ]
    if wrong:
        raise ValueError(
            f"{signal} looks transposed. The scan belongs on the navigation axes and the "
            f"detector on the signal axes, which {' and '.join(wrong)} contradicts. Turn it "
            "round with signal.T, or correct names and units in signal.axes_manager."
        )
