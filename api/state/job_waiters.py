"""Who waits for which job: one subscription tells every waiting request of this process."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from shared.domain.identifiers import PredictionId
from shared.queue.producer.done_channel import ChannelLost, DoneChannel

log = logging.getLogger(__name__)

# A message lost with its connection costs a waiting request this long at most.
FALLBACK = timedelta(seconds=1)


class JobWaiters:
    """Events by prediction, set when the `done` channel says that it ended."""

    def __init__(self, channel: DoneChannel) -> None:
        self._channel = channel
        self._events: dict[bytes, list[asyncio.Event]] = {}
        self._task = asyncio.create_task(self._listen_forever(), name="done-listener")

    @contextmanager
    def listen(self, id: PredictionId) -> Iterator[asyncio.Event]:
        """Give an event for one prediction; listen first, then look at its state, and nothing is missed.

        The event is a hint: it is also set when the subscription was lost, so look at the state again.
        """
        key, event = id.encode(), asyncio.Event()
        events = self._events.setdefault(key, [])
        events.append(event)
        try:
            yield event
        finally:
            events.remove(event)
            if not events and self._events.get(key) is events:
                del self._events[key]

    def listen_anew(self) -> None:
        """Subscribe at the server that the name leads to now: this one may have become a replica that hears nothing."""
        self._task.cancel()
        self._task = asyncio.create_task(self._listen_forever(), name="done-listener")

    async def close(self) -> None:
        """Stop listening."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except ChannelLost as error:
                log.warning("done_channel_lost", extra={"error": str(error)})
            self.wake_all()
            await asyncio.sleep(0.2)

    async def _listen(self) -> None:
        async with contextlib.aclosing(self._channel.messages()) as messages:
            async for ids in messages:
                if not ids:
                    self.wake_all()  # what ended while nobody listened
                for id in ids:
                    for event in self._events.get(id, ()):
                        event.set()

    def wake_all(self) -> None:
        """Let everybody look again."""
        for events in self._events.values():
            for event in events:
                event.set()


async def wait_for_event(event: asyncio.Event, longest: timedelta) -> None:
    """Wait for the event, no longer than that; clears it."""
    try:
        async with asyncio.timeout(longest.total_seconds()):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()
