"""The Celery tasks, a line each: a task is a bell, which says that there is work; the roles do it."""

from typing import Any

from shared.domain.identifiers import ModelName
from shared.queue import bells
from worker import started_roles
from worker.main import SWEEP_TASK, app


# Acknowledged late: no round trip before the micro-batch, and a busy process takes no bell that an idle one could.
@app.task(name=bells.PREDICT_TASK, bind=True, acks_late=True)  # type: ignore[untyped-decorator]
def predict(self: Any, model: str) -> dict[str, Any]:
    """Predict micro-batches while there are images, for a limited time; the task's id is the bell's token."""
    return dict(started_roles.current().predict.answer_bell(ModelName(model), self.request.id))


@app.task(name=bells.RECORD_TASK, bind=True)  # type: ignore[untyped-decorator]
def record(self: Any) -> dict[str, int]:
    """Write finished predictions to Postgres in one commit."""
    return {"rows": started_roles.current().record.run_once(self.request.id)}


@app.task(name=bells.WEBHOOK_TASK)  # type: ignore[untyped-decorator]
def deliver() -> None:
    """Tell the courier that webhooks may be due; it delivers them in its own thread."""
    started_roles.current().webhooks.wake()


@app.task(name=SWEEP_TASK)  # type: ignore[untyped-decorator]
def sweep() -> dict[str, int]:
    """Cancel jobs past their deadlines, delete what has expired, ring for work that waits; return how much of each."""
    return started_roles.current().upkeep.sweep()
