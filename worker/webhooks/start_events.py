"""Moves `start` events (predictions that began) from a bounded stream in Redis to the deliveries in Postgres."""

from typing import Any

import redis
from sqlalchemy import Engine

from shared.domain.identifiers import Owner, PredictionId
from shared.domain.job import Job
from shared.domain.prediction import Status
from shared.presentation.objects import prediction_object
from shared.presentation.stream_tokens import StreamTokens
from shared.queue import keys
from shared.queue.job_records import parse_request
from shared.storage import deliveries

AT_ONCE = 500


class StartEvents:
    """The `start` events of all workers. Any number of couriers may collect them at once."""

    def __init__(self, client: redis.Redis, engine: Engine, *, tokens: StreamTokens) -> None:
        self._client = client
        self._engine = engine
        self._tokens = tokens

    def collect(self) -> int:
        """Make a delivery of each event; return how many events there were.

        Safe to repeat: an event has one delivery, and is deleted only once that is committed.
        """
        found: Any = self._client.xrange(keys.STARTED, count=AT_ONCE)
        if not found:
            return 0
        with self._engine.connect() as connection:
            deliveries.add_starts(connection, [self._delivery(fields) for _, fields in found])
        self._client.xdel(keys.STARTED, *(entry for entry, _ in found))
        return len(found)

    def _delivery(self, fields: dict[bytes, bytes]) -> dict[str, Any]:
        request = parse_request(fields[b"request"])
        assert request.webhook is not None  # noqa: S101  the script tells of no other
        job = Job(
            id=PredictionId(fields[b"id"].decode()),
            owner=Owner(fields[b"owner"].decode()),
            batch="",
            status=Status.PROCESSING,
            request=request,
            created=int(fields[b"created"]),
            started=int(fields[b"started"]),
        )
        return {
            "owner": job.owner,
            "subject": job.id,
            "url": request.webhook.url,
            "body": prediction_object(job, base_url=request.base_url, tokens=self._tokens),
            "trace": request.trace,
        }
