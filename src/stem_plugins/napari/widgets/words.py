"""Words that a panel says: hidden while there are none, readable on dark and light windows."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from stem_plugins.napari.messages import in_napari_words

__all__ = ["NOTE_COLOR", "Words", "words_of"]

NOTE_COLOR = "#e0700d"


class Words(QLabel):
    """Room for a sentence or two."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setStyleSheet(f"color: {NOTE_COLOR};")
        self.hide()

    def say(self, text: str) -> None:
        """Show a text; an empty one hides the line.

        Parameters
        ----------
        text
            Plain.
        """
        self.setText(text)
        self.setVisible(bool(text))


def words_of(error: Exception) -> str:
    """What a panel says of an error.

    Parameters
    ----------
    error
        Ours have words already; those of the system get some.

    Examples
    --------
    >>> words_of(FileNotFoundError(2, "No such file or directory", "scan.mib"))
    'scan.mib is no longer there. Put it back, or open it from its new place.'
    """
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"{error.filename} is no longer there. Put it back, or open it from its new place."
    if isinstance(error, MemoryError):
        return "There is not enough memory for this."
    return in_napari_words(str(error)) or type(error).__name__
