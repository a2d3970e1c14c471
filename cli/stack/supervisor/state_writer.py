"""Writes the supervisor's state to `state.json`, again later where the disk refuses it."""

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
    """Keeps `<home>/state.json` at the newest state; never raises for a disk that is full, broken or read-only.

    After a failure the newest state is tried again every AGAIN_AFTER; `recovered` is called when one is written
    again. To be used in one event loop's thread.
    """

    def __init__(self, home: Path, *, recovered: Callable[[], None]) -> None:
        self._home = home
        self._recovered = recovered
        self._newest: StackState | None = None
        self._again: asyncio.TimerHandle | None = None

    def keep(self, newest: StackState) -> None:
        """Write this state now, or as soon as that works again."""
        self._newest = newest
        if self._again is None:
            self._write()

    def close(self) -> None:
        """Stop trying, and remove the file: the stack has stopped."""
        if self._again is not None:
            self._again.cancel()
        try:
            state.remove_state(self._home)
        except OSError as error:
            # A reader sees from the file itself that this supervisor is gone.
            log.warning("state_not_removed", extra={"error": str(error)})

    def _write(self) -> None:
        was_failing, self._again = self._again is not None, None
        try:
            if self._newest is not None:
                state.write_state(self._home, self._newest)
        except OSError as error:
            if not was_failing:
                # On a full disk this line is lost as well; `state_written_again` tells.
                log.warning("state_not_written", extra={"error": str(error)})
            self._again = asyncio.get_running_loop().call_later(AGAIN_AFTER.total_seconds(), self._write)
            return
        if was_failing:
            log.warning("state_written_again")
            self._recovered()
