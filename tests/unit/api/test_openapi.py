"""The document is complete, and what it says of bodies and answers is true."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from fastapi import APIRouter, FastAPI, Request

from api import openapi, problems
from api.schemas import Prediction


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    router = APIRouter()

    @router.post(
        "/v1/predictions",
        status_code=202,
        responses=openapi.responses(
            {200: Prediction, 202: Prediction},
            problems.BAD_REQUEST,
            problems.UNDECODABLE_IMAGE,
            problems.INVALID_PARAMETER,
            problems.QUEUE_FULL,
        ),
        openapi_extra=openapi.submission(),
    )
    async def submit(request: Request) -> None: ...

    @router.get("/v1/things/{id}")
    async def undeclared(id: int) -> None: ...

    app.include_router(router)
    return orjson.loads(orjson.dumps(app.openapi()))  # type: ignore[no-any-return]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert "#/components/schemas/Prediction" in found
    for reference in found:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"], reference


def test_the_frameworks_own_422_does_not_appear(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in str(document)
    refused = document["paths"]["/v1/things/{id}"]["get"]["responses"]["422"]
    assert list(refused["content"]) == ["application/problem+json"]


def test_every_operation_has_words_and_only_problems_for_errors(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            for status, response in operation["responses"].items():
                assert response["description"]
                if path.startswith("/v1/") and status >= "400":
                    assert list(response["content"]) == ["application/problem+json"], (path, status)


def test_a_submission_has_three_bodies_and_its_headers(document: dict[str, Any]) -> None:
    submit = document["paths"]["/v1/predictions"]["post"]
    content = submit["requestBody"]["content"]
    assert list(content) == ["multipart/form-data", "image/*", "application/octet-stream", "application/json"]
    form = content["multipart/form-data"]["schema"]
    texts = {"model", "version", "priority", "metadata", "webhook"}
    assert set(form["properties"]) == {"image", "webhook_events_filter", *texts}
    assert {form["properties"][name]["type"] for name in texts} == {"string"}
    assert form["properties"]["image"]["format"] == "binary"
    assert {"Prefer", "Cancel-After", "Idempotency-Key", "model"} <= {p["name"] for p in submit["parameters"]}
    assert "anyOf" not in str(form)
    query = {p["name"]: p["schema"] for p in submit["parameters"] if p["in"] == "query"}
    assert texts <= query.keys()
    for events in (form["properties"]["webhook_events_filter"], query["webhook_events_filter"]):
        assert (events["type"], events["items"]["enum"]) == ("array", ["start", "completed", "logs", "output"])


def test_problems_of_one_status_share_a_response_with_an_example_each(document: dict[str, Any]) -> None:
    responses = document["paths"]["/v1/predictions"]["post"]["responses"]
    examples = responses["422"]["content"]["application/problem+json"]["examples"]
    assert set(examples) == {"undecodable-image", "invalid-parameter"}
    assert "Retry-After" in responses["503"]["headers"]
