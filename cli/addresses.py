"""Ports on loopback: whether one is free, and one that stays the same for a home."""

import socket
import zlib
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_FIRST, _COUNT = 5000, 1000


def is_free(port: int) -> bool:
    """Tell whether a server could listen there now."""
    with socket.socket() as probe:
        # As servers do: a port that is only waiting out its last connections is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def remembered_port(file: Path) -> int:
    """Return the port kept in `file` if it is free, else another one, which is kept from now on.

    The first choice follows from the file's path, so two homes that start at once choose two ports,
    and it lies below the range from which the kernel takes ports for outgoing connections.
    """
    if file.exists() and (kept := file.read_text().strip()).isdigit() and is_free(int(kept)):
        return int(kept)
    wanted = zlib.crc32(str(file).encode())
    for step in range(_COUNT):
        port = _FIRST + (wanted + step) % _COUNT
        if is_free(port):
            file.write_text(f"{port}\n")
            return port
    raise RuntimeError(f"no port from {_FIRST} to {_FIRST + _COUNT} is free")
