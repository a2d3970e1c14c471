"""A submission's webhook is enqueued with it; deliveries are read, listed in pages and delivered again.

Over 300 lines: it holds all tests of one module, whose name it has.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import redis
from sqlalchemy import Engine

from api.schemas import WebhookDelivery, WebhookDeliveryDetail, WebhookDeliveryList, WebhookSecret
from shared.domain.identifiers import ANYONE, DeliveryId, ModelName, Owner, VersionKey, VersionNumber, new_uuid7
from shared.domain.model_route import Route, Version
from shared.domain.webhooks import DeliveryStatus
from shared.queue import keys
from shared.storage import deliveries, delivery_claims
from shared.storage.delivery_claims import Attempt
from shared.storage.recording import record

Serve = Callable[..., Any]
Make = Callable[..., dict[bytes, bytes]]
Add = Callable[..., list[str]]
HOOK = "https://example.com/hook"
SOMEBODY = Owner("somebody else")
SECRET, ROTATE, DELIVERIES = (
    "/v1/webhooks/default/secret",
    "/v1/webhooks/default/secret/rotate",
    "/v1/webhook-deliveries",
)
DIGITS = Route(
    model=ModelName("digits"),
    description="",
    aliases={"champion": VersionNumber("3")},
    versions={VersionNumber("3"): Version(number=VersionNumber("3"), key=VersionKey("3-m-1"), created_at="")},
)


@pytest.fixture
def add(engine: Engine, finished_record: Make, batch_record: Make) -> Add:
    """Record predictions with a webhook, or one empty batch; return the ids of their deliveries, newest first."""

    def add(*, count: int = 1, owner: Owner = ANYONE, batch: str | None = None) -> list[str]:
        request = {"webhook": {"url": HOOK, "events": ["completed"]}}
        records = [finished_record(owner=owner, request=request) for _ in range(count)]
        if batch is not None:
            records = [batch_record(batch, total=0, owner=owner, request=request)]
        with engine.connect() as connection:
            for one in records:
                record(connection, [one])
            found = deliveries.list_deliveries(connection, owner, before=None, limit=len(records))
        return [delivery.id for delivery in found]

    return add


@pytest.fixture
def log(engine: Engine) -> Callable[..., None]:
    """Log an attempt at a delivery: `log(id, DeliveryStatus.PENDING, status=503)`."""

    def log(id: str, outcome: DeliveryStatus, *, status: int | None, error: str | None = None) -> None:
        attempt = Attempt(
            id=DeliveryId(id), started_at=datetime.now(UTC), duration_ms=12.5, status=status, error=error,
            response="oh no" if error else "", outcome=outcome, pause=timedelta(hours=1),
        )  # fmt: skip
        with engine.connect() as connection:
            delivery_claims.log_attempts(connection, [attempt])

    return log


# Into the queue


@pytest.mark.parametrize("priority", ["interactive", "bulk"])
def test_a_submissions_webhook_is_stored_with_its_job(
    serve: Serve, redis_client: "redis.Redis", png: bytes, priority: str
) -> None:
    async def claim(client: httpx.AsyncClient) -> list[str]:
        return [
            (await client.post("/v1/predictions", files={"image": png}, data=data | {"priority": priority})).json()[
                "id"
            ]
            for data in ({"webhook": HOOK, "webhook_events_filter": ["completed"]}, {"webhook": HOOK}, {})
        ]

    ids = serve(claim, routes=[DIGITS])
    kept = [orjson.loads(redis_client.hget(f"job:{id}", "request") or b"")["webhook"] for id in ids]
    assert kept == [{"url": HOOK, "events": ["completed"]}, {"url": HOOK, "events": ["completed", "start"]}, None]
    assert [redis_client.hget(f"job:{id}", "tell_start") for id in ids] == [None, b"1", None]


def test_a_different_webhook_under_the_same_key_is_a_conflict(serve: Serve, png: bytes) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        async def post(**data: Any) -> tuple[int, str]:
            answer = await client.post(
                "/v1/predictions", files={"image": png}, data=data, headers={"Idempotency-Key": "k"}
            )
            return answer.status_code, answer.json().get("id") or answer.json()["type"]

        first = await post(webhook=HOOK)
        assert first[0] == 202
        assert await post(webhook=HOOK, webhook_events_filter=["start", "completed"]) == first
        for other in ({}, {"webhook": f"{HOOK}/2"}, {"webhook": HOOK, "webhook_events_filter": "start"}):
            assert await post(**other) == (422, "/problems/idempotency-mismatch")

    serve(claim, routes=[DIGITS])


def test_a_batch_has_one_webhook_and_its_items_have_none(
    serve: Serve, engine: Engine, redis_client: "redis.Redis", png: bytes
) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        async def post(**data: Any) -> httpx.Response:
            files = [("images", ("1.png", png)), ("images", ("2.txt", b"no image"))]
            return await client.post("/v1/batches", files=files, data=data, headers={"Idempotency-Key": "k"})

        made = await post(webhook=HOOK)
        assert made.status_code == 202, made.text
        assert (await post(webhook=HOOK)).json()["id"] == made.json()["id"]
        # As long as the first one, so that a difference in length does not matter.
        other = await post(webhook=HOOK.replace("hook", "book"))
        assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-mismatch")

    serve(claim, routes=[DIGITS], engine=engine)
    (batch,) = redis_client.scan_iter("batch:*", _type="hash")
    kept = orjson.loads(redis_client.hget(batch, "request") or b"")
    assert kept["webhook"] == {"url": HOOK, "events": ["completed", "start"]}
    items = [orjson.loads(redis_client.hget(job, "request") or b"") for job in redis_client.scan_iter("job:*")]
    assert [item["webhook"] for item in items] == [None, None]


# The secret


def test_the_secret_stays_the_same_until_a_rotation(serve: Serve, engine: Engine) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        answers = [await client.get(SECRET), await client.get(SECRET)]
        answers += [await client.post(ROTATE), await client.get(SECRET)]
        for answer in answers:
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            WebhookSecret.model_validate(answer.json())
        first, again, rotated, after = (answer.json()["key"] for answer in answers)
        assert first == again != rotated == after

    serve(claim, engine=engine, routes=[DIGITS])


# Deliveries


async def detail(client: httpx.AsyncClient, id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"{DELIVERIES}/{id}")).json()
    WebhookDeliveryDetail.model_validate(found)
    assert WebhookDeliveryDetail.model_fields.keys() == found.keys()
    return found


async def expect(client: httpx.AsyncClient, method: str, path: str, status: int, slug: str) -> dict[str, Any]:
    response = await client.request(method, path)
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["type"]) == (status, f"/problems/{slug}")
    return body


def test_a_delivery_is_readable_from_its_first_attempt_to_its_last(
    serve: Serve, engine: Engine, add: Add, log: Callable[..., None]
) -> None:
    [id] = add()

    async def claim(client: httpx.AsyncClient) -> None:
        new = await detail(client, id)
        url = f"http://darkroom.test{DELIVERIES}/{id}"
        assert new["urls"] == {"get": url, "redeliver": f"{url}/redeliver"}
        assert (new["id"], new["event"], new["status"], new["url"]) == (id, "completed", "pending", HOOK)
        assert (new["subject_type"], new["attempt_count"], new["attempts"]) == ("prediction", 0, [])
        assert datetime.fromisoformat(new["next_attempt_at"]) <= datetime.now(UTC)
        log(id, DeliveryStatus.PENDING, status=503, error="answered 503")
        log(id, DeliveryStatus.PENDING, status=None, error="connection refused")
        failed = await detail(client, id)
        assert (failed["status"], failed["attempt_count"], failed["delivered_at"]) == ("pending", 2, None)
        assert failed["next_attempt_at"] > new["next_attempt_at"]
        assert [(made["status"], made["error"], made["response"]) for made in failed["attempts"]] == [
            (503, "answered 503", "oh no"), (None, "connection refused", "oh no"),
        ]  # fmt: skip
        assert failed["attempts"][0]["started_at"] < failed["attempts"][1]["started_at"]
        log(id, DeliveryStatus.DELIVERED, status=204)
        done = await detail(client, id)
        assert (done["status"], done["attempt_count"], done["next_attempt_at"]) == ("delivered", 3, None)
        assert done["delivered_at"] >= done["created_at"]
        assert (done["attempts"][2]["error"], done["attempts"][2]["response"]) == (None, None)
        listed = (await client.get(DELIVERIES)).json()["results"]
        assert listed == [{name: value for name, value in done.items() if name != "attempts"}]
        assert WebhookDelivery.model_fields.keys() == listed[0].keys()

    serve(claim, engine=engine, routes=[DIGITS])


@pytest.mark.parametrize("outcome", DeliveryStatus)
def test_a_retry_makes_the_delivery_due_now_and_rings_the_courier(
    serve: Serve, engine: Engine, redis_client: "redis.Redis", add: Add, log: Callable[..., None], outcome: Any
) -> None:
    [id] = add()
    log(id, outcome, status=200)

    async def claim(client: httpx.AsyncClient) -> None:
        answer = await client.post(f"{DELIVERIES}/{id}/redeliver")
        found = answer.json()
        assert (answer.status_code, found["id"]) == (202, id)
        assert (found["status"], found["attempt_count"], found["delivered_at"]) == ("pending", 0, None)
        assert len(found["attempts"]) == 1
        assert datetime.fromisoformat(found["next_attempt_at"]) <= datetime.now(UTC)
        assert await detail(client, id) == found
        assert redis_client.llen(keys.WEBHOOK_QUEUE) == 1

    serve(claim, engine=engine, routes=[DIGITS])


def test_a_retry_is_accepted_without_redis_because_the_courier_polls(
    serve: Serve, engine: Engine, add: Add, log: Callable[..., None]
) -> None:
    [id] = add()
    log(id, DeliveryStatus.EXHAUSTED, status=410)

    async def claim(client: httpx.AsyncClient) -> None:
        answer = await client.post(f"{DELIVERIES}/{id}/redeliver")
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")

    serve(claim, engine=engine, redis_url="redis://127.0.0.1:1/0", redis_timeout=timedelta(seconds=1))


def test_a_list_pages_through_every_delivery_once_newest_first(serve: Serve, engine: Engine, add: Add) -> None:
    ids = add(count=7)

    async def claim(client: httpx.AsyncClient) -> None:
        url, seen = f"{DELIVERIES}?limit=3&status=pending", []
        while url:
            page = (await client.get(url)).json()
            WebhookDeliveryList.model_validate(page)
            assert page["previous"] is None
            seen.append([delivery["id"] for delivery in page["results"]])
            url = page["next"]
            assert url is None or url.startswith(f"http://darkroom.test{DELIVERIES}?status=pending&limit=3&cursor=")
        assert seen == [ids[:3], ids[3:6], ids[6:]]

    serve(claim, engine=engine, routes=[DIGITS])


def test_a_list_is_filtered_by_status_and_by_subject(
    serve: Serve, engine: Engine, add: Add, log: Callable[..., None]
) -> None:
    batch = new_uuid7()
    [pending], [delivered], [exhausted], [of_batch] = add(), add(), add(), add(batch=batch)
    log(delivered, DeliveryStatus.DELIVERED, status=200)
    log(exhausted, DeliveryStatus.EXHAUSTED, status=410, error="answered 410")

    async def claim(client: httpx.AsyncClient) -> None:
        async def listed(**query: str) -> list[str]:
            return [delivery["id"] for delivery in (await client.get(DELIVERIES, params=query)).json()["results"]]

        assert await listed() == [of_batch, exhausted, delivered, pending]
        assert await listed(status="pending") == [of_batch, pending]
        assert await listed(status="delivered") == [delivered]
        assert await listed(status="exhausted") == [exhausted]
        [told] = (await client.get(DELIVERIES, params={"subject": batch})).json()["results"]
        assert (told["id"], told["subject"], told["subject_type"]) == (of_batch, batch, "batch")
        assert await listed(subject=batch, status="delivered") == []
        for nothing in (new_uuid7(), "x", "\0", batch.upper(), ""):
            assert await listed(subject=nothing) == []

    serve(claim, engine=engine, routes=[DIGITS])


def test_a_list_refuses_invalid_parameters(serve: Serve, engine: Engine) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        for query in ("cursor=nonsense", "cursor=%00", "limit=0", "limit=1001", "limit=x", "status=done"):
            body = await expect(client, "GET", f"{DELIVERIES}?{query}", 422, "invalid-parameter")
            assert body["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"

    serve(claim, engine=engine, routes=[DIGITS])


def test_an_unknown_or_malformed_id_is_unknown(serve: Serve, engine: Engine, redis_client: "redis.Redis") -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        for id in (new_uuid7(), new_uuid7().upper(), "x", "%C2%A0", "%F0%9F%93%B7", "0" * 5000):
            await expect(client, "GET", f"{DELIVERIES}/{id}", 404, "unknown-webhook-delivery")
            await expect(client, "POST", f"{DELIVERIES}/{id}/redeliver", 404, "unknown-webhook-delivery")

    serve(claim, engine=engine, routes=[DIGITS])
    assert redis_client.llen(keys.WEBHOOK_QUEUE) == 0


def test_another_owners_delivery_is_unknown_and_stays_unchanged(
    serve: Serve, engine: Engine, add: Add, log: Callable[..., None]
) -> None:
    [theirs] = add(owner=SOMEBODY)
    log(theirs, DeliveryStatus.EXHAUSTED, status=410)

    async def claim(client: httpx.AsyncClient) -> None:
        await expect(client, "GET", f"{DELIVERIES}/{theirs}", 404, "unknown-webhook-delivery")
        await expect(client, "POST", f"{DELIVERIES}/{theirs}/redeliver", 404, "unknown-webhook-delivery")
        assert (await client.get(DELIVERIES)).json()["results"] == []

    serve(claim, engine=engine, routes=[DIGITS])
    with engine.connect() as connection:
        found = deliveries.find_delivery(connection, theirs, SOMEBODY)
    assert found is not None
    assert found[0].status == "exhausted"


def test_without_postgres_only_malformed_ids_are_unknown(serve: Serve, nowhere: Engine) -> None:
    one = f"{DELIVERIES}/{new_uuid7()}"

    async def claim(client: httpx.AsyncClient) -> None:
        for path in (SECRET, DELIVERIES, one):
            await expect(client, "GET", path, 503, "storage-unavailable")
        for path in (ROTATE, f"{one}/redeliver"):
            await expect(client, "POST", path, 503, "storage-unavailable")
        await expect(client, "GET", f"{DELIVERIES}/x", 404, "unknown-webhook-delivery")

    serve(claim, engine=nowhere, routes=[DIGITS])
