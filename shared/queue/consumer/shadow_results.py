"""The stream of shadows' answers, for a recorder: read, find out whose prediction is not recorded yet, settle."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import redis
from redis.exceptions import ResponseError

from shared.domain.identifiers import PredictionId
from shared.queue import keys

LEASE: Final = timedelta(seconds=10)
"""After this an answer that was not settled is read again: its recorder died, or its prediction was not recorded."""


@dataclass(frozen=True, slots=True)
class ShadowResult:
    """One answer as `finish_shadow.lua` wrote it."""

    entry: bytes
    record: dict[bytes, bytes]

    @property
    def prediction(self) -> PredictionId:
        """The champion's prediction."""
        return PredictionId(self.record[b"prediction"].decode())


class ShadowResults:
    """The stream, for one consumer of the group `recorders`. Each method may be repeated."""

    def __init__(self, client: redis.Redis, *, consumer: str, lease: timedelta) -> None:
        self._client = client
        self._consumer = consumer
        self._lease_ms = lease // timedelta(milliseconds=1)

    def read(self, limit: int) -> list[ShadowResult]:
        """Lease up to `limit` answers: those whose lease has ended, then new ones."""
        if not self._client.xlen(keys.SHADOW_RESULTS):
            return []
        try:
            self._client.xgroup_create(keys.SHADOW_RESULTS, keys.RECORDERS, id="0")
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        _, old, *_ = self._client.xautoclaim(
            keys.SHADOW_RESULTS, keys.RECORDERS, self._consumer, min_idle_time=self._lease_ms, count=limit
        )
        found: list[Any] = [one for one in old if one[1]]
        if len(found) < limit:
            streams: Any = self._client.xreadgroup(
                keys.RECORDERS, self._consumer, {keys.SHADOW_RESULTS: ">"}, count=limit - len(found)
            )
            found += [one for _, entries in streams for one in entries]
        return [ShadowResult(entry, record) for entry, record in found]

    def unrecorded(self, results: Sequence[ShadowResult]) -> set[PredictionId]:
        """Return the predictions whose row was not committed yet when this was called: their jobs have no TTL."""
        with self._client.pipeline(transaction=False) as pipeline:
            for one in results:
                pipeline.pttl(keys.job(one.prediction))
            left = pipeline.execute()
        return {one.prediction for one, ttl in zip(results, left, strict=True) if ttl == -1}

    def settle(self, results: Sequence[ShadowResult]) -> None:
        """Delete answers that are committed, or whose prediction was deleted."""
        if results:
            entries = [one.entry for one in results]
            with self._client.pipeline(transaction=True) as both:
                both.xack(keys.SHADOW_RESULTS, keys.RECORDERS, *entries)
                both.xdel(keys.SHADOW_RESULTS, *entries)
                both.execute()
