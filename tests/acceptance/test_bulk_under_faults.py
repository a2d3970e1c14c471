"""Bulk uploads while processes and servers fail: each batch completes with exact counts, and none is partly there."""

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from types import TracebackType
from typing import Any, Self

import httpx
import psycopg2
import pytest

from api.batches.writer import CHUNK_ITEMS
from tests.support.batches import (
    PATH,
    Json,
    accepted,
    batch,
    ended,
    lines,
    results,
    send_archive,
    send_lines,
    zipped,
)
from tests.support.breakable_stack import LANE_DEPTH, Breakable, picture, undecodable
from tests.support.faulty_model import CLASSES
from tests.support.waiting import LIMIT, until


def pictures(numbers: Sequence[int]) -> list[tuple[str, bytes]]:
    """Return numbered pictures; every 50th is no image, every 75th can't be decoded."""
    return [(f"{n}.png", b"text" if n % 50 == 0 else undecodable() if n % 75 == 0 else picture(n)) for n in numbers]


def right(line: Json) -> bool:
    """Tell whether a result is the expected one for its picture."""
    number = int(line["custom_id"].removesuffix(".png"))
    if number % 50 == 0 or number % 75 == 0:
        return bool(line["status"] == "failed" and line["error_code"] == "undecodable_image")
    return bool(line["status"] == "succeeded" and line["output"]["predicted_index"] == number % CLASSES)


class Uploads:
    """Clients that upload until the block ends; each upload is tried again under its key until it has its 202."""

    def __init__(self, url: str, *, first: int, clients: int = 2) -> None:
        self.accepted: dict[str, list[int]] = {}
        """The numbers in each batch."""
        self.broken = 0
        self.odd: list[str] = []
        self._url = url
        self._first = first
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._upload_forever, args=(n,), daemon=True) for n in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=LIMIT)

    def wait_for_more(self, count: int) -> None:
        """Return when `count` more were accepted."""
        wanted = len(self.accepted) + count
        until(lambda: len(self.accepted) >= wanted, what=f"{count} more uploads are accepted")

    def _upload_forever(self, client: int) -> None:
        chance = random.Random(client)
        first = self._first + client * 1_000_000
        with httpx.Client(base_url=self._url, timeout=LIMIT, trust_env=False) as http:
            while not self._stopping.is_set():
                numbers = list(range(first, first + chance.randrange(50, 400)))
                first = numbers[-1] + 1
                self._upload(http, numbers, as_archive=chance.random() < 0.5)

    def _upload(self, http: httpx.Client, numbers: list[int], *, as_archive: bool) -> None:
        files, headers = pictures(numbers), {"Idempotency-Key": uuid.uuid4().hex}
        content = zipped(files) if as_archive else lines(files)
        for _ in range(300):
            try:
                answer = (
                    send_archive(http, content, headers=headers)
                    if as_archive
                    else http.post(PATH, content=content, headers=headers | {"Content-Type": "application/x-ndjson"})
                )
            except httpx.TransportError:
                self.broken += 1
            else:
                if answer.status_code == 202:
                    self.accepted[answer.json()["id"]] = numbers
                    return
                if answer.status_code not in (409, 503):
                    self.odd.append(answer.text)
                    return
            time.sleep(0.2)
        self.odd.append("an upload was never accepted")


def reckon(system: Breakable, uploads: Uploads) -> None:
    """Compare each accepted batch with its rows; check that no other batch is partly there."""
    assert uploads.odd == []
    for id, numbers in uploads.accepted.items():
        found = ended(system.http, id)
        lines = results(system.http, id)
        assert [line["custom_id"] for line in lines] == [f"{number}.png" for number in numbers]
        assert all(map(right, lines)), next(line for line in lines if not right(line))
        counted = Counter(line["status"] for line in lines)
        assert found["status"] == "completed"
        assert found["request_counts"] == {"total": len(numbers), "canceled": 0} | {
            status: counted[status] for status in ("succeeded", "failed")
        }
    until(lambda: not unended(system), what="uploads that broke off are canceled")
    system.wait_until_mended()
    system.audit()


def unended(system: Breakable) -> list[Any]:
    """Return the batches that have not ended."""
    listed = system.get(PATH, params={"limit": 1000})["results"]
    return [one for one in listed if one["completed_at"] is None]


def test_batches_are_exact_when_processes_are_killed_during_uploads(breakable: Breakable) -> None:
    chance = random.Random(time.time_ns())
    with Uploads(breakable.stack.url, first=1_000_000) as uploads:
        uploads.wait_for_more(2)
        for role in chance.sample(["api", "api", "predict", "predict", "record", "record"], 6):
            time.sleep(chance.uniform(0.3, 1.5))
            if pids := breakable.pids(role):
                breakable.kill(chance.choice(pids))
        uploads.wait_for_more(2)
    reckon(breakable, uploads)


def test_batches_are_exact_when_redis_restarts_during_uploads(breakable: Breakable) -> None:
    with Uploads(breakable.stack.url, first=4_000_000) as uploads:
        uploads.wait_for_more(2)
        for seconds_away in (0.2, 1.5):
            breakable.redis_server.kill()
            time.sleep(seconds_away)
            breakable.redis_server.start()
            uploads.wait_for_more(2)
    reckon(breakable, uploads)


def test_uploads_continue_without_postgres_and_batches_end_when_it_is_back(breakable: Breakable) -> None:
    with Uploads(breakable.stack.url, first=7_000_000) as uploads:
        uploads.wait_for_more(2)
        breakable.postgres.stop()
        time.sleep(3)
        breakable.postgres.start()
        uploads.wait_for_more(2)
    reckon(breakable, uploads)


@pytest.mark.parametrize("victim", ["api", "client"])
def test_an_interrupted_upload_leaves_no_partial_batch(breakable: Breakable, victim: str) -> None:
    content = lines(pictures(range(10_000_001, 10_000_200)))
    cut = threading.Event()

    def half() -> Any:
        yield content[: len(content) * 2 // 3]
        assert cut.wait(LIMIT)
        raise httpx.ReadError("that was it")

    def upload() -> None:
        with pytest.raises(httpx.TransportError):
            httpx.post(
                breakable.stack.url + PATH, content=half(), timeout=LIMIT, trust_env=False,
                headers={"Content-Type": "application/x-ndjson"},
            )  # fmt: skip

    with breakable.stopped("predict"):
        thread = threading.Thread(target=upload)
        thread.start()
        until(lambda: unended(breakable), what="it is listed")
        (found,) = unended(breakable)
        until(lambda: batch(breakable.http, found["id"])["request_counts"]["total"] > 90, what="it is read")
        assert batch(breakable.http, found["id"])["status"] == "validating"
        if victim == "api":
            breakable.kill(*breakable.pids("api"))
        cut.set()
        thread.join()
        breakable.wait_until_mended()
        after = ended(breakable.http, found["id"])
    assert after["status"] == "canceled"
    counts = after["request_counts"]
    assert counts["total"] == counts["canceled"] + counts["failed"] > 90
    assert [line["status"] for line in results(breakable.http, found["id"])].count("canceled") == counts["canceled"]
    breakable.audit()


def test_feedback_whose_gateway_is_killed_in_the_middle_is_complete_after_a_repetition(breakable: Breakable) -> None:
    numbers = range(12_000_001, 12_000_601)
    id = accepted(send_lines(breakable.http, lines(pictures(numbers))))["id"]
    ended(breakable.http, id)
    succeeded = [line["id"] for line in results(breakable.http, id) if line["status"] == "succeeded"]
    content = "".join(["id,label\n", *(f"{one},{place}\n" for place, one in enumerate(succeeded))]).encode()
    cut = threading.Event()

    def half() -> Any:
        yield content[: len(content) * 95 // 100]
        assert cut.wait(LIMIT)
        raise httpx.ReadError("that was it")

    def send(body: Any) -> httpx.Response:
        headers = {"Content-Type": "text/csv"}
        url = breakable.stack.url + "/v1/feedback"
        return httpx.post(url, content=body, timeout=LIMIT, trust_env=False, headers=headers)

    def break_off() -> None:
        with pytest.raises(httpx.TransportError):
            send(half())

    def given() -> list[tuple[str, str]]:
        with closing(psycopg2.connect(breakable.postgres.url)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT prediction_id::text, label FROM feedback WHERE prediction_id = ANY(%s::uuid[])", (succeeded,)
            )
            return sorted(cursor.fetchall())

    thread = threading.Thread(target=break_off)
    thread.start()
    until(given, what="the first lines are committed")
    breakable.kill(*breakable.pids("api"))
    cut.set()
    thread.join()
    breakable.wait_until_mended()
    before = len(given())
    assert 0 < before < len(succeeded)
    summary = send(content).json()
    assert (summary["created"], summary["unchanged"]) == (len(succeeded) - before, before), summary
    assert (summary["refused"], summary["errors"]) == (0, [])
    assert given() == sorted((one, str(place)) for place, one in enumerate(succeeded))
    assert send(content).json()["unchanged"] == len(succeeded)
    breakable.audit()


def test_an_upload_waits_for_room_and_is_listed_meanwhile(breakable: Breakable) -> None:
    files = pictures(range(11_000_001, 11_000_801))
    answers: list[httpx.Response] = []
    with breakable.stopped("predict"):
        thread = threading.Thread(
            target=lambda: answers.append(
                httpx.post(breakable.stack.url + PATH, files={"archive": zipped(files)}, timeout=LIMIT, trust_env=False)
            )
        )
        thread.start()
        until(lambda: unended(breakable), what="it is listed")
        (found,) = unended(breakable)
        until(
            lambda: batch(breakable.http, found["id"])["request_counts"]["total"] >= LANE_DEPTH - CHUNK_ITEMS,
            what="the lane is full",
        )
        time.sleep(0.5)
        waiting = batch(breakable.http, found["id"])
        assert waiting["status"] == "validating"
        assert waiting["request_counts"]["total"] < LANE_DEPTH * 1.2
    thread.join()
    assert accepted(answers[0])["id"] == found["id"]
    assert ended(breakable.http, found["id"])["request_counts"]["total"] == 800
    assert all(map(right, results(breakable.http, found["id"])))


def test_a_batchs_end_is_sent_when_its_last_item_ends_and_not_before(breakable: Breakable) -> None:
    # Images that end before their upload does would not be what ends the batch.
    with breakable.stopped("predict"):
        found = accepted(send_archive(breakable.http, zipped(pictures(range(12_000_001, 12_000_250)))))
    while (now := batch(breakable.http, found["id"]))["completed_at"] is None:
        assert now["status"] == "in_progress"
        time.sleep(0.01)
    with psycopg2.connect(breakable.postgres.url) as connection, connection.cursor() as cursor:
        query = "SELECT count(*), max(completed_at) = %s FROM predictions WHERE batch_id = %s"
        cursor.execute(query, (now["completed_at"], found["id"]))
        assert cursor.fetchall() == [(249, True)]
    connection.close()
