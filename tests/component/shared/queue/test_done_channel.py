"""The channel on which ends are announced."""

import asyncio
from typing import Any, Self, cast

from shared.queue.producer.done_channel import DoneChannel


class Subscription:
    """A subscription whose confirmation comes only after `subscribe` has returned, as Redis' does."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.asked = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def subscribe(self, _: str) -> None:
        self.asked.set()

    async def get_message(self, *, timeout: float | None) -> dict[str, Any]:  # noqa: ASYNC109  the client's form
        assert timeout is None
        return await self.said.get()


class Client:
    """A client with one subscription."""

    def __init__(self) -> None:
        self.subscription = Subscription()

    def pubsub(self) -> Subscription:
        return self.subscription


def test_states_are_read_again_only_once_redis_has_confirmed_the_subscription() -> None:
    """What ends between the request and its confirmation is told to nobody."""

    async def within() -> None:
        client = Client()
        messages = DoneChannel(cast("Any", client)).messages()
        first = asyncio.ensure_future(anext(messages))
        await client.subscription.asked.wait()
        await asyncio.sleep(0)
        assert not first.done()
        await client.subscription.said.put({"type": "subscribe", "data": 1})
        assert await first == []
        await client.subscription.said.put({"type": "message", "data": b"a b"})
        assert await anext(messages) == [b"a", b"b"]
        await client.subscription.said.put({"type": "subscribe", "data": 1})  # the client library connected anew
        assert await anext(messages) == []
        await messages.aclose()

    asyncio.run(within())
