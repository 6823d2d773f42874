"""Words that a panel says: hidden while there are none, readable on dark and light windows."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

__all__ = ["NOTE_COLOR", "Words"]

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
