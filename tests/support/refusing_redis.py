"""A proxy before Redis that answers every command with one error until it is opened."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from tests.support.waiting import LIMIT

_COMMAND = re.compile(rb"^\*\d+\r\n", re.MULTILINE)


class RefusingDoor:
    """A Unix socket in front of a real Redis; clients connect to `url`."""

    def __init__(self, directory: Path, *, to: str, error: str) -> None:
        self.url = f"unix://{directory}/refusing.sock"
        self._to = to.removeprefix("unix://")
        self._error = f"-{error}\r\n".encode()
        self._is_open = False
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(self.url.removeprefix("unix://"))
        self._server.listen(64)
        self._refusing: list[socket.socket] = []
        self._sockets = [self._server]
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    def open(self) -> None:
        """Pass new connections through; close the refused ones, so that their clients reconnect."""
        self._is_open = True
        for client in self._refusing:
            _shut(client)

    def close(self) -> None:
        """Close every connection and take no new one."""
        for one in self._sockets:
            _shut(one)
        for thread in self._threads:
            thread.join(timeout=LIMIT)
        for one in self._sockets:
            one.close()

    def _begin(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._sockets.append(client)
                if self._is_open:
                    real = socket.socket(socket.AF_UNIX)
                    self._sockets.append(real)
                    real.connect(self._to)
                    self._begin(self._pass_on, client, real)
                    self._begin(self._pass_on, real, client)
                else:
                    self._refusing.append(client)
                    self._begin(self._refuse, client)

    def _refuse(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while asked := client.recv(65536):
                client.sendall(self._error * len(_COMMAND.findall(asked)))
        _shut(client)

    @staticmethod
    def _pass_on(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
        _shut(to)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
