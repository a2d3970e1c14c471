"""`darkroom status` in a pipe and in a terminal, on the running stack."""

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from cli.stack.supervisor.state import ROLES
from shared.observability.log_file import LARGEST, older
from tests.support.api_client import Door
from tests.support.pictures import renewed
from tests.support.stack import COMMAND
from tests.support.terminals import seated
from tests.support.waiting import LIMIT, until

if TYPE_CHECKING:
    from tests.support.stack import Stack

WORKERS = ("predict", "record", "webhooks")


@contextmanager
def submitting(door: Door, scan: bytes) -> Iterator[None]:
    """Submit one image after another, every second one the same."""
    stopping = threading.Event()

    def submit() -> None:
        while not stopping.is_set():
            door.submit(renewed(scan))
            door.submit(scan)
            time.sleep(0.01)

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def test_every_process_serves_metrics_at_the_url_in_status(stack: "Stack") -> None:
    status = stack.wait_until_ready()
    assert status["flower"]["url"].startswith("http://127.0.0.1:")
    assert all(len(status[role]["metrics_urls"]) == len(status[role]["pids"]) for role in ("api", *WORKERS))
    assert all(not status[role]["metrics_urls"] for role in status if role not in ("api", *WORKERS))
    urls = [url for role in status.values() for url in role["metrics_urls"]]
    assert len(set(urls)) == len(urls)
    for url in urls:
        assert "darkroom_build_info" in httpx.get(url, trust_env=False).raise_for_status().text


def test_in_a_pipe_status_is_printed_once_with_lanes_rates_and_errors(stack: "Stack", door: Door, scan: bytes) -> None:
    # Of the newest twenty, however many the tests before have caused in this second.
    at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + 60))
    line = {"time": at, "level": "error", "event": "made_up", "logger": "test", "error": "[/] is no markup"}
    (stack.home / "logs" / "test.log").write_text(json.dumps(line) + "\n")
    with submitting(door, scan):
        said = stack.darkroom("status").stdout
    lines = said.splitlines()
    assert "\x1b" not in said
    assert lines[0].startswith(f"Darkroom  {stack.url}")
    status = stack.status()
    for role in ROLES:
        facts = status[role]
        row = next(line for line in lines if line.startswith(role))
        assert all(str(pid) in row for pid in facts["pids"])
        assert re.search(r"\d+%", row)
        assert facts["url"] is None or facts["url"] in row
    _, workers, images, batch, *_ = next(line.split() for line in lines if line.startswith("digits"))
    assert int(workers) == len(status["predict"]["pids"])
    assert float(images) > 0
    assert float(batch) >= 1
    at = [line[:7] for line in lines].index("answers")
    # Whatever else was answered on this stack has a column too.
    shown = dict(zip(re.findall(r"\S+/s|from the cache", lines[at]), lines[at + 1].split(), strict=True))
    assert float(shown["queued/s"]) > 0
    assert float(shown["cached/s"]) > 0
    assert shown["refused/s"] == "0"
    assert 0 < int(shown["from the cache"].rstrip("%")) < 100
    assert any(re.match(r"\S+ +test +made_up  \[/\] is no markup", line) for line in lines)


def test_in_a_terminal_status_runs_until_q_and_restores_the_terminal(stack: "Stack") -> None:
    with seated([str(COMMAND), "status"], environment=stack.environment) as seat:
        drawn = seat.read_until("last errors")
        assert all(words in drawn for words in (stack.url, "predict", "digits", "q ends"))
        assert seat.modes() != seat.modes_before
        seat.read_until("digits")
        seat.press(b"q")
        assert seat.process.wait(timeout=LIMIT) == 0
        assert seat.modes() == seat.modes_before
        assert seat.read_rest().endswith(b"\x1b[?25h\x1b[?1049l")


def test_in_a_terminal_once_prints_a_single_snapshot(stack: "Stack") -> None:
    with seated([str(COMMAND), "status", "--once"], environment=stack.environment) as seat:
        assert seat.process.wait(timeout=LIMIT) == 0
        raw = seat.read_rest()
        assert b"digits" in raw
        assert b"\x1b[?1049h" not in raw


def test_the_log_of_every_program_is_bounded_while_it_runs(stack: "Stack") -> None:
    logs = [stack.home / "logs" / f"{role}.log" for role, facts in stack.wait_until_ready().items() if facts["pids"]]
    assert {"redis.log", "postgres.log", "mlflow.log", "flower.log", "predict.log"} <= {log.name for log in logs}
    for log in logs:
        os.truncate(log, LARGEST)
    # Celery's beat and workers, Flower and MLflow look once a second, the supervisor for Redis and Postgres every five.
    until(lambda: all(log.exists() and log.stat().st_size < LARGEST for log in logs), what="none is full")
    assert all(older(log).stat().st_size >= LARGEST for log in logs)
