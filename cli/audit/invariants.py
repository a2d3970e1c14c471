"""Checks the four invariants on a live system, comparing Redis with Postgres.

State changes while it is read. Each job, wait list or lane is read atomically, in Lua; whatever seems broken is read
again after pauses, and only what stays broken is reported.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

import orjson
from sqlalchemy import Connection

from cli.audit.kept_pictures import wrong_pictures
from shared.domain.identifiers import BatchId, Owner, PredictionId
from shared.domain.prediction import Status
from shared.queue import keys
from shared.queue.connection.clients import connect
from shared.queue.inspection.audit import Inspection, JobSnapshot, LaneSnapshot, is_bulk, model_of
from shared.queue.inspection.duties import LATE_AFTER, MOST_BELLS, State
from shared.settings import Database, Predict, Queue, Redis, read
from shared.storage.audit_queries import (
    Row,
    contradictions,
    described_batches,
    missing_deliveries,
    rows_of,
    wrong_batches,
    wrong_feedback,
    wrong_pipelines,
    wrong_shadow_predictions,
)
from shared.storage.deliveries import MOST_OVERDUE, overdue
from shared.storage.engine import make_engine
from shared.storage.report_days import wrong_days
from shared.storage.version_figures import wrong_counters

T = TypeVar("T", bound=str)

READS = 3
"""How often something is read that seems broken, before it is reported."""
PAUSE = timedelta(milliseconds=300)
# A worker polls its lanes every 2 s: a lane that does not move between two reads is not polled.
LANE_PAUSE = timedelta(seconds=3)
WORKER_ALIVE = timedelta(seconds=10)
# A failing receiver is not called for up to ten minutes, and its deliveries wait.
LEFT_ALONE = timedelta(minutes=15)
MOST_OF_A_KIND = 20
# The longest statement counts the rows of the latest batches, one of which may have millions.
LONGEST = timedelta(minutes=10)


def audit(*, redis_url: str, database_url: str) -> list[str]:
    """Return what is broken, a sentence each; empty where all four invariants hold.

    100,000 jobs take about 5 s. Raises redis.RedisError or sqlalchemy.exc.SQLAlchemyError where a server is away.
    """
    engine = make_engine(Database(url=database_url), patience=LONGEST)
    try:
        reading = engine.execution_options(isolation_level="AUTOCOMMIT")  # each statement sees the newest state
        with connect(Redis(url=redis_url)) as client, reading.connect() as connection:
            findings = Audit(Inspection(client), connection, queue=read(Queue), predict=read(Predict)).run()
            return [*findings, *_shortened(list(wrong_pictures(client, connection)))]
    finally:
        engine.dispose()


class Audit:
    """One audit of one system."""

    def __init__(
        self,
        inspection: Inspection,
        connection: Connection,
        *,
        queue: Queue,
        predict: Predict,
    ) -> None:
        self._inspection = inspection
        self._connection = connection
        # A micro-batch may take the time limit, and a job whose workers die a lease per attempt; longer is an error.
        self._overdue = queue.lease * (queue.max_attempts + 1) + predict.timeout

    def run(self) -> list[str]:
        """Return what is broken, at most MOST_OF_A_KIND of each kind by name."""
        kinds = (
            self._jobs(),
            self._wait_lists(),
            self._images(),
            self._inflight(),
            self._stranded(),
            self._stuck_lanes(),
            self._untaken(),
            self._batches(),
            wrong_batches(self._connection),
            missing_deliveries(self._connection),
            contradictions(self._connection),
            wrong_feedback(self._connection),
            wrong_shadow_predictions(self._connection),
            wrong_pipelines(self._connection),
            wrong_counters(self._connection),
            wrong_days(self._connection),
        )
        return [finding for kind in kinds for finding in _shortened(list(kind))]

    def _jobs(self) -> Iterator[str]:
        """Invariants 1 and 2: unfinished jobs are queued or being computed, finished ones recorded or soon will be."""
        suspects: dict[PredictionId, str] = {}
        for ids in self._inspection.job_ids():
            suspects |= self._broken(ids)
        suspects = self._in_neither(suspects)
        for _ in range(READS - 1):
            if suspects:
                time.sleep(PAUSE.total_seconds())
                suspects = self._in_neither(self._broken(list(suspects)))
        return (f"job {id}: {wrong}" for id, wrong in suspects.items())

    def _broken(self, ids: Sequence[PredictionId]) -> dict[PredictionId, str]:
        """Read some jobs, then their rows; jobs first, since a job only ever moves towards its row."""
        snapshots = list(self._inspection.check_jobs(ids))
        rows = rows_of(self._connection, [snapshot.id for snapshot in snapshots])
        return {snapshot.id: wrong for snapshot in snapshots if (wrong := _wrong_with(snapshot, rows.get(snapshot.id)))}

    def _in_neither(self, suspects: dict[PredictionId, str]) -> dict[PredictionId, str]:
        """Return the suspects without jobs that ended and wait to be recorded.

        They had ended before the finished stream is read here: each is in it, or has its row by now.
        """
        unrecorded = {id for id, wrong in suspects.items() if wrong == UNRECORDED}
        if unrecorded:
            for ids in self._inspection.finished_ids():
                unrecorded -= ids
            unrecorded -= rows_of(self._connection, list(unrecorded)).keys()
        return {id: wrong for id, wrong in suspects.items() if wrong != UNRECORDED or id in unrecorded}

    def _wait_lists(self) -> Iterator[str]:
        """Invariant 1, checked from the wait lists: each has its entry."""
        suspects = self._persisting(self._inspection.wait_lists_without_entry(), self._inspection.without_entry)
        return (f"wait list {name}: its entry is gone" for name in suspects)

    def _images(self) -> Iterator[str]:
        """No image outlives its entry: nothing else would delete it."""
        suspects = self._persisting(self._inspection.images_without_entry(), self._inspection.without_their_entry)
        return (f"{name}: its entry is gone" for name in suspects)

    def _inflight(self) -> Iterator[str]:
        """Check that predictions counted as unfinished are; one whose job is missing has ended."""
        suspects: dict[Owner, list[PredictionId]] = {}
        for owner, ids in self._inspection.inflight():
            suspects.setdefault(owner, []).extend(self._ended(owner, ids))
        for owner, ids in suspects.items():
            ended = self._persisting(ids, partial(self._ended, owner))
            yield from (f"job {id}: it is in flight for {owner} although it ended" for id in ended)

    def _ended(self, owner: Owner, ids: Sequence[PredictionId]) -> list[PredictionId]:
        """Return those of these ids that ended and are still counted as unfinished."""
        states = zip(ids, self._inspection.states(ids), strict=True)
        ended = [id for id, state in states if state is None or Status(state).is_terminal]
        return [id for id in ended if self._inspection.is_inflight(owner, id)]

    def _batches(self) -> Iterator[str]:
        """Invariant 2 for batches: one whose upload has been read is recorded, or will be."""
        read = (id for ids in self._inspection.read_batches() for id in self._unrecorded(ids))
        suspects = self._persisting(read, lambda ids: self._unrecorded(self._inspection.still_read(ids)))
        return (f"batch {id}: it was read and is neither in the finished stream nor recorded" for id in suspects)

    def _unrecorded(self, ids: Sequence[BatchId]) -> set[BatchId]:
        """Return those batches, all read, that will never be completed."""
        left = set(ids)
        for records in self._inspection.finished_ids() if left else ():
            left -= {BatchId(id) for id in records}
        return left - described_batches(self._connection, sorted(left)) if left else left

    def _stranded(self) -> Iterator[str]:
        """Invariants 1 and 2, checked from the streams: no entry is pending without a consumer."""
        for stream in (*self._inspection.lanes(), keys.FINISHED):
            suspects = self._persisting(self._inspection.stranded(stream), partial(self._still_stranded, stream))
            yield from (f"{stream}: entry {entry} was read and is pending with nobody" for entry in suspects)

    def _still_stranded(self, stream: str, entries: Sequence[str]) -> set[str]:
        return set(entries).intersection(self._inspection.stranded(stream))

    def _stuck_lanes(self) -> Iterator[str]:
        """Invariant 3, as far as it can be seen: every lane that has workers moves, however deep it is."""
        snapshots = {lane: self._check_lane(lane) for lane in self._inspection.lanes()}
        stuck = {
            lane: wrong for lane, snapshot in snapshots.items() if (wrong := self._wrong_with_lane(lane, snapshot))
        }
        for _ in range(READS - 1):
            if stuck:
                time.sleep(LANE_PAUSE.total_seconds())
            for lane in list(stuck):
                before, snapshot = snapshots[lane], self._check_lane(lane)
                moved = snapshot.last_delivered != before.last_delivered and not before.overdue
                if moved or self._wrong_with_lane(lane, snapshot) != stuck[lane]:
                    del stuck[lane]
        return (f"{lane}: {wrong}" for lane, wrong in stuck.items())

    def _untaken(self) -> Iterator[str]:
        """Invariant 3 for recording, webhooks and upkeep: each is done, and in time."""
        roles = {duty.role: duty for duty in self._inspection.duties()}
        for role, duty in roles.items():
            waits = duty.oldest > LATE_AFTER or duty.bells > MOST_BELLS
            # Upkeep has no queue to be seen waiting: the only sign is that the last sweep is long ago.
            stopped = role == keys.UPKEEP_QUEUE and duty.silence is not None and duty.silence > LATE_AFTER
            if waits or stopped:
                yield f"{role}: {duty.words}"
        longest = LATE_AFTER if roles[keys.WEBHOOK_QUEUE].state is State.MISSING else LEFT_ALONE
        late = overdue(self._connection, by=longest)
        if late.count:
            many = f"{late.count:,}{' or more' if late.count == MOST_OVERDUE else ''}"
            yield f"webhooks: {many} are due and nobody has tried them for {round(late.oldest.total_seconds())} s"

    def _check_lane(self, lane: str) -> LaneSnapshot:
        return self._inspection.check_lane(lane, overdue=self._overdue)

    def _wrong_with_lane(self, lane: str, snapshot: LaneSnapshot) -> str | None:
        """Return why a lane seems stuck, None where it does not. A bulk lane may wait, but must be in the rotation."""
        if is_bulk(lane) and snapshot.entries and not snapshot.in_rotation:
            return "it has entries and no turn among the bulk lanes"
        if snapshot.worker_seen is None or snapshot.worker_seen > WORKER_ALIVE:
            waits = snapshot.overdue or snapshot.head_age > LATE_AFTER
            seconds = round(LATE_AFTER.total_seconds())
            return f"images have waited for more than {seconds} s and {model_of(lane)} has no worker" if waits else None
        seconds = round(self._overdue.total_seconds())
        if snapshot.overdue:
            return f"entry {snapshot.overdue} has been nobody's for {seconds} s although {model_of(lane)} has workers"
        if not is_bulk(lane) and not snapshot.pending and snapshot.head_age > self._overdue:
            return f"nothing was read for {seconds} s although {model_of(lane)} has workers"
        return None

    def _persisting(self, suspects: Iterable[T], read_again: Callable[[list[T]], Iterable[T]]) -> list[T]:
        """Return the suspects that are still broken after READS reads."""
        left = list(suspects)
        for _ in range(READS - 1):
            if left:
                time.sleep(PAUSE.total_seconds())
                left = sorted(set(read_again(left)))
        return left


UNRECORDED = "it ended and is neither in the finished stream nor recorded"


def _wrong_with(snapshot: JobSnapshot, row: Row | None) -> str:
    """Return what is wrong with a job, compared with its row; empty where nothing is."""
    if not Status(snapshot.state).is_terminal:
        return snapshot.wrong if row is None else f"it is {snapshot.state} and recorded as {row.status}"
    if row is None:
        return "it ended and expires without having been recorded" if snapshot.expires else UNRECORDED
    if snapshot.state != row.status:
        return f"it is {snapshot.state} and recorded as {row.status}"
    if not row.stripped and (orjson.loads(snapshot.output) if snapshot.output else None) != row.output:
        return "its output and the recorded one differ"
    return ""


def _shortened(findings: list[str]) -> list[str]:
    """Return the first findings, and a line with the number of the rest."""
    more = len(findings) - MOST_OF_A_KIND
    return findings if more <= 0 else [*findings[:MOST_OF_A_KIND], f"… and {more} more like the last one"]
