"""Attempts to load a version, kept in Redis: one whose loading ends the process again and again is not tried for ever.

Such a version destroys the CUDA context, is killed for its memory or exits in native code: the process that whoever
runs it starts again would load it again. One that never ends loading, and keeps all others of the process from
loading, ends it after `longest`.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4
from weakref import WeakSet

import redis

from shared.domain.identifiers import ModelName, VersionKey
from shared.process_birth import birth_ticks
from shared.queue import keys
from worker.models.errors import ModelUnavailable
from worker.process.exit_statuses import STUCK_EXIT

log = logging.getLogger(__name__)

MOST: Final = 3
"""Processes that a version may end before it counts as failed."""
REMEMBERED: Final = timedelta(hours=1)
"""For how long, from the last attempt."""
TOLD: Final = timedelta(minutes=1)
"""How often a version that goes on loading is logged."""
BEATS: Final = timedelta(seconds=2)
SILENT: Final = timedelta(seconds=10)
"""An attempt of another machine or container that was not renewed for so long counts as one that ended its process."""


class LoadingGate:
    """Lets versions of one process load beside each other, except one that has ended a process: that loads alone.

    Otherwise others that happened to load at the same time would be blamed for the end of the next process too.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._loading = 0
        self._alone = False
        self._attempts: WeakSet[LoadAttempts] = WeakSet()

    def add(self, attempts: "LoadAttempts") -> None:
        """Count these among those of the process."""
        self._attempts.add(attempts)

    def acquit(self, *, but: str = "") -> None:
        """Forget for good what is loading in this process, but the attempt of this name: something else ends it now."""
        for one in list(self._attempts):
            one.forget(but=but)

    @contextmanager
    def enter(self, *, alone: bool) -> Iterator[None]:
        """Load in this block, after waiting for others that load where `alone`, and for one that loads alone."""
        with self._condition:
            self._condition.wait_for(lambda: not self._alone and not (alone and self._loading))
            self._loading += 1
            self._alone = alone
        try:
            yield
        finally:
            with self._condition:
                self._loading -= 1
                self._alone = False
                self._condition.notify_all()


class LoadAttempts:
    """The attempts to load one model's versions on one host."""

    def __init__(
        self, client: redis.Redis, *, model: ModelName, host: str, gate: LoadingGate, longest: timedelta
    ) -> None:
        """`gate` is shared by all models of the process; `longest` is how long loading a version may take."""
        self._client = client
        self._model = model
        self._host = host
        self._gate = gate
        self._longest = longest
        self._own: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._forgets = False
        gate.add(self)

    def forget(self, *, but: str = "") -> None:
        """Forget attempts under way here, for good, but the one of this name: they are not why the process ends."""
        with self._lock:
            self._forgets = True
            own = [(place, name) for place, name in self._own if name != but]
        for place, name in own:
            with suppress(redis.RedisError):
                self._client.hdel(place, name)

    @contextmanager
    def attempt(self, key: VersionKey) -> Iterator[None]:
        """Load a version in this block; raises ModelUnavailable where that has ended as many processes as may be.

        While Redis is away nothing is remembered.
        """
        place = keys.load_attempts(self._model, key, self._host)
        ended = self._ended(place)
        if len(ended) >= MOST:
            raise ModelUnavailable(
                f"loading it ended the worker process {len(ended)} times; it is tried again once it is registered again"
                f" or {REMEMBERED // timedelta(hours=1)} h after the last time"
            )
        if ended:
            log.warning("version_loads_alone", extra={"version": key, "ended_processes": len(ended)})
        with self._gate.enter(alone=bool(ended)), self._renewed(place, key):
            yield
        with suppress(redis.RedisError):
            self._client.delete(place)

    @contextmanager
    def _renewed(self, place: str, key: VersionKey) -> Iterator[None]:
        """Keep this process' attempt in Redis for the length of the block, renewed."""
        # Made for each attempt: what a process makes once, its forks have too, and one end would hide another.
        name, done = uuid4().hex, threading.Event()
        with self._lock:
            self._own.add((place, name))
        self._write(place, name)

        beat = min(BEATS, self._longest)

        def renew() -> None:
            loading, told = timedelta(), TOLD
            while not done.wait(beat.total_seconds()):
                self._write(place, name)
                loading += beat
                facts = {"model": self._model, "version": key, "seconds": round(loading.total_seconds())}
                if loading >= self._longest:
                    log.critical("version_load_stuck", extra=facts)
                    self._gate.acquit(but=name)
                    os._exit(STUCK_EXIT)
                if loading >= told:
                    log.warning("version_still_loading", extra=facts)
                    told += TOLD

        thread = threading.Thread(target=renew, name="load-attempt", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            with self._lock:
                self._own.discard((place, name))
            with suppress(redis.RedisError):
                self._client.hdel(place, name)

    def _write(self, place: str, name: str) -> None:
        """Write an attempt anew, unless attempts are forgotten: a write under way is over before they are."""
        with self._lock, suppress(redis.RedisError), self._client.pipeline() as pipeline:
            if self._forgets:
                return
            pipeline.hset(
                place, name, f"{int(time.time() * 1000)} {os.getpid()} {birth_ticks(os.getpid())} {_namespace()}"
            )
            pipeline.expire(place, REMEMBERED)
            pipeline.execute()

    def _ended(self, place: str) -> list[str]:
        """Return the attempts whose process ended before they did."""
        try:
            attempts: Any = self._client.hgetall(place)
        except redis.RedisError:
            return []
        now = time.time()
        return [name.decode() for name, value in attempts.items() if _is_over(value.decode(), now)]


def _is_over(attempt: str, now: float) -> bool:
    """Tell whether an attempt's process is gone: exactly where its process ids are ours, else by its silence."""
    milliseconds, pid, birth, namespace = attempt.split(" ")
    if namespace and namespace == _namespace():
        return str(birth_ticks(int(pid))) != birth
    return now - int(milliseconds) / 1000 > SILENT.total_seconds()


def _namespace() -> str:
    """Return the namespace of this process' ids, which containers have of their own; '' where it is not known."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
