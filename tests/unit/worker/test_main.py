"""What Celery is told when a worker starts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.concurrency import solo, thread

from worker import main, runtime


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the runtime was started with."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(runtime, "start", lambda **facts: found.update(facts))
    monkeypatch.setattr(main, "_log_our_way", lambda: None)
    return found


@pytest.mark.parametrize(("pool", "slots"), [(solo, 1), (thread, 2)])
def test_only_a_solo_worker_takes_bells_uncounted(started: dict[str, Any], pool: Any, slots: int) -> None:
    app = Celery(set_as_current=False)
    app.amqp.queues.select(["predict.m"])
    main._start(SimpleNamespace(app=app, pool_cls=pool.TaskPool, concurrency=2))
    assert (started["queues"], started["pool"]) == (["predict.m"], pool.__name__.rpartition(".")[2])
    assert started["slots"] == slots
    assert bool(app.amqp.queues["predict.m"].no_ack) is (pool is solo)


def test_each_ring_touches_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rung = tmp_path / "rung"
    monkeypatch.setenv("DARKROOM_BEAT_FILE", str(rung))
    with Celery(broker="memory://", set_as_current=False) as app:
        app.send_task("another.task")
        assert not rung.exists()
        app.send_task(main.SWEEP_TASK)
    assert rung.exists()
