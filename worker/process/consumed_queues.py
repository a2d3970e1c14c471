"""Which Celery queues a worker consumes: a model's only while it is served, so that it can answer each bell.

Members of Celery used, as its own remote control does: the worker's `consumer`, which Celery makes after
`worker_init`, and its `call_soon`, `task_consumer`, `add_task_queue` and `cancel_task_queue`.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

PAUSE: Final = 0.2


class ConsumedQueues:
    """The queues of one worker. Those in `held_back`, and new ones, are consumed from a call of `begin` until `end`.

    Both may be called from any thread, and again.
    """

    def __init__(self, sender: Any, *, held_back: list[str], stopping: Callable[[], bool]) -> None:
        self._sender = sender
        self._queues = sender.app.amqp.queues
        self._queues.deselect(held_back)
        self._stopping = stopping
        self._lock = threading.Lock()
        self._early: dict[str, None] | None = {}

    def begin(self, queue: str) -> None:
        """Consume a queue from now on."""
        # A lost bell is rung again: tasks need no acknowledging, which costs two round trips.
        self._queues[queue].no_ack = True
        with self._lock:
            if self._early is not None:
                self._early[queue] = None
                return
        consumer = self._wait_for_consumer()
        if consumer is not None:
            consumer.call_soon(consumer.add_task_queue, queue)

    def end(self, queue: str) -> None:
        """Consume a queue no more."""
        with self._lock:
            if self._early is not None:
                self._early.pop(queue, None)
                return
        consumer = self._wait_for_consumer()
        if consumer is not None:
            consumer.call_soon(consumer.cancel_task_queue, queue)

    def started(self) -> None:
        """Select the queues begun by now; called in the main thread, before Celery makes its consumer."""
        with self._lock:
            early, self._early = self._early or {}, None
            for queue in early:
                self._queues.select_add(self._queues[queue])

    def _wait_for_consumer(self) -> Any:
        """Return Celery's consumer once the main thread has made it; None where the worker stops before."""
        while True:
            consumer = getattr(self._sender, "consumer", None)
            if getattr(consumer, "task_consumer", None) is not None:
                return consumer
            if self._stopping():
                return None
            time.sleep(PAUSE)
