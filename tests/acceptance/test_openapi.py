"""The OpenAPI document is whole, and what it says of every operation is what the running gateway answers.

Over 300 lines: one visit makes a request to every operation, and the tests are about all of them.
"""

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

import api
from shared.domain.identifiers import new_uuid7
from tests.support.api_client import Door, Json
from tests.support.batches import ended, lines
from tests.support.broken_pictures import undecodable_png
from tests.support.json_schema import Validator
from tests.support.pictures import data_url, renewed
from tests.support.waiting import until

PROBLEM = "application/problem+json"
PNG = {"Content-Type": "image/png"}
NDJSON = {"Content-Type": "application/x-ndjson"}
OPENMETRICS = "application/openmetrics-text"
UNKNOWN = new_uuid7()
HOOK = "http://127.0.0.1:9/hook"
Operation = tuple[str, str]


@pytest.fixture(scope="module")
def document(door: Door) -> Json:
    found: Json = door.get("/openapi.json")
    return found


@pytest.fixture(scope="module")
def validator(document: Json) -> Validator:
    return Validator(document)


def operations(document: Json) -> Iterator[tuple[Operation, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield (method.upper(), path), operation


def nodes(node: Any) -> Iterator[Json]:
    """Return every JSON object in the document."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


def routes() -> Iterator[Operation]:
    """Return every operation that some module of the gateway's defines, included in the app or not."""
    for module in pkgutil.walk_packages(api.__path__, "api."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, APIRouter):
                for route in value.routes:
                    assert isinstance(route, APIRoute)
                    yield from ((method, route.path) for method in route.methods or ())


PAGES = {
    ("GET", path)
    for path in ("/", "/console/{digest}/{path:path}", "/docs", "/docs/{name}", "/openapi.json", "/problems/{slug}")
}
"""The document itself, and pages for people."""


def test_the_document_has_exactly_the_routes_of_the_app(document: Json) -> None:
    defined = list(routes())
    assert len(defined) == len(set(defined))
    assert {operation for operation, _ in operations(document)} == set(defined) - PAGES


def test_every_operation_has_a_description_and_every_answer_a_schema(document: Json) -> None:
    names = []
    for operation, said in operations(document):
        assert said["summary"], operation
        assert said["description"], operation
        assert said["tags"], operation
        names.append(said["operationId"])
        for status, response in said["responses"].items():
            assert response["description"], (operation, status)
            for content in response.get("content", {}).values():
                assert content.get("schema") or content["itemSchema"], (operation, status)
            assert status == "204" or response["content"], (operation, status)
    assert len(names) == len(set(names))


def test_every_operation_declares_its_problems_and_no_framework_errors(document: Json) -> None:
    assert "ValidationError" not in str(document)
    for operation, said in operations(document):
        errors = {status: response for status, response in said["responses"].items() if status >= "400"}
        assert "500" in errors, operation
        assert any(status < "400" for status in said["responses"]), operation
        for status, response in errors.items():
            if (operation, status) == (("GET", "/health/ready"), "503"):
                continue  # it says what is down, which is no problem of the request's
            assert list(response["content"]) == [PROBLEM], (operation, status)
            assert response["content"][PROBLEM]["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert response["content"][PROBLEM]["examples"], (operation, status)
        if operation[1].startswith("/v1/"):
            assert "Retry-After" in errors["503"]["headers"], operation
        if "{" in operation[1]:
            assert "404" in errors, operation
        if "requestBody" in said:
            assert {"400", "413", "415", "422"} <= set(errors), operation


def test_every_reference_resolves_and_every_schema_is_used(document: Json, validator: Validator) -> None:
    references = {node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)}
    for reference in references:
        assert validator.resolve(reference)
    assert references == {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def test_every_parameter_of_a_path_is_declared(document: Json) -> None:
    for operation, said in operations(document):
        declared = {p["name"] for p in said.get("parameters", ()) if p["in"] == "path" and p["required"]}
        assert declared == {part[1:-1] for part in operation[1].split("/") if part.startswith("{")}, operation


def test_examples_conform_to_their_schemas(document: Json, validator: Validator) -> None:
    judged = 0
    for node in nodes(document):
        examples = node.get("examples", [])
        if isinstance(examples, list):  # of a schema
            pairs = [(example, node) for example in examples]
        else:  # of a body or an answer
            pairs = [(example["value"], node["schema"]) for example in examples.values()]
        if "example" in node and "itemSchema" in node:
            pairs += [(event, node["itemSchema"]) for event in events_of(node["example"])]
        elif "example" in node and "schema" in node:
            pairs.append((node["example"], node["schema"]))
        for example, schema in pairs:
            assert list(validator.faults(example, schema)) == [], (example, schema)
        judged += len(pairs)
    assert judged > 100


def test_a_submissions_answer_documents_its_headers(document: Json) -> None:
    for path in ("/v1/predictions", "/v1/models/{owner}/{name}/predictions"):
        said = document["paths"][path]["post"]
        assert {"Prefer", "Cancel-After", "Idempotency-Key", "model"} <= {p["name"] for p in said["parameters"]}
        assert {"Location", "Preference-Applied"} <= set(said["responses"]["202"]["headers"])
        kinds = ["multipart/form-data", "image/*", "application/octet-stream", "application/json"]
        assert list(said["requestBody"]["content"]) == kinds


def delivered(door: Door, subject: str) -> str:
    """Return the URL of the delivery of a prediction's end, once that is recorded."""
    listed = lambda: door.get("/v1/webhook-deliveries", params={"subject": subject})["results"]  # noqa: E731
    found = until(listed, what="its end is recorded")
    return str(found[0]["urls"]["get"])


def asked(door: Door, image: bytes) -> dict[Operation, list[httpx.Response]]:
    """Ask every operation for something it has, and for something it refuses."""
    http, post = door.http, door.post
    made, key = door.predicted(image), {**PNG, "Idempotency-Key": f"openapi-{image[41:70].hex()}"}
    one = f"/v1/predictions/{made['id']}"
    post(content=image, headers=key)
    bulk_key = {"Idempotency-Key": f"openapi-bulk-{image[41:70].hex()}"}
    batch = post("/v1/batches", content=lines([("1.png", image), ("x", b"x")]), headers=NDJSON).json()["urls"]["get"]
    ended(http, batch.rpartition("/")[2])
    broken = post("/v1/batches", content=lines([("1.png", undecodable_png())]), headers=NDJSON).json()["urls"]["get"]
    ended(http, broken.rpartition("/")[2])
    failed = f"/v1/predictions/{post(content=undecodable_png(), headers=PNG | {'Prefer': 'wait=20'}).json()['id']}"
    file = post("/v1/files", files={"content": image}).json()["urls"]["get"]
    form, elsewhere = {"files": {"content": image}}, "/v1/models/o/digits/predictions"
    versions = "/v1/models/o/digits/versions"
    delivery = delivered(door, post(content=image, params={"webhook": HOOK}, headers=PNG).json()["id"])
    secret, unknown_delivery = "/v1/webhooks/default/secret", f"/v1/webhook-deliveries/{UNKNOWN}"
    refused: list[Json] = [
        {"content": b"", "headers": PNG},
        {"content": b"text", "headers": PNG},
        {"content": image[:-20], "headers": PNG},
        {"content": bytes(21 * 1024 * 1024), "headers": PNG},
        {"content": image, "headers": PNG, "params": {"priority": "urgent"}},
        {"content": image, "headers": PNG, "params": {"webhook": "example.com"}},
        {"content": image, "headers": PNG, "params": {"version": "nosuch:1"}},
        {"json": {"input": {"image": f"http://h/v1/files/{UNKNOWN}"}}},
        {"content": renewed(image), "headers": key},
    ]
    body: Json = {"json": {"input": {"image": data_url(image)}}, "headers": {"Prefer": "wait"}}
    return {
        ("POST", "/v1/predictions"): [
            post(content=renewed(image), headers=PNG), post(**body), *(post(**bad) for bad in refused)
        ],
        ("POST", "/v1/models/{owner}/{name}/predictions"): [
            post(elsewhere, content=renewed(image), headers=PNG), post(elsewhere, **body),
            post("/v1/models/o/nosuch/predictions", **body), *(post(elsewhere, **bad) for bad in refused),
        ],
        ("GET", "/v1/predictions"): [
            http.get("/v1/predictions"), http.get("/v1/predictions?limit=0"),
            *(http.get(f"/v1/predictions?limit=5&format={format}") for format in ("csv", "ndjson")),
        ],
        ("GET", "/v1/predictions/{id}"): [http.get(one), http.get(f"/v1/predictions/{UNKNOWN}")],
        ("GET", "/v1/predictions/{id}/stream"): [
            http.get(f"{one}/stream"), http.get(f"{one}/stream", headers={"Last-Event-ID": "4"}),
            http.get(f"{one}/stream?token=x"), http.get("/v1/predictions/x/stream"),
        ],
        MASK: [http.get(f"{one}/mask"), http.get("/v1/predictions/x/mask")],
        ("POST", "/v1/predictions/{id}/cancel"): [http.post(f"{one}/cancel"), http.post("/v1/predictions/x/cancel")],
        ("POST", "/v1/predictions/{id}/retry"): [
            http.post(f"{failed}/retry"), http.post(f"{one}/retry"), http.post("/v1/predictions/x/retry"),
        ],
        ("POST", "/v1/predictions/{id}/feedback"): [
            http.post(f"{one}/feedback", json={"label": "7", "by": "anna"}),
            http.post(f"{one}/feedback", json={"label": "7", "by": "anna"}),
            http.post(f"{one}/feedback", json={"boxes": []}), http.post(f"{one}/feedback", content=b""),
            http.post(f"/v1/predictions/{UNKNOWN}/feedback", json={"label": "7"}),
        ],
        ("GET", "/v1/predictions/{id}/feedback"): [
            http.get(f"{one}/feedback"), http.get("/v1/predictions/x/feedback"),
        ],
        ("POST", "/v1/feedback"): [
            http.post("/v1/feedback", content=f"id,label\n{made['id']},7\nx,7\n", headers={"Content-Type": "text/csv"}),
            http.post("/v1/feedback", content=b"x", headers={"Content-Type": "text/csv"}),
        ],
        ("POST", "/v1/batches/{id}/feedback"): [
            http.post(f"{batch}/feedback", content="custom_id,label\n1.png,7\n", headers={"Content-Type": "text/csv"}),
            http.post("/v1/batches/x/feedback", content=b"id,label\n", headers={"Content-Type": "text/csv"}),
        ],
        ("GET", "/v1/models/{name}/report"): [
            http.get("/v1/models/digits/report"), http.get("/v1/models/nosuch/report"),
        ],
        ("POST", "/v1/batches"): [
            *(post("/v1/batches", content=lines([("7.png", image)] * n), headers=NDJSON | bulk_key) for n in (1, 2)),
            *(post("/v1/batches", content=content, headers=NDJSON) for content in (b"", b"\n")),
            post("/v1/batches", content=lines([("7.png", image), ("x", b"x")]), headers=NDJSON | {"Prefer": "wait"}),
            post("/v1/batches", content=image, headers=PNG),
            post("/v1/batches?model=nosuch", content=b"{}", headers=NDJSON),
            post("/v1/batches", files={"archive": b"PK"}),
        ],
        ("GET", "/v1/batches"): [http.get("/v1/batches"), http.get("/v1/batches?limit=0")],
        ("GET", "/v1/batches/{id}"): [http.get(batch), http.get("/v1/batches/x")],
        ("GET", "/v1/batches/{id}/results"): [
            http.get(f"{batch}/results"), http.get(f"{batch}/results?format=csv"),
            http.get(f"{batch}/results?format=xml"), http.get("/v1/batches/x/results"),
        ],
        ("GET", "/v1/batches/{id}/stream"): [
            http.get(f"{batch}/stream"), http.get(f"{batch}/stream?token=x"), http.get("/v1/batches/x/stream"),
        ],
        ("POST", "/v1/batches/{id}/cancel"): [http.post(f"{batch}/cancel"), http.post("/v1/batches/x/cancel")],
        ("POST", "/v1/batches/{id}/retry"): [
            http.post(f"{broken}/retry"), http.post(f"{batch}/retry"), http.post("/v1/batches/x/retry"),
        ],
        ("POST", "/v1/files"): [
            post("/v1/files", **form), post("/v1/files", content=b""), post("/v1/files", json={}),
            post("/v1/files", files={"image": image}), post("/v1/files", **form, data={"metadata": "[]"}),
        ],
        ("GET", "/v1/files"): [http.get("/v1/files"), http.get("/v1/files?cursor=x")],
        ("GET", "/v1/files/{id}"): [http.get(file), http.get("/v1/files/x")],
        ("DELETE", "/v1/files/{id}"): [http.delete(file), http.delete("/v1/files/x")],
        ("GET", "/v1/models"): [http.get("/v1/models")],
        ("GET", "/v1/models/{name}"): [http.get("/v1/models/digits"), http.get("/v1/models/nosuch")],
        ("GET", "/v1/models/{owner}/{name}"): [http.get("/v1/models/o/digits"), http.get("/v1/models/o/nosuch")],
        ("GET", "/v1/models/{owner}/{name}/versions"): [http.get(versions), http.get("/v1/models/o/nosuch/versions")],
        ("GET", "/v1/models/{owner}/{name}/versions/{id}"): [
            http.get(f"{versions}/champion"), http.get(f"{versions}/99")
        ],
        ("GET", "/v1/webhooks/default/secret"): [http.get(secret)],
        ("POST", "/v1/webhooks/default/secret/rotate"): [http.post(f"{secret}/rotate")],
        ("GET", "/v1/webhook-deliveries"): [
            http.get("/v1/webhook-deliveries"), http.get("/v1/webhook-deliveries?status=done")
        ],
        ("GET", "/v1/webhook-deliveries/{id}"): [http.get(delivery), http.get(unknown_delivery)],
        ("POST", "/v1/webhook-deliveries/{id}/redeliver"): [
            http.post(f"{delivery}/redeliver"), http.post(f"{unknown_delivery}/redeliver")
        ],
        **changes(http),
        ("GET", "/v1/account"): [http.get("/v1/account")],
        ("GET", "/v1/api-keys"): [http.get("/v1/api-keys")],
        ("POST", "/v1/api-keys"): [http.post("/v1/api-keys", json={"role": "read"})],
        ("POST", "/v1/api-keys/{id}/revoke"): [http.post(f"/v1/api-keys/{UNKNOWN}/revoke")],
        ("GET", "/v1/status"): [http.get("/v1/status")],
        ("GET", "/v1/status/history"): [http.get("/v1/status/history"), http.get("/v1/status/history?minutes=0")],
        ("GET", "/health/live"): [http.get("/health/live")],
        ("GET", "/health/ready"): [http.get("/health/ready")],
        ("GET", "/metrics"): [http.get("/metrics", headers={"Accept": kind}) for kind in ("*/*", OPENMETRICS)],
    }  # fmt: skip


def changes(http: httpx.Client) -> dict[Operation, list[httpx.Response]]:
    """Ask for changes of what serves that change nothing."""
    found: dict[Operation, list[httpx.Response]] = {}
    for change, body in (
        ("promote", {"version": "1"}), ("rollback", {"from": "99"}), ("challenger", {"version": "99", "percent": 1}),
        ("shadow", {"version": "99", "percent": 1}), ("canary", {"version": "99"}),
    ):  # fmt: skip
        found["POST", f"/v1/models/{{name}}/{change}"] = [
            http.post(f"/v1/models/digits/{change}", json=body), http.post(f"/v1/models/nosuch/{change}", json=body),
            http.post(f"/v1/models/digits/{change}", json={"x": 1}),
        ]  # fmt: skip
        if change not in ("promote", "rollback"):
            found["DELETE", f"/v1/models/{{name}}/{change}"] = [http.delete(f"/v1/models/digits/{change}")]
    return found


def lines_of(text: str) -> Iterator[Any]:
    """Return what is in each line of NDJSON."""
    yield from map(json.loads, text.splitlines())


def events_of(text: str) -> Iterator[Json]:
    """Return the fields of each event; what begins with a colon is a comment."""
    for block in text.strip().split("\n\n"):
        fields = [line.split(": ", 1) for line in block.split("\n") if not line.startswith(":")]
        yield dict(fields)


MASK: Operation = ("GET", "/v1/predictions/{id}/mask")
"""The digits have none: a PNG is read in tests/component/api/predictions."""
ELSEWHERE: set[Operation] = {
    MASK,
    *(("POST", f"/v1/models/{{name}}/{change}") for change in ("rollback", "challenger", "shadow", "canary")),
    ("POST", "/v1/api-keys"),
    ("POST", "/v1/api-keys/{id}/revoke"),
}
"""What can't succeed here, without a second version or a key; held to its schema in tests/component/api."""
READERS: dict[str, Callable[[str], Iterator[Any]]] = {
    NDJSON["Content-Type"]: lines_of,
    "text/event-stream": events_of,
}


def test_real_answers_conform_to_the_document(door: Door, document: Json, validator: Validator, image: bytes) -> None:
    declared = dict(operations(document))
    answers = asked(door, image)
    assert set(answers) == set(declared)
    for operation, each in answers.items():
        responses: Json = declared[operation]["responses"]
        assert each[0].is_success or operation in ELSEWHERE, (operation, each[0].text)
        for answer in each:
            where = (operation, answer.status_code, answer.text[:300])
            response = responses.get(str(answer.status_code))
            assert response, where
            if answer.status_code == 204:
                assert not answer.content
                continue
            kind = answer.headers["content-type"].partition(";")[0]
            content = response["content"][kind]
            if "itemSchema" in content:
                found = list(READERS[kind](answer.text))
                assert found, where
                for item in found:
                    assert list(validator.faults(item, content["itemSchema"])) == [], where
                continue
            value: Any = answer.json() if kind.endswith("json") else answer.text
            assert list(validator.faults(value, content["schema"])) == [], where
            if kind == PROBLEM:
                assert value["type"].removeprefix("/problems/") in content["examples"], where
            for name in ("location", "preference-applied", "retry-after", "www-authenticate"):
                assert name not in answer.headers or name in map(str.lower, response.get("headers", {})), (name, where)
