"""The listener ends when it is told to, whatever its channel does with a cancellation."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial

from api.state.job_waiters import JobWaiters
from shared.queue.producer.done_channel import DoneChannel
from tests.support.waiting import LIMIT, until_async


class Connecting(DoneChannel):
    """A channel that swallows a cancellation while it connects, as redis' client may, and is silent afterwards."""

    def __init__(self) -> None:
        self.connecting, self.subscribed = 0, 0

    async def messages(self) -> AsyncGenerator[list[bytes], None]:
        """Give an empty list once it is subscribed, and nothing more."""
        self.connecting += 1
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
        self.subscribed += 1
        yield []
        await asyncio.sleep(60)


until = partial(until_async, pause=0.001)


def test_the_listener_closes_while_it_connects() -> None:
    async def close() -> None:
        channel = Connecting()
        waiters = JobWaiters(channel)
        await until(lambda: channel.connecting == 1)
        await asyncio.wait_for(waiters.close(), timeout=LIMIT)
        assert channel.subscribed == 1, "the cancellation was swallowed"

    asyncio.run(close())


def test_a_listener_started_while_connecting_replaces_the_old_one() -> None:
    async def move() -> None:
        channel = Connecting()
        waiters = JobWaiters(channel)
        await until(lambda: channel.connecting == 1)
        waiters.listen_anew()
        await until(lambda: channel.subscribed == 2)
        # Of the two listeners one is left, beside this task.
        await until(lambda: len(asyncio.all_tasks()) == 2)
        await waiters.close()

    asyncio.run(move())
