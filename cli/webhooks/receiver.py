"""An HTTP server on this machine that receives webhooks, and survives any other request."""

import re
import sys
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, Final

from standardwebhooks import Webhook

from cli.stack.ports import LOOPBACK
from cli.webhooks.delivery import Delivery, read_delivery

MOST_BYTES: Final = 1_000_000
PATIENCE: Final = timedelta(seconds=10)
"""A connection that sends nothing for this long is closed."""
_READ_ON: Final = 16 * MOST_BYTES
_LENGTH: Final = re.compile(r"\d{1,12}", re.ASCII)


class Receiver(ThreadingTCPServer):
    """Answers each POST by its signature, 204 or 401, then calls `tell`, from any thread.

    `tell` gets a Delivery, or a few words on a refused request. Port 0 means any free port. Raises OSError where the
    port is taken.
    """

    allow_reuse_address = True
    daemon_threads = True  # a hanging client does not delay the exit
    request_queue_size = 128

    def __init__(
        self,
        port: int,
        webhook: Webhook,
        tell: Callable[[Delivery | str], object],
        *,
        patience: timedelta = PATIENCE,
    ) -> None:
        self.webhook = webhook
        self.tell = tell
        self.patience = patience
        super().__init__((LOOPBACK, port), _Request)

    @property
    def url(self) -> str:
        """The URL it listens on."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report a broken connection in a line; any other error prints its traceback. The server goes on."""
        if isinstance(sys.exception(), OSError):
            self.tell("broke off")
        else:
            super().handle_error(request, client_address)


class _Request(BaseHTTPRequestHandler):
    server: Receiver
    server_version = "darkroom"
    default_request_version = "HTTP/1.0"  # so that even what is not HTTP gets an answer

    def setup(self) -> None:
        """Set the receiver's patience as the timeout of every read."""
        super().setup()
        self.connection.settimeout(self.server.patience.total_seconds())

    def do_POST(self) -> None:
        """Receive a delivery."""
        length = self._length()
        if length is None:
            return
        try:
            body = self.rfile.read(length)
        except OSError:
            body = b""
        if len(body) < length:
            self.send_error(HTTPStatus.BAD_REQUEST, "the body breaks off")
            return
        delivery = read_delivery(self.server.webhook, body, dict(self.headers.items()))
        self._answer(HTTPStatus.UNAUTHORIZED if delivery.doubt else HTTPStatus.NO_CONTENT)
        self.server.tell(delivery)

    def _length(self) -> int | None:
        """Return the body's length; None where the request was refused for it."""
        written = self.headers.get("Content-Length", "")
        if not _LENGTH.fullmatch(written):
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return None
        length = int(written)
        if length <= MOST_BYTES:
            return length
        self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        # Closing with unread bytes would reset the connection, and the client would lose the answer.
        left = min(length, _READ_ON)
        while left and (chunk := self.rfile.read1(min(left, 65_536))):
            left -= len(chunk)
        return None

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer with an error, and tell."""
        self._answer(code)
        self.server.tell(f"refused with {int(code)}: {(message or HTTPStatus(code).phrase)[:80]}")

    def _answer(self, code: int) -> None:
        self.send_response(code)
        if code != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: `tell` reports requests."""
