"""The webhook routes: a submission names a URL, its deliveries are listed and can be repeated."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.api_client import Door, Json, expect_problem
from tests.support.batches import accepted, ended, results, send_images
from tests.support.pictures import data_url, renewed
from tests.support.waiting import until

# Nobody listens there; no address of one's own is called anyway unless a setting allows it.
HOOK = "http://127.0.0.1:9/hook?of=the%20gateway"
SECRET, DELIVERIES = "/v1/webhooks/default/secret", "/v1/webhook-deliveries"
MEMBERS = {
    "id", "event", "status", "url", "subject", "subject_type", "attempt_count", "next_attempt_at", "created_at",
    "delivered_at", "urls",
}  # fmt: skip


def listed(door: Door, **query: Any) -> list[Json]:
    """Return the first page of deliveries."""
    answer = door.http.get(DELIVERIES, params=query)
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()["results"]
    return found


def delivery(door: Door, subject: str) -> Json:
    """Return the delivery of a prediction's or batch's end, once that is recorded."""
    found = lambda: [one for one in listed(door, subject=subject) if one["event"] == "completed"]  # noqa: E731
    [one] = until(found, what="its end is recorded")
    return one


def test_every_form_of_submission_with_a_webhook_gets_a_delivery(door: Door, scan: bytes) -> None:
    said: dict[str, Any] = {"webhook": HOOK, "webhook_events_filter": ["completed", "logs"]}
    made = [
        door.post(files={"image": renewed(scan)}, data=said),
        door.post(content=renewed(scan), params=said, headers={"Content-Type": "image/png"}),
        door.post(json=said | {"input": {"image": data_url(renewed(scan))}}),
        door.post(json={"webhook": HOOK, "priority": "bulk", "input": {"image": data_url(renewed(scan))}}),
    ]
    for answer in made:
        assert answer.status_code == 202, answer.text
        found = delivery(door, answer.json()["id"])
        assert set(found) == MEMBERS
        assert (found["event"], found["url"], found["subject_type"]) == ("completed", HOOK, "prediction")
        url = f"{door.url}{DELIVERIES}/{found['id']}"
        assert found["urls"] == {"get": url, "redeliver": f"{url}/redeliver"}
        again = door.get(url)
        assert set(again) == MEMBERS | {"attempts"}
        assert [again[name] for name in ("id", "subject", "created_at")] == [
            found[name] for name in ("id", "subject", "created_at")
        ]


@pytest.mark.parametrize("end", ["cache", "canceled"])
def test_every_kind_of_end_is_delivered(door: Door, image: bytes, end: str) -> None:
    if end == "cache":
        door.predicted(image)
        id = door.submit(image, webhook=HOOK).json()["id"]
    else:
        with door.workers_stopped():
            id = door.accepted(image, webhook=HOOK)
            door.cancel(id)
    assert end in (door.prediction(id)["source"], door.prediction(id)["status"])
    assert delivery(door, id)["subject"] == id


@pytest.mark.parametrize("events", [["start"], ["output", "logs"]])
def test_an_event_outside_the_filter_is_not_delivered(door: Door, image: bytes, events: list[str]) -> None:
    body = {"webhook": HOOK, "webhook_events_filter": events, "input": {"image": data_url(image)}}
    id = door.post(json=body, headers={"Prefer": "wait=60"}).json()["id"]
    door.forget_in_redis(id)  # so it is recorded
    assert {one["event"] for one in listed(door, subject=id)} <= {"start"} & set(events)


@pytest.mark.parametrize("body", ["form", "lines"])
def test_a_batch_has_one_delivery_and_its_items_none(door: Door, scan: bytes, body: str) -> None:
    files = [("1.png", renewed(scan)), ("2.png", renewed(scan)), ("x.txt", b"no image")]
    if body == "form":
        answer = send_images(door.http, files, data={"webhook": HOOK})
    else:
        lines = b"\n".join(b'{"image": "%s"}' % base64.b64encode(content) for _, content in files)
        answer = door.post(
            "/v1/batches", content=lines, params={"webhook": HOOK}, headers={"Content-Type": "application/x-ndjson"}
        )
    id = accepted(answer)["id"]
    ended(door.http, id)
    found = delivery(door, id)
    assert (found["subject_type"], found["url"]) == ("batch", HOOK)
    for item in results(door.http, id):
        assert listed(door, subject=item["id"]) == []


def test_a_batch_with_a_different_webhook_under_its_key_is_a_conflict(door: Door, image: bytes) -> None:
    headers = {"Idempotency-Key": f"hook-{image[41:70].hex()}"}
    request: Json = {"content": b'{"image": "%s"}' % base64.b64encode(image)}
    request["headers"] = headers | {"Content-Type": "application/x-ndjson"}
    first = accepted(door.post("/v1/batches", params={"webhook": HOOK}, **request))
    assert accepted(door.post("/v1/batches", params={"webhook": HOOK}, **request))["id"] == first["id"]
    for other in ({}, {"webhook": f"{HOOK}2"}, {"webhook": HOOK, "webhook_events_filter": "start"}):
        problem = expect_problem(door.post("/v1/batches", params=other, **request), 422, "idempotency-mismatch")
        assert problem["first_id"] == first["id"]


def test_the_list_has_every_delivery_newest_first_page_by_page(door: Door, scan: bytes) -> None:
    ids = []
    for _ in range(5):
        ids.append(door.accepted(renewed(scan), webhook=HOOK))
        delivery(door, ids[-1])
    found: list[Json] = []
    where: str | None = f"{DELIVERIES}?limit=2"
    while where and not any((one["event"], one["subject"]) == ("completed", ids[0]) for one in found):
        page = door.get(where)
        assert (set(page), page["previous"]) == ({"results", "next", "previous"}, None)
        assert len(page["results"]) <= 2
        found += page["results"]
        where = page["next"]
        assert where is None or where.startswith(f"{door.url}{DELIVERIES}?")
    # Beside them there may be a `start` of each.
    assert [one["subject"] for one in found if one["event"] == "completed" and one["subject"] in ids] == ids[::-1]
    assert [one["id"] for one in found] == sorted({one["id"] for one in found}, reverse=True)
    for status in ("pending", "delivered", "exhausted"):
        assert {one["status"] for one in listed(door, status=status)} <= {status}


def test_a_delivery_is_retried_under_its_own_id(door: Door, image: bytes) -> None:
    id = door.accepted(image, webhook=HOOK)
    found = delivery(door, id)
    answer = door.http.post(found["urls"]["redeliver"])
    again = answer.json()
    assert answer.status_code == 202, answer.text
    assert set(again) == MEMBERS | {"attempts"}
    assert (again["id"], again["subject"], again["event"]) == (found["id"], id, "completed")
    assert (again["status"], again["attempt_count"], again["delivered_at"]) == ("pending", 0, None)
    assert again["created_at"] == found["created_at"]
    assert datetime.fromisoformat(again["next_attempt_at"]) <= datetime.now(UTC)
    assert delivery(door, id)["id"] == found["id"]


def test_the_secret_stays_until_it_is_rotated(door: Door) -> None:
    before = door.http.get(SECRET)
    assert (before.status_code, set(before.json())) == (200, {"key"})
    assert before.headers["cache-control"] == "no-store"
    key = before.json()["key"]
    assert key.startswith("whsec_")
    assert len(base64.b64decode(key.removeprefix("whsec_"), validate=True)) == 32
    assert door.get(SECRET)["key"] == key
    changed = door.http.post(f"{SECRET}/rotate")
    assert (changed.status_code, set(changed.json())) == (200, {"key"})
    assert changed.json()["key"] != key
    assert door.get(SECRET) == changed.json()
