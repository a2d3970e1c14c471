"""Postgres is down or hangs: requests that Redis can answer are answered, and uploads are accepted."""

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator

import httpx
import pytest

from shared.domain.identifiers import new_uuid7
from tests.support.batches import (
    PATH,
    accepted,
    ended,
    lines,
    send_archive,
    send_images,
    send_lines,
    zipped,
)
from tests.support.breakable_stack import Breakable, picture
from tests.support.waiting import LIMIT

AWAY = "postgres is away"
READERS = 12


@contextlib.contextmanager
def refusing(breakable: Breakable) -> Iterator[None]:
    breakable.postgres.stop()
    try:
        yield
    finally:
        breakable.postgres.start()


@contextlib.contextmanager
def hanging(breakable: Breakable) -> Iterator[None]:
    """Postgres hangs, and so many requests need it that every thread for such requests waits."""
    with breakable.postgres.hanging():
        readers = [threading.Thread(target=_read, args=[breakable], daemon=True) for _ in range(READERS)]
        for reader in readers:
            reader.start()
        yield
    for reader in readers:
        reader.join(timeout=LIMIT)


def _read(breakable: Breakable) -> None:
    with httpx.Client(base_url=breakable.stack.url, timeout=LIMIT, trust_env=False) as http:
        answer = http.get(f"/v1/predictions/{new_uuid7()}")
    assert answer.status_code in (404, 503)


@pytest.mark.parametrize("away", [refusing, hanging])
def test_requests_that_redis_can_answer_are_answered(
    breakable: Breakable, away: Callable[[Breakable], contextlib.AbstractContextManager[None]]
) -> None:
    http, first = breakable.http, int.from_bytes(uuid.uuid4().bytes[:2], "big") * 200
    names = [(f"{n}.png", picture(n)) for n in range(first, first + 20)]
    batches = []
    with away(breakable):
        for answer in (send_archive(http, zipped(names)), send_images(http, names), send_lines(http, lines(names))):
            batch = accepted(answer)
            assert (batch["status"], batch["request_counts"]["total"]) == ("in_progress", 20)
            assert AWAY in answer.headers["darkroom-incomplete"]
            batches.append(batch["id"])
        read = http.get(f"{PATH}/{batches[0]}")
        assert (read.status_code, read.json()["status"]) == (200, "in_progress")
        assert AWAY in read.headers["darkroom-incomplete"]
        listed = http.get(PATH, params={"limit": 3})
        assert [one["id"] for one in listed.json()["results"]] == batches[::-1]
        assert AWAY in listed.headers["darkroom-incomplete"]
        canceled = http.post(f"{PATH}/{batches[1]}/cancel")
        assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
        # What only Postgres knows is not guessed.
        for path in (f"{PATH}/{new_uuid7()}", f"{PATH}/{batches[0]}/results", "/v1/predictions"):
            unknown = http.get(path)
            assert (unknown.status_code, unknown.json()["type"]) == (503, "/problems/storage-unavailable"), path
            assert unknown.headers["retry-after"]
        one = http.post(
            "/v1/predictions",
            content=picture(first + 21),
            headers={"Content-Type": "image/png", "Prefer": "wait=60"},
        )
        assert (one.status_code, one.json()["status"]) == (200, "succeeded")
        assert http.get(f"/v1/predictions/{one.json()['id']}").status_code == 200
        assert http.get("/health/ready").json()["status"] == "degraded"
    done = ended(http, batches[0])
    assert done["request_counts"]["succeeded"] == 20
    again = http.get(f"{PATH}/{batches[1]}")
    assert (again.status_code, again.json()["status"]) == (200, "canceled")
    assert "darkroom-incomplete" not in again.headers
