"""What must happen when a panel, or the window that it is in, is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

__all__ = ["StopWhenClosed"]


class StopWhenClosed(QObject):
    """Stop a panel's work when its window closes; let go of the viewer when the panel does.

    Qt tells a dock widget nothing of the closing of the window around it, so that its threads would
    go on; and a panel can be moved to another window at any time.

    Parameters
    ----------
    panel
        The dock widget.
    stop
        Stops all work in threads; the panel can start anew.
    let_go
        Stops all work and disconnects from the viewer; called once.
    """

    def __init__(self, panel: QWidget, stop: Callable[[], Any], let_go: Callable[[], None]) -> None:
        super().__init__(panel)
        self._panel, self._stop, self._let_go = panel, stop, let_go
        self._is_closed = False
        panel.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Look at what happens to the panel and its window; called by Qt."""
        kind = event.type()
        if kind == QEvent.Type.Show and watched is self._panel:
            # Asked for again wherever it is needed: a reference would keep the window alive.
            self._panel.window().installEventFilter(self)
        elif kind == QEvent.Type.Close:
            if watched is self._panel:
                self.close()
            elif watched is self._panel.window():
                self._stop()
        return False

    def close(self) -> None:
        """Let go of the viewer. Once is enough."""
        if not self._is_closed:
            self._is_closed = True
            self._let_go()
