"""Celery's task events, for Flower, gathered for 50 ms and sent with one command.

Sent at once, they make the main thread work while the thread that computes wants Python's lock: of a worker with
threads an image alone cost 2.3 ms of CPU, and 1.8 gathered. Members of Celery used: `Events.dispatcher_cls`, and
`EventDispatcher.on_send_buffered`, which is called for each event that was put aside.
"""

import threading
from datetime import timedelta
from typing import Any, Final

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher
from kombu.asynchronous import get_event_loop

from worker.process.shutdown import told_to_stop

PAUSE: Final = timedelta(milliseconds=50)


class GatheringDispatcher(EventDispatcher):  # type: ignore[misc]  # untyped
    """A dispatcher whose events of tasks wait for PAUSE; while the worker stops they are sent at once, as Celery does.

    It sends sooner once it has 24 of them.
    """

    def __init__(self, *arguments: Any, on_send_buffered: Any = None, **options: Any) -> None:
        super().__init__(
            *arguments, on_send_buffered=self._send_later if on_send_buffered is not None else None, **options
        )
        self._at_once = on_send_buffered
        self._is_due = threading.Event()

    def _send_later(self) -> None:
        """Have the main loop send what was put aside; called in any thread."""
        hub = get_event_loop()
        if hub is None or told_to_stop():
            self._at_once()
        elif not self._is_due.is_set():
            self._is_due.set()
            hub.call_soon(hub.call_later, PAUSE.total_seconds(), self._send)  # type: ignore[no-untyped-call]

    def _send(self) -> None:
        self._is_due.clear()
        self._at_once()


class GatheringEvents(Events):  # type: ignore[misc]  # untyped
    """Celery's `app.events` with this dispatcher."""

    dispatcher_cls = f"{__name__}:{GatheringDispatcher.__name__}"
