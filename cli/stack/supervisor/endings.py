"""Ends of programs: in words, and what a program that has ended left behind."""

import contextlib
import os
import signal


def ending(code: int) -> str:
    """Return how a process ended, in words, from its return code as subprocess gives it."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def kill_group(pid: int) -> None:
    """Kill what a program that has ended left behind, safe to repeat: of a worker, processes that a model started.

    They would hold its memory, and the port of its metrics, which the process that follows would not get.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
