"""Routes of files: upload an image once and name it in submissions by its URL."""

import hashlib
from datetime import timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from api import schemas
from api.edge.auth import caller
from api.edge.guard import GuardedRoute
from api.http import problem_kinds as kinds
from api.http.json import JSONResponse
from api.http.paging import Cursor, check_cursor
from api.http.ratelimit import take_from_rate
from api.openapi import requests, responses
from api.state.gateway import base_url, gateway
from api.state.large_work import off_the_loop
from api.uploads.bodies import FileUpload, read_file
from api.uploads.json_bodies import BESIDE_THE_IMAGE
from shared.domain.identifiers import Digest, Owner
from shared.domain.timestamps import now_us, rfc3339
from shared.image_files.formats import MEDIA_TYPES, identify_format
from shared.queue.producer.file_quota import quota
from shared.queue.producer.files import StoredFile, new_file_id, no_room

router = APIRouter(prefix="/v1", tags=["files"], route_class=GuardedRoute)

UNKNOWN_TYPE: Final = "application/octet-stream"
# Names that clients invent where a file has none.
_NO_NAMES: Final = frozenset({"upload", "blob", "file", "unnamed"})
_LONGEST_TYPE: Final = 100


@router.post(
    "/files",
    status_code=201,
    summary="Upload a file",
    responses=responses.by_status(
        {201: schemas.File},
        kinds.BAD_REQUEST,
        kinds.IMAGE_TOO_LARGE,
        kinds.UNSUPPORTED_IMAGE,
        kinds.INVALID_PARAMETER,
        kinds.RATE_LIMITED,
        kinds.FILE_QUOTA,
        kinds.STORAGE_UNAVAILABLE,
        headers=responses.LOCATION | responses.LIMITED,
    ),
    openapi_extra=requests.file_upload(),
)
async def create(request: Request) -> Response:
    """Keep a file for a while; `input.image` of a submission takes its `urls.get`."""
    gate, who = gateway(request), caller(request)
    if gate.redis_memory.over(gate.files.refused_from):
        raise no_room()
    allowed = quota(gate.files, memory=gate.redis_memory.limit_bytes)
    # Before the body is read: nothing need be sent where nothing more may be stored.
    await gate.producer.files.check_quota(who.owner, _least_size(request), allowed)
    with gate.body_memory.hold(who.owner) as hold:
        upload = await read_file(request, limits=gate.intake, hold=hold)
        left = await take_from_rate(gate, who)
        file = await off_the_loop(
            len(upload.content),
            stored_file,
            upload,
            owner=who.owner,
            now=now_us(),
            ttl=gate.intake.file_ttl,
        )
        await gate.producer.files.keep(file, allowed, turn=gate.file_turn)
    answer = file_object(file, base=base_url(request))
    return JSONResponse(answer, status_code=201, headers={"Location": answer["urls"]["get"], **left})


@router.get(
    "/files",
    summary="List files",
    responses=responses.by_status({200: schemas.FileList}, kinds.INVALID_PARAMETER, kinds.STORAGE_UNAVAILABLE),
)
async def index(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Cursor = None,
) -> Response:
    """Return the caller's files, newest first."""
    check_cursor(cursor)
    gate, base = gateway(request), base_url(request)
    # One more than asked for tells whether there is a next page.
    found = await gate.producer.files.list_newest(caller(request).owner, before=cursor, limit=limit + 1)
    shown = found[:limit]
    following = None
    if len(found) > limit:
        following = f"{base}/v1/files?{urlencode({'cursor': shown[-1].id, 'limit': limit})}"
    results = [file_object(file, base=base) for file in shown]
    return JSONResponse({"results": results, "next": following, "previous": None})


@router.get(
    "/files/{id}",
    summary="Read a file",
    responses=responses.by_status({200: schemas.File}, kinds.UNKNOWN_FILE, kinds.STORAGE_UNAVAILABLE),
)
async def show(request: Request, id: str) -> Response:
    """Return what is known of a file; not its content."""
    file = await gateway(request).producer.files.facts(caller(request).owner, id)
    return JSONResponse(file_object(file, base=base_url(request)))


@router.delete(
    "/files/{id}",
    status_code=204,
    summary="Delete a file",
    responses=responses.by_status({204: None}, kinds.UNKNOWN_FILE, kinds.STORAGE_UNAVAILABLE),
)
async def remove(request: Request, id: str) -> Response:
    """Delete a file; predictions made from it are not touched."""
    await gateway(request).producer.files.delete(caller(request).owner, id)
    return Response(status_code=204)


def _least_size(request: Request) -> int:
    """Return how many bytes a file has at least, by the length of its form."""
    declared = request.headers.get("content-length", "")
    return max(0, int(declared) - BESIDE_THE_IMAGE) if declared.isdecimal() else 0


def stored_file(upload: FileUpload, *, owner: Owner, now: int, ttl: timedelta) -> StoredFile:
    """Return the file to store for an upload at `now` (microseconds); a missing type is read from the content."""
    digest = hashlib.sha256(upload.content).hexdigest()
    kind = identify_format(upload.content)
    declared = (upload.content_type or "").partition(";")[0].strip().lower()[:_LONGEST_TYPE]
    content_type = MEDIA_TYPES[kind[0]] if kind else declared or UNKNOWN_TYPE
    name = upload.name or "upload"
    if kind and name in _NO_NAMES:
        name = f"{name}.{kind[0].lower()}"
    return StoredFile(
        id=new_file_id(created=now),
        owner=owner,
        name=name,
        content_type=content_type,
        etag=digest[:32],
        sha256=Digest(digest),
        size=len(upload.content),
        metadata=upload.metadata,
        created=now,
        expires=now + ttl // timedelta(microseconds=1),
        content=upload.content,
    )


def file_object(file: StoredFile, *, base: str) -> dict[str, Any]:
    """Return the object of the HTTP contract; no member is null."""
    return {
        "id": file.id,
        "name": file.name,
        "content_type": file.content_type,
        "size": file.size,
        "etag": file.etag,
        "checksums": {"sha256": file.sha256},
        "metadata": file.metadata,
        "created_at": rfc3339(file.created),
        "expires_at": rfc3339(file.expires),
        "urls": {"get": f"{base}/v1/files/{file.id}"},
    }
