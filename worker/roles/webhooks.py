"""The webhooks role (`-Q webhooks`): delivers the webhooks that are due."""

from shared import settings
from shared.descriptors import allow_connections
from shared.observability.metrics import WebhookMetrics
from shared.presentation.stream_tokens import StreamTokens
from shared.queue import keys
from shared.queue.stream_secret import secret_of_worker
from shared.storage.engine import make_engine
from worker.process.startup import wait_for_redis
from worker.process.worker_process import WorkerProcess
from worker.webhooks.courier import Courier
from worker.webhooks.delivery_tracing import DeliveryTracing
from worker.webhooks.sender import Sender
from worker.webhooks.start_events import StartEvents


class WebhookRole:
    """Holds the courier, which delivers in a thread of its own."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process
        webhooks = settings.read(settings.Webhooks)
        allow_connections()  # one for each of a thousand attempts at once
        self._engine = make_engine(settings.read(settings.Database))
        tokens = StreamTokens(wait_for_redis(lambda: secret_of_worker(process.client), stopping=process.stopping))
        self._courier = Courier(
            self._engine,
            settings=webhooks,
            tokens=tokens,
            sender=lambda: Sender(
                allowed=webhooks.allowed_networks,
                timeout=webhooks.timeout,
                max_response_bytes=webhooks.max_response_bytes,
                max_connections=webhooks.at_once,
            ),
            collect=StartEvents(process.client, self._engine, tokens=tokens).collect,
            metrics=WebhookMetrics(process.registry),
            tracing=None if process.tracing is None else DeliveryTracing(process.tracing),
            sign=process.sign_on(keys.WEBHOOK_QUEUE).give,
        )

    def start(self) -> None:
        """Begin to deliver; stopped when the process closes."""
        self._courier.start()
        self._process.on_close(self._engine.dispose, self._courier.stop)

    def wake(self) -> None:
        """Answer the bell: have the courier read what is due now."""
        self._process.client.delete(keys.WEBHOOK_BELL)  # first, so that whatever is due later rings again
        self._courier.wake()
