"""The sweep, every 2 s: cancel late jobs and abandoned uploads, delete what has expired, ring for work that waits.

Every part may run twice, and by two workers at once.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import redis
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.domain.identifiers import ModelName, PredictionId
from shared.observability.metrics import UpkeepMetrics
from shared.queue import bells, keys, model_routes
from shared.queue.inspection import duties
from shared.queue.lane_streams import streams
from shared.queue.lua import Script, Scripts
from shared.queue.server_clock import server_time_us
from shared.queue.upkeep.expired_files import purge_expired
from shared.queue.upkeep.shadow_images import ShadowImages
from shared.queue.upkeep.silent_uploads import SilentUploads
from shared.settings import Bulk, Queue
from shared.storage import predictions
from worker.upkeep.unserved_models import UnservedModels

log = logging.getLogger(__name__)

# Items a sweep handles of each kind; the rest is left to the next sweep, 2 s later.
CHUNK = 1000
CONSUMER_IDLE = timedelta(hours=1)
SHADOWS_KEPT = timedelta(minutes=10)
WORKER_GONE = timedelta(minutes=1)
TIDY_PAUSE = timedelta(minutes=1)


class Upkeep:
    """Sweeps Redis, and calls what sweeps elsewhere."""

    def __init__(
        self,
        client: redis.Redis,
        engine: Engine,
        *,
        settings: Queue,
        bulk: Bulk,
        metrics: UpkeepMetrics,
        chores: Mapping[str, Callable[[], int]] | None = None,
        consumer_idle: timedelta = CONSUMER_IDLE,
        sign: Callable[[], object] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`chores` are called with each sweep, and each returns how much it did.

        What has been gone for `consumer_idle` is removed by the first sweep and then once a minute.

        `sign` is called after each sweep: it registers this worker as one that sweeps.
        """
        self._client = client
        self._scripts = Scripts(client)
        self._unserved = UnservedModels(client, settings=settings)
        self._silent_uploads = SilentUploads(client, lease=bulk.lease)
        self._engine = engine
        self._metrics = metrics
        self._chores = chores or {}
        self._sign = sign
        self._settings = settings
        self._consumer_idle = consumer_idle
        self._record_task = bells.record_message()
        self._seen_run = ""
        self._monotonic = monotonic
        self._tidied_at = float("-inf")

    def sweep(self) -> dict[str, int]:
        """Do everything once; return how much of each was done."""
        now = server_time_us(self._client)
        swept = {
            "canceled": self._cancel_late(now),
            "uploads": self._silent_uploads.cancel(now, most=CHUNK),
            "forgotten": self._forget_recorded(),
            "idempotency_keys": self._purge_idempotency(now),
            "files": purge_expired(self._client, now, CHUNK),
            "unavailable": self._unserved.sweep(),
            "shadows": self._drop_old_shadows(now),
            "bells": self._ring(),
        }
        self._tidy(now)
        swept |= {name: chore() for name, chore in self._chores.items()}
        self._metrics.swept.set_to_current_time()
        if self._sign is not None:
            self._sign()
        return swept

    def _cancel_late(self, now: int) -> int:
        """Cancel jobs past their deadlines that no pull has met: they joined a wait list, or no worker is up."""
        late = self._client.zrange(keys.DEADLINES, 0, now, byscore=True, offset=0, num=CHUNK)
        said = [self._scripts.run(Script.CANCEL, (), self._record_task, id, "deadline", "") for id in late]
        return said.count(b"canceled")

    def _purge_idempotency(self, now: int) -> int:
        old = now - self._settings.idempotency_ttl // timedelta(microseconds=1)
        expired = self._client.zrange(keys.IDEMPOTENCY_KEYS, 0, old, byscore=True, offset=0, num=CHUNK)
        if expired:
            with self._client.pipeline(transaction=True) as both:
                both.delete(*expired)
                both.zrem(keys.IDEMPOTENCY_KEYS, *expired)
                both.execute()
        return len(expired)

    def _forget_recorded(self) -> int:
        """After a restart of Redis that lost its last writes, delete jobs that came back but have their rows."""
        run = str(self._client.info("server")["run_id"])
        if run == self._seen_run:
            return 0
        forgotten = 0
        try:
            for ids in self._unfinished():
                with self._engine.connect() as connection:
                    recorded = predictions.recorded_ids(connection, ids)
                if recorded:
                    forgotten += int(self._scripts.run(Script.FORGET, (), *recorded))
        except SQLAlchemyError as error:
            # The rest of the sweep needs no Postgres; the next sweep tries this again.
            log.warning("recorded_jobs_unknown", extra={"error": type(error).__name__})
        else:
            self._seen_run = run
        if forgotten:
            log.warning("recorded_jobs_came_back", extra={"jobs": forgotten})
        return forgotten

    def _unfinished(self) -> Iterator[list[PredictionId]]:
        for inflight in self._client.scan_iter(match=f"{keys.inflight_prefix()}*", count=CHUNK):
            members: list[Any] = self._client.zrange(inflight, 0, -1)
            ids = [PredictionId(member.decode()) for member in members]
            for start in range(0, len(ids), CHUNK):
                yield ids[start : start + CHUNK]

    def _drop_old_shadows(self, now: int) -> int:
        """Delete images that have waited too long for their model's shadow: workers are busy, or none serves it."""
        client, dropped = self._client, 0
        for model in {*model_routes.names(client), *model_routes.leaving(client), *model_routes.retired(client)}:
            dropped += ShadowImages(client, model).drop_older(now - SHADOWS_KEPT // timedelta(microseconds=1))
        return dropped

    def _ring(self) -> int:
        """Ring where something waits, for models and the finished stream."""
        models = {*model_routes.names(self._client), *model_routes.leaving(self._client)}
        rung = sum(self._ring_model(model) for model in sorted(models))
        if self._client.xlen(keys.FINISHED):
            self._scripts.run(Script.RING, (keys.RECORD_BELL,), keys.RECORD_QUEUE, self._record_task)
            rung += 1
        return rung

    def _ring_model(self, model: ModelName) -> bool:
        waits = any(self._client.xlen(lane) for lane in streams(self._client, model))
        if waits:
            message = bells.predict_message(model)
            self._scripts.run(Script.RING, (keys.bell(model),), keys.predict_queue(model), message)
        return waits

    def _tidy(self, now: int) -> None:
        """Remove workers and consumers that are gone, once a minute: nobody is waited for or asked because of them."""
        if self._monotonic() - self._tidied_at < min(TIDY_PAUSE, self._consumer_idle).total_seconds():
            return
        client, second = self._client, timedelta(microseconds=1)
        models = {*model_routes.names(client), *model_routes.leaving(client), *model_routes.retired(client)}
        for model in sorted(models):
            client.zremrangebyscore(keys.workers(model), 0, now - WORKER_GONE // second)
            for lane in (*streams(client, model), keys.shadow_lane(model)):
                self._expel(lane, keys.WORKERS)
        for role in duties.ROLES:
            client.zremrangebyscore(keys.signs(role), 0, now - duties.SIGNER_GONE // second)
        for stream in (keys.FINISHED, keys.SHADOW_RESULTS):
            self._expel(stream, keys.RECORDERS)
        self._tidied_at = self._monotonic()

    def _expel(self, stream: str, group: str) -> None:
        idle = self._consumer_idle // timedelta(milliseconds=1)
        try:
            self._scripts.run(Script.EXPEL, (stream,), group, idle)
        except redis.exceptions.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
