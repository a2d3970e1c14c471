"""Waits for this worker's turn to load a version that is to serve, and keeps the turn while it loads."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import redis

from shared.queue.consumer.promotions import TURN, Promotions

log = logging.getLogger(__name__)

PAUSE: Final = 0.1


class LoadingTurns:
    """The turns of one model's follower. Without Redis nobody waits: the registry may name what has to serve."""

    def __init__(self, promotions: Promotions, *, stopping: Callable[[], bool]) -> None:
        self._promotions = promotions
        self._stopping = stopping

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold a turn for the block, after waiting for it; a stop ends the wait."""
        with contextlib.suppress(redis.RedisError):
            while not self._promotions.take_turn() and not self._stopping():
                time.sleep(PAUSE)
        loaded = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(loaded,), name="loading-turn", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            loaded.set()
            renewing.join()
            with contextlib.suppress(redis.RedisError):
                self._promotions.end_turn()

    def _renew(self, loaded: threading.Event) -> None:
        while not loaded.wait(TURN.total_seconds() / 5):
            with contextlib.suppress(redis.RedisError):
                self._promotions.take_turn()
