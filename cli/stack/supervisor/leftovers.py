"""Cleans up after a killed supervisor: its state file, its sockets, and without prctl (macOS) its programs."""

import logging
import shutil
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from cli.stack.supervisor import state

log = logging.getLogger(__name__)


def clear_leftovers(home: Path) -> None:
    """End the programs that a dead supervisor recorded, and remove its sockets and its state. Safe to repeat."""
    left = state.read_state(home)
    if left is None:
        return
    for process in left.processes():
        # Only the very process that was started: the pid may belong to another one by now.
        if process.is_alive:
            log.warning("left_over_ended", extra={"pid": process.pid})
            process.end(patience=timedelta(seconds=10))
    shutil.rmtree(left.sockets, ignore_errors=True)
    with suppress(OSError):  # on a disk that is read-only now; the file itself says that this supervisor is gone
        state.remove_state(home)
