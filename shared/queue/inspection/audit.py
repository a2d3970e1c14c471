"""Reads a live queue for `darkroom audit` without changing it; each script call is a snapshot of one instant."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import redis

from shared.domain.identifiers import BatchId, ModelName, Owner, PredictionId
from shared.queue import keys
from shared.queue.inspection import duties
from shared.queue.inspection.duties import Duty
from shared.queue.lua import Script, Scripts

# Each call blocks Redis for about a millisecond: 100 jobs, or 4 MB of images read over (Redis can't return an entry
# without its fields).
JOBS_AT_ONCE = 100
BUDGET_BYTES = 4 * 1024 * 1024
KEYS_AT_ONCE = 2000
MEMBERS_AT_ONCE = 500
RECORDS_AT_ONCE = 500

_WAIT_LIST = re.compile(r"waiting:(?P<lane>interactive|bulk:[^:]+):[^:]+:(?P<model>[^:]+):")
_LANE = re.compile(r"lane:(?P<model>[^:]+):(?P<name>.+)")


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """One job at one instant. `expires`: it has a TTL; `wrong` says which invariant is broken, or is ''."""

    id: PredictionId
    state: str
    expires: bool
    output: bytes
    wrong: str


@dataclass(frozen=True, slots=True)
class LaneSnapshot:
    """One lane at one instant. `head_age` is the next entry's, `overdue` the first entry whose lease nobody renews."""

    entries: int
    pending: int
    last_delivered: str
    head_age: timedelta
    overdue: str
    worker_seen: timedelta | None
    in_rotation: bool


class Inspection:
    """Reads a queue's state, one chunk at a time."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._scripts = Scripts(client)

    def job_ids(self) -> Iterator[list[PredictionId]]:
        """Give the ids of all jobs, in chunks; one that exists throughout comes at least once."""
        start = len(keys.job_prefix())
        for chunk in self._scan(keys.job_prefix() + "*"):
            yield [PredictionId(key[start:]) for key in chunk]

    def check_jobs(self, ids: Sequence[PredictionId]) -> Iterator[JobSnapshot]:
        """Give a snapshot of each job that still has its hash."""
        start = 0
        while start < len(ids):
            part = ids[start : start + JOBS_AT_ONCE]
            checked, *facts = self._scripts.run(Script.CHECK_JOBS, (), BUDGET_BYTES, *part)
            start += checked
            for id, state, ttl, output, wrong in zip(*[iter(facts)] * 5, strict=True):
                if state:
                    yield JobSnapshot(PredictionId(id.decode()), state.decode(), ttl >= 0, output, wrong.decode())

    def finished_ids(self) -> Iterator[set[PredictionId]]:
        """Give the ids in the finished stream, in chunks; one that is in it throughout comes."""
        after = "-"
        while entries := self._records(after):
            yield {PredictionId(record[b"id"].decode()) for _, record in entries if b"id" in record}
            after = "(" + entries[-1][0].decode()

    def read_batches(self) -> Iterator[list[BatchId]]:
        """Give the batches that have not ended and whose upload has been read or canceled, in chunks."""
        for chunk in self._scan(keys.batches_prefix() + "*"):
            for key in chunk:
                cursor = -1
                while cursor:
                    cursor, members = self._members(key, max(cursor, 0))
                    yield self.still_read([BatchId(id) for id in members])

    def still_read(self, ids: Sequence[BatchId]) -> list[BatchId]:
        """Of these batches, return those that have not ended and whose upload has been read or canceled."""
        with self._client.pipeline(transaction=False) as pipeline:
            for id in ids:
                pipeline.hget(keys.batch(id), "state")
            states = pipeline.execute()
        return [id for id, state in zip(ids, states, strict=True) if state in (b"in_progress", b"canceled")]

    def lanes(self) -> list[str]:
        """Return the lanes' streams."""
        return [lane for chunk in self._scan("lane:*", kind="stream") for lane in chunk]

    def stranded(self, stream: str) -> list[str]:
        """Return the entries of a lane, or of the finished stream, that were read and are pending with nobody."""
        group = keys.RECORDERS if stream == keys.FINISHED else keys.WORKERS
        found: list[str] = []
        where = b"-"
        while where:
            where, *entries = self._scripts.run(Script.FIND_STRANDED, (stream,), group, where, BUDGET_BYTES)
            found += (entry.decode() for entry in entries)
        return found

    def check_lane(self, lane: str, *, overdue: timedelta) -> LaneSnapshot:
        """Return a snapshot of a lane; an entry idle for `overdue` is one whose lease no worker renews."""
        model = model_of(lane)
        entries, pending, last, age, late, seen, turns = self._scripts.run(
            Script.CHECK_LANE,
            (lane, keys.workers(model), keys.rotation(model)),
            overdue // timedelta(milliseconds=1),
        )
        return LaneSnapshot(
            entries=entries,
            pending=pending,
            last_delivered=last.decode(),
            head_age=timedelta(milliseconds=age),
            overdue=late.decode(),
            worker_seen=None if seen < 0 else timedelta(milliseconds=seen),
            in_rotation=bool(turns),
        )

    def wait_lists_without_entry(self) -> list[str]:
        """Return the wait lists whose computation is not in its lane."""
        return [found for chunk in self._scan("waiting:*", kind="list") for found in self.without_entry(chunk)]

    def without_entry(self, lists: Sequence[str]) -> Iterator[str]:
        """Of these wait lists, give those whose computation is not in its lane."""
        known = [(list_, lane) for list_ in lists if (lane := _lane_of(list_))]
        while known:
            part = known[:JOBS_AT_ONCE]
            checked, *without = self._scripts.run(
                Script.CHECK_WAIT_LISTS, tuple(list_ for list_, _ in part), BUDGET_BYTES, *(lane for _, lane in part)
            )
            yield from (found.decode() for found in without)
            known = known[checked:]

    def images_without_entry(self) -> list[str]:
        """Return the images that are kept for good although their entry is not in its lane."""
        prefix = keys.image_prefix() + "*"
        return [found for chunk in self._scan(prefix, kind="string") for found in self.without_their_entry(chunk)]

    def without_their_entry(self, images: Sequence[str]) -> Iterator[str]:
        """Of these images, give those that are kept for good although their entry is not in its lane."""
        for start in range(0, len(images), JOBS_AT_ONCE):
            part = images[start : start + JOBS_AT_ONCE]
            places = [place for image in part for place in image.removeprefix(keys.image_prefix()).rsplit(":", 1)]
            yield from (found.decode() for found in self._scripts.run(Script.CHECK_IMAGES, tuple(part), *places))

    def inflight(self) -> Iterator[tuple[Owner, list[PredictionId]]]:
        """Give the unfinished ids of each owner, in chunks."""
        for chunk in self._scan(keys.inflight_prefix() + "*"):
            for key in chunk:
                cursor = -1
                while cursor:
                    cursor, members = self._members(key, max(cursor, 0))
                    yield Owner(key.removeprefix(keys.inflight_prefix())), members

    def states(self, ids: Sequence[PredictionId]) -> list[str | None]:
        """Return each job's state, None where its hash is missing; cheaper than snapshots."""
        with self._client.pipeline(transaction=False) as pipeline:
            for id in ids:
                pipeline.hget(keys.job(id), "state")
            return [None if state is None else state.decode() for state in pipeline.execute()]

    def is_inflight(self, owner: Owner, id: PredictionId) -> bool:
        """Tell whether the owner's set names this id."""
        return self._client.zscore(keys.inflight(owner), id) is not None

    def duties(self) -> list[Duty]:
        """Return the roles besides predicting."""
        return duties.read_duties(self._client)

    def _scan(self, pattern: str, *, kind: str | None = None) -> Iterator[list[str]]:
        """Give the keys that match, in the chunks that SCAN returns."""
        cursor = -1
        while cursor:
            cursor, found = self._scan_once(max(cursor, 0), match=pattern, count=KEYS_AT_ONCE, _type=kind)
            if found:
                yield [key.decode() for key in found]

    # The client library's types allow text where ours are bytes.

    def _scan_once(self, cursor: int, **options: Any) -> tuple[int, list[bytes]]:
        return cast("tuple[int, list[bytes]]", self._client.scan(cursor, **options))

    def _members(self, key: str, cursor: int) -> tuple[int, list[PredictionId]]:
        cursor, members = self._client.zscan(key, cursor=cursor, count=MEMBERS_AT_ONCE)
        return cursor, [PredictionId(cast("bytes", member).decode()) for member, _ in members]

    def _records(self, after: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        found = self._client.xrange(keys.FINISHED, min=after, count=RECORDS_AT_ONCE)
        return cast("list[tuple[bytes, dict[bytes, bytes]]]", found)


def model_of(lane: str) -> ModelName:
    """Return the model of a lane's stream."""
    match = _LANE.fullmatch(lane)
    return ModelName(match["model"] if match else "")


def is_bulk(lane: str) -> bool:
    """Tell a batch's lane from the interactive one."""
    match = _LANE.fullmatch(lane)
    return match is not None and match["name"] != keys.INTERACTIVE


def _lane_of(wait_list: str) -> str | None:
    """Return the lane's stream of a wait list, from its name; None where the name has another form."""
    match = _WAIT_LIST.match(wait_list)
    return match and keys.lane(ModelName(match["model"]), match["lane"])
