"""When Python's garbage collector runs in a process that holds models.

torch, MLflow and what they import are half a million objects that stay. With Python's defaults the collector walks
through them again and again while they are imported, a fifth of a worker's start, and later in one pause of 0.4 s of
CPU. Here it runs more rarely, and leaves the libraries alone for good. Versions, some ten thousand objects each, are
never among what it leaves alone, so that they are collected once they are dropped.
"""

import atexit
import gc
from typing import Final

_THRESHOLDS: Final = (20_000, 20, 20)
"""Containers allocated and not freed, and collections of the generation before, until a generation is collected."""


def collect_rarely() -> None:
    """Collect garbage more rarely in this process from now on. Call it before what stays is imported."""
    gc.set_threshold(*_THRESHOLDS)


def leave_libraries_alone() -> None:
    """Keep the collector from what exists now; objects without references are still freed at once.

    Call it once what stays is imported and before the first version is loaded.
    """
    gc.freeze()
    # Otherwise native libraries log at the end that their objects were never freed.
    atexit.register(gc.unfreeze)


def collect_dropped() -> None:
    """Collect now what was dropped and refers to itself, such as an exported graph and its weights.

    Other threads wait meanwhile, for some 10 ms a loaded version.
    """
    gc.collect()
