"""Serves a process' metrics on a port of its own, for Prometheus, `darkroom status` and the health check."""

import logging
from collections.abc import Callable

from prometheus_client import CollectorRegistry, start_http_server

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
        server, thread = start_http_server(settings.port, settings.host, registry)
    except OSError as error:
        log.error("metrics_not_served", extra={"host": settings.host, "port": settings.port, "error": str(error)})  # noqa: TRY400  the cause is in the event; a traceback adds nothing
        return lambda: None

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)

    return close
