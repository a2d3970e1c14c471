"""The upkeep role (`-Q upkeep`): sweeps Redis and Postgres, and shows the queues' depths as metrics."""

from datetime import timedelta

from sqlalchemy import Engine

from shared import settings
from shared.observability.metrics import OverdueMetrics, QueueMetrics, StoredPictureMetrics, UpkeepMetrics
from shared.pictures.opening import open_store
from shared.queue import keys
from shared.queue.connection.clients import connect_briefly
from shared.queue.inspection.gauges import Gauges
from shared.queue.inspection.status_board import queue_facts
from shared.storage import deliveries
from shared.storage.engine import make_engine
from worker.process.background_threads import PeriodicThread
from worker.process.worker_process import WorkerProcess
from worker.upkeep.canary_figures import CanaryFigures
from worker.upkeep.eviction import Eviction
from worker.upkeep.judged_feedback import JudgedFeedback
from worker.upkeep.kept_pictures import PAUSE, PictureSweep
from worker.upkeep.report_counters import ReportCounters
from worker.upkeep.retention import Retention
from worker.upkeep.sweep import Upkeep


def start_upkeep(process: WorkerProcess) -> Upkeep:
    """Return what sweeps, registered as a worker that does; closed with the process."""
    redis_settings, queue = settings.read(settings.Redis), settings.read(settings.Queue)
    # Prometheus waits 10 s at most, and the other metrics must not wait for a Redis that hangs.
    gauges = Gauges(connect_briefly(redis_settings))
    QueueMetrics(process.registry, gauges.read)
    process.figures.add_fact("queue", lambda: queue_facts(gauges.read()))
    engine, metrics = make_engine(settings.read(settings.Database)), UpkeepMetrics(process.registry)

    def oldest_overdue_delivery() -> timedelta:
        with engine.connect() as connection:
            return deliveries.overdue(connection, by=timedelta(0)).oldest

    OverdueMetrics(process.registry, oldest_overdue_delivery)
    eviction = Eviction(process.client, share=redis_settings.cache_share, settings=queue, count=metrics.evicted)
    overlap = settings.read(settings.Webhooks).secret_overlap
    retention = Retention(engine, settings.read(settings.Retention), secret_overlap=overlap)
    upkeep = Upkeep(
        process.client,
        engine,
        settings=queue,
        bulk=settings.read(settings.Bulk),
        metrics=metrics,
        chores={
            "evicted": eviction.sweep,
            "reported": ReportCounters(engine).sweep,
            "judged": JudgedFeedback(engine).sweep,
            "canaries": CanaryFigures(process.client, engine).sweep,
            "deleted": retention.sweep,
        },
        sign=process.sign_on(keys.UPKEEP_QUEUE).give,
    )
    process.on_close(engine.dispose)
    _sweep_pictures(process, engine)
    return upkeep


def _sweep_pictures(process: WorkerProcess, engine: Engine) -> None:
    """Sweep the store of kept pictures from a thread, where one is set; raises SettingsError where it can't be used."""
    keep, retention = settings.read(settings.KeepImages), settings.read(settings.Retention)
    if not keep.url:
        return
    sweep = PictureSweep(
        open_store(keep),
        process.client,
        engine,
        StoredPictureMetrics(process.registry),
        most_bytes=keep.bytes,
        age=min(keep.age, retention.predictions or keep.age),
    )
    thread = PeriodicThread(sweep.sweep_in_turn, pause=PAUSE / 2, name="pictures")
    thread.start()
    process.on_close(thread.stop)
