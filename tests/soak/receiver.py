"""A webhook receiver that accepts, refuses or is slow. It checks signatures by the standard, without our library.

Standard Webhooks 1.0: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, key: base64 after `whsec_`.
"""

import base64
import hashlib
import hmac
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANG_SECONDS = 4.0


@dataclass
class Inbox:
    """Received events by their `webhook-id`, and how the receiver answers now."""

    url: str = ""
    secret: str = ""
    manner: str = "well"
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    """Ids that were answered with a 2xx."""
    violations: list[str] = field(default_factory=list)
    attempts: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    chance: random.Random = field(default_factory=random.Random)

    def came(self, headers: dict[str, str], body: bytes) -> int:
        """Note one attempt and return the status to answer with."""
        id = headers.get("webhook-id", "")
        with self.lock:
            self.attempts += 1
            if not self._is_signed(headers, body):
                self.violations.append(f"delivery {id} has no right signature")
            event = json.loads(body)
            before = self.events.setdefault(id, event)
            if (before["id"], before["status"]) != (event["id"], event["status"]):
                self.violations.append(f"delivery {id} came with two contents: {before['status']}, {event['status']}")
            status = self._status()
            if status == 204:
                self.taken.add(id)
        return status

    def _status(self) -> int:
        if self.manner == "refuses" or (self.manner == "fails half" and self.chance.random() < 0.5):
            return 503
        return 301 if self.manner == "moved" else 204

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool:
        content = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        right = "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
        return any(hmac.compare_digest(right, one) for one in headers["webhook-signature"].split())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, address: object) -> None:
        """Say nothing: its sender was killed."""


@contextmanager
def receiving(*, seed: int) -> Iterator[Inbox]:
    """Run a receiver on loopback."""
    inbox = Inbox(chance=random.Random(seed))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:  # its sender was killed
                self.close_connection = True
                return
            if inbox.manner == "hangs":
                time.sleep(HANG_SECONDS)
            status = inbox.came({name.lower(): value for name, value in self.headers.items()}, body)
            try:
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", "0")
                if status == 301:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()
            except OSError:
                self.close_connection = True  # its sender was killed, or did not wait

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    inbox.url = f"http://127.0.0.1:{server.server_port}/hook"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    try:
        yield inbox
    finally:
        server.shutdown()
        server.server_close()
