"""Images above `max_inline_image` bytes are staged: written to a key of their own, which the submit script takes over.

Lua copies and hashes every argument, a byte at a time: 53 KB in the script's arguments cost Redis 50 to 65 µs more than
beside them. A staged key expires, so that one whose submission never comes leaves nothing behind; the script makes it
the entry's, for good, in the step that makes the entry, and deletes it where the image is not needed.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from redis.exceptions import OutOfMemoryError

from shared.domain.errors import StorageUnavailable
from shared.domain.key_limits import Limits
from shared.queue import keys
from shared.queue.connection.exchange import LARGE, Command
from shared.queue.connection.pipeline import Pipeline
from shared.queue.producer.submission import Prepared, Submission, is_staged
from shared.queue.producer.submission_groups import Reply, SubmissionGroups
from shared.settings import Queue

STAGED_FOR: Final = timedelta(seconds=60)
"""How long a staged image waits for its submission: longer than any command is tried."""
TRIES: Final = 3
"""A staged image may be gone when its submission comes: evicted, or Redis has failed over in between."""
MOST_UNWANTED: Final = 10_000


def stage_command(submission: Submission) -> Command:
    """Return the command that stages a submission's image; safe to repeat."""
    lifetime = STAGED_FOR // timedelta(milliseconds=1)
    return "SET", keys.staged_image(submission.id), submission.image, "PX", lifetime


async def stage_all(pipeline: Pipeline, items: Sequence[Prepared], settings: Queue) -> None:
    """Stage the images of an upload's items that are to be. Raises OutOfMemoryError and StorageUnavailable."""
    await asyncio.gather(
        *(
            pipeline.call_or_full(*stage_command(item))
            for item, _ in items
            if isinstance(item, Submission) and is_staged(item.image, settings)
        )
    )


class StagedSubmissions:
    """Submits single images whose bytes are staged, in the same write as their submission where they are not LARGE.

    Where the last image of an owner in a lane was not needed, because it was refused, cached or joined another, the
    next one is submitted first and staged only if the script asks: what is staged is written to the append-only file.
    """

    def __init__(self, pipeline: Pipeline, groups: SubmissionGroups) -> None:
        self._pipeline = pipeline
        self._groups = groups
        self._unwanted: set[tuple[str, str, str]] = set()

    async def submit(
        self, submission: Submission, request: bytes, *, settings: Queue, memory_is_high: bool, limits: Limits
    ) -> Reply:
        """Do what SubmissionGroups.submit does."""
        lane = (submission.owner, submission.choice.lane_owner, submission.lane)
        staging = None
        if not memory_is_high and lane not in self._unwanted:
            staging = await self._stage(submission)
        for _ in range(TRIES):
            reply = await self._groups.submit(
                submission, request, settings=settings, memory_is_high=memory_is_high, limits=limits
            )
            if reply[0][0] != b"unset":
                self._learn(lane, wanted=reply[0][0] == b"queued")
                return reply
            # Never sent, evicted since, refused for want of memory, or refused for now and still being tried.
            if staging is None or (staging.done() and staging.exception() is None):
                staging = await self._stage(submission)
            await _staged(staging)
        raise OutOfMemoryError("staged images are evicted before their submission comes")

    async def _stage(self, submission: Submission) -> "asyncio.Future[Any]":
        """Stage the image with the next write, a LARGE one at once; return what gets the reply or the error."""
        command = stage_command(submission)
        if len(submission.image) <= LARGE:
            staging = self._groups.send_before(command)
            staging.add_done_callback(_retrieve)
            return staging
        staging = asyncio.ensure_future(self._pipeline.call_or_full(*command))
        await _staged(staging)
        return staging

    def _learn(self, lane: tuple[str, str, str], *, wanted: bool) -> None:
        if wanted:
            self._unwanted.discard(lane)
        elif len(self._unwanted) < MOST_UNWANTED:
            self._unwanted.add(lane)


async def _staged(staging: "asyncio.Future[Any]") -> None:
    """Return when the image is staged; raises OutOfMemoryError, or StorageUnavailable: nothing was submitted."""
    try:
        await staging
    except StorageUnavailable as error:
        raise replace(error, certain=True) from None


def _retrieve(staging: "asyncio.Future[Any]") -> None:
    """Mark the error as seen: where the submission was answered it no longer matters."""
    with suppress(asyncio.CancelledError):
        staging.exception()
