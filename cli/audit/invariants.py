"""Check the four invariants on a live system: the queue and the record, looked at side by side.

State moves while it is looked at. Each look at a job, wait list or lane is one instant, in Lua, and whatever seems
broken is looked at again after pauses; only what stays so is reported.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

import orjson
from sqlalchemy import Connection

from shared.domain.identifiers import BatchId, Owner, PredictionId
from shared.domain.prediction import Status
from shared.queue import keys
from shared.queue.connection.clients import connect
from shared.queue.inspection.audit import Inspection, JobLook, LaneLook, is_bulk, model_of
from shared.queue.inspection.duties import LATE_AFTER, MOST_BELLS, State
from shared.settings import Database, Predict, Queue, Redis, read
from shared.storage.audit_queries import (
    Row,
    contradictions,
    described_batches,
    rows_of,
    untold_ends,
    wrong_batches,
)
from shared.storage.deliveries import MOST_OVERDUE, overdue
from shared.storage.engine import make_engine

T = TypeVar("T", bound=str)

LOOKS = 3
PAUSE = timedelta(milliseconds=300)
# A worker looks at its lanes every 2 s, so a lane that does not move from one of these to the next is not looked at.
LANE_PAUSE = timedelta(seconds=3)
WORKER_ALIVE = timedelta(seconds=10)
# A receiver that fails is left alone for up to ten minutes, and what is due to it waits.
LEFT_ALONE = timedelta(minutes=15)
MOST_OF_A_KIND = 20
# One statement counts the rows of the latest batches, of which one may have millions.
LONGEST = timedelta(minutes=10)


def audit(*, redis_url: str, database_url: str) -> list[str]:
    """Return what is broken, in words; nothing where all four invariants hold.

    100,000 jobs take about 5 s. Raises redis.RedisError or sqlalchemy.exc.SQLAlchemyError where a server is away.
    """
    engine = make_engine(Database(url=database_url), patience=LONGEST)
    try:
        reading = engine.execution_options(isolation_level="AUTOCOMMIT")  # each statement sees the newest state
        with connect(Redis(url=redis_url)) as client, reading.connect() as connection:
            return Audit(Inspection(client), connection, queue=read(Queue), predict=read(Predict)).run()
    finally:
        engine.dispose()


class Audit:
    """One audit of one system."""

    def __init__(
        self,
        looks: Inspection,
        connection: Connection,
        *,
        queue: Queue,
        predict: Predict,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._looks = looks
        self._connection = connection
        self._sleep = sleep
        # A batch may take the time limit, and a job whose workers die that many leases; longer is nobody's.
        self._overdue = queue.lease * (queue.max_attempts + 1) + predict.timeout

    def run(self) -> list[str]:
        """Return what is broken, at most MOST_OF_A_KIND of each kind by name."""
        kinds = (
            self._jobs(),
            self._wait_lists(),
            self._inflight(),
            self._stranded(),
            self._stuck_lanes(),
            self._untaken(),
            self._batches(),
            wrong_batches(self._connection),
            untold_ends(self._connection),
            contradictions(self._connection),
        )
        return [finding for kind in kinds for finding in _shortened(list(kind))]

    def _jobs(self) -> Iterator[str]:
        """Invariants 1 and 2: unfinished jobs are on their way, finished ones recorded or about to be."""
        suspects: dict[PredictionId, str] = {}
        for ids in self._looks.job_ids():
            suspects |= self._broken(ids)
        suspects = self._in_neither(suspects)
        for _ in range(LOOKS - 1):
            if suspects:
                self._sleep(PAUSE.total_seconds())
                suspects = self._in_neither(self._broken(list(suspects)))
        return (f"job {id}: {wrong}" for id, wrong in suspects.items())

    def _broken(self, ids: Sequence[PredictionId]) -> dict[PredictionId, str]:
        """Look at some jobs and their rows; jobs first, since a job only ever moves towards its row."""
        looks = list(self._looks.look_at(ids))
        rows = rows_of(self._connection, [look.id for look in looks])
        return {look.id: wrong for look in looks if (wrong := _wrong_with(look, rows.get(look.id)))}

    def _in_neither(self, suspects: dict[PredictionId, str]) -> dict[PredictionId, str]:
        """Leave out jobs that ended and wait to be recorded.

        They had ended before the stream is read here: each is in it, or has its row by now.
        """
        unrecorded = {id for id, wrong in suspects.items() if wrong == UNRECORDED}
        if unrecorded:
            for ids in self._looks.finished_ids():
                unrecorded -= ids
            unrecorded -= rows_of(self._connection, list(unrecorded)).keys()
        return {id: wrong for id, wrong in suspects.items() if wrong != UNRECORDED or id in unrecorded}

    def _wait_lists(self) -> Iterator[str]:
        """Invariant 1, seen from the wait lists."""
        suspects = self._persisting(self._looks.wait_lists_without_entry(), self._looks.without_entry)
        return (f"wait list {name}: its entry is gone" for name in suspects)

    def _inflight(self) -> Iterator[str]:
        """Check that what is listed as unfinished is; a missing job is a finished one."""
        suspects: dict[Owner, list[PredictionId]] = {}
        for owner, ids in self._looks.inflight():
            suspects.setdefault(owner, []).extend(self._ended(owner, ids))
        for owner, ids in suspects.items():
            ended = self._persisting(ids, partial(self._ended, owner))
            yield from (f"job {id}: it is in flight for {owner} although it ended" for id in ended)

    def _ended(self, owner: Owner, ids: Sequence[PredictionId]) -> list[PredictionId]:
        """Of these ids, return those that ended and are in flight even so."""
        states = zip(ids, self._looks.states(ids), strict=True)
        ended = [id for id, state in states if state is None or Status(state).is_terminal]
        return [id for id in ended if self._looks.is_inflight(owner, id)]

    def _batches(self) -> Iterator[str]:
        """Invariant 2 for batches: one that has been read is recorded, or about to be."""
        read = (id for ids in self._looks.read_batches() for id in self._unrecorded(ids))
        suspects = self._persisting(read, lambda ids: self._unrecorded(self._looks.still_read(ids)))
        return (f"batch {id}: it was read and is neither in the finished stream nor recorded" for id in suspects)

    def _unrecorded(self, ids: Sequence[BatchId]) -> set[BatchId]:
        """Of batches that have been read, return those that will never be complete."""
        left = set(ids)
        for records in self._looks.finished_ids() if left else ():
            left -= {BatchId(id) for id in records}
        return left - described_batches(self._connection, sorted(left)) if left else left

    def _stranded(self) -> Iterator[str]:
        """Invariants 1 and 2, seen from the streams."""
        for stream in (*self._looks.lanes(), keys.FINISHED):
            suspects = self._persisting(self._looks.stranded(stream), partial(self._still_stranded, stream))
            yield from (f"{stream}: entry {entry} was read and is pending with nobody" for entry in suspects)

    def _still_stranded(self, stream: str, entries: Sequence[str]) -> set[str]:
        return set(entries).intersection(self._looks.stranded(stream))

    def _stuck_lanes(self) -> Iterator[str]:
        """Invariant 3, as far as one can see it: with workers there, every lane moves. A deep lane moves too."""
        looks = {lane: self._look_at_lane(lane) for lane in self._looks.lanes()}
        stuck = {lane: wrong for lane, look in looks.items() if (wrong := self._wrong_with_lane(lane, look))}
        for _ in range(LOOKS - 1):
            if stuck:
                self._sleep(LANE_PAUSE.total_seconds())
            for lane in list(stuck):
                before, look = looks[lane], self._look_at_lane(lane)
                moved = look.last_delivered != before.last_delivered and not before.overdue
                if moved or self._wrong_with_lane(lane, look) != stuck[lane]:
                    del stuck[lane]
        return (f"{lane}: {wrong}" for lane, wrong in stuck.items())

    def _untaken(self) -> Iterator[str]:
        """Invariant 3 for what follows a prediction: somebody records, delivers and keeps house, and in time."""
        roles = {duty.role: duty for duty in self._looks.duties()}
        for role, duty in roles.items():
            waits = duty.oldest > LATE_AFTER or duty.bells > MOST_BELLS
            # Nothing of upkeep's waits where all can see it: that nobody sweeps any more is all there is to see.
            stopped = role == keys.UPKEEP_QUEUE and duty.silence is not None and duty.silence > LATE_AFTER
            if waits or stopped:
                yield f"{role}: {duty.words}"
        longest = LATE_AFTER if roles[keys.WEBHOOK_QUEUE].state is State.MISSING else LEFT_ALONE
        late = overdue(self._connection, by=longest)
        if late.count:
            many = f"{late.count:,}{' or more' if late.count == MOST_OVERDUE else ''}"
            yield f"webhooks: {many} are due and nobody has tried them for {round(late.oldest.total_seconds())} s"

    def _look_at_lane(self, lane: str) -> LaneLook:
        return self._looks.look_at_lane(lane, overdue=self._overdue)

    def _wrong_with_lane(self, lane: str, look: LaneLook) -> str | None:
        """Say why a lane seems stuck. Bulk lanes wait for their turn as long as it takes, but must be given one."""
        if is_bulk(lane) and look.entries and not look.in_rotation:
            return "it has entries and no turn among the bulk lanes"
        if look.worker_seen is None or look.worker_seen > WORKER_ALIVE:
            waits = look.overdue or look.head_age > LATE_AFTER
            seconds = round(LATE_AFTER.total_seconds())
            return f"images have waited for more than {seconds} s and {model_of(lane)} has no worker" if waits else None
        seconds = round(self._overdue.total_seconds())
        if look.overdue:
            return f"entry {look.overdue} has been nobody's for {seconds} s although {model_of(lane)} has workers"
        if not is_bulk(lane) and not look.pending and look.head_age > self._overdue:
            return f"nothing was read for {seconds} s although {model_of(lane)} has workers"
        return None

    def _persisting(self, suspects: Iterable[T], look_again: Callable[[list[T]], Iterable[T]]) -> list[T]:
        """Return the suspects that stay so."""
        left = list(suspects)
        for _ in range(LOOKS - 1):
            if left:
                self._sleep(PAUSE.total_seconds())
                left = sorted(set(look_again(left)))
        return left


UNRECORDED = "it ended and is neither in the finished stream nor recorded"


def _wrong_with(look: JobLook, row: Row | None) -> str:
    """Say what is wrong with a job beside its row, '' where nothing is."""
    if not Status(look.state).is_terminal:
        return look.wrong if row is None else f"it is {look.state} and recorded as {row.status}"
    if row is None:
        return "it ended and expires without having been recorded" if look.expires else UNRECORDED
    if look.state != row.status:
        return f"it is {look.state} and recorded as {row.status}"
    if not row.stripped and (orjson.loads(look.output) if look.output else None) != row.output:
        return "its output and the recorded one differ"
    return ""


def _shortened(findings: list[str]) -> list[str]:
    """Name the first ones and count the rest."""
    more = len(findings) - MOST_OF_A_KIND
    return findings if more <= 0 else [*findings[:MOST_OF_A_KIND], f"… and {more} more like the last one"]
