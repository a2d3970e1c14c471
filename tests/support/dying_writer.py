"""A writer of the registry that dies between two writes, for tests of what the next worker does then."""

from collections.abc import Callable
from typing import Any

from shared.registry.registry_writer import RegistryWriter


class Killed(BaseException):
    """The worker died before a write."""


class DyingWriter(RegistryWriter):
    """Dies before a write once so many were made, or fails by `end`."""

    left = 10**9
    end: BaseException = Killed()

    def __init__(self, client: Callable[[], Any]) -> None:
        super().__init__(lambda: self._before(client))

    def _before(self, client: Callable[[], Any]) -> Any:
        if self.left <= 0:
            raise self.end
        self.left -= 1
        return client()
