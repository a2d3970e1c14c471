"""How a worker starts: it waits for a store that is not there yet, and ends where it can't start."""

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
"""Exit status of a worker that could not start; who runs it starts it again."""
PAUSE: Final = timedelta(seconds=0.5)


class Stopped(SystemExit):
    """The worker was told to stop before it had started: that is no failure."""

    def __init__(self) -> None:
        super().__init__(0)


@contextmanager
def exit_on_failure() -> Iterator[None]:
    """Turn whatever the block raises into one line in the log and the process' end, with a status that is not 0.

    Celery catches and logs what its signals' handlers raise, and goes on: such a worker consumes its queues, says that
    it is ready, and does nothing. Only SystemExit gets past it.
    """
    try:
        yield
    except (Stopped, KeyboardInterrupt):
        raise
    except BaseException as error:
        # SystemExit is what settings raise, with words; whatever its status was, this is no good end.
        reason = str(error) if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
        exception = None if isinstance(error, SystemExit) else error
        log.critical("worker_not_started", extra={"reason": reason[:500]}, exc_info=exception)
        raise SystemExit(NOT_STARTED) from None


def wait_for_redis(ask: Callable[[], T], *, stopping: Callable[[], bool]) -> T:
    """Return what `ask` returns, as soon as Redis answers it; raises Stopped where the worker is told to stop before.

    A Redis that is away, loads its data, is a replica or wants another password is waited for, as the gateway does:
    another start of this process would meet the same Redis. Why it waits is logged once, and again where it changes.
    `ask` may run many times.
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
