"""Nobody takes more than their part: items that are no images, what a request repeats, how many come at once."""

import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
import redis

from tests.acceptance.bulk import PATH, accepted, batch, ended, lines, results, send_images, send_lines, tarred, zipped
from tests.acceptance.byhand import ClosedGateway, GatewayByHand
from tests.acceptance.door import Door, expect_problem
from tests.acceptance.pictures import renewed

if TYPE_CHECKING:
    from tests.acceptance.conftest import Stack

MOST_ITEMS = 5


@pytest.fixture(scope="module")
def narrow(stack: "Stack") -> Iterator[GatewayByHand]:
    """A gateway whose batches have few images."""
    gateway = GatewayByHand(stack, DARKROOM_BULK_MAX_ITEMS=str(MOST_ITEMS))
    try:
        gateway.begin()
        yield gateway
    finally:
        gateway.close()


@pytest.fixture
def few(narrow: GatewayByHand) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=narrow.url, timeout=30, trust_env=False) as client:
        yield client


def test_lines_that_are_no_images_come_no_faster_than_their_key_allows(closed: ClosedGateway) -> None:
    with closed.client(closed.key("liner", "--rate", "4/s")) as client:
        started = time.monotonic()
        found = accepted(client.post(PATH, content=b"1\n" * 12, headers={"Content-Type": "application/x-ndjson"}))
        assert time.monotonic() - started >= 1.5, "four at once and two seconds for the others, but for a first pause"
        assert ended(client, found["id"])["request_counts"]["failed"] == 12
        assert [line["custom_id"] for line in results(client, found["id"])] == [f"line {n + 1}" for n in range(12)]


def test_what_is_repeated_with_each_item_is_bounded_and_the_base_url_is_the_batch_s(
    closed: ClosedGateway, stack: "Stack"
) -> None:
    with closed.client(closed.key("hosty")) as client:
        headers = {"Host": "h" * 255, "Content-Type": "application/x-ndjson"}
        found = accepted(client.post(PATH, content=b"1\n" * 3, headers=headers))
        ended(client, found["id"])
    with redis.Redis.from_url(stack.status()["redis"]["url"], protocol=2) as stored:
        items = [key for key in stored.scan_iter(match="job:*", count=1000) if _is_of(stored, key, found["id"])]
        assert len(items) == 3
        assert all(b"hhh" not in (stored.hget(key, "request") or b"") for key in items)
    assert found["urls"]["get"].startswith(f"http://{'h' * 255}/")


def _is_of(client: redis.Redis, key: bytes, batch: str) -> bool:
    return client.hget(key, "batch") == batch.encode()  # type: ignore[no-any-return]


@pytest.mark.parametrize("host", ["h" * 256, "h" * 30_000, "a b"])
def test_a_host_that_can_be_none_is_refused(door: Door, host: str) -> None:
    expect_problem(door.http.get("/v1/predictions", headers={"Host": host}), 400, "bad-request")


def test_two_hosts_are_refused(stack: "Stack") -> None:
    with socket.create_connection(("127.0.0.1", stack.port)) as connection:
        connection.sendall(
            b"GET /v1/predictions HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("form", ["images", "ndjson", "zip", "tar"])
def test_a_batch_has_a_largest_number_of_images_in_every_form(few: httpx.Client, scan: bytes, form: str) -> None:
    def send(count: int) -> httpx.Response:
        files = [(f"{number}.png", renewed(scan) if number % 2 else b"no image") for number in range(count)]
        if form == "images":
            return send_images(few, files)
        if form == "ndjson":
            return send_lines(few, lines(files))
        return few.post(PATH, files={"archive": (f"a.{form}", (zipped if form == "zip" else tarred)(files))})

    assert few.get("/health/ready").json()["limits"]["batch_items"] == MOST_ITEMS
    found = accepted(send(MOST_ITEMS))
    assert ended(few, found["id"])["request_counts"]["total"] == MOST_ITEMS
    before = {one["id"] for one in few.get(PATH).json()["results"]}
    problem = expect_problem(send(MOST_ITEMS + 1), 413, "image-too-large")
    assert (problem["limit"], problem["unit"]) == (MOST_ITEMS, "images")
    for one in few.get(PATH).json()["results"]:
        if one["id"] not in before:  # nothing of it is said to be whole
            assert batch(few, one["id"])["status"] == "canceled"
