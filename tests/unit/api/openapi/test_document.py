"""The OpenAPI document is complete and true of bodies and answers."""

import base64
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from fastapi import APIRouter, Request
from hypothesis import given
from hypothesis import strategies as st

from api.edge.guard import GuardedRoute
from api.http import problem_kinds as kinds
from api.http.paging import UUID
from api.openapi import requests, responses
from api.schemas import Prediction
from api.uploads.image_check import check_image
from api.uploads.submission_fields import MOST_EVENTS
from shared.domain.identifiers import is_uuid
from shared.domain.model_reference import REFERENCE_PATTERN
from shared.domain.pipeline import PIPELINE_FIELDS
from shared.domain.webhooks import LONGEST_URL
from shared.settings import Intake
from tests.support.gateway_app import make_app


@pytest.fixture
def document() -> dict[str, Any]:
    app = make_app()
    router = APIRouter(route_class=GuardedRoute)

    @router.post(
        "/v1/predictions",
        status_code=202,
        responses=responses.by_status(
            {200: Prediction, 202: Prediction},
            kinds.BAD_REQUEST,
            kinds.UNDECODABLE_IMAGE,
            kinds.INVALID_PARAMETER,
            kinds.QUEUE_FULL,
        ),
        openapi_extra=requests.submission(),
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


def test_every_operation_has_a_description_and_only_problems_as_errors(document: dict[str, Any]) -> None:
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
    texts = {"model", "version", "priority", "webhook"}
    assert set(form["properties"]) == {"image", "webhook_events_filter", "metadata", *texts, *PIPELINE_FIELDS}
    assert {form["properties"][name]["type"] for name in texts} == {"string"}
    assert form["properties"]["metadata"]["type"] == "object"
    assert form["properties"]["image"]["format"] == "binary"
    assert {"Prefer", "Cancel-After", "Idempotency-Key", "model"} <= {p["name"] for p in submit["parameters"]}
    assert "anyOf" not in str(form)
    query = {p["name"]: p.get("schema") or p["content"] for p in submit["parameters"] if p["in"] == "query"}
    assert {"metadata", *texts} <= query.keys()
    assert query["metadata"]["application/json"]["schema"]["type"] == "object"
    for events in (form["properties"]["webhook_events_filter"], query["webhook_events_filter"]):
        assert (events["type"], events["items"]["enum"]) == (
            "array",
            ["start", "completed", "feedback", "logs", "output"],
        )


def test_problems_of_one_status_share_a_response_with_an_example_each(document: dict[str, Any]) -> None:
    responses = document["paths"]["/v1/predictions"]["post"]["responses"]
    examples = responses["422"]["content"]["application/problem+json"]["examples"]
    assert set(examples) == {"undecodable-image", "invalid-parameter"}
    assert "Retry-After" in responses["503"]["headers"]


def test_the_forms_of_references_and_webhooks_are_documented_everywhere(document: dict[str, Any]) -> None:
    submit = document["paths"]["/v1/predictions"]["post"]
    form = submit["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    query = {p["name"]: p.get("schema") for p in submit["parameters"] if p["in"] == "query"}
    json = document["components"]["schemas"]["JsonSubmission"]["properties"]
    for taken in (form, query, {name: {**member, **member.get("anyOf", [{}])[0]} for name, member in json.items()}):
        assert [taken[name]["pattern"] for name in ("model", "version")] == [REFERENCE_PATTERN, REFERENCE_PATTERN]
        assert (taken["webhook"]["format"], taken["webhook"]["maxLength"]) == ("uri", LONGEST_URL)
        assert taken["webhook_events_filter"]["maxItems"] == MOST_EVENTS


def test_a_bulk_upload_is_images_or_an_archive_not_both() -> None:
    form = requests.bulk_upload()["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["oneOf"] == [{"required": ["images"]}, {"required": ["archive"]}]


def test_a_streams_events_are_described_one_by_one() -> None:
    [content] = responses.stream(kinds.UNKNOWN_BATCH, "progress", "done", example="")[200]["content"].values()
    assert content["itemSchema"]["properties"]["event"] == {"enum": ["progress", "done"]}
    assert "schema" not in content, "which would be the whole stream's"


@given(st.uuids().map(str) | st.text("0123456789abcdef-", max_size=36) | st.uuids().map(lambda id: str(id).upper()))
def test_a_cursor_matches_its_documented_pattern(cursor: str) -> None:
    assert bool(re.search(UUID, cursor)) is is_uuid(cursor)


def test_the_examples_of_images_can_be_sent_as_they_stand() -> None:
    content = requests.submission()["requestBody"]["content"]["application/json"]["examples"]
    image = content["data URL"]["value"]["input"]["image"].partition(",")[2]
    [line] = requests.bulk_upload()["requestBody"]["content"]["application/x-ndjson"]["example"].splitlines()
    for text in (image, orjson.loads(line)["image"]):
        found = check_image(base64.b64decode(text, validate=True), filename=None, content_type=None, limits=Intake())
        assert (found.format, found.width, found.height) == ("PNG", 1, 1)
