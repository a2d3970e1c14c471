"""Webhook receivers on loopback: they keep what they receive and answer as the test says."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
from standardwebhooks import Webhook

from tests.support.waiting import LIMIT


@dataclass(frozen=True)
class Came:
    """One received POST."""

    at: float
    headers: dict[str, str]
    body: bytes
    path: str = "/hook"

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.body)
        return found

    def verify(self, secret: str) -> None:
        """Raise WebhookVerificationError where the signature is not the secret's."""
        Webhook(secret).verify(self.body, self.headers)


Answers = Callable[[Came, int], tuple[int, dict[str, str], bytes]]
"""From a POST and how many came before it to status, headers and body."""


def ok(_: Came, __: int) -> tuple[int, dict[str, str], bytes]:
    return 204, {}, b""


@dataclass
class Receiver:
    """A server on loopback."""

    url: str
    came: list[Came] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int, *, limit: float = LIMIT) -> list[Came]:
        """Return the received requests once there are `count`."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.came) >= count, limit), f"{len(self.came)} of {count} came"
            return list(self.came)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@contextmanager
def receiving(answers: Answers = ok, *, path: str = "/hook") -> Iterator[Receiver]:
    """Run a receiver."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:  # its sender was killed
                self.close_connection = True
                return
            came = Came(
                time.monotonic(), {name.lower(): value for name, value in self.headers.items()}, body, self.path
            )
            with receiver.arrived:
                before = len(receiver.came)
                receiver.came.append(came)
                receiver.arrived.notify_all()
            status, headers, answer = answers(came, before)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}{path}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
