"""`darkroom status` reads the service from its stack's Redis."""

from pathlib import Path
from typing import Any

import pytest
import redis

from cli.status.service import read_service
from shared.queue.inspection import status_board
from shared.queue.inspection.duties import Sign
from shared.queue.lua import Scripts
from tests.support.status_snapshots import published


@pytest.fixture
def home(tmp_path: Path, redis_server: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DARKROOM_REDIS_URL", redis_server.url)
    return tmp_path


def test_the_service_is_what_its_processes_publish(home: Path, redis_client: redis.Redis) -> None:
    for role in ("record", "webhooks"):
        Sign(redis_client, role, name="w").give()
    one = published("api", grown={"submissions_total": {("digits", "queued"): 4.0}}).figures
    call = status_board.publish_call(one, samples=False)
    Scripts(redis_client).run(call.script, call.keys, *call.arguments)
    found = read_service(home)
    assert found is not None
    assert [process.figures for process in found.processes] == [one]
    assert found.figures is not None
    assert found.figures.submissions is not None
    assert found.figures.submissions.queued_per_second == 2.0
    assert {row: duty.state for row, duty in found.duties.items()} == {"beat": "missing"}


def test_without_redis_nothing_is_known(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_REDIS_URL", "redis://127.0.0.1:1/0")
    assert read_service(home) is None
