"""One non-blocking keep-alive HTTP/1.1 connection: send a request, receive its response in pieces."""

import socket
from typing import Final

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "
_CHUNKED: Final = b"transfer-encoding: chunked"
_LAST_CHUNK: Final = b"0\r\n\r\n"
_READ: Final = 65536


class WrongAnswer(Exception):
    """The server's answer is not what a correct server gives."""


class Connection:
    """A socket and the exchange on it: `image` is the number of the image, `sent` when its request began.

    `id` is that of its task, once it is known; then the task is polled, until `reads` its result.
    """

    __slots__ = ("_received", "_socket", "_unsent", "id", "image", "reads", "sent")

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(0)
        self._unsent: bytes | memoryview = b""
        self._received = b""
        self.image = 0
        self.sent = 0.0
        self.id = ""
        self.reads = False

    def fileno(self) -> int:
        """Return the descriptor for a selector."""
        return self._socket.fileno()

    def send(self, request: bytes) -> bool:
        """Start sending a request; True where all of it was sent."""
        sent = self._socket.send(request)
        if sent == len(request):
            return True
        self._unsent = memoryview(request)[sent:]
        return False

    def send_rest(self) -> bool:
        """Continue sending; True where the whole request has now been sent."""
        self._unsent = self._unsent[self._socket.send(self._unsent) :]
        return not self._unsent

    def receive(self) -> tuple[int, bytes] | None:
        """Return status and body, or None while they are incomplete. Raises WrongAnswer."""
        piece = self._socket.recv(_READ)
        if not piece:
            raise WrongAnswer(f"connection closed by the server after {self._received[:500]!r}")
        received = self._received + piece if self._received else piece
        head = received.find(_HEAD_END)
        if head < 0:
            self._received = received
            return None
        length = received.find(_LENGTH, 0, head + 2)
        if length < 0 and received.find(_CHUNKED, 0, head + 2) > 0:
            return self._receive_chunked(received, head)
        if length < 0:
            raise WrongAnswer(f"no Content-Length in {received[:head]!r}")
        size = int(received[length + len(_LENGTH) : received.find(b"\r", length)])
        end = head + len(_HEAD_END) + size
        if len(received) < end:
            self._received = received
            return None
        if len(received) > end:
            raise WrongAnswer(f"more than one answer to one request: {received[end:][:500]!r}")
        self._received = b""
        return int(received[9:12]), received[head + len(_HEAD_END) :]

    def _receive_chunked(self, received: bytes, head: int) -> tuple[int, bytes] | None:
        """Do so with a body in chunks (RFC 9112, 7.1), without trailers."""
        if not received.endswith(_LAST_CHUNK):
            self._received = received
            return None
        self._received = b""
        body, position = b"", head + len(_HEAD_END)
        while size := int(received[position : received.index(b"\r\n", position)], 16):
            position = received.index(b"\r\n", position) + 2
            body += received[position : position + size]
            position += size + 2
        return int(received[9:12]), body

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
