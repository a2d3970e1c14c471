"""A process' `/metrics` on a port of its own, for Prometheus, `darkroom status` and the health check."""

import logging
from collections.abc import Callable

from prometheus_client import CollectorRegistry, start_http_server

from shared.settings import Metrics

log = logging.getLogger(__name__)


def expose(registry: CollectorRegistry, settings: Metrics) -> Callable[[], None]:
    """Serve a registry in a thread of its own, where a port is set; return what ends that.

    A port that can't be had is logged and no more: images matter more than who counts them, and Prometheus shows the
    target as down.
    """
    if settings.port is None:
        return lambda: None
    try:
        server, thread = start_http_server(settings.port, settings.host, registry)
    except OSError as error:
        log.error("metrics_not_served", extra={"host": settings.host, "port": settings.port, "error": str(error)})  # noqa: TRY400  a port that is taken needs no traceback
        return lambda: None

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)

    return close
