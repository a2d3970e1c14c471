"""The supervisor's notes: its state on file, as far as the disk takes it. What can't be noted is noted later."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from cli.stack.supervisor import state
from cli.stack.supervisor.state import StackState

log = logging.getLogger(__name__)

AGAIN_AFTER = timedelta(seconds=1)


class StateWriter:
    """Keeps `<home>/state.json` as it was told last, and never raises for a disk that is full, broken or read-only.

    A state that could not be written is tried every AGAIN_AFTER, the newest one; `recovered` is called when one is on
    file again. For one event loop's thread.
    """

    def __init__(self, home: Path, *, recovered: Callable[[], None]) -> None:
        self._home = home
        self._recovered = recovered
        self._newest: StackState | None = None
        self._again: asyncio.TimerHandle | None = None

    def keep(self, newest: StackState) -> None:
        """Write it, now or as soon as that can be done."""
        self._newest = newest
        if self._again is None:
            self._write()

    def close(self) -> None:
        """Try no more, and remove the file: the stack has stopped."""
        if self._again is not None:
            self._again.cancel()
        try:
            state.remove_state(self._home)
        except OSError as error:
            # Whoever reads it sees that this supervisor is gone.
            log.warning("state_not_removed", extra={"error": str(error)})

    def _write(self) -> None:
        was_failing, self._again = self._again is not None, None
        try:
            if self._newest is not None:
                state.write_state(self._home, self._newest)
        except OSError as error:
            if not was_failing:
                # Where the disk is full the line is lost as well: the next one tells.
                log.warning("state_not_written", extra={"error": str(error)})
            self._again = asyncio.get_running_loop().call_later(AGAIN_AFTER.total_seconds(), self._write)
            return
        if was_failing:
            log.warning("state_written_again")
            self._recovered()
