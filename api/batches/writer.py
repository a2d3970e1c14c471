"""Enqueues the items of one bulk upload in order, a chunk at a time; waits where the queue has no room."""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, Self, TypeVar

from api.batches.archives.items import Item, Skipped
from api.http.problem_table import error_words
from api.state.asked_models import NO_DIGEST, Asked
from api.state.body_memory import MemoryHold, largest_in_hand
from api.state.gateway import Gateway
from api.state.large_work import off_the_loop
from api.state.submission_counter import outcome_of
from api.uploads.image_check import check_image, clean_filename
from shared.domain.errors import (
    ImageTooLarge,
    InvalidParameter,
    QueueFull,
    RateLimited,
    StorageUnavailable,
    UndecodableImage,
    UnsupportedImage,
    UploadTooLarge,
)
from shared.domain.identifiers import BatchId, Digest, OrderedIds, PredictionId
from shared.domain.key_limits import Limits
from shared.queue.producer.batches import Opening, RedisFull
from shared.queue.producer.submission import (
    Prepared,
    Submission,
    Unreadable,
    bulk_lane,
    prepared,
    read_item,
)

T = TypeVar("T")

log = logging.getLogger(__name__)

# A chunk is checked in one turn of the event loop, about a millisecond; other requests are served in between, and would
# wait longer for larger ones (docs/decisions, 23).
CHUNK_ITEMS: Final = 32
CHUNK_BYTES: Final = 1024 * 1024
SIGN_OF_LIFE: Final = timedelta(seconds=2)
PAUSE: Final = timedelta(milliseconds=50)
LIMITED_PAUSE: Final = timedelta(milliseconds=500)
# Images tried at a time where a key's unfinished ones must end first.
FEW: Final = 16
# An item's problem quotes some of its own text at most, and is stored with each item.
LONGEST_PROBLEM: Final = 500
MOST_WAITED: Final = 256
"""Images of a batch whose results its upload may wait for."""


class BatchWriter:
    """An open batch. As a context it renews the batch's lease, and cancels the batch when it is left before `close`.

    The process may be killed at any time: an item is accepted once by its id, and the sweep cancels a batch whose
    lease is not renewed.
    """

    def __init__(
        self,
        gate: Gateway,
        opening: Opening,
        *,
        asked: Asked,
        hold: MemoryHold,
        limits: Limits,
    ) -> None:
        """`limits` are the API key's: items beyond them wait. `hold` counts the memory that the upload takes."""
        self._hold = hold
        self._gate = gate
        self._batches = gate.producer.batches
        self._limits = limits
        self._opening = opening
        self._asked = asked
        self._queue = gate.queue.model_copy(
            update={"max_lane_depth": gate.bulk.max_lane_depth, "max_lane_bytes": gate.bulk.max_lane_bytes}
        )
        self._ids = OrderedIds()
        self.first_items: list[PredictionId] = []
        """Ids of the first items in upload order, as many as are waited for and one more."""
        self._lane = bulk_lane(opening.id)
        self._jobs: list[Prepared] = []
        self._chunk_bytes = 0
        self._sent = 0
        self._closed = False
        self._tending: asyncio.Task[None] | None = None
        self._asking = asyncio.Lock()

    @property
    def id(self) -> BatchId:
        """The batch's id."""
        return self._opening.id

    async def __aenter__(self) -> Self:
        """Begin to renew the lease."""
        self._tending = asyncio.create_task(self._tend_forever(), name="batch")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop renewing; cancel the batch where it was not closed."""
        if self._tending:
            self._tending.cancel()
        if not self._closed:
            # In a task of its own, so that it is finished even if this request is canceled.
            await asyncio.shield(asyncio.create_task(self._cancel()))

    async def add(self, item: Item) -> None:
        """Enqueue one item, at once or with the rest of its chunk.

        Raises UploadTooLarge for one too many, BatchClosed where the batch was canceled meanwhile, StorageUnavailable
        where Redis stays away.
        """
        if self._sent >= self._gate.bulk.max_items:
            raise UploadTooLarge(size=self._sent + 1, limit=self._gate.bulk.max_items, unit="images")
        # For items of an archive; others were counted as they arrived.
        await self._hold.reach(len(item.data), most=largest_in_hand(self._gate.intake))
        await off_the_loop(len(item.data), self._prepare, item)
        self._chunk_bytes += len(item.data)
        self._sent += 1
        if self._chunk_is_full():
            await self._flush()

    async def close(self, *, skipped: Skipped) -> None:
        """Enqueue the rest and mark the batch as read to its end.

        Raises InvalidParameter for an upload without any image, StorageUnavailable where Redis lost items, and
        BatchClosed where the batch was canceled meanwhile.
        """
        await self._flush()
        if not self._sent:
            raise InvalidParameter(detail="the upload holds no image", pointer="/images")
        if not await self._patiently(self._close_once, skipped):
            raise StorageUnavailable(store="redis", retry_after=PAUSE)
        self._closed = True

    async def _close_once(self, skipped: Skipped) -> bool:
        return await self._batches.close(
            self._opening, sent=self._sent, skipped=skipped.count, skipped_files=skipped.names
        )

    def _chunk_is_full(self) -> bool:
        return len(self._jobs) >= CHUNK_ITEMS or self._chunk_bytes >= CHUNK_BYTES

    async def _flush(self) -> None:
        """Send the chunk with one script call, which costs Redis and this process a third less than one a job."""
        jobs, self._jobs, self._chunk_bytes = self._jobs, [], 0
        await self._send(jobs)
        self._hold.shrink()

    def _prepare(self, item: Item) -> None:
        """Check one item and add it to the chunk, as a submission or as unreadable. Runs in a thread for large ones."""
        id = PredictionId(self._ids.next())
        filename = clean_filename(item.name)
        if len(self.first_items) <= MOST_WAITED:
            self.first_items.append(id)
        problem, facts = item.problem, None
        if not problem:
            try:
                facts = check_image(item.data, filename=item.name, content_type=None, limits=self._gate.intake)
            except (ImageTooLarge, UnsupportedImage, UndecodableImage) as error:
                problem = error_words(error)
        if facts is None:
            sha256 = Digest(hashlib.sha256(item.data).hexdigest()) if item.data else None
            self._put(
                Unreadable(
                    id=id,
                    owner=self._opening.owner,
                    choice=self._asked.choose(sha256 or NO_DIGEST),
                    lane=self._lane,
                    batch=self._opening.id,
                    custom_id=item.name,
                    filename=filename,
                    size=len(item.data),
                    sha256=sha256,
                    error=problem[:LONGEST_PROBLEM],
                    request_id=self._opening.request_id,
                )
            )
            return
        self._put(
            Submission(
                id=id,
                owner=self._opening.owner,
                choice=self._asked.choose(facts.sha256),
                image=item.data,
                facts=facts,
                metadata={},
                base_url="",
                lane=self._lane,
                batch=self._opening.id,
                custom_id=item.name,
                request_id=self._opening.request_id,
                retry_of=item.retry_of,
                trace=self._opening.trace,
            )
        )

    def _put(self, job: Submission | Unreadable) -> None:
        self._jobs.append(prepared(job))

    async def _send(self, jobs: list[Prepared]) -> None:
        """Send until all are accepted; jobs that a full lane or the key's limits refuse are sent again later."""
        at_once = len(jobs)
        while jobs:
            refused, pause = await self._patiently(self._send_once, jobs[:at_once])
            jobs = refused + jobs[at_once:]
            if pause:
                await asyncio.sleep(max(pause, LIMITED_PAUSE).total_seconds())
                # Only as many as may pass: the bytes of the others would be sent for nothing.
                at_once = max(1, int((self._limits.rate or FEW) * LIMITED_PAUSE.total_seconds()))
            elif refused:
                await self._wait_for_room()

    async def _send_once(self, jobs: list[Prepared]) -> tuple[list[Prepared], timedelta]:
        """Return the refused jobs, and how long to wait by the key's limits; zero where the lane was full."""
        refused, outcomes, pause = [], [], timedelta(0)
        replies = await self._batches.submit(
            jobs, settings=self._queue, memory_is_high=self._memory_is_short, limits=self._limits
        )
        for job, reply in zip(jobs, replies, strict=True):
            try:
                outcomes.append(outcome_of(job[0], read_item(reply, job[0])))
            except QueueFull:
                refused.append(job)
            except RateLimited as limited:
                refused.append(job)
                pause = max(pause, limited.retry_after)
        for outcome, images in Counter(outcomes).items():
            self._gate.submissions.count(self._opening.model, outcome, images)
        return refused, pause

    async def _patiently(self, call: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Call again while Redis is out of memory, and for `bulk.patience` while Redis is away."""
        loop = asyncio.get_running_loop()
        give_up: float | None = None
        while True:
            try:
                return await call(*arguments)
            except RedisFull:
                give_up = None
                await self._wait_for_room()
            except StorageUnavailable:
                give_up = give_up or loop.time() + self._gate.bulk.patience.total_seconds()
                if loop.time() >= give_up:
                    raise
                await asyncio.sleep(PAUSE.total_seconds())

    async def _wait_for_room(self) -> None:
        """Return when the lane has room for a chunk, and so has the finished stream, where unreadable items wait.

        One read for all that wait; no images are sent to find out.
        """
        async with self._asking:
            room = self._queue.max_lane_depth - min(CHUNK_ITEMS, self._queue.max_lane_depth // 2)
            while True:
                fits = await self._batches.has_room(self._opening, entries=room, size=self._queue.max_lane_bytes)
                if fits and not self._memory_is_short:
                    return
                await asyncio.sleep(PAUSE.total_seconds())

    @property
    def _memory_is_short(self) -> bool:
        return self._gate.redis_memory.over(self._gate.bulk.memory_share)

    async def _tend_forever(self) -> None:
        while True:
            try:
                await self._batches.tend(self._opening.id)
            except StorageUnavailable:
                log.warning("batch_untended")
            await asyncio.sleep(SIGN_OF_LIFE.total_seconds())

    async def _cancel(self) -> None:
        opening = self._opening
        try:
            await self._batches.cancel(opening.id, mode="broken")
        except StorageUnavailable:
            log.warning("batch_left_to_the_sweep")
