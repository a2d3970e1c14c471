"""What one worker process holds: made when Celery starts, from the queues it consumes."""

import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import redis
from prometheus_client import CollectorRegistry, Gauge

from shared import settings
from shared.domain.identifiers import ModelName
from shared.observability.metrics import (
    OverdueMetrics,
    QueueMetrics,
    RecordMetrics,
    UpkeepMetrics,
    WebhookMetrics,
    WorkerMetrics,
    new_registry,
)
from shared.observability.metrics_server import serve_metrics
from shared.presentation.stream_tokens import StreamTokens
from shared.queue import bells, keys
from shared.queue.connection.clients import connect, connect_briefly
from shared.queue.inspection.duties import Sign
from shared.queue.inspection.gauges import Gauges
from shared.queue.lua import Script, Scripts
from shared.queue.stream_secret import secret_of_worker
from shared.storage import deliveries
from shared.storage.engine import make_engine
from worker.predict.predictor import Predictor
from worker.process.startup import wait_for_redis
from worker.process.ticking import PeriodicThread
from worker.record.prediction_log import PredictionLog
from worker.record.record_observer import RecordObserver
from worker.record.recorder import Recorder
from worker.upkeep.eviction import Eviction
from worker.upkeep.retention import Retention
from worker.upkeep.sweep import Upkeep

log = logging.getLogger(__name__)


def _no_courier() -> None:
    raise RuntimeError("this worker delivers no webhooks; start it with -Q webhooks")


@dataclass
class Runtime:
    """The parts of a worker; which of them exist follows from its queues."""

    predictors: dict[ModelName, Predictor] = field(default_factory=dict)
    make_recorder: Callable[[], Recorder] | None = None
    upkeeps: list[Upkeep] = field(default_factory=list)
    call_courier: Callable[[], None] = _no_courier
    registry: CollectorRegistry = field(default_factory=new_registry)
    closers: list[Callable[[], None]] = field(default_factory=list)
    is_busy: Callable[[], bool] = lambda: False
    """Whether something is in hand that would have to be done again, and takes long."""
    heartbeat: Gauge = field(init=False)
    _local: threading.local = field(default_factory=threading.local)

    def __post_init__(self) -> None:
        """Make what every worker shows of itself."""
        self.heartbeat = WorkerMetrics(self.registry).heartbeat

    def predictor(self, model: ModelName) -> Predictor:
        """Return the predictor of a model this worker serves; KeyError where it consumes no such queue."""
        return self.predictors[model]

    @property
    def recorder(self) -> Recorder:
        """Return this thread's recorder; RuntimeError where the worker does not consume the record queue."""
        if self.make_recorder is None:
            raise RuntimeError("this worker has no recorder; start it with -Q record")
        if not hasattr(self._local, "recorder"):
            self._local.recorder = self.make_recorder()
        found: Recorder = self._local.recorder
        return found

    @property
    def upkeep(self) -> Upkeep:
        """Return the upkeep."""
        return self.upkeeps[0]


_current: list[Runtime] = []
_stopping = threading.Lock()


def current() -> Runtime:
    """Return this process' runtime; IndexError outside a started worker."""
    return _current[0]


def note_heartbeat() -> None:
    """Take note that Celery's heartbeat went out: the main loop turns."""
    for runtime in _current:
        runtime.heartbeat.set_to_current_time()


def start(
    *, queues: list[str], pool: str, slots: int, stopping: Callable[[], bool], consume: Callable[[str], object]
) -> None:
    """Make what these queues need; blocks until a model of theirs is served, or raises Stopped when told to stop.

    `consume` is called with the queue of each model as soon as it is served, which of others may be later, in a thread.
    What it raises else, a setting that can't be used included, is a reason to end the process.
    """
    if pool not in ("solo", "thread"):
        raise SystemExit(f"Pool {pool} forks away from the loaded models; use -P solo (CPU) or -P threads (GPU).")
    runtime = Runtime()
    # First, so that whoever looks sees it load its models; closed last.
    runtime.closers.append(serve_metrics(runtime.registry, settings.read(settings.Metrics)))
    client = connect(settings.read(settings.Redis))
    wait_for_redis(client.ping, stopping=stopping)
    name = f"{socket.gethostname()}-{os.getpid()}"
    models = [model for queue in queues if (model := keys.model_of_queue(queue)) is not None]
    if models:
        # Only predict workers pay for importing the registry's client and, behind it, torch.
        from worker.roles.predict import Predicting  # noqa: PLC0415

        serving = Predicting(runtime.registry, client, name=name, slots=slots, stopping=stopping)
        runtime.predictors = serving.predictors
        runtime.closers += serving.closers()
        runtime.is_busy = serving.is_busy
        serving.start(models, consume=lambda model: consume(keys.predict_queue(model)))
    if keys.RECORD_QUEUE in queues:
        _add_recorder(runtime, client, name=name, stopping=stopping)
    if keys.UPKEEP_QUEUE in queues:
        _add_upkeep(runtime, client, name=name, stopping=stopping)
    if keys.WEBHOOK_QUEUE in queues:
        _add_courier(runtime, client, name=name, stopping=stopping)
    _current[:] = [runtime]


def is_busy() -> bool:
    """Tell whether this process has something in hand that it is to end before it stops."""
    return any(runtime.is_busy() for runtime in _current)


def stop() -> None:
    """Stop in reverse order of starting; who comes second waits for the first."""
    with _stopping:
        for runtime in _current:
            for close in reversed(runtime.closers):
                try:
                    close()
                except Exception as error:  # noqa: BLE001  Redis may be gone by now, and the others are to be closed too
                    log.warning("not_closed", extra={"error": repr(error)[:300]})
        _current.clear()


def _sign(runtime: Runtime, client: redis.Redis, role: str, *, name: str, stopping: Callable[[], bool]) -> Sign:
    """Say that this worker does a role's work, and return what says so from now on."""
    sign = Sign(client, role, name=name)
    wait_for_redis(sign.give, stopping=stopping)
    runtime.closers.append(sign.leave)
    return sign


def _add_recorder(runtime: Runtime, client: redis.Redis, *, name: str, stopping: Callable[[], bool]) -> None:
    engine = make_engine(settings.read(settings.Database))
    recording, scripts = settings.read(settings.Recording), Scripts(client)
    message, due = bells.record_message(), bells.webhook_message()
    logging_settings = settings.read(settings.Logging)
    predictions = PredictionLog(logging_settings) if logging_settings.predictions else None
    ledger = RecordObserver(RecordMetrics(runtime.registry), predictions)
    if predictions:
        runtime.closers.append(predictions.close)

    def make_recorder() -> Recorder:
        return Recorder(
            client,
            engine,
            recording,
            consumer=f"{name}-{threading.get_ident()}",
            recorded_ttl=settings.read(settings.Queue).recorded_ttl,
            ring_again=lambda: scripts.run(Script.RING, (keys.RECORD_BELL,), keys.RECORD_QUEUE, message),
            ring_courier=lambda: scripts.run(Script.RING, (keys.WEBHOOK_BELL,), keys.WEBHOOK_QUEUE, due),
            ledger=ledger,
        )

    runtime.make_recorder = make_recorder
    sign = _sign(runtime, client, keys.RECORD_QUEUE, name=name, stopping=stopping)

    def look() -> None:
        sign.give()
        runtime.recorder.run_once()

    looking = PeriodicThread(look, pause=timedelta(seconds=2), name="record")
    looking.start()
    runtime.closers += [engine.dispose, looking.stop]


def _add_upkeep(runtime: Runtime, client: redis.Redis, *, name: str, stopping: Callable[[], bool]) -> None:
    # Prometheus asks for 10 s at most, and what else there is to see must not wait for a Redis that hangs.
    asking = connect_briefly(settings.read(settings.Redis))
    QueueMetrics(runtime.registry, Gauges(asking).look)
    engine = make_engine(settings.read(settings.Database))
    queue, metrics = settings.read(settings.Queue), UpkeepMetrics(runtime.registry)

    def overdue() -> timedelta:
        with engine.connect() as connection:
            return deliveries.overdue(connection, by=timedelta(0)).oldest

    OverdueMetrics(runtime.registry, overdue)
    share = settings.read(settings.Redis).cache_share
    eviction = Eviction(client, share=share, settings=queue, count=metrics.evicted)
    overlap = settings.read(settings.Webhooks).secret_overlap
    retention = Retention(engine, settings.read(settings.Retention), secret_overlap=overlap)
    bulk, chores = settings.read(settings.Bulk), {"evicted": eviction.sweep, "deleted": retention.sweep}
    sign = _sign(runtime, client, keys.UPKEEP_QUEUE, name=name, stopping=stopping)
    runtime.upkeeps.append(
        Upkeep(client, engine, settings=queue, bulk=bulk, metrics=metrics, chores=chores, sign=sign.give)
    )
    runtime.closers.append(engine.dispose)


def _add_courier(runtime: Runtime, client: redis.Redis, *, name: str, stopping: Callable[[], bool]) -> None:
    # Only who delivers pays for importing the HTTP client.
    from worker.webhooks.courier import Courier  # noqa: PLC0415
    from worker.webhooks.sender import Sender  # noqa: PLC0415
    from worker.webhooks.start_events import StartEvents  # noqa: PLC0415

    webhooks = settings.read(settings.Webhooks)
    engine = make_engine(settings.read(settings.Database))
    tokens = StreamTokens(wait_for_redis(lambda: secret_of_worker(client), stopping=stopping))
    courier = Courier(
        engine,
        settings=webhooks,
        tokens=tokens,
        sender=lambda: Sender(
            allowed=webhooks.allowed_networks,
            timeout=webhooks.timeout,
            max_response_bytes=webhooks.max_response_bytes,
            max_connections=webhooks.at_once,
        ),
        collect=StartEvents(client, engine, tokens=tokens).collect,
        metrics=WebhookMetrics(runtime.registry),
        sign=_sign(runtime, client, keys.WEBHOOK_QUEUE, name=name, stopping=stopping).give,
    )

    def call() -> None:
        client.delete(keys.WEBHOOK_BELL)  # first, so that whatever is due later rings again
        courier.wake()

    courier.start()
    runtime.call_courier = call
    runtime.closers += [engine.dispose, courier.stop]
