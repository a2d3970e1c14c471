"""Errors carry facts; the doors choose the words (`api/http/problems.py` for HTTP)."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from shared.domain.key_limits import Left, Limits


class DarkroomError(Exception):
    """Anything a caller can be told about."""

    def __str__(self) -> str:
        """Show the facts."""
        return repr(self)


@dataclass(eq=False)
class BadRequest(DarkroomError):
    """The request makes no sense as a whole."""

    detail: str


@dataclass(eq=False)
class InvalidParameter(DarkroomError):
    """One member, field or header has a value that can't be used; `pointer` is where (RFC 6901, or a header's name)."""

    detail: str
    pointer: str


@dataclass(eq=False)
class Unauthorized(DarkroomError):
    """No key, or not one of ours."""

    detail: str


@dataclass(eq=False)
class Forbidden(DarkroomError):
    """The caller may not do this, whoever's it is."""

    detail: str


@dataclass(eq=False)
class BeingPurged(DarkroomError):
    """Everything of the caller's owner is being deleted."""

    retry_after: timedelta


@dataclass(eq=False)
class UnsupportedEncoding(DarkroomError):
    """The body is compressed, or encoded otherwise: its Content-Encoding."""

    encoding: str


@dataclass(eq=False)
class UnknownPrediction(DarkroomError):
    """No such prediction of this owner's."""

    id: str


@dataclass(eq=False)
class UnknownBatch(DarkroomError):
    """No such batch of this owner's."""

    id: str


@dataclass(eq=False)
class UnknownFile(DarkroomError):
    """No such file of this owner's, or its time is over."""

    id: str


@dataclass(eq=False)
class UnknownDelivery(DarkroomError):
    """No such delivery of a webhook of this owner's."""

    id: str


@dataclass(eq=False)
class UnknownModel(DarkroomError):
    """No such model, alias or version is served; `reason` says why where that is known, or is empty."""

    reference: str
    served: tuple[str, ...] = field(default=())
    reason: str = ""


@dataclass(eq=False)
class ImageTooLarge(DarkroomError):
    """Over the limit, in `unit` (bytes or pixels)."""

    size: int
    limit: int
    unit: str = "bytes"


@dataclass(eq=False)
class UploadTooLarge(DarkroomError):
    """An upload or one of its measures is over the limit, in `unit`: bytes, unpacked bytes, entries or images."""

    size: int
    limit: int
    unit: str = "bytes"


@dataclass(eq=False)
class ArchiveRefused(DarkroomError):
    """An archive holds what is never unpacked, or is broken; `entry` is where, if it is in one place."""

    reason: str
    entry: str | None = None
    pointer: str = "/archive"


@dataclass(eq=False)
class UnsupportedImage(DarkroomError):
    """The content is no image of a kind we read."""

    found: str
    supported: tuple[str, ...]


@dataclass(eq=False)
class UndecodableImage(DarkroomError):
    """Says it is an image of this format, but is broken."""

    format: str
    reason: str


@dataclass(eq=False)
class IdempotencyMismatch(DarkroomError):
    """The key was used before, for another request."""

    key: str
    first_id: str


@dataclass(eq=False)
class UploadInProgress(DarkroomError):
    """A bulk upload under this key is still being read."""

    key: str
    first_id: str


@dataclass(eq=False)
class RateLimited(DarkroomError):
    """The caller's key allows no more now; nothing was enqueued. `limit` says which of its limits it is."""

    limit: Literal["rate", "unfinished"]
    limits: Limits
    left: Left
    retry_after: timedelta


@dataclass(eq=False)
class TooMuchInHand(DarkroomError):
    """Bodies of this owner's that are being read have `in_hand` bytes; `size` more are not read now."""

    size: int
    in_hand: int
    allowed: int
    retry_after: timedelta
    limit: Literal["bytes_in_hand"] = "bytes_in_hand"


@dataclass(eq=False)
class GatewayBusy(DarkroomError):
    """All bodies that this gateway reads have `in_hand` bytes; `size` more are not read now."""

    size: int
    in_hand: int
    allowed: int
    retry_after: timedelta


@dataclass(eq=False)
class FileQuota(DarkroomError):
    """An owner may upload no file of `size` bytes now; nothing was kept.

    `limit` says why: it has `used` of the files or bytes that it may keep, `allowed`; or too many bytes came in a
    second, of which `allowed` may.
    """

    limit: Literal["files", "bytes", "bytes_a_second"]
    size: int
    used: int
    allowed: int
    retry_after: timedelta


@dataclass(eq=False)
class QueueFull(DarkroomError):
    """The lane or Redis' memory is at its limit; nothing was enqueued."""

    model: str
    retry_after: timedelta


@dataclass(eq=False)
class SubmitUncertain(DarkroomError):
    """Redis did not answer in time; the job may have been accepted under this id. `reason` as in StorageUnavailable."""

    id: str
    retry_after: timedelta
    reason: str = ""


@dataclass(eq=False)
class StorageUnavailable(DarkroomError):
    """Redis or Postgres can't be reached, or is there and refuses: then `reason` has the words, to go behind its name.

    `certain`: nothing of what was asked has happened.
    """

    store: str
    retry_after: timedelta
    reason: str = ""
    certain: bool = False
