"""What API keys may, counted in Redis for all gateways."""

import asyncio
from datetime import timedelta

from shared.domain.errors import RateLimited
from shared.domain.identifiers import Owner
from shared.domain.key_limits import Limits, Remaining
from shared.queue import keys
from shared.queue.connection.pipeline import Pipeline
from shared.queue.lua import Script
from shared.queue.producer.submission import ALL, rate_arguments, read_left


class KeyLimits:
    """The keys' rates and their owners' unfinished images. Submissions take of both by themselves."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._redis = pipeline

    async def take_one(self, limits: Limits) -> Remaining:
        """Take one of a key's rate for what is no job, and return what is left; raises RateLimited. Twice takes two."""
        if limits.rate is None or limits.key is None:
            return ALL
        wait, *rest = await self._redis.evaluate(Script.TAKE, (keys.rate(limits.key),), *rate_arguments(limits))
        left = read_left([*rest, -1])
        if wait:
            raise RateLimited(limit="rate", limits=limits, left=left, retry_after=timedelta(microseconds=wait))
        return left

    async def read_use(self, limits: Limits, owner: Owner) -> tuple[Remaining, int]:
        """Return what is left of a key's limits, and the owner's unfinished images; takes nothing."""
        (_, left), unfinished = await asyncio.gather(
            self._read(limits, owner), self._redis.call("ZCARD", keys.inflight(owner))
        )
        return left, int(unfinished)

    async def check_limits(self, limits: Limits, owner: Owner) -> None:
        """Raise RateLimited where a key allows no image now; takes nothing."""
        wait, left = await self._read(limits, owner)
        if wait:
            raise RateLimited(limit="rate", limits=limits, left=left, retry_after=timedelta(microseconds=wait))
        if left.unfinished == 0:
            raise RateLimited(limit="unfinished", limits=limits, left=left, retry_after=timedelta(seconds=1))

    async def _read(self, limits: Limits, owner: Owner) -> tuple[int, Remaining]:
        """Return the microseconds until the key allows an image, and what is left of its limits."""
        names = (keys.rate(limits.key) if limits.rate and limits.key else "", keys.inflight(owner))
        cap = limits.max_inflight or ""
        wait, *rest = await self._redis.evaluate(Script.READ_LIMITS, names, *rate_arguments(limits), cap)
        return wait, read_left(rest)
