"""Loopback ports: whether one is free, and which ones a home keeps from start to start."""

import socket
import sys
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

LOOPBACK: Final = "127.0.0.1"
_FIRST, _COUNT = 5000, 1000


def is_free(port: int) -> bool:
    """Tell whether a server could listen there now."""
    with socket.socket() as probe:
        # Servers set it too: a port whose last connections are in TIME_WAIT counts as free.
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


class Ports:
    """The ports of a home's programs, none of `taken`, each kept in a file in `folder`; held until the context ends.

    A program binds its port seconds after it was chosen, and holds none while it restarts. The reservation keeps
    other homes from choosing it meanwhile (on Linux).
    """

    def __init__(self, folder: Path, *, taken: Iterable[int] = ()) -> None:
        self._folder = folder
        self._taken = set(taken)
        self._chosen: dict[str, int] = {}
        self._holds = ExitStack()

    def __enter__(self) -> Self:
        """Reserve what `port` returns from now on."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release all reservations."""
        self._holds.close()

    def port(self, name: str) -> int:
        """Return the port kept under this name if it is free; else choose another and keep that.

        The first choice follows from the file's path, so that homes seldom want the same, and it lies below the range
        from which the kernel takes ports for outgoing connections.
        """
        if name not in self._chosen:
            self._chosen[name] = self._choose(self._folder / name)
        return self._chosen[name]

    def _choose(self, file: Path) -> int:
        if file.exists() and (kept := file.read_text().strip()).isdigit() and self._take(int(kept)):
            return int(kept)
        wanted = zlib.crc32(str(file).encode())
        for step in range(_COUNT):
            port = _FIRST + (wanted + step) % _COUNT
            if self._take(port):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{port}\n")
                return port
        raise RuntimeError(f"no port from {_FIRST} to {_FIRST + _COUNT} is free")

    def _take(self, port: int) -> bool:
        """Reserve a port if nobody listens there and no other home has reserved it."""
        if port in self._taken or not is_free(port) or not self._hold(port):
            return False
        self._taken.add(port)
        return True

    def _hold(self, port: int) -> bool:
        """Reserve a port among all homes on this machine; return False where another home has it."""
        if sys.platform != "linux":
            return True
        hold = socket.socket(socket.AF_UNIX)
        try:
            # An abstract socket: no file, per network namespace as ports are, and gone when this process ends.
            hold.bind(f"\0darkroom-port-{port}")
        except OSError:
            hold.close()
            return False
        self._holds.enter_context(hold)
        return True
