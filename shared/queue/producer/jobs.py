"""Predictions in Redis as the gateway submits, finds, lists and cancels them."""

from collections.abc import Sequence
from typing import Final

from redis.exceptions import OutOfMemoryError

from shared.domain.identifiers import Digest, Owner, PredictionId
from shared.domain.job import RECORD_FIELDS, Job
from shared.domain.job_request import JobRequest
from shared.domain.key_limits import Limits, Remaining
from shared.queue import bells, job_records, keys
from shared.queue.connection.pipeline import Pipeline
from shared.queue.lua import Script
from shared.queue.producer.staged_images import StagedSubmissions
from shared.queue.producer.submission import Answer, Submission, is_staged, queue_full, read_answer, read_left
from shared.queue.producer.submission_groups import SubmissionGroups
from shared.settings import Queue

RECORDS_AT_ONCE: Final = 128
"""Entries of the finished stream that one read returns: they hold Redis for 0.4 ms."""
# A record is read as a flat list of names and values, in the order of RECORD_FIELDS: thousands of dicts cost more.
_ID: Final = 2 * RECORD_FIELDS.index("id")
_OWNER: Final = 2 * RECORD_FIELDS.index("owner")


class Jobs:
    """The jobs of all owners, through the gateway's pipeline. Every method may be repeated after a lost answer."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._redis = pipeline
        self._groups = SubmissionGroups(pipeline)
        self._staged = StagedSubmissions(pipeline, self._groups)

    async def submit(
        self,
        submission: Submission,
        request: JobRequest,
        *,
        settings: Queue,
        memory_is_high: bool,
        limits: Limits,
    ) -> tuple[Answer, Remaining]:
        """Put one job into the queue; return what became of it, and what is left of the key's limits.

        Jobs that come in at the same time share a script call, after which what is left is read for all of them.

        `request` is `submission.request()`. Raises what `read_answer` raises, and StorageUnavailable: `certain` where
        nothing was written.
        """
        written = job_records.write_request(request)
        try:
            way = self._staged if is_staged(submission.image, settings) else self._groups
            reply, rest = await way.submit(
                submission, written, settings=settings, memory_is_high=memory_is_high, limits=limits
            )
        except OutOfMemoryError:
            raise queue_full(submission.choice.lane_owner) from None
        left = read_left(rest)
        return read_answer(reply, submission, limits=limits, left=left), left

    async def cancel(self, id: PredictionId, owner: Owner) -> None:
        """Cancel an owner's job; one that has ended, or is not there, stays as it is."""
        await self._redis.evaluate(Script.CANCEL, (), bells.record_message(), id, "user", owner)

    async def find(self, id: PredictionId) -> Job | None:
        """Return a job, whoever owns it; None where Redis no longer has it."""
        return job_records.parse(id, await self._redis.call("HMGET", keys.job(id), *job_records.FIELDS))

    async def find_output(self, id: PredictionId, owner: Owner) -> bytes | None:
        """Return the output of an owner's job as JSON, with its mask however large; None where Redis has none."""
        found: list[bytes | None] = await self._redis.call("HMGET", keys.job(id), "owner", "output")
        return found[1] if found[0] == owner.encode() else None

    async def find_failed_image(self, owner: Owner, digest: Digest) -> bytes | None:
        """Return an owner's image whose computation failed; None where it is no longer kept."""
        found: bytes | None = await self._redis.call("GET", keys.failed_image(owner, digest))
        return found

    async def find_all(self, ids: Sequence[PredictionId]) -> list[Job]:
        """Return those of the jobs that are there, in order, with one call: a hundred hold Redis for some 0.3 ms."""
        names = tuple(keys.job(id) for id in ids)
        found = await self._redis.evaluate(Script.READ_HASHES, names, *job_records.FIELDS)
        jobs = (job_records.parse(id, reply) for id, reply in zip(ids, found, strict=True))
        return [job for job in jobs if job is not None]

    async def unfinished(self, owner: Owner, *, until: int | None, most: int) -> list[tuple[str, int]]:
        """Return the ids of an owner's newest unfinished jobs and when each came, in microseconds, the newest first.

        Of those that came until `until`, at most `most`.
        """
        upper = "+inf" if until is None else str(until)
        found = await self._redis.call(
            "ZRANGE", keys.inflight(owner), upper, "-inf", "BYSCORE", "REV", "LIMIT", 0, most, "WITHSCORES"
        )
        return [(id.decode(), int(score)) for id, score in zip(found[::2], found[1::2], strict=True)]

    async def unrecorded(self, owner: Owner, *, most: int) -> set[str]:
        """Return the ids of an owner's jobs that have ended and wait for their row, among the last `most` of all."""
        mine, found, upper = [b"owner", owner.encode()], set(), "+"
        for _ in range(0, most, RECORDS_AT_ONCE):
            entries = await self._redis.call("XREVRANGE", keys.FINISHED, upper, "-", "COUNT", RECORDS_AT_ONCE)
            # A batch's record, which has another order, has its total in the owner's place.
            found |= {flat[_ID + 1].decode() for _, flat in entries if flat[_OWNER : _OWNER + 2] == mine}
            if len(entries) < RECORDS_AT_ONCE:
                break
            upper = f"({entries[-1][0].decode()}"
        return found
