"""Shadow recorder: takes what shadows answered from their stream in Redis and writes it beside the predictions."""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
import psycopg2
import redis
from sqlalchemy.exc import SQLAlchemyError

from shared.domain.prediction import Status
from shared.observability.metrics import RecordMetrics
from shared.queue.consumer.shadow_results import LEASE, ShadowResult, ShadowResults
from shared.storage.shadow_predictions import ShadowPrediction, Stored

log = logging.getLogger(__name__)

AT_ONCE: Final = 100
_AGREES: Final = {b"true": True, b"false": False}
_SHOWN: Final = {True: "yes", False: "no", None: "unknown"}


class ShadowRecorder:
    """One consumer of the stream. May be killed at any line: what is not settled is read again, and is stored once."""

    def __init__(
        self,
        client: redis.Redis,
        store: Callable[[list[ShadowPrediction]], Stored],
        *,
        consumer: str,
        metrics: RecordMetrics,
        lease: timedelta = LEASE,
    ) -> None:
        """`store` commits shadow predictions whose prediction has its row; it raises what SQLAlchemy raises."""
        self._results = ShadowResults(client, consumer=consumer, lease=lease)
        self._store = store
        self._metrics = metrics

    def run_once(self) -> int:
        """Store answers whose prediction has its row; return how many were settled.

        Those whose prediction is not recorded yet are read again later; those whose prediction was deleted are dropped.
        While Postgres is away this logs a warning and returns 0.
        """
        results = self._results.read(AT_ONCE)
        if not results:
            return 0
        # In this order: a prediction that is recorded between the two has its row, and is not taken for deleted.
        unrecorded = self._results.unrecorded(results)
        try:
            stored = self._store([_shadow_prediction(one) for one in results])
        except (SQLAlchemyError, psycopg2.Error) as error:
            log.warning("shadow_recording_failed", extra={"error": type(error).__name__})
            return 0
        settled = [one for one in results if one.prediction in stored.known or one.prediction not in unrecorded]
        self._count(results, stored.inserted)
        self._results.settle(settled)
        return len(settled)

    def _count(self, results: list[ShadowResult], inserted: list[ShadowPrediction]) -> None:
        models = {one.prediction: one.record[b"model"].decode() for one in results}
        counted = Counter((models[one.prediction_id], one.version, one.status, _SHOWN[one.agrees]) for one in inserted)
        for labels, count in counted.items():
            self._metrics.shadow.labels(*labels).inc(count)


def _shadow_prediction(result: ShadowResult) -> ShadowPrediction:
    record = {name.decode(): value.decode(errors="replace") for name, value in result.record.items()}
    return ShadowPrediction(
        prediction_id=result.prediction,
        version=record["version"],
        version_key=record["key"],
        status=Status(record["state"]),
        output=orjson.loads(result.record[b"output"]) if record["output"] else None,
        error=record["error"] or None,
        error_code=record["code"] or None,
        agrees=_AGREES.get(result.record[b"agrees"]),
        predict_ms=float(record["predict_ms"]) if record["predict_ms"] else None,
        created_at=datetime.fromtimestamp(int(record["created"]) / 1_000_000, UTC),
    )
