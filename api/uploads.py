"""Read request bodies within their limits, and take apart the three bodies that a prediction may come in."""

import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.fields import NO_FIELDS, Fields, collect, read_json_object, read_metadata
from api.intake import clean_filename
from api.multipart import Part, take_apart
from shared.domain.errors import BadRequest, ImageTooLarge, InvalidParameter, UnsupportedImage
from shared.domain.identifiers import FileId
from shared.settings import Intake

PREDICTION_BODIES: Final = (
    "multipart/form-data",
    "image/*",
    "application/octet-stream",
    "application/json",
)
# What a form or a JSON object may hold beside its image: 4 KB of metadata and short texts.
BESIDE_THE_IMAGE: Final = 64 * 1024
_IMAGE_POINTER: Final = "/input/image"
_FILE_PATH = re.compile(r"(?:/.*)?/v1/files/([^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A submission as it came; `image` is empty where `fields.file_reference` stands for it."""

    image: bytes = field(repr=False)
    filename: str | None = None
    content_type: str | None = None
    fields: Fields = NO_FIELDS


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUpload:
    """A file as it came."""

    content: bytes = field(repr=False)
    name: str | None
    content_type: str | None
    metadata: dict[str, Any]


async def read_prediction(request: Request, *, limits: Intake) -> Upload:
    """Read a submission in any of its three bodies.

    Raises BadRequest, InvalidParameter, ImageTooLarge (before the body is read where its length is declared) or
    UnsupportedImage (another kind of body); ClientDisconnect where the client left.
    """
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind == "application/octet-stream":
        image = await read_body(request, most=limits.max_image_bytes, limits=limits)
        query = _query(request)
        return Upload(
            image=image,
            content_type=kind,
            fields=collect(query, limits=limits) if query else NO_FIELDS,
        )
    if kind == "multipart/form-data":
        most = limits.max_image_bytes + BESIDE_THE_IMAGE
        body = await read_body(request, most=most, limits=limits)
        return _from_form(take_apart(body, content_type=content_type), _query(request), limits)
    if kind == "application/json":
        # Base64 writes three bytes as four characters.
        most = limits.max_image_bytes * 4 // 3 + BESIDE_THE_IMAGE
        body = await read_body(request, most=most, limits=limits)
        return _from_json(read_json_object(body), _query(request), limits)
    raise _wrong_body(request, kind, PREDICTION_BODIES)


async def read_file(request: Request, *, limits: Intake) -> FileUpload:
    """Read a file's upload: the field `content`, and `metadata` as a text field or a JSON file.

    Raises BadRequest, InvalidParameter, ImageTooLarge, UnsupportedImage (no form) or ClientDisconnect.
    """
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise _wrong_body(request, kind, ("multipart/form-data",))
    body = await read_body(request, most=limits.max_image_bytes + BESIDE_THE_IMAGE, limits=limits)
    parts = take_apart(body, content_type=content_type)
    content = _only(parts, "content")
    if len(content.data) > limits.max_image_bytes:
        raise ImageTooLarge(size=len(content.data), limit=limits.max_image_bytes)
    metadata = [part.data for part in parts if part.name == "metadata" and part.data] or [b"{}"]
    if len(metadata) > 1:
        raise BadRequest(detail=f"the form has {len(metadata)} fields metadata; one is taken")
    return FileUpload(
        content=content.data,
        name=clean_filename(content.filename or ""),
        content_type=content.content_type,
        metadata=read_metadata(metadata[0], limits=limits),
    )


async def read_body(request: Request, *, most: int, limits: Intake) -> bytes:
    """Return the whole body, of at most `most` bytes; the hot path, a body in one piece, is not copied.

    Raises ImageTooLarge from the declared length on, BadRequest for an empty body, ClientDisconnect.
    """
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdecimal() and int(declared) > most:
        raise ImageTooLarge(size=int(declared), limit=limits.max_image_bytes)
    receive = request.receive
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        if piece := message.get("body"):
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise ImageTooLarge(size=size, limit=limits.max_image_bytes)
    if not pieces:
        raise BadRequest(detail="the body is empty")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _query(request: Request) -> list[tuple[str, str]]:
    """Return the query's names and values; mostly there are none."""
    return request.query_params.multi_items() if request.scope["query_string"] else []


def _wrong_body(request: Request, kind: str, supported: tuple[str, ...]) -> Exception:
    """Say what is wrong with a body that is not even read."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return BadRequest(detail="the body is empty")
    found = f"a body of type {kind[:80]}" if kind else "a body without Content-Type"
    return UnsupportedImage(found=found, supported=supported)


def _only(parts: list[Part], name: str) -> Part:
    """Return the one file of a form; raises BadRequest for two or an empty one, InvalidParameter for none."""
    found = [part for part in parts if part.name == name]
    if not found:
        raise InvalidParameter(detail=f"the form has no field {name}", pointer=f"/{name}")
    if len(found) > 1:
        raise BadRequest(detail=f"the form has {len(found)} fields {name}; one is taken")
    if not found[0].data:
        raise BadRequest(detail=f"the file in {name} is empty")
    return found[0]


def _from_form(parts: list[Part], query: Iterable[tuple[str, object]], limits: Intake) -> Upload:
    image = _only(parts, "image")
    texts = ((p.name, p.data.decode("utf-8", "replace")) for p in parts if p is not image)
    return Upload(
        image=image.data,
        filename=image.filename,
        content_type=image.content_type,
        fields=collect([*texts, *query], limits=limits),
    )


def _from_json(body: dict[str, Any], query: Iterable[tuple[str, object]], limits: Intake) -> Upload:
    """Take the image from `input.image`; nothing else of `input` is looked at."""
    given = body.get("input")
    url = given.get("image") if isinstance(given, dict) else None
    if not isinstance(url, str) or not url:
        raise InvalidParameter(
            detail="input.image must be a data: URL or the URL of an uploaded file",
            pointer=_IMAGE_POINTER,
        )
    image, content_type, reference = b"", None, None
    if url[:5].lower() == "data:":
        content_type, image = _read_data_url(url, limits)
    else:
        reference = _file_id(url)
    fields = collect([*body.items(), *query], limits=limits, file_reference=reference)
    return Upload(image=image, content_type=content_type, fields=fields)


def _file_id(url: str) -> FileId:
    """Return the id in an uploaded file's URL, whatever its host; no URL is ever fetched."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    match = _FILE_PATH.fullmatch(parts.path)
    if parts.scheme not in ("http", "https") or match is None:
        raise InvalidParameter(
            detail="URLs are not fetched; send a data: URL, or upload the image to /v1/files and send its URL",
            pointer=_IMAGE_POINTER,
        )
    return FileId(match[1])


def _read_data_url(url: str, limits: Intake) -> tuple[str, bytes]:
    """Return media type and bytes of a `data:` URL (RFC 2397), base64 or percent-encoded."""
    header, comma, payload = url[5:].partition(",")
    media_type, *options = header.lower().split(";")
    if not comma:
        raise InvalidParameter(detail="the data: URL has no comma", pointer=_IMAGE_POINTER)
    if "base64" not in (option.strip() for option in options):
        image = unquote_to_bytes(payload)
    else:
        image = _read_base64(payload)
    if not image:
        raise BadRequest(detail="the data: URL is empty")
    if len(image) > limits.max_image_bytes:
        raise ImageTooLarge(size=len(image), limit=limits.max_image_bytes)
    return media_type.strip(), image


def _read_base64(payload: str) -> bytes:
    """Decode base64; line breaks, percent-encoding, the URL alphabet and missing padding are forgiven."""
    try:
        return binascii.a2b_base64(payload, strict_mode=True)
    except ValueError:
        pass
    plain = re.sub(rb"\s", b"", unquote_to_bytes(payload)).translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4), strict_mode=True)
    except ValueError:
        raise InvalidParameter(detail="the data: URL's content is no base64", pointer=_IMAGE_POINTER) from None
