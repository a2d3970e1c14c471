"""The roles of this process: started from the Celery queues it consumes, called by the tasks, closed when it stops."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from shared.queue import keys
from worker.process.allocator import keep_freed_memory
from worker.process.garbage import collect_rarely, collecting_nothing, leave_libraries_alone
from worker.process.worker_process import WorkerProcess, start_process

if TYPE_CHECKING:
    from worker.roles.predict import PredictRole
    from worker.roles.record import RecordRole
    from worker.roles.webhooks import WebhookRole
    from worker.upkeep.sweep import Upkeep

Role = TypeVar("Role")

_QUEUES: Final = (keys.PREDICT_QUEUE, keys.RECORD_QUEUE, keys.UPKEEP_QUEUE, keys.WEBHOOK_QUEUE)


class NotStarted(Exception):
    """A task came for a role that this worker does not have, because it does not consume the role's queue."""

    def __init__(self, queue: str) -> None:
        super().__init__(f"this worker does not do this; start it with -Q {queue}")
        self.queue = queue


@dataclass
class StartedRoles:
    """The roles of one process; a property raises NotStarted where the process has not got the role."""

    process: WorkerProcess
    predicting: "PredictRole | None" = None
    recording: "RecordRole | None" = None
    housekeeping: "Upkeep | None" = None
    delivering: "WebhookRole | None" = None

    @property
    def predict(self) -> "PredictRole":
        """Return the role that predicts."""
        return _started(self.predicting, f"{keys.PREDICT_QUEUE} or {keys.PREDICT_QUEUE}.<model>")

    @property
    def record(self) -> "RecordRole":
        """Return the role that writes to Postgres."""
        return _started(self.recording, keys.RECORD_QUEUE)

    @property
    def upkeep(self) -> "Upkeep":
        """Return the role that sweeps."""
        return _started(self.housekeeping, keys.UPKEEP_QUEUE)

    @property
    def webhooks(self) -> "WebhookRole":
        """Return the role that delivers webhooks."""
        return _started(self.delivering, keys.WEBHOOK_QUEUE)


def _started(role: Role | None, queue: str) -> Role:
    if role is None:
        raise NotStarted(queue)
    return role


_current: list[StartedRoles] = []
_closing = threading.Lock()


def current() -> StartedRoles:
    """Return this process' roles; IndexError outside a started worker."""
    return _current[0]


def start(
    *,
    queues: list[str],
    pool: str,
    slots: int,
    stopping: Callable[[], bool],
    consume: Callable[[str], object],
    consume_no_more: Callable[[str], object],
) -> None:
    """Start the roles of these queues; blocks until one of the models that they name is served.

    `consume` is called with the queue of each model as soon as it is served, `consume_no_more` once it no longer is;
    later both are called from threads. Raises Stopped when the worker is told to stop before. Anything else this
    raises, an unusable setting included, is a reason to end the process.
    """
    if pool not in ("solo", "thread"):
        raise SystemExit(f"Pool {pool} forks away from the loaded models; use -P solo (CPU) or -P threads (GPU).")
    if unknown := [queue for queue in queues if queue not in _QUEUES and keys.model_of_queue(queue) is None]:
        # Celery would make the queue, and the worker wait for ever for what nobody sends.
        raise SystemExit(
            f"No queue is named {', '.join(unknown)}; use -Q with {', '.join(_QUEUES)} or predict.<model>."
        )
    roles = StartedRoles(start_process(stopping=stopping))
    collect_rarely()
    # A role is imported only where its queue is consumed: predict brings torch, numpy and MLflow, webhooks an HTTP
    # client, and an image that lacks those can take the other roles.
    named = [model for queue in queues if (model := keys.model_of_queue(queue)) is not None]
    if named or keys.PREDICT_QUEUE in queues:
        # Before torch and its threads. With -P threads, one a decoder, a single arena would be contended.
        keep_freed_memory(one_arena=pool == "solo")
        with collecting_nothing():
            from worker.roles.predict import PredictRole  # noqa: PLC0415

        roles.process.figures.add_role("predict")
        roles.predicting = PredictRole(roles.process, slots=slots)
        roles.predicting.start(
            None if keys.PREDICT_QUEUE in queues else named,
            consume=lambda model: consume(keys.predict_queue(model)),
            consume_no_more=lambda model: consume_no_more(keys.predict_queue(model)),
        )
    if keys.RECORD_QUEUE in queues:
        from worker.roles.record import RecordRole  # noqa: PLC0415

        roles.recording = RecordRole(roles.process)
        roles.recording.start()
        roles.process.figures.add_role(keys.RECORD_QUEUE)
    if keys.UPKEEP_QUEUE in queues:
        from worker.roles.upkeep import start_upkeep  # noqa: PLC0415

        roles.housekeeping = start_upkeep(roles.process)
        roles.process.figures.add_role(keys.UPKEEP_QUEUE)
    if keys.WEBHOOK_QUEUE in queues:
        from worker.roles.webhooks import WebhookRole  # noqa: PLC0415

        roles.delivering = WebhookRole(roles.process)
        roles.delivering.start()
        roles.process.figures.add_role(keys.WEBHOOK_QUEUE)
    if roles.predicting is None:  # which does so before it loads its first version
        leave_libraries_alone()
    _current[:] = [roles]


def note_heartbeat() -> None:
    """Record that Celery's heartbeat went out: its main loop runs."""
    for roles in _current:
        roles.process.note_heartbeat()


def is_busy() -> bool:
    """Tell whether this process has images in hand, which it should finish before it stops."""
    return any(roles.predicting is not None and roles.predicting.is_busy() for roles in _current)


def stop() -> None:
    """Close everything in reverse order of starting; a second caller waits for the first."""
    with _closing:
        for roles in _current:
            roles.process.close()
        _current.clear()
