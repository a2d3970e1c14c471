"""The Celery app: its settings, and what happens when a worker starts, sends heartbeats and stops.

`celery -A worker.main worker -Q predict -P solo` (of one model: `-Q predict.<model>`), or `-Q record,upkeep -P threads`
or `-Q webhooks -P solo`.
"""

import logging
import signal
from typing import Any

from celery import Celery
from celery.signals import (
    beat_init,
    before_task_publish,
    heartbeat_sent,
    setup_logging,
    worker_init,
    worker_shutdown,
    worker_shutting_down,
)

from shared import settings
from shared.observability.logs import configure_logging
from shared.queue import bells, keys
from shared.queue.connection.clients import broker_url
from worker import flower_guard, started_roles
from worker.process import broker_transport
from worker.process.consumed_queues import ConsumedQueues
from worker.process.ending import exit_with
from worker.process.interval import Interval
from worker.process.shutdown import ShutdownDeadline, told_to_stop
from worker.process.startup import exit_on_failure
from worker.process.task_events import GatheringEvents
from worker.process.thread_pool import WakingTaskPool

SWEEP_TASK = "worker.tasks.sweep"
# How late a job past its deadline is canceled, and a lost bell rung again.
SWEEP_PAUSE_SECONDS = 2.0


def configuration() -> dict[str, Any]:
    """Return Celery's settings; read when the app is first used, not at import."""
    return {
        "broker_url": broker_url(settings.read(settings.Redis)),
        "broker_connection_retry_on_startup": True,
        # A worker waits for its broker, however long that takes and whatever error it answers meanwhile.
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        # A busy worker must not reserve a bell that an idle one could answer.
        "worker_prefetch_multiplier": 1,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "worker_hijack_root_logger": False,
        "task_routes": {
            bells.RECORD_TASK: {"queue": keys.RECORD_QUEUE},
            bells.WEBHOOK_TASK: {"queue": keys.WEBHOOK_QUEUE},
            SWEEP_TASK: {"queue": keys.UPKEEP_QUEUE},
        },
        "beat_schedule": {"sweep": {"task": SWEEP_TASK, "schedule": Interval(SWEEP_PAUSE_SECONDS)}},
        # By name, so that workers need not import it.
        "beat_scheduler": "worker.process.beat_scheduler:SteadyScheduler",
    }


broker_transport.install()
app = Celery("darkroom", include=["worker.tasks"], events=GatheringEvents)
app.add_defaults(configuration)
flower_guard.guard()


@setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logging(**_: Any) -> None:
    configure_logging(settings.read(settings.Logging))
    # Celery would log two lines for every bell; Flower shows them all.
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)


@worker_init.connect  # type: ignore[untyped-decorator]
def _start(sender: Any, **_: Any) -> None:
    """Start the roles of the worker's queues before it takes its first task."""
    _configure_logging()  # Celery sends setup_logging only later, and what loading logs would lack its fields
    with exit_on_failure():
        _start_roles(sender)


def _start_roles(sender: Any) -> None:
    queues = dict(sender.app.amqp.queues.consume_from)
    pool = sender.pool_cls.__module__.rpartition(".")[2]
    # A bell that is lost with its worker is rung again, or missed by 2 s: two round trips less for each of them.
    for queue in queues.values():
        queue.no_ack = True
    if pool == "thread":
        sender.pool_cls = WakingTaskPool

    held_back = [queue for queue in queues if keys.model_of_queue(queue) is not None]
    consuming = ConsumedQueues(sender, held_back=held_back, stopping=told_to_stop)
    started_roles.start(
        queues=list(queues),
        pool=pool,
        slots=1 if pool == "solo" else int(sender.concurrency),
        stopping=told_to_stop,
        consume=consuming.begin,
        consume_no_more=consuming.end,
    )
    consuming.started()


@before_task_publish.connect(sender=SWEEP_TASK)  # type: ignore[untyped-decorator]
def _touch_beat_file(**_: Any) -> None:
    """Touch the file whose age says that beat runs, which answers no request; its schedule file's age says nothing."""
    if file := settings.read(settings.Beat).file:
        file.touch()


@beat_init.connect  # type: ignore[untyped-decorator]
def _end_beat_at_once(sender: Any, **_: Any) -> None:
    """Let beat end as a worker does: Celery's own handlers write the schedule too, then Python ends a second later."""

    def end(*_: Any) -> None:
        sender.sync()
        exit_with(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


@heartbeat_sent.connect  # type: ignore[untyped-decorator]
def _note_heartbeat(**_: Any) -> None:
    started_roles.note_heartbeat()


_shutdown = ShutdownDeadline(is_busy=started_roles.is_busy, close=started_roles.stop)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _limit_shutdown(**_: Any) -> None:
    """Begin the deadline of the shutdown; SIGTERM has come, and this runs in its handler."""
    _shutdown.begin()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _stop(sender: Any, **_: Any) -> None:
    """Close the roles and end the process: Celery has stopped everything else and would only return."""
    started_roles.stop()
    exit_with(sender.exitcode or 0)
