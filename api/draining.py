"""From SIGTERM to the end: first say so, then serve on for a while, then let nobody wait any longer.

A balancer that has not noticed yet still sends requests, and clients hold connections open; uvicorn would refuse the
ones and cut the others at once. So its own handler of the signal gets it when the time is over.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from types import FrameType

log = logging.getLogger(__name__)

Handler = Callable[[int, FrameType | None], object]


class Draining:
    """Where the process is on its way to its end."""

    def __init__(self) -> None:
        self.has_begun = False
        """Readiness says no, and answers close their connections; all else is as before."""
        self.is_over = False
        """Who waits for something is told how it stands, at once."""

    def install(self, *, time: timedelta, wake: Callable[[], None]) -> Callable[[], None]:
        """Take SIGTERM from whoever handles it now, and pass it on when `time` is over; return what undoes that.

        `wake` wakes who waits. A second SIGTERM is passed on at once. Elsewhere than in a server's main thread there is
        nothing to take.
        """
        if threading.current_thread() is not threading.main_thread():
            return lambda: None
        server = signal.getsignal(signal.SIGTERM)
        if not callable(server):
            return lambda: None
        handler: Handler = server
        loop = asyncio.get_running_loop()

        def finish(number: int, frame: FrameType | None) -> None:
            self.is_over = True
            wake()
            handler(number, frame)

        def begin(number: int, frame: FrameType | None) -> None:
            if self.has_begun:
                loop.call_soon_threadsafe(finish, number, frame)
                return
            self.has_begun = True
            log.info("draining", extra={"seconds": time.total_seconds()})
            # From a signal's handler only this is safe; the timer is the loop's own to set.
            loop.call_soon_threadsafe(loop.call_later, time.total_seconds(), finish, number, frame)

        def restore() -> None:
            if signal.getsignal(signal.SIGTERM) is begin:
                signal.signal(signal.SIGTERM, handler)

        signal.signal(signal.SIGTERM, begin)
        return restore
