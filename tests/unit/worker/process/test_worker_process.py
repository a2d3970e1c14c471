"""Everything a worker process holds is closed, even if something fails to close."""

import pytest
import redis
from prometheus_client import CollectorRegistry

from worker import started_roles
from worker.process.worker_process import WorkerProcess


def test_a_part_that_fails_to_close_leaves_no_other_part_open(caplog: pytest.LogCaptureFixture) -> None:
    closed: list[str] = []

    def fail() -> None:
        raise redis.ConnectionError("gone")

    process = WorkerProcess(registry=CollectorRegistry(), client=redis.Redis(), stopping=lambda: False)
    process.on_close(lambda: closed.append("first"), fail, lambda: closed.append("last"))
    started_roles._current[:] = [started_roles.StartedRoles(process)]
    started_roles.stop()
    assert closed == ["last", "first"]
    assert [line.message for line in caplog.records] == ["not_closed"]
    assert started_roles._current == []
