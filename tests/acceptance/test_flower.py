"""Flower's pages: workers that appear and go offline, and what each task did."""

import ast
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest

from tests.support.api_client import Door
from tests.support.pictures import renewed
from tests.support.receivers import receiving
from tests.support.waiting import LIMIT, until

if TYPE_CHECKING:
    from tests.support.stack import Stack

T = TypeVar("T")


@pytest.fixture(scope="module")
def flower(stack: "Stack") -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url_of("flower"), timeout=LIMIT, trust_env=False) as client:
        yield client


def results(flower: httpx.Client, task: str) -> list[dict[str, Any]]:
    """Return what tasks of a name returned, of those that succeeded; the newest first."""
    query = {"taskname": f"worker.tasks.{task}", "state": "SUCCESS", "sort_by": "-received", "limit": 200}
    tasks = flower.get("/api/tasks", params=query).raise_for_status().json()
    return [ast.literal_eval(found["result"]) for found in tasks.values()]


def online(flower: httpx.Client) -> dict[str, bool]:
    found: dict[str, bool] = flower.get("/api/workers", params={"status": "1"}).raise_for_status().json()
    return found


def test_predict_tasks_show_their_model_batch_size_and_milliseconds(
    flower: httpx.Client, door: Door, image: bytes
) -> None:
    def computed() -> list[dict[str, Any]]:
        # One after the other: the first may come by a worker's tick, which is no task. Flower learns of a task a moment
        # after the prediction's end.
        spent = door.predicted(renewed(image))["metrics"]["predict_time"] * 1000
        return [turn for turn in results(flower, "predict") if turn["images"] and turn["ms"] >= spent > 0]

    turn = until(computed, what="no turn that took as long", pause=0.3)[0]
    assert turn["model"] == "digits"
    assert turn["batch_size"] == turn["images"] / turn["batches"] >= 1


def test_record_webhook_and_sweep_tasks_are_shown(flower: httpx.Client, door: Door, image: bytes) -> None:
    with receiving() as receiver:
        door.submit(image, webhook=receiver.url)
        receiver.wait_for(1)
    until(lambda: any(turn["rows"] for turn in results(flower, "record")), what="no rows recorded")
    until(lambda: results(flower, "deliver"), what="nothing delivered")
    assert "canceled" in until(lambda: results(flower, "sweep"), what="nothing swept")[0]


def test_every_worker_is_online_with_its_queues(flower: httpx.Client, stack: "Stack") -> None:
    predict = [f"predict{number + 1}" for number in range(len(stack.pids("predict")))]
    everybody = {*predict, "record1", "webhooks1"}
    # After the tests that kill them, each has to be heard of again.
    until(
        lambda: everybody <= {name.partition("@")[0] for name, is_alive in online(flower).items() if is_alive},
        what="a worker is not online",
    )
    flower.get("/api/workers", params={"refresh": "1"}).raise_for_status()
    queues = {queue["name"] for queue in flower.get("/api/queues/length").raise_for_status().json()["active_queues"]}
    assert {"predict.digits", "record", "upkeep", "webhooks"} <= queues


def test_every_page_of_flower_is_shown_without_an_error(flower: httpx.Client, stack: "Stack") -> None:
    log = stack.home / "logs" / "flower.log"
    before = log.read_text()
    worker = next(name for name, is_alive in online(flower).items() if is_alive)
    for page in ("/", "/workers", f"/worker/{worker}", "/tasks", "/broker", "/metrics"):
        assert flower.get(page).status_code == 200, page
    assert re.search(r"predict\.digits</\w+>", flower.get("/broker").text)
    assert log.read_text() == before
    # Flower stores nothing, neither in its own folder nor in the test's.
    assert not [path for folder in (stack.home, stack.home / "scratch") for path in folder.glob("flower*")]


@contextmanager
def another_worker(stack: "Stack", name: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker started with Celery's own command, as on another machine."""
    command = [sys.executable, "-m", "celery", "-A", "worker.main", "worker", "-Q", "upkeep", "-P", "solo", "-n", name]
    process = subprocess.Popen(
        [*command, "--task-events"],
        env=stack.environment | stack.stores,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_manually_started_worker_appears_and_goes_offline_when_killed(flower: httpx.Client, stack: "Stack") -> None:
    name = f"extra{time.time_ns()}@test"
    with another_worker(stack, name) as worker:
        until(lambda: online(flower).get(name), what="it does not appear")
        os.kill(worker.pid, signal.SIGKILL)
        # It sends a heartbeat every 2 s, and two may be missed.
        until(lambda: not online(flower)[name], what="it is still online")
    shown = flower.get("/workers", params={"json": "1"}).raise_for_status().json()["data"]
    assert [row["status"] for row in shown if row["hostname"] == name] == [False]


def test_a_page_using_dns_rebinding_reads_nothing_from_flower(flower: httpx.Client) -> None:
    for path in ("/", "/tasks", "/api/workers", "/metrics", "/static/css/flower.css", "/nothing"):
        refused = flower.get(path, headers={"Host": "evil.example"})
        assert refused.status_code == 403, path
        assert "FLOWER_BASIC_AUTH" in refused.text
    assert flower.get("/tasks").status_code == 200
