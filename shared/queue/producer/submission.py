"""Submissions, the `submit` script's arguments for them, and what its replies mean.

Over 300 lines: the script's arguments and replies are read and written in one place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import orjson

from shared.domain.errors import IdempotencyMismatch, QueueFull, RateLimited
from shared.domain.identifiers import Digest, ModelName, Owner, PredictionId
from shared.domain.image import ImageFacts
from shared.domain.job_request import JobRequest, RequestImage
from shared.domain.key_limits import UNLIMITED, Limits, Remaining
from shared.domain.model_route import Choice
from shared.domain.records import record
from shared.domain.webhooks import Event, Webhook
from shared.queue import bells, keys
from shared.queue.job_records import read_output, write_request
from shared.queue.keys import INTERACTIVE, bulk_lane, heavy_lane
from shared.queue.lua import Script, sha
from shared.settings import Queue

__all__ = [
    "INTERACTIVE",
    "Answer",
    "BatchClosed",
    "Failed",
    "Hit",
    "Known",
    "Prepared",
    "Queued",
    "Submission",
    "Unreadable",
    "bulk_lane",
    "fingerprint",
    "heavy_lane",
    "prepared",
    "read_item",
]


@record(kw_only=True)
class Submission:
    """One image to predict. `batch` is empty outside bulk uploads; `lane` is INTERACTIVE or a bulk lane's name.

    `base_url` begins the URLs in webhooks; it is empty for a batch's items, which have none of their own.
    """

    id: PredictionId
    owner: Owner
    choice: Choice
    image: bytes
    facts: ImageFacts
    metadata: dict[str, Any]
    base_url: str
    lane: str = keys.INTERACTIVE
    batch: str = ""
    custom_id: str | None = None
    cancel_after: timedelta | None = None
    idempotency_key: str = ""
    fingerprint: str = ""
    webhook: Webhook | None = None
    request_id: str | None = None
    """Of the HTTP request that brought it, for logs."""
    retry_of: PredictionId | None = None
    """The prediction that this one repeats."""
    trace: str | None = None
    """The span of that HTTP request. Kept with the entry, and with the job unless it is an item of a batch."""

    def request(self) -> JobRequest:
        """Return what is kept with the job: everything but the image's bytes."""
        choice, facts = self.choice, self.facts
        # In the order of the fields: by their names costs 0.25 µs more.
        return JobRequest(
            choice.model,
            choice.version,
            choice.key,
            choice.variant,
            RequestImage(facts.sha256, facts.format, facts.width, facts.height, facts.bytes, facts.filename),
            self.metadata,
            self.base_url,
            self.webhook,
            self.custom_id,
            self.request_id,
            self.retry_of,
            None if self.batch else self.trace,
        )


@record(kw_only=True)
class Unreadable:
    """A batch's item that is no image: `error` says why. `size` is in bytes; `sha256` is None if it was not read."""

    id: PredictionId
    owner: Owner
    choice: Choice
    lane: str
    batch: str
    custom_id: str
    filename: str | None
    size: int
    sha256: Digest | None
    error: str
    request_id: str | None = None

    def request(self) -> JobRequest:
        """Return what is kept with the job, as of a submission."""
        choice, image = self.choice, RequestImage(sha256=self.sha256, bytes=self.size, filename=self.filename)
        return JobRequest(
            choice.model,
            choice.version,
            choice.key,
            choice.variant,
            image,
            {},
            custom_id=self.custom_id,
            request_id=self.request_id,
        )


Prepared = tuple[Submission | Unreadable, bytes]
"""A submission or an unreadable item, and its `request()` as JSON."""


def prepared(item: Submission | Unreadable) -> Prepared:
    """Return an item with its request written as JSON."""
    return item, write_request(item.request())


@record()
class Queued:
    """A new job waits; `created` in microseconds. `joined`: for a computation that another job waits for already."""

    created: int
    joined: bool = False


@record()
class Hit:
    """A new job was answered from the cache at `created` microseconds."""

    created: int
    output: bytes

    @property
    def read_output(self) -> Any:
        """The output as jobs have it: without a large mask."""
        return read_output(self.output)


@record()
class Failed:
    """An unreadable item became a job that failed at once, at `created` microseconds."""

    created: int


@record()
class Known:
    """The job existed before: it was sent again, or has the same idempotency key."""

    id: PredictionId


Answer = Queued | Hit | Known
ALL: Final = Remaining()


@dataclass(eq=False)
class BatchClosed(Exception):
    """The batch takes no more items: it was canceled while its upload was being read."""

    id: str


def is_staged(image: bytes, settings: Queue) -> bool:
    """Tell whether an image is staged (`staged_images`), not sent within its submission."""
    return len(image) > settings.max_inline_image


def submit_command(
    *jobs: Prepared, settings: Queue, memory_is_high: bool, limits: Limits = UNLIMITED
) -> tuple[bytes | str | int, ...]:
    """Return the EVALSHA that submits items. All of them have the same owner, model, lane, batch and limits."""
    first = jobs[0][0]
    model, owner, lane = first.choice.lane_owner, first.owner, first.lane
    names: list[str] = []
    arguments: list[bytes | str | int] = []
    for submission, request in jobs:
        if isinstance(submission, Unreadable):
            names += (keys.job(submission.id), "", "", "")
            arguments += (submission.id, request, submission.error, submission.choice.key, 0, "", 0, "")
            continue
        version, digest, idempotency_key = submission.choice.key, submission.facts.sha256, submission.idempotency_key
        cancel_after = submission.cancel_after
        names += (
            keys.job(submission.id),
            keys.idempotency(owner, idempotency_key) if idempotency_key else "",
            keys.cache(owner, model, version=version, digest=digest),
            keys.waiting(owner, model, lane=lane, version=version, digest=digest),
        )
        arguments += (
            submission.id,
            request,
            b"" if is_staged(submission.image, settings) else submission.image,
            submission.choice.entry_version,
            0 if cancel_after is None else cancel_after // timedelta(microseconds=1),
            submission.fingerprint,
            1 if submission.webhook and Event.START in submission.webhook.events else 0,
            submission.trace or "",
        )
    return (
        "EVALSHA",
        sha(Script.SUBMIT),
        5 + len(names),
        keys.lane(model, lane),
        keys.bell(model),
        keys.inflight(owner),
        "" if lane == keys.INTERACTIVE else keys.rotation(model),
        keys.rate(limits.key) if limits.rate and limits.key else "",
        *names,
        owner,
        first.batch,
        settings.max_lane_depth,
        settings.max_lane_bytes,
        settings.max_waiters,
        1 if memory_is_high else 0,
        *rate_arguments(limits),
        limits.max_inflight or "",
        keys.predict_queue(model),
        bells.predict_message(model),
        bells.record_message(),
        *arguments,
    )


def rate_arguments(limits: Limits) -> tuple[int, int]:
    """Return a rate as the scripts take it: microseconds for each image, and how many may come at once."""
    if limits.rate is None:
        return 0, 0
    return limits.interval // timedelta(microseconds=1), limits.burst


def read_left(reply: list[int]) -> Remaining:
    """Return what is left of the limits, from a script's reply: images, microseconds until all, unfinished."""
    images, until_all, unfinished = reply
    if images < 0 and unfinished < 0:
        return ALL
    return Remaining(
        images=images if images >= 0 else None,
        until_all=timedelta(microseconds=until_all),
        unfinished=unfinished if unfinished >= 0 else None,
    )


def read_answer(
    reply: list[Any], submission: Submission | Unreadable, *, limits: Limits = UNLIMITED, left: Remaining = ALL
) -> Answer:
    """Return what became of one job, from the script's reply.

    Raises RateLimited, QueueFull, IdempotencyMismatch or BatchClosed where it was refused.
    """
    match reply:
        case [b"queued", _, created]:
            return Queued(int(created))
        case [b"follow", _, created]:
            return Queued(int(created), joined=True)
        case [b"hit", _, created, output]:
            return Hit(int(created), output)
        case [b"again" | b"known", id]:
            return Known(PredictionId(id.decode()))
        case [b"mismatch", first] if isinstance(submission, Submission):
            raise IdempotencyMismatch(key=submission.idempotency_key, first_id=first.decode())
        case [b"closed", _]:
            raise BatchClosed(id=submission.batch)
        case [b"fast", _, wait]:
            pause = timedelta(microseconds=int(wait))
            raise RateLimited(limit="rate", limits=limits, left=left, retry_after=pause)
        case [b"many", _]:
            raise RateLimited(limit="unfinished", limits=limits, left=left, retry_after=timedelta(seconds=1))
        case [b"full" | b"unset", _]:
            raise queue_full(submission.choice.lane_owner)
    raise AssertionError(f"the submit script said {reply!r}")


def read_item(reply: list[Any], item: Submission | Unreadable) -> Answer | Failed:
    """Return what became of one item of a batch; raises what `read_answer` does."""
    return Failed(int(reply[2])) if reply[0] == b"failed" else read_answer(reply, item)


def queue_full(model: ModelName) -> QueueFull:
    """Return the error for a lane, or Redis' memory, that is full."""
    # A full lane drains thousands a second; a few seconds spread the retries.
    return QueueFull(model=model, retry_after=timedelta(seconds=5))


def fingerprint(submission: Submission, asked: Sequence[Any]) -> str:
    """Return what must be equal for two requests with one idempotency key to be the same request.

    `asked` is the model as it was asked for, not the version chosen: that may change between two tries.
    """
    cancel_after = submission.cancel_after.total_seconds() if submission.cancel_after else None
    webhook = submission.webhook.as_json() if submission.webhook else None
    same = [submission.facts.sha256, asked, submission.metadata, submission.lane, cancel_after, webhook]
    return orjson.dumps(same, option=orjson.OPT_SORT_KEYS).decode()
