"""Parameters that can't be used: each is answered with a problem of the contract, and nothing is enqueued."""

import json
from typing import Any

import pytest

from shared.domain.identifiers import new_uuid7
from tests.support.api_client import Door, Json, expect_problem
from tests.support.pictures import data_url

UNKNOWN_ID = "018f0000-0000-7000-8000-000000000000"
CANCEL_AFTER = ("abc", "0", "0s", "-5", "1.5h", "5 m", "30s1h", "8d", "169h", "99999999999", "٣")
METADATA = (
    "[1, 2]",
    '"text"',
    "{not json",
    json.dumps({"long": "x" * 4096}),
    r'{"nul": "a\u0000b"}',
    r'{"\u0000": 1}',
    r'{"surrogate": "\ud800"}',
    '{"number": NaN}',
    '{"deep": ' + "[" * 1500 + "]" * 1500 + "}",
)


pytestmark = pytest.mark.usefixtures("nothing_kept")


@pytest.mark.parametrize("model", ["nosuch", "darkroom/nosuch", "digits@nosuch", "digits:99", "digits:99:1:98"])
def test_an_unknown_model_is_not_found_and_known_ones_are_named(door: Door, image: bytes, model: str) -> None:
    for answer in (
        door.submit(image, model=model),
        door.post(json={"model": model, "input": {"image": data_url(image)}}),
    ):
        problem = expect_problem(answer, 404, "unknown-model")
        assert any(name.startswith("digits") for name in problem["served"])


def test_an_unknown_model_in_the_path_is_not_found(door: Door, image: bytes) -> None:
    for name in ("nosuch", "digits@nosuch"):
        answer = door.post(f"/v1/models/darkroom/{name}/predictions", json={"input": {"image": data_url(image)}})
        expect_problem(answer, 404, "unknown-model")
    for path in ("nosuch", "darkroom/nosuch", "darkroom/nosuch/versions", "darkroom/digits/versions/99"):
        expect_problem(door.http.get(f"/v1/models/{path}"), 404, "unknown-model")


@pytest.mark.parametrize("model", ["digits@", "digits:", "@champion", "x" * 256, "dig\0its"])
def test_a_malformed_model_is_an_invalid_parameter(door: Door, image: bytes, model: str) -> None:
    answer = door.post(json={"model": model, "input": {"image": data_url(image)}})
    assert expect_problem(answer, 422, "invalid-parameter")["errors"][0]["pointer"] == "/model"


def test_a_version_that_contradicts_the_model_is_an_invalid_parameter(door: Door, image: bytes) -> None:
    answer = door.submit(image, model="digits:1", version="digits:2")
    assert expect_problem(answer, 422, "invalid-parameter")["errors"][0]["pointer"] == "/version"


@pytest.mark.parametrize(
    "id", [UNKNOWN_ID, UNKNOWN_ID.upper(), "x", "0" * 5000, "%C2%A0", "%F0%9F%93%B7", "{id}", "1;--"]
)
def test_an_unknown_or_malformed_id_is_not_found(door: Door, id: str) -> None:
    expect_problem(door.http.get(f"/v1/predictions/{id}"), 404, "unknown-prediction")
    expect_problem(door.http.get(f"/v1/predictions/{id}", headers={"Prefer": "wait=5"}), 404, "unknown-prediction")
    expect_problem(door.http.post(f"/v1/predictions/{id}/cancel"), 404, "unknown-prediction")
    expect_problem(door.http.get(f"/v1/predictions/{id}/stream"), 404, "unknown-prediction")
    expect_problem(door.http.get(f"/v1/files/{id}"), 404, "unknown-file")
    expect_problem(door.http.delete(f"/v1/files/{id}"), 404, "unknown-file")
    answer = door.post(json={"input": {"image": f"http://localhost/v1/files/{id}"}})
    expect_problem(answer, 404, "unknown-file")
    expect_problem(door.http.get(f"/v1/webhook-deliveries/{id}"), 404, "unknown-webhook-delivery")
    expect_problem(door.http.post(f"/v1/webhook-deliveries/{id}/redeliver"), 404, "unknown-webhook-delivery")


def test_another_owners_prediction_is_not_found_and_stays_unchanged(door: Door) -> None:
    id = new_uuid7()
    theirs: dict[Any, Any] = {"state": "starting", "owner": "somebody", "batch": "", "request": "{}", "created": "1"}
    door.redis.hset(f"job:{id}", mapping=theirs)
    try:
        expect_problem(door.http.get(f"/v1/predictions/{id}"), 404, "unknown-prediction")
        expect_problem(door.http.get(f"/v1/predictions/{id}/stream"), 404, "unknown-prediction")
        expect_problem(door.http.post(f"/v1/predictions/{id}/cancel"), 404, "unknown-prediction")
        assert door.redis.hget(f"job:{id}", "state") == b"starting"
    finally:
        door.redis.delete(f"job:{id}")


def test_another_owners_file_is_not_found_and_stays_unchanged(door: Door, image: bytes) -> None:
    id = door.post("/v1/files", files={"content": image}).json()["id"]
    door.redis.hset(f"file:{id}", "owner", "somebody")
    expect_problem(door.http.get(f"/v1/files/{id}"), 404, "unknown-file")
    expect_problem(door.http.delete(f"/v1/files/{id}"), 404, "unknown-file")
    expect_problem(door.post(json={"input": {"image": f"{door.url}/v1/files/{id}"}}), 404, "unknown-file")
    assert door.redis.hget(f"file:{id}", "owner") == b"somebody"


def test_a_query_that_contradicts_the_body_is_a_bad_request(door: Door, image: bytes) -> None:
    hook = "https://example.org/hook"
    said: Json = {"model": "digits", "priority": "interactive", "metadata": '{"a": 1}', "webhook": hook}
    others = (("model", "other"), ("priority", "bulk"), ("metadata", '{"a": 2}'), ("webhook", f"{hook}/2"))
    for name, other in others:
        form = door.post(files={"image": image}, data=said, params={name: other})
        body = door.post(json=said | {"input": {"image": data_url(image)}}, params={name: other})
        query = door.post(content=image, params=[*said.items(), (name, other)], headers={"Content-Type": "image/png"})
        for answer in (form, body, query):
            assert name in expect_problem(answer, 400, "bad-request")["detail"]


@pytest.mark.parametrize("text", CANCEL_AFTER)
def test_a_cancel_after_that_is_no_duration_is_invalid(door: Door, image: bytes, text: str) -> None:
    headers = {b"Content-Type": b"image/png", b"Cancel-After": text.encode()}
    answer = door.post(content=image, headers=headers)
    assert expect_problem(answer, 422, "invalid-parameter")["errors"][0]["pointer"] == "Cancel-After"


@pytest.mark.parametrize("metadata", METADATA, ids=lambda text: str(text)[:20])
def test_metadata_that_cannot_be_stored_is_invalid(door: Door, image: bytes, metadata: str) -> None:
    body = b'{"metadata": %s, "input": {"image": "%s"}}' % (metadata.encode(), data_url(image).encode())
    whole = door.post(content=body, headers={"Content-Type": "application/json"})
    for answer in (
        door.submit(image, metadata=metadata),
        door.post(files={"image": image}, data={"metadata": metadata}),
    ):
        assert expect_problem(answer, 422, "invalid-parameter")["errors"][0]["pointer"] == "/metadata"
    assert whole.status_code in (400, 422)  # what is no JSON makes the whole body none
    expect_problem(whole, whole.status_code, "bad-request" if whole.status_code == 400 else "invalid-parameter")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("priority", "urgent"), ("priority", "Bulk"), ("version", "x" * 256), ("webhook", "example.org/hook"),
        ("webhook", "ftp://example.org/hook"), ("webhook", "https://me:secret@example.org/hook"),
        ("webhook", "https://"), ("webhook", "https://example.org/a b"), ("webhook", "https://example.org/nul\0"),
        ("webhook", f"https://example.org/{'x' * 2048}"),
    ],
)  # fmt: skip
def test_a_parameter_with_an_unsupported_value_is_invalid(door: Door, image: bytes, name: str, value: str) -> None:
    for answer in (
        door.post(content=image, params={name: value}, headers={"Content-Type": "image/png"}),
        door.post(files={"image": image}, data={name: value}),
        door.post(json={name: value, "input": {"image": data_url(image)}}),
    ):
        assert expect_problem(answer, 422, "invalid-parameter")["errors"][0]["pointer"] == f"/{name}"


@pytest.mark.parametrize("events", ["end", "start,completed", "nul\0", ["completed", "end"]])
def test_an_unknown_webhook_event_is_invalid(door: Door, image: bytes, events: str | list[str]) -> None:
    said: Json = {"webhook": "https://example.org/hook", "webhook_events_filter": events}
    for answer in (
        door.post(content=image, params=said, headers={"Content-Type": "image/png"}),
        door.post(files={"image": image}, data=said),
        door.post(json=said | {"input": {"image": data_url(image)}}),
        door.post("/v1/batches", files={"images": image}, data=said),
    ):
        problem = expect_problem(answer, 422, "invalid-parameter")
        assert problem["errors"][0]["pointer"] == "/webhook_events_filter"
        assert "start, completed" in problem["detail"]


@pytest.mark.parametrize("key", ["k" * 256, "", '""'])
def test_an_empty_or_overlong_idempotency_key_is_invalid(door: Door, image: bytes, key: str) -> None:
    answer = door.submit(image, headers={"Idempotency-Key": key})
    assert expect_problem(answer, 422, "invalid-parameter")["errors"][0]["pointer"] == "Idempotency-Key"


def test_an_unknown_path_is_not_found(door: Door) -> None:
    for path in ("/v2/predictions", "/v1/prediction", "/v1/models/a/b/c", "/problems/nosuch", "/v1/%2e%2e/etc/passwd"):
        expect_problem(door.http.get(path), 404, "not-found")


def test_an_unsupported_method_is_answered_with_the_allowed_ones(door: Door) -> None:
    for method, path, allowed in (
        ("DELETE", "/v1/predictions", {"GET", "HEAD", "POST"}),
        ("PUT", f"/v1/predictions/{UNKNOWN_ID}", {"GET", "HEAD"}),
        ("GET", f"/v1/predictions/{UNKNOWN_ID}/cancel", {"POST"}),
        ("PATCH", f"/v1/files/{UNKNOWN_ID}", {"GET", "HEAD", "DELETE"}),
        ("POST", "/health/live", {"GET", "HEAD"}),
    ):
        answer = door.http.request(method, path)
        expect_problem(answer, 405, "method-not-allowed")
        assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("predictions?limit=0", "/limit"),
        ("predictions?limit=1001", "/limit"),
        ("predictions?limit=ten", "/limit"),
        ("predictions?status=done", "/status"),
        ("predictions?cursor=x", "/cursor"),
        ("predictions?cursor=%00", "/cursor"),
        ("files?limit=0", "/limit"),
        ("files?limit=101", "/limit"),
        ("files?cursor=x", "/cursor"),
        ("webhook-deliveries?limit=0", "/limit"),
        ("webhook-deliveries?limit=1001", "/limit"),
        ("webhook-deliveries?status=done", "/status"),
        ("webhook-deliveries?cursor=x", "/cursor"),
        ("webhook-deliveries?cursor=%00", "/cursor"),
        ("predictions?stauts=failed", "/stauts"),
        ("predictions?created_after=yesterday", "/created_after"),
        ("predictions?created_before=2026-01-01", "/created_before"),
        ("predictions?max_confidence=1.5", "/max_confidence"),
        ("predictions?max_confidence=nan", "/max_confidence"),
        ("predictions?format=xml", "/format"),
        ("predictions?format=csv&limit=0", "/limit"),
        ("batches?status=failed", "/status"),
        ("files?page=2", "/page"),
        ("webhook-deliveries?subjekt=x", "/subjekt"),
    ],
)
def test_a_list_names_the_invalid_query_parameter(door: Door, query: str, pointer: str) -> None:
    problem = expect_problem(door.http.get(f"/v1/{query}"), 422, "invalid-parameter")
    assert [wrong["pointer"] for wrong in problem["errors"]] == [pointer]


def test_an_unknown_query_parameter_is_named_with_those_that_there_are(door: Door) -> None:
    problem = expect_problem(door.http.get("/v1/predictions?Stauts=failed&when"), 422, "invalid-parameter")
    assert [wrong["pointer"] for wrong in problem["errors"]] == ["/Stauts", "/when"]
    assert "did you mean status?" in problem["errors"][0]["detail"]
    assert "there is model, version" in problem["errors"][1]["detail"]
    long = door.http.get("/v1/predictions", params=[(f"{number}{'x' * 500}", "") for number in range(20)])
    assert len(expect_problem(long, 422, "invalid-parameter")["errors"]) == 5


@pytest.mark.parametrize(
    "query",
    [
        *(
            f"predictions?{query}"
            for query in (
                "batch_id=x",
                "batch_id=%00",
                "model=%00",
                "model=nosuch",
                "version=%00",
                "version=99",
                "variant=nosuch",
                "max_confidence=0",
                "created_before=0001-01-01T00:00:00Z",
                "created_after=9999-12-31T23:59:59Z",
            )
        ),
        *(f"webhook-deliveries?subject={subject}" for subject in ("x", "%00", UNKNOWN_ID, UNKNOWN_ID.upper(), "")),
    ],
)
def test_a_filter_that_nothing_can_match_lists_nothing(door: Door, query: str) -> None:
    answer = door.http.get(f"/v1/{query}")
    assert (answer.status_code, answer.json()) == (200, {"results": [], "next": None, "previous": None})


def test_a_stream_token_of_another_prediction_is_unauthorized(door: Door) -> None:
    for token in ("", "x", "9999999999.x", "٣.x"):
        answer = door.http.get(f"/v1/predictions/{UNKNOWN_ID}/stream", params={"token": token})
        expect_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_the_url_of_every_problem_type_seen_resolves(door: Door) -> None:
    for slug in ("bad-request", "unknown-model", "image-too-large", "invalid-parameter", "queue-full", "not-found"):
        answer = door.http.get(f"/problems/{slug}")
        assert answer.status_code == 200
        assert answer.json()["meaning"]
