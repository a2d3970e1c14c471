"""A worker's side of one model's lanes: answer the bell, pull, begin, finish, reclaim, renew.

Interactive work comes first; bulk fills the rest of a batch and always has one slot, its lanes taking turns.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.domain.identifiers import ModelName, PredictionId, VersionKey
from shared.queue import bells, keys
from shared.queue.job_records import parse_request
from shared.queue.lane_streams import streams
from shared.queue.lua import Script, Scripts, sha
from shared.settings import Queue

# Every empty-handed look at one more bulk lane costs a round trip; the next pull starts where this one stopped.
MOST_BULK_LANES_A_PULL = 4
# Who sent an image a moment ago may send the next one.
PEOPLE_STAY = timedelta(seconds=1)
# The client has tried for some seconds by then.
FINISH_PAUSE = timedelta(milliseconds=200)


@dataclass(frozen=True, slots=True)
class Entry:
    """One computation: an image, the version it is bound to, and where its result goes. `attempts` counts this one."""

    lane: str
    id: str
    waiting: str
    cache: str
    version: VersionKey
    image: bytes
    attempts: int = 1

    @property
    def submitted_ms(self) -> int:
        """When it came, in milliseconds of Redis' clock: a stream's ids begin with it."""
        return int(self.id.partition("-")[0])

    @property
    def is_bulk(self) -> bool:
        """Whether it came in a bulk lane."""
        return not self.lane.endswith(keys.INTERACTIVE)


@dataclass(frozen=True, slots=True)
class Result:
    """How one computation ended; `output` is JSON, empty unless `state` is succeeded."""

    entry: Entry
    state: str
    output: bytes = b""
    error: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who wants a computation: the first of them, with its batch and request where it has one, and how many more."""

    id: PredictionId
    batch: str
    request_id: str
    others: int


@dataclass(slots=True)
class Call:
    """A bell that is this worker's to answer; whether any bulk lane waits for its turn, and it was passed on."""

    bulk: bool
    passed_on: bool = False


@dataclass(slots=True)
class Heavy:
    """How many more images that take long to decode a worker has room for, and which lanes gave it such images last."""

    room: int
    lanes: Collection[str] = ()

    def most(self, lane: str, count: int) -> int:
        """Return how many entries to lease of a lane, of which `count` would do."""
        return min(count, self.room) if lane in self.lanes or keys.heavy_mark() in lane else count

    def leased(self, lane: str, count: int) -> None:
        """Take note that so many entries of a lane were leased."""
        if self.most(lane, count + 1) <= count:
            self.room -= count

    def left_out(self) -> tuple[str, ...]:
        """Return what names the lanes that are left out, for the script that gives turns."""
        return () if self.room > 0 else (keys.heavy_mark(), *self.lanes)


ANY_HEAVY = Heavy(room=1_000_000)
"""As much room as anybody needs."""


@dataclass(frozen=True, slots=True)
class Pull:
    """Entries now leased to this consumer, and whether every lane was seen empty after them."""

    entries: list[Entry]
    lanes_empty: bool


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
        self._model = model
        self._consumer = consumer
        self._settings = settings
        self._monotonic = monotonic
        self._people_until = 0.0
        self._bell = keys.bell(model)
        self._rotation = keys.rotation(model)
        self._interactive = keys.lane(model, keys.INTERACTIVE)
        self._record_task, self._webhook_task = bells.record_message(), bells.webhook_message()

    def answer(self, token: str) -> Call | None:
        """Silence the bell; None where another bell rings by now. `token` is empty where no bell called."""
        turns = self._scripts.run(Script.ANSWER, (self._bell, self._rotation), token)
        return None if turns is None else Call(bulk=turns > 0)

    def ring(self) -> None:
        """Call another worker, unless the bell rings already."""
        queue = keys.predict_queue(self._model)
        self._scripts.run(Script.RING, (self._bell,), queue, bells.predict_message(self._model))

    def pass_on(self, call: Call) -> None:
        """Call another worker beside this one, once a call: whoever answers passes on again what is left then."""
        if not call.passed_on:
            self.ring()
            call.passed_on = True

    def pull(self, limit: int, *, bulk: bool = True, beside: int | None = None, heavy: Heavy = ANY_HEAVY) -> Pull:
        """Lease up to `limit` new entries; without `bulk` from the interactive lane alone.

        Bulk fills a batch up to `beside` only, one image at least, while people's images come in. Lanes of images
        that take long to decode give as many as there is room for, and where there is none they are left out.
        """
        heavy = Heavy(heavy.room, heavy.lanes)
        # One slot is bulk's even under steady interactive load, or an upload would starve.
        wanted = limit - 1 if bulk and limit > 1 else limit
        entries, turn = self._read_and_turn(wanted, heavy) if bulk else (self._read(self._interactive, wanted), None)
        if turn is None and wanted < limit and len(entries) == wanted:
            entries, wanted = entries + self._read(self._interactive, limit - wanted), limit
        interactive_empty = len(entries) < wanted
        if beside is not None and self._people_are_there(entries):
            limit = min(limit, max(beside, len(entries) + 1))
        looked = 0
        while turn and len(entries) < limit and looked < MOST_BULK_LANES_A_PULL:
            found = self._read(turn, heavy.most(turn, limit - len(entries)))
            entries += found
            heavy.leased(turn, len(found))
            looked += 1
            # Asking who is next gives that lane's turn away, so only where it will be read.
            if len(entries) < limit and looked < MOST_BULK_LANES_A_PULL:
                turn = self._next_bulk_lane(heavy)
        return Pull(entries, lanes_empty=interactive_empty and turn is None)

    def begin(self, entries: Sequence[Entry]) -> list[Entry]:
        """Mark the entries' jobs as processing; return the entries somebody still waits for."""
        if not entries:
            return []
        arguments = [part for entry in entries for part in (entry.lane, entry.id, entry.waiting)]
        verdicts = self._scripts.run(Script.BEGIN, (), self._record_task, self._webhook_task, *arguments)
        return [entry for entry, wanted in zip(entries, verdicts, strict=True) if wanted]

    def finish(self, results: Sequence[Result], *, run: bytes) -> int:
        """End the jobs behind the results; `run` (JSON) says how they were computed. Return how many ended.

        While Redis is away or refuses it tries again, for as long as the entries are this worker's: computing them
        again, alone and counted as an attempt, would cost more. Raises what Redis raised last.
        """
        arguments: list[Any] = []
        for result in results:
            entry = result.entry
            arguments += (entry.lane, entry.id, entry.waiting, entry.cache)
            arguments += (result.state, result.output, result.error, result.code, entry.attempts)
        cache_ttl = self._settings.cache_ttl // timedelta(milliseconds=1)
        give_up = self._monotonic() + self._settings.lease.total_seconds()
        while True:
            try:
                return int(self._scripts.run(Script.FINISH, (), self._record_task, cache_ttl, run, *arguments))
            except (RedisConnectionError, RedisTimeoutError):
                if self._monotonic() >= give_up:
                    raise
                time.sleep(FINISH_PAUSE.total_seconds())

    def has_suspects(self) -> bool:
        """Tell whether an entry's worker seems to be gone; changes nothing."""
        lease = self._settings.lease // timedelta(milliseconds=1)
        lanes = streams(self._client, self._model)
        return bool(self._scripts.run(Script.SUSPECTS, tuple(lanes), lease))

    def reclaim(self) -> Entry | None:
        """Take over one entry whose worker is gone: a suspect, to be run alone."""
        lease = self._settings.lease // timedelta(milliseconds=1)
        for lane in streams(self._client, self._model):
            claimed = self._scripts.run(
                Script.RECLAIM,
                (lane,),
                self._record_task,
                self._consumer,
                lease,
                self._settings.max_attempts,
            )
            if claimed:
                id, attempts, flat = claimed
                fields = dict(zip(flat[::2], flat[1::2], strict=True))
                return _entry(lane, id, fields, attempts=int(attempts))
        return None

    def renew(self, entries: Sequence[Entry]) -> None:
        """Keep the lease on entries that are still ours."""
        if entries:
            arguments = [part for entry in entries for part in (entry.lane, entry.id)]
            self._scripts.run(Script.RENEW, (), self._consumer, *arguments)

    def sign_of_life(self) -> None:
        """Say that this worker is there."""
        self._scripts.run(Script.SIGN, (keys.workers(self._model),), self._consumer)

    def who_wants(self, entries: Sequence[Entry]) -> dict[str, Wanted]:
        """Return by entry id who wants each computation, for a log; nothing of those that nobody wants any more."""
        with self._client.pipeline(transaction=False) as pipeline:
            for entry in entries:
                pipeline.lrange(entry.waiting, 0, 1)
                pipeline.llen(entry.waiting)
            said = pipeline.execute()
        lists = zip(entries, said[::2], said[1::2], strict=True)
        # The head of a wait list is its entry; a list of another computation of the same image is not ours.
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
        """Say that this worker is gone; where Redis takes no word of it, its absence says so a minute later."""
        with contextlib.suppress(RedisError):
            self._client.zrem(keys.workers(self._model), self._consumer)

    def _people_are_there(self, entries: Sequence[Entry]) -> bool:
        """Tell whether people's images come in: these are some, or there were some a moment ago."""
        now = self._monotonic()
        if entries:
            self._people_until = now + PEOPLE_STAY.total_seconds()
        return now < self._people_until

    def _read_and_turn(self, count: int, heavy: Heavy) -> tuple[list[Entry], str | None]:
        """Lease new interactive entries and give the next bulk lane its turn, in one round trip."""
        both = self._client.pipeline(transaction=False)
        self._ask(both, self._interactive, count)
        both.evalsha(sha(Script.ROTATE), 1, self._rotation, *heavy.left_out())
        streams, lane = both.execute(raise_on_error=False)
        entries = _entries(self._interactive, streams)
        if isinstance(lane, NoScriptError):
            return entries, self._next_bulk_lane(heavy)
        if isinstance(lane, Exception):
            raise lane
        return entries, None if lane is None else lane.decode()

    def _next_bulk_lane(self, heavy: Heavy) -> str | None:
        """Give the next bulk lane with new entries its turn; None where there is none."""
        lane = self._scripts.run(Script.ROTATE, (self._rotation,), *heavy.left_out())
        return None if lane is None else lane.decode()

    def _read(self, lane: str, count: int) -> list[Entry]:
        """Lease new entries of one lane."""
        try:
            return _entries(lane, self._ask(self._client, lane, count))
        except ResponseError as error:
            return _entries(lane, error)

    def _ask(self, client: redis.Redis, lane: str, count: int) -> Any:
        return client.xreadgroup(keys.WORKERS, self._consumer, {lane: ">"}, count=count)


def _entries(lane: str, reply: Any) -> list[Entry]:
    """Return what was leased; a lane nobody has submitted to yet is an empty one. Raises any other error."""
    if isinstance(reply, ResponseError) and str(reply).startswith("NOGROUP"):
        return []
    if isinstance(reply, Exception):
        raise reply
    return [_entry(lane, id, fields) for _, found in reply for id, fields in found]


def _entry(lane: str, id: bytes, fields: dict[bytes, bytes], *, attempts: int = 1) -> Entry:
    return Entry(
        lane=lane,
        id=id.decode(),
        waiting=fields[b"waiting"].decode(),
        cache=fields[b"cache"].decode(),
        version=VersionKey(fields[b"version"].decode()),
        image=fields[b"image"],
        attempts=attempts,
    )


def _request_id(request: bytes | None) -> str:
    """Return the id of the HTTP request that brought a job, from what is kept with the job."""
    return parse_request(request).request_id or "" if request else ""
