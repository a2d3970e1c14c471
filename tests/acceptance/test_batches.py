"""Bulk uploads over HTTP: every body, every name, in order, counted; and what is refused leaves nothing.

Over 300 lines: its tests share their helpers.
"""

import csv
import io
import json
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

import httpx
import pytest

from api.batches.writer import CHUNK_ITEMS
from shared.queue import keys
from tests.support.api_client import Door, expect_problem
from tests.support.batches import (
    PATH,
    Json,
    Named,
    accepted,
    batch,
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

Send = Callable[[httpx.Client, Named], httpx.Response]
BODIES: dict[str, Send] = {
    "images": send_images,
    "zip": lambda http, files: send_archive(http, zipped(files)),
    "tar": lambda http, files: send_archive(http, tarred(files)),
    "tar.gz": lambda http, files: send_archive(http, tarred(files, compression="gz")),
    "ndjson": lambda http, files: send_lines(http, lines(files)),
}


@pytest.fixture
def scans(stack: Stack) -> list[tuple[str, bytes]]:
    """New digits, never sent before, named after their labels, in no order."""
    return [(f"scans/{path.stem[0]}/{path.name}", renewed(path.read_bytes())) for path in stack.images[:300:5]]


@pytest.mark.parametrize("body", BODIES)
def test_every_form_of_upload_gives_each_image_its_named_result_in_order(door: Door, scans: Named, body: str) -> None:
    files = [*scans[:20], ("broken.png", b"no image"), *scans[20:]]
    found = accepted(BODIES[body](door.http, files))
    assert (found["status"], found["request_counts"]["total"]) == ("in_progress", 61)
    found = ended(door.http, found["id"])
    assert found["status"] == "completed"
    assert found["request_counts"] == {"total": 61, "succeeded": 60, "failed": 1, "canceled": 0}
    lines = results(door.http, found["id"])
    assert [line["custom_id"] for line in lines] == [name for name, _ in files]
    (failed,) = [line for line in lines if line["status"] == "failed"]
    assert (failed["custom_id"], failed["error_code"]) == ("broken.png", "undecodable_image")
    assert "text" in failed["error"]
    right = sum(line["output"]["predicted_class"] == line["custom_id"][6] for line in lines if line["output"])
    assert right >= 55


def test_an_item_is_a_prediction_like_any_other(door: Door, scans: Named) -> None:
    found = ended(door.http, accepted(send_images(door.http, [*scans[:2], ("cut.png", scans[2][1][:200])]))["id"])
    listed = door.get("/v1/predictions", params={"batch_id": found["id"]})["results"]
    assert [one["id"] for one in listed] == [line["id"] for line in reversed(results(door.http, found["id"]))]
    for one in listed:
        door.forget_in_redis(one["id"])
        again = door.prediction(one["id"])
        assert (again["batch_id"], again["status"]) == (found["id"], one["status"])
    assert [one["input"]["image"]["filename"] for one in listed] == ["cut.png", *(n.rpartition("/")[2] for n in
            (scans[1][0], scans[0][0]))]  # fmt: skip
    assert [one["status"] for one in listed] == ["failed", "succeeded", "succeeded"]


def test_the_same_image_many_times_is_computed_once(door: Door, image: bytes) -> None:
    with door.workers_stopped():
        found = accepted(send_archive(door.http, zipped([(f"{n}.png", image) for n in range(CHUNK_ITEMS + 8)])))
        (lane,) = [key for key in door.redis.scan_iter(match="lane:digits:bulk:*") if found["id"].encode() in key]
        assert door.redis.xlen(lane) == 1
    ended(door.http, found["id"])
    lines = results(door.http, found["id"])
    assert Counter(line["source"] for line in lines) == {"model": 1, "coalesced": CHUNK_ITEMS + 7}
    assert len({json.dumps(line["output"]) for line in lines}) == 1


def test_clutter_is_skipped_and_counted(door: Door, scans: Named) -> None:
    clutter = [("__MACOSX/scans/._1.png", b"x"), ("scans/.DS_Store", b"x"), ("Thumbs.db", b"x")]
    found = ended(door.http, accepted(send_archive(door.http, zipped([*clutter, *scans[:5]])))["id"])
    assert (found["skipped"], found["request_counts"]["total"]) == (3, 5)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_documents_in_an_archive_are_skipped_by_name_and_not_failed(
    door: Door, scans: Named, pack: Callable[[Named], bytes]
) -> None:
    others = [("scans/.DS_Store", b"x"), ("scans/labels.csv", b"name,label\n7.png,7\n"), ("notes.txt", b"by hand")]
    named = ["scans/labels.csv", "notes.txt", "scans/.DS_Store"]
    with door.workers_stopped():
        found = accepted(send_archive(door.http, pack([*others, *scans[:5]])))
        assert batch(door.http, found["id"])["skipped_files"] == found["skipped_files"] == named
    found = ended(door.http, found["id"])
    assert found["request_counts"] == {"total": 5, "succeeded": 5, "failed": 0, "canceled": 0}
    door.redis.delete(keys.batch(found["id"]))
    found = batch(door.http, found["id"])
    assert (found["skipped"], found["skipped_files"]) == (3, named)
    (listed,) = door.get(PATH, params={"limit": 1})["results"]
    assert listed == {name: value for name, value in found.items() if name not in ("skipped_files", "urls")} | {
        "urls": listed["urls"]
    }


def test_many_skipped_files_are_counted_and_the_first_hundred_named(door: Door, scans: Named) -> None:
    documents = [(f"{number}/{'x' * 300}.csv", b"a,b") for number in range(150)]
    found = accepted(send_archive(door.http, zipped([*documents, *scans[:1]])))
    for told in (found, ended(door.http, found["id"])):
        assert (told["skipped"], told["skipped_files"]) == (150, ["x" * 251 + ".csv"] * 100)


def test_an_uploads_parameters_are_stored(door: Door, scans: Named) -> None:
    data = {"model": "darkroom/digits@champion", "metadata": '{"folder": "scans"}'}
    found = accepted(send_images(door.http, scans[:1], data=data))
    assert (found["model"], found["metadata"]) == ("digits", {"folder": "scans"})
    again = ended(door.http, found["id"])
    assert again["metadata"] == {"folder": "scans"}
    assert again["created_at"] == found["created_at"] < again["completed_at"]


def test_two_uploads_under_one_key_make_one_batch(door: Door, scans: Named) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    archive, other = zipped(scans[:5]), zipped(scans[:6])
    found = accepted(send_archive(door.http, archive, headers=headers))
    assert accepted(send_archive(door.http, archive, headers=headers))["id"] == found["id"]
    expect_problem(send_archive(door.http, other, headers=headers), 422, "idempotency-mismatch")
    assert ended(door.http, found["id"])["request_counts"]["total"] == 5


def test_the_stream_sends_the_counts_and_the_end(door: Door, scans: Named) -> None:
    with door.workers_stopped():
        found = accepted(send_archive(door.http, zipped(scans)))
        url = found["urls"]["stream"]
        with door.http.stream("GET", url) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            events = stream.iter_lines()
            assert next(events) == "event: progress"
            first = json.loads(next(events).removeprefix("data: "))
            pace = {"images_per_second": None, "seconds_left": None}  # none has ended
            counts = found["request_counts"]
            assert first == {"status": "in_progress", "request_counts": counts, "errors": {}, **pace}
    ended(door.http, found["id"])
    told = door.http.get(url).text
    assert told.count("event: done\ndata: {}\n") == 1
    last = [line for line in told.splitlines() if line.startswith("id: ")][-1].removeprefix("id: ")
    assert door.http.get(url, headers={"Last-Event-ID": last}).status_code == 204
    expect_problem(door.http.get(url.replace("token=", "token=1")), 401, "unauthorized")


def test_canceling_ends_a_batch_whose_images_wait_for_ever(door: Door, scans: Named) -> None:
    with door.workers_stopped():
        found = accepted(send_archive(door.http, zipped(scans)))
        canceled = door.http.post(f"{PATH}/{found['id']}/cancel").json()
        assert canceled["status"] == "canceled"
        assert door.redis.zcard(keys.inflight("default")) == 0
    after = ended(door.http, found["id"])
    assert after["status"] == "canceled"
    assert after["request_counts"] == {"total": 60, "succeeded": 0, "failed": 0, "canceled": 60}
    assert door.http.post(f"{PATH}/{found['id']}/cancel").json() == after
    assert '"reason":"canceled"' in door.http.get(found["urls"]["stream"]).text
    assert {line["status"] for line in results(door.http, found["id"])} == {"canceled"}
    assert batch(door.http, found["id"])["status"] == "canceled"


def test_a_completed_batch_cannot_be_canceled(door: Door, scans: Named) -> None:
    found = ended(door.http, accepted(send_images(door.http, scans[:3]))["id"])
    assert door.http.post(f"{PATH}/{found['id']}/cancel").json() == found


def test_batches_are_listed_newest_first_a_page_at_a_time(door: Door, scans: Named) -> None:
    ids = [accepted(send_images(door.http, scans[:1]))["id"] for _ in range(5)]
    page = door.get(PATH, params={"limit": 2})
    following = httpx.get(page["next"], trust_env=False).json()
    assert [one["id"] for one in page["results"] + following["results"]] == ids[:0:-1]
    assert page["previous"] is None
    for id in ids:
        ended(door.http, id)
    again = door.get(PATH, params={"limit": 5})
    assert [one["id"] for one in again["results"]] == ids[::-1]


def test_results_as_csv(door: Door, scans: Named) -> None:
    files = [*scans[:3], ('odd "name", with\ttab.png', b"no image")]
    found = ended(door.http, accepted(send_archive(door.http, zipped(files)))["id"])
    answer = door.http.get(f"{PATH}/{found['id']}/results", params={"format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["custom_id"] for row in rows] == [*(name for name, _ in scans[:3]), 'odd "name", withtab.png']
    assert [row["status"] for row in rows] == ["succeeded"] * 3 + ["failed"]
    assert all(0 < float(row["confidence"]) <= 1 for row in rows[:3])


HOSTILE = {
    "a way out": zipped([("../../etc/cron.d/x", b"x")]),
    "an absolute path": tarred([("/etc/passwd", b"x")]),
    "an archive in it": zipped([("more.zip", zipped([("x", b"x")]))]),
    "zeros": zipped([("1.png", b"x")])[:-10],
}


@pytest.mark.parametrize("archive", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.usefixtures("nothing_kept")
def test_an_unsafe_archive_is_refused_as_a_whole(door: Door, archive: bytes) -> None:
    problem = expect_problem(send_archive(door.http, archive), 422, "invalid-parameter")
    assert problem["errors"][0]["pointer"] == "/archive"


@pytest.mark.usefixtures("nothing_kept")
def test_an_invalid_upload_is_refused(door: Door, scans: Named) -> None:
    send = door.http
    expect_problem(send_images(send, scans[:3], data={"model": "unknown"}), 404, "unknown-model")
    expect_problem(send_images(send, scans[:3], data={"model": "digits@nobody"}), 404, "unknown-model")
    expect_problem(send_archive(send, zipped([])), 422, "invalid-parameter")
    expect_problem(send_lines(send, b"\n\n"), 422, "invalid-parameter")
    expect_problem(send.post(PATH, content=b"x", headers={"Content-Type": "image/png"}), 415, "unsupported-image")
    expect_problem(send_images(send, scans[:1], data={"metadata": "[]"}), 422, "invalid-parameter")


@pytest.mark.parametrize("path", ["", "/results", "/stream"])
def test_an_unknown_batch_is_not_found(door: Door, path: str) -> None:
    for id in ("01a20f6c-1786-7968-b0f8-897108caf859", "x"):
        expect_problem(door.http.get(f"{PATH}/{id}{path}"), 404, "unknown-batch")
    expect_problem(door.http.post(f"{PATH}/x/cancel"), 404, "unknown-batch")


@pytest.fixture
def many(stack: Stack) -> Named:
    """More images than an upload enqueues with one call."""
    return [(path.name, renewed(path.read_bytes())) for path in stack.images[: CHUNK_ITEMS + 8]]


class Slow:
    """An upload of NDJSON whose client decides when its bytes go."""

    def __init__(self, door: Door, *, key: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", httpx.URL(door.url).port or 0))
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
        head += "Content-Length: 1000000\r\n"
        named = f"Idempotency-Key: {key}\r\n" if key else ""
        self._socket.sendall(f"{head}{named}\r\n".encode())

    def send(self, files: Named) -> None:
        self._socket.sendall(lines(files))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def newest(door: Door, *, total: int, within: float = LIMIT) -> Json:
    """Return the newest batch once so many items of it were accepted and more are awaited."""
    until = time.monotonic() + within
    while True:
        found: list[Any] = door.get(PATH, params={"limit": 1})["results"]
        if found and (found[0]["status"], found[0]["request_counts"]["total"]) == ("validating", total):
            first: Json = found[0]
            return first
        assert time.monotonic() < until, found
        time.sleep(0.02)


def test_an_interrupted_upload_is_canceled_and_its_key_freed(door: Door, scans: Named, many: Named) -> None:
    key = uuid.uuid4().hex
    with Slow(door, key=key) as upload:
        upload.send(many)
        found = newest(door, total=CHUNK_ITEMS)
        assert found["status"] == "validating"
    after = ended(door.http, found["id"])
    assert after["status"] == "canceled"
    counts = after["request_counts"]
    assert counts["total"] == CHUNK_ITEMS == counts["succeeded"] + counts["canceled"]
    other = accepted(send_lines(door.http, lines(scans[:3]), headers={"Idempotency-Key": key}))
    assert other["id"] != found["id"]


def test_an_upload_can_be_canceled_while_it_is_read(door: Door, many: Named) -> None:
    with Slow(door) as upload:
        upload.send(many[:CHUNK_ITEMS])
        found = newest(door, total=CHUNK_ITEMS)
        assert door.http.post(f"{PATH}/{found['id']}/cancel").json()["status"] == "canceled"
        upload.send(many)
    after = ended(door.http, found["id"])
    assert (after["status"], after["request_counts"]["total"]) == ("canceled", CHUNK_ITEMS)


def test_a_key_whose_upload_is_still_being_read_answers_409(door: Door, many: Named) -> None:
    key, content = uuid.uuid4().hex, lines(many)
    headers = {"Idempotency-Key": key, "Content-Type": "application/x-ndjson"}
    go_on = threading.Event()

    def slowly() -> Any:
        yield content[:-1]
        go_on.wait(LIMIT)
        yield content[-1:]

    answers: list[httpx.Response] = []
    thread = threading.Thread(
        target=lambda: answers.append(httpx.post(door.url + PATH, content=slowly(), headers=headers, trust_env=False))
    )
    thread.start()
    try:
        first = newest(door, total=CHUNK_ITEMS)
        problem = expect_problem(
            door.http.post(PATH, content=iter([content]), headers=headers), 409, "upload-in-progress"
        )
        assert problem["first_id"] == first["id"]
    finally:
        go_on.set()
        thread.join()
    assert accepted(answers[0])["id"] == first["id"]
    assert ended(door.http, first["id"])["request_counts"]["succeeded"] == len(many)
