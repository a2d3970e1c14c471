"""An image is submitted in any of three bodies, is predicted once, and the answer has its prediction."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from shared.domain.identifiers import is_uuid
from tests.support.api_client import Door, Json, expect_problem
from tests.support.pictures import data_url, renewed
from tests.support.waiting import until

MEMBERS = {
    "id", "model", "version", "variant", "status", "input", "output", "error", "error_code", "logs", "source",
    "attempts", "batch_id", "metadata", "data_removed", "metrics", "created_at", "started_at", "completed_at", "urls",
    "retry_of",
}  # fmt: skip


@pytest.fixture(scope="module")
def version(door: Door) -> str:
    """The number that `digits@champion` means."""
    return str(door.get("/v1/models/digits")["aliases"]["champion"])


@contextmanager
def redis_nearly_full(door: Door) -> Iterator[None]:
    """Redis over the share of its memory at which admission ends, before any sweep makes room."""
    limit = door.redis.config_get("maxmemory")["maxmemory"] or 0
    # A near empty Redis uses more and less of its 2 MB from one moment to the next.
    door.redis.setrange("ballast", 16 * 1024 * 1024, b"x")
    try:
        with door.sweeps_stopped():
            door.redis.config_set("maxmemory", int(door.redis.info("memory")["used_memory"] / 0.9))
            until(partial(gateway_knows, door), what="the gateway has seen it")
            yield
    finally:
        door.redis.config_set("maxmemory", limit)
        door.redis.delete("ballast")
        until(partial(gateway_knows, door), what="the gateway has seen it")


def gateway_knows(door: Door) -> bool:
    """Tell whether the gateway has seen how much memory Redis may have now."""
    used = door.http.get("/health/ready").json()["used"]
    return (used["memory_limit_bytes"] or 0) == int(door.redis.config_get("maxmemory")["maxmemory"])


def test_a_prediction_has_every_member_of_the_contract(door: Door, image: bytes) -> None:
    found = door.predicted(image)
    assert set(found) == MEMBERS
    assert is_uuid(found["id"])
    assert (found["model"], found["variant"], found["status"]) == ("digits", "champion", "succeeded")
    assert (found["error"], found["error_code"], found["batch_id"]) == (None, None, None)
    assert (found["logs"], found["metadata"], found["data_removed"]) == ("", {}, False)
    assert found["created_at"] <= found["started_at"] <= found["completed_at"]
    assert set(found["metrics"]) == {"queue_time", "predict_time", "total_time", "batch_size"}
    assert 0 < found["metrics"]["queue_time"] <= found["metrics"]["total_time"] < 20
    url = f"{door.url}/v1/predictions/{found['id']}"
    assert found["urls"] | {"stream": ""} == {
        "get": url,
        "cancel": f"{url}/cancel",
        "retry": f"{url}/retry",
        "stream": "",
        "web": f"{door.url}/#/predictions/{found['id']}",
    }
    assert found["urls"]["stream"].startswith(f"{url}/stream?token=")


def test_an_output_has_all_classes_the_most_likely_first(door: Door, image: bytes) -> None:
    output = door.predicted(image)["output"]
    probabilities = list(output["probabilities"].values())
    assert sorted(output["probabilities"]) == [str(digit) for digit in range(10)]
    assert probabilities == sorted(probabilities, reverse=True)
    assert next(iter(output["probabilities"])) == output["predicted_class"]
    assert output["predicted_index"] == int(output["predicted_class"])
    assert output["confidence"] == probabilities[0]
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)


def test_three_bodies_make_the_same_prediction(door: Door, image: bytes) -> None:
    said: dict[str, Any] = {"model": "digits", "metadata": '{"who": "ä", "n": [1, 2.5, null]}'}
    member = {"metadata": {"who": "ä", "n": [1, 2.5, None]}, "input": {"image": data_url(image)}}
    wait = {"Prefer": "wait"}
    answers = [
        door.post(files={"image": ("some/7.png", image, "image/png")}, data=said, headers=wait),
        door.submit(image, headers=wait, **said),
        door.post(json=said | member, headers=wait),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3
    made = [answer.json() for answer in answers]
    assert [found["input"]["image"].pop("filename") for found in made] == ["7.png", None, None]
    for same in ("model", "version", "variant", "status", "input", "output", "metadata", "error"):
        assert made[0][same] == made[1][same] == made[2][same], same
    assert len({found["id"] for found in made}) == 3
    facts = made[0]["input"]["image"]
    assert (facts["format"], facts["width"], facts["height"], facts["bytes"]) == ("PNG", 32, 32, len(image))


def test_the_content_decides_what_a_file_is_not_its_declared_type(door: Door, image: bytes) -> None:
    for media_type in ("image/jpeg", "application/octet-stream", "image/x-unheard-of; q=1"):
        assert door.predicted(image, media_type=media_type)["input"]["image"]["format"] == "PNG"


def test_fields_may_follow_the_file_and_repeat_in_the_query(door: Door, image: bytes) -> None:
    files: list[Any] = [("image", ("7.png", image)), ("model", (None, "digits")), ("metadata", (None, '{"a": 1}'))]
    answer = door.post(files=files, params={"metadata": '{ "a" : 1 }', "model": "digits"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["metadata"] == {"a": 1}


def test_unknown_parameters_are_ignored_and_never_echoed(door: Door, image: bytes) -> None:
    body = {
        "input": {"image": data_url(image), "secret": "hunter2"}, "stream": True, "webhook_completed": "hunter2",
        "webhook_events_filter": ["hunter2"], "hunter2": {},
    }  # fmt: skip
    made = door.post(json=body)
    assert made.status_code == 202
    found = door.ended(made.json()["id"])
    assert found["status"] == "succeeded"
    assert "hunter2" not in made.text + str(found) + door.http.get("/v1/predictions").text
    assert "hunter2" not in str(door.redis.hgetall(f"job:{found['id']}"))


def test_a_new_prediction_is_accepted_and_location_is_its_url(door: Door, image: bytes) -> None:
    answer = door.submit(image)
    made = answer.json()
    assert (answer.status_code, made["status"]) == (202, "starting")
    assert answer.headers["location"] == made["urls"]["get"]
    assert isinstance(made["version"], str)
    assert (made["output"], made["started_at"], made["completed_at"], made["metrics"]) == (None, None, None, {})
    assert door.get(answer.headers["location"], headers={"Prefer": "wait"})["status"] == "succeeded"


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("wait", "wait=60"), ("wait=7", "wait=7"), ("wait=90", "wait=60"), ("wait=0", "wait=1"), ("Wait = 5", "wait=5"),
        ("respond-async, wait=5", "wait=5"), ("wait=5, respond-async", "wait=5"), ("wait=5, wait=9", "wait=5"),
        ("wait=x, wait=4", "wait=4"), ("respond-async", None), ("wait=-1", None), ("wait=x", None), ("waiting", None),
    ],
)  # fmt: skip
def test_a_preference_to_wait_is_clamped_and_echoed(door: Door, image: bytes, prefer: str, applied: str | None) -> None:
    answer = door.submit(image, headers={"Prefer": prefer})
    assert answer.headers.get("preference-applied") == applied
    assert answer.status_code == (202 if applied is None else 200)
    read = door.http.get(f"/v1/predictions/{answer.json()['id']}", headers={"Prefer": prefer})
    assert read.headers.get("preference-applied") == applied


def test_preferences_on_several_lines_count_as_one(door: Door, image: bytes) -> None:
    lines = [("Content-Type", "image/png"), ("Prefer", "respond-async"), ("Prefer", "wait=9"), ("Prefer", "wait=3")]
    answer = door.post(content=image, headers=lines)
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=9")


def test_a_repeated_image_is_answered_from_the_cache_at_once(door: Door, image: bytes) -> None:
    first = door.predicted(image)
    answer = door.submit(image)
    second = answer.json()
    assert (answer.status_code, second["status"], second["source"]) == (200, "succeeded", "cache")
    assert second["id"] != first["id"]
    assert second["output"] == first["output"]
    assert (first["source"], first["attempts"], second["attempts"]) == ("model", 1, 0)
    assert answer.headers["location"] == second["urls"]["get"]
    assert door.prediction(second["id"]) == second


def test_every_form_of_a_model_reference_selects_its_version(door: Door, image: bytes, version: str) -> None:
    number, alias = version, "champion"
    forms: list[tuple[Json, str]] = [
        ({}, alias), ({"model": "digits"}, alias), ({"model": "darkroom/digits"}, alias),
        ({"model": "anybody/digits"}, alias), ({"model": "digits@champion"}, alias),
        ({"model": "darkroom/digits@champion"}, alias), ({"model": f"digits:{number}"}, number),
        ({"model": f"darkroom/digits:{number}"}, number), ({"model": f"darkroom/digits:digits:{number}"}, number),
        ({"version": number}, number), ({"version": f"digits:{number}"}, number), ({"version": "digits"}, alias),
        ({"version": f"darkroom/digits:digits:{number}"}, number), ({"model": "digits", "version": number}, number),
        ({"model": f"digits:{number}", "version": f"digits:{number}"}, number),
    ]  # fmt: skip
    door.predicted(image)
    for said, variant in forms:
        answers = [door.submit(image, **said), door.post(json=said | {"input": {"image": data_url(image)}})]
        for answer in answers:
            assert answer.status_code == 200, (said, answer.text)
            found = answer.json()
            assert (found["model"], found["version"], found["variant"]) == ("digits", number, variant), said


def test_a_model_in_the_path_may_carry_an_alias(door: Door, image: bytes, version: str) -> None:
    for name, variant in (("digits", "champion"), ("digits@champion", "champion"), (f"digits:{version}", version)):
        answer = door.post(f"/v1/models/anybody/{name}/predictions", json={"input": {"image": data_url(image)}})
        assert answer.json()["variant"] == variant, answer.text
        door.ended(answer.json()["id"])


def test_an_image_with_bulk_priority_is_predicted(door: Door, image: bytes) -> None:
    assert door.predicted(image, priority="bulk")["source"] == "model"


def test_an_idempotency_key_makes_one_prediction_of_many_requests(door: Door, image: bytes) -> None:
    key = f"order-{image[41:70].hex()}"
    first = door.submit(image, headers={"Idempotency-Key": key}).json()
    ended = door.ended(first["id"])
    for again in (key, f'"{key}"', f" {key}"):
        answer = door.post(content=image, headers=[("Content-Type", "image/png"), ("Idempotency-Key", again.strip())])
        assert (answer.status_code, answer.json()) == (200, ended)
    answer = door.post(files={"image": ("other name.png", image)}, headers={"Idempotency-Key": key})
    assert answer.json()["id"] == first["id"]


def test_an_idempotency_key_belongs_to_one_request(door: Door, image: bytes, version: str) -> None:
    headers = {"Idempotency-Key": f"mine-{image[41:70].hex()}"}
    id = door.accepted(image, headers=headers)
    before = door.kept()
    for other in (
        door.submit(renewed(image), headers=headers),
        door.submit(image, headers=headers, metadata='{"a": 1}'),
        door.submit(image, headers=headers, priority="bulk"),
        door.submit(image, headers=headers, model=f"digits:{version}"),
        door.submit(image, headers=headers, webhook="https://example.com/hook"),
    ):
        problem = expect_problem(other, 422, "idempotency-mismatch")
        assert problem["first_id"] == id
    assert door.kept().jobs == before.jobs


def test_a_refused_request_leaves_its_idempotency_key_unused(door: Door, image: bytes) -> None:
    headers = {"Idempotency-Key": f"bad-{image[41:70].hex()}"}
    expect_problem(door.submit(b"no image", headers=headers), 415, "unsupported-image")
    expect_problem(door.submit(image, headers=headers, model="nosuch"), 404, "unknown-model")
    assert door.submit(image, headers=headers).status_code == 202


def test_a_full_redis_refuses_new_work_and_answers_known_predictions(door: Door, scan: bytes, image: bytes) -> None:
    known = renewed(scan)
    door.predicted(known)
    with redis_nearly_full(door):
        before = door.kept()
        answer = door.submit(image)
        problem = expect_problem(answer, 503, "queue-full")
        assert problem["model"] == "digits"
        assert int(answer.headers["retry-after"]) >= 1
        assert door.kept() == before
        assert door.submit(known).json()["source"] == "cache"
        assert door.http.get("/v1/predictions?limit=1").status_code == 200
