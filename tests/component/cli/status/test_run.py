"""What `darkroom status` says of the whole page: how old its figures are, and that the supervisor is suspended."""

import io
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from rich.console import Console

from cli.stack.supervisor import state
from cli.stack.supervisor.identity import ProcessIdentity
from cli.status.processes import Usage
from cli.status.run import draw
from cli.status.service import Service
from cli.status.snapshots import Snapshot, SnapshotReader
from shared.queue.inspection import status_board
from shared.queue.lua import Scripts
from tests.support.status_snapshots import ME, program, published, snapshot, stack


def page(now: Snapshot) -> str:
    screen = io.StringIO()
    Console(file=screen, width=200).print(draw([now], Path("/h")))
    return screen.getvalue()


@pytest.mark.parametrize(
    ("taken", "heard", "said"),
    [
        (0.0, 0.0, ""),
        (0.0, None, "Redis does not answer: what the processes publish is unknown."),
        (0.0, 100.0, "Redis does not answer: figures are those of 1.7 min ago."),
        # The next snapshot hangs since.
        (100.0, 100.0, "Redis does not answer: figures are those of 1.7 min ago."),
    ],
)
def test_figures_that_are_old_are_said_to_be(taken: float, heard: float | None, said: str) -> None:
    now = time.monotonic()
    one = replace(snapshot(now - taken, program("api")), heard_at=None if heard is None else now - heard)
    notes = [line.strip() for line in page(one).splitlines() if "Redis does not answer" in line]
    assert notes == ([said] if said else [])


def test_while_redis_does_not_answer_snapshots_keep_what_it_answered_last(
    tmp_path: Path, redis_server: Any, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = ProcessIdentity.of(os.getpid())
    assert me is not None
    state.write_state(tmp_path, replace(stack(), supervisor=me))
    call = status_board.publish_call(published("api").figures, samples=False)
    Scripts(redis_client).run(call.script, call.keys, *call.arguments)
    reader = SnapshotReader(tmp_path)
    monkeypatch.setenv("DARKROOM_REDIS_URL", "redis://127.0.0.1:1/0")
    never = reader.read()
    assert (never.service, never.heard_at) == (Service(), None)
    monkeypatch.setenv("DARKROOM_REDIS_URL", redis_server.url)
    heard = reader.read()
    assert heard.service.processes
    assert heard.heard_at is not None
    monkeypatch.setenv("DARKROOM_REDIS_URL", "redis://127.0.0.1:1/0")
    kept = reader.read()
    assert (kept.service, kept.heard_at) == (heard.service, heard.heard_at)
    assert kept.at > heard.at


def test_a_suspended_supervisor_is_named_with_what_continues_it() -> None:
    one = snapshot(time.monotonic(), program("api"), families={ME.pid: {ME: Usage(1.0, 1, is_suspended=True)}})
    assert f"kill -CONT {ME.pid}" in page(one)
    assert "kill -CONT" not in page(snapshot(time.monotonic(), program("api")))
