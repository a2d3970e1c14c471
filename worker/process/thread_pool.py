"""Celery's pool of threads, which tells the main loop when a thread is free for a bell again.

Bells are consumed without acknowledging (`worker/main.py`), so nothing else would wake the loop, which may sleep for
a second. Members of Celery used: `TaskPool.on_apply` and the future `f` of what it returns.
"""

from typing import Any

from celery.concurrency.thread import TaskPool
from kombu.asynchronous import get_event_loop

from worker.process.broker_transport import waits_for_a_thread


class WakingTaskPool(TaskPool):  # type: ignore[misc]  # untyped
    """A pool of threads that wakes the main loop where it waits for one of them."""

    def on_apply(self, *arguments: Any, **options: Any) -> Any:
        """Run a task in a thread."""
        result = super().on_apply(*arguments, **options)
        # Called after Celery has taken the task off its list of reserved ones.
        result.f.add_done_callback(_wake)
        return result


def _wake(_: object) -> None:
    if waits_for_a_thread.is_set():
        waits_for_a_thread.clear()
        hub = get_event_loop()
        if hub is not None:
            hub.call_soon(_nothing)  # type: ignore[no-untyped-call]


def _nothing() -> None:
    """End the main loop's sleep; before the next it checks whether it may take a bell."""
