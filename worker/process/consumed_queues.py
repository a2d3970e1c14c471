"""Which Celery queues a worker consumes: a model's only from when it is served, so that no bell is taken for nothing.

What is reached into: the worker's `consumer`, which Celery makes after `worker_init`, and its `call_soon`,
`task_consumer` and `add_task_queue`, as Celery's own remote control does.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

PAUSE: Final = 0.2


class ConsumedQueues:
    """The queues of one worker. Those held back at the start are consumed once `begin` is called for them."""

    def __init__(self, sender: Any, *, held_back: list[str], stopping: Callable[[], bool]) -> None:
        self._sender = sender
        self._queues = sender.app.amqp.queues
        self._queues.deselect(held_back)
        self._stopping = stopping
        self._lock = threading.Lock()
        self._early: list[str] | None = []

    def begin(self, queue: str) -> None:
        """Consume a queue from now on; from any thread. Safe to repeat."""
        with self._lock:
            if self._early is not None:
                self._early.append(queue)
                return
        # Celery makes its consumer in the main thread, which is on its way to it.
        while getattr(consumer := getattr(self._sender, "consumer", None), "task_consumer", None) is None:
            if self._stopping():
                return
            time.sleep(PAUSE)
        assert consumer is not None  # noqa: S101  it has a task_consumer
        consumer.call_soon(consumer.add_task_queue, queue)

    def started(self) -> None:
        """Select what may be consumed by now; called in the main thread, before Celery makes its consumer."""
        with self._lock:
            early, self._early = self._early or [], None
            for queue in early:
                self._queues.select_add(self._queues[queue])
