"""Serves a process' metrics on a port of its own, for Prometheus, `darkroom status` and the health check."""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from shared.settings import Metrics

log = logging.getLogger(__name__)


def serve_metrics(registry: CollectorRegistry, settings: Metrics) -> Callable[[], None]:
    """Serve a registry in a thread of its own, where a port is set; return a function that ends it.

    A port that is taken is logged and does not stop the process: Prometheus shows the target as down, and images are
    computed all the same.
    """
    if settings.port is None:
        return lambda: None
    try:
        server = _bind(registry, settings.host, settings.port)
    except OSError as error:
        log.error("metrics_not_served", extra={"host": settings.host, "port": settings.port, "error": str(error)})  # noqa: TRY400  the cause is in the event; a traceback adds nothing
        return lambda: None
    ending = threading.Event()

    def serve() -> None:
        # Not `serve_forever`, as Prometheus' library has it: that wakes twice a second, and ends half a second late.
        while not ending.is_set():
            server.handle_request()

    thread = threading.Thread(target=serve, name="metrics", daemon=True)
    thread.start()

    def close() -> None:
        ending.set()
        with contextlib.suppress(OSError), socket.socket(server.address_family) as waking:
            waking.settimeout(1)
            waking.connect(server.server_address)
        thread.join(timeout=5)
        server.server_close()

    return close


class _Silent(WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, *_: object) -> None:
        pass


def _bind(registry: CollectorRegistry, host: str, port: int) -> ThreadingWSGIServer:
    """Return a server that listens on the first address of a host, IPv4 or IPv6; raises OSError."""
    kind = socket.SOCK_STREAM
    family, _, _, _, address = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)[0]

    class Server(ThreadingWSGIServer):
        address_family = family

    return make_server(str(address[0]), port, make_wsgi_app(registry), Server, handler_class=_Silent)
