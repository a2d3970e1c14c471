"""Errors that callers are told about. They carry facts; `api/http/problem_table.py` turns them into HTTP answers."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from shared.domain.key_limits import Limits, Remaining


class DarkroomError(Exception):
    """Base class of every error that a caller is told about."""

    def __str__(self) -> str:
        """Return the class' name and its facts."""
        return repr(self)


@dataclass(eq=False)
class BadRequest(DarkroomError):
    """The request as a whole can't be understood."""

    detail: str


@dataclass(eq=False)
class InvalidParameter(DarkroomError):
    """One member, field or header has an invalid value; `pointer` names it (a JSON pointer, RFC 6901, or a header)."""

    detail: str
    pointer: str


@dataclass(eq=False)
class Unauthorized(DarkroomError):
    """The request has no API key, or one that is not valid."""

    detail: str


@dataclass(eq=False)
class Forbidden(DarkroomError):
    """The caller's role does not allow this, whoever owns what it is about."""

    detail: str


@dataclass(eq=False)
class ChangeRefused(DarkroomError):
    """What serves can't be changed so. `command`, a `darkroom` command without its first word, would help; else ''.

    `advice` says what it does.
    """

    reason: str
    advice: str = ""
    command: str = ""


@dataclass(eq=False)
class ChangeUnanswered(DarkroomError):
    """No worker has answered in time whether it has changed what serves; repeating the same is safe."""

    id: str
    waited_seconds: float


@dataclass(eq=False)
class NoRegistryWorker(DarkroomError):
    """No worker that reaches the registry runs; nothing was changed."""

    retry_after: timedelta


@dataclass(eq=False)
class UnknownKey(DarkroomError):
    """The caller's owner has no API key with this id."""

    id: str


@dataclass(eq=False)
class BeingPurged(DarkroomError):
    """All data of the caller's owner is being deleted; requests are refused until that is done."""

    retry_after: timedelta


@dataclass(eq=False)
class UnsupportedEncoding(DarkroomError):
    """The body has a Content-Encoding, such as compression, that the gateway does not read."""

    encoding: str


@dataclass(eq=False)
class UnknownPrediction(DarkroomError):
    """The owner has no prediction with this id."""

    id: str


@dataclass(eq=False)
class UnknownMask(DarkroomError):
    """The owner's prediction has no mask: it has not succeeded, or its model answers without masks."""

    id: str


@dataclass(eq=False)
class UnknownBatch(DarkroomError):
    """The owner has no batch with this id."""

    id: str


@dataclass(eq=False)
class UnknownFile(DarkroomError):
    """The owner has no file with this id, or it has expired."""

    id: str


@dataclass(eq=False)
class UnknownDelivery(DarkroomError):
    """The owner has no webhook delivery with this id."""

    id: str


@dataclass(eq=False)
class UnknownModel(DarkroomError):
    """No such model, alias or version is served. `served` are those that are; `reason` says why, or is empty."""

    reference: str
    served: tuple[str, ...] = field(default=())
    reason: str = ""


@dataclass(eq=False)
class NothingFailed(DarkroomError):
    """What is to be retried, a prediction or a batch (`kind`), did not fail; `state` says what it is."""

    kind: Literal["prediction", "batch"]
    id: str
    state: str


@dataclass(eq=False)
class ImageGone(DarkroomError):
    """What is to be retried failed, and its images are no longer kept, or there never was one that could be read."""

    kind: Literal["prediction", "batch"]
    id: str


@dataclass(eq=False)
class ImageTooLarge(DarkroomError):
    """An image's size, or that of a body read as a whole, is over the limit; both in `unit`, bytes or pixels."""

    size: int
    limit: int
    unit: str = "bytes"


@dataclass(eq=False)
class UploadTooLarge(DarkroomError):
    """An upload is over a limit; both numbers in `unit`: bytes, unpacked bytes, entries or images."""

    size: int
    limit: int
    unit: str = "bytes"


@dataclass(eq=False)
class ArchiveRefused(DarkroomError):
    """An archive is broken or holds an entry that is never unpacked; `entry` is its name, if it is one entry."""

    reason: str
    entry: str | None = None
    pointer: str = "/archive"


@dataclass(eq=False)
class UnsupportedImage(DarkroomError):
    """The content is not an image of a supported format; `found` says what it is."""

    found: str
    supported: tuple[str, ...]


@dataclass(eq=False)
class UndecodableImage(DarkroomError):
    """The file begins as an image of this format does, but is broken; `reason` says how."""

    format: str
    reason: str


@dataclass(eq=False)
class IdempotencyMismatch(DarkroomError):
    """The idempotency key was used before, for a different request, which made `first_id`."""

    key: str
    first_id: str


@dataclass(eq=False)
class UploadInProgress(DarkroomError):
    """A bulk upload under this idempotency key is still being read; it made `first_id`."""

    key: str
    first_id: str


@dataclass(eq=False)
class PredictionNotEnded(DarkroomError):
    """The prediction has not ended, so nothing can be said about its answer; `state` is its status."""

    id: str
    state: str


@dataclass(eq=False)
class RateLimited(DarkroomError):
    """The caller's API key allows no more now; nothing was enqueued. `limit` says which of its limits is reached."""

    limit: Literal["rate", "unfinished"]
    limits: Limits
    left: Remaining
    retry_after: timedelta


@dataclass(eq=False)
class TooMuchInHand(DarkroomError):
    """The owner's request bodies in this gateway's memory have `in_hand` bytes; `size` more would be over `allowed`."""

    size: int
    in_hand: int
    allowed: int
    retry_after: timedelta
    limit: Literal["bytes_in_hand"] = "bytes_in_hand"


@dataclass(eq=False)
class GatewayBusy(DarkroomError):
    """All request bodies in this gateway's memory have `in_hand` bytes; `size` more would be over `allowed`."""

    size: int
    in_hand: int
    allowed: int
    retry_after: timedelta


@dataclass(eq=False)
class FileQuota(DarkroomError):
    """The owner may not upload a file of `size` bytes now; nothing was stored.

    `limit` says which limit is reached: the number of files, their bytes, or uploaded bytes a second; `used` is what
    the owner has of it, `allowed` the limit itself.
    """

    limit: Literal["files", "bytes", "bytes_a_second"]
    size: int
    used: int
    allowed: int
    retry_after: timedelta


@dataclass(eq=False)
class QueueFull(DarkroomError):
    """The model's lane or Redis' memory is at its limit; nothing was enqueued."""

    model: str
    retry_after: timedelta


@dataclass(eq=False)
class SubmitUncertain(DarkroomError):
    """Redis did not answer in time: the job may have been accepted under this id. `reason` as in StorageUnavailable."""

    id: str
    retry_after: timedelta
    reason: str = ""


@dataclass(eq=False)
class StorageUnavailable(DarkroomError):
    """Redis or Postgres (`store`) can't be reached, or refuses: then `reason` says so, as text to follow its name.

    `certain`: it is known that nothing of what was asked has happened.
    """

    store: str
    retry_after: timedelta
    reason: str = ""
    certain: bool = False
