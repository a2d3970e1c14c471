"""A predict worker's side of one model's lanes: answer the bell, pull, begin, finish, reclaim, renew."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.domain.identifiers import BatchId, ModelName, PredictionId
from shared.queue import bells, keys
from shared.queue.consumer.entries import Entry, Pull, Result, Wanted, read_entry, with_images
from shared.queue.consumer.heavy_room import UNLIMITED_ROOM, HeavyRoom
from shared.queue.consumer.puller import Puller
from shared.queue.consumer.shadow_offer import ShadowOffer
from shared.queue.job_records import parse_request
from shared.queue.lane_streams import streams
from shared.queue.lua import Script, Scripts
from shared.settings import Queue

# By then the client has tried for some seconds.
FINISH_PAUSE = timedelta(milliseconds=200)
FINISH_BYTES: Final = 4 * 1024 * 1024
"""Bytes of outputs that one call of the script writes, if they are of more than one image: it writes each three times,
and Redis answers nobody meanwhile."""


@dataclass(slots=True)
class BellCall:
    """A bell, or a tick, that this worker answers: whether any bulk lane has work, and another worker was woken."""

    bulk_waits: bool
    woke_another: bool = False


class Lanes:
    """One model's lanes as one consumer sees them. Each method may be repeated after a lost answer."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        model: ModelName,
        consumer: str,
        settings: Queue,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._puller = Puller(client, model=model, consumer=consumer, monotonic=monotonic)
        self.model = model
        self._consumer = consumer
        self._settings = settings
        self._monotonic = monotonic
        self._bell = keys.bell(model)
        self._record_task, self._webhook_task = bells.record_message(), bells.webhook_message()

    def answer(self, token: str) -> BellCall | None:
        """Silence the bell; None where another bell rings by now. `token` is the bell's, empty for a tick."""
        bulk_lanes = self._scripts.run(Script.ANSWER, (self._bell, keys.rotation(self.model)), token)
        return None if bulk_lanes is None else BellCall(bulk_waits=bulk_lanes > 0)

    def ring(self) -> None:
        """Wake a worker, unless the bell rings already."""
        queue = keys.predict_queue(self.model)
        self._scripts.run(Script.RING, (self._bell,), queue, bells.predict_message(self.model))

    def wake_another(self, call: BellCall) -> None:
        """Wake another worker, once a call: whoever answers wakes the next one while there is work."""
        if not call.woke_another:
            self.ring()
            call.woke_another = True

    def pull(
        self, limit: int, *, bulk: bool = True, beside: int | None = None, heavy: HeavyRoom = UNLIMITED_ROOM
    ) -> Pull:
        """Lease up to `limit` new entries, as `Puller.pull` says."""
        return self._puller.pull(limit, bulk=bulk, beside=beside, heavy=heavy)

    def begin(self, entries: Sequence[Entry]) -> list[Entry]:
        """Mark the entries' jobs as processing; return the entries that some job still waits for."""
        if not entries:
            return []
        arguments = [part for entry in entries for part in (entry.lane, entry.id, entry.waiting)]
        verdicts = self._scripts.run(Script.BEGIN, (), self._record_task, self._webhook_task, *arguments)
        return [entry for entry, wanted in zip(entries, verdicts, strict=True) if wanted]

    def finish(self, results: Sequence[Result], *, run: bytes, shadow: ShadowOffer | None = None) -> int:
        """End the jobs that wait for these results; `run` (JSON) says how they were computed. Return how many ended.

        Images that `shadow` takes move to the shadow's lane in the same step.

        While Redis is unreachable or refuses, it repeats for as long as the lease lasts: computing the entries again,
        alone and as another attempt, would cost more. Then raises Redis' last error.
        """
        give_up = self._monotonic() + self._settings.lease.total_seconds()
        return sum(self._finish(some, run=run, shadow=shadow, give_up=give_up) for some in _in_portions(results))

    def _finish(self, results: Sequence[Result], *, run: bytes, shadow: ShadowOffer | None, give_up: float) -> int:
        """End the jobs that wait for these results, nearly always with one call; repeat it until `give_up`."""
        arguments: list[Any] = []
        for result in results:
            entry = result.entry
            arguments += (entry.lane, entry.id, entry.waiting, entry.cache if result.cacheable else "")
            arguments += (result.state, result.output, result.error, result.code, entry.attempts)
        cache_ttl = self._settings.cache_ttl // timedelta(milliseconds=1)
        failed = self._settings.failed_arguments
        lane: tuple[str, ...] = ()
        if shadow is not None and (chosen := shadow.arguments(results)):
            lane = (keys.shadow_lane(self.model),)
            arguments += chosen
        ended = 0
        while True:
            try:
                said = self._scripts.run(Script.FINISH, lane, self._record_task, cache_ttl, run, *failed, *arguments)
                if lane and shadow is not None:
                    said, moved, full = said
                    shadow.count(moved=moved, full=full)
                ended += abs(int(said))
                if said >= 0:
                    return ended
            except (RedisConnectionError, RedisTimeoutError):
                if self._monotonic() >= give_up:
                    raise
                time.sleep(FINISH_PAUSE.total_seconds())

    def has_suspects(self) -> bool:
        """Tell whether an entry's lease has ended: its worker seems to be gone. Changes nothing."""
        lease = self._settings.lease // timedelta(milliseconds=1)
        lanes = streams(self._client, self.model)
        return bool(self._scripts.run(Script.SUSPECTS, tuple(lanes), lease))

    def reclaim(self) -> Entry | None:
        """Take over one entry whose worker is gone, None where there is none: a suspect, to be run alone."""
        lease = self._settings.lease // timedelta(milliseconds=1)
        for lane in streams(self._client, self.model):
            claimed = self._scripts.run(
                Script.RECLAIM,
                (lane,),
                self._record_task,
                self._consumer,
                lease,
                self._settings.max_attempts,
                *self._settings.failed_arguments,
            )
            if claimed:
                id, attempts, flat = claimed
                fields = dict(zip(flat[::2], flat[1::2], strict=True))
                for suspect in with_images(self._client, [read_entry(lane, id, fields, attempts=int(attempts))]):
                    return suspect
        return None

    def renew(self, entries: Sequence[Entry]) -> None:
        """Renew the leases of those entries that are still this consumer's."""
        if entries:
            arguments = [part for entry in entries for part in (entry.lane, entry.id)]
            self._scripts.run(Script.RENEW, (), self._consumer, *arguments)

    def hand_back(self, entries: Sequence[Entry]) -> None:
        """Let other workers take over those of these entries that are still this consumer's, and wake one.

        A renewal at the same moment keeps an entry here for another lease. Killed before another is woken, or where
        that one is busy: whoever looks for suspects next finds them.
        """
        lease = self._settings.lease // timedelta(milliseconds=1)
        arguments = [part for entry in entries for part in (entry.lane, entry.id, entry.attempts)]
        self._scripts.run(Script.HAND_BACK, (), self._consumer, lease, *arguments)
        self.ring()

    def sign_of_life(self, *others: "Lanes", signs: Sequence[str] = ()) -> None:
        """Give a sign of life, by which this worker is counted; with one call for its other models and `signs` too."""
        workers = (keys.workers(one.model) for one in (self, *others))
        self._scripts.run(Script.SIGN, (*workers, *signs), self._consumer)

    def lanes_with_entries(self, *others: "Lanes") -> "list[Lanes]":
        """Return those of these lanes that hold entries, leased or not, with one call: all others need no poll."""
        lanes = (self, *others)
        names = [name for one in lanes for name in (keys.lane(one.model, keys.INTERACTIVE), keys.rotation(one.model))]
        return [lanes[place - 1] for place in self._scripts.run(Script.FIND_WAITING, tuple(names))]

    def is_uploaded(self) -> bool:
        """Tell whether a bulk upload for this model is being read: more images come, though no lane has any now."""
        ids = [BatchId(id.decode()) for id in self._client.zrange(keys.UPLOADS, 0, -1)]  # type: ignore[union-attr]  # typed for the asyncio client too
        with self._client.pipeline(transaction=False) as pipeline:
            for id in ids:
                pipeline.hmget(keys.batch(id), "state", "lane")
            found = pipeline.execute()
        lanes = [keys.lane(self.model, keys.bulk_lane(id)).encode() for id in ids]
        return any(one == [b"validating", lane] for one, lane in zip(found, lanes, strict=True))

    def who_wants(self, entries: Sequence[Entry]) -> dict[str, Wanted]:
        """Return, by entry id, who waits for each computation, for logs; entries that nobody waits for are left out."""
        with self._client.pipeline(transaction=False) as pipeline:
            for entry in entries:
                pipeline.lrange(entry.waiting, 0, 1)
                pipeline.llen(entry.waiting)
            said = pipeline.execute()
        lists = zip(entries, said[::2], said[1::2], strict=True)
        # A wait list begins with its entry: one with another is of a later computation of the same image.
        wanted = [(entry, found[1], length) for entry, found, length in lists if found[:1] == [entry.id.encode()]]
        with self._client.pipeline(transaction=False) as pipeline:
            for _, id, _ in wanted:
                pipeline.hmget(keys.job(PredictionId(id.decode())), "batch", "request")
            jobs = pipeline.execute()
        return {
            entry.id: Wanted(PredictionId(id.decode()), (batch or b"").decode(), _request_id(request), length - 2)
            for (entry, id, length), (batch, request) in zip(wanted, jobs, strict=True)
        }

    def leave(self) -> None:
        """Remove this worker's sign of life; if Redis can't be reached, it counts as gone a minute later."""
        with contextlib.suppress(RedisError):
            self._client.zrem(keys.workers(self.model), self._consumer)


def _request_id(request: bytes | None) -> str:
    """Return the id of the HTTP request that brought a job, from what is kept with the job."""
    return parse_request(request).request_id or "" if request else ""


def _in_portions(results: Sequence[Result]) -> Iterator[Sequence[Result]]:
    """Yield the results in portions of at most FINISH_BYTES, nearly always all of them at once."""
    size, first = 0, 0
    for place, result in enumerate(results):
        size += len(result.output)
        if size > FINISH_BYTES and place > first:
            yield results[first:place]
            size, first = len(result.output), place
    yield results[first:]
