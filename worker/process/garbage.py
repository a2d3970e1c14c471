"""When Python's garbage collector runs in a worker.

torch, MLflow and what they import are half a million objects that stay; Celery with SQLAlchemy a hundred thousand. With
Python's defaults the collector walks through them again and again: while they are imported, a tenth of a worker's
start, and later in pauses, of 0.4 s of CPU where a model is loaded. Here it does not run while they are imported, runs
more rarely afterwards, and leaves the libraries alone for good. Versions, some ten thousand objects each, are never
among what it leaves alone, so that they are collected once they are dropped.
"""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_THRESHOLDS: Final = (20_000, 20, 20)
"""Containers allocated and not freed, and collections of the generation before, until a generation is collected."""


def collect_rarely() -> None:
    """Collect garbage more rarely in this process from now on."""
    gc.set_threshold(*_THRESHOLDS)


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """Collect nothing while the block imports what stays; in other threads neither. Not to be nested."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


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
