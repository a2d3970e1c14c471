"""Jobs that wait, are processed, run late or are canceled; the stack's own workers are stopped."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from tests.support.api_client import Door, Json
from tests.support.extra_processes import WorkerByHand
from tests.support.pictures import renewed
from tests.support.waiting import until


@pytest.fixture
def worker(door: Door) -> Iterator[WorkerByHand]:
    """The only worker that is not stopped."""
    with door.workers_stopped():
        yield WorkerByHand(door.redis)


def test_a_wait_for_an_unfinished_prediction_is_answered_in_its_time(
    door: Door, worker: WorkerByHand, image: bytes
) -> None:
    began = time.monotonic()
    answer = door.submit(image, headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json()["status"]) == (202, "starting")
    assert time.monotonic() - began > 0.7
    path = f"/v1/predictions/{answer.json()['id']}"
    with ThreadPoolExecutor(1) as pool:
        # A longer wait than the others' tells that theirs ended in their time, however slow the machine.
        long = pool.submit(door.http.get, path, headers={"Prefer": "wait=60"})
        began = time.monotonic()
        read = door.http.get(path, headers={"Prefer": "wait=1"})
        assert (read.status_code, read.json()["status"]) == (200, "starting")
        assert time.monotonic() - began > 0.7
        assert not long.done()
        worker.begin()
        worker.succeed()
    assert long.result().json()["status"] == "succeeded"


def test_the_same_image_twice_is_computed_once(door: Door, image: bytes) -> None:
    with door.workers_stopped():
        before = door.lane_depth()
        ids = [door.accepted(image) for _ in range(3)]
        assert len(set(ids)) == 3
        assert door.lane_depth() == before + 1
    made = [door.ended(id) for id in ids]
    assert [found["source"] for found in made] == ["model", "coalesced", "coalesced"]
    assert made[0]["output"] == made[1]["output"] == made[2]["output"]
    assert all(found["metrics"]["batch_size"] == 1 for found in made)


def test_a_deadline_cancels_only_jobs_that_have_not_started(door: Door, worker: WorkerByHand, scan: bytes) -> None:
    begun: list[str] = []

    def is_begun() -> bool:
        """Tell whether another one was begun before its deadline."""
        begun.append(door.accepted(renewed(scan), headers={"Cancel-After": "1"}))
        worker.begin()
        return bool(door.prediction(begun[-1])["status"] == "processing")

    until(is_begun, what="one is begun in time")
    started = begun[-1]
    late = door.accepted(renewed(scan), headers={"Cancel-After": "1s"})
    in_time = door.accepted(renewed(scan), headers={"Cancel-After": "1h30m45s"})
    found = door.ended(late)
    assert (found["status"], found["error_code"]) == ("canceled", "deadline_exceeded")
    assert found["error"]
    assert (found["output"], found["started_at"]) == (None, None)
    assert found["metrics"]["total_time"] >= 1
    assert door.prediction(started)["status"] == "processing"
    assert door.prediction(in_time)["status"] == "starting"
    worker.begin()
    worker.succeed()
    assert door.ended(started)["status"] == "succeeded"
    assert door.ended(in_time)["status"] == "succeeded"
    assert door.prediction(late) == found


def test_a_canceled_job_is_never_computed(door: Door, image: bytes) -> None:
    with door.workers_stopped():
        id = door.accepted(image)
        found = door.cancel(id)
        assert (found["status"], found["error_code"], found["output"]) == ("canceled", None, None)
        assert found["completed_at"]
        assert door.lane_depth() == 0
    assert door.cancel(id) == door.prediction(id) == found
    assert door.submit(image).json()["source"] != "cache"


def test_canceling_one_of_two_jobs_of_a_computation_leaves_the_other(door: Door, image: bytes) -> None:
    with door.workers_stopped():
        first, second = door.accepted(image), door.accepted(image)
        assert door.cancel(first)["status"] == "canceled"
    assert door.ended(second)["status"] == "succeeded"
    assert door.prediction(first)["status"] == "canceled"


def test_a_canceled_jobs_late_result_serves_the_others_and_the_cache(
    door: Door, worker: WorkerByHand, image: bytes
) -> None:
    first, second = door.accepted(image), door.accepted(image)
    worker.begin()
    canceled = door.cancel(first)
    assert (canceled["status"], canceled["started_at"] is None) == ("canceled", False)
    worker.succeed()
    assert door.prediction(first) == canceled
    assert door.prediction(second)["output"]["predicted_class"] == "7"
    assert door.submit(image).json()["source"] == "cache"


@pytest.mark.parametrize("end", ["succeeded", "failed", "canceled"])
def test_a_terminal_status_never_changes(door: Door, worker: WorkerByHand, image: bytes, end: str) -> None:
    id = door.accepted(image)
    worker.begin()
    if end == "canceled":
        door.cancel(id)
    if end == "failed":
        worker.fail("the model said no")
    worker.succeed()
    found = door.prediction(id)
    assert found["status"] == end
    assert (found["error"], found["error_code"]) == (
        ("the model said no", "model_error") if end == "failed" else (None, None)
    )
    assert door.cancel(id) == found
    assert door.prediction(id) == found


def test_a_post_never_answers_processing(door: Door, worker: WorkerByHand, image: bytes) -> None:
    headers = {"Idempotency-Key": f"processing-{image[41:70].hex()}"}
    id = door.accepted(image, headers=headers)
    worker.begin()
    assert door.prediction(id)["status"] == "processing"
    assert door.prediction(id)["started_at"]
    for prefer in ({}, {"Prefer": "wait=1"}):
        again = door.submit(image, headers=headers | prefer)
        said: Json = again.json()
        assert (again.status_code, said["id"], said["status"], said["started_at"]) == (202, id, "starting", None)
    worker.succeed()
    assert door.submit(image, headers=headers).json()["status"] == "succeeded"


def test_a_failed_computation_is_not_cached(door: Door, worker: WorkerByHand, image: bytes) -> None:
    id = door.accepted(image)
    worker.begin()
    worker.fail("the model said no")
    assert door.prediction(id)["status"] == "failed"
    again = door.accepted(image)
    worker.begin()
    worker.succeed()
    assert door.prediction(again)["source"] == "model"


def test_a_wait_ends_the_moment_the_prediction_does(door: Door, worker: WorkerByHand, scan: bytes) -> None:
    def compute() -> None:
        worker.begin()
        worker.succeed()

    wait = {"Prefer": "wait=60"}

    def get() -> Callable[[], httpx.Response]:
        id = door.accepted(renewed(scan))
        return lambda: door.http.get(f"/v1/predictions/{id}", headers=wait)

    def post() -> Callable[[], httpx.Response]:
        return lambda: door.submit(renewed(scan), headers=wait)

    def is_answered_at_once(prepare: Callable[[], Callable[[], httpx.Response]]) -> bool:
        request, computing = prepare(), threading.Timer(0.3, compute)
        began = time.monotonic()
        computing.start()
        answer = request()
        took = time.monotonic() - began
        computing.join()
        assert answer.json()["status"] == "succeeded"
        return took < 0.9

    for prepare in (get, post):
        # Without the notification that it is done the gateway would read again after a second: none would be in time.
        until(partial(is_answered_at_once, prepare), what="one of these is answered at once")
