"""The thread of a predict worker in which orders to change what serves are waited for and carried out."""

from datetime import timedelta
from typing import Final

from worker.models.following.order_taker import OrderTaker
from worker.process.background_threads import PeriodicThread

PATIENCE: Final = timedelta(seconds=5)


class OrderThread:
    """Runs an OrderTaker from `start` to `stop`."""

    def __init__(self, taker: OrderTaker) -> None:
        self._taker = taker
        self._thread = PeriodicThread(taker.take_next, pause=timedelta(milliseconds=10), name="orders")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the order that is being carried out end, PATIENCE at most; one that is waited for is another worker's."""
        self._thread.stop(patience=PATIENCE if self._taker.stop() else timedelta(0))
