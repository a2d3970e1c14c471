"""A prediction is read from Redis or Postgres, listed while it waits, and streamed as events."""

import json
import threading
from dataclasses import dataclass

import httpx
import pytest

from tests.support.api_client import Door, Json, expect_problem
from tests.support.extra_processes import OUTPUT, WorkerByHand
from tests.support.pictures import renewed


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    kind: str
    data: str
    id: str


STARTING, PROCESSING = Event("logs", "starting", "1"), Event("logs", "processing", "2")
DONE = Event("done", "{}", "4")


def told(answer: httpx.Response) -> list[Event]:
    """Read a whole stream."""
    found = []
    for block in answer.text.strip().split("\n\n"):
        lines = [line.partition(": ") for line in block.splitlines() if not line.startswith(":")]
        fields = {name: value for name, _, value in lines}
        found.append(Event(fields["event"], fields["data"], fields["id"]))
    return found


def output_event(found: Json) -> Event:
    return Event("output", json.dumps(found["output"], separators=(",", ":")), "3")


@pytest.mark.parametrize("source", ["model", "cache", "failed", "canceled"])
def test_a_prediction_is_the_same_from_redis_and_from_postgres(door: Door, image: bytes, source: str) -> None:
    metadata = (
        '{"b": [1, 2.5, -0.1, null, true], "a": {"ü": "\\ud83d\\udcf7"}, "large": 1e30, "long": 9007199254740993}'
    )
    if source == "cache":
        door.predicted(image)
    if source in ("model", "cache"):
        id = door.predicted(image, metadata=metadata)["id"]
    else:
        with door.workers_stopped():
            worker = WorkerByHand(door.redis)
            id = door.accepted(image, metadata=metadata)
            worker.begin()
            if source == "canceled":
                door.cancel(id)
            worker.fail('words with "quotes", ümlauts\nand lines')
    before = door.prediction(id)
    assert source in (before["source"], before["status"])
    door.forget_in_redis(id)
    after = door.prediction(id)
    assert after == before
    if before["output"]:
        assert list(after["output"]["probabilities"].items()) == list(before["output"]["probabilities"].items())
    assert door.cancel(id) == before
    assert door.get(f"/v1/predictions/{id}", headers={"Prefer": "wait=5"}) == before


def test_the_list_has_every_prediction_newest_first_page_by_page(door: Door, scan: bytes) -> None:
    ids = [door.accepted(renewed(scan)) for _ in range(5)]
    found: list[str] = []
    where: str | None = "/v1/predictions?limit=2&model=digits"
    while where and len(found) < 6:
        page = door.get(where)
        assert set(page) == {"results", "next", "previous"}
        assert len(page["results"]) <= 2
        found += [item["id"] for item in page["results"]]
        where = page["next"]
        assert where is None or where.startswith(f"{door.url}/v1/predictions?")
    assert found[:5] == ids[::-1]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)


def test_the_last_page_of_a_list_has_no_next(door: Door, image: bytes) -> None:
    with door.workers_stopped():
        id = door.accepted(image)
        page = door.get("/v1/predictions", params={"status": "starting"})
    assert [item["id"] for item in page["results"]] == [id]
    assert (page["next"], page["previous"]) == (None, None)


def test_the_list_includes_unfinished_predictions_and_filters_by_status(door: Door, scan: bytes) -> None:
    def listed(status: str) -> list[str]:
        page = door.get("/v1/predictions", params={"status": status, "limit": 10})
        assert {item["status"] for item in page["results"]} <= {status}
        return [item["id"] for item in page["results"]]

    with door.workers_stopped():
        worker = WorkerByHand(door.redis)
        processing, canceled = door.accepted(renewed(scan)), door.accepted(renewed(scan))
        door.cancel(canceled)
        worker.begin()
        starting = door.accepted(renewed(scan))
        newest = [item["id"] for item in door.get("/v1/predictions?limit=3")["results"]]
        assert newest == [starting, canceled, processing]
        assert (listed("starting"), listed("processing")) == ([starting], [processing])
        assert listed("canceled")[0] == canceled
        worker.succeed()
        assert listed("succeeded")[0] == processing


def test_an_item_of_the_list_equals_the_prediction(door: Door, image: bytes) -> None:
    found = door.predicted(image)
    assert door.get("/v1/predictions?limit=1")["results"] == [found]
    door.forget_in_redis(found["id"])
    assert door.get("/v1/predictions?limit=1")["results"] == [found]


def test_a_stream_sends_every_event_as_it_happens(door: Door, image: bytes) -> None:
    with door.workers_stopped():
        worker = WorkerByHand(door.redis)
        id = door.accepted(image)
        begun = threading.Event()
        seen: list[str] = []
        with door.http.stream("GET", f"/v1/predictions/{id}/stream") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                seen.append(line)
                if line == "data: starting" and not begun.is_set():
                    begun.set()
                    worker.begin()
                if line == "data: processing":
                    worker.succeed()
    text = httpx.Response(200, text="\n".join(seen))
    assert told(text) == [STARTING, PROCESSING, Event("output", OUTPUT.decode(), "3"), DONE]


def test_a_later_stream_sends_the_same_and_resumes_after_the_last_id(door: Door, image: bytes) -> None:
    found = door.predicted(image)
    url = f"/v1/predictions/{found['id']}/stream"
    whole = [STARTING, PROCESSING, output_event(found), DONE]
    assert told(door.http.get(url)) == whole
    for last in ("1", "2", "3"):
        assert told(door.http.get(url, headers={"Last-Event-ID": last})) == whole[int(last) :]
    for unreadable in ("", "x", "-1", "٣"):
        answer = door.http.get(url, headers={b"Last-Event-ID": unreadable.encode()})
        assert told(answer) == whole


def test_a_stream_resumed_after_its_end_has_no_content(door: Door, image: bytes) -> None:
    id = door.predicted(image)["id"]
    answer = door.http.get(f"/v1/predictions/{id}/stream", headers={"Last-Event-ID": "4"})
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_stream_ends_with_the_reason_of_a_failure_or_a_cancel(door: Door, scan: bytes) -> None:
    with door.workers_stopped():
        worker = WorkerByHand(door.redis)
        failed = door.accepted(renewed(scan))
        worker.begin()
        worker.fail("the model\nsaid no")
        canceled = door.accepted(renewed(scan))
        door.cancel(canceled)
    answer = door.http.get(f"/v1/predictions/{failed}/stream")
    assert "data: the model\ndata: said no" in answer.text
    assert told(answer)[-1] == Event("done", '{"reason": "error"}', "4")
    events = told(door.http.get(f"/v1/predictions/{canceled}/stream"))
    assert events == [STARTING, Event("done", '{"reason": "canceled"}', "4")]


def test_a_cached_answer_has_a_stream_too(door: Door, image: bytes) -> None:
    door.predicted(image)
    found = door.submit(image).json()
    assert found["source"] == "cache"
    assert told(door.http.get(found["urls"]["stream"])) == [STARTING, output_event(found), DONE]


def test_the_stream_urls_token_is_valid_for_its_prediction_only(door: Door, scan: bytes) -> None:
    first, second = (door.predicted(renewed(scan)) for _ in range(2))
    url = httpx.URL(first["urls"]["stream"])
    assert door.http.get(url).status_code == 200
    other = door.http.get(f"/v1/predictions/{second['id']}/stream", params={"token": url.params["token"]})
    expect_problem(other, 401, "unauthorized")
