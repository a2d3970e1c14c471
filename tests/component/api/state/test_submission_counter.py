"""Submissions are counted by outcome, and each job has the id of its request."""

import asyncio
import hashlib
import io
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
import redis
from fastapi import FastAPI
from PIL import Image
from sqlalchemy import Engine

from api.state.submission_counter import outcome_of
from shared.domain.identifiers import ANYONE, Digest, PredictionId, VersionKey
from shared.domain.image import ImageFacts
from shared.domain.model_reference import Reference
from shared.domain.model_route import Route
from shared.queue import keys
from shared.queue.producer.submission import Hit, Known, Queued, Submission

Serve = Callable[..., Any]
PNG = {"Content-Type": "image/png"}


@pytest.fixture
def counts(app: FastAPI) -> Callable[[], dict[str, float]]:
    """What has been counted of `digits`, by outcome."""

    def counts() -> dict[str, float]:
        [family] = app.state.metrics.submissions.collect()
        samples = [sample for sample in family.samples if sample.name == "darkroom_submissions_total"]
        assert {sample.labels["model"] for sample in samples} <= {"digits"}
        return {sample.labels["outcome"]: sample.value for sample in samples}

    return counts


def pictures(count: int) -> list[bytes]:
    """Return so many images, no two alike."""
    made = []
    for number in range(count):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), (number, 0, 0)).save(buffer, "PNG")
        made.append(buffer.getvalue())
    return made


def requests(redis_client: "redis.Redis") -> list[dict[str, Any]]:
    """Return what is kept of every job's request."""
    return [orjson.loads(redis_client.hget(job, "request") or b"") for job in redis_client.scan_iter("job:*")]


async def post(client: httpx.AsyncClient, image: bytes, **headers: str) -> int:
    answer = await client.post("/v1/predictions", files={"image": image}, headers=headers)
    return answer.status_code


def test_a_submission_is_counted_by_its_outcome(
    serve: Serve, app: FastAPI, counts: Any, redis_client: "redis.Redis", digits: Route
) -> None:
    first, second = pictures(2)

    async def claim(client: httpx.AsyncClient) -> None:
        key = {"Idempotency-Key": "k"}
        assert await post(client, first, **key) == 202
        assert counts() == {"queued": 1}
        assert [await post(client, first), await post(client, first)] == [202, 202]
        assert counts() == {"queued": 1, "joined": 2}
        assert await post(client, first, **key) == 202
        assert counts() == {"queued": 1, "joined": 2, "repeated": 1}
        digest = Digest(hashlib.sha256(first).hexdigest())
        redis_client.set(keys.cache(ANYONE, digits.model, version=VersionKey("3-m-1"), digest=digest), b"{}")
        assert await post(client, first) == 200
        assert counts() == {"queued": 1, "joined": 2, "repeated": 1, "cached": 1}
        app.state.gateway.redis_memory.high = True
        assert await post(client, second) == 503
        assert counts() == {"queued": 1, "joined": 2, "repeated": 1, "cached": 1, "refused": 1}

    serve(claim, routes=[digits])


def test_requests_refused_before_the_queue_are_not_counted(serve: Serve, counts: Any, digits: Route) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        [image] = pictures(1)
        assert await post(client, b"no image") == 415
        assert (await client.post("/v1/predictions?model=nosuch", content=image, headers=PNG)).status_code == 404
        assert await post(client, image, **{"Cancel-After": "soon"}) == 422
        assert counts() == {}

    serve(claim, routes=[digits])


def test_a_submission_refused_for_memory_is_counted(
    serve: Serve, counts: Any, redis_client: "redis.Redis", digits: Route, png: bytes
) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        redis_client.config_set("maxmemory", 1)
        try:
            assert await post(client, png) == 503
        finally:
            redis_client.config_set("maxmemory", 0)
        assert counts() == {"refused": 1}

    serve(claim, routes=[digits])


def test_a_submission_whose_answer_was_lost_counts_as_queued(digits: Route) -> None:
    digest = Digest("ab" * 32)
    submission = Submission(
        id=PredictionId("its own"),
        owner=ANYONE,
        choice=digits.choose(Reference(name=None), digest=digest),
        image=b"",
        facts=ImageFacts(sha256=digest, format="PNG", width=8, height=8, bytes=0, filename=None),
        metadata={},
        base_url="",
    )
    assert outcome_of(submission, Known(submission.id)) == "queued"
    assert outcome_of(submission, Known(PredictionId("another's"))) == "repeated"
    assert outcome_of(submission, Queued(1)) == "queued"
    assert outcome_of(submission, Queued(1, joined=True)) == "joined"
    assert outcome_of(submission, Hit(1, b"{}")) == "cached"


def test_an_uploads_images_are_counted_when_accepted_not_while_they_wait(
    serve: Serve, app: FastAPI, counts: Any, engine: Engine, redis_client: "redis.Redis", digits: Route
) -> None:
    images = pictures(70)

    async def claim(client: httpx.AsyncClient) -> None:
        gate = app.state.gateway
        gate.bulk = gate.bulk.model_copy(update={"max_lane_depth": 50})
        files = [("images", (f"{n}.png", image)) for n, image in enumerate([*images, images[0], b"no image"])]
        upload = asyncio.create_task(client.post("/v1/batches", files=files))
        while counts().get("queued", 0) < 50:  # noqa: ASYNC110  a counter has no event
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # it waits for room, and checks for it twice
        assert counts() == {"queued": 50}
        [lane] = redis_client.scan_iter("lane:*")
        redis_client.xtrim(lane, maxlen=0, approximate=False)
        assert (await upload).status_code == 202
        assert counts() == {"queued": 70, "joined": 1, "unreadable": 1}

    serve(claim, routes=[digits], engine=engine)


def test_a_job_has_the_id_of_its_request(serve: Serve, redis_client: "redis.Redis", digits: Route, png: bytes) -> None:
    async def claim(client: httpx.AsyncClient) -> str:
        answer = await client.post("/v1/predictions", content=png, headers=PNG | {"X-Request-ID": "mine"})
        shown = await client.get(f"/v1/predictions/{answer.json()['id']}")
        assert "request_id" not in answer.text + shown.text
        return str((await client.post("/v1/predictions", content=png, headers=PNG)).headers["x-request-id"])

    made = serve(claim, routes=[digits])
    assert {request["request_id"] for request in requests(redis_client)} == {"mine", made}


def test_every_item_of_an_upload_has_the_uploads_request_id(
    serve: Serve, engine: Engine, redis_client: "redis.Redis", digits: Route, png: bytes
) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        files = [("images", ("1.png", png)), ("images", ("2.txt", b"no image"))]
        answer = await client.post("/v1/batches", files=files, headers={"X-Request-ID": "upload"})
        assert answer.status_code == 202
        assert "request_id" not in answer.text

    serve(claim, routes=[digits], engine=engine)
    assert [request["request_id"] for request in requests(redis_client)] == ["upload", "upload"]


def test_the_request_id_is_no_part_of_a_requests_fingerprint(serve: Serve, digits: Route, png: bytes) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        headers = [PNG | {"Idempotency-Key": "k", "X-Request-ID": id} for id in ("one", "two")]
        answers = [await client.post("/v1/predictions", content=png, headers=each) for each in headers]
        assert [answer.status_code for answer in answers] == [202, 202]
        assert len({answer.json()["id"] for answer in answers}) == 1

    serve(claim, routes=[digits])
