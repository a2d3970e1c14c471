"""Reads the registry for all models of one process, and wakes their followers when it has changed."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import redis

from shared.domain.identifiers import ModelName
from shared.queue.registry_hints import RegistryHints
from shared.settings import Registry
from worker.models.failure_text import failure_text
from worker.models.registry.registry_snapshot import NotRegistered, RegistrySnapshot, Snapshots
from worker.models.registry.shared_registry import NotReadYet, SharedRegistry
from worker.process.background_threads import vital_thread

log = logging.getLogger(__name__)

LONGEST_PAUSE: Final = timedelta(milliseconds=500)
"""How often Redis is asked whether another worker has read a change, where no hint of one comes."""


class NotRead(Exception):
    """The registry could not be read; the message says why."""


class RegistryWatch:
    """The registry as it was last read. `snapshot` may be called from any thread."""

    def __init__(
        self,
        names: list[ModelName] | None,
        *,
        client: redis.Redis,
        settings: Registry,
        on_read: Callable[[Snapshots], object],
    ) -> None:
        """`names` are the models to read, None for all. `on_read` is called in this thread after each read."""
        self._shared = SharedRegistry(client, settings=settings, names=names)
        self._hints = RegistryHints(client)
        self._on_read = on_read
        self._pause = min(settings.poll, LONGEST_PAUSE)
        self._snapshots: Snapshots | None = None
        self._was_read = False
        self._failure = "it was not read yet"
        self._told = ""
        self._stopping = threading.Event()
        self._waits = False
        self._was_told = False
        self._thread = vital_thread(self._run, name="registry")

    def start(self) -> None:
        """Start reading, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; it may be in a call to MLflow or wait for a hint, which the process need not wait for."""
        self._stopping.set()
        # Waiting, it reads nothing any more: it checks `_stopping` next.
        if self._thread.ident is not None and not self._waits:
            self._thread.join(timeout=5)

    @property
    def was_read(self) -> bool:
        """Whether the registry could be read once, and `on_read` has returned from what was read."""
        return self._was_read

    def snapshot(self, model: ModelName) -> RegistrySnapshot:
        """Return a model as it was last read; raises NotRegistered where it is missing, NotRead while nothing is known.

        While the registry is away it is what was read before.
        """
        if self._failure:
            raise NotRead(self._failure)
        found = (self._snapshots or {}).get(model)
        if found is None:
            raise NotRegistered(f"no registered model is called {model!r}")
        return found

    def _run(self) -> None:
        self._read()
        while not self._stopping.is_set():
            self._wait()
            if not self._stopping.is_set():
                self._read()

    def _wait(self) -> None:
        self._waits = True
        try:
            self._was_told = self._hints.wait(self._pause)
        except Exception:  # noqa: BLE001  a connection that is closed under the call raises all kinds of errors, too
            self._stopping.wait(self._pause.total_seconds())
        self._waits = False

    def _read(self) -> None:
        try:
            self._snapshots = self._shared.read(changed_at=self._hints.changed_at, is_told=self._was_told)
            self._hints.changed_at = 0
            self._failure = ""
        except NotReadYet:
            return
        except Exception as error:  # noqa: BLE001  MLflow's stores and Redis raise all kinds of errors; serving goes on
            self._failure = failure_text(error)
            self._tell()
        try:
            self._on_read(self._snapshots or {})
        except redis.RedisError as error:
            self._failure = failure_text(error)
        else:
            self._was_read = self._snapshots is not None

    def _tell(self) -> None:
        """Log why the registry was never read, once; later the followers of the models that it named do."""
        if self._snapshots is None and self._failure != self._told:
            log.warning("registry_unreachable", extra={"reason": self._failure})
            self._told = self._failure
