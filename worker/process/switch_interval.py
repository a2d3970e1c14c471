"""How long a thread may hold Python's lock while another waits for it: shorter while a version is loaded.

A forward pass gives the lock up for each operator and has to get it back. Beside a thread that runs Python all the
time, as one that reads an exported program does, each of these takes a switch interval, 5 ms by default: one image of
mobilenet_v3_small then takes 300 ms in place of 6, and at most 110 with this.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SHORT: Final = 0.0002
_lock = threading.Lock()
_blocks: list[float] = []
"""The interval before, once for each block that runs."""


@contextmanager
def short_switch_interval() -> Iterator[None]:
    """Shorten the interval of this process for the block; blocks may overlap, in any threads."""
    with _lock:
        _blocks.append(_blocks[0] if _blocks else sys.getswitchinterval())
        sys.setswitchinterval(_SHORT)
    try:
        yield
    finally:
        with _lock:
            before = _blocks.pop()
            if not _blocks:
                sys.setswitchinterval(before)
