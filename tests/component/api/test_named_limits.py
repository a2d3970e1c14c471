"""Every limit that a refusal names is the one that was applied, over all routes.

At the limit a request gets past it, one above is refused, and the refusal names that limit.
"""

import base64
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image
from sqlalchemy import Engine

from api.account import api_keys
from api.feedback.routes import LARGEST_BODY, LARGEST_CSV
from api.http.request_headers import LONGEST_IDEMPOTENCY_KEY
from api.models import wanted_change
from api.uploads import small_objects
from api.uploads.json_bodies import BESIDE_THE_IMAGE
from shared.domain.api_keys import FASTEST, MOST_UNFINISHED, Caller, Role
from shared.domain.feedback import LARGEST_VALUE, LONGEST_BY, LONGEST_COMMENT, LONGEST_LABEL, MOST_BOXES
from shared.domain.identifiers import ANYONE, new_uuid7
from shared.domain.key_limits import Limits
from shared.domain.model_route import Route
from shared.settings import Bulk
from shared.storage.recording import record

Serve = Callable[..., Any]
Request = dict[str, Any]

IMAGE: Final = 5000
PIXELS: Final = 900
METADATA: Final = 200
BULK: Final = Bulk(max_archive_bytes=9000, max_items=3, max_entries=7, max_unpacked_bytes=4000)
PREDICT, BATCH, FILE = "POST /v1/predictions", "POST /v1/batches", "POST /v1/files"
NAMED = "POST /v1/models/{owner}/{name}/predictions"
FEEDBACK = "POST /v1/predictions/{id}/feedback"
CSV = ("POST /v1/feedback", "POST /v1/batches/{id}/feedback")
KEY = "POST /v1/api-keys"
CHANGES = [f"POST /v1/models/{{name}}/{what}" for what in ("promote", "rollback", "challenger", "shadow", "canary")]
RETRIES = {"POST /v1/predictions/{id}/retry", "POST /v1/batches/{id}/retry"}
"""They have no body; a batch that was taken has no more images than a batch may have."""


@dataclass(frozen=True)
class Limit:
    """A limit, and how to send `n` of what it limits."""

    operation: str
    what: str
    most: int
    send: Callable[[int], Request]
    status: int = 413


def png(width: int = 4) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, 1)).save(file, "PNG")
    return file.getvalue()


def raw(content: bytes, kind: str = "image/png", **query: str) -> Request:
    return {"content": content, "headers": {"Content-Type": kind}, "params": query}


def form(size: int, field: str) -> Request:
    """A form of so many bytes in all, with a small file."""
    parts = [("pad", None, b""), (field, "a.bin", b"file")]

    def written(pad: int) -> bytes:
        lines = b""
        for name, filename, data in parts:
            named = f'; filename="{filename}"' if filename else ""
            head = f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
            lines += head.encode() + (data or b"p" * pad) + b"\r\n"
        return lines + b"--b--\r\n"

    return raw(written(size - len(written(0))), "multipart/form-data; boundary=b")


def padded(size: int) -> Request:
    """A JSON object of so many bytes."""
    return raw(b'{"pad": "' + b"p" * (size - 11) + b'"}', "application/json")


def archive(entries: Iterable[bytes]) -> Request:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for number, content in enumerate(entries):
            packed.writestr(f"{number}.png", content)
    return {"files": {"archive": ("a.zip", file.getvalue())}}


def declared(size: int, kind: str) -> Request:
    """A body that declares so many bytes, and has fewer."""
    return {"content": b"id,label\n", "headers": {"Content-Type": kind, "Content-Length": str(size)}}


def members(**given: Any) -> Request:
    return {"json": given}


def metadata(size: int) -> str:
    return f'{{"a":"{"m" * (size - 8)}"}}'


def box(number: int) -> dict[str, Any]:
    return {"label": str(number), "box": [0, 0, 1, 1]}


LIMITS = [
    Limit(PREDICT, "bytes of an image", IMAGE, lambda n: raw(b"x" * n)),
    Limit(PREDICT, "bytes of a form", IMAGE + BESIDE_THE_IMAGE, lambda n: form(n, "image")),
    Limit(PREDICT, "bytes of an image in a form", IMAGE, lambda n: {"files": {"image": ("a.png", b"x" * n)}}),
    Limit(PREDICT, "bytes of a JSON body", IMAGE * 4 // 3 + BESIDE_THE_IMAGE, padded),
    Limit(
        PREDICT,
        "bytes of an image in JSON",
        IMAGE,
        lambda n: members(input={"image": "data:image/png;base64," + base64.b64encode(b"x" * n).decode()}),
    ),
    Limit(PREDICT, "pixels", PIXELS, lambda n: raw(png(n))),
    Limit(PREDICT, "bytes of metadata", METADATA, lambda n: raw(png(), metadata=metadata(n)), 422),
    Limit(
        PREDICT,
        "characters of an idempotency key",
        LONGEST_IDEMPOTENCY_KEY,
        lambda n: {"content": png(), "headers": {"Content-Type": "image/png", "Idempotency-Key": "k" * n}},
        422,
    ),
    Limit(NAMED, "bytes of an image", IMAGE, lambda n: raw(b"x" * n)),
    Limit(BATCH, "bytes of an archive", BULK.max_archive_bytes, lambda n: {"files": {"archive": ("a.zip", b"x" * n)}}),
    Limit(BATCH, "bytes declared", BULK.max_archive_bytes, lambda n: declared(n, "application/zip")),
    Limit(BATCH, "images", BULK.max_items, lambda n: {"files": [("images", (f"{i}.png", png())) for i in range(n)]}),
    Limit(BATCH, "entries of an archive", BULK.max_entries, lambda n: archive([png()] * n)),
    Limit(BATCH, "unpacked bytes", BULK.max_unpacked_bytes, lambda n: archive([b"x" * n])),
    Limit(FILE, "bytes of a form", IMAGE + BESIDE_THE_IMAGE, lambda n: form(n, "content")),
    Limit(FILE, "bytes of a file", IMAGE, lambda n: {"files": {"content": ("a.bin", b"x" * n)}}),
    Limit(
        FILE,
        "bytes of metadata",
        METADATA,
        lambda n: {"files": {"content": ("a.bin", b"x")}, "data": {"metadata": metadata(n)}},
        422,
    ),
    Limit(FEEDBACK, "bytes of a body", LARGEST_BODY, padded),
    Limit(FEEDBACK, "characters of a label", LONGEST_LABEL, lambda n: members(label="l" * n), 422),
    Limit(FEEDBACK, "characters of a comment", LONGEST_COMMENT, lambda n: members(label="7", comment="c" * n), 422),
    Limit(FEEDBACK, "characters of who", LONGEST_BY, lambda n: members(label="7", by="b" * n), 422),
    Limit(FEEDBACK, "bytes of a value", LARGEST_VALUE, lambda n: members(value=["v" * (n - 4)]), 422),
    Limit(FEEDBACK, "boxes", MOST_BOXES, lambda n: members(boxes=[box(i) for i in range(n)]), 422),
    *(Limit(path, "bytes of a table", LARGEST_CSV, lambda n: declared(n, "text/csv")) for path in CSV),
    *(Limit(path, "bytes of a body", small_objects.LARGEST, padded) for path in (KEY, *CHANGES)),
    Limit(KEY, "images a second", int(FASTEST), lambda n: members(role="read", images_a_second=n), 422),
    Limit(KEY, "unfinished images", MOST_UNFINISHED, lambda n: members(role="read", unfinished=n), 422),
    *(Limit(path, "per cent", 100, lambda n: members(percent=n), 422) for path in CHANGES[2:4]),
    *(
        Limit(CHANGES[4], name, most, lambda n, name=name: members(**{name: n}), 422)  # type: ignore[misc]
        for name, most in (
            ("every_seconds", wanted_change.LONGEST_SECONDS),
            ("patience_seconds", wanted_change.LONGEST_SECONDS),
            ("max_p99", wanted_change.MOST_TIMES),
            ("min_images", wanted_change.MOST_IMAGES),
            ("max_errors", 1),
            ("min_agreement", 1),
        )
    ),
]


def named(answer: httpx.Response) -> set[int]:
    """Return the limits that a refusal names: its member `limit`, else the numbers of its words."""
    if answer.status_code not in (413, 422):
        return set()
    problem = answer.json()
    if "limit" in problem:
        return {problem["limit"]}
    return {int(one.replace(",", "")) for one in re.findall(r"\d[\d,]*", problem["detail"])}


@pytest.fixture
def ask(
    serve: Serve,
    app: FastAPI,
    engine: Engine,
    digits: Route,
    finished_record: Any,
    batch_record: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str, Mapping[str, Any]], httpx.Response]:
    """Send a request to an operation, of a prediction and a batch that have ended."""
    # Keys are made with a key alone.
    who = Caller(owner=ANYONE, role=Role.ADMIN, limits=Limits(key="k"))
    monkeypatch.setattr(api_keys, "caller", lambda _: who)
    prediction, batch = new_uuid7(), new_uuid7()
    with engine.connect() as connection:
        record(connection, [finished_record(id=prediction), batch_record(batch, total=0)])

    def ask(operation: str, request: Mapping[str, Any]) -> httpx.Response:
        async def claim(client: httpx.AsyncClient) -> httpx.Response:
            app.state.gateway.bulk = BULK
            method, _, path = operation.partition(" ")
            ids = {"id": batch if "/batches/" in path else prediction, "name": "digits", "owner": "o", "token": "t"}
            path = path.format(**ids)
            return await client.request(method, path, **request)

        limits = {"max_image_bytes": IMAGE, "max_image_pixels": PIXELS, "max_metadata_bytes": METADATA}
        answer: httpx.Response = serve(claim, engine=engine, routes=[digits], **limits)
        return answer

    return ask


@pytest.mark.parametrize("limit", LIMITS, ids=lambda one: f"{one.operation}: {one.what}")
def test_a_refusal_names_the_limit_that_was_applied(
    ask: Callable[[str, Mapping[str, Any]], httpx.Response], limit: Limit
) -> None:
    assert limit.most not in named(ask(limit.operation, limit.send(limit.most)))
    refused = ask(limit.operation, limit.send(limit.most + 1))
    assert refused.status_code == limit.status, refused.text
    assert limit.most in named(refused), refused.text


@pytest.fixture
def document(serve: Serve) -> dict[str, Any]:
    """The OpenAPI document."""

    async def claim(client: httpx.AsyncClient) -> dict[str, Any]:
        return dict((await client.get("/openapi.json")).json())

    found: dict[str, Any] = serve(claim)
    return found


def operations(document: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield each operation by its method and path."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_that_may_find_something_too_large_is_tested(document: dict[str, Any]) -> None:
    refusing = {name for name, operation in operations(document) if "413" in operation.get("responses", {})}
    assert refusing - RETRIES == {limit.operation for limit in LIMITS}


def test_every_limit_of_a_query_is_named(
    ask: Callable[[str, Mapping[str, Any]], httpx.Response], document: dict[str, Any]
) -> None:
    bounded = [
        (name, parameter["name"], schema["maximum"])
        for name, operation in operations(document)
        for parameter in operation.get("parameters", [])
        if parameter.get("in") == "query"
        for schema in (parameter.get("schema", {}), *parameter.get("schema", {}).get("anyOf", []))
        if "maximum" in schema
    ]
    assert len(bounded) > 5
    for operation, name, most in bounded:
        refused = ask(operation, {"params": {name: most + 1}})
        assert refused.status_code == 422, (operation, name, refused.text)
        assert most in named(refused), (operation, name, refused.text)
        accepted = ask(operation, {"params": {name: most}})
        assert accepted.status_code != 422, (operation, name, accepted.text)
