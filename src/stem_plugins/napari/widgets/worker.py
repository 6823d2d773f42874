"""Later work, in threads or not, that cannot outlive, or call, the widget that wanted it."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

from qtpy.QtCore import QObject, QTimer

__all__ = ["is_alive", "once", "start_worker"]


def is_alive(widget: QObject) -> bool:
    """Whether Qt has not deleted a widget behind Python's back.

    Parameters
    ----------
    widget
        Any.
    """
    try:
        widget.objectName()
    except RuntimeError:
        return False
    return True


def once(parent: QObject, slot: Callable[[], Any], milliseconds: int = 0) -> QTimer:
    """Timer that calls a function once each time it is started.

    Parameters
    ----------
    parent
        The timer stops when it is gone.
    slot
        To call.
    milliseconds
        How long after the last start.
    """
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(slot)
    return timer


def start_worker(
    widget: QObject,
    work: Callable[..., Any],
    returned: Callable[[Any], None] | None,
    *arguments: Any,
    yielded: Callable[[Any], None] | None = None,
    failed: Callable[[Exception], None] | None = None,
    finished: Callable[[], None] | None = None,
) -> Any:
    """Run a function or generator function in a thread.

    Parameters
    ----------
    widget
        Results are passed on only while it exists.
    work, arguments
        What to run. A generator can be stopped between two yields by ``worker.quit()``.
    returned, yielded, failed, finished
        Called in the main thread, with the result, each yielded value, the exception, nothing.

    Returns
    -------
    superqt.utils.WorkerBase
        The running worker; it stops by itself once the widget is gone.
    """
    # napari's own create_worker fails on errors in version 0.9.2: its slot takes no argument.
    from superqt.utils import create_worker

    slots = {"returned": returned, "yielded": yielded, "errored": failed, "finished": finished}
    stopped = threading.Event()
    is_generator = inspect.isgeneratorfunction(work)
    worker = create_worker(
        _stoppable if is_generator else work,
        *((work, stopped) if is_generator else ()),
        *arguments,
        _start_thread=False,
        _ignore_errors=True,
    )
    if is_generator:
        worker.quit = stopped.set

    def guarded(slot: Callable[..., None]) -> Callable[..., None]:
        def call(*values: Any) -> None:
            if is_alive(widget):
                slot(*values)
            else:
                worker.quit()

        return call

    for name, slot in slots.items():
        if slot is not None:
            getattr(worker, name).connect(guarded(slot))
    worker.start()
    return worker


def _stoppable(
    work: Callable[..., Iterator[Any]], stopped: threading.Event, *arguments: Any
) -> Iterator[Any]:
    """Yield what a generator function yields, until stopped; then end it, and its own threads.

    superqt's own way leaves a generator that was stopped as it stands, with all that it holds.
    """
    with contextlib.closing(work(*arguments)) as values:  # type: ignore[type-var]
        for value in values:
            yield value
            if stopped.is_set():
                return
