"""Hints that the registry has changed: whoever learns of it wakes all workers' watches, which poll it in any case."""

from datetime import timedelta
from typing import Any, Final

import redis

from shared.queue import keys

KEPT: Final = 10
"""Hints that stay in the stream: the last one says as much as all of them."""
CHANGED: Final = b"changed"
"""Something was changed in the registry: it has to be asked."""
READ: Final = b"read"
"""A worker has read a change: its answer is in Redis."""


class RegistryHints:
    """One worker's side; `wait` is called from one thread. Raises what Redis raises."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._last = "0"
        self.changed_at = 0
        """Microseconds of Redis' clock by which the last change had been made that was told of; 0 once it is read."""

    def wait(self, longest: timedelta) -> bool:
        """Return True when there is a hint, or False after `longest`."""
        pause = max(1, longest // timedelta(milliseconds=1))  # 0 would be for ever
        found: Any = self._client.xread({keys.REGISTRY_HINTS: self._last}, block=pause)
        for _, hints in found:
            for id, fields in hints:
                self._last = id.decode()
                if CHANGED in fields:
                    self.changed_at = (int(id.partition(b"-")[0]) + 1) * 1000
        return bool(found)

    def give(self, kind: bytes) -> None:
        """Wake all watches."""
        self._client.xadd(keys.REGISTRY_HINTS, {kind: b""}, maxlen=KEPT)
