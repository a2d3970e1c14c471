"""A failed prediction's image is kept for a while; the prediction, and a batch's failures, are tried again with it.

Over 300 lines: its tests share how a prediction fails and is retried.
"""

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import redis
from PIL import Image
from sqlalchemy import Engine

from shared.domain.identifiers import Owner
from shared.domain.model_route import Route
from shared.queue import keys
from shared.queue.consumer.entries import Result
from shared.queue.consumer.finished_stream import FinishedStream
from shared.queue.consumer.lanes import Lanes
from shared.queue.upkeep.owned import Owned
from shared.settings import Queue
from shared.storage.recording import record

Serve = Callable[..., Any]
FIRST = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECOND = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RUN = b'{"batch_size":1,"predict_ms":1.0,"worker":"w"}'


def picture(number: int, size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((size, size), number % 7 + 50).convert("RGB").save(file, "PNG")
    return file.getvalue()


class World:
    """The gateway's client, with a worker and a recorder that are moved by calls."""

    def __init__(
        self, client: httpx.AsyncClient, store: "redis.Redis", engine: Engine, model: Route, queue: Queue
    ) -> None:
        self.http, self.store, self._engine = client, store, engine
        self.lanes = Lanes(store, model=model.model, consumer="w", settings=queue)

    async def submit(self, image: bytes, *, status: int = 202, **headers: str) -> dict[str, Any]:
        answer = await self.http.post(
            "/v1/predictions?metadata=%7B%22n%22%3A1%7D",
            content=image,
            headers={"Content-Type": "image/png", **headers},
        )
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    def compute(self, *, failing: Callable[[int], bool] = lambda _: True, code: str = "model_error") -> int:
        """Compute what waits, the images with these numbers failing; return how many jobs ended."""
        entries = self.lanes.begin(self.lanes.pull(64).entries)
        results = [
            Result(one, "failed", b"", "it broke", code) if failing(n) else Result(one, "succeeded", b'{"a":1}')
            for n, one in enumerate(entries)
        ]
        return self.lanes.finish(results, run=RUN)

    def record(self) -> None:
        """Commit what has ended, and let Redis forget it."""
        entries = self.store.xrange(keys.FINISHED)
        with self._engine.connect() as connection:
            outcome = record(connection, [fields for _, fields in entries])
        stream = FinishedStream(self.store, consumer="r", lease=timedelta(1), recorded_ttl=timedelta(hours=1))
        stream.settle_batches(list(outcome.complete))
        self.store.delete(keys.FINISHED, *(b"job:" + fields[b"id"] for _, fields in entries))

    async def post(self, path: str, status: int = 202, **headers: str) -> dict[str, Any]:
        answer = await self.http.post(path, headers=headers)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    async def get(self, path: str) -> Any:
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


Claim = Callable[[World], Any]


@pytest.fixture
def world(serve: Serve, engine: Engine, redis_client: "redis.Redis", digits: Route) -> Callable[..., None]:
    def run(claim: Claim, **queue: Any) -> None:
        async def with_world(client: httpx.AsyncClient) -> None:
            await claim(World(client, redis_client, engine, digits, Queue(**queue)))

        serve(with_world, routes=[digits], engine=engine)

    return run


def test_a_retrys_images_belong_to_the_trace_of_the_request_that_asks_for_it(world: Callable[..., None]) -> None:
    async def claim(one: World) -> None:
        failed = await one.submit(picture(1), traceparent=FIRST)
        assert one.compute() == 1
        await one.post(f"/v1/predictions/{failed['id']}/retry", traceparent=SECOND, tracestate="a=1")
        [entry] = one.lanes.pull(64).entries
        assert (entry.trace, entry.upload_trace) == (f"{SECOND} a=1", "")

    world(claim)


@pytest.mark.parametrize("size", [8, 100], ids=["within its entry", "beside its entry"])
@pytest.mark.parametrize("where", ["in Redis", "in Postgres"])
def test_a_failed_prediction_is_retried_as_a_new_one(world: Callable[..., None], size: int, where: str) -> None:
    async def claim(one: World) -> None:
        failed = await one.submit(picture(1, size))
        assert one.compute() == 1
        assert one.store.hgetall(keys.IMAGE_BYTES) == {}
        if where == "in Postgres":
            one.record()
        new = await one.post(f"/v1/predictions/{failed['id']}/retry")
        assert new["id"] != failed["id"]
        assert new["retry_of"] == failed["id"]
        assert (new["status"], new["metadata"], new["input"]) == ("starting", {"n": 1}, failed["input"])
        assert one.compute(failing=lambda _: False) == 1
        one.record()
        ended = await one.get(f"/v1/predictions/{new['id']}")
        assert (ended["status"], ended["retry_of"], ended["variant"]) == ("succeeded", failed["id"], "champion")
        assert (await one.get(f"/v1/predictions/{failed['id']}"))["status"] == "failed"

    world(claim)


def test_a_retry_with_an_idempotency_key_is_made_once(world: Callable[..., None]) -> None:
    async def claim(one: World) -> None:
        failed = await one.submit(picture(1))
        other = await one.submit(picture(2, 9))
        one.compute()
        path = f"/v1/predictions/{failed['id']}/retry"
        first = await one.post(path, **{"Idempotency-Key": "k"})
        assert (await one.post(path, **{"Idempotency-Key": "k"}))["id"] == first["id"]
        assert (await one.post(path))["id"] != first["id"]
        answer = await one.post(f"/v1/predictions/{other['id']}/retry", 422, **{"Idempotency-Key": "k"})
        assert answer["type"].endswith("/idempotency-mismatch")

    world(claim)


def test_what_did_not_fail_or_whose_image_is_gone_is_not_retried(world: Callable[..., None]) -> None:
    async def claim(one: World) -> None:
        waiting = await one.submit(picture(1))
        path = f"/v1/predictions/{waiting['id']}/retry"
        assert (await one.post(path, 409))["type"].endswith("/nothing-failed")
        one.compute()
        one.store.delete(*one.store.keys(f"{keys.failed_image_prefix()}*"))
        assert (await one.post(path, 410))["type"].endswith("/image-gone")
        await one.post("/v1/predictions/nothing/retry", 404)
        await one.post("/v1/batches/nothing/retry", 404)

    world(claim)


def kept(store: "redis.Redis") -> tuple[int, int, int]:
    """Return how many images are kept of failures, their bytes, and the bytes that are counted."""
    names: Any = store.keys(f"{keys.failed_image_prefix()}*")
    assert len(names) == store.zcard(keys.FAILED_IMAGES)
    assert all(store.pttl(name) > 0 for name in names)
    return len(names), sum(store.strlen(name) for name in names), int(store.get(keys.FAILED_BYTES) or 0)


def test_a_pipeline_that_the_request_gave_is_not_kept_and_its_retry_says_so(world: Callable[..., None]) -> None:
    async def claim(it: World) -> None:
        given = (
            "/v1/predictions?models=digits,digits:3",
            "/v1/predictions?model=digits&then=%7B%22model%22:%22digits%22%7D",
        )
        for path in given:
            answer = await it.http.post(path, content=picture(1), headers={"Content-Type": "image/png"})
            assert answer.status_code == 202, answer.text
            it.compute()
            it.record()
            again = await it.http.post(f"/v1/predictions/{answer.json()['id']}/retry")
            assert (again.status_code, again.json()["type"]) == (404, "/problems/unknown-model")
            assert "one that a request gives is not kept: submit the image again" in again.json()["detail"]

    world(claim)


@pytest.mark.parametrize("size", [8, 100])
def test_images_of_failures_have_a_bounded_number_of_bytes_and_the_newest_stay(
    world: Callable[..., None], size: int
) -> None:
    most = 3 * len(picture(1, size)) + 100

    async def claim(one: World) -> None:
        ids = []
        for number in range(8):
            ids.append((await one.submit(picture(number, size)))["id"])
            one.compute()
        count, size_now, counted = kept(one.store)
        assert 2 <= count <= 3
        assert size_now == counted <= most
        await one.post(f"/v1/predictions/{ids[-1]}/retry")
        await one.post(f"/v1/predictions/{ids[0]}/retry", 410)
        Owned(one.store, Owner("default")).cancel_all()
        assert sum(Owned(one.store, Owner("default")).delete_all()) >= count
        assert kept(one.store) == (0, 0, 0)

    world(claim, max_failed_bytes=most)


def test_the_same_image_is_kept_once_and_none_where_none_may_be(world: Callable[..., None]) -> None:
    image = picture(1)

    async def claim(one: World) -> None:
        for _ in range(3):
            await one.submit(image)
            one.compute()
        assert kept(one.store) == (1, len(image), len(image))

    async def none(one: World) -> None:
        one.store.flushdb()
        await one.submit(image)
        one.compute()
        assert kept(one.store) == (0, 0, 0)

    world(claim)
    world(none, max_failed_bytes=0)


def test_an_image_whose_workers_died_is_kept_too(world: Callable[..., None]) -> None:
    async def claim(one: World) -> None:
        failed = await one.submit(picture(1))
        one.lanes.begin(one.lanes.pull(1).entries)
        while (await one.get(f"/v1/predictions/{failed['id']}"))["status"] != "failed":
            one.lanes.reclaim()
        assert (await one.post(f"/v1/predictions/{failed['id']}/retry"))["retry_of"] == failed["id"]

    world(claim, lease=timedelta(milliseconds=1), max_attempts=1)


def test_a_batchs_failures_are_counted_by_code_and_retried_as_a_new_batch(world: Callable[..., None]) -> None:
    async def claim(one: World) -> None:
        files = [("images", (f"{n}.png", picture(n, 8 + n))) for n in range(6)] + [("images", ("7.txt", b"no image"))]
        batch = (await one.http.post("/v1/batches", files=files)).json()
        path = f"/v1/batches/{batch['id']}"
        assert (await one.post(f"{path}/retry", 409))["type"].endswith("/nothing-failed")
        one.compute(failing=lambda n: n % 2 == 0)
        one.record()
        ended = await one.get(path)
        assert (ended["status"], ended["errors"]) == ("completed", {"model_error": 3, "undecodable_image": 1})
        assert ended["images_per_second"] > 0
        assert ended["seconds_left"] == 0
        retried = await one.post(f"{path}/retry", **{"Idempotency-Key": "k", "traceparent": SECOND})
        assert (retried["retry_of"], retried["request_counts"]["total"]) == (batch["id"], 3)
        assert (retried["skipped"], retried["skipped_files"]) == (1, ["7.txt"])
        assert (await one.post(f"{path}/retry", **{"Idempotency-Key": "k"}))["id"] == retried["id"]
        [lane] = one.store.keys(f"lane:*:bulk:{retried['id']}")
        entries = one.store.xrange(lane)
        assert [fields[b"upload_trace"].decode() for _, fields in entries] == [SECOND] * 3
        one.compute(failing=lambda n: n == 0, code="worker_lost")
        one.record()
        again = await one.get(f"/v1/batches/{retried['id']}")
        assert (again["retry_of"], again["errors"]) == (batch["id"], {"worker_lost": 1})
        lines = (await one.http.get(f"/v1/batches/{retried['id']}/results")).text.splitlines()
        assert [f'"custom_id":"{n}.png"' in line for n, line in zip((0, 2, 4), lines, strict=True)] == [True] * 3
        items = (await one.get(f"/v1/predictions?batch_id={retried['id']}"))["results"]
        assert all(item["retry_of"] for item in items)
        assert [one_["id"] for one_ in (await one.get("/v1/batches"))["results"]] == [retried["id"], batch["id"]]
        one.store.delete(*one.store.keys(f"{keys.failed_image_prefix()}*"))
        assert (await one.post(f"{path}/retry", 410))["type"].endswith("/image-gone")
        assert len((await one.get("/v1/batches"))["results"]) == 2

    world(claim)


def test_the_moments_of_a_predictions_life_are_told_in_order(world: Callable[..., None]) -> None:
    async def claim(one: World) -> None:
        made = await one.submit(picture(1), **{"X-Request-ID": "abc-1"})
        one.compute(failing=lambda _: False)
        path = f"/v1/predictions/{made['id']}?include=events,deliveries"
        words = ["created", "queued", "started", "completed"]
        found = await one.get(path)
        assert [event["event"] for event in found["events"]] == words
        one.record()
        await one.http.post(f"/v1/predictions/{made['id']}/feedback", json={"value": 3})
        found = await one.get(path)
        assert [event["event"] for event in found["events"]] == [*words, "recorded", "feedback"]
        assert [event["at"] for event in found["events"]] == sorted(event["at"] for event in found["events"])
        assert found["deliveries"] == []
        assert "shadow" not in found

    world(claim)


def test_filters_find_the_same_before_and_after_recording(world: Callable[..., None]) -> None:
    async def claim(one: World) -> None:
        for number in range(4):
            await one.submit(picture(number, 8 + number))
        one.compute(failing=lambda n: n == 1)
        queries = (
            "error_code=model_error", "error_code=worker_lost", "metadata=n%3D1", "metadata=n%3D2", "metadata=n%3Dtrue",
            "metadata=n%3D1&status=failed", "min_confidence=0.5", "variant=champion", "metadata=n%3D1&metadata=m%3D1",
        )  # fmt: skip

        async def found() -> list[list[str]]:
            return [[e["id"] for e in (await one.get(f"/v1/predictions?{query}"))["results"]] for query in queries]

        before = await found()
        assert [len(ids) for ids in before] == [1, 0, 4, 0, 0, 1, 0, 4, 0]
        one.record()
        assert await found() == before
        page = await one.get("/v1/predictions?metadata=n%3D1&limit=1")
        assert "metadata=n%3D1" in page["next"]
        assert (await one.http.get("/v1/predictions?metadata=n")).status_code == 422

    world(claim)
