"""Publishes this gateway's figures to Redis every two seconds."""

import os
import socket

from prometheus_client import CollectorRegistry

from api.state.refresher import Refresher
from shared.domain.status.process_figures import ProcessFigures
from shared.observability.process_figures import FigureReader
from shared.queue.producer.status import PAUSE, Status


class PublishedFigures:
    """The gateway's figures; a gateway that ends is forgotten when they expire."""

    def __init__(self, registry: CollectorRegistry, status: Status) -> None:
        self._reader = FigureReader(registry)
        self._status = status
        self._host, self._pid = socket.gethostname(), os.getpid()
        self._refresher = Refresher(self._publish, pause=PAUSE, stale="figures_not_published")

    async def close(self) -> None:
        """Publish no more."""
        await self._refresher.close()

    async def _publish(self) -> None:
        await self._status.publish(
            ProcessFigures(
                name=f"api-{self._host}-{self._pid}",
                roles=("api",),
                host=self._host,
                pid=self._pid,
                **self._reader.read(),
            )
        )
