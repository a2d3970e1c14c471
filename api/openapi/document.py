"""The OpenAPI document as a whole, made at its first request, with every schema that routes refer to."""

import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api import schemas
from api.edge.guard import READING, Policy, policy_of
from api.http import problem_kinds as kinds
from api.http.problem_kinds import Kind
from api.openapi.references import REFERENCE, Json
from api.openapi.responses import problems_by_status

_ANSWERS: Final[tuple[type[BaseModel], ...]] = (
    schemas.Prediction,
    schemas.PredictionList,
    schemas.Batch,
    schemas.BatchList,
    schemas.BatchResult,
    schemas.BatchWithResults,
    schemas.File,
    schemas.FileList,
    schemas.Model,
    schemas.ModelList,
    schemas.ModelReport,
    schemas.ModelChange,
    schemas.WantedCanary,
    schemas.WantedPromotion,
    schemas.WantedRollback,
    schemas.WantedShare,
    schemas.Version,
    schemas.VersionList,
    schemas.FeedbackAnswer,
    schemas.GivenFeedback,
    schemas.FeedbackList,
    schemas.FeedbackSummary,
    schemas.Account,
    schemas.ApiKey,
    schemas.ApiKeyList,
    schemas.NewApiKey,
    schemas.RevokedApiKey,
    schemas.WantedApiKey,
    schemas.WebhookSecret,
    schemas.WebhookDelivery,
    schemas.WebhookDeliveryList,
    schemas.WebhookDeliveryDetail,
    schemas.Alive,
    schemas.Readiness,
    schemas.ServiceStatus,
    schemas.StatusHistory,
    schemas.Problem,
    schemas.JsonSubmission,
)
_METHODS: Final = frozenset({"get", "put", "post", "delete", "patch", "head", "options"})


def install(app: FastAPI, *, keys_required: bool = False) -> None:
    """Set the app's OpenAPI document."""

    def document() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, keys_required=keys_required)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _document(app: FastAPI, *, keys_required: bool) -> Json:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description or None,
        routes=app.routes,
        tags=app.openapi_tags,
        servers=app.servers,
    )
    _, shapes = models_json_schema([(model, "serialization") for model in _ANSWERS], ref_template=REFERENCE)
    components = document.setdefault("components", {}).setdefault("schemas", {})
    components |= deepcopy(shapes["$defs"])
    # FastAPI adds its own 422 to every operation with a parameter; the gateway answers in another form.
    for operation in _operations(document):
        refused = operation["responses"].get("422", {})
        if "HTTPValidationError" in str(refused):
            ours = problems_by_status(kinds.INVALID_PARAMETER)
            operation["responses"] |= {str(status): response for status, response in ours.items()}
    policies = _policies(app)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method in _METHODS:
                _name_path_parameters(path, operation)
                _name_refusals(method, path, operation)
                _name_key(policies[method, path], operation, required=keys_required)
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key, `dk_…`"}
    }
    components.pop("HTTPValidationError", None)
    components.pop("ValidationError", None)
    return document


def _policies(app: FastAPI) -> dict[tuple[str, str], Policy]:
    """Return each operation's policy by its method and path."""
    return {
        (method.lower(), context.path or ""): policy_of(context.original_route)
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
    }


def _name_key(policy: Policy, operation: Json, *, required: bool) -> None:
    """Add that an operation needs or takes a key, and its refusals without one."""
    if policy.role is None:
        return
    operation["security"] = [{"key": []}] if required else [{"key": []}, {}]
    _add(operation, kinds.UNAUTHORIZED, kinds.FORBIDDEN, kinds.BEING_PURGED)
    if policy.takes_token:
        operation["security"].append({})


def _name_refusals(method: str, path: str, operation: Json) -> None:
    """Add the refusals that come before an operation's own."""
    if "{" in path:
        _add(operation, kinds.BAD_REQUEST)
    if method.upper() not in READING:
        _add(operation, kinds.UNSUPPORTED_ENCODING)


def _add(operation: Json, *refusals: Kind) -> None:
    """Add kinds of problems to an operation; those of one status share a response; existing examples stay."""
    for status, response in problems_by_status(*refusals).items():
        known = operation["responses"].get(str(status))
        if known is None:
            operation["responses"][str(status)] = response
            continue
        for media_type, content in response["content"].items():
            for slug, example in content["examples"].items():
                examples = known["content"][media_type]["examples"]
                if slug not in examples:
                    examples[slug] = example
                    title = example["summary"]
                    known["description"] += f"; {title[0].lower()}{title[1:]}"
        if headers := response.get("headers"):
            known["headers"] = known.get("headers", {}) | headers


def _name_path_parameters(path: str, operation: Json) -> None:
    """Declare parameters of the path that a route reads from the request itself."""
    parameters = operation.setdefault("parameters", [])
    declared = {known["name"] for known in parameters if known["in"] == "path"}
    for name in re.findall(r"{(\w+)}", path):
        if name not in declared:
            parameters.append({"name": name, "in": "path", "required": True, "schema": {"type": "string"}})


def _operations(document: Json) -> Iterable[Json]:
    """Return every operation of the document."""
    for path in document["paths"].values():
        yield from (operation for method, operation in path.items() if method in _METHODS)
