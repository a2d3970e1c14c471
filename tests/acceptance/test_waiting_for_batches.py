"""A bulk upload with `Prefer: wait` is answered with all results in upload order, or with a 202 as without."""

import threading
import time
import uuid
from typing import Any

import httpx
import pytest

from tests.support.api_client import Door
from tests.support.batches import (
    PATH,
    Json,
    Named,
    accepted,
    ended,
    lines,
    results,
    send_archive,
    send_images,
    send_lines,
    tarred,
    zipped,
)
from tests.support.pictures import renewed
from tests.support.stack import Stack
from tests.support.waiting import LIMIT

BODIES: dict[str, Any] = {
    "images": send_images,
    "zip": lambda http, files, **request: send_archive(http, zipped(files), **request),
    "tar.gz": lambda http, files, **request: send_archive(http, tarred(files, compression="gz"), **request),
    "ndjson": lambda http, files, **request: send_lines(http, lines(files), **request),
}
WAIT = {"Prefer": "wait=60"}


@pytest.fixture
def scans(stack: Stack) -> Named:
    """New digits, never sent before, in no order of their labels."""
    return [(f"scans/{path.name}", renewed(path.read_bytes())) for path in stack.images[:300:10]]


def whole(answer: httpx.Response) -> Json:
    """Return the batch of a 200, which has ended."""
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    assert answer.headers["location"] == found["urls"]["get"]
    assert found["completed_at"] is not None
    return found


@pytest.mark.parametrize("body", BODIES)
def test_every_form_of_upload_is_answered_with_its_results_in_order(door: Door, scans: Named, body: str) -> None:
    files = [*scans[:10], ("broken.png", b"no image"), *scans[10:], ("again.png", scans[0][1])]
    answer = BODIES[body](door.http, files, headers=WAIT)
    found = whole(answer)
    assert answer.headers["preference-applied"] == "wait=60"
    assert found["status"] == "completed"
    assert found["request_counts"] == {"total": 32, "succeeded": 31, "failed": 1, "canceled": 0}
    assert [line["custom_id"] for line in found["results"]] == [name for name, _ in files]
    (failed,) = [line for line in found["results"] if line["status"] == "failed"]
    assert (failed["custom_id"], failed["error_code"], failed["output"]) == ("broken.png", "undecodable_image", None)
    assert found["results"][0]["output"] == found["results"][-1]["output"]
    recorded = ended(door.http, found["id"])
    assert results(door.http, found["id"]) == found["results"]
    assert recorded["request_counts"] == found["request_counts"]


def test_results_that_redis_has_no_more_are_read_from_postgres(door: Door, scans: Named) -> None:
    headers = {**WAIT, "Idempotency-Key": uuid.uuid4().hex}
    first = whole(send_images(door.http, scans[:3], headers=headers))
    ended(door.http, first["id"])
    for line in first["results"]:
        door.forget_in_redis(line["id"])
    again = whole(send_images(door.http, scans[:3], headers=headers))
    assert (again["id"], again["results"]) == (first["id"], first["results"])


def test_more_images_than_are_waited_for_are_answered_as_ever(door: Door, image: bytes) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    for _ in range(2):
        answer = send_lines(door.http, lines([(f"{n}.png", image) for n in range(257)]), headers=WAIT | key)
        assert "preference-applied" not in answer.headers
        ended(door.http, accepted(answer)["id"])
    assert len(whole(send_lines(door.http, lines([("7.png", image)] * 256), headers=WAIT))["results"]) == 256


def test_a_batch_that_does_not_end_in_time_is_answered_as_it_is(door: Door, scans: Named) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    with door.workers_stopped():
        for _ in range(2):
            answer = send_images(door.http, scans[:4], headers={"Prefer": "wait=1", **key})
            found = accepted(answer)
            assert "results" not in found
            assert answer.headers["preference-applied"] == "wait=1"
            assert found["request_counts"]["total"] == 4
    assert ended(door.http, found["id"])["request_counts"]["succeeded"] == 4
    again = whole(send_images(door.http, scans[:4], headers=WAIT | key))
    assert again["id"] == found["id"]
    assert len(again["results"]) == 4


def test_an_upload_that_waits_is_answered_when_its_batch_is_canceled(door: Door, scans: Named) -> None:
    answers: list[httpx.Response] = []
    with door.workers_stopped():
        waiting = threading.Thread(target=lambda: answers.append(send_images(door.http, scans[:5], headers=WAIT)))
        waiting.start()
        while not (open_ones := door.get(PATH, params={"limit": 1})["results"]) or (
            open_ones[0]["status"] != "in_progress"
        ):
            time.sleep(0.02)
        door.http.post(f"{PATH}/{open_ones[0]['id']}/cancel")
        waiting.join(LIMIT)
    found = whole(answers[0])
    assert (found["id"], found["status"]) == (open_ones[0]["id"], "canceled")
    assert [line["status"] for line in found["results"]] == ["canceled"] * 5
