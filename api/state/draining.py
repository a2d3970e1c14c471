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

        def wait(seconds: float, number: int, frame: FrameType | None) -> None:
            log.info("draining", extra={"seconds": seconds})
            loop.call_later(seconds, finish, number, frame)

        def begin(number: int, frame: FrameType | None) -> None:
            seconds = 0.0 if self.has_begun else time.total_seconds()
            self.has_begun = True
            # In a signal's handler only this is safe: lines and timers are the loop's.
            loop.call_soon_threadsafe(wait, seconds, number, frame)

        def restore() -> None:
            if signal.getsignal(signal.SIGTERM) is begin:
                signal.signal(signal.SIGTERM, handler)

        signal.signal(signal.SIGTERM, begin)
        return restore
