"""Deletes images that wait for a model's shadow: those that waited too long, or all of one owner."""

from collections.abc import Iterator
from typing import Final

import redis

from shared.domain.identifiers import ModelName, Owner
from shared.queue import keys
from shared.queue.lua import Script, Scripts

CHUNK: Final = 100
"""Entries that one call of the script reads."""


class ShadowImages:
    """The images in one model's shadow lane. Each method may be repeated."""

    def __init__(self, client: redis.Redis, model: ModelName) -> None:
        self._scripts = Scripts(client)
        self._lane = keys.shadow_lane(model)

    def drop_older(self, before_us: int) -> int:
        """Delete those that came before an instant of Redis' clock; return how many."""
        return sum(self._drop("", last=f"({before_us // 1000}"))

    def drop_of_owner(self, owner: Owner) -> Iterator[int]:
        """Delete an owner's, chunk by chunk; give how many."""
        yield from self._drop(owner, last="+")

    def _drop(self, owner: str, *, last: str) -> Iterator[int]:
        start = "-"
        while start:
            dropped, on = self._scripts.run(Script.DROP_SHADOWS, (self._lane,), owner, start, last, CHUNK)
            yield int(dropped)
            start = on.decode()
