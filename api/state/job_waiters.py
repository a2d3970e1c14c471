"""Requests that wait for a job to end: one Redis subscription wakes all of this process."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from shared.domain.identifiers import PredictionId
from shared.observability.error_text import error_text
from shared.queue.producer.done_channel import ChannelLost, DoneChannel

log = logging.getLogger(__name__)

# A waiting request reads its job at least this often: a message may be lost with its connection.
FALLBACK = timedelta(seconds=1)


class JobWaiters:
    """Events by prediction, set when the `done` channel announces its end."""

    def __init__(self, channel: DoneChannel) -> None:
        self._channel = channel
        self._events: dict[bytes, list[asyncio.Event]] = {}
        self._listener: asyncio.Task[None] | None = None
        self.listen_anew()

    @contextmanager
    def listen(self, id: PredictionId) -> Iterator[asyncio.Event]:
        """Yield an event for one prediction; listen first, then read its state, so that its end is not missed.

        The event is a hint: it is set too when the subscription was lost, so read the state again.
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
        """Subscribe anew, after the server's name may have moved: the old one may be a replica that hears nothing."""
        if self._listener:
            self._listener.cancel()
        self._listener = asyncio.create_task(self._listen_forever(), name="done-listener")

    async def close(self) -> None:
        """Stop listening."""
        listener, self._listener = self._listener, None
        if listener:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    def _is_replaced(self) -> bool:
        """Tell whether the current task has to end; while it connects the client library may swallow a cancellation."""
        return self._listener is not asyncio.current_task()

    async def _listen_forever(self) -> None:
        while not self._is_replaced():
            try:
                await self._listen()
            except ChannelLost as error:
                log.warning("done_channel_lost", extra={"error": error_text(error)})
            self.wake_all()
            await asyncio.sleep(0.2)

    async def _listen(self) -> None:
        async with contextlib.aclosing(self._channel.messages()) as messages:
            async for ids in messages:
                if self._is_replaced():
                    return
                if not ids:
                    self.wake_all()  # jobs may have ended before the subscription
                for id in ids:
                    for event in self._events.get(id, ()):
                        event.set()

    def wake_all(self) -> None:
        """Wake all that wait, to read their jobs again."""
        for events in self._events.values():
            for event in events:
                event.set()


async def wait_for_event(event: asyncio.Event, longest: timedelta) -> bool:
    """Wait for the event, for `longest` at most, and clear it; return whether it came."""
    try:
        async with asyncio.timeout(longest.total_seconds()):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True


async def wait_for_events(events: Sequence[asyncio.Event], longest: timedelta) -> None:
    """Wait for all the events, for `longest` at most, and clear them."""
    try:
        async with asyncio.timeout(longest.total_seconds()):
            for event in events:
                await event.wait()
    except TimeoutError:
        pass
    for event in events:
        event.clear()
