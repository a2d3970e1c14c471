"""An upload that a sweep gives up while it is read, because its gateway was held up for too long."""

import base64
import io
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
import redis
from PIL import Image
from sqlalchemy import Engine

from api.batches.writer import CHUNK_ITEMS
from shared.domain.identifiers import ANYONE
from shared.domain.model_route import Route
from shared.queue import keys
from shared.queue.lua import Scripts
from shared.queue.upkeep.silent_uploads import SilentUploads, cancel_and_wait

Serve = Callable[..., Any]
Cancel = Callable[[redis.Redis], None]
HEADERS = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "one"}


def line(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), (number, 7, 9)).save(buffer, "PNG")
    image = base64.b64encode(buffer.getvalue()).decode()
    return orjson.dumps({"custom_id": f"{number}.png", "image": image}) + b"\n"


def sweep(client: redis.Redis) -> None:
    """Give the upload up, as if its gateway had been held up for longer than the lease."""
    [id] = client.zrange(keys.UPLOADS, 0, -1)
    client.zadd(keys.UPLOADS, {id: 1})
    seconds, _ = client.time()
    assert SilentUploads(client, lease=timedelta(seconds=30)).cancel(seconds * 1_000_000, most=10) == 1


def owner(client: redis.Redis) -> None:
    """Cancel it, as its owner may."""
    [id] = client.zrange(keys.batches(ANYONE), 0, -1)
    cancel_and_wait(client, Scripts(client), id.decode(), mode="user")


async def upload(
    client: httpx.AsyncClient, meanwhile: Callable[[], None], *, before: int, after: int
) -> httpx.Response:
    async def lines() -> AsyncIterator[bytes]:
        for number in range(before):
            yield line(number)
        meanwhile()
        for number in range(before, before + after):
            yield line(number)

    return await client.post("/v1/batches", content=lines(), headers=HEADERS)


@pytest.mark.parametrize(
    ("before", "after"),
    [(0, 1), (CHUNK_ITEMS + 1, CHUNK_ITEMS), (CHUNK_ITEMS, 0)],
    ids=["before its first image", "while its images are sent", "before its end"],
)
def test_it_is_answered_as_what_may_be_sent_again_and_then_is_accepted(
    serve: Serve, redis_client: redis.Redis, nowhere: Engine, digits: Route, before: int, after: int
) -> None:
    """A 202 with a batch that nobody has canceled would be the end of it for its client."""

    async def claim(client: httpx.AsyncClient) -> None:
        answer = await upload(client, lambda: sweep(redis_client), before=before, after=after)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1"), answer.text
        assert "this upload was given up" in answer.json()["detail"]
        again = await upload(client, lambda: None, before=before, after=after)
        assert (again.status_code, again.json()["status"]) == (202, "in_progress")

    serve(claim, routes=[digits], engine=nowhere)


def test_one_that_its_owner_cancels_is_answered_as_canceled(
    serve: Serve, redis_client: redis.Redis, nowhere: Engine, digits: Route
) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        answer = await upload(client, lambda: owner(redis_client), before=CHUNK_ITEMS + 1, after=1)
        assert (answer.status_code, answer.json()["status"]) == (202, "canceled")

    serve(claim, routes=[digits], engine=nowhere)
