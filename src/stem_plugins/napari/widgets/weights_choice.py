"""A box that offers networks by name, and files of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QSizePolicy

__all__ = ["WeightsChoice"]

OTHER_FILE = "File of weights…"


class WeightsChoice(QComboBox):
    """Choose a network; `taken` is emitted with the name, or path, that a user has chosen."""

    taken = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._instead = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.activated.connect(lambda _: self._activated())

    def offer(self, models: Mapping[str, str], *, chosen: str, instead: str) -> None:
        """Offer networks, and a file of weights after them.

        Parameters
        ----------
        models
            Names by the words for them.
        chosen
            Name of the one to begin with.
        instead
            Name of the one that is chosen where a user changes their mind about a file.
        """
        self._instead = instead
        self.clear()
        for words, name in models.items():
            self.addItem(words, name)
        self.addItem(OTHER_FILE, OTHER_FILE)
        self.choose(chosen)

    def model(self) -> str:
        """Name of the chosen network, or path of its file."""
        return str(self.currentData())

    def choose(self, name: str) -> None:
        """Choose one that is offered."""
        self.setCurrentIndex(self.findData(name))

    def use_file(self, path: str | Path) -> None:
        """Choose a file of weights.

        Parameters
        ----------
        path
            Of a ``.safetensors`` file; empty: there is none.
        """
        if not str(path):
            self.choose(self._instead)
            return
        if self.findData(str(path)) < 0:
            self.insertItem(self.count() - 1, Path(path).name, str(path))
        self.choose(str(path))

    def _activated(self) -> None:
        if self.currentData() == OTHER_FILE:
            path, _ = QFileDialog.getOpenFileName(self, OTHER_FILE, "", "Weights (*.safetensors)")
            self.use_file(path)
        self.taken.emit(self.model())
