"""What the array functions say, for users of napari: with what they find in the panels.

The array functions name their own arguments, such as ``mask=``, which napari does not have.
"""

from __future__ import annotations

import re

__all__ = ["in_napari_words"]

#: How the array functions word their advice, and what a user of napari can do instead.
NAPARI_WORDS = (
    (
        r": leave it out with mask=\.",
        ". Choose radii of the annular detector that leave it out; its pull on the centre of mass "
        "goes, but for its noise, with Centre: Mean of all patterns. To be rid of it, point at it "
        "in Patterns, set it to zero in the console, and run again: "
        "data = viewer.layers[NAME].data.copy(); data[..., ky, kx] = 0; "
        "viewer.layers[NAME].data = data.",
    ),
    (
        r" Leave them out with mask=, or replace them, for example by numpy\.nan_to_num\.",
        " Replace them, for example in the console: viewer.layers[NAME].data = "
        "numpy.nan_to_num(viewer.layers[NAME].data).",
    ),
    (r"; force=True images it nevertheless", ""),
    (r"return_evidence=True has nothing to compare with", "there is nothing to compare with"),
    (r" with repeat=(\d+)", r" with Repeat \1"),
    (
        r"\bconvergence_angle (and|/) diffraction_step",
        r"convergence semi-angle \1 detector pixel",
    ),
    (
        r"Choose one with dataset=\.\.\.",
        "Take out the one that you want with the command stem-plugins convert --dataset NAME.",
    ),
    (r"Pass scan_shape=\(rows, columns\)", "Set the scan shape in the riCOM panel"),
    (r"slices need slice_thickness, their distance", "slices need their distance"),
    (r", or allow overwriting it \(overwrite=True in Python, --overwrite in the shell\)", ""),
)


def in_napari_words(text: str) -> str:
    """Return a message with what a user of napari can do in place of Python's arguments.

    Parameters
    ----------
    text
        Of an error or a warning.

    Examples
    --------
    >>> in_napari_words("There are 9 frames. Pass scan_shape=(rows, columns).")
    'There are 9 frames. Set the scan shape in the riCOM panel.'
    """
    for pattern, replacement in NAPARI_WORDS:
        text = re.sub(pattern, replacement, text)
    return text
