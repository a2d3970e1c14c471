"""A Redis and a Postgres that the version before wrote are read as before: `stored/README.md` says what is in them."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg2
import pytest
import redis
from sqlalchemy import Engine

from shared.domain.batch import BatchStatus
from shared.domain.errors import IdempotencyMismatch, RateLimited
from shared.domain.identifiers import BatchId, Digest, FileId, KeyId, ModelName, Owner, PredictionId, new_uuid7
from shared.domain.image import ImageFacts
from shared.domain.job import Job
from shared.domain.job_request import JobRequest, RequestImage
from shared.domain.key_limits import UNLIMITED, Limits
from shared.domain.model_route import Choice
from shared.domain.prediction import Source, Status
from shared.domain.webhooks import SENT_UNASKED, Webhook
from shared.presentation.stream_tokens import StreamTokens
from shared.queue.consumer.entries import Result
from shared.queue.consumer.lanes import Lanes
from shared.queue.producer.models import parse_route
from shared.queue.producer.producer import Producer, connect_producer
from shared.queue.producer.submission import Hit, Known, Submission
from shared.settings import Database, Queue, Recording, Redis
from shared.storage import batches, predictions, webhook_secrets
from shared.storage.engine import make_engine
from shared.storage.migrate import upgrade
from tests.support.observations import record_observer
from tests.support.servers import PostgresServer, RedisServer
from worker.record.recorder import Recorder
from worker.webhooks.start_events import StartEvents

T = TypeVar("T")
Ask = Callable[[Callable[[Producer], Awaitable[T]]], T]
STORED = Path(__file__).parent / "stored"
MODEL, OWNER = ModelName("digits"), Owner("ann")
OUTPUT = b'{"predicted_class":"7"}'
WEBHOOK = Webhook("https://example.com/hook", SENT_UNASKED)


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((STORED / "redis.json").read_text())
    return found


@pytest.fixture
def ids(stored: dict[str, Any], redis_client: redis.Redis) -> dict[str, str]:
    """The Redis of the version before, and what its ids are of."""
    for key, (pttl, dumped) in stored["keys"].items():
        redis_client.restore(key, max(0, pttl), base64.b64decode(dumped))
    found: dict[str, str] = stored["ids"]
    return found


@pytest.fixture
def restored(start_postgres: Callable[[], PostgresServer]) -> Iterator[Engine]:
    """The Postgres of the version before, with the migrations of today."""
    server = start_postgres()
    with psycopg2.connect(server.url) as connection, connection.cursor() as cursor:
        cursor.execute((STORED / "postgres.sql").read_text())
    connection.close()
    upgrade(server.url)
    engine = make_engine(Database(url=server.url))
    yield engine
    engine.dispose()


@pytest.fixture
def ask(redis_server: RedisServer) -> Ask[Any]:
    """Run a claim with a gateway's producer."""

    def run(claim: Callable[[Producer], Awaitable[T]]) -> T:
        async def within() -> T:
            async with connect_producer(Redis(url=redis_server.url)) as producer:
                return await claim(producer)

        return asyncio.run(within())

    return run


def lanes(client: redis.Redis) -> Lanes:
    return Lanes(client, model=MODEL, consumer="new-1", settings=Queue(lease=timedelta(milliseconds=1)))


def recorder(client: redis.Redis, engine: Engine) -> Recorder:
    return Recorder(
        client, engine, Recording(linger=timedelta(0), lease=timedelta(milliseconds=1)), consumer="new",
        recorded_ttl=timedelta(hours=1), ring_again=lambda: None, ring_courier=lambda: None, observer=record_observer(),
    )  # fmt: skip


def request(image: str, **more: Any) -> JobRequest:
    """What was asked for, as the version before was asked."""
    digest = Digest(image.encode().hex().ljust(64, "0"))
    given = {
        "model": MODEL, "version": "3", "version_key": "3-m-1", "variant": "champion",
        "image": RequestImage(digest, "PNG", 8, 9, len(image), f"{image}.png"), "metadata": {"ward": 3},
        "base_url": "http://host:8000", "request_id": "r-1",
    }  # fmt: skip
    return JobRequest(**(given | more))


def found(job: Job | None) -> Job:
    assert job is not None
    return job


def test_every_stored_job_is_found_unchanged(ids: dict[str, str], ask: Ask[list[Job]]) -> None:
    names = [name for name in ids if name not in ("whole", "half", "reading", "file")]
    jobs = ask(lambda producer: producer.jobs.find_all([PredictionId(ids[name]) for name in names]))
    states = {name: (job.status.value, job.source.value) for name, job in zip(names, jobs, strict=True)}
    ended = ("recorded", "whole_item", "finished")
    failed = ("whole_broken", "half_broken")
    assert states == {
        **dict.fromkeys(ended, ("succeeded", "model")), **dict.fromkeys(failed, ("failed", "model")),
        **dict.fromkeys(("waiting", "joined", "late", "half_item", "reading_item"), ("starting", "model")),
        "repeated": ("succeeded", "cache"), "canceled": ("canceled", "model"), "processing": ("processing", "model"),
    }  # fmt: skip
    job = dict(zip(names, jobs, strict=True))
    assert job["waiting"].request == request("fifth", webhook=WEBHOOK)
    assert job["finished"].request == request("third", custom_id="own")
    assert (job["finished"].batch_size, job["finished"].predict_ms, job["finished"].worker) == (2, 1.5, "old-1")
    item = {"metadata": {}, "base_url": "", "custom_id": "seventh.png"}
    assert job["half_item"].request == request("seventh", **item)
    assert job["half_broken"].request.image == RequestImage(Digest("ab" * 32), None, None, None, 4, "notes.txt")
    assert (job["half_broken"].error, job["half_broken"].code) == ("this is text", "undecodable_image")
    assert job["half_item"].batch == ids["half"]


def test_stored_lists_files_models_and_secrets_are_found(ids: dict[str, str], ask: Ask[None]) -> None:
    async def claim(producer: Producer) -> None:
        unfinished = {"processing", "waiting", "joined", "late", "half_item", "reading_item"}
        found = await producer.jobs.unfinished(OWNER, until=None, most=100)
        assert {id for id, _ in found} == {ids[name] for name in unfinished}
        unrecorded = {ids[name] for name in ("finished", "half_broken")}
        assert await producer.jobs.unrecorded(OWNER, most=1000) == unrecorded
        kept = await producer.files.content(OWNER, FileId(ids["file"]))
        assert (kept.name, kept.content, kept.metadata) == ("7.png", b"bytes", {"a": 1})
        published = await producer.models.published()
        assert published.retired == {ModelName("letters")}
        assert parse_route(published.routes[MODEL]).aliases == {"champion": "3"}
        assert len(await producer.server.stream_secret()) == 32
        batches = await producer.batches.find_all([BatchId(ids[name]) for name in ("whole", "half", "reading")])
        assert [(one.state, one.total) for one in batches] == [("ended", 2), ("in_progress", 2), ("validating", 1)]
        assert (batches[0].skipped, batches[0].skipped_files) == (1, ["labels.csv"])
        assert await producer.batches.unended(OWNER) == [ids["reading"], ids["half"]]

    ask(claim)


def test_stored_keys_cache_entries_and_limits_still_apply(
    ids: dict[str, str], ask: Ask[None], redis_client: redis.Redis
) -> None:
    route = parse_route(redis_client.get("route:digits"))  # type: ignore[arg-type]

    def submission(image: str, **more: Any) -> Submission:
        digest = Digest(image.encode().hex().ljust(64, "0"))
        facts = ImageFacts(sha256=digest, format="PNG", width=8, height=9, bytes=5, filename=None)
        version = route.versions[route.aliases["champion"]]
        choice = Choice(model=MODEL, version=version.number, key=version.key, variant="champion")
        return Submission(
            id=PredictionId(new_uuid7()), owner=OWNER, choice=choice, image=image.encode(), facts=facts, metadata={},
            base_url="", **more,
        )  # fmt: skip

    async def claim(producer: Producer) -> None:
        async def submit(one: Submission, limits: Limits = UNLIMITED) -> Any:
            answer, _ = await producer.jobs.submit(
                one, one.request(), settings=Queue(), memory_is_high=False, limits=limits
            )
            return answer

        assert isinstance(await submit(submission("first")), Hit)
        known = await submit(submission("fifth", idempotency_key="k-2", fingerprint="f"))
        assert known == Known(PredictionId(ids["waiting"]))
        with pytest.raises(IdempotencyMismatch):
            await submit(submission("fifth", idempotency_key="k-2", fingerprint="other"))
        # By what is unfinished: a rate's own key has been used up 17 minutes after the data was made.
        with pytest.raises(RateLimited):
            await submit(submission("new"), Limits(key=KeyId("key"), max_inflight=1))

    ask(claim)


def test_stored_work_is_computed_and_recorded(
    ids: dict[str, str], restored: Engine, redis_client: redis.Redis, ask: Ask[Any]
) -> None:
    worker, run = lanes(redis_client), b'{"batch_size":4,"predict_ms":2.5,"worker":"new-1"}'
    entries = worker.begin(worker.pull(64).entries)
    assert {entry.image for entry in entries} == {b"fifth", b"seventh", b"eighth"}
    suspect = worker.reclaim()
    assert suspect is not None
    assert (suspect.image, suspect.attempts) == (b"fourth", 2)
    worker.finish([Result(entry, "succeeded", OUTPUT) for entry in [*entries, suspect]], run=run)
    ask(lambda producer: producer.batches.cancel(BatchId(ids["reading"]), mode="user"))
    assert StartEvents(redis_client, restored, tokens=StreamTokens(b"secret")).collect() > 0
    assert recorder(redis_client, restored).run_once() == 10
    with restored.connect() as connection:
        rows = {name: predictions.find_prediction(connection, PredictionId(ids[name]), OWNER) for name in ids}
        states = {name: (row.status, row.source) for name, row in rows.items() if row is not None}
        half = batches.find_batch(connection, BatchId(ids["half"]), OWNER)
    assert states["joined"] == ("succeeded", "coalesced")
    assert {states[name] for name in ("waiting", "processing", "half_item", "reading_item")} == {("succeeded", "model")}
    assert states["late"] == ("canceled", "model")
    assert half is not None
    assert (half.batch().status, half.batch().succeeded, half.batch().failed) == (BatchStatus.COMPLETED, 1, 1)


def test_stored_rows_are_read_as_complete_predictions(stored: dict[str, Any], restored: Engine) -> None:
    ids = stored["ids"]
    with restored.connect() as connection:
        rows = {
            name: predictions.find_prediction(connection, PredictionId(ids[name]), OWNER)
            for name in ("recorded", "repeated", "canceled", "whole_item", "whole_broken", "waiting")
        }
        whole = batches.find_batch(connection, BatchId(ids["whole"]), OWNER)
    with restored.connect() as connection:
        secrets = webhook_secrets.signing_secrets(connection, OWNER, overlap=timedelta(days=1))
    job = {name: None if row is None else row.job() for name, row in rows.items()}
    assert job["waiting"] is None
    recorded = found(job["recorded"])
    assert recorded.request == request("first", webhook=WEBHOOK, request_id=None)
    assert (recorded.status, recorded.source, recorded.worker) == (Status.SUCCEEDED, Source.MODEL, "old-1")
    assert recorded.output["predicted_class"] == "7"
    assert found(job["repeated"]).source is Source.CACHE
    assert found(job["canceled"]).status is Status.CANCELED
    item = {"metadata": {}, "base_url": "", "custom_id": "second.png", "request_id": None}
    assert found(job["whole_item"]).request == request("second", **item)
    assert found(job["whole_broken"]).request.image == RequestImage(Digest("ab" * 32), None, None, None, 4, "notes.txt")
    assert whole is not None
    assert (whole.batch().status, whole.batch().skipped_files) == (BatchStatus.COMPLETED, ["labels.csv"])
    assert secrets[0].startswith("whsec_")


def test_a_job_reads_the_same_from_redis_and_from_its_row(ids: dict[str, str], restored: Engine, ask: Ask[Job]) -> None:
    with restored.connect() as connection:
        row = predictions.find_prediction(connection, PredictionId(ids["recorded"]), OWNER)
    assert row is not None
    live = found(ask(lambda producer: producer.jobs.find(PredictionId(ids["recorded"]))))
    assert live.request._replace(request_id=None) == row.job().request
    assert (live.created, live.started, live.completed) == (row.job().created, row.job().started, row.job().completed)
