"""A mask of up to 1 MiB stands in its prediction, a larger one has a URL, wherever the prediction is read."""

import base64
import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest
import redis
from fastapi import FastAPI
from PIL import Image
from sqlalchemy import Engine

from api.predictions import routes as predictions
from api.state.job_waiters import JobWaiters
from shared.domain.api_keys import ANYBODY
from shared.domain.identifiers import DeliveryId, Owner, new_uuid7
from shared.domain.large_masks import LARGEST_INLINE
from shared.domain.model_route import Route
from shared.presentation.stream_tokens import StreamTokens
from shared.queue import keys
from shared.queue.consumer.entries import Result
from shared.queue.consumer.lanes import Lanes
from shared.settings import Queue
from shared.storage.delivery_claims import Claimed
from shared.storage.recording import record
from worker.webhooks.messages import message_bodies

Serve = Callable[..., Any]
PNG = b"\x89PNG\r\n\x1a\n"
SIZES = {"below": LARGEST_INLINE - 4, "at": LARGEST_INLINE, "above": LARGEST_INLINE + 4}


def mask(characters: int) -> bytes:
    """Return a file whose base64 has so many characters."""
    return (PNG * (characters // 8))[: characters * 3 // 4]


def output(characters: int) -> bytes:
    return orjson.dumps(
        {
            "width": 8, "height": 9, "mask": base64.b64encode(mask(characters)).decode(),
            "classes": [{"label": "dog", "index": 1, "share": 0.25}],
        }
    )  # fmt: skip


def picture(color: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(file, "PNG")
    return file.getvalue()


class World:
    """The gateway's client, with a worker and a recorder that are moved by calls."""

    def __init__(self, client: httpx.AsyncClient, store: "redis.Redis", engine: Engine, model: Route) -> None:
        self.http, self._store, self._engine = client, store, engine
        self._lanes = Lanes(store, model=model.model, consumer="w", settings=Queue())

    async def submit(self, color: str) -> dict[str, Any]:
        answer = await self.http.post("/v1/predictions", content=picture(color), headers={"Content-Type": "image/png"})
        return dict(answer.json())

    def compute(self, *characters: int) -> None:
        entries = self._lanes.begin(self._lanes.pull(64).entries)
        results = [Result(one, "succeeded", output(size)) for one, size in zip(entries, characters, strict=True)]
        self._lanes.finish(results, run=b'{"batch_size":1,"predict_ms":1.0,"worker":"w"}')

    def record(self, *ids: str) -> None:
        """Commit what has ended, and let Redis forget it."""
        with self._engine.connect() as connection:
            record(connection, [fields for _, fields in self._store.xrange(keys.FINISHED)])
        self._store.delete(keys.FINISHED, *(f"job:{id}" for id in ids))

    async def get(self, path: str) -> Any:
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


def expect(found: dict[str, Any], id: str, characters: int) -> None:
    assert found.keys() == {"width", "height", "classes", "mask" if characters <= LARGEST_INLINE else "mask_url"}
    if characters <= LARGEST_INLINE:
        assert found["mask"] == base64.b64encode(mask(characters)).decode()
    else:
        assert found["mask_url"] == f"http://darkroom.test/v1/predictions/{id}/mask"


@pytest.mark.parametrize("size", SIZES)
def test_a_mask_is_read_as_long_as_its_prediction(
    serve: Serve, app: FastAPI, engine: Engine, redis_client: "redis.Redis", digits: Route, size: str
) -> None:
    characters = SIZES[size]

    async def claim(client: httpx.AsyncClient) -> None:
        world = World(client, redis_client, engine, digits)
        waiters = app.state.gateway.waiters = JobWaiters(app.state.gateway.producer.done)
        id = (await world.submit("red"))["id"]
        for path, status in ((f"/v1/predictions/{id}/mask", 404), (f"/v1/predictions/{new_uuid7()}/mask", 404)):
            assert (await client.get(path)).status_code == status
        world.compute(characters)
        hit = await world.submit("red")
        assert (hit["status"], hit["source"]) == ("succeeded", "cache")
        expect(hit["output"], hit["id"], characters)
        for _ in ("in Redis", "in Postgres"):
            expect((await world.get(f"/v1/predictions/{id}"))["output"], id, characters)
            listed = {one["id"]: one["output"] for one in (await world.get("/v1/predictions"))["results"]}
            for one in (id, hit["id"]):
                expect(listed[one], one, characters)
                file = await client.get(f"/v1/predictions/{one}/mask")
                assert (file.status_code, file.headers["content-type"]) == (200, "image/png")
                assert file.content == mask(characters)
            lines = (await client.get("/v1/predictions?format=ndjson")).text.splitlines()
            for line in map(json.loads, lines):
                expect(line["output"], line["id"], characters)
            rows = csv.DictReader(io.StringIO((await client.get("/v1/predictions?format=csv")).text))
            for row in rows:
                expect(json.loads(row["output"]), row["id"], characters)
            events = (await client.get(f"/v1/predictions/{id}/stream")).text
            [data] = (event for event in events.split("\n\n") if event.startswith("event: output"))
            expect(json.loads(data.splitlines()[1].removeprefix("data: ")), id, characters)
            world.record(id, hit["id"])
        await waiters.close()

    serve(claim, engine=engine, routes=[digits])


@pytest.fixture(autouse=True)
def long_cells() -> Iterator[None]:
    """Let Python's CSV reader take an output with a large mask, in these tests only."""
    before = csv.field_size_limit(2**24)
    yield
    csv.field_size_limit(before)


def test_a_batchs_results_name_the_url_of_each_large_mask(
    serve: Serve, engine: Engine, redis_client: "redis.Redis", digits: Route
) -> None:
    sizes = list(SIZES.values())

    async def claim(client: httpx.AsyncClient) -> None:
        world = World(client, redis_client, engine, digits)
        files = [("images", (f"{color}.png", picture(color))) for color in ("red", "green", "blue")]
        batch = (await client.post("/v1/batches", files=files)).json()["id"]
        world.compute(*sizes)
        world.record()
        lines = (await client.get(f"/v1/batches/{batch}/results")).text.splitlines()
        found = [json.loads(line) for line in lines]
        assert len(found) == len(sizes)
        for one, characters in zip(found, sizes, strict=True):
            expect(one["output"], one["id"], characters)
        text = (await client.get(f"/v1/batches/{batch}/results?format=csv")).text
        for row, characters in zip(csv.DictReader(io.StringIO(text)), sizes, strict=True):
            expect(json.loads(row["output"]), row["id"], characters)

    serve(claim, engine=engine, routes=[digits])


def test_a_webhook_names_the_url(engine: Engine, finished_record: Callable[..., dict[bytes, bytes]]) -> None:
    record_ = finished_record()
    record_[b"output"] = output(SIZES["above"])
    id = record_[b"id"].decode()
    with engine.connect() as connection:
        record(connection, [record_])
        claimed = Claimed(
            id=DeliveryId(new_uuid7()), owner=Owner("default"), subject=id, kind="prediction", event="completed",
            url="https://a.example", destination="https://a.example", attempts=0, body=None,
        )  # fmt: skip
        [body] = message_bodies(connection, [claimed], tokens=StreamTokens(b"secret")).values()
    assert json.loads(body)["output"]["mask_url"] == f"http://host:8000/v1/predictions/{id}/mask"
    assert len(body) < 10_000


def test_another_owner_finds_no_mask(
    serve: Serve,
    engine: Engine,
    redis_client: "redis.Redis",
    digits: Route,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        world = World(client, redis_client, engine, digits)
        id = (await world.submit("red"))["id"]
        world.compute(SIZES["above"])
        somebody = replace(ANYBODY, owner=Owner("somebody"))
        monkeypatch.setattr(predictions, "caller", lambda _: somebody)
        for _ in ("in Redis", "in Postgres"):
            answer = await client.get(f"/v1/predictions/{id}/mask")
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-prediction")
            world.record(id)

    serve(claim, engine=engine, routes=[digits])


def test_a_json_models_mask_is_its_own(
    serve: Serve, engine: Engine, redis_client: "redis.Redis", digits: Route
) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        id = (await World(client, redis_client, engine, digits).submit("red"))["id"]
        lanes = Lanes(redis_client, model=digits.model, consumer="w", settings=Queue())
        lanes.finish([Result(lanes.begin(lanes.pull(1).entries)[0], "succeeded", b'{"mask":"FFP2"}')], run=b"{}")
        assert (await client.get(f"/v1/predictions/{id}")).json()["output"] == {"mask": "FFP2"}
        answer = await client.get(f"/v1/predictions/{id}/mask")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-mask")

    serve(claim, engine=engine, routes=[digits])
