"""A page costs in proportion to its rows, and misses no prediction: waiting, ended or recorded."""

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import redis
from PIL import Image
from sqlalchemy import Engine

from api.batches.writer import CHUNK_ITEMS
from api.predictions import export, listing
from api.state.postgres_pages import PIECE, rows_of_piece
from shared.domain.identifiers import OrderedIds, Owner
from shared.domain.model_route import Route
from shared.queue import keys
from shared.storage import predictions as storage
from shared.storage.recording import record

Serve = Callable[..., Any]


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), (number & 255, number >> 8 & 255, 7)).save(buffer, "PNG")
    return buffer.getvalue()


async def upload(client: httpx.AsyncClient, images: int, *, first: int = 0) -> str:
    files = [("images", (f"{n}.png", png(n))) for n in range(first, first + images)]
    answer = await client.post("/v1/batches", files=files)
    assert answer.status_code == 202, answer.text
    id: str = answer.json()["id"]
    return id


async def walk(client: httpx.AsyncClient, path: str, limit: int) -> list[str]:
    """Return the ids of all pages."""
    found: list[str] = []
    following: str | None = f"{path}{'&' if '?' in path else '?'}limit={limit}"
    while following:
        answer = await client.get(following)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["results"]) <= limit
        found += [one["id"] for one in page["results"]]
        following = page["next"] and page["next"].replace("http://darkroom.test", "")
    return found


@pytest.fixture
def recorded(engine: Engine, finished_record: Callable[..., dict[bytes, bytes]]) -> list[str]:
    """Rows for two pieces and a few more."""
    records = [finished_record() for _ in range(2 * PIECE + 7)]
    with engine.connect() as connection:
        record(connection, records)
    return [one[b"id"].decode() for one in records]


@pytest.mark.parametrize("limit", [1000, PIECE + 1, PIECE, 37])
def test_pages_contain_every_prediction_once_newest_first(
    serve: Serve, engine: Engine, digits: Route, recorded: list[str], redis_client: redis.Redis, limit: int
) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        await upload(client, PIECE + 30)
        waiting = [id.decode() for id in redis_client.zrange(keys.inflight(Owner("default")), 0, -1)]  # type: ignore[union-attr]
        # Some have ended and wait for their row.
        for id in waiting[::3]:
            assert (await client.post(f"/v1/predictions/{id}/cancel")).status_code == 200
        found = await walk(client, "/v1/predictions", limit)
        assert found == sorted({*waiting, *recorded}, reverse=True)
        canceled = await walk(client, "/v1/predictions?status=canceled", limit)
        assert canceled == sorted(waiting[::3], reverse=True)

    serve(claim, routes=[digits], engine=engine)


def hashes_read(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_hmget", {}).get("calls", 0))


def test_a_page_of_one_reads_one_piece_however_many_wait(
    serve: Serve, engine: Engine, digits: Route, redis_client: redis.Redis
) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        await upload(client, 5 * PIECE)
        before = hashes_read(redis_client)
        answer = await client.get("/v1/predictions?limit=1")
        newest = redis_client.zrange(keys.inflight(Owner("default")), -1, -1)[0]  # type: ignore[index]
        assert [one["id"] for one in answer.json()["results"]] == [newest.decode()]
        assert hashes_read(redis_client) - before <= PIECE

    serve(claim, routes=[digits], engine=engine)


def test_unfinished_batches_are_listed_in_pages(
    serve: Serve, engine: Engine, digits: Route, redis_client: redis.Redis
) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        made = [await upload(client, 1, first=number) for number in range(12)]
        for limit in (1000, 12, 5, 1):
            assert await walk(client, "/v1/batches", limit) == sorted(made, reverse=True)
        before = hashes_read(redis_client)
        await client.get("/v1/batches?limit=1")
        assert hashes_read(redis_client) - before <= PIECE

    serve(claim, routes=[digits], engine=engine)


def test_results_of_several_pieces_are_complete_and_in_order(
    serve: Serve, engine: Engine, digits: Route, finished_record: Callable[..., dict[bytes, bytes]]
) -> None:
    for images in (PIECE, PIECE + 1):

        async def claim(client: httpx.AsyncClient, images: int = images) -> None:
            batch = await upload(client, 1)
            records = [finished_record(batch=batch, request={"custom_id": str(n)}) for n in range(images)]
            with engine.connect() as connection:
                record(connection, records)
            answer = await client.get(f"/v1/batches/{batch}/results?format=csv")
            order = sorted(range(images), key=lambda n: records[n][b"id"])
            assert [line.split(",")[0] for line in answer.text.splitlines()[1:]] == [str(n) for n in order]
            answer = await client.get(f"/v1/batches/{batch}/results")
            assert len(answer.text.splitlines()) == images

        serve(claim, routes=[digits], engine=engine)


@pytest.fixture
def mixed(engine: Engine, finished_record: Callable[..., dict[bytes, bytes]]) -> list[str]:
    """Two pieces of rows and a few more, the oldest first; every third is of version 4."""
    ids, numbers = OrderedIds(), range(2 * PIECE + 7)
    records = [finished_record(id=ids.next(), request={"version": "34"[n % 3 == 0]}) for n in numbers]
    with engine.connect() as connection:
        record(connection, records)
    return [one[b"id"].decode() for one in records]


@pytest.mark.parametrize("format", ["ndjson", "csv"])
def test_a_download_has_every_prediction_that_matches_waiting_ended_and_recorded(
    serve: Serve,
    engine: Engine,
    digits: Route,
    mixed: list[str],
    redis_client: redis.Redis,
    format: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "PAGE", 30)

    async def claim(client: httpx.AsyncClient) -> None:
        await upload(client, 40)
        waiting = [id.decode() for id in redis_client.zrange(keys.inflight(Owner("default")), 0, -1)]  # type: ignore[union-attr]
        canceled = waiting[::3]
        for id in canceled:
            await client.post(f"/v1/predictions/{id}/cancel")

        async def ids(query: str) -> list[str]:
            answer = await client.get(f"/v1/predictions?format={format}&{query}")
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"].partition(";")[0] == {
                "csv": "text/csv", "ndjson": "application/x-ndjson"}[format]  # fmt: skip
            if format == "ndjson":
                return [json.loads(line)["id"] for line in answer.text.splitlines()]
            return [line["id"] for line in csv.DictReader(io.StringIO(answer.text))]

        assert await ids("") == sorted({*waiting, *mixed}, reverse=True)
        assert await ids("version=4") == mixed[::3][::-1]
        assert await ids("status=canceled") == sorted(canceled, reverse=True)
        assert await ids("version=4&limit=7") == mixed[::3][::-1][:7]
        assert await ids(f"cursor={mixed[10]}") == mixed[:10][::-1]
        assert await ids("max_confidence=0.2") == []
        assert await ids("created_before=2020-01-01T00:00:00Z") == []
        assert len(await ids("created_after=2020-01-01T00:00:00%2B02:00&variant=champion")) == len({*waiting, *mixed})

    serve(claim, routes=[digits], engine=engine)


@pytest.mark.parametrize("limit", [100, 7])
def test_pages_have_all_that_wait_however_many_came_in_one_second(
    serve: Serve,
    engine: Engine,
    digits: Route,
    redis_client: redis.Redis,
    recorded: list[str],
    limit: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # More than came in one call, and so at one instant.
    monkeypatch.setattr(listing, "MOST_UNFINISHED", CHUNK_ITEMS + 8)

    async def claim(client: httpx.AsyncClient) -> None:
        await upload(client, PIECE)
        waiting = [id.decode() for id in redis_client.zrange(keys.inflight(Owner("default")), 0, -1)]  # type: ignore[union-attr]
        assert await walk(client, "/v1/predictions?status=starting", limit) == sorted(waiting, reverse=True)
        assert await walk(client, "/v1/predictions", limit) == sorted({*waiting, *recorded}, reverse=True)
        assert await walk(client, "/v1/predictions?status=succeeded", limit) == sorted(recorded, reverse=True)

    serve(claim, routes=[digits], engine=engine)


def test_a_csv_has_the_columns_of_the_newest_output_that_matches(
    serve: Serve, engine: Engine, digits: Route, finished_record: Callable[..., dict[bytes, bytes]]
) -> None:
    ids = OrderedIds()
    outputs = [b'{"values": {"age": 31.5}, "units": {}}', b"", b'{"detections": []}']
    models = ["ages", "ages", "boxes"]
    records = [finished_record(id=ids.next(), request={"model": model}) for model in models]
    for one, output in zip(records, outputs, strict=True):
        one |= {b"output": output, b"state": b"succeeded" if output else b"failed"}
    with engine.connect() as connection:
        record(connection, records)

    async def claim(client: httpx.AsyncClient) -> None:
        async def rows(query: str) -> list[dict[str, str]]:
            answer = await client.get(f"/v1/predictions?format=csv&{query}")
            return list(csv.DictReader(io.StringIO(answer.text)))

        assert [row["values.age"] for row in await rows("model=ages")] == ["", "31.5"]
        assert (await rows(""))[0]["output"] == '{"detections":[]}'
        assert "predicted_class" in (await rows("status=failed"))[0]

    serve(claim, routes=[digits], engine=engine)


def test_a_page_that_found_too_few_in_its_time_goes_on_with_the_next(
    serve: Serve, engine: Engine, digits: Route, mixed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few rows are read at a time, pages that follow `next` have every match once, those in Redis too."""
    monkeypatch.setattr("api.predictions.listing.LONGEST_SEARCH", timedelta(0))
    monkeypatch.setitem(storage.list_predictions.__kwdefaults__, "most_read", 10)

    async def claim(client: httpx.AsyncClient) -> None:
        await upload(client, 25)
        waiting = await walk(client, "/v1/predictions?status=starting", 1000)
        assert len(waiting) == 25
        assert await walk(client, "/v1/predictions?version=4", 1000) == mixed[::3][::-1]
        found = await walk(client, "/v1/predictions?variant=champion", 20)
        assert found == sorted({*waiting, *mixed}, reverse=True)
        assert await walk(client, "/v1/predictions?max_confidence=0.1", 20) == []
        page = (await client.get("/v1/predictions?max_confidence=0.1&limit=20")).json()
        assert (page["results"], page["next"][:24]) == ([], "http://darkroom.test/v1/")

    serve(claim, routes=[digits], engine=engine)


def test_a_page_of_large_outputs_ends_early_and_the_next_ones_have_the_rest(
    serve: Serve, engine: Engine, digits: Route, finished_record: Callable[..., dict[bytes, bytes]]
) -> None:
    records = [finished_record(output={"mask": "x" * 1_000_000}) for _ in range(45)]
    with engine.connect() as connection:
        record(connection, records)

    async def claim(client: httpx.AsyncClient) -> None:
        page = (await client.get("/v1/predictions?limit=1000")).json()
        assert 32 <= len(page["results"]) < 45
        found = await walk(client, "/v1/predictions", 1000)
        assert sorted(found) == sorted(one[b"id"].decode() for one in records)

    serve(claim, engine=engine, routes=[digits])


@pytest.mark.parametrize(
    ("rows", "size", "expected"),
    [(0, 0, 25), (25, 25 * 300, PIECE), (25, 25 * 2**20, 8), (100, 10 * 2**30, 1), (25, 0, PIECE)],
)
def test_a_piece_has_as_many_rows_as_their_size_allows(rows: int, size: int, expected: int) -> None:
    assert rows_of_piece(rows=rows, size=size) == expected
