"""Recorder: takes finished predictions from the stream in Redis and writes them to Postgres, many in one commit."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

import orjson
import psycopg2
import redis
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.domain.identifiers import PredictionId
from shared.queue.consumer.finished_stream import READ_BYTES, Finished, FinishedStream, output_bytes
from shared.settings import Recording
from shared.storage.audit_queries import Row, rows_of
from shared.storage.batches import is_batch
from shared.storage.recording import record
from worker.record.record_observer import RecordObserver

log = logging.getLogger(__name__)


class Recorder:
    """One consumer of the finished stream. Threads may share it.

    `ring_again` wakes another recorder if more waits than one commit takes. `ring_courier` says that webhooks may be
    due; if that is lost, the courier polls within a second. `observer` is told what is committed.
    """

    def __init__(
        self,
        client: redis.Redis,
        engine: Engine,
        settings: Recording,
        *,
        consumer: str,
        recorded_ttl: timedelta,
        ring_again: Callable[[], None],
        ring_courier: Callable[[], None],
        observer: RecordObserver,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stream = FinishedStream(client, consumer=consumer, lease=settings.lease, recorded_ttl=recorded_ttl)
        self._engine = engine
        self._settings = settings
        self._ring_again = ring_again
        self._ring_courier = ring_courier
        self._observer = observer
        self._sleep = sleep

    def run_once(self, token: str | None = None) -> int:
        """Record what waits, up to `max_rows` of it; return how many entries were settled.

        `token` is the bell's, None if none called. May be killed at any line: another recorder takes over what is not
        settled, and a record that has its row already changes nothing. While Postgres is away this logs a warning and
        returns 0.
        """
        if not self._stream.is_called(token):
            return 0
        if self._stream.length() < self._settings.max_rows:
            self._sleep(self._settings.linger.total_seconds())
        try:
            # Connect before leasing anything: while Postgres is away entries stay unread, and the bell is not silenced,
            # which keeps the next attempt some seconds away.
            with self._engine.connect() as connection:
                return self._record(connection)
        except (SQLAlchemyError, psycopg2.Error) as error:
            self._observer.failed()
            cause = str(error).partition("\n")[0]
            log.warning("recording_failed", extra={"error": type(error).__name__, "cause": cause})
            return 0

    def _record(self, connection: Connection) -> int:
        """Read from the stream, commit to Postgres, settle in Redis; return how many entries were settled."""
        finished = self._read()
        if not finished:
            return 0
        started = time.monotonic()
        outcome = record(connection, [one.record for one in finished])
        committed = time.monotonic()
        if outcome.announced:
            self._ring_courier()
        kept = [finished[index] for index in outcome.kept]
        predictions = [one for one in kept if not is_batch(one.record)]
        if outcome.inserted < len(predictions):
            self._forget_contradictions(connection, predictions)
        self._observer.committed([one.record for one in predictions], seconds=committed - started)
        # Before the entries are settled: whoever repeats this after a crash finds the same batches complete.
        self._stream.settle_batches(sorted(outcome.complete))
        self._stream.settle(kept)
        facts = {
            "settled": len(outcome.kept), "inserted": outcome.inserted, "stripped": len(outcome.stripped),
            "refused": len(outcome.refused), "commit_ms": round((committed - started) * 1000, 1),
        }  # fmt: skip
        log.debug("recorded", extra=facts)
        return len(outcome.kept)

    def _forget_contradictions(self, connection: Connection, kept: list[Finished]) -> None:
        """Make Redis forget jobs whose rows say that they ended differently: the row holds, and polls then read that.

        A Redis that lost its last second brings such jobs back; these ended a second time before a sweep removed them.
        """
        rows = rows_of(connection, [_id(one) for one in kept])
        other = [_id(one) for one in kept if _ended_otherwise(one.record, rows.get(_id(one)))]
        if other:
            log.warning("recorded_jobs_ended_again", extra={"jobs": len(other)})
            self._stream.forget(other)

    def _read(self) -> list[Finished]:
        """Lease what dead recorders left and what is new; if that fills a commit, ring for the rest."""
        limit = self._settings.max_rows
        self._stream.silence_bell()
        finished = self._stream.take_over(limit)
        if len(finished) < limit:
            finished += self._stream.read_new(limit - len(finished))
        if len(finished) == limit or output_bytes(finished) >= READ_BYTES:
            self._ring_again()
        return finished


def _id(finished: Finished) -> PredictionId:
    """Return the id of the prediction."""
    return PredictionId(finished.record[b"id"].decode())


def _ended_otherwise(record: dict[bytes, bytes], row: Row | None) -> bool:
    """Return whether the row has another status or output; outputs of two batches may differ by rounding."""
    if row is None or row.stripped:
        return False
    output = orjson.loads(record[b"output"]) if record.get(b"output") else None
    return record[b"state"].decode() != row.status or output != row.output
