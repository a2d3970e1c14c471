"""When Python's garbage collector runs in a process that holds models.

torch, MLflow and a model are half a million objects that stay. With Python's defaults the collector walks through them
again and again while they are imported, a fifth of a worker's start, and later in one pause of 0.3 s. Here it runs more
rarely, and leaves alone what was there when a version had been loaded.
"""

import atexit
import gc
from typing import Final

_THRESHOLDS: Final = (20_000, 20, 20)
"""Containers allocated and not freed, and collections of the generation before, until a generation is collected."""


def collect_rarely() -> None:
    """Collect garbage more rarely in this process from now on. Call it before what stays is imported."""
    gc.set_threshold(*_THRESHOLDS)
    # Otherwise native libraries log at the end that their objects were never freed.
    atexit.register(gc.unfreeze)


def leave_alone_what_is_there() -> None:
    """Keep the collector from what exists now; objects without references are still freed at once."""
    gc.freeze()


def collect_all() -> None:
    """Collect everything now, and leave nothing alone any more: what was dropped may be in use for a while.

    Takes up to 0.5 s, in which other threads wait.
    """
    gc.unfreeze()
    gc.collect()
