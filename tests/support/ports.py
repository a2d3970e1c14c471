"""Ports for the servers that tests start."""

import random
import socket
import sys
from typing import Final

from cli.stack import ports

FIRST, BEHIND_LAST = 10_000, 32_000
"""Below those that the kernel takes for outgoing connections and for who asks it for any."""
_CHANCE: Final = random.SystemRandom()  # tests seed the module's


def free_port() -> int:
    """Return a port that no other process of any run of the tests is given before this one ends.

    A server binds it seconds later: one of the kernel's choice may be another's by then.
    """
    if sys.platform != "linux":
        return ports.free_port()
    while True:
        port = _CHANCE.randrange(FIRST, BEHIND_LAST)
        reserved = socket.socket(socket.AF_UNIX)
        try:
            reserved.bind(f"\0darkroom-test-port-{port}")  # an abstract socket is gone when this process ends
        except OSError:
            reserved.close()
            continue
        reserved.detach()  # kept open
        if ports.is_free(port):
            return port
