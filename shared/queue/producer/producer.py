"""The gateway's one way to the queue. Dividing the queue over several Redis servers would change this package alone."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from redis.asyncio import Redis as Client

from shared.queue.connection.clients import connect_async
from shared.queue.connection.pipeline import Pipeline
from shared.queue.producer.batches import Batches
from shared.queue.producer.done_channel import DoneChannel
from shared.queue.producer.files import Files
from shared.queue.producer.jobs import Jobs
from shared.queue.producer.key_limits import KeyLimits
from shared.queue.producer.model_orders import ModelOrders
from shared.queue.producer.models import Models
from shared.queue.producer.registry_hints import RegistryHints
from shared.queue.producer.server import Server
from shared.queue.producer.status import Status
from shared.settings import Redis


class Producer:
    """What there is in the queue, by noun. All of them share one pipelined connection; `done` has its own."""

    def __init__(self, client: Client, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.jobs = Jobs(pipeline)
        self.batches = Batches(pipeline)
        self.files = Files(pipeline)
        self.key_limits = KeyLimits(pipeline)
        self.models = Models(pipeline)
        self.model_orders = ModelOrders(pipeline)
        self.registry_hints = RegistryHints(pipeline)
        self.server = Server(pipeline)
        self.status = Status(pipeline)
        self.done = DoneChannel(client)

    def when_moved(self, listener: Callable[[], None]) -> None:
        """Call the listener each time that the name has come to lead to another server."""
        self._pipeline.when_moved(listener)


@asynccontextmanager
async def connect_producer(settings: Redis) -> AsyncIterator[Producer]:
    """Give a producer that connects when it is used; commands without an answer fail at the end."""
    client = connect_async(settings)
    try:
        pipeline = Pipeline(client, timeout=settings.timeout)
        try:
            yield Producer(client, pipeline)
        finally:
            await pipeline.close()
    finally:
        await client.aclose()
