"""The finished stream, as a recorder sees it: read, take over what dead recorders left, settle what is committed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import redis
from redis.exceptions import ResponseError

from shared.domain.identifiers import BatchId, PredictionId
from shared.queue import keys
from shared.queue.lua import Script, Scripts

# 1000 entries at once hold Redis for 3 ms when they are read and 6 when they are settled, which every other client
# would feel; 128 hold it for 0.4 and 0.8, and the recorder's own time an entry stays 9 µs.
AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Finished:
    """One entry: the complete record of a prediction that ended, or of a batch, as the scripts wrote it."""

    entry: bytes
    record: dict[bytes, bytes]


class FinishedStream:
    """The stream and its bell, for one consumer of the group `recorders`. Each method may be repeated."""

    def __init__(self, client: redis.Redis, *, consumer: str, lease: timedelta, recorded_ttl: timedelta) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._consumer = consumer
        self._lease_ms = lease // timedelta(milliseconds=1)
        self._ttl_ms = recorded_ttl // timedelta(milliseconds=1)

    def is_called(self, token: str | None) -> bool:
        """Tell whether a bell with this token still calls: not where another has rung since. None is no bell's call."""
        rings = self._client.get(keys.RECORD_BELL)
        return token is None or rings is None or rings == token.encode()

    def silence_bell(self) -> None:
        """To be done before reading, so that whatever arrives later rings again."""
        self._client.delete(keys.RECORD_BELL)

    def length(self) -> int:
        """Return how many entries are not settled."""
        return int(self._client.xlen(keys.FINISHED))

    def take_over(self, limit: int) -> list[Finished]:
        """Lease up to `limit` entries whose recorder did not settle them within its lease."""
        # Looks at ten times `limit` pending entries, which is more than recorders ever hold.
        _, found, *_ = self._in_group(
            self._client.xautoclaim,
            keys.FINISHED, keys.RECORDERS, self._consumer, min_idle_time=self._lease_ms, count=limit,
        )  # fmt: skip
        return [Finished(entry, record) for entry, record in found if record]

    def read_new(self, limit: int) -> list[Finished]:
        """Lease up to `limit` entries that nobody has read."""
        found: list[Finished] = []
        while len(found) < limit:
            wanted = min(AT_ONCE, limit - len(found))
            streams = self._in_group(
                self._client.xreadgroup,
                keys.RECORDERS,
                self._consumer,
                {keys.FINISHED: ">"},
                count=wanted,
            )
            part = [Finished(entry, record) for _, entries in streams for entry, record in entries]
            found += part
            if len(part) < wanted:
                break
        return found

    def settle(self, finished: Sequence[Finished]) -> None:
        """Let go of records that are committed: the jobs get their TTL, then the entries leave the stream."""
        for start in range(0, len(finished), AT_ONCE):
            part = finished[start : start + AT_ONCE]
            ids = [one.record[b"id"] for one in part]
            entries = [one.entry for one in part]
            self._scripts.run(Script.SETTLE, (keys.FINISHED,), keys.RECORDERS, self._ttl_ms, *ids, *entries)

    def settle_batches(self, batches: Sequence[BatchId]) -> None:
        """Let the hashes of batches that have ended expire; their rows say everything."""
        if batches:
            self._scripts.run(Script.SETTLE_BATCHES, (), self._ttl_ms, *batches)

    def forget(self, ids: Sequence[PredictionId]) -> None:
        """Drop jobs that ended and have their row, as an eviction would: a poll reads the row."""
        self._client.delete(*(keys.job(id) for id in ids))

    def _in_group(self, command: Any, *arguments: Any, **options: Any) -> Any:
        """Run a command of the group, which the first recorder ever makes."""
        try:
            return command(*arguments, **options)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
        try:
            self._client.xgroup_create(keys.FINISHED, keys.RECORDERS, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        return command(*arguments, **options)
