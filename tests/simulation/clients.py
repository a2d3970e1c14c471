"""The clients: they submit, cancel and poll, and remember what they were promised."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from shared.domain.identifiers import BatchId, Digest, KeyId, Owner, PredictionId, VersionKey, VersionNumber, new_uuid7
from shared.domain.image import ImageFacts
from shared.domain.key_limits import UNLIMITED, Limits
from shared.domain.model_route import Choice
from shared.queue import bells, keys
from shared.queue.consumer.entries import Result
from shared.queue.consumer.lanes import Lanes
from shared.queue.job_records import FIELDS, parse
from shared.queue.lua import Script, Scripts
from shared.queue.producer.staged_images import stage_command
from shared.queue.producer.submission import Submission, Unreadable, is_staged, prepared, submit_command
from tests.simulation import pictures
from tests.simulation.conditions import CALM
from tests.simulation.promises import Accepted
from tests.simulation.system import BATCH_SIZE, LANES, MODEL, OWNERS, System

LIMITS = Limits(key=KeyId("k"), rate=500, max_inflight=6)


class Clients:
    """Each method is one client's call; another actor may run before each of its commands."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._random, self._redis, self._queue = system.random, system.stepped, system.queue
        self._promises = system.promises

    def submit(self) -> None:
        """A client: sends a picture, or up to three of an upload, and sends them again when the answer is lost."""
        chance = self._random
        first = self._submission(self._number())
        others = 0 if first.lane == keys.INTERACTIVE else chance.randint(0, 2)
        alike = {"owner": first.owner, "lane": first.lane, "batch": first.batch}
        upload: list[Submission | Unreadable] = [
            first,
            *(replace(self._submission(self._number()), **alike) for _ in range(others)),
        ]
        if first.batch and chance.random() < 0.3:
            upload.insert(chance.randint(0, len(upload)), _no_image(first))
        jobs = [prepared(one) for one in upload]
        limits = LIMITS if chance.random() < 0.3 else UNLIMITED
        queue = self._queue if chance.random() < 0.5 else self._queue.model_copy(update={"max_inline_image": 1})
        command = submit_command(*jobs, settings=queue, memory_is_high=False, limits=limits)
        for _ in range(3):
            for one in upload:
                if isinstance(one, Submission) and is_staged(one.image, queue) and chance.random() < 0.9:
                    self._redis.execute_command(*stage_command(one))
            *replies, _left = self._redis.execute_command(*command)
            for one, reply in zip(upload, replies, strict=True):
                self._promises.note_accepted(one, reply)
            if chance.random() > 0.15:
                return

    def _number(self) -> int:
        """Choose a picture: often one that others send too."""
        chance = self._random
        number = chance.randint(1, 8) if chance.random() < 0.6 else chance.randint(100, 9999)
        return 5 if self._system.conditions is CALM and number == pictures.POISON else number

    def _submission(self, number: int) -> Submission:
        chance = self._random
        data = pictures.picture(number)
        lane = chance.choice((LANES[0], *LANES))
        return Submission(
            id=PredictionId(new_uuid7()),
            owner=Owner(chance.choice(OWNERS)),
            choice=Choice(
                model=MODEL,
                version=VersionNumber(self._system.version[0]),
                key=VersionKey(self._system.version),
                variant="champion",
            ),
            image=data,
            facts=ImageFacts(
                sha256=Digest(hashlib.sha256(data).hexdigest()),
                format="PNG",
                width=1,
                height=1,
                bytes=len(data),
                filename=None,
            ),
            metadata={},
            base_url="http://here",
            lane=lane,
            batch=lane.removeprefix("bulk:") if lane != keys.INTERACTIVE else "",
            cancel_after=timedelta(microseconds=int(10 ** chance.uniform(0, 6)))
            if chance.random() < self._system.conditions.deadlines
            else None,
            idempotency_key=chance.choice(("", "", "", "k1", "k2", "k3")),
            fingerprint=str(number),
        )

    def late_result(self, record: Callable[[], None]) -> None:
        """Play a history that chance seldom finds: a job ends, is recorded and evicted while others wait."""
        waiting = self._submission(5)
        late = replace(waiting, id=PredictionId(new_uuid7()), cancel_after=timedelta(microseconds=1))
        alike = {"idempotency_key": "", "lane": keys.INTERACTIVE, "batch": ""}
        for one in (replace(waiting, cancel_after=None, **alike), replace(late, **alike)):
            job = prepared(one)
            self._system.plain.execute_command(*submit_command(job, settings=self._queue, memory_is_high=False))
            self._promises.accepted[one.id] = Accepted(5, one.choice.key, "")
        time.sleep(0.001)
        lanes = Lanes(self._system.plain, model=MODEL, consumer="w", settings=self._queue)
        begun = lanes.begin(lanes.pull(BATCH_SIZE).entries)
        record()
        self._system.plain.delete(keys.job(late.id))
        lanes.finish([Result(entry, "succeeded", output=b"1") for entry in begun], run=b"{}")
        record()

    def cancel(self) -> None:
        """A client that cancels its job."""
        unfinished = [id for id in self._promises.accepted if id not in self._promises.rows]
        if unfinished:
            id = self._random.choice(unfinished)
            Scripts(self._redis).run(Script.CANCEL, (), bells.record_message(), id, "user", "")

    def cancel_batch(self) -> None:
        """An owner who cancels an upload, or a sweep that finishes that."""
        scripts, lane = Scripts(self._redis), self._random.choice(LANES[1:])
        id, told = lane.removeprefix("bulk:"), bells.record_message()
        said = scripts.run(Script.CANCEL_BATCH, (keys.batch(BatchId(id)),), id, "user", 0, told)
        while said == b"canceled" and scripts.run(Script.CANCEL_LANE, (keys.lane(MODEL, lane),), id, told, 2, 10**6):
            pass

    def poll(self) -> None:
        """A client that polls: the first terminal state that it sees must stay."""
        if not self._promises.accepted:
            return
        id = self._random.choice(list(self._promises.accepted))
        job = parse(id, self._redis.execute_command("HMGET", keys.job(id), *FIELDS))
        promises = self._promises
        promises.note_seen(id, job.status if job else promises.row_status(id))


def _no_image(beside: Submission) -> Unreadable:
    """Return an item of the same upload that is no image."""
    return Unreadable(
        id=PredictionId(new_uuid7()),
        owner=beside.owner,
        choice=beside.choice,
        lane=beside.lane,
        batch=beside.batch,
        custom_id="notes.txt",
        filename=None,
        size=1,
        sha256=None,
        error="this is text",
    )
