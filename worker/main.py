"""The Celery app: wiring.

`celery -A worker.main worker -Q predict.<model> -P solo`, or `-Q record,upkeep -P threads`, or `-Q webhooks -P solo`.
"""

import logging
from typing import Any

from celery import Celery
from celery.signals import (
    before_task_publish,
    heartbeat_sent,
    setup_logging,
    worker_init,
    worker_shutdown,
    worker_shutting_down,
)
from celery.worker import state

from shared import settings
from shared.observability.logs import configure_logging
from shared.queue import bells, keys
from shared.queue.connection.clients import broker_url
from worker import flower_guard, started_roles
from worker.process import broker_transport
from worker.process.consumed_queues import ConsumedQueues
from worker.process.shutdown import ShutdownDeadline
from worker.process.startup import exit_on_failure

SWEEP_TASK = "worker.tasks.sweep"
# Deadlines are met to within this, and lost bells made up for.
SWEEP_PAUSE_SECONDS = 2.0


def configuration() -> dict[str, Any]:
    """Return Celery's settings; read when the app is first used, not at import."""
    return {
        "broker_url": broker_url(settings.read(settings.Redis)),
        "broker_connection_retry_on_startup": True,
        # A worker waits for its broker, however long that takes and whatever it answers meanwhile.
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        # A bell that another worker could answer must not lie in this one's hands.
        "worker_prefetch_multiplier": 1,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "worker_hijack_root_logger": False,
        "task_routes": {
            bells.RECORD_TASK: {"queue": keys.RECORD_QUEUE},
            bells.WEBHOOK_TASK: {"queue": keys.WEBHOOK_QUEUE},
            SWEEP_TASK: {"queue": keys.UPKEEP_QUEUE},
        },
        "beat_schedule": {
            "sweep": {
                "task": SWEEP_TASK,
                "schedule": SWEEP_PAUSE_SECONDS,
                # Nobody needs yesterday's sweeps: without workers they would pile up.
                "options": {"expires": SWEEP_PAUSE_SECONDS * 5},
            },
        },
    }


broker_transport.install()
app = Celery("darkroom", include=["worker.tasks"])
app.add_defaults(configuration)
flower_guard.guard()


@setup_logging.connect  # type: ignore[untyped-decorator]
def _log_our_way(**_: Any) -> None:
    configure_logging(settings.read(settings.Logging))
    # A bell is no event worth two lines; Flower shows every one of them.
    for chatty in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@worker_init.connect  # type: ignore[untyped-decorator]
def _start(sender: Any, **_: Any) -> None:
    """Load what the worker's queues need before it takes its first task."""
    _log_our_way()  # Celery asks only after this; what loading says would come out without its facts
    with exit_on_failure():
        _start_roles(sender)


def _start_roles(sender: Any) -> None:
    queues = dict(sender.app.amqp.queues.consume_from)
    pool = sender.pool_cls.__module__.rpartition(".")[2]
    if pool == "solo":
        # It takes no bell while it works, so kombu need not count those in hand: a round trip less for every image.
        for queue in queues.values():
            queue.no_ack = True

    def stopping() -> bool:
        # Celery's signal handlers only take a note; who waits for the registry has to look at it.
        return any(note not in (None, False) for note in (state.should_stop, state.should_terminate))

    held_back = [queue for queue in queues if keys.model_of_queue(queue) is not None]
    consuming = ConsumedQueues(sender, held_back=held_back, stopping=stopping)
    started_roles.start(
        queues=list(queues),
        pool=pool,
        slots=1 if pool == "solo" else int(sender.concurrency),
        stopping=stopping,
        consume=consuming.begin,
    )
    consuming.started()


@before_task_publish.connect(sender=SWEEP_TASK)  # type: ignore[untyped-decorator]
def _ring(**_: Any) -> None:
    """Beat answers nobody, and its schedule's file changes where dbm likes: this one's age says that it rings."""
    if file := settings.read(settings.Beat).file:
        file.touch()


@heartbeat_sent.connect  # type: ignore[untyped-decorator]
def _beat(**_: Any) -> None:
    started_roles.note_heartbeat()


_ending = ShutdownDeadline(is_busy=started_roles.is_busy, close=started_roles.stop)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _end_in_time(**_: Any) -> None:
    """SIGTERM has come; this runs in its handler."""
    _ending.begin()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _stop(**_: Any) -> None:
    started_roles.stop()
