"""The bodies of bulk uploads: a form of images, a form with an archive, NDJSON. Each has fields, then items.

Only the image at hand is in memory: images and lines are passed on as they arrive, an archive is written to disk and
checked as a whole before its first image is passed on.
"""

from collections.abc import AsyncIterator
from typing import Final, Protocol

from fastapi import Request

from api.batches.archives.items import Item, Skipped
from api.batches.form_body import FormBody
from api.batches.lines_body import LinesBody
from api.state.body_memory import MemoryHold
from api.state.gateway import gateway
from api.uploads.submission_fields import SubmissionFields
from shared.domain.errors import BadRequest, UnsupportedImage, UploadTooLarge

_LINES: Final = "application/x-ndjson"
BODIES: Final = ("multipart/form-data", _LINES)
# No name is registered for NDJSON; these are what libraries and tools send.
_AS_LINES: Final = frozenset((_LINES, "application/ndjson", "application/jsonl", "application/x-jsonlines"))


class BatchBody(Protocol):
    """The body of one bulk upload. Read `fields`, then `items`; `skipped` is complete after them."""

    skipped: Skipped

    async def fields(self) -> SubmissionFields:
        """Return the fields before the first image; raises the contract's errors."""

    def items(self) -> AsyncIterator[Item]:
        """Yield every image in order; raises the contract's errors, ClientDisconnect where the client left."""


def read_batch_body(request: Request, chunks: AsyncIterator[bytes], hold: MemoryHold) -> BatchBody:
    """Return the body that the Content-Type names; raises BadRequest, UnsupportedImage or UploadTooLarge."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    declared, limit = request.headers.get("content-length", ""), gateway(request).bulk.max_archive_bytes
    if kind == "multipart/form-data":
        return FormBody(request, chunks, hold)
    if kind in _AS_LINES:
        return LinesBody(request, chunks, hold)
    if (declared or "0") == "0" and "transfer-encoding" not in request.headers:
        raise BadRequest(detail="the body is empty")
    if declared.isdecimal() and int(declared) > limit:
        raise UploadTooLarge(size=int(declared), limit=limit)
    raise UnsupportedImage(
        found=f"a body of type {kind[:80]}" if kind else "a body without Content-Type", supported=BODIES
    )
