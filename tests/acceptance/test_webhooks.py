"""Webhooks on the whole stack: each end is delivered once, signed, whatever process is killed."""

import threading
from collections import Counter

import pytest

from tests.support.batches import accepted, ended, lines
from tests.support.breakable_stack import Breakable, Json, picture
from tests.support.receivers import Came, Receiver, ok, receiving
from tests.support.waiting import LIMIT, until

PATH = "/v1/webhook-deliveries"


def secret(breakable: Breakable) -> str:
    return str(breakable.get("/v1/webhooks/default/secret")["key"])


def submit(breakable: Breakable, number: int, receiver: Receiver, *events: str) -> str:
    """Submit a picture and return its id."""
    answer = breakable.http.post(
        "/v1/predictions",
        files={"image": ("a.png", picture(number), "image/png")},
        data={"webhook": receiver.url, "webhook_events_filter": list(events)},
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def deliveries(breakable: Breakable, **query: str) -> list[Json]:
    answer = breakable.http.get(PATH, params={"limit": "1000", **query})
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()["results"]
    return found


def said(came: list[Came]) -> list[tuple[str, str]]:
    return sorted((one.json["id"], one.json["status"]) for one in came)


def test_a_start_and_an_end_are_delivered_signed_and_listed(breakable: Breakable) -> None:
    key = secret(breakable)
    with receiving() as receiver:
        id = submit(breakable, 15_000_001, receiver)
        came = receiver.wait_for(2)
        until(lambda: len(deliveries(breakable, subject=id, status="delivered")) == 2, what="both logged")
    for one in came:
        one.verify(key)
    assert said(came) == [(id, "processing"), (id, "succeeded")]
    end = next(one for one in came if one.json["status"] == "succeeded")
    now = breakable.prediction(id)
    assert {**end.json, "urls": None} == {**now, "urls": None}
    listed = deliveries(breakable, subject=id)
    assert {one["id"] for one in listed} == {one.id for one in came}
    assert {one["event"] for one in listed} == {"start", "completed"}


def test_an_event_filter_holds_and_a_cached_answer_sends_only_its_end(breakable: Breakable) -> None:
    with receiving() as receiver:
        first = submit(breakable, 15_000_002, receiver, "completed")
        receiver.wait_for(1)
        breakable.wait_until_mended()
        answer = breakable.http.post(
            "/v1/predictions", params={"webhook": receiver.url}, content=picture(15_000_002),
            headers={"Content-Type": "image/png"},
        )  # fmt: skip
        assert answer.json()["source"] == "cache"
        second = answer.json()["id"]
        silent = submit(breakable, 15_000_003, receiver, "start")
        came = receiver.wait_for(3)
    assert said(came) == sorted([(first, "succeeded"), (second, "succeeded"), (silent, "processing")])


def test_a_batch_has_one_webhook_and_its_images_none(breakable: Breakable) -> None:
    with receiving() as receiver:
        answer = breakable.http.post(
            "/v1/batches", params={"webhook": receiver.url},
            content=lines([(f"{n}.png", picture(n)) for n in range(15_100_000, 15_100_050)]),
            headers={"Content-Type": "application/x-ndjson"},
        )  # fmt: skip
        id = accepted(answer)["id"]
        done = ended(breakable.http, id)
        [came] = receiver.wait_for(1)
        breakable.wait_until_mended()
        assert len(receiver.came) == 1
    came.verify(secret(breakable))
    assert {**came.json, "urls": None} == {**done, "urls": None}


def test_an_exhausted_delivery_is_sent_again_on_request(breakable: Breakable) -> None:
    with receiving(lambda came, before: ok(came, before) if before else (410, {}, b"gone")) as receiver:
        id = submit(breakable, 15_000_004, receiver, "completed")
        until(lambda: deliveries(breakable, subject=id, status="exhausted"), what="it is given up")
        [delivery] = deliveries(breakable, subject=id)
        detail = breakable.get(f"{PATH}/{delivery['id']}")
        assert [(one["status"], one["response"]) for one in detail["attempts"]] == [(410, "gone")]
        assert breakable.http.post(f"{PATH}/{delivery['id']}/redeliver").status_code == 202
        first, second = receiver.wait_for(2)
        assert first.id == second.id == delivery["id"]
        until(lambda: deliveries(breakable, subject=id, status="delivered"), what="it is delivered")


@pytest.mark.timeout(180)
def test_every_end_is_delivered_whatever_process_is_killed(breakable: Breakable) -> None:
    key = secret(breakable)
    ids: list[str] = []
    with receiving() as receiver:
        numbers = iter(range(15_200_000, 15_300_000))
        stop = threading.Event()

        def submit_forever() -> None:
            while not stop.wait(0.02):  # without a pause it took half of a machine, for the same kinds of ends
                ids.append(submit(breakable, next(numbers), receiver, "completed"))

        client = threading.Thread(target=submit_forever, daemon=True)
        client.start()
        for role in ("webhooks", "record", "predict", "webhooks"):
            seen = len(receiver.came)
            until(lambda seen=seen: len(receiver.came) > seen + 20, what="webhooks come")  # type: ignore[misc]
            breakable.kill(*breakable.pids(role))
        stop.set()
        client.join(timeout=LIMIT)
        breakable.wait_until_mended()
        until(lambda: set(ids) <= {one.json["id"] for one in receiver.came}, what="all are told")
        pending = lambda: {one["subject"] for one in deliveries(breakable, status="pending")}  # noqa: E731
        until(lambda: not pending() & set(ids), what="all are logged")
        came = list(receiver.came)
    for one in came:
        one.verify(key)
    assert len(ids) > 80
    under = Counter({(one.json["id"], one.id) for one in came})
    assert {subject for subject, _ in under} == set(ids)
    assert len(under) == len(ids), "one event has one webhook-id, however often it came"
