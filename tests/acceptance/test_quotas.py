"""Limits that are counted by owner: items that are no images, repeated request fields, concurrent bodies."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest
import redis

from tests.support.api_client import Door, expect_problem
from tests.support.batches import (
    PATH,
    accepted,
    batch,
    ended,
    lines,
    results,
    send_images,
    send_lines,
    tarred,
    zipped,
)
from tests.support.extra_processes import ClosedGateway, GatewayByHand
from tests.support.pictures import renewed
from tests.support.waiting import LIMIT, until

if TYPE_CHECKING:
    from tests.support.stack import Stack

MOST_ITEMS = 5


@pytest.fixture(scope="module")
def narrow(stack: "Stack") -> Iterator[GatewayByHand]:
    """A gateway whose limit of images in a batch is low."""
    gateway = GatewayByHand(stack, DARKROOM_BULK_MAX_ITEMS=str(MOST_ITEMS))
    try:
        gateway.begin()
        yield gateway
    finally:
        gateway.close()


@pytest.fixture
def few(narrow: GatewayByHand) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=narrow.url, timeout=LIMIT, trust_env=False) as client:
        yield client


def test_lines_that_are_no_images_count_towards_the_keys_rate(closed: ClosedGateway) -> None:
    with closed.client(closed.key("liner", "--rate", "4/s")) as client:
        started = time.monotonic()
        found = accepted(client.post(PATH, content=b"1\n" * 12, headers={"Content-Type": "application/x-ndjson"}))
        assert time.monotonic() - started >= 1.5, "four at once and two seconds for the others, but for a first pause"
        assert ended(client, found["id"])["request_counts"]["failed"] == 12
        assert [line["custom_id"] for line in results(client, found["id"])] == [f"line {n + 1}" for n in range(12)]


def test_fields_repeated_in_each_item_are_limited_and_the_url_is_the_batchs(
    closed: ClosedGateway, stack: "Stack"
) -> None:
    with closed.client(closed.key("hosty")) as client:
        headers = {"Host": "h" * 255, "Content-Type": "application/x-ndjson"}
        found = accepted(client.post(PATH, content=b"1\n" * 3, headers=headers))
        ended(client, found["id"])
    with redis.Redis.from_url(stack.url_of("redis"), protocol=2) as stored:
        items = [key for key in stored.scan_iter(match="job:*", count=1000) if _is_of(stored, key, found["id"])]
        assert len(items) == 3
        assert all(b"hhh" not in (stored.hget(key, "request") or b"") for key in items)
    assert found["urls"]["get"].startswith(f"http://{'h' * 255}/")


def _is_of(client: redis.Redis, key: bytes, batch: str) -> bool:
    return client.hget(key, "batch") == batch.encode()  # type: ignore[no-any-return]


@pytest.mark.parametrize("host", ["h" * 256, "h" * 30_000, "a b"])
def test_an_invalid_host_header_is_refused(door: Door, host: str) -> None:
    expect_problem(door.http.get("/v1/predictions", headers={"Host": host}), 400, "bad-request")


def test_two_host_headers_are_refused(stack: "Stack") -> None:
    with socket.create_connection(("127.0.0.1", stack.port)) as connection:
        connection.sendall(
            b"GET /v1/predictions HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("form", ["images", "ndjson", "zip", "tar"])
def test_the_images_of_a_batch_are_limited_in_every_form(few: httpx.Client, scan: bytes, form: str) -> None:
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
        if one["id"] not in before:  # what was read of it is canceled, not completed
            assert batch(few, one["id"])["status"] == "canceled"


def half_sent(gateway: ClosedGateway, key: str, *, path: str, kind: str, length: int) -> socket.socket:
    """Begin a request with half of its body; it continues when the rest is sent."""
    connection = socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    )
    connection.sendall(head.encode())
    return connection


def in_hand(gateway: ClosedGateway) -> int:
    with gateway.client() as client:
        return int(client.get("/health/ready").json()["used"]["bytes_in_hand"])


@pytest.mark.parametrize(
    ("path", "kind"), [("/v1/predictions", "image/png"), ("/v1/files", "multipart/form-data; boundary=b")]
)
def test_one_owners_half_sent_bodies_take_a_limited_share_of_the_gateway(
    closed: ClosedGateway, path: str, kind: str
) -> None:
    key, other = closed.key("halves"), closed.key("whole")
    with closed.client() as client:
        allowed = client.get("/health/ready").json()["limits"]["owner_bytes_in_hand"]
    size = 20_000_000
    most = allowed // size
    begun = [half_sent(closed, key, path=path, kind=kind, length=size) for _ in range(most)]
    try:
        until(lambda: in_hand(closed) == most * size, what="all that may be are read")
        for _ in range(3):
            with half_sent(closed, key, path=path, kind=kind, length=size) as refused:
                answer = refused.recv(4000)
                assert answer.startswith(b"HTTP/1.1 429 ")
                assert b"retry-after: 1\r\n" in answer.lower()
                assert b"bytes_in_hand" in answer
        with closed.client(other) as client:
            assert client.get("/v1/predictions").status_code == 200
            answer = client.post("/v1/predictions", content=b"no image", headers={"Content-Type": "image/png"})
            assert answer.status_code == 415, "others are not held up"
    finally:
        for connection in begun:
            connection.close()
    until(lambda: in_hand(closed) == 0, what="what was begun is given back")


def test_a_key_over_its_limit_is_refused_before_its_body_is_read(closed: ClosedGateway, scan: bytes) -> None:
    key = closed.key("spent", "--rate", "0.01/s")
    with closed.client(key) as client:
        first = client.post("/v1/predictions", content=renewed(scan), headers={"Content-Type": "image/png"})
        assert first.status_code in (200, 202)
    with half_sent(closed, key, path="/v1/predictions", kind="image/png", length=10_000_000) as connection:
        answer = connection.recv(4000)
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"this key allows 0.01 images a second" in answer
    assert in_hand(closed) == 0


def test_stalled_bulk_uploads_hold_no_more_than_their_share(closed: ClosedGateway, scan: bytes) -> None:
    key = closed.key("bulks")
    begun = []
    try:
        with closed.client() as client:
            allowed = client.get("/health/ready").json()["limits"]["owner_bytes_in_hand"]
        for _ in range(8):
            kind = "application/x-ndjson"
            begun.append(half_sent(closed, key, path="/v1/batches", kind=kind, length=20_000_000))
            begun[-1].settimeout(0.5)
            with suppress(TimeoutError):  # it is read no further
                begun[-1].sendall(b'{"image": "' + b"A" * 3_000_000)
        until(lambda: in_hand(closed) > 0, what="they are being read")
        assert in_hand(closed) <= allowed
        with closed.client(key) as client:
            small = accepted(send_lines(client, lines([("1.png", renewed(scan))])))
            ended(client, small["id"])
    finally:
        for connection in begun:
            connection.close()
    until(lambda: in_hand(closed) == 0, what="what was begun is given back")
