"""The one table of how each error is answered over HTTP: its kind of problem, and the sentence that describes it."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from api.http import problem_kinds as kinds
from api.http.problem_kinds import Kind
from shared.domain import errors
from shared.domain.errors import DarkroomError, FileQuota, RateLimited, UnknownModel
from shared.domain.written_numbers import written

MOST_NAMES: Final = 10
"""References that the sentence of a 404 lists; its member `served` has all of them."""


class Row(NamedTuple):
    """How a class of errors is answered; `detail` makes the sentence for one error."""

    kind: Kind
    detail: Callable[[Any], str]


def _unknown_model(error: UnknownModel) -> str:
    more = len(error.served) - MOST_NAMES
    names = ", ".join(error.served[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    if error.reason:
        there_is = f"; there is {names}" if names else ""
        what = f"{error.reference[:80]!r} is not" if error.reference else "no model is"
        return f"{what} served: {error.reason}{there_is}"
    if not error.served:
        return "no model is served yet"
    if not error.reference:
        return f"say which model you mean, as `model`: {names}"
    return f"no model {error.reference[:80]!r} is served; there is {names}"


def _rate_limited(error: RateLimited) -> str:
    if error.limit == "rate":
        return f"this key allows {written(error.limits.rate or 0)} images a second"
    return f"this key allows {error.limits.max_inflight:,} unfinished images at a time"


_AWAY: Final = "can't be reached"


def _because(reason: str) -> str:
    return f", for redis {reason}" if reason else ""


def _file_quota(error: FileQuota) -> str:
    if error.limit == "bytes_a_second":
        return f"{error.allowed:,} bytes of files a second may be uploaded"
    left = max(0, error.allowed - error.used)
    if error.limit == "files":
        return f"{error.used:,} files are kept and {error.allowed:,} may be: none is left; delete some"
    return (
        f"{error.used:,} bytes of files are kept and {error.allowed:,} may be: {left:,} are left, "
        f"this file needs {error.size:,}; delete some"
    )


TABLE: Final[dict[type[DarkroomError], Row]] = {
    errors.BadRequest: Row(kinds.BAD_REQUEST, lambda e: e.detail),
    errors.InvalidParameter: Row(kinds.INVALID_PARAMETER, lambda e: e.detail),
    errors.Unauthorized: Row(kinds.UNAUTHORIZED, lambda e: e.detail),
    errors.Forbidden: Row(kinds.FORBIDDEN, lambda e: e.detail),
    errors.UnknownMask: Row(kinds.UNKNOWN_MASK, lambda e: f"prediction {e.id[:80]!r} has no mask"),
    errors.UnknownPrediction: Row(kinds.UNKNOWN_PREDICTION, lambda e: f"there is no prediction {e.id[:80]!r}"),
    errors.UnknownBatch: Row(kinds.UNKNOWN_BATCH, lambda e: f"there is no batch {e.id[:80]!r}"),
    errors.UnknownFile: Row(kinds.UNKNOWN_FILE, lambda e: f"there is no file {e.id[:80]!r}, or its time is over"),
    errors.UnknownDelivery: Row(kinds.UNKNOWN_DELIVERY, lambda e: f"there is no webhook delivery {e.id[:80]!r}"),
    errors.ChangeRefused: Row(kinds.CHANGE_REFUSED, lambda e: e.reason),
    errors.ChangeUnanswered: Row(
        kinds.CHANGE_UNANSWERED, lambda e: f"no worker has answered within {e.waited_seconds:g} s"
    ),
    errors.NoRegistryWorker: Row(
        kinds.NO_REGISTRY_WORKER, lambda _: "no predict worker runs, and only they reach the registry"
    ),
    errors.UnknownKey: Row(kinds.UNKNOWN_KEY, lambda e: f"there is no API key {e.id[:80]!r}"),
    UnknownModel: Row(kinds.UNKNOWN_MODEL, _unknown_model),
    errors.ImageTooLarge: Row(
        kinds.IMAGE_TOO_LARGE, lambda e: f"{e.size:,} {e.unit} are over the limit of {e.limit:,}"
    ),
    errors.UploadTooLarge: Row(
        kinds.IMAGE_TOO_LARGE, lambda e: f"the upload has {e.size:,} {e.unit}, over the limit of {e.limit:,}"
    ),
    errors.ArchiveRefused: Row(
        kinds.INVALID_PARAMETER,
        lambda e: f"the archive is refused: {e.reason}" + (f" ({e.entry[:200]!r})" if e.entry else ""),
    ),
    errors.UnsupportedImage: Row(
        kinds.UNSUPPORTED_IMAGE, lambda e: f"this is {e.found}; supported are {', '.join(e.supported)}"
    ),
    errors.UnsupportedEncoding: Row(
        kinds.UNSUPPORTED_ENCODING,
        lambda e: f"a body with Content-Encoding: {e.encoding[:80]} is not taken; send it without",
    ),
    errors.UndecodableImage: Row(kinds.UNDECODABLE_IMAGE, lambda e: f"the {e.format} image is broken: {e.reason}"),
    errors.IdempotencyMismatch: Row(
        kinds.IDEMPOTENCY_MISMATCH,
        lambda e: f"this key was used for another request, which made {e.first_id}",
    ),
    errors.UploadInProgress: Row(
        kinds.UPLOAD_IN_PROGRESS, lambda e: f"the upload under this key, batch {e.first_id}, is still being read"
    ),
    errors.PredictionNotEnded: Row(
        kinds.PREDICTION_NOT_ENDED, lambda e: f"prediction {e.id} is {e.state}: there is no answer to judge yet"
    ),
    errors.NothingFailed: Row(
        kinds.NOTHING_FAILED, lambda e: f"{e.kind} {e.id} is {e.state}: there is no failure to retry"
    ),
    errors.ImageGone: Row(kinds.IMAGE_GONE, lambda e: f"no image of {e.kind} {e.id} is kept: submit it again"),
    errors.RateLimited: Row(kinds.RATE_LIMITED, _rate_limited),
    errors.TooMuchInHand: Row(
        kinds.RATE_LIMITED,
        lambda e: f"{e.in_hand:,} bytes of your bodies are being read, {e.size:,} more would be over {e.allowed:,}",
    ),
    errors.GatewayBusy: Row(
        kinds.GATEWAY_BUSY, lambda e: f"this gateway reads {e.in_hand:,} bytes of bodies, and {e.allowed:,} at most"
    ),
    errors.FileQuota: Row(kinds.FILE_QUOTA, _file_quota),
    errors.QueueFull: Row(kinds.QUEUE_FULL, lambda e: f"the queue of {e.model} is full; nothing was enqueued"),
    errors.SubmitUncertain: Row(
        kinds.STORAGE_UNAVAILABLE,
        lambda e: f"the queue gave no answer in time{_because(e.reason)}; {e.id} may have been accepted",
    ),
    errors.BeingPurged: Row(kinds.BEING_PURGED, lambda _: "everything of this owner's is being deleted"),
    errors.StorageUnavailable: Row(kinds.STORAGE_UNAVAILABLE, lambda e: f"{e.store} {e.reason or _AWAY}"),
}
KINDS: Final = {
    kind.slug: kind
    for kind in (
        *(row.kind for row in TABLE.values()),
        kinds.NOT_FOUND,
        kinds.METHOD_NOT_ALLOWED,
        *kinds.WIRE,
        kinds.INTERNAL_ERROR,
    )
}


def error_words(error: DarkroomError) -> str:
    """Return the sentence that describes an error."""
    return TABLE[type(error)].detail(error)
