"""The status of the whole service, typed: its members are those of `GET /v1/status`. None means unknown."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.domain.status.percentiles import Percentiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A predict worker's GPU: what this process `allocated` to tensors and torch `reserved`, what the device has."""

    name: str
    allocated_bytes: int
    reserved_bytes: int
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process: `ready`, `silent` where its figures are late, `stuck` where its worker's main loop is."""

    name: str
    host: str
    pid: int
    state: str
    seen_seconds: float
    """Since it last published its figures."""
    up_seconds: float
    cores: float | None
    memory_bytes: int | None
    busy: float | None
    """Share of its time in forward passes; None where it does not predict. Above 1 where several run at once."""
    images_per_second: float | None
    device: Device | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One role: `ready`, `late`, `missing`, or `unknown`; `detail` says what is wrong."""

    role: str
    state: str
    detail: str
    processes: Sequence[Process]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Images in a lane, waiting or being computed, and the age of the oldest."""

    entries: int
    bytes: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model that is served or has images waiting."""

    model: str
    workers: int | None
    images_per_second: float
    failed_per_second: float
    batch_size: float | None
    """Mean; None also where none was computed."""
    interactive: Lane | None
    bulk: Lane | None
    shadow_waiting: int | None
    latency_seconds: Percentiles | None
    """From submission to end, of the predictions recorded within the last minute."""
    wait_seconds: Percentiles | None
    """From submission to a worker's pull, likewise."""
    forward_seconds: Percentiles | None
    """Of a micro-batch, likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submissions:
    """Submissions per second by outcome. `refused` counts those over a key's limit too."""

    queued_per_second: float
    joined_per_second: float
    cached_per_second: float
    repeated_per_second: float
    refused_per_second: float
    unreadable_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """HTTP requests of all gateways; `failed` are those answered with 5xx."""

    per_second: float
    failed_per_second: float
    in_progress: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Finished predictions without a row, and how long the oldest of them has waited."""

    waiting: int
    lag_seconds: float
    rows_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """Attempts to deliver per second."""

    delivered_per_second: float
    failed_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """What is not known, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisState:
    """Redis: `ready`, `refusing` (it takes no writes) or `down`."""

    state: str
    detail: str = ""
    answered_ms: float | None = None
    version: str | None = None
    clients: int | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresState:
    """Postgres: `ready`, `refusing` writes, or `down`; `unknown` where nobody asked."""

    state: str
    detail: str = ""
    answered_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the figures of all processes come to."""

    roles: Sequence[Role]
    models: Sequence[Model]
    images_per_second: float | None
    batch_size: float | None
    latency_seconds: Percentiles | None
    wait_seconds: Percentiles | None
    forward_seconds: Percentiles | None
    submissions: Submissions | None
    cache_share: float | None
    """Share of the submissions that were not refused."""
    requests: Requests | None
    recording: Recording | None
    webhooks: Webhooks | None
    memory_bytes: int | None
    """Redis', as an upkeep worker read it."""
    memory_limit_bytes: int | None
    unknown: Sequence[Unknown] = field(default=())
