"""The registry as all workers of one Redis read it: one of them asks MLflow, the others take its answer from Redis.

Each of 64 workers that listed 200 models every 5 s would cost MLflow a core; one of them costs it 2%. A worker whose
Redis has no answer of the last poll asks MLflow itself, unless another does so at the moment.
"""

import hashlib
import time
from datetime import timedelta
from typing import Any, Final

import redis

from shared.domain.identifiers import ModelName
from shared.queue import keys
from shared.queue.registry_hints import READ, RegistryHints
from shared.queue.server_clock import server_time_us
from shared.settings import Registry, RegistryLogin, read
from worker.models.registry.pinned_versions import PinnedVersions
from worker.models.registry.registry_reader import RegistryReader
from worker.models.registry.registry_snapshot import Snapshots, from_json, to_json

FIRST_PAUSE: Final = timedelta(milliseconds=500)
KEPT: Final = timedelta(hours=1)
LONGEST_READ: Final = timedelta(seconds=30)
"""After this another worker asks MLflow: the one that began was killed. MLflow's client gives up after 21 s."""


class NotReadYet(Exception):
    """Another worker is asking MLflow, or has failed to just now; what was read before still holds."""


class SharedRegistry:
    """The models of one process, `names` or all of the registry, read at most once a poll by all that want the same."""

    def __init__(self, client: redis.Redis, *, settings: Registry, names: list[ModelName] | None) -> None:
        self._client = client
        self._hints = RegistryHints(client)
        self._reader = RegistryReader(settings)
        wanted = {model: pin for model, pin in settings.pins.items() if names is None or model in names}
        self._pinned = PinnedVersions(self._reader, wanted)
        self._names = None if names is None else sorted(names)
        self._poll = settings.poll
        self._pause = min(FIRST_PAUSE, self._poll)
        # Another registry, login, choice of models or pin is another answer.
        pins = [f"{model}={pin}" for model, pin in sorted(wanted.items())]
        parts = (settings.url, read(RegistryLogin).username, *(["*"] if names is None else self._names or []), *pins)
        scope = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        self._stamp, self._models, self._turn = keys.registry_answer(scope)
        self._digest = b""
        self._snapshots: Snapshots = {}
        self._is_new_until = float("-inf")

    def read(self, *, changed_at: int = 0, is_told: bool = True) -> Snapshots:
        """Return what is registered, as of one poll ago at most; the same object where nothing has changed.

        What was read before `changed_at`, microseconds of Redis' clock, is read again; where `is_told` is False no
        other worker has told of a change since, and what is held is enough for a poll. Raises what MLflow and Redis
        raise when they are down, and NotReadYet while another worker asks.
        """
        if not is_told and not changed_at and time.monotonic() < self._is_new_until:
            return self._snapshots
        if self._take_new(changed_at):
            return self._snapshots
        if not self._client.set(self._turn, b"", nx=True, px=LONGEST_READ):
            raise NotReadYet
        return self._ask(changed_at)

    def _take_new(self, changed_at: int) -> bool:
        """Take the answer that is in Redis; False where there is none as new as `read` promises."""
        stamp: Any = self._client.get(self._stamp)
        taken, _, digest = (stamp or b"0").partition(b" ")
        age = timedelta(microseconds=server_time_us(self._client) - int(taken))
        if int(taken) < changed_at or age >= self._poll or not self._take(digest):
            return False
        self._is_new_until = time.monotonic() + (self._poll - age).total_seconds()
        return True

    def _take(self, digest: bytes) -> bool:
        """Take the answer that is in Redis, unless it is the one that is held; False where it can't be read."""
        if digest == self._digest:
            return True
        data: Any = self._client.get(self._models)
        if not data or _digest(data) != digest:
            return False
        try:
            self._snapshots = from_json(data)
        except (KeyError, TypeError, ValueError):  # another release's
            return False
        self._digest = digest
        return True

    def _ask(self, changed_at: int) -> Snapshots:
        """Ask MLflow and write its answer to Redis; after a failure nobody asks for a pause that grows up to a poll."""
        try:
            # Another may have had its turn, and its answer, since this one looked for one.
            if self._take_new(changed_at):
                self._client.delete(self._turn)
                return self._snapshots
            began, taken = time.monotonic(), server_time_us(self._client)
            found = self._pinned.apply(self._reader.read_models(self._names))
        except BaseException:
            self._client.pexpire(self._turn, self._pause)
            self._pause = min(self._pause * 2, self._poll)
            raise
        self._pause = min(FIRST_PAUSE, self._poll)
        self._is_new_until = began + self._poll.total_seconds()
        data = to_json(found)
        digest = _digest(data)
        with self._client.pipeline() as pipeline:
            if digest != self._digest or not self._client.exists(self._models):
                pipeline.set(self._models, data)
            pipeline.set(self._stamp, b"%d %s" % (taken, digest), ex=KEPT)
            pipeline.expire(self._models, KEPT)
            pipeline.delete(self._turn)
            pipeline.execute()
        if digest != self._digest:
            self._digest, self._snapshots = digest, found
            self._hints.give(READ)
        return self._snapshots


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest()[:16].encode()
