"""The channel on which the scripts say which jobs have ended."""

from collections.abc import AsyncGenerator

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.queue import keys


class ChannelLost(Exception):
    """The subscription has ended; `str` of it says why."""


class DoneChannel:
    """Listens on a connection of its own."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def messages(self) -> AsyncGenerator[list[bytes], None]:
        """Give an empty list once it is subscribed, then of each message the ids that ended; raises ChannelLost."""
        try:
            async with self._client.pubsub() as channel:
                await channel.subscribe(keys.DONE)
                while True:
                    # Without a timeout a silent channel would end as a lost one.
                    message = await channel.get_message(timeout=None)
                    if message is None:
                        continue
                    # `subscribe` returns when it was sent; what ends before Redis confirms it is not told.
                    yield [] if message["type"] == "subscribe" else message["data"].split()
        except (RedisError, OSError) as error:
            raise ChannelLost(str(error)) from error
