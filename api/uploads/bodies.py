"""Reads request bodies within their limits, and the image and fields of the three kinds of submission."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.http.request_facts import header
from api.state.body_memory import MemoryHold
from api.state.large_work import off_the_loop
from api.uploads.encoded_images import ImageTextError, Text, is_data_url, read_data_url
from api.uploads.image_check import clean_filename
from api.uploads.json_bodies import BESIDE_THE_IMAGE
from api.uploads.multipart import Part, parse_form, plain_name
from api.uploads.submission_fields import (
    NO_FIELDS,
    SubmissionFields,
    collect_fields,
    is_field,
    read_json_object,
    read_metadata,
)
from shared.domain.errors import BadRequest, ImageTooLarge, InvalidParameter, UnsupportedImage
from shared.domain.identifiers import FileId
from shared.domain.records import record
from shared.settings import Intake

PREDICTION_BODIES: Final = (
    "multipart/form-data",
    "image/*",
    "application/octet-stream",
    "application/json",
)
_IMAGE_POINTER: Final = "/input/image"
_LONGEST_FILE_URL: Final = 8192
_FILE_PATH = re.compile(r"(?:/.*)?/v1/files/([^/]+)")


@record(kw_only=True)
class Upload:
    """A submission as it was sent; `image` is empty where `fields.file_reference` names an uploaded file."""

    image: bytes = field(repr=False)
    filename: str | None = None
    content_type: str | None = None
    fields: SubmissionFields = NO_FIELDS


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUpload:
    """A file as it was uploaded."""

    content: bytes = field(repr=False)
    name: str | None
    content_type: str | None
    metadata: dict[str, Any]


async def read_prediction(request: Request, *, limits: Intake, hold: MemoryHold) -> Upload:
    """Read a submission: the image itself, a form, or JSON.

    Raises BadRequest, InvalidParameter, ImageTooLarge (before the body is read where its length is declared),
    UnsupportedImage (another kind of body), what `hold` raises at the memory limits, and ClientDisconnect.
    """
    content_type = header(request, b"content-type") or ""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind == "application/octet-stream":
        image = await read_body(request, most=limits.max_image_bytes, hold=hold)
        query = _query(request)
        return Upload(
            image=image,
            content_type=kind,
            fields=collect_fields(query, limits=limits) if query else NO_FIELDS,
        )
    if kind == "multipart/form-data":
        most = limits.max_image_bytes + BESIDE_THE_IMAGE
        body = await read_body(request, most=most, hold=hold)
        return await off_the_loop(len(body), _from_form, body, content_type, _query(request), limits)
    if kind == "application/json":
        # Base64 writes three bytes as four characters.
        most = limits.max_image_bytes * 4 // 3 + BESIDE_THE_IMAGE
        body = await read_body(request, most=most, hold=hold)
        return await off_the_loop(len(body), _from_json, body, _query(request), limits)
    raise _wrong_body(request, kind, PREDICTION_BODIES)


async def read_file(request: Request, *, limits: Intake, hold: MemoryHold) -> FileUpload:
    """Read an uploaded file from a form: the field `content`, and `metadata` as a text field or a JSON file.

    Raises BadRequest, InvalidParameter, ImageTooLarge, UnsupportedImage (no form) or ClientDisconnect.
    """
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise _wrong_body(request, kind, ("multipart/form-data",))
    body = await read_body(request, most=limits.max_image_bytes + BESIDE_THE_IMAGE, hold=hold)
    return await off_the_loop(len(body), _file_from_form, body, content_type, limits)


async def read_body(request: Request, *, most: int, hold: MemoryHold) -> bytes:
    """Return the whole body of at most `most` bytes; on the hot path, a body in one piece, without a copy.

    A declared length is counted in `hold` before anything is read, any other as it arrives. Raises ImageTooLarge
    by the declared length already, BadRequest for an empty body, ClientDisconnect, and what `hold.take` raises.
    """
    declared = header(request, b"content-length")
    length = int(declared) if declared is not None and declared.isdecimal() else 0
    if length > most:
        raise ImageTooLarge(size=length, limit=most)
    hold.take(length)
    receive = request.receive
    body, gathered, more = b"", None, True
    size = 0
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        if piece := message.get("body"):
            size += len(piece)
            if size > most:
                raise ImageTooLarge(size=size, limit=most)
            if not length:
                hold.take(len(piece))
            if not body:
                body = piece
                continue
            if gathered is None:
                # BytesIO grows in place and gives its bytes away without a copy; joining pieces would take twice that.
                gathered = BytesIO()
                gathered.write(body)
            gathered.write(piece)
    if not size:
        raise BadRequest(detail="the body is empty")
    return body if gathered is None else gathered.getvalue()


def _query(request: Request) -> list[tuple[str, str]]:
    """Return the query's names and values; parsed only where there are any."""
    return request.query_params.multi_items() if request.scope["query_string"] else []


def _wrong_body(request: Request, kind: str, supported: tuple[str, ...]) -> Exception:
    """Return the error for a body of a kind that is not read: an empty one, or another type."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return BadRequest(detail="the body is empty")
    found = f"a body of type {kind[:80]}" if kind else "a body without Content-Type"
    return UnsupportedImage(found=found, supported=supported)


def _only(parts: list[Part], name: str) -> Part:
    """Return the one part with this name; raises BadRequest for two or an empty one, InvalidParameter for none."""
    found = [part for part in parts if plain_name(part.name) == name]
    if not found:
        raise InvalidParameter(detail=f"the form has no field {name}", pointer=f"/{name}")
    if len(found) > 1:
        raise BadRequest(detail=f"the form has {len(found)} fields {name}; one is taken")
    if not found[0].data:
        raise BadRequest(detail=f"the file in {name} is empty")
    return found[0]


def _from_form(body: bytes, content_type: str, query: Iterable[tuple[str, object]], limits: Intake) -> Upload:
    parts = parse_form(body, content_type=content_type)
    image = _only(parts, "image")
    return Upload(
        image=image.data,
        filename=image.filename,
        content_type=image.content_type,
        fields=collect_fields([*_texts(parts, beside=image), *query], limits=limits),
    )


def _texts(parts: list[Part], *, beside: Part) -> list[tuple[str, str]]:
    """Return the known fields with their texts; raises BadRequest where these are too long together."""
    texts = [part for part in parts if part is not beside and is_field(part.name)]
    if sum(len(part.data) for part in texts) > BESIDE_THE_IMAGE:
        raise BadRequest(detail=f"the form has over {BESIDE_THE_IMAGE:,} bytes in its fields beside {beside.name}")
    return [(part.name, part.data.decode("utf-8", "replace")) for part in texts]


def _file_from_form(body: bytes, content_type: str, limits: Intake) -> FileUpload:
    parts = parse_form(body, content_type=content_type)
    content = _only(parts, "content")
    if len(content.data) > limits.max_image_bytes:
        raise ImageTooLarge(size=len(content.data), limit=limits.max_image_bytes)
    metadata = [text for name, text in _texts(parts, beside=content) if name == "metadata" and text] or ["{}"]
    if len(metadata) > 1:
        raise BadRequest(detail=f"the form has {len(metadata)} fields metadata; one is taken")
    return FileUpload(
        content=content.data,
        name=clean_filename(content.filename or ""),
        content_type=content.content_type,
        metadata=read_metadata(metadata[0], limits=limits),
    )


def _from_json(body: bytes, query: Iterable[tuple[str, object]], limits: Intake) -> Upload:
    """Read a submission in JSON; of `input` only the member `image` is read."""
    members, long_texts = read_json_object(body)
    given = members.get("input")
    url = given.get("image") if isinstance(given, dict) else None
    if not isinstance(url, str) or not url:
        raise InvalidParameter(
            detail="input.image must be a data: URL or the URL of an uploaded file",
            pointer=_IMAGE_POINTER,
        )
    image, content_type, reference = b"", None, None
    text: Text = long_texts.get(url, url)
    if is_data_url(text):
        content_type, image = _read_data_url(text, limits)
    else:
        reference = _file_id(text)
    fields = collect_fields([*members.items(), *query], limits=limits, file_reference=reference)
    return Upload(image=image, content_type=content_type, fields=fields)


def _file_id(url: Text) -> FileId:
    """Return the id in an uploaded file's URL, whatever its host; URLs are never fetched."""
    try:
        parts = urlsplit(url if isinstance(url, str) and len(url) <= _LONGEST_FILE_URL else "")
    except ValueError:
        parts = urlsplit("")
    match = _FILE_PATH.fullmatch(parts.path)
    if parts.scheme not in ("http", "https") or match is None:
        raise InvalidParameter(
            detail="URLs are not fetched; send a data: URL, or upload the image to /v1/files and send its URL",
            pointer=_IMAGE_POINTER,
        )
    return FileId(match[1])


def _read_data_url(url: Text, limits: Intake) -> tuple[str, bytes]:
    try:
        content_type, image = read_data_url(url)
    except ImageTextError as error:
        raise InvalidParameter(detail=f"the data: URL {error}", pointer=_IMAGE_POINTER) from None
    if not image:
        raise BadRequest(detail="the data: URL is empty")
    if len(image) > limits.max_image_bytes:
        raise ImageTooLarge(size=len(image), limit=limits.max_image_bytes)
    return content_type, image
