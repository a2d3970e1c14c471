"""Schemas of the service's status."""

from typing import Literal

from pydantic import Field

from api.schemas.base import Answer, Instant

Rate = float | None


class Percentiles(Answer):
    """Seconds below which half, 95% and 99% lie."""

    p50: float = Field(examples=[0.012])
    p95: float = Field(examples=[0.048])
    p99: float = Field(examples=[0.093])


class StatusDevice(Answer):
    """A predict worker's GPU."""

    name: str = Field(examples=["NVIDIA H100"])
    allocated_bytes: int = Field(description="To tensors of this process")
    reserved_bytes: int = Field(description="By torch, what is allocated included")
    free_bytes: int = Field(description="Of the whole device")
    total_bytes: int


class StatusProcess(Answer):
    """One process."""

    name: str = Field(examples=["host-4711"])
    host: str
    pid: int
    state: Literal["ready", "silent", "stuck"] = Field(
        description="silent: it has published no figures for 6 s; stuck: its worker has sent no heartbeat for 3 min"
    )
    seen_seconds: float = Field(description="Since it last published its figures")
    up_seconds: float
    cores: float | None = Field(description="CPU cores it keeps busy")
    memory_bytes: int | None
    busy: float | None = Field(description="Share of its time in forward passes; null where it does not predict")
    images_per_second: float | None = Field(description="Likewise")
    device: StatusDevice | None = Field(description="null on a CPU")


class StatusRole(Answer):
    """One role and the processes that fill it."""

    role: Literal["api", "predict", "record", "webhooks", "upkeep"]
    state: Literal["ready", "late", "missing", "unknown"]
    detail: str = Field(description="What is wrong, or empty")
    processes: list[StatusProcess]


class StatusLane(Answer):
    """Images in a lane, waiting or being computed."""

    entries: int
    bytes: int = Field(description="As Redis estimates it")
    oldest_seconds: float = Field(description="Age of the oldest")


class StatusModel(Answer):
    """One model that is served or has images waiting."""

    model: str
    workers: int | None = Field(description="Predict workers that are alive; null: unknown")
    images_per_second: float
    failed_per_second: float
    batch_size: float | None = Field(description="Mean; null where none was computed")
    interactive: StatusLane | None = Field(description="null: unknown")
    bulk: StatusLane | None = Field(description="All batches together; null: unknown")
    shadow_waiting: int | None = Field(description="Images that wait for its shadow")
    latency_seconds: Percentiles | None = Field(description="From submission to end; null where there was none")
    wait_seconds: Percentiles | None = Field(description="From submission to a worker's pull, likewise")
    forward_seconds: Percentiles | None = Field(description="Of a micro-batch, likewise")


class StatusSubmissions(Answer):
    """Submissions per second by outcome."""

    queued_per_second: float
    joined_per_second: float = Field(description="The same image was waiting already")
    cached_per_second: float
    repeated_per_second: float = Field(description="The same idempotency key")
    refused_per_second: float = Field(description="Over a key's limit, or for want of room")
    unreadable_per_second: float = Field(description="Items of batches that are no image")


class StatusRequests(Answer):
    """HTTP requests of all gateways."""

    per_second: float
    failed_per_second: float = Field(description="Answered with 5xx")
    in_progress: int


class StatusRecording(Answer):
    """Finished predictions that are not in Postgres yet."""

    waiting: int
    lag_seconds: float = Field(description="How long the oldest has waited")
    rows_per_second: float


class StatusWebhooks(Answer):
    """Attempts to deliver webhooks."""

    delivered_per_second: float
    failed_per_second: float


class StatusUnknown(Answer):
    """Something that is not known."""

    what: str = Field(examples=["queue"])
    why: str = Field(examples=["no upkeep worker publishes it"])


class StatusRedis(Answer):
    """Redis as this gateway sees it."""

    state: Literal["ready", "refusing", "down"]
    detail: str = Field(description="What is wrong, or empty")
    answered_ms: float | None
    version: str | None
    clients: int | None
    memory_bytes: int | None
    memory_limit_bytes: int | None = Field(description="Its `maxmemory`; null: none, or unknown")


class StatusPostgres(Answer):
    """Postgres as this gateway sees it."""

    state: Literal["ready", "refusing", "down", "unknown"]
    detail: str = Field(description="What is wrong, or empty")
    answered_ms: float | None


class StatusAlert(Answer):
    """An alert whose condition holds; those of deploy/prometheus/alerts.yml that figures can tell."""

    name: str = Field(examples=["NoWorker"])
    severity: Literal["page", "warning"]
    subject: str = Field(description="The model, role or version it is about, or empty", examples=["digits"])
    state: Literal["pending", "firing"] = Field(description="pending until it has held for as long as it must")
    since: Instant | None = Field(description="null where it is not known yet")
    summary: str
    what_to_do: str


class ServiceStatus(Answer):
    """What runs and how it is doing. Rates are those of the last 10 s, percentiles of the last minute."""

    at: Instant
    state: Literal["ready", "degraded", "unavailable"]
    unknown: list[StatusUnknown]
    redis: StatusRedis
    postgres: StatusPostgres
    roles: list[StatusRole]
    models: list[StatusModel]
    images_per_second: float | None
    batch_size: float | None
    latency_seconds: Percentiles | None
    wait_seconds: Percentiles | None
    forward_seconds: Percentiles | None
    submissions: StatusSubmissions | None
    cache_share: float | None = Field(description="Of the submissions that were not refused")
    requests: StatusRequests | None
    recording: StatusRecording | None
    webhooks: StatusWebhooks | None
    alerts: list[StatusAlert] = Field(description="Those that fire first")


class StatusHistory(Answer):
    """Samples of the status, the oldest first: one list for each figure, null where it was not known.

    After a time without samples, as where nothing ran, one of nulls stands for the gap.
    """

    every_seconds: int
    at: list[int] = Field(description="Seconds since 1970")
    images_per_second: list[Rate]
    submitted_per_second: list[Rate]
    cached_per_second: list[Rate]
    refused_per_second: list[Rate]
    failed_per_second: list[Rate] = Field(description="Images that failed")
    rows_per_second: list[Rate]
    requests_per_second: list[Rate]
    request_errors_per_second: list[Rate]
    batch_size: list[Rate]
    cache_share: list[Rate]
    interactive_entries: list[Rate]
    bulk_entries: list[Rate]
    oldest_seconds: list[Rate] = Field(description="Age of the oldest image in any lane")
    to_record: list[Rate]
    latency_p50_seconds: list[Rate]
    latency_p95_seconds: list[Rate]
    latency_p99_seconds: list[Rate]
    wait_p95_seconds: list[Rate]
    forward_p95_seconds: list[Rate]
    workers: list[Rate] = Field(description="Predict workers that publish")
    device_busy: list[Rate] = Field(description="Share of their time in forward passes, their mean")
    device_memory_bytes: list[Rate]
    redis_memory_bytes: list[Rate]
    webhooks_per_second: list[Rate]
    webhooks_failed_per_second: list[Rate]
