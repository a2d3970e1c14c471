"""What every worker process holds, whatever its roles: its name, Redis, metrics, and what to close when it stops."""

import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import redis
from prometheus_client import CollectorRegistry

from shared import settings
from shared.observability.metrics import WorkerMetrics, new_registry
from shared.observability.metrics_server import serve_metrics
from shared.observability.tracing.starting import start_tracing
from shared.queue.connection.clients import connect, connect_briefly
from shared.queue.inspection.duties import Sign
from worker.process.figures import PublishedFigures
from worker.process.startup import wait_for_redis

if TYPE_CHECKING:
    from shared.observability.tracing.spans import Tracing

log = logging.getLogger(__name__)


class WorkerProcess:
    """One worker process. The roles use what is here and add what has to be closed; `close` closes everything."""

    def __init__(
        self,
        *,
        registry: CollectorRegistry,
        client: redis.Redis,
        stopping: Callable[[], bool],
        brief_client: redis.Redis | None = None,
        tracing: "Tracing | None" = None,
    ) -> None:
        """Take a client that Redis answers; `stopping` tells whether the process was told to stop while it starts.

        `brief_client` gives up soon where Redis hangs; without it, `client` publishes the process' figures. `tracing`
        makes the process' spans; None where tracing is off.
        """
        self.name = process_name()
        """Unique among all running workers: the consumer's name in Redis and the worker in every result."""
        self.registry = registry
        self.client = client
        self.stopping = stopping
        self.figures = PublishedFigures(registry, brief_client or client, name=self.name)
        self.tracing = tracing
        self._heartbeat = WorkerMetrics(registry).heartbeat
        self._closers: list[Callable[[], object]] = []

    def on_close(self, *closers: Callable[[], object]) -> None:
        """Call these when the process stops: in reverse, the last added first."""
        self._closers += closers

    def sign_on(self, role: str) -> Sign:
        """Register in Redis as a worker of a role, waiting for Redis; return what renews that, which ends on close."""
        sign = Sign(self.client, role, name=self.name)
        wait_for_redis(sign.give, stopping=self.stopping)
        self.on_close(sign.leave)
        return sign

    def note_heartbeat(self) -> None:
        """Record that Celery sent a heartbeat, which its main loop does: `python -m worker.health` reads its age."""
        self._heartbeat.set_to_current_time()

    def close(self) -> None:
        """Close everything in reverse; what can't be closed is logged and the rest is closed all the same."""
        for close in reversed(self._closers):
            try:
                close()
            except Exception as error:  # noqa: BLE001  Redis may be gone by now, and the others are to be closed too
                log.warning("not_closed", extra={"error": repr(error)[:300]})


def process_name() -> str:
    """Return what this process is called: its host and its id."""
    return f"{socket.gethostname()}-{os.getpid()}"


def start_process(*, stopping: Callable[[], bool]) -> WorkerProcess:
    """Expose metrics and wait for Redis; raises Stopped where the worker is told to stop before Redis answers."""
    registry = new_registry()
    tracing = start_tracing(settings.read(settings.Tracing), service="darkroom-worker", instance=process_name())
    # First, so that metrics can be read while models load; closed last.
    server = serve_metrics(registry, settings.read(settings.Metrics))
    redis_settings = settings.read(settings.Redis)
    client = connect(redis_settings)
    wait_for_redis(client.ping, stopping=stopping)
    process = WorkerProcess(
        registry=registry,
        client=client,
        stopping=stopping,
        brief_client=connect_briefly(redis_settings),
        tracing=tracing,
    )
    process.on_close(server, process.figures.stop)
    if tracing is not None:
        process.on_close(tracing.close)
    process.figures.start()
    return process
