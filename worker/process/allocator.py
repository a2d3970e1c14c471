"""Settings of glibc's allocator for processes that compute: freed memory stays in the process and is used again.

glibc returns large blocks to the kernel, which clears a page at each first access after the next allocation: up to
700 page faults and 1 ms of system time for an image of mobilenet_v3_small. With these settings there are none. A worker
that had predicted that model in batches of 1 to 64 held 700 MB with them and 690 without; it keeps at most KEPT more
than it needs.
"""

import ctypes
from typing import Final

KEPT: Final = 256 * 1024**2
"""Bytes of free memory at the end of the heap that stay in the process: twice what resnet50 needs for a portion."""
LARGEST: Final = 64 * 1024**2
"""Bytes of the largest block that is kept: an activation of resnet50 for 16 images has 51 MB. A large photograph has
more, is rare, and goes back to the kernel."""
# Parameters of mallopt, from malloc.h.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8


def keep_freed_memory(*, one_arena: bool) -> bool:
    """Keep freed memory in this process; return False, with nothing changed, where the C library is not glibc.

    Call it before other threads start. `one_arena` makes all threads allocate from the heap that these settings apply
    to: memory that one thread frees serves all others. Not for many threads that allocate at once.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl, macOS
        return False
    if one_arena:
        mallopt(_ARENA_MAX, 1)
    return bool(mallopt(_TRIM_THRESHOLD, KEPT)) and bool(mallopt(_MMAP_THRESHOLD, LARGEST))
