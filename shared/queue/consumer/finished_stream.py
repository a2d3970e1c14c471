"""The finished stream, for a recorder: read new records, take over dead recorders', settle committed ones."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import redis
from redis.exceptions import ResponseError

from shared.domain.identifiers import BatchId, PredictionId
from shared.domain.records import record
from shared.queue import keys
from shared.queue.lua import Script, Scripts

# Entries of one command. 1000 would block Redis for 3 ms when read and 6 ms when settled, which every other client
# would feel; 128 block it for 0.4 and 0.8 ms, and the recorder's own time for an entry stays at 9 µs.
AT_ONCE = 128
READ_BYTES: Final = 32 * 1024 * 1024
"""Bytes of outputs after which no more entries are read for a commit: masks and vectors may have a megabyte each."""


@record()
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
        """Tell whether to answer the bell with this token: not if another has rung since. None stands for no bell."""
        rings = self._client.get(keys.RECORD_BELL)
        return token is None or rings is None or rings == token.encode()

    def silence_bell(self) -> None:
        """Delete the bell. Call it before reading, so that records which arrive later ring again."""
        self._client.delete(keys.RECORD_BELL)

    def length(self) -> int:
        """Return how many entries are not settled."""
        return int(self._client.xlen(keys.FINISHED))

    def take_over(self, limit: int) -> list[Finished]:
        """Lease up to `limit` entries whose recorder did not settle them within its lease."""
        # XAUTOCLAIM scans ten times `limit` pending entries, which is more than recorders ever hold.
        _, found, *_ = self._in_group(
            self._client.xautoclaim,
            keys.FINISHED, keys.RECORDERS, self._consumer, min_idle_time=self._lease_ms, count=limit,
        )  # fmt: skip
        return [Finished(entry, record) for entry, record in found if record]

    def read_new(self, limit: int) -> list[Finished]:
        """Lease up to `limit` entries that nobody has read; fewer where their outputs exceed READ_BYTES."""
        found: list[Finished] = []
        while len(found) < limit and output_bytes(found) < READ_BYTES:
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
        """Settle committed records: their jobs get a TTL, then their entries leave the stream."""
        for start in range(0, len(finished), AT_ONCE):
            part = finished[start : start + AT_ONCE]
            ids = [one.record[b"id"] for one in part]
            entries = [one.entry for one in part]
            self._scripts.run(Script.SETTLE, (keys.FINISHED,), keys.RECORDERS, self._ttl_ms, *ids, *entries)

    def settle_batches(self, batches: Sequence[BatchId]) -> None:
        """Let the hashes of batches that have ended expire; their rows have everything."""
        if batches:
            self._scripts.run(Script.SETTLE_BATCHES, (), self._ttl_ms, *batches)

    def forget(self, ids: Sequence[PredictionId]) -> None:
        """Delete jobs that ended and have their row, as an eviction would: polls then read the row."""
        self._client.delete(*(keys.job(id) for id in ids))

    def _in_group(self, command: Any, *arguments: Any, **options: Any) -> Any:
        """Run a command of the consumer group; make the group where there is none."""
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


def output_bytes(finished: Sequence[Finished]) -> int:
    """Return how many bytes the outputs have."""
    return sum(len(one.record.get(b"output", b"")) for one in finished)
