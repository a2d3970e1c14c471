"""Leases new entries from a model's lanes: interactive first, bulk fills the rest, its lanes in rotation."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import redis
from redis.exceptions import NoScriptError, ResponseError

from shared.domain.identifiers import ModelName
from shared.queue import keys
from shared.queue.consumer.entries import Entry, Pull, read_entries, with_images
from shared.queue.consumer.heavy_room import UNLIMITED_ROOM, HeavyRoom
from shared.queue.lua import Script, Scripts, sha

# Each further bulk lane that turns out empty costs a round trip; the next pull resumes the rotation where this stopped.
MOST_BULK_LANES_A_PULL = 4
# Who sent an image a moment ago may send the next one.
PEOPLE_STAY = timedelta(seconds=1)


class Puller:
    """Pulls for one consumer of a model's lanes. A pull may be repeated after a lost answer."""

    def __init__(self, client: redis.Redis, *, model: ModelName, consumer: str, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._consumer = consumer
        self._monotonic = monotonic
        self._people_until = 0.0
        self._rotation = keys.rotation(model)
        self._interactive = keys.lane(model, keys.INTERACTIVE)

    def pull(
        self, limit: int, *, bulk: bool = True, beside: int | None = None, heavy: HeavyRoom = UNLIMITED_ROOM
    ) -> Pull:
        """Lease up to `limit` new entries; without `bulk` from the interactive lane alone.

        While interactive images come in, bulk fills a batch up to `beside` only, but has one entry at least. Lanes of
        heavy images give as many as `heavy` has room for, and are skipped where there is none.
        """
        heavy = HeavyRoom(heavy.room, heavy.lanes)
        # One slot is bulk's even under steady interactive load, or an upload would starve.
        wanted = limit - 1 if bulk and limit > 1 else limit
        entries, lane = self._read_and_rotate(wanted, heavy) if bulk else (self._read(self._interactive, wanted), None)
        if lane is None and wanted < limit and len(entries) == wanted:
            entries, wanted = entries + self._read(self._interactive, limit - wanted), limit
        interactive_empty = len(entries) < wanted
        if beside is not None and self._people_are_there(entries):
            limit = min(limit, max(beside, len(entries) + 1))
        lanes_read = 0
        while lane and len(entries) < limit and lanes_read < MOST_BULK_LANES_A_PULL:
            found = self._read(lane, heavy.most_from(lane, limit - len(entries)))
            entries += found
            heavy.take(lane, len(found))
            lanes_read += 1
            # Asking for the next lane moves the rotation on, so only where that lane will be read.
            if len(entries) < limit and lanes_read < MOST_BULK_LANES_A_PULL:
                lane = self._rotate(heavy)
        return Pull(with_images(self._client, entries), lanes_empty=interactive_empty and lane is None)

    def _people_are_there(self, entries: Sequence[Entry]) -> bool:
        """Tell whether interactive images come in: these are some, or there were some a moment ago."""
        now = self._monotonic()
        if entries:
            self._people_until = now + PEOPLE_STAY.total_seconds()
        return now < self._people_until

    def _read_and_rotate(self, count: int, heavy: HeavyRoom) -> tuple[list[Entry], str | None]:
        """Lease new interactive entries and return the next bulk lane, in one round trip."""
        both = self._client.pipeline(transaction=False)
        self._lease(both, self._interactive, count)
        both.evalsha(sha(Script.ROTATE), 1, self._rotation, *heavy.skipped_lanes())
        streams, lane = both.execute(raise_on_error=False)
        entries = read_entries(self._interactive, streams)
        if isinstance(lane, NoScriptError):
            return entries, self._rotate(heavy)
        if isinstance(lane, Exception):
            raise lane
        return entries, None if lane is None else lane.decode()

    def _rotate(self, heavy: HeavyRoom) -> str | None:
        """Return the next bulk lane with new entries, and move the rotation on; None where there is none."""
        lane = self._scripts.run(Script.ROTATE, (self._rotation,), *heavy.skipped_lanes())
        return None if lane is None else lane.decode()

    def _read(self, lane: str, count: int) -> list[Entry]:
        """Lease new entries of one lane."""
        try:
            return read_entries(lane, self._lease(self._client, lane, count))
        except ResponseError as error:
            return read_entries(lane, error)

    def _lease(self, client: redis.Redis, lane: str, count: int) -> Any:
        return client.xreadgroup(keys.WORKERS, self._consumer, {lane: ">"}, count=count)
