"""How many CPU cores this process may use: fewer than the machine has where it is bound to some of them."""

import os


def cores() -> int:
    """Return how many."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
