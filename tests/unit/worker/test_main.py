"""What a starting worker configures in Celery."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.concurrency import solo, thread
from celery.worker.consumer import Consumer
from celery.worker.consumer.tasks import Tasks

from worker import main, started_roles
from worker.process.consumed_queues import ConsumedQueues
from worker.process.thread_pool import WakingTaskPool


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments with which the roles were started."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(started_roles, "start", lambda **facts: found.update(facts))
    monkeypatch.setattr(main, "_configure_logging", lambda: None)
    return found


@pytest.mark.parametrize(("pool", "slots"), [(solo, 1), (thread, 2)])
def test_a_worker_consumes_bells_without_acknowledging(started: dict[str, Any], pool: Any, slots: int) -> None:
    app = Celery(set_as_current=False)
    app.amqp.queues.select(["predict.m"])
    sender = SimpleNamespace(app=app, pool_cls=pool.TaskPool, concurrency=2)
    main._start(sender)
    assert (started["queues"], started["pool"]) == (["predict.m"], pool.__name__.rpartition(".")[2])
    assert started["slots"] == slots
    assert app.amqp.queues["predict.m"].no_ack
    assert sender.pool_cls is (WakingTaskPool if pool is thread else solo.TaskPool)


@pytest.mark.usefixtures("started")
def test_a_models_queue_is_consumed_once_the_model_is_served() -> None:
    app, consumed = Celery(set_as_current=False), []
    app.amqp.queues.select(["predict.a", "predict.b%2Cc", "record"])
    sender = SimpleNamespace(app=app, pool_cls=solo.TaskPool, concurrency=1)
    main._start(sender)
    assert list(app.amqp.queues.consume_from) == ["record"]
    consuming = ConsumedQueues(sender, held_back=[], stopping=lambda: False)
    consuming.begin("predict.a")
    consuming.started()
    assert list(app.amqp.queues.consume_from) == ["record", "predict.a"]
    sender.consumer = SimpleNamespace(
        task_consumer=object(), add_task_queue=consumed.append, call_soon=lambda work, queue: work(queue)
    )
    consuming.begin("predict.b%2Cc")
    assert consumed == ["predict.b%2Cc"]


def test_celery_has_the_members_that_are_used() -> None:
    assert {"call_soon", "add_task_queue"} <= set(dir(Consumer))
    consumer = SimpleNamespace()
    Tasks(consumer)
    assert consumer.task_consumer is None


def test_sending_a_sweep_touches_beats_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rung = tmp_path / "rung"
    monkeypatch.setenv("DARKROOM_BEAT_FILE", str(rung))
    with Celery(broker="memory://", set_as_current=False) as app:
        app.send_task("another.task")
        assert not rung.exists()
        app.send_task(main.SWEEP_TASK)
    assert rung.exists()
