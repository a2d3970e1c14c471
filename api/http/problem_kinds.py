"""Every kind of problem that the API answers with: status, slug of its `type`, title, meaning."""

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of problem: its status, the last part of its `type` URI, a title and an explanation for people."""

    status: int
    slug: str
    title: str
    meaning: str
    headers: dict[str, str] = field(default_factory=dict)


BAD_REQUEST: Final = Kind(
    status=400,
    slug="bad-request",
    title="The request can't be understood",
    meaning="The body is empty, is not what its Content-Type says, or contradicts itself or the query.",
)
UNAUTHORIZED: Final = Kind(
    status=401,
    slug="unauthorized",
    title="A key is needed",
    meaning="Send a valid API key as `Authorization: Bearer dk_…`, or a stream's own unexpired token.",
    headers={"WWW-Authenticate": "Bearer"},
)
FORBIDDEN: Final = Kind(
    status=403,
    slug="forbidden",
    title="The key does not allow it",
    meaning="The key's role does not allow it; or the API asks for no keys and is for its own machine and pages alone.",
)
UNKNOWN_PREDICTION: Final = Kind(
    status=404,
    slug="unknown-prediction",
    title="No such prediction",
    meaning="The id is malformed, was never given, or belongs to somebody else.",
)
UNKNOWN_MASK: Final = Kind(
    status=404,
    slug="unknown-mask",
    title="No mask",
    meaning="The prediction has not succeeded, or its model does not answer with masks.",
)
UNKNOWN_BATCH: Final = Kind(
    status=404,
    slug="unknown-batch",
    title="No such batch",
    meaning="The id is malformed, was never given, or belongs to somebody else.",
)
UNKNOWN_FILE: Final = Kind(
    status=404,
    slug="unknown-file",
    title="No such file",
    meaning="The id is malformed, was never given, belongs to somebody else, or the file has expired.",
)
UNKNOWN_DELIVERY: Final = Kind(
    status=404,
    slug="unknown-webhook-delivery",
    title="No such webhook delivery",
    meaning="The id is malformed, was never given, or belongs to somebody else.",
)
UNKNOWN_KEY: Final = Kind(
    status=404,
    slug="unknown-api-key",
    title="No such API key",
    meaning="The id is malformed, was never given, or the key is somebody else's.",
)
UNKNOWN_MODEL: Final = Kind(
    status=404,
    slug="unknown-model",
    title="No such model",
    meaning="No worker serves this model, alias or version; `served` lists what is served.",
)
IMAGE_TOO_LARGE: Final = Kind(
    status=413,
    slug="image-too-large",
    title="The image or upload is too large",
    meaning="`size` is over `limit`, both in `unit`: bytes, pixels by the image's header, an archive's entries, "
    "or a batch's images; a batch that has too many is canceled, send it in parts.",
)
UNSUPPORTED_IMAGE: Final = Kind(
    status=415,
    slug="unsupported-image",
    title="Not a supported image",
    meaning="The content, not its name or declared type, is no image of the kinds in `supported`.",
)
UNSUPPORTED_ENCODING: Final = Kind(
    status=415,
    slug="unsupported-encoding",
    title="The body is compressed",
    meaning="A body is taken as it is, without Content-Encoding; images are compressed by their own formats.",
    headers={"Accept-Encoding": "identity"},
)
UNDECODABLE_IMAGE: Final = Kind(
    status=422,
    slug="undecodable-image",
    title="The image is broken",
    meaning="The content begins like an image of the kind in `format` but is incomplete or damaged.",
)
INVALID_PARAMETER: Final = Kind(
    status=422,
    slug="invalid-parameter",
    title="A parameter can't be used",
    meaning="Each of `errors` says what is wrong and where: a JSON pointer into the body or the query, "
    "or a header's name.",
)
IDEMPOTENCY_MISMATCH: Final = Kind(
    status=422,
    slug="idempotency-mismatch",
    title="The idempotency key belongs to another request",
    meaning="The key was used before with another image, model or parameters; `first_id` was made then.",
)
UPLOAD_IN_PROGRESS: Final = Kind(
    status=409,
    slug="upload-in-progress",
    title="The upload is still being read",
    meaning="A bulk upload came under this idempotency key and has not been read to its end; `first_id` is its batch.",
)
PREDICTION_NOT_ENDED: Final = Kind(
    status=409,
    slug="prediction-not-ended",
    title="The prediction has not ended",
    meaning="Feedback is on an answer, and there is none yet. Wait for its end, then send it again.",
)
NOTHING_FAILED: Final = Kind(
    status=409,
    slug="nothing-failed",
    title="Nothing failed",
    meaning="Only a prediction that failed is retried, and only a batch that has ended with failed images.",
)
IMAGE_GONE: Final = Kind(
    status=410,
    slug="image-gone",
    title="The image is no longer kept",
    meaning="Images of failures are kept for a time and up to a number of bytes. Submit the image again.",
)
CHANGE_REFUSED: Final = Kind(
    status=409,
    slug="change-refused",
    title="The change can't be made",
    meaning="Nothing was changed: the model or the version is not registered, or not ready, or another change is in "
    "the way; `detail` says which.",
)
CHANGE_UNANSWERED: Final = Kind(
    status=504,
    slug="change-unanswered",
    title="No worker has answered in time",
    meaning="What serves may have been changed, or be changed within five minutes. Read the model, or send the same "
    "again, which is safe.",
)
NO_REGISTRY_WORKER: Final = Kind(
    status=503,
    slug="no-registry-worker",
    title="No worker reaches the registry",
    meaning="Nothing was changed: predict workers carry changes out, and none has been seen in the last 10 s.",
)
RATE_LIMITED: Final = Kind(
    status=429,
    slug="rate-limited",
    title="The key's limit is reached",
    meaning="Nothing was enqueued: too many images a second (`limit` is rate), unfinished at a time (unfinished) "
    "or bytes of bodies that are being read (bytes_in_hand). "
    "`RateLimit` says what is left; try again after the seconds in Retry-After.",
)
GATEWAY_BUSY: Final = Kind(
    status=503,
    slug="gateway-busy",
    title="The gateway's memory for bodies is full",
    meaning="Nothing was enqueued: bodies that are being read take all the memory that they may. Try again after the "
    "seconds in Retry-After.",
)
FILE_QUOTA: Final = Kind(
    status=429,
    slug="file-quota",
    title="The limit of files is reached",
    meaning="Nothing was kept: the owner has `used` of `allowed` files or bytes (`limit`), or uploads more bytes "
    "a second than allowed. Delete files, or try again after the seconds in Retry-After: then the oldest has gone.",
)
QUEUE_FULL: Final = Kind(
    status=503,
    slug="queue-full",
    title="The queue is full",
    meaning="Nothing was enqueued. Try again after the seconds in Retry-After.",
)
STORAGE_UNAVAILABLE: Final = Kind(
    status=503,
    slug="storage-unavailable",
    title="A store does not answer",
    meaning="Redis or Postgres can't be reached, or is there and refuses for now; `detail` says which, and why. "
    "Where a submission's answer was lost, `id` says which prediction may exist; sending it again with an "
    "Idempotency-Key never makes two.",
)
BEING_PURGED: Final = Kind(
    status=503,
    slug="being-purged",
    title="The owner's data is being deleted",
    meaning="Requests are refused until that is done; an owner with keys then needs a new one.",
)
NOT_FOUND: Final = Kind(
    status=404,
    slug="not-found",
    title="No such page or operation",
    meaning="No page or operation has this path.",
)
METHOD_NOT_ALLOWED: Final = Kind(
    status=405,
    slug="method-not-allowed",
    title="The method is not allowed",
    meaning="The path exists; Allow lists the methods it takes.",
)
REQUEST_TIMEOUT: Final = Kind(
    status=408,
    slug="request-timeout",
    title="The request came too slowly",
    meaning="Its head did not arrive completely in time, or its body came too slowly. Nothing was kept; send it again.",
)
TARGET_TOO_LONG: Final = Kind(
    status=414,
    slug="uri-too-long",
    title="Path and query are too long",
    meaning="What does not fit into the query fits into a form or a JSON body.",
)
HEAD_TOO_LARGE: Final = Kind(
    status=431,
    slug="header-fields-too-large",
    title="The request's head is too large",
    meaning="It has too many bytes or header fields; a body's trailer counts too.",
)
# Answered by the server itself, before any operation.
WIRE: Final = (REQUEST_TIMEOUT, TARGET_TOO_LONG, HEAD_TOO_LARGE)
INTERNAL_ERROR: Final = Kind(
    status=500,
    slug="internal-error",
    title="Internal error",
    meaning="A fault of the gateway's own. Its log has the details.",
)
