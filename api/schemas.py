"""What answers look like, for the OpenAPI document; a test holds real answers against it.

Routes write dicts straight to JSON: building these models would double a poll's cost.
"""

from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from api.fields import LONGEST_TEXT, MOST_EVENTS
from shared.domain.batch import BatchStatus
from shared.domain.prediction import ErrorCode, Source, Status
from shared.domain.route import MODEL
from shared.domain.webhooks import LONGEST_URL, DeliveryStatus, Event

Instant = Annotated[str, Field(description="RFC 3339, UTC", examples=["2026-01-31T12:00:00.123456Z"])]
Url = Annotated[str, Field(examples=["http://127.0.0.1:8000/v1/…"])]
Id = Annotated[str, Field(description="Opaque", examples=["0193d5a2-7b1c-7c3e-9d55-3f6f2a0c9b11"])]
Sha256 = Annotated[str, Field(description="64 hexadecimal digits", pattern="^[0-9a-f]{64}$")]


PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
"""The smallest PNG there is, in base64: an example that can be sent as it stands."""


class Answer(BaseModel):
    """An object in an answer: every member is always there."""

    model_config = ConfigDict(extra="forbid", frozen=True)


T = TypeVar("T", bound=Answer)


class Page(Answer, Generic[T]):
    """One page of a list."""

    results: list[T]
    next: Url | None = Field(description="The next page, or null on the last one")
    previous: Url | None = Field(description="The page before, or null")


class Image(Answer):
    """The image that came in."""

    sha256: Sha256 | None = Field(description="null, as the next three, only in a bulk upload's item that is no image")
    format: str | None = Field(description="By content, not by name", examples=["PNG"])
    width: int | None = Field(description="Pixels, as stored", examples=[32])
    height: int | None = Field(examples=[32])
    bytes: int = Field(examples=[1480])
    filename: str | None = Field(examples=["7.png"])


class PredictionInput(Answer):
    """What was submitted."""

    image: Image


class Output(Answer):
    """What the model said."""

    predicted_class: str = Field(examples=["7"])
    predicted_index: int = Field(examples=[7])
    confidence: float = Field(description="Of the predicted class, 0 to 1", examples=[0.998])
    probabilities: dict[str, float] = Field(
        description="By class, highest first; at most the model's `top_k`",
        examples=[{"7": 0.998, "1": 0.001}],
    )


class Metrics(Answer):
    """Durations in seconds; empty until the prediction has ended."""

    queue_time: float | None = Field(default=None, description="Until a worker took it")
    predict_time: float | None = Field(default=None, description="Of the forward pass of its batch")
    total_time: float | None = Field(default=None, description="From creation to the end")
    batch_size: int | None = Field(default=None, description="How many images shared the forward pass")


class PredictionUrls(Answer):
    """Where to go from here; `stream` carries its own short-lived token."""

    get: Url
    cancel: Url
    stream: Url
    web: Url


class Prediction(Answer):
    """One image's way to its result."""

    id: Id
    model: str = Field(examples=["digits"])
    version: str = Field(examples=["3"])
    variant: str = Field(description="The alias, or the version, that was served", examples=["champion"])
    status: Status = Field(description="starting → processing → succeeded, failed or canceled")
    input: PredictionInput
    output: Output | None
    error: str | None = Field(description="Words, where it failed")
    error_code: ErrorCode | None
    logs: str = Field(examples=[""])
    source: Source = Field(description="Who produced the output")
    attempts: int = Field(examples=[1])
    batch_id: str | None
    metadata: dict[str, Any] = Field(description="As submitted")
    data_removed: bool
    metrics: Metrics
    created_at: Instant
    started_at: Instant | None
    completed_at: Instant | None
    urls: PredictionUrls


class PredictionList(Page[Prediction]):
    """Predictions, newest first."""


class BatchCounts(Answer):
    """How many images are where; the rest of `total` is under way."""

    total: int = Field(description="Still growing while the batch is validating", examples=[1200])
    succeeded: int = Field(examples=[310])
    failed: int = Field(examples=[2])
    canceled: int = Field(examples=[0])


class BatchUrls(Answer):
    """Where to go from here; `stream` carries its own short-lived token."""

    get: Url
    results: Url
    cancel: Url
    stream: Url


class Batch(Answer):
    """A bulk upload on its way to its results."""

    id: Id
    status: BatchStatus = Field(description="validating → in_progress → completed, or canceled")
    model: str = Field(examples=["digits"])
    request_counts: BatchCounts
    skipped: int = Field(description="Entries that were clutter", examples=[3])
    created_at: Instant
    completed_at: Instant | None = Field(description="When its last image ended")
    metadata: dict[str, Any] = Field(description="As submitted")
    urls: BatchUrls


class BatchList(Page[Batch]):
    """Batches, newest first."""


class BatchResult(Answer):
    """A line of a batch's results."""

    custom_id: str = Field(description="The file's name, or the line's own", examples=["cats/7.png"])
    id: Id
    status: Status
    version: str = Field(examples=["3"])
    source: Source
    output: Output | None
    error: str | None
    error_code: ErrorCode | None


class Checksums(Answer):
    """Digests of a file's content."""

    sha256: Sha256


class FileUrls(Answer):
    """Where the file is; what `input.image` takes."""

    get: Url


class File(Answer):
    """An uploaded file, kept for a while."""

    id: Id
    name: str = Field(examples=["7.png"])
    content_type: str = Field(description="By content where it is an image", examples=["image/png"])
    size: int = Field(description="Bytes", examples=[1480])
    etag: str
    checksums: Checksums
    metadata: dict[str, Any]
    created_at: Instant
    expires_at: Instant
    urls: FileUrls


class FileList(Page[File]):
    """Files, newest first."""


class Version(Answer):
    """One version of a model."""

    id: str = Field(description="Its number in the registry", examples=["3"])
    created_at: str = Field(examples=["2026-01-31T12:00:00Z"])
    cog_version: Literal["darkroom"]
    openapi_schema: dict[str, Any] = Field(description="`components.schemas` has `Input` and `Output`")


class VersionList(Page[Version]):
    """The versions that serve, newest first."""


class ServedVersion(Answer):
    """A version that serves, as the registry describes it."""

    version: str = Field(examples=["3"])
    aliases: list[str] = Field(examples=[["champion"]])
    created_at: str = Field(examples=["2026-01-31T12:00:00Z"])
    classes: list[str] = Field(examples=[["0", "1", "2"]])
    num_classes: int = Field(examples=[10])
    input: dict[str, Any] = Field(
        description="How an image becomes the model's input, in torchvision's preset names",
        examples=[{"resize_size": [32, 32], "mode": "RGB"}],
    )
    parameters: dict[str, str] = Field(description="Of the training run")
    metrics: dict[str, float] = Field(description="Of the training run", examples=[{"accuracy": 0.985}])


class FailedVersion(Answer):
    """A version that could not be loaded."""

    version: str = Field(examples=["4"])
    error: str = Field(examples=["the image metadata names no size"])


class Model(Answer):
    """What serves under one name."""

    url: Url
    owner: str = Field(examples=["darkroom"])
    name: str = Field(examples=["digits"])
    description: str
    visibility: Literal["private"]
    run_count: int = Field(description="Predictions on record, counted up to 100,000")
    latest_version: Version | None = Field(description="The champion, or else the newest that serves")
    aliases: dict[str, str] = Field(description="Version by alias", examples=[{"champion": "3"}])
    traffic: dict[str, int] = Field(
        description="Percent of requests by alias, where none is asked for",
        examples=[{"champion": 100}],
    )
    versions: list[ServedVersion]
    failed_versions: list[FailedVersion]
    device: str = Field(examples=["cpu"])
    max_batch_size: int = Field(examples=[64])
    workers: int = Field(description="Predict workers seen in the last 10 s", examples=[2])
    lane_depth: int = Field(description="Computations that wait or run", examples=[0])


class ModelList(Page[Model]):
    """The models that serve, by name."""


class WebhookSecret(Answer):
    """What signs your webhooks."""

    key: str = Field(
        description="`whsec_` and 32 bytes in base64, as Standard Webhooks' libraries take it",
        pattern="^whsec_[A-Za-z0-9+/]{43}=$",
        examples=[f"whsec_{'A' * 43}="],
    )


class WebhookDeliveryUrls(Answer):
    """Where to go from here."""

    get: Url
    redeliver: Url


class WebhookDelivery(Answer):
    """One event on its way to its webhook."""

    id: Id = Field(description="Opaque; every attempt carries it as `webhook-id`")
    event: Event
    status: DeliveryStatus = Field(description="pending → delivered, or exhausted when there are no more attempts")
    url: str = Field(description="The webhook", examples=["https://example.com/hook"])
    subject: Id = Field(description="What is told of: the prediction's or the batch's id")
    subject_type: Literal["prediction", "batch"]
    attempt_count: int = Field(description="Attempts since it was last asked for", examples=[1])
    next_attempt_at: Instant | None = Field(description="null unless pending")
    created_at: Instant
    delivered_at: Instant | None
    urls: WebhookDeliveryUrls


class WebhookAttempt(Answer):
    """One attempt to deliver."""

    started_at: Instant
    duration_ms: float = Field(examples=[31.5])
    status: int | None = Field(description="The HTTP status, where there was an answer", examples=[503])
    error: str | None = Field(description="Why it was no success", examples=["answered 503"])
    response: str | None = Field(description="How the answer began, where it was no success")


class WebhookDeliveryDetail(WebhookDelivery):
    """One event on its way to its webhook, and what was tried."""

    attempts: list[WebhookAttempt] = Field(description="All that were ever made, oldest first")


class WebhookDeliveryList(Page[WebhookDelivery]):
    """Deliveries of webhooks, newest first."""


class Alive(Answer):
    """The process answers."""

    status: Literal["alive"]


class WireLimits(Answer):
    """What a client may take of the gateway beside its image."""

    head_bytes: int = Field(description="Of a request's head: 431", examples=[32768])
    head_fields: int = Field(description="Likewise", examples=[100])
    target_bytes: int = Field(description="Of its path and query: 414", examples=[16384])
    head_seconds: float = Field(description="From the head's first byte to its last: 408", examples=[10])
    body_seconds: float = Field(description="So long a body may be slower than its rate: 408", examples=[30])
    body_bytes_a_second: int = Field(examples=[500])
    answer_seconds: float = Field(description="So long a client may take nothing of its answer", examples=[60])


class Limits(Answer):
    """What is refused beyond, for everybody; a key may have limits of its own."""

    image_bytes: int = Field(description="413", examples=[20971520])
    image_pixels: int = Field(description="By the image's header: 413", examples=[50000000])
    metadata_bytes: int = Field(description="422", examples=[4096])
    archive_bytes: int = Field(description="413", examples=[4294967296])
    archive_unpacked_bytes: int = Field(description="By the archive's directory: 413", examples=[8589934592])
    archive_entries: int = Field(description="413", examples=[200000])
    archive_ratio: int = Field(description="Times a large archive may grow: 422", examples=[100])
    lane_depth: int = Field(description="Images that wait in one lane: 503", examples=[250000])
    lane_bytes: int = Field(description="Likewise", examples=[2147483648])
    memory_share: float = Field(description="Of `memory_limit_bytes`: 503", examples=[0.8])
    wire: WireLimits | None = Field(description="null: the server bounds neither heads nor time")


class Used(Answer):
    """How near the limits are."""

    memory_bytes: int = Field(description="Redis'", examples=[73400320])
    memory_limit_bytes: int | None = Field(description="Its `maxmemory`, or null", examples=[6764573491])
    lane_depths: dict[str, int] = Field(description="Each model's deepest lane", examples=[{"digits": 7687}])


class Readiness(Answer):
    """Whether requests should be sent here."""

    status: Literal["ready", "degraded", "unavailable"]
    down: list[str] = Field(description="Without these nothing works", examples=[[]])
    degraded: list[str] = Field(
        description="What people will notice meanwhile",
        examples=[["postgres: history is not readable"]],
    )
    limits: Limits
    used: Used | None = Field(description="null where Redis can't say")


class FieldError(Answer):
    """One thing that is wrong with a request."""

    detail: str
    pointer: str = Field(description="JSON pointer, or a header's name", examples=["/metadata"])


class Problem(BaseModel):
    """An error (RFC 9457). Further members carry its facts."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field(examples=["/problems/invalid-parameter"])
    title: str = Field(examples=["A parameter can't be used"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["metadata must be a JSON object"])
    instance: str = Field(description="The request's path", examples=["/v1/predictions"])
    errors: list[FieldError] | None = Field(default=None, description="Where single values are wrong")


class SubmissionInput(BaseModel):
    """What to predict. Other members are ignored: never stored, logged or echoed."""

    image: str = Field(
        pattern="^([Dd][Aa][Tt][Aa]:|https?://)",
        description="A `data:` URL (base64 or percent-encoded), or the URL of a file uploaded to /v1/files, "
        "whatever its host. Never fetched.",
        examples=[f"data:image/png;base64,{PNG}"],
    )


class Submission(BaseModel):
    """A prediction's parameters, the same in every body; unknown members are ignored."""

    model: str | None = Field(
        default=None,
        pattern=MODEL,
        max_length=LONGEST_TEXT,
        description="`[owner/]name`, `name@alias` or `name:version`; may be left out where one model serves",
        examples=["digits"],
    )
    version: str | None = Field(
        default=None, pattern=MODEL, max_length=LONGEST_TEXT, description="As in `model`", examples=["digits:3"]
    )
    priority: Literal["interactive", "bulk"] = "interactive"
    metadata: dict[str, Any] | None = Field(
        default=None, description="At most 4 KB; comes back unchanged", examples=[{"patient": 17}]
    )
    webhook: str | None = Field(
        default=None,
        max_length=LONGEST_URL,
        json_schema_extra={"format": "uri"},
        description="An https:// or http:// URL, told of events by a signed POST of the prediction",
        examples=["https://example.com/hook"],
    )
    webhook_events_filter: list[Literal["start", "completed", "logs", "output"]] | None = Field(
        default=None,
        max_length=MOST_EVENTS,
        description="Only these events; none are all. `logs` and `output` are taken, and never come",
        examples=[["completed"]],
    )


class JsonSubmission(Submission):
    """A submission as JSON."""

    input: SubmissionInput
