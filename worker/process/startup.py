"""Starting a worker: wait for a Redis that does not answer yet; end the process if the start fails."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, TypeVar

import redis

T = TypeVar("T")

log = logging.getLogger(__name__)

NOT_STARTED: Final = 1
"""Exit status of a worker that could not start; whoever runs it starts it again."""
PAUSE: Final = timedelta(seconds=0.5)


class Stopped(SystemExit):
    """The worker was told to stop before it had started; exit status 0."""

    def __init__(self) -> None:
        super().__init__(0)


@contextmanager
def exit_on_failure() -> Iterator[None]:
    """Log whatever the block raises in one line, and end the process with NOT_STARTED.

    Celery catches and logs what its signal handlers raise, and goes on: such a worker would consume its queues, say
    that it is ready, and do nothing. Only SystemExit gets past Celery.
    """
    try:
        yield
    except (Stopped, KeyboardInterrupt):
        raise
    except BaseException as error:
        # Settings raise SystemExit with a message; whatever its status was, the start has failed.
        reason = str(error) if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
        exception = None if isinstance(error, SystemExit) else error
        log.critical("worker_not_started", extra={"reason": reason[:500]}, exc_info=exception)
        raise SystemExit(NOT_STARTED) from None


def wait_for_redis(ask: Callable[[], T], *, stopping: Callable[[], bool]) -> T:
    """Return what `ask` returns once Redis answers it; raises Stopped where the worker is told to stop before.

    Waits for a Redis that is away, loads its data, is a replica or wants another password, as the gateway does: a new
    process would meet the same Redis. Why it waits is logged once, and again when the reason changes. `ask` may run
    many times.
    """
    waiting_for = ""
    while True:
        try:
            answer = ask()
        except (redis.RedisError, OSError) as error:
            reason = f"{type(error).__name__}: {error}"
            if reason != waiting_for:
                log.warning("waiting_for_redis", extra={"reason": reason[:300]})
            waiting_for = reason
        else:
            if waiting_for:
                log.info("redis_is_there")
            return answer
        if stopping():
            raise Stopped
        time.sleep(PAUSE.total_seconds())
